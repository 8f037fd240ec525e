//! Functions with code, what was inlined into them, and where their arguments are at entry.
//!
//! Of most only the addresses are ever needed, so a walk leaves them raw: the whole [`Function`] is made
//! when somebody asks for it, and the indices by name when the first question by name comes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::declared::{Declared, FileNumber};
use super::sections::Text;

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
    pub name: Arc<str>,
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
    pub name: Arc<str>,
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

/// A function as the walk finds it; what it has several of is in the lists of [`Raw`].
#[derive(Clone, Debug)]
pub struct RawFunction {
    pub unit: usize,
    pub die: usize,
    /// Where it is entered.
    pub low: u64,
    pub ranges: Range<usize>,
    pub arguments: Range<usize>,
    pub inlined: Range<usize>,
}

/// A parameter: its name or whose name it has, and where it is.
#[derive(Clone, Debug)]
pub struct RawArgument {
    pub name: Option<Text>,
    pub origin: Option<usize>,
    pub location: Option<Location>,
}

/// A call that was inlined.
#[derive(Clone, Debug)]
pub struct RawInlined {
    pub origin: Option<usize>,
    pub call_file: Option<FileNumber>,
    pub call_line: Option<u32>,
    pub entry: u64,
    pub ranges: Range<usize>,
}

/// What the walk finds, in long lists instead of many short ones.
#[derive(Debug, Default)]
pub struct Raw {
    pub functions: Vec<RawFunction>,
    pub arguments: Vec<RawArgument>,
    pub inlined: Vec<RawInlined>,
    pub ranges: Vec<(u64, u64)>,
    pub declared: Declared,
}

impl Raw {
    fn ranges(&self, range: &Range<usize>) -> &[(u64, u64)] {
        self.ranges.get(range.clone()).unwrap_or_default()
    }

    fn name(&self, function: &RawFunction) -> Arc<str> {
        self.declared.name(function.die)
    }

    /// One past the piece that begins at the entry.
    fn high(&self, function: &RawFunction) -> u64 {
        let ranges = self.ranges(&function.ranges);
        ranges.first().map_or(function.low, |(_, high)| *high)
    }

    fn inlined(&self, function: &RawFunction) -> &[RawInlined] {
        let inlined = self.inlined.get(function.inlined.clone());
        inlined.unwrap_or_default()
    }

    fn whole(&self, function: &RawFunction) -> Function {
        let declared = &self.declared;
        let arguments = self.arguments.get(function.arguments.clone());
        let argument = |argument: &RawArgument| Argument {
            name: match (argument.name, argument.origin) {
                (Some(name), _) => declared.text(name),
                (None, Some(origin)) => declared.parameter(origin).unwrap_or_default(),
                (None, None) => String::new(),
            },
            location: argument.location,
        };
        let (decl_file, decl_line) = declared.place(function.die);
        Function {
            unit: function.unit,
            die: function.die,
            low: function.low,
            high: self.high(function),
            ranges: self.ranges(&function.ranges).to_vec(),
            name: self.name(function),
            decl_file,
            decl_line,
            arguments: arguments.unwrap_or_default().iter().map(argument).collect(),
            inlined: self
                .inlined(function)
                .iter()
                .map(|call| self.inlined_call(call))
                .collect(),
        }
    }

    fn inlined_call(&self, call: &RawInlined) -> InlinedCall {
        let (name, (decl_file, decl_line)) = match call.origin {
            Some(origin) => (self.declared.name(origin), self.declared.place(origin)),
            None => Default::default(),
        };
        InlinedCall {
            name,
            decl_file,
            decl_line,
            call_file: self.declared.file(call.call_file),
            call_line: call.call_line,
            entry: call.entry,
            ranges: self.ranges(&call.ranges).to_vec(),
        }
    }
}

/// The functions in the order of their addresses.
#[derive(Debug, Default)]
pub struct Functions {
    raw: Raw,
    whole: Vec<OnceLock<Function>>,
    /// Pieces that are not the first: first address, first address after, index of the function.
    others: Vec<(u64, u64, usize)>,
    by_name: OnceLock<BTreeMap<Arc<str>, Vec<usize>>>,
    inlined: OnceLock<BTreeMap<Arc<str>, Vec<u64>>>,
}

impl Functions {
    pub fn new(mut raw: Raw) -> Functions {
        let mut functions = std::mem::take(&mut raw.functions);
        functions.sort_by(|a, b| {
            let names = || raw.name(a).cmp(&raw.name(b));
            a.low.cmp(&b.low).then_with(names)
        });
        let mut others = Vec::new();
        for (index, function) in functions.iter().enumerate() {
            let pieces = raw.ranges(&function.ranges).iter().skip(1);
            others.extend(pieces.map(|(low, high)| (*low, *high, index)));
        }
        others.sort_unstable();
        let whole = functions.iter().map(|_| OnceLock::new()).collect();
        raw.functions = functions;
        Functions {
            raw,
            whole,
            others,
            by_name: OnceLock::new(),
            inlined: OnceLock::new(),
        }
    }

    /// The function of that number.
    fn get(&self, index: usize) -> Option<&Function> {
        let (raw, whole) = (self.raw.functions.get(index)?, self.whole.get(index)?);
        Some(whole.get_or_init(|| self.raw.whole(raw)))
    }

    pub fn covering(&self, addr: u64) -> Option<&Function> {
        let functions = &self.raw.functions;
        let after = functions.partition_point(|f| f.low <= addr);
        let before = after.checked_sub(1);
        let first = before.filter(|index| addr < self.raw.high(&functions[*index]));
        let index = first.or_else(|| {
            let after = self.others.partition_point(|(low, ..)| *low <= addr);
            let (_, high, index) = self.others[..after].last()?;
            (addr < *high).then_some(*index)
        });
        self.get(index?)
    }

    fn by_name(&self) -> &BTreeMap<Arc<str>, Vec<usize>> {
        self.by_name.get_or_init(|| {
            let mut by_name: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
            for (index, function) in self.raw.functions.iter().enumerate() {
                let name = self.raw.name(function);
                by_name.entry(name).or_default().push(index);
            }
            by_name
        })
    }

    fn inlined(&self) -> &BTreeMap<Arc<str>, Vec<u64>> {
        self.inlined.get_or_init(|| {
            let mut inlined: BTreeMap<Arc<str>, Vec<u64>> = BTreeMap::new();
            for function in &self.raw.functions {
                for call in self.raw.inlined(function) {
                    let origin = call.origin.map(|origin| self.raw.declared.name(origin));
                    let entries = inlined.entry(origin.unwrap_or_default()).or_default();
                    entries.push(call.entry);
                }
            }
            inlined
        })
    }

    pub fn named(&self, name: &str) -> impl Iterator<Item = &Function> {
        let indices = self.by_name().get(name).into_iter().flatten();
        indices.filter_map(|index| self.get(*index))
    }

    /// The names of all functions, with code or only inlined.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.by_name().keys().chain(self.inlined().keys());
        names.map(|name| &**name)
    }

    pub fn entries_of(&self, name: &str) -> impl Iterator<Item = u64> {
        self.named(name)
            .map(|f| f.low)
            .chain(self.inlined().get(name).into_iter().flatten().copied())
    }

    pub fn inlined_at(&self, addr: u64) -> impl Iterator<Item = &InlinedCall> {
        self.covering(addr)
            .into_iter()
            .flat_map(move |f| f.inlined.iter().rev().filter(move |call| call.covers(addr)))
    }
}
