//! stop_machine: how the CPUs of each request went through its states together.
//!
//! definitions.md section 4. A *request* is the works of one `cpu_stop_done` whose function is
//! `multi_cpu_stop`: one work a *participant*. A participant enters PREPARE, DISABLE_IRQ, RUN and EXIT
//! and acknowledges each; it polls until the last acknowledgement of a state lets everybody into the
//! next. `tracker` joins the events, `tables` is what the report shows, `docs` what its columns mean.

mod docs;
mod tables;
mod tracker;

use std::fmt;

use crate::Error;
use crate::causal::walk;
use crate::report::{Check, Footer, Report};
use crate::source::Source;
use crate::stopper::{Point, TaskName};

/// Linux's `enum multi_stop_state`, without the NONE that no participant enters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// Everybody comes together, interrupts on.
    Prepare,
    /// Everybody has turned interrupts off.
    DisableIrq,
    /// The active participants run the function.
    Run,
    /// Everybody leaves; interrupts come on again.
    Exit,
}

impl State {
    /// All, in their order.
    pub const ALL: [State; 4] = [State::Prepare, State::DisableIrq, State::Run, State::Exit];

    /// The state that an event's number means.
    pub fn of(number: u32) -> Option<State> {
        let at = usize::try_from(number.checked_sub(1)?).ok()?;
        State::ALL.get(at).copied()
    }

    /// Linux's name of it, without the prefix.
    pub fn name(self) -> &'static str {
        match self {
            State::Prepare => "PREPARE",
            State::DisableIrq => "DISABLE_IRQ",
            State::Run => "RUN",
            State::Exit => "EXIT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A participant in one state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passage {
    /// It has seen the state.
    pub enter: Point,
    /// It has done the state's part and acknowledged it.
    pub ack: Option<Point>,
    /// Polls until it saw the state.
    pub polls: u64,
    /// Polls between the two; Linux's loop has none there.
    pub polls_inside: u64,
}

/// The stretches that [`Participant::phases_ns`] divides a run into, in their order.
pub const PHASES: [&str; 9] = [
    "entry",
    "prepare",
    "prepare-wait",
    "disable-irq",
    "disable-irq-wait",
    "run",
    "run-wait",
    "exit",
    "return",
];

/// One CPU of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Participant {
    /// The CPU.
    pub cpu: u32,
    /// It runs the function; unknown if it has entered no state.
    pub active: Option<bool>,
    /// `stop:work_queue` of its work.
    pub queue: Point,
    /// `stop:work_start`.
    pub start: Option<Point>,
    /// `stop:work_done`.
    pub done: Option<Point>,
    /// The four states.
    pub states: [Option<Passage>; 4],
}

impl Participant {
    /// Its passage through a state, if it has entered it.
    pub fn state(&self, state: State) -> Option<&Passage> {
        self.states[state as usize].as_ref()
    }

    fn enter(&self, state: State) -> Option<Point> {
        Some(self.state(state)?.enter)
    }

    fn ack(&self, state: State) -> Option<Point> {
        self.state(state)?.ack
    }

    /// From the start of its work to its done.
    pub fn run_ns(&self) -> Option<u64> {
        between(self.start?, self.done?)
    }

    /// From queueing to the start of its work.
    pub fn queue_to_start_ns(&self) -> Option<u64> {
        between(self.queue, self.start?)
    }

    /// How long its interrupts were off: from DISABLE_IRQ's enter to EXIT's acknowledgement, which comes
    /// after interrupts are on again.
    pub fn irqs_off_ns(&self) -> Option<u64> {
        between(self.enter(State::DisableIrq)?, self.ack(State::Exit)?)
    }

    /// Polls in all.
    pub fn polls(&self) -> u64 {
        let passages = self.states.iter().flatten();
        passages.map(|p| p.polls + p.polls_inside).sum()
    }

