//! The stopper: every work that `migration/N` ran, who asked for it, what it cost and whom.
//!
//! definitions.md section 4. An *episode* is one stretch of `migration/N` on a CPU (at first,
//! while it is being made, maybe not its own and not yet of class stop); it is divided
//! among the works that it ran (each work's *share*), and what a share costs is lost by the *victim*,
//! the task that was preempted for it, as long as that task is runnable and runs nowhere. `tracker`
//! follows works and episodes, `episode` divides one, `tables` is what the report shows, `docs` what its columns mean.

mod docs;
mod episode;
pub mod guarantee;
mod tables;
mod tracker;

use crate::Error;
use crate::causal::walk;
use crate::class::Class;
use crate::report::{Check, Footer, Report};
use crate::source::{RunInfo, Source};
use crate::table::Table;

/// An event that a number starts or ends at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    /// Its number.
    pub seq: u64,
    /// Its causal time.
    pub time_ns: u64,
    /// How far that lies after the raw clock.
    pub pushed_ns: u64,
}

/// A task of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskName {
    /// Its name.
    pub comm: String,
    /// Its pid.
    pub tid: i32,
}

/// The task that was preempted for an episode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Victim {
    /// Who.
    pub task: TaskName,
    /// Its kernel priority when it was preempted.
    pub prio: i32,
    /// Its scheduling class then.
    pub class: Class,
}

/// What became of the task that a work was for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// The work's function moved it.
    Moved,
    /// It was on an allowed CPU before the work ran. A task that has disabled migration may be where it
    /// is (`is_cpu_allowed`), whatever its mask says: the work leaves it and its request alone.
    AlreadyOk,
    /// It was asleep; its next wake-up moves it.
    Sleeping,
    /// It had gone to another CPU; the work was queued again there.
    Requeued,
    /// Another request had changed the mask meanwhile: what the work did no longer fits it.
    Raced,
}

impl Outcome {
    /// The word of the reports.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Moved => "moved",
            Outcome::AlreadyOk => "already-ok",
            Outcome::Sleeping => "sleeping",
            Outcome::Requeued => "requeued",
            Outcome::Raced => "raced",
        }
    }
}

/// The part of an episode that a work is charged with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// The switch-in, or the previous work's done.
    pub begin: Point,
    /// Its own done; the switch-out if it is the last work.
    pub end: Point,
    /// Instructions that the CPU retired in it.
    pub insns: u64,
}

impl Share {
    /// Its duration.
    pub fn ns(&self) -> u64 {
        self.end.time_ns - self.begin.time_ns
    }
}

/// What the CPU did before the stopper came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Before {
    /// Nothing.
    Idle,
    /// A task that had just gone to sleep.
    Blocked,
    /// A task that was preempted: the victim.
    Victim,
}

/// One `cpu_stop_work`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Work {
    /// The stopper's CPU.
    pub cpu: u32,
    /// Its function.
    pub func: String,
    /// Who asked for it.
    pub caller: String,
    /// The task that queued it.
    pub queuer: TaskName,
    /// The CPU that queued it.
    pub queuer_cpu: u32,
    /// The task it is about, if it names one.
    pub task: Option<TaskName>,
    /// `stop:work_queue`.
    pub queue: Point,
    /// `sched_waking` of the stopper; none if it was awake.
    pub waking: Option<Point>,
    /// `stop:work_start`.
    pub start: Option<Point>,
    /// `stop:work_done`.
    pub done: Option<Point>,
    /// From nr_todo reaching 0 to the waiter's next instruction; on the last work of a request.
    pub done_to_waiter: Option<u64>,
    /// From `stop:complete` of the pending to its waiter's next instruction; on the last work.
    pub pending_to_waiter: Option<u64>,
    /// The event from which the waiter's time is counted, and the switch that ended it.
    pub waited: Option<(Point, Point)>,
    /// What it is charged with.
    pub share: Option<Share>,
    /// The switch-in of its episode, if the stopper came in for it.
    pub switched_in: Option<Point>,
    /// When the work before it in its episode was done.
    pub previous_done: Option<u64>,
    /// What the CPU did before its episode.
    pub before: Option<Before>,
    /// The victim of its episode.
    pub victim: Option<Victim>,
    /// What the victim lost by it; none without a victim.
    pub lost_ns: Option<u64>,
    /// The part of the share in which the victim ran elsewhere, slept or had exited.
    pub elsewhere_ns: Option<u64>,
    /// What became of the task.
    pub outcome: Option<Outcome>,
}

