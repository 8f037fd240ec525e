//! The line table: address to file and line.

use std::sync::Arc;

/// A place in a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLine<'a> {
    /// The file from the kernel's root.
    pub file: &'a str,
    /// The line in it.
    pub line: u32,
}

/// Where a stretch of code with one line begins, or where a sequence ends.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub addr: u64,
    pub end: bool,
    pub file: u32,
    pub line: u32,
}

/// The rows in the order of addresses.
#[derive(Debug, Default)]
pub struct Lines {
    rows: Vec<Row>,
    files: Vec<Arc<str>>,
}

impl Lines {
    pub fn new(mut rows: Vec<Row>, files: Vec<Arc<str>>) -> Lines {
        // An end row sorts before the sequence that begins at the same address.
        rows.sort_by_key(|row| (row.addr, !row.end));
        Lines { rows, files }
    }

    pub fn find(&self, addr: u64) -> Option<SourceLine<'_>> {
        let after = self.rows.partition_point(|row| row.addr <= addr);
        let row = self.rows[..after].last().filter(|row| !row.end)?;
        Some(SourceLine {
            file: self.files.get(row.file as usize)?,
            line: row.line,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_between_sequences_has_no_line() {
        let row = |addr, end, line| Row {
            addr,
            end,
            file: 0,
            line,
        };
        let rows = vec![
            row(0x30, false, 9),
            row(0x40, true, 0),
            row(0x10, false, 3),
            row(0x18, false, 4),
            row(0x20, true, 0),
            row(0x40, false, 12),
            row(0x48, true, 0),
        ];
        let lines = Lines::new(rows, vec!["a.rs".into()]);
        let line = |addr| lines.find(addr).map(|found| found.line);
        assert_eq!(line(0xf), None);
        assert_eq!(line(0x17), Some(3));
        assert_eq!(line(0x1f), Some(4));
        assert_eq!(line(0x20), None);
        assert_eq!(line(0x3f), Some(9));
        assert_eq!(line(0x40), Some(12));
        assert_eq!(line(0x48), None);
    }
}
