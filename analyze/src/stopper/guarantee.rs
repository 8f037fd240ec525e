//! The stopper's guarantee as a number: the longest queue→start, and what every instant of it was spent
//! on (definitions.md section 4).
//!
//! The stretch from a work's queueing to its start is divided at the events of its CPU, of the wake-up
//! and of the interrupts sent there; each piece gets the first [`Part`] that matches. The pieces touch,
//! so they sum to the whole. An interrupt that finds interrupts on takes a *flight*: the shortest
//! send→entry of its vector in this recording, which is the machine's latency and the instructions
//! around it; it is measured on raw clocks, for the machine delivers by them and a hand-off may have pushed
//! the sending's causal time. It lands at the next legal stop, so one that is late by no more than the longest stretch
//! between two of those was still in flight; one that is later found interrupts off.

use std::collections::BTreeMap;

use trace::event::{Addr, Event, EventData};

use super::{Point, TaskName};
use crate::Error;
use crate::causal::{Stamped, walk};
use crate::names;
use crate::report::{Check, Footer, Report};
use crate::source::Source;
use crate::stats::{Sample, Summary, summarize};
use crate::works::{WorkId, Works};

mod tables;

/// What a piece of a work's wait was spent on, in the order in which they are asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// The stopper runs the function of an earlier work.
    Earlier,
    /// The stopper is on its CPU and between functions.
    Stopper,
    /// Whoever asked is still waking the stopper or on its way to send the interrupt.
    Ask,
    /// An interrupt to the CPU is on its way.
    Ipi,
    /// Interrupts are off: one is due and cannot land, or a handler runs.
    IrqsOff,
    /// The idle task notices that it has to go.
    Idle,
    /// Somebody has to go and still runs: preemption is off, until schedule() has switched.
    PreemptOff,
}

impl Part {
    /// All, in the order in which they usually come.
    pub const ALL: [Part; 7] = [
        Part::Ask,
        Part::Ipi,
        Part::IrqsOff,
        Part::Idle,
        Part::PreemptOff,
        Part::Earlier,
        Part::Stopper,
    ];

    /// The word of the reports.
    pub fn name(self) -> &'static str {
        match self {
            Part::Ask => "ask",
            Part::Ipi => "ipi",
            Part::IrqsOff => "irqs-off",
            Part::Idle => "idle",
            Part::PreemptOff => "preempt-off",
            Part::Earlier => "earlier-works",
            Part::Stopper => "stopper",
        }
    }
}

/// A stretch of a wait, all of one part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// What it was spent on.
    pub part: Part,
    /// Who did: the asking task, the interrupted or running task, the handler, the earlier function.
    pub who: String,
    /// Where it begins and ends, in causal time.
    pub from_ns: u64,
    /// See `from_ns`.
    pub to_ns: u64,
    /// The event that it begins at; the sending of an interrupt for one that is due.
    pub from_seq: u64,
    /// The event that it ends at, likewise.
    pub to_seq: u64,
}

impl Piece {
    /// Its duration.
    pub fn ns(&self) -> u64 {
        self.to_ns - self.from_ns
    }
}

/// A work's wait from its queueing to its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wait {
    /// The stopper's CPU.
    pub cpu: u32,
    /// The work's function.
    pub func: String,
    /// The function that asked for it.
    pub caller: String,
    /// The task that queued it, and where.
    pub queuer: TaskName,
    /// See `queuer`.
    pub queuer_cpu: u32,
    /// `stop:work_queue`.
    pub queue: Point,
    /// `stop:work_start`.
    pub start: Point,
    /// What it was made of, without gaps.
    pub pieces: Vec<Piece>,
}

impl Wait {
    /// How long.
    pub fn ns(&self) -> u64 {
        self.start.time_ns.saturating_sub(self.queue.time_ns)
    }

    /// Time of one part.
    pub fn part_ns(&self, part: Part) -> u64 {
        let pieces = self.pieces.iter().filter(|piece| piece.part == part);
        pieces.map(Piece::ns).sum()
    }
}

