//! One stretch of a stopper on its CPU, divided among its works and charged to its victim.
//!
//! The victim's fate is known by events of other CPUs, which may come later in the order than the
//! episode's end and still lie inside it in causal time. An episode is therefore settled only when an
//! event of the victim's chain lies after its end: causal time strictly increases along that chain.

use super::{Before, Overhead, Point, Share, Victim};
use crate::works::WorkId;

/// A boundary of a share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) point: Point,
    pub(super) insns: u64,
}

/// What a task does, as far as a victim's loss is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TaskState {
    /// Runnable, and not running.
    Waiting,
    Running,
    /// Asleep, or gone.
    Asleep,
}

#[derive(Debug)]
pub(super) struct Episode {
    /// The stopper's CPU.
    pub(super) cpu: u32,
    /// The CPU that it is on.
    pub(super) on_cpu: u32,
    begin: Cut,
    /// Where the next share begins.
    next: Cut,
    pub(super) end: Option<Cut>,
    pub(super) before: Before,
    pub(super) victim: Option<Victim>,
    shares: Vec<(WorkId, Cut, Cut)>,
    /// Changes of the victim's state, in causal time.
    changes: Vec<(u64, TaskState)>,
}

/// What one work of a settled episode is charged with.
#[derive(Debug)]
pub(super) struct Charge {
    pub(super) work: WorkId,
    pub(super) share: Share,
    pub(super) lost_ns: Option<u64>,
    pub(super) elsewhere_ns: Option<u64>,
}

impl Episode {
    pub(super) fn new(
        (cpu, on_cpu): (u32, u32),
        begin: Cut,
        before: Before,
        victim: Option<Victim>,
    ) -> Episode {
        Episode {
            cpu,
            on_cpu,
            begin,
            next: begin,
            end: None,
            before,
            victim,
            shares: Vec::new(),
            changes: vec![(begin.point.time_ns, TaskState::Waiting)],
        }
    }

    pub(super) fn begin(&self) -> Point {
        self.begin.point
    }

    /// When the latest work of this episode was done.
    pub(super) fn previous_done(&self) -> Option<u64> {
        self.shares.last().map(|(_, _, end)| end.point.time_ns)
    }

    /// A work is done: its share ends.
    pub(super) fn work_done(&mut self, work: WorkId, at: Cut) {
        self.shares.push((work, self.next, at));
        self.next = at;
    }

    /// The stopper leaves the CPU, or the recording ends. `running` has not returned; else the last
    /// work takes the tail.
    pub(super) fn close(&mut self, running: Option<WorkId>, at: Cut) {
        self.end = Some(at);
        match (running, self.shares.last_mut()) {
            (Some(work), _) => self.work_done(work, at),
            (None, Some((_, _, end))) => *end = at,
            (None, None) => {}
        }
    }

    pub(super) fn victim_becomes(&mut self, state: TaskState, time_ns: u64) {
        self.changes.push((time_ns, state));
    }

    pub(super) fn ends_by(&self, time_ns: u64) -> bool {
        self.end.is_some_and(|end| end.point.time_ns <= time_ns)
    }

    pub(super) fn occupancy_ns(&self) -> u64 {
        let end = self
            .end
            .map_or(self.begin.point.time_ns, |end| end.point.time_ns);
        end - self.begin.point.time_ns
    }

    /// The episode as an overhead row, if it had no work.
    pub(super) fn overhead(&self) -> Option<Overhead> {
        let end = self.end.filter(|_| self.shares.is_empty())?;
        Some(Overhead {
            cpu: self.cpu,
            on_cpu: self.on_cpu,
            begin: self.begin.point,
            end: end.point,
            insns: end.insns - self.begin.insns,
        })
    }

    /// What each work is charged with.
    pub(super) fn charges(&self) -> Vec<Charge> {
        let charge = |&(work, begin, end): &(WorkId, Cut, Cut)| {
            let (from, to) = (begin.point.time_ns, end.point.time_ns);
            let in_state = |wanted: &dyn Fn(TaskState) -> bool| {
                self.victim
                    .as_ref()
                    .map(|_| self.victim_ns(from, to, wanted))
            };
            Charge {
                work,
                share: Share {
                    begin: begin.point,
                    end: end.point,
                    insns: end.insns - begin.insns,
                },
                lost_ns: in_state(&|state| state == TaskState::Waiting),
                elsewhere_ns: in_state(&|state| state != TaskState::Waiting),
            }
        };
        self.shares.iter().map(charge).collect()
    }

    /// How long between two instants the victim was in a wanted state.
    fn victim_ns(&self, from: u64, to: u64, wanted: &dyn Fn(TaskState) -> bool) -> u64 {
        let ends = self.changes.iter().skip(1).map(|(time, _)| *time);
        self.changes
            .iter()
            .zip(ends.chain([u64::MAX]))
            .filter(|((_, state), _)| wanted(*state))
            .map(|((begin, _), end)| end.min(to).saturating_sub((*begin).max(from)))
            .sum()
    }
}
