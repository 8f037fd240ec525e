//! From which CPU to which: the moves as a square of counts.

use super::{Kind, MigrationReport};
use crate::report::Footer;

/// Number of moves from each CPU to each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matrix {
    /// Number of CPUs, which is that of rows and of columns.
    pub cpus: u32,
    /// By source, then by destination.
    counts: Vec<u64>,
    /// Which recording it was.
    pub footer: Footer,
}

impl Matrix {
    /// Counts the moves of a report; where new tasks were put is not among them.
    pub fn of(report: &MigrationReport) -> Matrix {
        let cpus = report.footer.cpus;
        let side = cpus as usize;
        let mut counts = vec![0; side * side];
        for m in report.moves.iter().filter(|m| m.kind == Kind::Move) {
            let at = m.src_cpu as usize * side + m.dst_cpu as usize;
            if let Some(count) = counts.get_mut(at).filter(|_| m.dst_cpu < cpus) {
                *count += 1;
            }
        }
        Matrix {
            cpus,
            counts,
            footer: report.footer.clone(),
        }
    }

    /// Moves from one CPU to another.
    pub fn count(&self, src: u32, dst: u32) -> u64 {
        let at = src as usize * self.cpus as usize + dst as usize;
        self.counts.get(at).copied().unwrap_or(0)
    }

    /// Moves away from a CPU.
    pub fn left(&self, src: u32) -> u64 {
        (0..self.cpus).map(|dst| self.count(src, dst)).sum()
    }

    /// Moves to a CPU.
    pub fn came(&self, dst: u32) -> u64 {
        (0..self.cpus).map(|src| self.count(src, dst)).sum()
    }

    /// All moves.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The largest count.
    pub fn most(&self) -> u64 {
        self.counts.iter().copied().max().unwrap_or(0)
    }
}