/// One part over all works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartTotal {
    /// Which.
    pub part: Part,
    /// Time of it in all waits.
    pub ns: u64,
    /// Of the works that have any of it; the sample is the work's queueing.
    pub summary: Summary,
}

/// The longest waits of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guarantee {
    /// The longest waits, the longest first; of equal ones the first.
    pub waits: Vec<Wait>,
    /// Number of works that started.
    pub works: u64,
    /// All waits together.
    pub total_ns: u64,
    /// What all waits were made of.
    pub parts: Vec<PartTotal>,
    /// The flight of an interrupt that finds interrupts on, by vector.
    pub flights: Vec<(&'static str, u64)>,
    /// What was checked.
    pub checks: Vec<Check>,
    /// How far to trust the times.
    pub footer: Footer,
}

impl Guarantee {
    /// Tables and checks.
    pub fn report(&self) -> Report {
        tables::report(self)
    }
}

/// Finds the `top` longest waits and what they were made of, and the sums over all.
pub fn analyze(source: &dyn Source, top: usize) -> Result<Guarantee, Error> {
    let mut flights = Flights::default();
    let cpus = source.info().cpus as usize;
    flights.outstanding.resize(cpus, Vec::new());
    walk(source, &mut |event| {
        flights.push(event, source.info().ipi_latency);
        Ok(())
    })?;
    let mut tracker = Tracker::new(source, flights.shortest, top);
    let walked = walk(source, &mut |event| tracker.push(event))?;
    let sum: u64 = tracker.samples.iter().flatten().map(|s| s.value_ns).sum();
    let checks = vec![Check {
        name: "the parts of every queue-to-start sum to it",
        holds: tracker.uneven == 0 && sum == tracker.total_ns,
        detail: format!("{} works; {sum} = {} ns", tracker.started, tracker.total_ns),
    }];
    Ok(Guarantee {
        works: tracker.started,
        total_ns: tracker.total_ns,
        parts: Part::ALL
            .into_iter()
            .map(|part| PartTotal {
                part,
                ns: tracker.samples[part as usize]
                    .iter()
                    .map(|s| s.value_ns)
                    .sum(),
                summary: summarize(tracker.samples[part as usize].iter().copied()),
            })
            .collect(),
        flights: tracker
            .flights
            .iter()
            .map(|(v, ns)| (v.name(), *ns))
            .collect(),
        waits: tracker.longest,
        checks,
        footer: Footer::new(source.info(), &walked),
    })
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Vector {
    Reschedule,
    CallFunction,
    CallFunctionSingle,
}

impl Vector {
    fn name(self) -> &'static str {
        match self {
            Vector::Reschedule => "reschedule",
            Vector::CallFunction => "call_function",
            Vector::CallFunctionSingle => "call_function_single",
        }
    }
}

/// The vector of a sent interrupt and its receivers, as a mask.
fn sent(data: &EventData) -> Option<(Vector, u64)> {
    match data {
        EventData::IpiSendCpu(e) => {
            let vector = match e.callback {
                Addr(0) => Vector::Reschedule,
                _ => Vector::CallFunctionSingle,
            };
            Some((vector, 1_u64.checked_shl(e.cpu).unwrap_or(0)))
        }
        EventData::IpiSendCpumask(e) => Some((Vector::CallFunction, e.cpumask.0)),
        _ => None,
    }
}

/// Name of the handler that begins, and its vector if the interrupt comes from a CPU.
fn handler_begins(data: &EventData) -> Option<(&'static str, Option<Vector>)> {
    Some(match data {
        EventData::LocalTimerEntry(_) => ("local_timer", None),
        EventData::RescheduleEntry(_) => ("reschedule", Some(Vector::Reschedule)),
        EventData::CallFunctionEntry(_) => ("call_function", Some(Vector::CallFunction)),
        EventData::CallFunctionSingleEntry(_) => {
            ("call_function_single", Some(Vector::CallFunctionSingle))
        }
        _ => return None,
    })
}

