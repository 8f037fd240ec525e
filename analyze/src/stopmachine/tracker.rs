//! Joins the works of `multi_cpu_stop` and the steps of their participants, once through the events.

use std::collections::HashMap;

use trace::event::EventData;
use trace::events::{StopMachineState, StopWorkDone, StopWorkQueue};

use super::{Participant, Passage, Request, State};
use crate::Error;
use crate::causal::{self, Stamped};
use crate::names;
use crate::source::Source;
use crate::stopper::{Point, TaskName};
use crate::works::{WorkId, Works};

/// The function that takes a CPU through the states.
const MULTI_CPU_STOP: &str = "multi_cpu_stop";

/// What the tracker has found.
pub(super) struct Found {
    pub(super) requests: Vec<Request>,
    /// Number of `stop:machine_state` events, and the sum of their polls.
    pub(super) steps: u64,
    pub(super) polls: u64,
    /// Stretches of participants with interrupts off, and the first interrupt inside one.
    pub(super) stretches: u64,
    pub(super) disturbed: Option<u64>,
}

pub(super) struct Tracker<'s> {
    source: &'s dyn Source,
    ids: Works,
    /// Requests that are not over, by what their works share.
    open: HashMap<causal::Request, usize>,
    /// Request and place among its participants of each work of `multi_cpu_stop` that is not done.
    places: HashMap<WorkId, (usize, usize)>,
    /// CPUs between DISABLE_IRQ's ack and EXIT's enter.
    irqs_off: Vec<bool>,
    found: Found,
}

impl<'s> Tracker<'s> {
    pub(super) fn new(source: &'s dyn Source) -> Tracker<'s> {
        let cpus = source.info().cpus;
        Tracker {
            source,
            ids: Works::new(cpus),
            open: HashMap::new(),
            places: HashMap::new(),
            irqs_off: vec![false; cpus as usize],
            found: Found {
                requests: Vec::new(),
                steps: 0,
                polls: 0,
                stretches: 0,
                disturbed: None,
            },
        }
    }

    pub(super) fn push(&mut self, event: &Stamped<'_>) -> Result<(), Error> {
        let at = Point {
            seq: event.event.seq,
            time_ns: event.time_ns,
            pushed_ns: event.pushed_ns,
        };
        let cpu = event.event.cpu;
        let bad = |what| Error::Inconsistent { seq: at.seq, what };
        match &event.event.data {
            EventData::StopWorkQueue(e) => self.queue(e, event, at).map_err(bad)?,
            EventData::StopWorkStart(e) => {
                let id = self.ids.start(e.cpu, e.work).map_err(bad)?;
                if let Some(participant) = self.participant(id) {
                    participant.start = Some(at);
                }
            }
            EventData::StopWorkDone(e) => {
                let id = self.ids.done(e.cpu, e.work).map_err(bad)?;
                self.done(id, e, at);
            }
            EventData::StopMachineState(e) => self.step(e, cpu, at).map_err(bad)?,
            EventData::LocalTimerEntry(_)
            | EventData::RescheduleEntry(_)
            | EventData::CallFunctionEntry(_)
            | EventData::CallFunctionSingleEntry(_)
                if self.irqs_off[cpu as usize] =>
            {
                self.found.disturbed.get_or_insert(at.seq);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Found {
        for request in &mut self.found.requests {
            request.participants.sort_by_key(|p| p.cpu);
        }
        self.found
    }

    fn participant(&mut self, id: WorkId) -> Option<&mut Participant> {
        let (request, at) = *self.places.get(&id)?;
        self.found.requests[request].participants.get_mut(at)
    }

    fn queue(&mut self, e: &StopWorkQueue, event: &Stamped<'_>, at: Point) -> Result<(), String> {
        let id = self.ids.queue(e.cpu, e.work)?;
        if names::function(self.source, e.func) != MULTI_CPU_STOP {
            return Ok(());
        }
        let shared = causal::Request::of(e.pending, e.done, e.work);
        let requests = &mut self.found.requests;
        let index = *self.open.entry(shared).or_insert(requests.len());
        if index == requests.len() {
            requests.push(Request {
                func: None,
                caller: names::function(self.source, e.caller),
                queuer: TaskName {
                    comm: event.event.comm.to_text(),
                    tid: event.event.pid,
                },
                queuer_cpu: event.event.cpu,
                participants: Vec::new(),
            });
        }
        let participants = &mut requests[index].participants;
        self.places.insert(id, (index, participants.len()));
        participants.push(Participant {
            cpu: e.cpu,
            active: None,
            queue: at,
            start: None,
            done: None,
            states: [None; 4],
        });
        Ok(())
    }

    fn done(&mut self, id: WorkId, e: &StopWorkDone, at: Point) {
        if let Some(participant) = self.participant(id) {
            participant.done = Some(at);
        }
        self.places.remove(&id);
        if e.nr_todo <= 0 {
            let shared = causal::Request::of(e.pending, e.done, e.work);
            self.open.remove(&shared);
        }
    }

    fn step(&mut self, e: &StopMachineState, cpu: u32, at: Point) -> Result<(), String> {
        if e.cpu != cpu {
            return Err(format!("it names cpu {} and is of cpu {cpu}", e.cpu));
        }
        let Some(state) = State::of(e.state) else {
            return Err(format!("there is no multi_stop_state {}", e.state));
        };
        let place = self.ids.running(cpu).and_then(|id| self.places.get(&id));
        let Some(&(request, place)) = place else {
            return Err(format!("cpu {cpu} is not in {MULTI_CPU_STOP}"));
        };
        self.found.steps += 1;
        self.found.polls += e.polls;
        let func = names::function(self.source, e.func);
        let request = &mut self.found.requests[request];
        request.func.get_or_insert(func);
        let participant = &mut request.participants[place];
        participant.active = Some(e.active != 0);
        let before = (state as usize).checked_sub(1);
        let before = before.map(|before| participant.states[before]);
        let passage = &mut participant.states[state as usize];
        match (e.step, &mut *passage) {
            (0, None) => {
                if before.is_some_and(|b| b.is_none_or(|b| b.ack.is_none())) {
                    return Err(format!(
                        "cpu {cpu} has not been through the state before {state}"
                    ));
                }
                *passage = Some(Passage {
                    enter: at,
                    ack: None,
                    polls: e.polls,
                    polls_inside: 0,
                });
            }
            (1, Some(passage)) if passage.ack.is_none() => {
                passage.ack = Some(at);
                passage.polls_inside = e.polls;
            }
            (step, _) => {
                let step = if step == 0 { "enters" } else { "acknowledges" };
                return Err(format!("cpu {cpu} {step} {state} out of turn"));
            }
        }
        match (state, e.step) {
            (State::DisableIrq, 1) => {
                self.irqs_off[cpu as usize] = true;
                self.found.stretches += 1;
            }
            (State::Exit, _) => self.irqs_off[cpu as usize] = false,
            _ => {}
        }
        Ok(())
    }
}
