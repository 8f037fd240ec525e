//! What follows from the events one by one: how many tasks each runqueue has, interrupts, and the
//! states of stop_machine.

use std::collections::BTreeMap;

use trace::event::{Event, EventData};

use super::Packets;
use super::tracks::{Arg, Label, Track};
use crate::Error;
use crate::names;
use crate::source::Source;

/// `nr_running` of each CPU: its queued tasks and the one that runs, without the idle task.
///
/// A task is in a queue from the end of `activate_task` until it leaves the CPU in another state than
/// R, or moves. The events must come in the order of time.
pub(super) struct NrRunning {
    queued_on: BTreeMap<i32, u32>,
    cpus: Vec<u64>,
}

impl NrRunning {
    pub(super) fn new(cpus: u32) -> NrRunning {
        NrRunning {
            queued_on: BTreeMap::new(),
            cpus: vec![0; cpus as usize],
        }
    }

    pub(super) fn push(
        &mut self,
        event: &Event,
        time_ns: u64,
        packets: &mut Packets,
    ) -> Result<(), Error> {
        let changed = match &event.data {
            EventData::MoveEnqueued(e) => self.put(e.pid, e.cpu),
            EventData::SchedWakeup(e) => self.put(e.pid, e.target_cpu as u32),
            EventData::SchedWakeupNew(e) => self.put(e.pid, e.target_cpu as u32),
            EventData::SchedMigrateTask(e) => [self.take(e.pid), None],
            EventData::SchedSwitch(e) => {
                let stays = e.prev_state == 0 || e.prev_state & 0x100 != 0;
                let left = if stays { None } else { self.take(e.prev_pid) };
                let [came, _] = self.put(e.next_pid, event.cpu);
                [left, came]
            }
            _ => [None, None],
        };
        let [first, second] = changed;
        for cpu in first
            .into_iter()
            .chain(second.filter(|cpu| Some(*cpu) != first))
        {
            packets.count(Track::NrRunning(cpu), time_ns, self.cpus[cpu as usize])?;
        }
        Ok(())
    }

    /// The task is in the queue of `cpu`, if it is in none yet. Returns the queue that has changed.
    fn put(&mut self, pid: i32, cpu: u32) -> [Option<u32>; 2] {
        let known = self.cpus.get_mut(cpu as usize);
        let Some(count) = known.filter(|_| pid != 0 && !self.queued_on.contains_key(&pid)) else {
            return [None, None];
        };
        *count += 1;
        self.queued_on.insert(pid, cpu);
        [Some(cpu), None]
    }

    /// The task is in no queue. Returns the queue that has changed.
    fn take(&mut self, pid: i32) -> Option<u32> {
        let cpu = self.queued_on.remove(&pid)?;
        self.cpus[cpu as usize] -= 1;
        Some(cpu)
    }
}

/// Interrupts between CPUs as slices. (Perfetto knows those of the local timer itself.)
pub(super) struct Interrupts {
    /// Slices that have begun on each CPU.
    open: Vec<u32>,
}

impl Interrupts {
    pub(super) fn new(cpus: u32) -> Interrupts {
        Interrupts {
            open: vec![0; cpus as usize],
        }
    }

    pub(super) fn push(
        &mut self,
        event: &Event,
        time_ns: u64,
        packets: &mut Packets,
    ) -> Result<(), Error> {
        let name = event.data.schema().name;
        let Some(name) = name.strip_prefix("irq_vectors:") else {
            return Ok(());
        };
        if name.starts_with("local_timer") {
            return Ok(());
        }
        let track = Track::Interrupts(event.cpu);
        let open = &mut self.open[event.cpu as usize];
        if let Some(vector) = name.strip_suffix("_entry") {
            *open += 1;
            let label = Label {
                category: "irq_vectors",
                name: vector.to_owned(),
                ..Label::default()
            };
            packets.begin(track, time_ns, &label)?;
        } else if *open > 0 {
            *open -= 1;
            packets.end(track, time_ns)?;
        }
        Ok(())
    }
}

/// The states of `multi_cpu_stop` on each CPU: a slice from seeing a state to seeing the next, and in it
/// one for the wait after the acknowledgement. EXIT ends with its acknowledgement.
pub(super) struct StopMachine {
    /// Slices that have begun on each CPU: 1 in a state, 2 waiting in it.
    open: Vec<u32>,
}

/// `enum multi_stop_state`.
const STATES: [&str; 5] = ["NONE", "PREPARE", "DISABLE_IRQ", "RUN", "EXIT"];
const EXIT: u32 = 4;
/// Values of `step`.
const ENTER: u32 = 0;

impl StopMachine {
    pub(super) fn new(cpus: u32) -> StopMachine {
        StopMachine {
            open: vec![0; cpus as usize],
        }
    }

    pub(super) fn push(
        &mut self,
        source: &dyn Source,
        event: &Event,
        time_ns: u64,
        packets: &mut Packets,
    ) -> Result<(), Error> {
        let EventData::StopMachineState(e) = &event.data else {
            return Ok(());
        };
        let track = Track::StopMachine(event.cpu);
        let open = &mut self.open[event.cpu as usize];
        if e.step == ENTER {
            close(open, track, time_ns, e.polls, packets)?;
            let state = usize::try_from(e.state).ok().and_then(|s| STATES.get(s));
            let label = Label {
                category: "stop.machine",
                name: state.map_or_else(|| e.state.to_string(), |name| (*name).to_owned()),
                args: vec![
                    ("fn", Arg::Text(names::function(source, e.func))),
                    ("active", Arg::Number(e.active.into())),
                    ("msdata", Arg::Text(e.msdata.to_string())),
                ],
                flows: Vec::new(),
            };
            packets.begin(track, time_ns, &label)?;
            *open = 1;
        } else if e.state == EXIT {
            close(open, track, time_ns, e.polls, packets)?;
        } else if *open == 1 {
            let label = Label {
                category: "stop.machine.wait",
                name: "wait".to_owned(),
                ..Label::default()
            };
            packets.begin(track, time_ns, &label)?;
            *open = 2;
        }
        Ok(())
    }
}

/// Ends the slices of a CPU that are open; the wait has polled so many times.
fn close(
    open: &mut u32,
    track: Track,
    time_ns: u64,
    polls: u64,
    packets: &mut Packets,
) -> Result<(), Error> {
    let waited = [("polls", Arg::Number(polls))];
    while *open > 0 {
        let args: &[_] = if *open == 2 { &waited } else { &[] };
        packets.end_with(track, time_ns, args)?;
        *open -= 1;
    }
    Ok(())
}
