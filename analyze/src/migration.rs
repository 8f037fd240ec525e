//! Migrations: every move of a task between CPUs, its cause, and where its time went.
//!
//! A move is one `sched_migrate_task` with two different CPUs; definitions.md sections 2 and 3 say when
//! it begins and ends and how the six phases partition it. `tracker` is the state machine that follows
//! tasks and stop requests through the events, `phases` the partition, `cause` the one table of causes,
//! `tables` what the report shows, `docs` what its columns mean.

mod cause;
mod docs;
pub mod matrix;
mod phases;
mod state;
mod tables;
mod tracker;

pub(crate) use cause::moved_by_stopper;

use crate::Error;
use crate::causal::{Walked, walk};
use crate::report::{Check, Footer, Report};
use crate::source::Source;
use crate::table::Table;

/// One of the six phases that partition a move, in the order of the columns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// It still runs at the source, or no work for it exists yet.
    OffSrc,
    /// Its work is queued.
    StopWait,
    /// The work's function runs, and has not moved it yet.
    StopRun,
    /// It belongs to the destination and is not in its queue yet.
    EnqDst,
    /// The interrupt for the destination is on its way.
    Ipi,
    /// It is in the queue of the destination.
    FirstRun,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Phase; 6] = [
        Phase::OffSrc,
        Phase::StopWait,
        Phase::StopRun,
        Phase::EnqDst,
        Phase::Ipi,
        Phase::FirstRun,
    ];

    /// The word of the reports.
    pub fn name(self) -> &'static str {
        match self {
            Phase::OffSrc => "off-src",
            Phase::StopWait => "stop-wait",
            Phase::StopRun => "stop-run",
            Phase::EnqDst => "enq-dst",
            Phase::Ipi => "ipi",
            Phase::FirstRun => "first-run",
        }
    }
}

/// How a move was done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Path {
    /// By a function that a stopper ran.
    Stopper,
    /// By whoever wanted it, under the runqueue's lock.
    Direct,
    /// While waking it up.
    Wake,
    /// Where a new task was placed.
    Fork,
}

impl Path {
    /// The word of the reports.
    pub fn name(self) -> &'static str {
        match self {
            Path::Stopper => "stopper",
            Path::Direct => "direct",
            Path::Wake => "wake",
            Path::Fork => "fork",
        }
    }
}

/// Why a move was done: a closed set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(
    missing_docs,
    reason = "the names are Linux's; cause.rs says how each is found"
)]
pub enum Cause {
    Affinity,
    MigrateEnable,
    Exec,
    Fork,
    Wake,
    BalancePeriodic,
    BalanceNewidle,
    BalanceNohz,
    BalanceActive,
    RtPush,
    RtPull,
    DlPush,
    DlPull,
    NumaMove,
    NumaSwap,
    Hotplug,
    Fallback,
}

impl Cause {
    /// The word of the reports.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Affinity => "affinity",
            Cause::MigrateEnable => "migrate-enable",
            Cause::Exec => "exec",
            Cause::Fork => "fork",
            Cause::Wake => "wake",
            Cause::BalancePeriodic => "balance-periodic",
            Cause::BalanceNewidle => "balance-newidle",
            Cause::BalanceNohz => "balance-nohz",
            Cause::BalanceActive => "balance-active",
            Cause::RtPush => "rt-push",
            Cause::RtPull => "rt-pull",
            Cause::DlPush => "dl-push",
            Cause::DlPull => "dl-pull",
            Cause::NumaMove => "numa-move",
            Cause::NumaSwap => "numa-swap",
            Cause::Hotplug => "hotplug",
            Cause::Fallback => "fallback",
        }
    }
}

/// What ended a move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The task ran at the destination. Only these are in percentiles.
    Ran,
    /// It was moved again before it ran.
    Moved,
    /// It exited.
    Exit,
    /// The recording ended first.
    Open,
}

impl Ended {
    /// The word of the reports.
    pub fn name(self) -> &'static str {
        match self {
            Ended::Ran => "ran",
            Ended::Moved => "moved",
            Ended::Exit => "exit",
            Ended::Open => "open",
        }
    }
}

/// A move, or the placement of a new task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A `sched_migrate_task`.
    Move,
    /// A `sched_wakeup_new` on another CPU than the fork.
    Placement,
}

impl Kind {
    /// The word of the reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Move => "move",
            Kind::Placement => "placement",
        }
    }
}