impl Work {
    /// From queueing to the stopper's wake-up; 0 if it was awake.
    pub fn queue_to_wake_ns(&self) -> Option<u64> {
        match (self.waking, self.start) {
            (Some(waking), _) => Some(waking.time_ns.saturating_sub(self.queue.time_ns)),
            (None, Some(_)) => Some(0),
            (None, None) => None,
        }
    }

    /// From the wake-up, or the queueing if the stopper was awake, to the start.
    pub fn wake_to_run_ns(&self) -> Option<u64> {
        let from = self.waking.unwrap_or(self.queue);
        Some(self.start?.time_ns.saturating_sub(from.time_ns))
    }

    /// The farthest that causal time lies after the raw clock at an event that the row names.
    pub fn pushed_ns(&self) -> u64 {
        let (released, waiter_in) = self.waited.unzip();
        let points = [
            Some(self.queue),
            self.waking,
            self.start,
            self.done,
            self.share.map(|share| share.begin),
            self.share.map(|share| share.end),
            released,
            waiter_in,
        ];
        let pushed = points.into_iter().flatten().map(|point| point.pushed_ns);
        pushed.max().unwrap_or(0)
    }

    /// From queueing to the start.
    pub fn queue_to_start_ns(&self) -> Option<u64> {
        Some(self.start?.time_ns.saturating_sub(self.queue.time_ns))
    }

    /// From the start to the done.
    pub fn run_ns(&self) -> Option<u64> {
        Some(self.done?.time_ns.saturating_sub(self.start?.time_ns))
    }

    /// The parts of queue-to-start, which sum to it: until the wake-up, until the switch-in, earlier
    /// works of the episode, until the start.
    pub fn latency_parts_ns(&self) -> Option<[u64; 4]> {
        let start = self.start?.time_ns;
        let mut now = self.queue.time_ns;
        let mut part = |to: Option<u64>| {
            let to = to.unwrap_or(now).clamp(now, start.max(now));
            let ns = to - now;
            now = to;
            ns
        };
        Some([
            part(self.waking.map(|p| p.time_ns)),
            part(self.switched_in.map(|p| p.time_ns)),
            part(self.previous_done),
            part(Some(start)),
        ])
    }
}

/// An episode without a work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overhead {
    /// The stopper's CPU.
    pub cpu: u32,
    /// Where it ran: another CPU only before it was bound to its own, while it was being made.
    pub on_cpu: u32,
    /// The switch-in.
    pub begin: Point,
    /// The switch-out.
    pub end: Point,
    /// Instructions that the CPU retired in it.
    pub insns: u64,
}

/// One CPU's stopper over the whole run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuTotal {
    /// The CPU.
    pub cpu: u32,
    /// Works done.
    pub works: u64,
    /// Times that the stopper was switched in.
    pub episodes: u64,
    /// Time that it was on a CPU, which is its own from when it is bound to it.
    pub occupancy_ns: u64,
    /// Of it: lost by victims.
    pub lost_ns: u64,
    /// Of it: on a CPU that was idle before.
    pub idle_ns: u64,
    /// Of it: after a task that had gone to sleep.
    pub blocked_ns: u64,
    /// Of it: while the victim ran elsewhere, slept or had exited.
    pub elsewhere_ns: u64,
    /// Of it: episodes without a work.
    pub overhead_ns: u64,
}