fn handler_ends(data: &EventData) -> bool {
    matches!(
        data,
        EventData::LocalTimerExit(_)
            | EventData::RescheduleExit(_)
            | EventData::CallFunctionExit(_)
            | EventData::CallFunctionSingleExit(_)
    )
}

/// An interrupt that has been sent and not been entered.
#[derive(Clone, Copy, Debug)]
struct Sent {
    vector: Vector,
    seq: u64,
    /// In causal time, and on the sender's raw clock.
    time_ns: u64,
    raw_ns: u64,
    /// The receiver's raw clock before which it cannot land.
    due_cycles: u64,
}

impl Sent {
    fn of(event: &Stamped<'_>, vector: Vector, latency: u64) -> Sent {
        Sent {
            vector,
            seq: event.event.seq,
            time_ns: event.time_ns,
            raw_ns: event.time_ns - event.pushed_ns,
            due_cycles: event.event.cycles.saturating_add(latency),
        }
    }

    fn lands(&self, vector: Vector, entry: &Event) -> bool {
        self.vector == vector && self.due_cycles <= entry.cycles
    }
}

/// The shortest time from sending to entry, by vector.
#[derive(Default)]
struct Flights {
    outstanding: Vec<Vec<Sent>>,
    shortest: BTreeMap<Vector, u64>,
}

impl Flights {
    fn push(&mut self, event: &Stamped<'_>, latency: u64) {
        if let Some((vector, receivers)) = sent(&event.event.data) {
            for (cpu, outstanding) in self.outstanding.iter_mut().enumerate() {
                if receivers.checked_shr(cpu as u32).unwrap_or(0) & 1 == 1 {
                    outstanding.push(Sent::of(event, vector, latency));
                }
            }
        }
        let Some((_, Some(vector))) = handler_begins(&event.event.data) else {
            return;
        };
        let outstanding = &mut self.outstanding[event.event.cpu as usize];
        for sent in outstanding.iter().filter(|s| s.lands(vector, event.event)) {
            let ns = (event.time_ns - event.pushed_ns).saturating_sub(sent.raw_ns);
            let shortest = self.shortest.entry(vector).or_insert(ns);
            *shortest = ns.min(*shortest);
        }
        outstanding.retain(|s| !s.lands(vector, event.event));
    }
}

/// What a CPU is doing, as far as a work that waits for its stopper is concerned.
#[derive(Clone, Debug)]
struct Doing {
    task: TaskName,
    /// The stopper of this CPU is on it.
    stopper_on: bool,
    /// It has been woken and has not slept since.
    awake: bool,
    handler: Option<&'static str>,
    /// The function of the work that runs.
    work: Option<String>,
    inbound: Vec<Sent>,
    /// Sequence numbers of the interrupts that are later than a flight.
    late: Vec<u64>,
}

/// A change of it.
#[derive(Clone, Debug)]
enum Change {
    Woken,
    Sent { sent: Sent, for_stopper: bool },
    Due(u64),
    Handler(Option<&'static str>),
    Entered(Vec<u64>),
    Switch { task: TaskName, stopper: bool },
    Asleep,
    Work(Option<String>),
}

struct Mark {
    at: Point,
    change: Change,
}

/// A work that is queued and has not started.
struct Open {
    id: WorkId,
    func: String,
    caller: String,
    queuer: TaskName,
    queuer_cpu: u32,
    queue: Point,
    /// As of the queueing.
    doing: Doing,
    marks: Vec<Mark>,
}

struct Tracker<'s> {
    source: &'s dyn Source,
    flights: BTreeMap<Vector, u64>,
    ids: Works,
    cpus: Vec<Doing>,
    /// Pids of the stoppers that have been woken.
    stoppers: Vec<Option<i32>>,
    open: Vec<Vec<Open>>,
    top: usize,
    longest: Vec<Wait>,
    samples: [Vec<Sample>; 7],
    started: u64,
    total_ns: u64,
    /// Works whose parts do not sum to their wait.
    uneven: u64,
}

