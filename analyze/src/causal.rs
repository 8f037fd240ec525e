//! Causal time: the one clock that every derived number is in (definitions.md section 1).
//!
//! A vCPU's raw clock is exact on its own, but inside a window two vCPUs may hand something over
//! "backward" by up to the quantum. Causal time is computed in one pass along the order of events:
//!
//! ```text
//!   T(e) = max(c(e), T(previous event of the same vCPU) + 1,
//!              T(previous event about the same task or the same stop request) + 1)
//! ```
//!
//! so it strictly increases along any task's and any request's chain, and intervals inside one vCPU
//! stay exact unless a hand-off has just pushed them. One event has a rule of its own: a participant of
//! stop_machine that enters a state does so after every acknowledgement of the state before, and after
//! nothing else of the other participants, whose steps through one state have no order. [`walk`] is the pass that all analyses share: it
//! also checks that the sequence numbers are dense, which is the proof that no event was lost.

use std::collections::HashMap;

use trace::event::{Addr, Event, EventData};

use crate::Error;
use crate::source::Source;

/// Something that a chain of events can be about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum About {
    /// The task of that pid, which is not 0.
    Task(i32),
    /// The idle task of that CPU.
    Idle(u32),
    /// A stop request.
    Request(Request),
}

/// What the works of one request have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Request {
    /// Works for one affinity change share its `set_affinity_pending`.
    Pending(Addr),
    /// Works that somebody waits for share a `cpu_stop_done`.
    Done(Addr),
    /// A work that nobody waits for is a request of its own.
    Work(Addr),
}

impl Request {
    /// The request that a work with these fields belongs to.
    pub fn of(pending: Addr, done: Addr, work: Addr) -> Request {
        if pending.0 != 0 {
            Request::Pending(pending)
        } else if done.0 != 0 {
            Request::Done(done)
        } else {
            Request::Work(work)
        }
    }
}

/// What one event is about: at most two things.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Abouts([Option<About>; 2]);

impl Abouts {
    fn one(a: About) -> Abouts {
        Abouts([Some(a), None])
    }

    fn two(a: About, b: About) -> Abouts {
        Abouts([Some(a), Some(b)])
    }

    /// Each thing.
    pub fn iter(&self) -> impl Iterator<Item = About> {
        self.0.into_iter().flatten()
    }

    /// Whether the event is about the task of this pid.
    pub fn has_task(&self, pid: i32) -> bool {
        self.iter().any(|about| about == About::Task(pid))
    }
}

fn task(pid: i32, cpu: u32) -> About {
    match pid {
        0 => About::Idle(cpu),
        pid => About::Task(pid),
    }
}

/// What an event is about by its own fields; `None` for an `ipi_send*`, which is about whatever the
/// previous event of its vCPU is about.
fn own_abouts(event: &Event) -> Option<Abouts> {
    let cpu = event.cpu;
    let request =
        |pending, done, work| Abouts::one(About::Request(Request::of(pending, done, work)));
    Some(match &event.data {
        EventData::SchedSwitch(e) => Abouts::two(task(e.prev_pid, cpu), task(e.next_pid, cpu)),
        EventData::SchedProcessFork(e) => {
            Abouts::two(task(e.parent_pid, cpu), task(e.child_pid, cpu))
        }
        EventData::SchedWaking(e) => Abouts::one(task(e.pid, cpu)),
        EventData::SchedWakeup(e) => Abouts::one(task(e.pid, cpu)),
        EventData::SchedWakeupNew(e) => Abouts::one(task(e.pid, cpu)),
        EventData::SchedMigrateTask(e) => Abouts::one(task(e.pid, cpu)),
        EventData::SchedProcessExit(e) => Abouts::one(task(e.pid, cpu)),
        EventData::MoveAffinityEntry(e) => Abouts::one(task(e.pid, cpu)),
        EventData::MoveEnqueued(e) => Abouts::one(task(e.pid, cpu)),
        EventData::MoveFallback(e) => Abouts::one(task(e.pid, cpu)),
        EventData::StopWorkQueue(e) => {
            let about = About::Request(Request::of(e.pending, e.done, e.work));
            match e.task.0 {
                0 => Abouts::one(about),
                _ => Abouts::two(about, task(e.task_pid, cpu)),
            }
        }
        EventData::StopWorkStart(e) => request(e.pending, e.done, e.work),
        EventData::StopWorkDone(e) => request(e.pending, e.done, e.work),
        EventData::StopComplete(e) => request(e.pending, e.done, Addr(0)),
        EventData::IpiSendCpu(_) | EventData::IpiSendCpumask(_) => return None,
        EventData::LocalTimerEntry(_)
        | EventData::LocalTimerExit(_)
        | EventData::RescheduleEntry(_)
        | EventData::RescheduleExit(_)
        | EventData::CallFunctionEntry(_)
        | EventData::CallFunctionExit(_)
        | EventData::CallFunctionSingleEntry(_)
        | EventData::CallFunctionSingleExit(_)
        | EventData::SchedulerTick(_)
        | EventData::BootMilestone(_)
        | EventData::CpuhpEnter(_)
        | EventData::CpuhpExit(_)
        | EventData::CpuhpMultiEnter(_)
        | EventData::StopMachineState(_) => Abouts::default(),
    })
}

