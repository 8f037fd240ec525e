//! What is to be done at an address that was hit.
//!
//! Asked at every hit, so the answer is found by one look at a table: a hash table of a power of two,
//! at most half full, with the entries of equal hashes in the places that follow. Entries are added and
//! never removed.

use emu::{Site, VirtAddr};

use crate::hooks::Hook;

/// Why an address is watched.
#[derive(Clone, Copy)]
pub enum What {
    /// An event is recorded there.
    Event(Hook),
    /// A probed function returns there.
    Return,
}

/// Everything that is to be done at an address.
#[derive(Clone, Copy, Default)]
pub struct Found {
    /// The event to record.
    pub event: Option<Hook>,
    /// Whether probed functions return there.
    pub returns: bool,
}

/// The watched addresses.
pub struct Places {
    slots: Vec<Option<((VirtAddr, Site), Found)>>,
    used: usize,
}

impl Places {
    /// No address.
    pub fn new() -> Places {
        Places {
            slots: vec![None; 256],
            used: 0,
        }
    }

    /// What is to be done at an address.
    pub fn at(&self, at: VirtAddr, site: Site) -> Found {
        match self.slots[self.slot(at, site)] {
            Some((_, found)) => found,
            None => Found::default(),
        }
    }

    /// Adds something to do; whether the address was not in the table.
    pub fn add(&mut self, at: VirtAddr, site: Site, what: What) -> bool {
        if 2 * (self.used + 1) > self.slots.len() {
            self.grow();
        }
        let slot = self.slot(at, site);
        let new = self.slots[slot].is_none();
        self.used += usize::from(new);
        let (_, found) = self.slots[slot].get_or_insert(((at, site), Found::default()));
        match what {
            What::Event(hook) => found.event = Some(hook),
            What::Return => found.returns = true,
        }
        new
    }

    /// The addresses, lowest first.
    pub fn all(&self) -> Vec<(VirtAddr, Site)> {
        let mut all: Vec<_> = self.slots.iter().flatten().map(|(key, _)| *key).collect();
        all.sort_unstable();
        all
    }

    /// Where an address is, or where it would be.
    fn slot(&self, at: VirtAddr, site: Site) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = (at.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize & mask;
        while let Some((key, _)) = &self.slots[slot]
            && *key != (at, site)
        {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        let larger = vec![None; 2 * self.slots.len()];
        for (key, found) in std::mem::replace(&mut self.slots, larger)
            .into_iter()
            .flatten()
        {
            let slot = self.slot(key.0, key.1);
            self.slots[slot] = Some((key, found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_addresses_are_all_found() {
        let mut places = Places::new();
        for n in 0..1000 {
            let at = VirtAddr(0xffff_ffff_8100_0000 + 16 * n);
            assert!(places.add(at, Site::Block, What::Return));
            assert!(!places.add(at, Site::Block, What::Event(Hook::Switch)));
        }
        let found = places.at(VirtAddr(0xffff_ffff_8100_0010), Site::Block);
        assert!(found.returns && matches!(found.event, Some(Hook::Switch)));
        let other = places.at(VirtAddr(0xffff_ffff_8100_0010), Site::Instruction);
        assert!(!other.returns && other.event.is_none());
        assert_eq!(places.all().len(), 1000);
        assert!(places.all().is_sorted());
    }
}