impl<'s> Tracker<'s> {
    fn new(source: &'s dyn Source, flights: BTreeMap<Vector, u64>, top: usize) -> Tracker<'s> {
        let cpus = source.info().cpus;
        let idle = |cpu| Doing {
            task: TaskName {
                comm: format!("swapper/{cpu}"),
                tid: 0,
            },
            stopper_on: false,
            awake: false,
            handler: None,
            work: None,
            inbound: Vec::new(),
            late: Vec::new(),
        };
        Tracker {
            source,
            flights,
            ids: Works::new(cpus),
            cpus: (0..cpus).map(idle).collect(),
            stoppers: vec![None; cpus as usize],
            open: (0..cpus).map(|_| Vec::new()).collect(),
            top,
            longest: Vec::new(),
            samples: std::array::from_fn(|_| Vec::new()),
            started: 0,
            total_ns: 0,
            uneven: 0,
        }
    }

    fn push(&mut self, event: &Stamped<'_>) -> Result<(), Error> {
        let at = Point {
            seq: event.event.seq,
            time_ns: event.time_ns,
            pushed_ns: event.pushed_ns,
        };
        let cpu = event.event.cpu;
        let bad = |what| Error::Inconsistent { seq: at.seq, what };
        match &event.event.data {
            EventData::StopWorkQueue(e) => {
                let id = self.ids.queue(e.cpu, e.work).map_err(bad)?;
                let open = Open {
                    id,
                    func: names::function(self.source, e.func),
                    caller: names::function(self.source, e.caller),
                    queuer: TaskName {
                        comm: event.event.comm.to_text(),
                        tid: event.event.pid,
                    },
                    queuer_cpu: cpu,
                    queue: at,
                    doing: self.cpus[e.cpu as usize].clone(),
                    marks: Vec::new(),
                };
                self.open[e.cpu as usize].push(open);
            }
            EventData::StopWorkStart(e) => {
                let id = self.ids.start(e.cpu, e.work).map_err(bad)?;
                let open = &mut self.open[e.cpu as usize];
                if let Some(place) = open.iter().position(|open| open.id == id) {
                    let open = open.remove(place);
                    self.started(open, e.cpu, at);
                }
                let func = names::function(self.source, e.func);
                self.change(e.cpu, at, Change::Work(Some(func)));
            }
            EventData::StopWorkDone(e) => {
                self.ids.done(e.cpu, e.work).map_err(bad)?;
                self.change(e.cpu, at, Change::Work(None));
            }
            EventData::SchedWaking(e) => {
                if let Some(stopper) = self.stopper(e.comm) {
                    self.stoppers[stopper as usize] = Some(e.pid);
                    self.change(stopper, at, Change::Woken);
                }
            }
            EventData::SchedSwitch(e) => {
                let asleep = e.prev_state != 0 && e.prev_state & 0x100 == 0;
                if let Some(stopper) = self.stopper(e.prev_comm)
                    && asleep
                {
                    self.change(stopper, at, Change::Asleep);
                }
                let switch = Change::Switch {
                    task: TaskName {
                        comm: e.next_comm.to_text(),
                        tid: e.next_pid,
                    },
                    stopper: self.stopper(e.next_comm) == Some(cpu),
                };
                self.change(cpu, at, switch);
            }
            data => self.interrupt(data, event, at),
        }
        Ok(())
    }

    /// The CPU whose stopper has this name, if the run has that CPU.
    fn stopper(&self, comm: trace::event::Comm) -> Option<u32> {
        names::stopper_cpu(comm).filter(|cpu| (*cpu as usize) < self.cpus.len())
    }

    fn interrupt(&mut self, data: &EventData, event: &Stamped<'_>, at: Point) {
        let cpu = event.event.cpu;
        if let Some((vector, receivers)) = sent(data) {
            let sent = Sent::of(event, vector, self.source.info().ipi_latency);
            for receiver in 0..self.cpus.len() as u32 {
                if receivers.checked_shr(receiver).unwrap_or(0) & 1 == 1 {
                    let for_stopper = self.about_stopper(event, receiver);
                    self.change(receiver, at, Change::Sent { sent, for_stopper });
                }
            }
        }
        if let Some((name, vector)) = handler_begins(data) {
            if let Some(vector) = vector {
                let inbound = self.cpus[cpu as usize].inbound.iter();
                let landed = inbound.filter(|sent| sent.lands(vector, event.event));
                let landed = landed.map(|sent| sent.seq).collect();
                self.change(cpu, at, Change::Entered(landed));
            }
            self.change(cpu, at, Change::Handler(Some(name)));
        } else if handler_ends(data) {
            self.change(cpu, at, Change::Handler(None));
        }
    }

    /// Whether an interrupt is sent for the sake of the receiver's stopper.
    fn about_stopper(&self, event: &Stamped<'_>, receiver: u32) -> bool {
        let stopper = self.stoppers[receiver as usize];
        stopper.is_some_and(|pid| event.abouts.has_task(pid))
    }

    /// Something changes on a CPU: for it, and for the works that wait there.
    fn change(&mut self, cpu: u32, at: Point, change: Change) {
        for open in &mut self.open[cpu as usize] {
            open.marks.push(Mark {
                at,
                change: change.clone(),
            });
        }
        self.cpus[cpu as usize].apply(change);
    }

    fn started(&mut self, open: Open, cpu: u32, start: Point) {
        let stretch = self.source.info().longest_stretch.unwrap_or(0);
        let stretch_ns = self.source.info().ns(stretch);
        let pieces = pieces(&open, start, &self.flights, stretch_ns);
        let wait = Wait {
            cpu,
            func: open.func,
            caller: open.caller,
            queuer: open.queuer,
            queuer_cpu: open.queuer_cpu,
            queue: open.queue,
            start,
            pieces,
        };
        self.started += 1;
        self.total_ns += wait.ns();
        let mut sum = 0;
        for part in Part::ALL {
            let value_ns = wait.part_ns(part);
            sum += value_ns;
            if value_ns > 0 {
                self.samples[part as usize].push(Sample {
                    value_ns,
                    time_ns: wait.queue.time_ns,
                    seq: wait.queue.seq,
                });
            }
        }
        self.uneven += u64::from(sum != wait.ns());
        let longer = |other: &Wait| (other.ns(), wait.queue.seq) > (wait.ns(), other.queue.seq);
        let place = self.longest.partition_point(longer);
        if place < self.top {
            self.longest.insert(place, wait);
            self.longest.truncate(self.top);
        }
    }
}

impl Doing {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Woken => self.awake = true,
            Change::Sent { sent, .. } => self.inbound.push(sent),
            Change::Due(seq) => self.late.push(seq),
            Change::Handler(handler) => self.handler = handler,
            Change::Entered(landed) => {
                self.inbound.retain(|sent| !landed.contains(&sent.seq));
                self.late.retain(|seq| !landed.contains(seq));
            }
            Change::Switch { task, stopper } => {
                self.task = task;
                self.stopper_on = stopper;
            }
            Change::Asleep => self.awake = false,
            Change::Work(work) => self.work = work,
        }
    }

    /// The part that an instant in this state belongs to. `asking`: the interrupt for the stopper is
    /// still to be sent.
    fn part(&self, asking: bool) -> Part {
        let in_flight = |sent: &Sent| !self.late.contains(&sent.seq);
        if self.work.is_some() {
            Part::Earlier
        } else if self.stopper_on {
            Part::Stopper
        } else if !self.awake || asking {
            Part::Ask
        } else if self.inbound.iter().any(in_flight) {
            Part::Ipi
        } else if self.handler.is_some() || !self.inbound.is_empty() {
            Part::IrqsOff
        } else if self.task.tid == 0 {
            Part::Idle
        } else {
            Part::PreemptOff
        }
    }

    fn who(&self, part: Part, open: &Open) -> String {
        let task = |task: &TaskName| names::task(&task.comm, task.tid);
        match part {
            Part::Earlier => self.work.clone().unwrap_or_default(),
            Part::Ask => format!("{}@{}", task(&open.queuer), open.queuer_cpu),
            Part::Ipi => {
                let last = self.inbound.iter().max_by_key(|sent| sent.due_cycles);
                last.map_or("", |sent| sent.vector.name()).to_owned()
            }
            Part::IrqsOff => match self.handler {
                Some(handler) => format!("{handler} in {}", task(&self.task)),
                None => task(&self.task),
            },
            Part::Stopper | Part::Idle | Part::PreemptOff => task(&self.task),
        }
    }
}

