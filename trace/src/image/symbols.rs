//! The ELF symbol table: name to address and back, with Rust's mangled names shortened to the words a
//! Linux reader looks for.

use std::collections::BTreeMap;

use object::{Object, ObjectSymbol, ReadRef, SymbolKind};

/// One symbol that lies somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfSymbol {
    /// Its address.
    pub addr: u64,
    /// Its size in bytes; 0 for labels of assembly.
    pub size: u64,
    /// `schedule`; for a mangled name its last words, such as `RawSpinlock::lock`.
    pub name: String,
    /// Whether it is code.
    pub is_code: bool,
    global: bool,
}

/// All symbols, by address and by name.
#[derive(Debug)]
pub struct Symbols {
    by_addr: Vec<ElfSymbol>,
    by_name: BTreeMap<String, usize>,
}

impl Symbols {
    /// Reads the table of `elf`.
    pub fn read<'d>(elf: &object::File<'d, impl ReadRef<'d>>) -> Symbols {
        let mut by_addr: Vec<ElfSymbol> = elf
            .symbols()
            .filter(|symbol| symbol.is_definition() && symbol.address() != 0)
            .filter(|symbol| {
                matches!(
                    symbol.kind(),
                    SymbolKind::Text | SymbolKind::Data | SymbolKind::Label | SymbolKind::Unknown
                )
            })
            .filter_map(|symbol| {
                let raw = symbol.name().ok().filter(|name| !name.is_empty())?;
                Some(ElfSymbol {
                    addr: symbol.address(),
                    size: symbol.size(),
                    name: short(raw),
                    is_code: symbol.kind() == SymbolKind::Text,
                    global: symbol.is_global(),
                })
            })
            .collect();
        // At one address the first is shown: code before labels, sized before unsized, global first.
        by_addr.sort_by(|a, b| {
            let rank = |s: &ElfSymbol| (s.addr, !s.is_code, s.size == 0, !s.global);
            (rank(a), &a.name).cmp(&(rank(b), &b.name))
        });
        let mut by_name = BTreeMap::new();
        for (index, symbol) in by_addr.iter().enumerate() {
            let slot = by_name.entry(symbol.name.clone()).or_insert(index);
            if symbol.global && !by_addr[*slot].global {
                *slot = index;
            }
        }
        Symbols { by_addr, by_name }
    }

    pub fn by_name(&self, name: &str) -> Option<&ElfSymbol> {
        self.by_name.get(name).map(|index| &self.by_addr[*index])
    }

    /// The code symbols of functions that the source calls `name`: of that name, or with a suffix of
    /// the compiler's after a dot.
    pub fn called<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ElfSymbol> {
        self.code().filter(move |symbol| {
            symbol
                .name
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// The symbol whose bytes `addr` is in; one without a size reaches to the next symbol.
    pub fn covering(&self, addr: u64) -> Option<&ElfSymbol> {
        let after = self.by_addr.partition_point(|symbol| symbol.addr <= addr);
        let last = self.by_addr[..after].last()?;
        let first = self
            .by_addr
            .partition_point(|symbol| symbol.addr < last.addr);
        let candidates = &self.by_addr[first..after];
        let inside = |symbol: &&ElfSymbol| addr - symbol.addr < symbol.size.max(1);
        candidates
            .iter()
            .find(inside)
            .or_else(|| candidates.iter().find(|symbol| symbol.size == 0))
            .or_else(|| self.enclosing(first, addr))
    }

    /// A sized symbol that begins before labels inside it, such as a function with local labels.
    fn enclosing(&self, before: usize, addr: u64) -> Option<&ElfSymbol> {
        self.by_addr[..before]
            .iter()
            .rev()
            .take(64)
            .find(|symbol| addr - symbol.addr < symbol.size)
    }

    pub fn code(&self) -> impl Iterator<Item = &ElfSymbol> {
        self.by_addr.iter().filter(|symbol| symbol.is_code)
    }
}

/// The last words of a demangled path: the function, with its type if it is a method, or with the
/// function around it if it is a closure.
pub fn short(raw: &str) -> String {
    let Ok(demangled) = rustc_demangle::try_demangle(raw) else {
        return raw.to_owned();
    };
    let text = format!("{demangled:#}");
    let parts = split_path(&text);
    let keep = parts
        .iter()
        .rposition(|part| !part.starts_with('{'))
        .map_or(0, |last| {
            let method =
                last > 0 && parts[last - 1].starts_with(|c: char| c.is_uppercase() || c == '<');
            last - usize::from(method)
        });
    let shown: Vec<&str> = parts[keep..].iter().map(|part| self_type(part)).collect();
    without_inner_paths(&shown.join("::"))
}

/// `Pinned<kernel::sched::Pending>::drop` as `Pinned<Pending>::drop`.
pub fn without_inner_paths(name: &str) -> String {
    let (mut out, mut depth) = (String::with_capacity(name.len()), 0_i32);
    let mut rest = name;
    while let Some(next) = rest.chars().next() {
        if depth > 0 && rest.starts_with("::") {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            out.truncate(out.trim_end_matches(is_word).len());
            rest = &rest[2..];
            continue;
        }
        match next {
            '<' => depth += 1,
            '>' if !out.ends_with('-') => depth -= 1,
            _ => {}
        }
        out.push(next);
        rest = &rest[next.len_utf8()..];
    }
    out
}

/// Of `<a::b::Console as core::fmt::Write>` the `Console`; anything else as it is.
fn self_type(part: &str) -> &str {
    let Some(inside) = part.strip_prefix('<').and_then(|p| p.strip_suffix('>')) else {
        return part;
    };
    let ty = inside.split(" as ").next().unwrap_or(inside);
    split_path(ty).last().copied().unwrap_or(ty)
}

/// Splits at `::` outside angle brackets.
fn split_path(path: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    let bytes = path.as_bytes();
    for at in 0..bytes.len() {
        match bytes[at] {
            b'<' => depth += 1,
            b'>' if at == 0 || bytes[at - 1] != b'-' => depth -= 1,
            b':' if depth == 0 && bytes.get(at + 1) == Some(&b':') && at >= start => {
                parts.push(&path[start..at]);
                start = at + 2;
            }
            _ => {}
        }
    }
    parts.push(&path[start.min(path.len())..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_names_become_the_words_of_a_linux_reader() {
        assert_eq!(short("schedule"), "schedule");
        assert_eq!(
            short("_ZN12kernel_image6kernel5sched4fair16set_task_rq_fair17h0123456789abcdefE"),
            "set_task_rq_fair"
        );
        assert_eq!(
            short("_ZN12kernel_image8spinlock11RawSpinlock4lock17h0123456789abcdefE"),
            "RawSpinlock::lock"
        );
        assert_eq!(
            short("_ZN4core3fmt9Formatter3pad28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE"),
            "Formatter::pad::{{closure}}"
        );
    }

    #[test]
    fn a_method_of_a_trait_is_named_by_its_type() {
        let raw =
            "_ZN50_$LT$a..b..Console$u20$as$u20$core..fmt..Write$GT$9write_str17h0123456789abcdefE";
        assert_eq!(short(raw), "Console::write_str");
        assert_eq!(self_type("<&[u8] as a::B>"), "&[u8]");
        assert_eq!(self_type("plain"), "plain");
    }

    #[test]
    fn types_inside_brackets_lose_their_paths() {
        assert_eq!(
            without_inner_paths("Pinned<k::sched::Pending>::drop"),
            "Pinned<Pending>::drop"
        );
        assert_eq!(
            without_inner_paths("Map<a::B, fn(c::D) -> e::F>::{{closure}}"),
            "Map<B, fn(D) -> F>::{{closure}}"
        );
        assert_eq!(without_inner_paths("schedule"), "schedule");
    }

    #[test]
    fn brackets_keep_their_colons() {
        assert_eq!(split_path("<a::B as c::D>::f"), ["<a::B as c::D>", "f"]);
        assert_eq!(split_path("f"), ["f"]);
    }
}