    /// Its run divided at its ten boundaries, in the order of [`PHASES`]; `None` unless it went through
    /// all states and returned.
    pub fn phases_ns(&self) -> Option<[u64; 9]> {
        let mut phases = [0; 9];
        let mut now = self.start?;
        let mut slot = phases.iter_mut();
        let mut until = |point: Point| -> Option<()> {
            *slot.next()? = between(now, point)?;
            now = point;
            Some(())
        };
        for state in State::ALL {
            until(self.enter(state)?)?;
            until(self.ack(state)?)?;
        }
        // Nobody waits after EXIT: what is left is the way out of the function.
        until(self.done?)?;
        Some(phases)
    }
}

fn between(from: Point, to: Point) -> Option<u64> {
    to.time_ns.checked_sub(from.time_ns)
}

/// One stop_machine or stop_two_cpus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// The function that was run with all of them stopped; unknown without a state event.
    pub func: Option<String>,
    /// The function that queued the works.
    pub caller: String,
    /// The task that did.
    pub queuer: TaskName,
    /// The CPU it was on.
    pub queuer_cpu: u32,
    /// The participants, by CPU.
    pub participants: Vec<Participant>,
}

impl Request {
    /// The first queueing.
    pub fn queue(&self) -> Point {
        let queues = self.participants.iter().map(|p| p.queue);
        queues.min_by_key(|p| p.seq).unwrap_or(Point {
            seq: 0,
            time_ns: 0,
            pushed_ns: 0,
        })
    }

    fn all<T>(&self, of: impl Fn(&Participant) -> Option<T>) -> Option<Vec<T>> {
        self.participants.iter().map(of).collect()
    }

    fn last(&self, of: impl Fn(&Participant) -> Option<Point>) -> Option<Point> {
        self.all(of)?.into_iter().max_by_key(|p| (p.time_ns, p.seq))
    }

    /// First and last enter of a state and the CPUs that they were on; `None` until all have entered.
    pub fn enters(&self, state: State) -> Option<((Point, u32), (Point, u32))> {
        let enters = self.all(|p| Some((p.enter(state)?, p.cpu)))?;
        let key = |(point, _): &&(Point, u32)| (point.time_ns, point.seq);
        let first = enters.iter().min_by_key(key)?;
        let last = enters.iter().max_by_key(key)?;
        Some((*first, *last))
    }

    /// Last enter of a state - its first.
    pub fn skew_ns(&self, state: State) -> Option<u64> {
        let ((first, _), (last, _)) = self.enters(state)?;
        between(first, last)
    }

    /// From the first queueing until everybody has come: the last enter of PREPARE.
    pub fn gather_ns(&self) -> Option<u64> {
        let (_, (last, _)) = self.enters(State::Prepare)?;
        between(self.queue(), last)
    }

    /// From the first queueing to the last done.
    pub fn total_ns(&self) -> Option<u64> {
        between(self.queue(), self.last(|p| p.done)?)
    }

    /// How long the function ran: RUN's enter to its acknowledgement, on the active participant that
    /// took longest.
    pub fn func_ns(&self) -> Option<u64> {
        let active = self.participants.iter().filter(|p| p.active == Some(true));
        let ns = active.map(|p| between(p.enter(State::Run)?, p.ack(State::Run)?));
        ns.collect::<Option<Vec<u64>>>()?.into_iter().max()
    }

    /// The longest that a participant's interrupts were off.
    pub fn irqs_off_ns_max(&self) -> Option<u64> {
        self.all(Participant::irqs_off_ns)?.into_iter().max()
    }

    /// Time with interrupts off, over all participants.
    pub fn irqs_off_ns_sum(&self) -> Option<u64> {
        Some(self.all(Participant::irqs_off_ns)?.into_iter().sum())
    }

    /// Polls of all participants.
    pub fn polls(&self) -> u64 {
        self.participants.iter().map(Participant::polls).sum()
    }
}

