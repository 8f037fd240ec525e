//! Pages of the kernel's ring buffer.
//!
//! ```text
//!   page    time of its first event u64 | bytes of events u64 | events, zeros to 4,096 bytes
//!   event   type_len : 5, delta : 27 | payload       1 to 28: so many words follow
//!           type_len = 0 | length + 4 u32 | payload  a longer one
//!           type_len = 30, low bits | high bits u32  27 + 32 bits of delta, before an event that needs them
//! ```

use crate::Error;

/// Length of a page.
pub(super) const PAGE: usize = 4096;
/// Length of its head.
const HEAD: usize = 16;
/// The most words that `type_len` counts.
const WORDS_MAX: usize = 28;
/// `type_len` of a time extension.
const TIME_EXTEND: u32 = 30;
/// Bits of a delta in an event's head.
const DELTA_BITS: u32 = 27;

/// The page that one CPU is filling.
#[derive(Default)]
pub(super) struct Pages {
    page: Vec<u8>,
    last_ns: u64,
}

impl Pages {
    /// Adds an event; a page that it does not fit into goes to `full` first.
    pub(super) fn push(
        &mut self,
        time_ns: u64,
        payload: &[u8],
        full: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let words = payload.len().div_ceil(4);
        let long = words > WORDS_MAX;
        let length = 4 + 4 * words + if long { 4 } else { 0 };
        let far = |pages: &Pages| time_ns - pages.last_ns >= 1 << DELTA_BITS;
        let extend = if far(self) { 8 } else { 0 };
        if !self.page.is_empty() && self.page.len() + extend + length > PAGE {
            self.flush(full)?;
        }
        if self.page.is_empty() {
            self.page.extend(time_ns.to_le_bytes());
            self.page.extend([0; HEAD - 8]);
            self.last_ns = time_ns;
        }
        let delta = time_ns - self.last_ns;
        self.last_ns = time_ns;
        let low = (delta & ((1 << DELTA_BITS) - 1)) as u32;
        let high = (delta >> DELTA_BITS) as u32;
        let low_of_event = if high == 0 {
            low
        } else {
            self.word(TIME_EXTEND | low << 5);
            self.word(high);
            0
        };
        if long {
            self.word(low_of_event << 5);
            self.word(4 * words as u32 + 4);
        } else {
            self.word(words as u32 | low_of_event << 5);
        }
        self.page.extend(payload);
        self.page.resize(self.page.len().next_multiple_of(4), 0);
        Ok(())
    }

    /// Gives away the page that has been begun, if one has.
    pub(super) fn flush(
        &mut self,
        full: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.page.is_empty() {
            return Ok(());
        }
        let commit = (self.page.len() - HEAD) as u64;
        self.page[8..HEAD].copy_from_slice(&commit.to_le_bytes());
        self.page.resize(PAGE, 0);
        full(&self.page)?;
        self.page.clear();
        Ok(())
    }

    fn word(&mut self, word: u32) {
        self.page.extend(word.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(events: &[(u64, usize)]) -> Vec<Vec<u8>> {
        let mut pages = Pages::default();
        let mut made = Vec::new();
        let mut keep = |page: &[u8]| {
            made.push(page.to_vec());
            Ok(())
        };
        for (time_ns, length) in events {
            pages
                .push(*time_ns, &vec![0xAA; *length], &mut keep)
                .unwrap();
        }
        pages.flush(&mut keep).unwrap();
        pages.flush(&mut keep).unwrap();
        made
    }

    fn word(page: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(page[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn short_long_and_late_events() {
        let far = 5 << 27 | 3;
        let made = pages(&[(1000, 8), (1007, 113), (1007 + far, 4)]);
        assert_eq!(made.len(), 1);
        let page = &made[0];
        assert_eq!((page.len(), word(page, 0)), (PAGE, 1000));
        assert_eq!(word(page, 16), 2);
        assert_eq!(word(page, 28), 7 << 5);
        assert_eq!(word(page, 32), 116 + 4);
        // 113 bytes take 29 words.
        assert_eq!(word(page, 152), 30 | 3 << 5);
        assert_eq!(word(page, 156), 5);
        assert_eq!((word(page, 160), word(page, 164)), (1, 0xAAAA_AAAA));
        assert_eq!(word(page, 8) as usize, 168 - HEAD);
    }

    #[test]
    fn a_page_is_filled_to_the_last_byte_and_not_further() {
        // Of 8 bytes each; 4,080 bytes hold 510.
        let events: Vec<(u64, usize)> = (0..511).map(|n| (n, 4)).collect();
        let made = pages(&events);
        assert_eq!(made.len(), 2);
        assert_eq!(word(&made[0], 8), 4080);
        assert_eq!((word(&made[1], 0), word(&made[1], 8)), (510, 8));
    }
}
