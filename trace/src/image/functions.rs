//! Functions with code, what was inlined into them, and where their arguments are at entry.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a value is when a function is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a register, by its DWARF number (0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp, 7 rsp, 8-15).
    Register(u16),
    /// In memory, at a register plus an offset.
    Memory {
        /// DWARF number of the register.
        register: u16,
        /// Bytes added to it.
        offset: i64,
    },
}

/// The DWARF numbers of the registers that the System V ABI passes integer arguments in.
const ABI_ARGUMENTS: [u16; 6] = [5, 4, 1, 2, 8, 9];

/// Where the ABI passes integer argument `index`; `None` from the seventh on.
pub fn abi_argument(index: usize) -> Option<Location> {
    ABI_ARGUMENTS.get(index).copied().map(Location::Register)
}

/// A formal parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Where DWARF says it is at the entry; `None` where DWARF says nothing, which an optimised
    /// function does for an argument it does not use.
    pub location: Option<Location>,
}

/// A function with code of its own.
#[derive(Clone, Debug)]
pub struct Function {
    /// Where its unit and its entry are in `.debug_info`.
    pub(super) unit: usize,
    pub(super) die: usize,
    /// First address: where it is entered.
    pub low: u64,
    /// First address after the piece that begins there.
    pub high: u64,
    /// All its pieces, the one with the entry first: compilers put what is rarely executed elsewhere
    /// (`.cold`).
    pub ranges: Vec<(u64, u64)>,
    /// `schedule`; a method with its type, `RawSpinlock::lock`.
    pub name: String,
    /// File of its declaration, from the kernel's root.
    pub decl_file: Option<Arc<str>>,
    /// Line of its declaration.
    pub decl_line: Option<u32>,
    /// Its parameters in order.
    pub arguments: Vec<Argument>,
    /// Calls that were inlined into it, each before those inside it.
    pub inlined: Vec<InlinedCall>,
}

impl Function {
    /// Where argument `index` is at the entry: by DWARF, else by the ABI of `extern "C"`, which a
    /// function that the compiler has cut out of another (`.isra`, `.constprop`, `.part`) does not keep.
    pub fn argument(&self, index: usize) -> Option<Location> {
        self.arguments
            .get(index)
            .and_then(|argument| argument.location)
            .or_else(|| abi_argument(index))
    }
}

/// A call that was inlined.
#[derive(Clone, Debug)]
pub struct InlinedCall {
    /// The function that was inlined.
    pub name: String,
    /// File of that function's declaration.
    pub decl_file: Option<Arc<str>>,
    /// Line of that function's declaration.
    pub decl_line: Option<u32>,
    /// File of the call.
    pub call_file: Option<Arc<str>>,
    /// Line of the call.
    pub call_line: Option<u32>,
    /// Where it begins.
    pub entry: u64,
    /// Its code, as pairs of first address and first address after.
    pub ranges: Vec<(u64, u64)>,
}

impl InlinedCall {
    fn covers(&self, addr: u64) -> bool {
        self.ranges
            .iter()
            .any(|(low, high)| (*low..*high).contains(&addr))
    }
}

/// The functions in the order of their addresses.
#[derive(Debug, Default)]
pub struct Functions {
    by_addr: Vec<Function>,
    /// Pieces that are not the first: first address, first address after, index of the function.
    others: Vec<(u64, u64, usize)>,
    by_name: BTreeMap<String, Vec<usize>>,
    inlined: BTreeMap<String, Vec<u64>>,
}

impl Functions {
    pub fn new(mut by_addr: Vec<Function>) -> Functions {
        by_addr.sort_by(|a, b| (a.low, &a.name).cmp(&(b.low, &b.name)));
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut inlined: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut others = Vec::new();
        for (index, function) in by_addr.iter().enumerate() {
            let pieces = function.ranges.iter().skip(1);
            others.extend(pieces.map(|(low, high)| (*low, *high, index)));
            by_name
                .entry(function.name.clone())
                .or_default()
                .push(index);
            for call in &function.inlined {
                inlined
                    .entry(call.name.clone())
                    .or_default()
                    .push(call.entry);
            }
        }
        others.sort_unstable();
        Functions {
            by_addr,
            others,
            by_name,
            inlined,
        }
    }

    pub fn covering(&self, addr: u64) -> Option<&Function> {
        let after = self.by_addr.partition_point(|f| f.low <= addr);
        let whole = self.by_addr[..after].last().filter(|f| addr < f.high);
        whole.or_else(|| {
            let after = self.others.partition_point(|(low, ..)| *low <= addr);
            let (_, high, index) = self.others[..after].last()?;
            (addr < *high).then(|| &self.by_addr[*index])
        })
    }

    pub fn named(&self, name: &str) -> impl Iterator<Item = &Function> {
        self.by_name
            .get(name)
            .into_iter()
            .flatten()
            .map(|index| &self.by_addr[*index])
    }

    /// The names of all functions, with code or only inlined.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name
            .keys()
            .chain(self.inlined.keys())
            .map(String::as_str)
    }

    pub fn entries_of(&self, name: &str) -> impl Iterator<Item = u64> {
        self.named(name)
            .map(|f| f.low)
            .chain(self.inlined.get(name).into_iter().flatten().copied())
    }

    pub fn inlined_at(&self, addr: u64) -> impl Iterator<Item = &InlinedCall> {
        self.covering(addr)
            .into_iter()
            .flat_map(move |f| f.inlined.iter().rev().filter(move |call| call.covers(addr)))
    }
}
