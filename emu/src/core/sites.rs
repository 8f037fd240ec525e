//! The hooked instructions, and what each is hooked for.
//!
//! Every instruction between the first and the last site of a block asks, so the answer, "nothing"
//! included, comes from a direct-mapped cache in front of the tree.

use std::collections::BTreeMap;

/// What an instruction is hooked for: bits of `u8`.
pub(super) mod purpose {
    /// An observer watches it.
    pub(in crate::core) const WATCHED: u8 = 1;
    /// It is an RDMSR or WRMSR.
    pub(in crate::core) const MSR: u8 = 2;
}

const LINES: usize = 1 << 13;

/// An address no instruction is at: it is not canonical.
const NOWHERE: u64 = 1 << 63;

/// All sites.
pub(super) struct Sites {
    all: BTreeMap<u64, u8>,
    cache: Box<[(u64, u8)]>,
}

impl Sites {
    pub(super) fn new() -> Self {
        Self {
            all: BTreeMap::new(),
            cache: vec![(NOWHERE, 0); LINES].into(),
        }
    }

    #[inline(always)]
    fn index(pc: u64) -> usize {
        (pc ^ pc >> 13) as usize & (LINES - 1)
    }

    /// The purposes of an address.
    #[inline(always)]
    pub(super) fn get(&mut self, pc: u64) -> u8 {
        let line = self.cache[Self::index(pc)];
        if line.0 == pc { line.1 } else { self.look(pc) }
    }

    #[cold]
    fn look(&mut self, pc: u64) -> u8 {
        let purposes = self.all.get(&pc).copied().unwrap_or(0);
        self.cache[Self::index(pc)] = (pc, purposes);
        purposes
    }

    /// Adds a purpose to an address.
    pub(super) fn add(&mut self, pc: u64, purpose: u8) {
        *self.all.entry(pc).or_default() |= purpose;
        self.cache[Self::index(pc)] = (NOWHERE, 0);
    }

    /// Takes a purpose from an address.
    pub(super) fn remove(&mut self, pc: u64, purpose: u8) {
        if let Some(purposes) = self.all.get_mut(&pc) {
            *purposes &= !purpose;
            if *purposes == 0 {
                self.all.remove(&pc);
            }
        }
        self.cache[Self::index(pc)] = (NOWHERE, 0);
    }

    /// The first and the last site inside a range of addresses.
    pub(super) fn inside(&self, from: u64, size: u32) -> Option<[u64; 2]> {
        let mut inside = self.all.range(from..from.saturating_add(size.into()));
        let first = *inside.next()?.0;
        let last = inside.next_back().map_or(first, |(at, _)| *at);
        Some([first, last])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_follow_changes() {
        let mut sites = Sites::new();
        assert_eq!(sites.get(0x1000), 0);
        sites.add(0x1000, purpose::WATCHED);
        sites.add(0x1000, purpose::MSR);
        sites.add(0x1010, purpose::WATCHED);
        assert_eq!(sites.get(0x1000), 3);
        assert_eq!(sites.inside(0x0ff0, 0x10), None, "the end is not inside");
        assert_eq!(sites.inside(0x0ff0, 0x11), Some([0x1000, 0x1000]));
        assert_eq!(sites.inside(0x0ff0, 0x100), Some([0x1000, 0x1010]));
        sites.remove(0x1000, purpose::WATCHED);
        assert_eq!(sites.get(0x1000), purpose::MSR);
        sites.remove(0x1000, purpose::MSR);
        assert_eq!(
            (sites.get(0x1000), sites.get(0x1010)),
            (0, purpose::WATCHED)
        );
        assert_eq!(sites.inside(0x1000, 0x10), None);
    }
}
