//! The names of the kernel's functions, for its messages: an address as `schedule+0x42/0x80`, `%pS` in Linux.
//!
//! Linux: `kernel/kallsyms.c` and `symbol_string` of `lib/vsprintf.c` (v6.8). Kept: the look-up, a function's size as
//! the way to the next one, the two spellings. Left out: data, modules, build-ids, the look-up by name. Differs: the
//! table is plain, not compressed; the image's builder writes it (`cli/image/src/kallsyms.rs`, which draws it). An
//! image that something else linked has none, and prints addresses, as Linux without CONFIG_KALLSYMS.

use core::fmt;

/// Room for the table. The builder says so when it is too small.
#[cfg(feature = "image")]
const KALLSYMS_BYTES: usize = 96 * 1024;

/// That room. Never read under this name: see [`crate::fence::section`].
#[expect(unsafe_code, reason = "link_section: the builder finds it by name")]
#[cfg(feature = "image")]
#[used]
#[unsafe(link_section = ".kallsyms")]
static kallsyms_room: [u8; KALLSYMS_BYTES] = [0; KALLSYMS_BYTES];

/// The table of this kernel.
#[cfg(feature = "image")]
fn table() -> &'static [u8] {
    crate::fence::section::kallsyms_section()
}

/// The host's tests have none.
#[cfg(not(feature = "image"))]
fn table() -> &'static [u8] {
    &[]
}

/// A function, and where in it an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Symbol {
    /// Its name.
    pub name: &'static str,
    /// From its begin to the address.
    pub offset: u64,
    /// From its begin to the next function.
    pub size: u64,
}

fn u32_at(table: &[u8], at: usize) -> Option<u32> {
    let bytes = table.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(table: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32_at(table, at)?) | u64::from(u32_at(table, at + 4)?) << 32)
}

fn lookup_in(table: &'static [u8], addr: u64) -> Option<Symbol> {
    let text_len = u32_at(table, 8)?;
    let number = u32_at(table, 12)? as usize;
    let at = u32::try_from(addr.checked_sub(u64_at(table, 0)?)?).ok()?;
    if at >= text_len {
        return None;
    }
    let begin = |n: usize| u32_at(table, 16 + 8 * n);
    // How many begin at the address or before it: the last of them is the one.
    let (mut low, mut high) = (0, number);
    while low < high {
        let mid = low + (high - low) / 2;
        if begin(mid)? <= at {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    let found = low.checked_sub(1)?;
    let start = begin(found)?;
    let end = if low < number { begin(low)? } else { text_len };
    let name = u32_at(table, 16 + 8 * found + 4)? as usize;
    let len = usize::from(*table.get(name)?);
    let name = core::str::from_utf8(table.get(name + 1..name + 1 + len)?).ok()?;
    Some(Symbol {
        name,
        offset: u64::from(at - start),
        size: u64::from(end - start),
    })
}

/// The function that an address is in.
pub fn kallsyms_lookup(addr: u64) -> Option<Symbol> {
    lookup_in(table(), addr)
}

/// An address by its function: displays as `name+0x10/0x20`.
pub struct SymbolString {
    addr: u64,
    symbol: Option<Symbol>,
}

impl fmt::Display for SymbolString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symbol {
            Some(Symbol { name, offset, size }) => write!(f, "{name}+{offset:#x}/{size:#x}"),
            None => write!(f, "{:#x}", self.addr),
        }
    }
}

/// An address of code (`%pS`).
pub fn sprint_symbol(addr: u64) -> SymbolString {
    SymbolString {
        addr,
        symbol: kallsyms_lookup(addr),
    }
}

/// An address that something returns to (`%pB`): the call is before it, and may have been the last thing in its
/// function.
pub fn sprint_backtrace(addr: u64) -> SymbolString {
    let symbol = kallsyms_lookup(addr.wrapping_sub(1)).map(|it| Symbol {
        offset: it.offset + 1,
        ..it
    });
    SymbolString { addr, symbol }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::ToString;

    /// Two functions, of 0x10 and 0x20 bytes, from 0xffffffff81000000 on.
    const TABLE: &[u8] = b"\0\0\0\x81\xff\xff\xff\xff\x30\0\0\0\x02\0\0\0\
        \0\0\0\0\x20\0\0\0\x10\0\0\0\x24\0\0\0\x03one\x03two";
    const BASE: u64 = 0xffff_ffff_8100_0000;

    fn at(addr: u64) -> std::string::String {
        let symbol = lookup_in(TABLE, addr);
        SymbolString { addr, symbol }.to_string()
    }

    #[test]
    fn an_address_is_in_the_last_function_that_begins_before_it() {
        assert_eq!(at(BASE), "one+0x0/0x10");
        assert_eq!(at(BASE + 0xf), "one+0xf/0x10");
        assert_eq!(at(BASE + 0x10), "two+0x0/0x20");
        assert_eq!(at(BASE + 0x2f), "two+0x1f/0x20");
    }

    #[test]
    fn what_is_no_code_is_a_number() {
        assert_eq!(at(BASE + 0x30), "0xffffffff81000030");
        assert_eq!(at(BASE - 1), "0xffffffff80ffffff");
        assert_eq!(at(0), "0x0");
        assert_eq!(sprint_symbol(BASE).to_string(), "0xffffffff81000000");
        assert_eq!(sprint_backtrace(1).to_string(), "0x1");
    }
}