impl CpuTotal {
    /// Whether the parts are the whole (definitions.md section 4).
    pub fn balances(&self) -> bool {
        let parts = [
            self.lost_ns,
            self.idle_ns,
            self.blocked_ns,
            self.elsewhere_ns,
            self.overhead_ns,
        ];
        parts.iter().sum::<u64>() == self.occupancy_ns
    }
}

/// All works of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StopperReport {
    /// The works, in the order in which they were queued.
    pub works: Vec<Work>,
    /// The episodes without a work.
    pub overhead: Vec<Overhead>,
    /// The balance of each CPU.
    pub totals: Vec<CpuTotal>,
    /// What was checked.
    pub checks: Vec<Check>,
    /// How far to trust the times.
    pub footer: Footer,
}

impl StopperReport {
    /// The rows as a table.
    pub fn table(&self) -> Table {
        tables::works(&self.works)
    }

    /// The rows, the summaries and the checks.
    pub fn report(&self) -> Report {
        tables::report(self)
    }

    /// The work that waited longest for its start: the stopper's guarantee as a number.
    pub fn guarantee(&self) -> Option<&Work> {
        let waited = |work: &Work| work.queue_to_start_ns().unwrap_or(0);
        let started = self.works.iter().filter(|w| w.start.is_some());
        started.reduce(|a, b| if waited(b) > waited(a) { b } else { a })
    }
}

/// Finds every work and every episode of a recording.
pub fn analyze(source: &dyn Source) -> Result<StopperReport, Error> {
    let mut tracker = tracker::Tracker::new(source);
    let walked = walk(source, &mut |event| tracker.push(event))?;
    let found = tracker.finish(&walked);
    let checks = vec![
        balance(&found.totals),
        counts(&found.works, source.info()),
        parts(&found.works),
    ];
    Ok(StopperReport {
        works: found.works,
        overhead: found.overhead,
        totals: found.totals,
        checks,
        footer: Footer::new(source.info(), &walked),
    })
}

fn balance(totals: &[CpuTotal]) -> Check {
    let sum = |of: fn(&CpuTotal) -> u64| totals.iter().map(of).sum::<u64>();
    Check {
        name: "lost + idle + prev blocked + victim elsewhere + overhead = occupancy",
        holds: totals.iter().all(CpuTotal::balances),
        detail: format!(
            "{} + {} + {} + {} + {} = {} ns",
            sum(|t| t.lost_ns),
            sum(|t| t.idle_ns),
            sum(|t| t.blocked_ns),
            sum(|t| t.elsewhere_ns),
            sum(|t| t.overhead_ns),
            sum(|t| t.occupancy_ns),
        ),
    }
}

/// At the end of a whole run every work is done; the guest kernel has counted as many.
fn counts(works: &[Work], info: &RunInfo) -> Check {
    let queued = works.len() as u64;
    let started = works.iter().filter(|w| w.start.is_some()).count() as u64;
    let done = works.iter().filter(|w| w.done.is_some()).count() as u64;
    let ours = format!("queued {queued}, started {started}, done {done}");
    let powered_off = info.outcome.as_deref() == Some("power off");
    let finished = !powered_off || (queued == started && started == done);
    match info.guest_works {
        Some(guest) => Check {
            name: "works queued = started = done = the kernel's own counts",
            holds: finished && (guest.queued, guest.started, guest.done) == (queued, started, done),
            detail: format!(
                "{ours}; the kernel: {}, {}, {}",
                guest.queued, guest.started, guest.done
            ),
        },
        None => Check {
            name: "works queued = started = done",
            holds: finished,
            detail: format!("{ours}; the recording has no counts of the kernel"),
        },
    }
}

fn parts(works: &[Work]) -> Check {
    let started = works.iter().filter(|w| w.start.is_some());
    let sums = started
        .clone()
        .filter(|w| w.latency_parts_ns().map(|parts| parts.iter().sum()) == w.queue_to_start_ns());
    let (sums, all) = (sums.count(), started.count());
    Check {
        name: "the parts of queue-to-start sum to it",
        holds: sums == all,
        detail: format!("{sums} of {all} works"),
    }
}
