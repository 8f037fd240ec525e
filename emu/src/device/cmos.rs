//! The CMOS clock: a fixed date that never moves, with no update in progress.
//!
//! Time of day comes from nowhere on the host, or two runs would differ.

use crate::snapshot::saved;

const INDEX_MASK: u8 = 0x7f;

/// The index register is the only state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cmos {
    index: u8,
}

saved!(Cmos { index });

impl Cmos {
    pub(crate) fn select(&mut self, index: u8) {
        self.index = index & INDEX_MASK;
    }

    pub(crate) fn index(&self) -> u8 {
        self.index
    }

    /// 2024-03-10 12:00:00 (v6.8's day), BCD, 24 hours.
    pub(crate) fn read(&self) -> u8 {
        match self.index {
            0x00 | 0x02 => 0x00,
            0x04 => 0x12,
            0x06 => 0x01,
            0x07 => 0x10,
            0x08 => 0x03,
            0x09 => 0x24,
            0x0a => 0x26,
            0x0b => 0x02,
            0x0d => 0x80,
            0x32 => 0x20,
            _ => 0x00,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_update_is_ever_in_progress_and_the_date_is_valid() {
        let mut cmos = Cmos::default();
        cmos.select(0x8a);
        assert_eq!(cmos.index(), 0x0a, "the NMI bit is no part of the index");
        assert_eq!(cmos.read() & 0x80, 0);
        cmos.select(0x0d);
        assert_eq!(cmos.read() & 0x80, 0x80, "battery good");
        cmos.select(0x08);
        assert!((1..=12).contains(&cmos.read()));
    }
}