/// [`trace::events::StopMachineState::step`] of an acknowledgement.
const ACK: u32 = 1;

/// The state whose acknowledgements come before this event: the one before the state it enters.
fn before(data: &EventData) -> Option<(Addr, u32)> {
    match data {
        EventData::StopMachineState(e) if e.step != ACK => {
            Some((e.msdata, e.state.checked_sub(1)?))
        }
        _ => None,
    }
}

/// Gives events their causal time, one after the other.
#[derive(Debug, Default)]
pub struct Clock {
    cpus: Vec<CpuClock>,
    last: HashMap<About, u64>,
    /// By `multi_stop_data` and state: the last acknowledgement of that state.
    acks: HashMap<(Addr, u32), u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct CpuClock {
    last: Option<u64>,
    about: Abouts,
}

impl Clock {
    /// A clock that has seen no event.
    pub fn new() -> Clock {
        Clock::default()
    }

    /// The next event's causal time in cycles, and what it is about.
    pub fn stamp(&mut self, event: &Event) -> (u64, Abouts) {
        let cpu = event.cpu as usize;
        if self.cpus.len() <= cpu {
            self.cpus.resize(cpu + 1, CpuClock::default());
        }
        let abouts = own_abouts(event).unwrap_or(self.cpus[cpu].about);
        let earlier = abouts.iter().filter_map(|about| self.last.get(&about));
        let acks = before(&event.data).and_then(|state| self.acks.get(&state));
        let after = earlier.chain(self.cpus[cpu].last.as_ref()).chain(acks);
        let after = after.max();
        let time = after.map_or(event.cycles, |t| event.cycles.max(t.saturating_add(1)));
        self.cpus[cpu] = CpuClock {
            last: Some(time),
            about: abouts,
        };
        for about in abouts.iter() {
            self.last.insert(about, time);
        }
        if let EventData::StopMachineState(e) = &event.data
            && e.step == ACK
        {
            let last = self.acks.entry((e.msdata, e.state)).or_default();
            *last = time.max(*last);
        }
        (time, abouts)
    }
}

/// An event with its causal time.
#[derive(Clone, Copy, Debug)]
pub struct Stamped<'e> {
    /// The event.
    pub event: &'e Event,
    /// Causal time, in nanoseconds of virtual time.
    pub time_ns: u64,
    /// How far the causal time lies after the vCPU's raw clock.
    pub pushed_ns: u64,
    /// What it is about.
    pub abouts: Abouts,
}

/// What a pass over all events has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Walked {
    /// Number of events; their sequence numbers were dense from 0.
    pub events: u64,
    /// The latest causal time.
    pub end_ns: u64,
    /// The farthest that an event was pushed.
    pub pushed_ns_max: u64,
}

/// Calls `f` with every event of `source` in order. An event that breaks the density of the sequence
/// numbers or names a CPU that the run does not have ends the pass with an error.
pub fn walk(
    source: &dyn Source,
    f: &mut dyn FnMut(&Stamped<'_>) -> Result<(), Error>,
) -> Result<Walked, Error> {
    let info = source.info();
    let mut clock = Clock::new();
    let mut walked = Walked::default();
    for event in source.events() {
        let event = event?;
        check(&event, walked.events, info.cpus)?;
        let (cycles, abouts) = clock.stamp(&event);
        let time_ns = info.ns(cycles);
        let stamped = Stamped {
            event: &event,
            time_ns,
            pushed_ns: time_ns - info.ns(event.cycles),
            abouts,
        };
        walked.events += 1;
        walked.end_ns = walked.end_ns.max(time_ns);
        walked.pushed_ns_max = walked.pushed_ns_max.max(stamped.pushed_ns);
        f(&stamped)?;
    }
    Ok(walked)
}

fn check(event: &Event, expected: u64, cpus: u32) -> Result<(), Error> {
    let seq = event.seq;
    let wrong = |what| Err(Error::Inconsistent { seq, what });
    if seq != expected {
        return wrong(format!("event {expected} was to come here"));
    }
    if event.cpu >= cpus {
        return wrong(format!("it is on cpu {} of {cpus}", event.cpu));
    }
    Ok(())
}