/// Divides a wait.
fn pieces(
    open: &Open,
    start: Point,
    flights: &BTreeMap<Vector, u64>,
    stretch_ns: u64,
) -> Vec<Piece> {
    let clamp = |ns: u64| ns.clamp(open.queue.time_ns, start.time_ns.max(open.queue.time_ns));
    let mut marks: Vec<(u64, u64, &Change)> = Vec::new();
    let due = due(open, flights, stretch_ns);
    marks.extend(
        due.iter()
            .map(|(at, seq, change)| (clamp(*at), *seq, change)),
    );
    let own = open.marks.iter();
    marks.extend(own.map(|mark| (clamp(mark.at.time_ns), mark.at.seq, &mark.change)));
    marks.sort_by_key(|(time, seq, _)| (*time, *seq));
    let for_stopper = |(_, _, change): &(u64, u64, &Change)| {
        matches!(
            change,
            Change::Sent {
                for_stopper: true,
                ..
            }
        )
    };
    // Up to here whoever woke the stopper is on the way to send the interrupt.
    let sends = marks.iter().position(for_stopper);

    let mut doing = open.doing.clone();
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut from_ns, mut from_seq) = (open.queue.time_ns, open.queue.seq);
    let end = (clamp(start.time_ns), start.seq, None);
    let changes = marks
        .iter()
        .map(|(time, seq, change)| (*time, *seq, Some(*change)));
    for (place, (to_ns, to_seq, change)) in changes.chain([end]).enumerate() {
        let part = doing.part(sends.is_some_and(|sends| place <= sends));
        let who = doing.who(part, open);
        match pieces.last_mut() {
            _ if to_ns == from_ns => {}
            Some(last) if last.part == part && last.who == who => {
                (last.to_ns, last.to_seq) = (to_ns, to_seq);
            }
            _ => pieces.push(Piece {
                part,
                who,
                from_ns,
                to_ns,
                from_seq,
                to_seq,
            }),
        }
        (from_ns, from_seq) = (to_ns, to_seq);
        if let Some(change) = change {
            doing.apply(change.clone());
        }
    }
    pieces
}

/// When each interrupt that had not landed after its flight was due.
fn due(open: &Open, flights: &BTreeMap<Vector, u64>, stretch_ns: u64) -> Vec<(u64, u64, Change)> {
    let before = open.doing.inbound.iter();
    let later = open.marks.iter().filter_map(|mark| match &mark.change {
        Change::Sent { sent, .. } => Some(sent),
        _ => None,
    });
    let landed = |seq: u64| {
        let mut marks = open.marks.iter();
        let entry =
            marks.find(|mark| matches!(&mark.change, Change::Entered(l) if l.contains(&seq)));
        entry.map(|entry| entry.at.time_ns - entry.at.pushed_ns)
    };
    let mut due = Vec::new();
    for sent in before.chain(later) {
        let at = sent.raw_ns + flights.get(&sent.vector).copied().unwrap_or(0);
        let late = landed(sent.seq).is_none_or(|landed| landed > at + stretch_ns);
        if late {
            due.push((at.max(sent.time_ns), sent.seq, Change::Due(sent.seq)));
        }
    }
    due
}
