//! The page-table walk, as the SDM (volume 3, chapter 4) describes it, over guest RAM.
//!
//! Used wherever the host itself accesses a virtual address: frames of interrupts, instructions to
//! decode, an observer's reads. The guest's own accesses go through the engine's MMU.

use std::fmt;

use crate::units::{PhysAddr, VirtAddr};

/// Guest physical memory, as the walk needs it.
pub(crate) trait Phys {
    /// The 8 bytes at an address, if it is RAM.
    fn load64(&self, at: PhysAddr) -> Option<u64>;
    /// Stores 8 bytes.
    fn store64(&self, at: PhysAddr, value: u64) -> Option<()>;
}

/// Why a virtual address could not be accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// No translation at this address.
    NotMapped(VirtAddr),
    /// Mapped, but to no RAM.
    NoRam(VirtAddr, PhysAddr),
    /// Mapped without the permission the access needs.
    Denied(VirtAddr),
    /// Not a canonical address.
    NotCanonical(VirtAddr),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotMapped(v) => write!(f, "{v} is not mapped"),
            Fault::NoRam(v, p) => write!(f, "{v} is mapped to {p}, which is not memory"),
            Fault::Denied(v) => write!(f, "{v} does not allow the access"),
            Fault::NotCanonical(v) => write!(f, "{v} is not canonical"),
        }
    }
}

impl std::error::Error for Fault {}

/// What decides the translation: two CPUs with equal spaces see the same memory, and can share
/// cached translations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Space {
    cr0: u64,
    cr3: u64,
    cr4: u64,
    efer: u64,
}

impl Space {
    /// From the registers, without the bits that translate nothing (caching, FPU, SYSCALL).
    pub(crate) fn new(cr0: u64, cr3: u64, cr4: u64, efer: u64) -> Self {
        let (cr0, efer) = (cr0 & (CR0_PG | CR0_WP), efer & (EFER_LMA | EFER_NXE));
        Self {
            cr0,
            cr3,
            cr4,
            efer,
        }
    }
}

/// What the host wants to do at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// Look, whatever the permissions: observers, decoding.
    Peek,
    /// Write as the supervisor, setting accessed and dirty bits: frames of interrupts.
    SupervisorWrite,
}

const CR0_PG: u64 = 1 << 31;
const CR0_WP: u64 = 1 << 16;
const CR4_PAE: u64 = 1 << 5;
const CR4_PSE: u64 = 1 << 4;
const EFER_LMA: u64 = 1 << 10;
const EFER_NXE: u64 = 1 << 11;
const P: u64 = 1;
const W: u64 = 1 << 1;
const A: u64 = 1 << 5;
const D: u64 = 1 << 6;
const PS: u64 = 1 << 7;
const ADDR: u64 = 0x000f_ffff_ffff_f000;

/// Translates one address.
pub(crate) fn translate(
    mem: &impl Phys,
    space: Space,
    at: VirtAddr,
    access: Access,
) -> Result<PhysAddr, Fault> {
    if space.cr0 & CR0_PG == 0 {
        return Ok(PhysAddr(at.0 & 0xffff_ffff));
    }
    if space.efer & EFER_LMA != 0 {
        if (at.0 as i64) << 16 >> 16 != at.0 as i64 {
            return Err(Fault::NotCanonical(at));
        }
        return walk64(mem, space, at, access, 39, space.cr3 & ADDR);
    }
    if space.cr4 & CR4_PAE != 0 {
        let index = at.0 >> 30 & 3;
        let entry = load(mem, at, PhysAddr((space.cr3 & 0xffff_ffe0) + index * 8))?;
        if entry & P == 0 {
            return Err(Fault::NotMapped(at));
        }
        return walk64(mem, space, at, access, 21, entry & ADDR);
    }
    walk32(mem, space, at)
}

fn load(mem: &impl Phys, at: VirtAddr, entry: PhysAddr) -> Result<u64, Fault> {
    mem.load64(entry).ok_or(Fault::NoRam(at, entry))
}

/// Levels of 512 entries of 8 bytes, from the one that `shift` indexes.
fn walk64(
    mem: &impl Phys,
    space: Space,
    at: VirtAddr,
    access: Access,
    shift: u32,
    table: u64,
) -> Result<PhysAddr, Fault> {
    let write = access == Access::SupervisorWrite;
    let (mut shift, mut table) = (shift, table);
    loop {
        let slot = PhysAddr(table + (at.0 >> shift & 511) * 8);
        let entry = load(mem, at, slot)?;
        if entry & P == 0 {
            return Err(Fault::NotMapped(at));
        }
        if write && entry & W == 0 && space.cr0 & CR0_WP != 0 {
            return Err(Fault::Denied(at));
        }
        let leaf = shift == 12 || (shift <= 30 && entry & PS != 0);
        if write {
            let set = if leaf { A | D } else { A };
            if entry & set != set {
                mem.store64(slot, entry | set);
            }
        }
        if leaf {
            let mask = (1u64 << shift) - 1;
            return Ok(PhysAddr((entry & ADDR & !mask) | (at.0 & mask)));
        }
        table = entry & ADDR;
        shift -= 9;
    }
}

