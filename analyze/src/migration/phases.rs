//! The partition of a move: a stretch of causal time that is cut at boundaries, every piece given to
//! one phase. The pieces touch, so their sum is the whole by construction.

use super::Phase;
use crate::causal::Stamped;

/// A boundary: an event, when it was and what its CPU had retired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) seq: u64,
    pub(super) time_ns: u64,
    pub(super) pushed_ns: u64,
    pub(super) cpu: u32,
    pub(super) insns: u64,
}

impl Mark {
    pub(super) fn of(event: &Stamped<'_>) -> Mark {
        Mark {
            seq: event.event.seq,
            time_ns: event.time_ns,
            pushed_ns: event.pushed_ns,
            cpu: event.event.cpu,
            insns: event.event.insns,
        }
    }
}

/// A partition that grows from its begin to the latest boundary.
#[derive(Clone, Debug)]
pub(super) struct Phases {
    pub(super) begin: Mark,
    pub(super) ns: [u64; 6],
    pub(super) insns: [u64; 6],
    /// Time of the latest boundary.
    pub(super) now_ns: u64,
    cpu: u32,
    /// What every CPU had retired at its last event before the latest boundary.
    retired: Vec<u64>,
}

impl Phases {
    /// Begins at `begin`; `retired` is what each CPU had retired then.
    pub(super) fn new(begin: Mark, retired: &[u64]) -> Phases {
        Phases {
            begin,
            ns: [0; 6],
            insns: [0; 6],
            now_ns: begin.time_ns,
            cpu: begin.cpu,
            retired: retired.to_vec(),
        }
    }

    /// Gives the time from the latest boundary to `to` to `phase`.
    ///
    /// A boundary that is not about the task (an interrupt's entry, the start of its work) may lie before
    /// the latest one in causal time; it then cuts off nothing. The instructions are those of the CPU whose event `to` is. If
    /// that CPU had no event at the latest boundary, what it had retired then lies between its last
    /// event before and the most it can have retired since: one instruction a nanosecond.
    pub(super) fn advance(&mut self, phase: Phase, to: &Mark, retired: &[u64]) {
        let at = phase as usize;
        let piece_ns = to.time_ns.saturating_sub(self.now_ns);
        let before = self.retired.get(to.cpu as usize).copied().unwrap_or(0);
        let since = to.insns.saturating_sub(before);
        self.ns[at] += piece_ns;
        self.insns[at] += match to.cpu == self.cpu {
            true => since,
            false => since.min(piece_ns),
        };
        self.now_ns = self.now_ns.max(to.time_ns);
        self.cpu = to.cpu;
        self.retired.clear();
        self.retired.extend_from_slice(retired);
    }
}
