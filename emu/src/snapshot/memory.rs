//! Guest memory in a snapshot: its pages, shared between snapshots in which they are equal.

use std::sync::Arc;

use crate::dirty::Written;

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

type Page = [u8; PAGE];

static ZEROS: Page = [0; PAGE];

/// All pages of a guest's memory; `None` is one of zeros.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Pages(Vec<Option<Arc<Page>>>);

impl Pages {
    /// Memory of that many pages, all zeros.
    pub(crate) fn zeros(pages: usize) -> Self {
        Self(vec![None; pages])
    }

    /// Memory as it is now. Pages that are as in `last` are shared with it; those that `written`
    /// leaves out are not even looked at.
    pub(crate) fn take(memory: &[u8], last: Option<&Pages>, written: &Written) -> Self {
        let mut pages = match last {
            Some(last) if last.0.len() * PAGE == memory.len() => last.clone(),
            _ => Self::zeros(memory.len() / PAGE),
        };
        match (last, written) {
            (Some(_), Written::Pages(some)) => {
                some.iter().for_each(|number| pages.update(*number, memory));
            }
            _ => (0..pages.0.len()).for_each(|number| pages.update(number, memory)),
        }
        pages
    }

    fn update(&mut self, number: usize, memory: &[u8]) {
        let (pages, _) = memory.as_chunks::<PAGE>();
        let (Some(slot), Some(now)) = (self.0.get_mut(number), pages.get(number)) else {
            return;
        };
        let known = slot.as_deref().unwrap_or(&ZEROS);
        if known != now {
            *slot = (*now != ZEROS).then(|| Arc::new(*now));
        }
    }

    /// Number of pages.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes of a page.
    pub(crate) fn get(&self, number: usize) -> &Page {
        self.0
            .get(number)
            .and_then(|page| page.as_deref())
            .unwrap_or(&ZEROS)
    }

    /// Sets a page that is not all zeros.
    pub(crate) fn set(&mut self, number: usize, bytes: Page) {
        if let Some(slot) = self.0.get_mut(number) {
            *slot = Some(Arc::new(bytes));
        }
    }

    /// The pages that are not all zeros, ascending.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (usize, &Page)> {
        let kept =
            |(number, page): (usize, &'_ Option<Arc<Page>>)| page.is_some().then_some(number);
        self.0
            .iter()
            .enumerate()
            .filter_map(kept)
            .map(|number| (number, self.get(number)))
    }

    /// The pages that two memories do not share: all that can differ, and perhaps some that are
    /// equal.
    pub(crate) fn unshared<'a>(&'a self, other: &'a Pages) -> impl Iterator<Item = usize> + 'a {
        (0..self.0.len()).filter(|number| {
            let of = |pages: &Pages| {
                pages
                    .0
                    .get(*number)
                    .and_then(|p| p.as_ref().map(Arc::as_ptr))
            };
            of(self) != of(other)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: [u8; 3]) -> Vec<u8> {
        bytes.iter().flat_map(|b| [*b; PAGE]).collect()
    }

    #[test]
    fn equal_pages_are_shared_and_zeros_are_not_kept() {
        let first = Pages::take(&memory([1, 0, 2]), None, &Written::Unknown);
        assert_eq!(
            first.kept().map(|(n, p)| (n, p[0])).collect::<Vec<_>>(),
            [(0, 1), (2, 2)]
        );
        // Page 0 is named though it is as it was, page 1 was written, page 2 is zeros again.
        let written = Written::Pages(vec![0, 1, 2]);
        let second = Pages::take(&memory([1, 3, 0]), Some(&first), &written);
        assert_eq!(second.unshared(&first).collect::<Vec<_>>(), [1, 2]);
        let full = Pages::take(&memory([1, 3, 0]), None, &Written::Unknown);
        assert!(second == full);
        // What is not named is believed unchanged.
        let third = Pages::take(&memory([9, 9, 9]), Some(&first), &Written::Pages(vec![1]));
        let bytes: Vec<u8> = (0..third.len()).map(|n| third.get(n)[0]).collect();
        assert_eq!(bytes, [1, 9, 2]);
    }
}