/// The two-level 32-bit walk, read only: no kernel takes an interrupt in this mode here.
fn walk32(mem: &impl Phys, space: Space, at: VirtAddr) -> Result<PhysAddr, Fault> {
    let word = |addr: u64| -> Result<u64, Fault> {
        let both = load(mem, at, PhysAddr(addr & !7))?;
        Ok((both >> ((addr & 4) * 8)) & 0xffff_ffff)
    };
    let pde = word((space.cr3 & 0xffff_f000) + (at.0 >> 22 & 1023) * 4)?;
    if pde & P == 0 {
        return Err(Fault::NotMapped(at));
    }
    if pde & PS != 0 && space.cr4 & CR4_PSE != 0 {
        return Ok(PhysAddr((pde & 0xffc0_0000) | (at.0 & 0x3f_ffff)));
    }
    let pte = word((pde & 0xffff_f000) + (at.0 >> 12 & 1023) * 4)?;
    if pte & P == 0 {
        return Err(Fault::NotMapped(at));
    }
    Ok(PhysAddr((pte & 0xffff_f000) | (at.0 & 0xfff)))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::*;

    /// Memory of 8-byte words.
    #[derive(Default)]
    struct Words(RefCell<BTreeMap<u64, u64>>);

    impl Phys for Words {
        fn load64(&self, at: PhysAddr) -> Option<u64> {
            Some(*self.0.borrow().get(&at.0).unwrap_or(&0))
        }

        fn store64(&self, at: PhysAddr, value: u64) -> Option<()> {
            self.0.borrow_mut().insert(at.0, value);
            Some(())
        }
    }

    const LONG: Space = Space {
        cr0: CR0_PG | CR0_WP | 1,
        cr3: 0x1000,
        cr4: CR4_PAE,
        efer: EFER_LMA,
    };

    /// 0xffff_8000_0020_0000 + 0x1000 to page 0x5000, read-only; the 2 MiB before it to 0x60_0000.
    fn tables() -> Words {
        let mem = Words::default();
        for (at, value) in [
            (0x1000 + 256 * 8, 0x2003),
            (0x2000, 0x3003),
            (0x3000, 0x60_0083),
            (0x3008, 0x4003),
            (0x4008, 0x5001),
        ] {
            mem.store64(PhysAddr(at), value);
        }
        mem
    }

    #[test]
    fn four_levels_large_pages_and_what_is_missing() {
        let mem = tables();
        let look = |v| translate(&mem, LONG, VirtAddr(v), Access::Peek);
        assert_eq!(look(0xffff_8000_0012_3456), Ok(PhysAddr(0x72_3456)));
        assert_eq!(look(0xffff_8000_0020_1234), Ok(PhysAddr(0x5234)));
        let absent = VirtAddr(0xffff_8000_0020_0000);
        assert_eq!(look(absent.0), Err(Fault::NotMapped(absent)));
        let odd = VirtAddr(0x0000_8000_0000_0000);
        assert_eq!(look(odd.0), Err(Fault::NotCanonical(odd)));
    }

    #[test]
    fn writes_respect_permissions_and_mark_pages() {
        let mem = tables();
        let write = |space, v| translate(&mem, space, VirtAddr(v), Access::SupervisorWrite);
        let read_only = VirtAddr(0xffff_8000_0020_1000);
        assert_eq!(write(LONG, read_only.0), Err(Fault::Denied(read_only)));
        let unprotected = Space {
            cr0: CR0_PG | 1,
            ..LONG
        };
        assert_eq!(
            write(unprotected, read_only.0),
            Ok(PhysAddr(0x5000)),
            "CR0.WP is clear"
        );
        assert_eq!(write(LONG, 0xffff_8000_0000_0000), Ok(PhysAddr(0x60_0000)));
        assert_eq!(mem.load64(PhysAddr(0x3000)), Some(0x60_0083 | A | D));
        assert_eq!(mem.load64(PhysAddr(0x2000)), Some(0x3003 | A));
    }

    #[test]
    fn looking_marks_nothing() {
        let mem = tables();
        let _ = translate(&mem, LONG, VirtAddr(0xffff_8000_0020_1000), Access::Peek);
        assert_eq!(mem.load64(PhysAddr(0x4008)), Some(0x5001));
    }

    #[test]
    fn without_paging_an_address_is_itself() {
        let space = Space { cr0: 1, ..LONG };
        let mem = Words::default();
        assert_eq!(
            translate(&mem, space, VirtAddr(0x8123), Access::Peek),
            Ok(PhysAddr(0x8123))
        );
    }

    #[test]
    fn two_levels_of_the_32_bit_mode() {
        let mem = Words::default();
        // Directory entry 1 (odd word), table entry 2.
        mem.store64(PhysAddr(0x1000), 0x2003 << 32);
        mem.store64(PhysAddr(0x2008), 0x7003);
        let space = Space {
            cr4: 0,
            efer: 0,
            ..LONG
        };
        let at = VirtAddr(0x0040_2abc);
        assert_eq!(
            translate(&mem, space, at, Access::Peek),
            Ok(PhysAddr(0x7abc))
        );
    }
}
