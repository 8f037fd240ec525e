//! Small numbers that are handed out and taken back. Linux: `lib/idr.c` (v6.8).
//!
//! Kept: the lowest free number (`ida_alloc`), the next free one after the last (`idr_alloc_cyclic`),
//! freeing. Left out: the pointers of an `idr`, which its users here keep themselves. Differs: a bitmap of
//! a fixed size instead of an xarray.
//! Locks: the owner's.

use crate::fence::shared::Shared;

/// Numbers from 0 to below `64 * WORDS`.
#[doc(alias = "ida")]
#[repr(C)]
pub struct Ida<const WORDS: usize> {
    bitmap: [Shared<u64>; WORDS],
    /// Where a cyclic search goes on.
    next: Shared<u32>,
}

impl<const WORDS: usize> Ida<WORDS> {
    /// All numbers are free.
    pub const fn new() -> Self {
        Self {
            bitmap: [const { Shared::new(0) }; WORDS],
            next: Shared::new(0),
        }
    }

    /// The lowest free number from `min` to below `end`, which is taken now.
    pub fn alloc_range(&self, min: u32, end: u32) -> Option<u32> {
        let end = end.min(64 * WORDS as u32);
        let mut at = min;
        while at < end {
            let (word, bit) = ((at / 64) as usize, at % 64);
            let free = !self.bitmap[word].get() & (!0 << bit);
            let found = at - bit + free.trailing_zeros();
            if free == 0 {
                at += 64 - bit;
                continue;
            }
            if found >= end {
                return None;
            }
            self.bitmap[word].or(1 << (found % 64));
            return Some(found);
        }
        None
    }

    /// The lowest free number.
    pub fn alloc(&self) -> Option<u32> {
        self.alloc_range(0, u32::MAX)
    }

    /// The first free number after the last one given, from `min` on again once `end` is reached.
    pub fn alloc_cyclic(&self, min: u32, end: u32) -> Option<u32> {
        let from = self.next.get().max(min);
        let id = self
            .alloc_range(from, end)
            .or_else(|| self.alloc_range(min, from.min(end)))?;
        self.next.set(id + 1);
        Some(id)
    }

    /// Where the next cyclic search begins.
    pub fn set_cursor(&self, next: u32) {
        self.next.set(next);
    }

    /// Takes a number back.
    pub fn free(&self, id: u32) {
        self.bitmap[(id / 64) as usize].and_not(1 << (id % 64));
    }

    /// Whether a number is taken.
    pub fn contains(&self, id: u32) -> bool {
        self.bitmap
            .get((id / 64) as usize)
            .is_some_and(|word| word.get() >> (id % 64) & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_given() {
        let ida = Ida::<2>::new();
        for expected in 0..128 {
            assert_eq!(ida.alloc(), Some(expected));
        }
        assert_eq!(ida.alloc(), None);
        ida.free(70);
        ida.free(5);
        assert!(!ida.contains(5) && ida.contains(6));
        assert_eq!(ida.alloc(), Some(5));
        assert_eq!(ida.alloc_range(6, 70), None);
        assert_eq!(ida.alloc_range(6, 71), Some(70));
    }

    #[test]
    fn cyclic_numbers_rise_until_they_wrap() {
        let ida = Ida::<1>::new();
        for expected in 1..20 {
            assert_eq!(ida.alloc_cyclic(1, 20), Some(expected));
        }
        ida.free(3);
        ida.free(12);
        // Below 10 nothing is given again.
        assert_eq!(ida.alloc_cyclic(10, 20), Some(12));
        assert_eq!(ida.alloc_cyclic(10, 20), None);
        ida.free(14);
        ida.free(11);
        assert_eq!(ida.alloc_cyclic(10, 20), Some(14));
        assert_eq!(ida.alloc_cyclic(10, 20), Some(11));
    }
}
