//! What the tracker remembers: of a task, of a stop request, of a move that has not ended.

use std::collections::BTreeMap;

use trace::event::StackId;

use super::phases::{Mark, Phases};
use super::{Boundaries, Move, Phase};
use crate::causal::Request;
use crate::works::WorkId;

/// What is known about one task.
#[derive(Debug, Default)]
pub(super) struct Task {
    /// It is the current task of a CPU.
    pub(super) on_cpu: bool,
    /// When it last left a CPU.
    pub(super) last_out: Option<Mark>,
    /// The latest `sched_waking`, until a move or a switch-in uses it up.
    pub(super) waking: Option<Mark>,
    /// The latest `move:affinity_entry` of each task that asked for a change, by its pid: two may ask
    /// at the same time, and one waits for the lock.
    pub(super) affinity: BTreeMap<i32, Mark>,
    /// The mask last asked for, or read from the task itself after a work.
    pub(super) mask: Option<u64>,
    /// `select_fallback_rq` has chosen since the latest `sched_waking`.
    pub(super) fallback: bool,
    /// Since its fork, before `sched_wakeup_new`.
    pub(super) newborn: Option<Newborn>,
    /// Stop requests about it that are open.
    pub(super) requests: Vec<Request>,
    /// It was preempted by the stopper that has a work for it, and has not run since: the CPU, and the
    /// task that had queued the work.
    pub(super) victim_of: Option<(u32, i32)>,
    /// The move that has not ended.
    pub(super) open: Option<OpenMove>,
}

/// A task between `sched_process_fork` and `sched_wakeup_new`.
#[derive(Debug)]
pub(super) struct Newborn {
    pub(super) phases: Phases,
    pub(super) enqueued: Option<Mark>,
}

/// Where the work of a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WorkState {
    Queued,
    Started,
    /// The latest work is done, and no other is queued.
    None,
}

/// A stop request, from its first `stop:work_queue` on.
#[derive(Debug)]
pub(super) struct StopRequest {
    /// Pid of the task it is about, 0 if it names none.
    pub(super) task_pid: i32,
    pub(super) phases: Phases,
    pub(super) on_cpu: bool,
    pub(super) switch_out: Option<Mark>,
    pub(super) work: WorkState,
    pub(super) latest: WorkId,
    /// Works that are not done.
    pub(super) open_works: u32,
    /// Pid of the task that queued the first work.
    pub(super) queuer: i32,
    /// Call stack of the first `stop:work_queue`.
    pub(super) stack: Option<StackId>,
}

impl StopRequest {
    /// The phase now, as long as the task has not moved (rules 1 and 2 of definitions.md section 3;
    /// "the source" is whichever CPU it is on before it moves).
    fn phase(&self) -> Phase {
        match (self.on_cpu, self.work) {
            (true, _) | (false, WorkState::None) => Phase::OffSrc,
            (false, WorkState::Started) => Phase::StopRun,
            (false, WorkState::Queued) => Phase::StopWait,
        }
    }

    /// Ends the current phase's piece at `to`.
    pub(super) fn cut(&mut self, to: &Mark, retired: &[u64]) {
        let phase = self.phase();
        self.phases.advance(phase, to, retired);
    }
}

/// A work that is queued or running.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenWork {
    pub(super) request: Request,
    pub(super) queue: Mark,
    pub(super) start: Option<Mark>,
}

/// The events at the boundaries of a move, as far as they are known: what becomes its [`Boundaries`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    pub(super) begin: Mark,
    pub(super) switch_out: Option<Mark>,
    pub(super) work_queue: Option<Mark>,
    pub(super) work_start: Option<Mark>,
    pub(super) migrate: Mark,
    pub(super) enqueued: Option<Mark>,
    pub(super) ipi_send: Option<Mark>,
    pub(super) ipi_entry: Option<Mark>,
}

impl Marks {
    /// Of a move that begins and happens at these events.
    pub(super) fn new(begin: Mark, migrate: Mark) -> Marks {
        Marks {
            begin,
            switch_out: None,
            work_queue: None,
            work_start: None,
            migrate,
            enqueued: None,
            ipi_send: None,
            ipi_entry: None,
        }
    }

    /// Their numbers, with the event that ends the move.
    pub(super) fn seqs(&self, end: &Mark) -> Boundaries {
        let seq = |mark: Option<Mark>| mark.map(|mark| mark.seq);
        Boundaries {
            begin: self.begin.seq,
            switch_out: seq(self.switch_out),
            work_queue: seq(self.work_queue),
            work_start: seq(self.work_start),
            migrate: self.migrate.seq,
            enqueued: seq(self.enqueued),
            ipi_send: seq(self.ipi_send),
            ipi_entry: seq(self.ipi_entry),
            end: end.seq,
        }
    }

    /// The farthest that any of them, or the end, was pushed.
    pub(super) fn pushed_ns(&self, end: &Mark) -> u64 {
        let sure = [self.begin, self.migrate, *end];
        let others = [
            self.switch_out,
            self.work_queue,
            self.work_start,
            self.enqueued,
            self.ipi_send,
            self.ipi_entry,
        ];
        let all = sure.into_iter().chain(others.into_iter().flatten());
        all.map(|mark| mark.pushed_ns).max().unwrap_or(0)
    }
}

/// The move's interrupt to the destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ipi {
    /// None was sent, or it has been entered.
    None,
    /// On its way: it lands through this vector's handler, not before this raw clock there.
    Outstanding { vector: Vector, due: u64 },
}

/// The handlers that an interrupt between CPUs can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Vector {
    Reschedule,
    CallFunction,
    CallFunctionSingle,
}

/// A move that has left the source and not ended.
#[derive(Debug)]
pub(super) struct OpenMove {
    /// The row, complete but for phases, boundaries and end.
    pub(super) row: Move,
    pub(super) marks: Marks,
    /// Where it is to stand among the rows.
    pub(super) at: usize,
    pub(super) phases: Phases,
    pub(super) enqueued: bool,
    pub(super) ipi: Ipi,
    /// The entry of the interrupt's handler and what each CPU had retired then, until the next boundary
    /// of the task's own chain.
    pub(super) entered: Option<(Mark, Vec<u64>)>,
}

impl OpenMove {
    /// The phase now (rules 3 and 4 of definitions.md section 3).
    fn phase(&self) -> Phase {
        match (self.ipi, self.enqueued) {
            (Ipi::Outstanding { .. }, _) => Phase::Ipi,
            (Ipi::None, false) => Phase::EnqDst,
            (Ipi::None, true) => Phase::FirstRun,
        }
    }

    /// Ends the current phase's piece at `to`, an event about the task.
    ///
    /// The entry of the interrupt is not about the task: it may come before `to` in the order and lie
    /// after it in causal time. It then ends its phase at `to`.
    pub(super) fn cut(&mut self, to: &Mark, retired: &[u64]) {
        if let Some((entry, retired)) = self.entered.take() {
            let entry = Mark {
                time_ns: entry.time_ns.min(to.time_ns),
                ..entry
            };
            self.phases.advance(Phase::Ipi, &entry, &retired);
            self.ipi = Ipi::None;
        }
        let phase = self.phase();
        self.phases.advance(phase, to, retired);
    }
}