/// All requests of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StopMachineReport {
    /// The requests, in the order in which they were queued.
    pub requests: Vec<Request>,
    /// Number of `stop:machine_state` events.
    pub steps: u64,
    /// What was checked.
    pub checks: Vec<Check>,
    /// How far to trust the times.
    pub footer: Footer,
}

impl StopMachineReport {
    /// Tables, summaries and checks.
    pub fn report(&self) -> Report {
        tables::report(self)
    }

    /// The request that took longest; the first of equal ones.
    pub fn longest(&self) -> Option<&Request> {
        let ended = self.requests.iter().filter(|r| r.total_ns().is_some());
        ended.reduce(|a, b| if b.total_ns() > a.total_ns() { b } else { a })
    }

    /// The request that this event belongs to: queued by it, or the last one queued before it.
    pub fn at(&self, seq: u64) -> Option<&Request> {
        let before = self.requests.iter().filter(|r| r.queue().seq <= seq);
        before.max_by_key(|r| r.queue().seq)
    }
}

/// Finds every request and what its participants did.
pub fn analyze(source: &dyn Source) -> Result<StopMachineReport, Error> {
    let mut tracker = tracker::Tracker::new(source);
    let walked = walk(source, &mut |event| tracker.push(event))?;
    let found = tracker.finish();
    let checks = vec![
        phases(&found.requests),
        polls(&found),
        order(&found.requests),
        undisturbed(&found),
    ];
    Ok(StopMachineReport {
        requests: found.requests,
        steps: found.steps,
        checks,
        footer: Footer::new(source.info(), &walked),
    })
}

/// Participants that have returned.
fn returned(requests: &[Request]) -> impl Iterator<Item = &Participant> + Clone {
    let all = requests.iter().flat_map(|r| &r.participants);
    all.filter(|p| p.done.is_some() && p.active.is_some())
}

fn phases(requests: &[Request]) -> Check {
    let all = returned(requests);
    let sums = |p: &&Participant| {
        let phases = p.phases_ns().map(|phases| phases.iter().sum::<u64>());
        phases.is_some() && phases == p.run_ns()
    };
    let (sum, count) = (all.clone().filter(sums).count(), all.count());
    Check {
        name: "every participant that returned went through all four states, and the phases sum to its run",
        holds: sum == count,
        detail: format!("{sum} of {count} participants"),
    }
}

fn polls(found: &tracker::Found) -> Check {
    let sum: u64 = found.requests.iter().map(Request::polls).sum();
    let all = found.requests.iter().flat_map(|r| &r.participants);
    let passages = all.flat_map(|p| p.states.iter().flatten());
    let unpolled = passages.filter(|p| p.polls == 0).count();
    Check {
        name: "polls of the requests = polls of the events, and no state was seen without a poll",
        holds: sum == found.polls && unpolled == 0,
        detail: format!("{sum} = {}; {unpolled} without", found.polls),
    }
}

/// In the order of execution, which is that of cause and effect.
fn order(requests: &[Request]) -> Check {
    let (mut steps, mut early) = (0_u64, 0_u64);
    for request in requests {
        for pair in State::ALL.windows(2) {
            let enters = request.participants.iter().filter_map(|p| p.enter(pair[1]));
            let Some(first) = enters.map(|p| p.seq).min() else {
                continue;
            };
            let acks = request.participants.iter().map(|p| p.ack(pair[0]));
            steps += 1;
            early += u64::from(
                acks.into_iter()
                    .any(|ack| ack.is_none_or(|a| a.seq > first)),
            );
        }
    }
    Check {
        name: "nobody enters a state before all have acknowledged the one before",
        holds: early == 0,
        detail: format!("{steps} changes of state, {early} too early"),
    }
}

fn undisturbed(found: &tracker::Found) -> Check {
    Check {
        name: "no interrupt lands on a participant between DISABLE_IRQ's ack and EXIT's enter",
        holds: found.disturbed.is_none(),
        detail: match found.disturbed {
            None => format!("{} stretches", found.stretches),
            Some(seq) => format!("event @{seq} is one"),
        },
    }
}