/// Numbers of the events at the boundaries of a move's phases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Boundaries {
    /// Where the move begins.
    pub begin: u64,
    /// The last `sched_switch` that took the task off the source after the begin.
    pub switch_out: Option<u64>,
    /// `stop:work_queue` of the work whose function moved it; the begin unless the work was requeued.
    pub work_queue: Option<u64>,
    /// `stop:work_start` of that work.
    pub work_start: Option<u64>,
    /// The `sched_migrate_task`; `sched_wakeup_new` for a placement.
    pub migrate: u64,
    /// `move:enqueued` at the destination.
    pub enqueued: Option<u64>,
    /// The `ipi_send*` that told the destination.
    pub ipi_send: Option<u64>,
    /// The entry of that interrupt's handler.
    pub ipi_entry: Option<u64>,
    /// Where the move ends.
    pub end: u64,
}

/// One row of the report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// Move or placement.
    pub kind: Kind,
    /// The task's name.
    pub comm: String,
    /// Its pid.
    pub tid: i32,
    /// Its kernel priority.
    pub prio: i32,
    /// The CPU it left.
    pub src_cpu: u32,
    /// The CPU it went to.
    pub dst_cpu: u32,
    /// How.
    pub path: Path,
    /// Why.
    pub cause: Cause,
    /// What ended it.
    pub ended: Ended,
    /// When it began, in causal time.
    pub begin_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// Duration of each phase, in the order of [`Phase::ALL`]; they sum to the total.
    pub phases_ns: [u64; 6],
    /// Instructions retired in each phase by the CPU whose event ends it.
    pub phases_insns: [u64; 6],
    /// The farthest that causal time lies after the raw clock at a boundary.
    pub pushed_ns: u64,
    /// The boundaries.
    pub seqs: Boundaries,
}

impl Move {
    /// Duration of the whole move.
    pub fn total_ns(&self) -> u64 {
        self.end_ns - self.begin_ns
    }

    /// Instructions of all phases.
    pub fn total_insns(&self) -> u64 {
        self.phases_insns.iter().sum()
    }

    /// From the begin until the destination has the task in its queue and knows it: all but first-run.
    pub fn hand_over_ns(&self) -> u64 {
        self.total_ns() - self.phases_ns[Phase::FirstRun as usize]
    }

    /// Whether it counts in percentiles of moves.
    pub fn counts(&self) -> bool {
        self.kind == Kind::Move && self.ended == Ended::Ran
    }
}

/// All moves of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MigrationReport {
    /// The rows, in the order of their `sched_migrate_task` events.
    pub moves: Vec<Move>,
    /// What was checked.
    pub checks: Vec<Check>,
    /// How far to trust the times.
    pub footer: Footer,
}

impl MigrationReport {
    /// The rows as a table.
    pub fn table(&self) -> Table {
        tables::moves(&self.moves)
    }

    /// The rows, the summaries and the checks.
    pub fn report(&self) -> Report {
        tables::report(self)
    }

    /// Durations of the moves that ran, of one path or of all, shortest first.
    pub fn durations(&self, path: Option<Path>) -> Vec<u64> {
        let ran = self.moves.iter().filter(|m| m.counts());
        let of_path = ran.filter(|m| path.is_none_or(|path| m.path == path));
        let mut durations: Vec<u64> = of_path.map(Move::total_ns).collect();
        durations.sort_unstable();
        durations
    }

    /// The `count` moves that ran of which `ns` is longest, longest first; equal ones in the order of
    /// the events.
    pub fn slowest(&self, count: usize, ns: fn(&Move) -> u64) -> Vec<&Move> {
        let mut moves: Vec<&Move> = self.moves.iter().filter(|m| m.counts()).collect();
        moves.sort_by_key(|m| (std::cmp::Reverse(ns(m)), m.seqs.migrate));
        moves.truncate(count);
        moves
    }
}

/// Finds every move of a recording.
pub fn analyze(source: &dyn Source) -> Result<MigrationReport, Error> {
    let mut tracker = tracker::Tracker::new(source);
    let walked: Walked = walk(source, &mut |event| tracker.push(event))?;
    let (moves, victims) = tracker.finish(&walked);
    let sums = moves
        .iter()
        .filter(|m| m.phases_ns.iter().sum::<u64>() == m.total_ns())
        .count();
    let checks = vec![
        Check {
            name: "the phases sum to the total",
            holds: sums == moves.len(),
            detail: format!("{sums} of {} rows", moves.len()),
        },
        Check {
            name: "every cause is in the table",
            holds: true,
            detail: format!("{} of {} rows", moves.len(), moves.len()),
        },
        Check {
            name: "a task that ran when the stopper came for it is moved by the stopper",
            holds: victims.moved == victims.by_stopper,
            detail: format!("{} of {} moves", victims.by_stopper, victims.moved),
        },
    ];
    Ok(MigrationReport {
        moves,
        checks,
        footer: Footer::new(source.info(), &walked),
    })
}
