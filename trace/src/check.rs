//! Invariants of a scheduler, watched from outside: over the events of a recording and nothing else.
//!
//! Each is a small machine that takes the events in order and gives what breaks it. [`all`] runs them
//! all. A violation means that the kernel is wrong, or that a tracepoint lies.

mod class_order;
mod in_mask;
mod one_cpu_per_task;
mod stop_order;

use std::fmt;

use crate::event::Event;
use crate::krec::TaskRow;

pub use class_order::ClassOrder;
pub use in_mask::InMask;
pub use one_cpu_per_task::OneCpuPerTask;
pub use stop_order::StopOrder;

/// An event that breaks an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant.
    pub invariant: &'static str,
    /// Number of the event.
    pub seq: u64,
    /// What is wrong, in the kernel's words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at event {}: {}", self.invariant, self.seq, self.what)
    }
}

/// An invariant that is watched event by event.
pub trait Invariant {
    /// Takes the next event; adds what it breaks to `found`.
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>);
}

/// Every violation of every invariant, in the order of the events.
pub fn all<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut watched: [Box<dyn Invariant>; 4] = [
        Box::new(OneCpuPerTask::default()),
        Box::new(ClassOrder::default()),
        Box::new(InMask::default()),
        Box::new(StopOrder::default()),
    ];
    for event in events {
        for invariant in &mut watched {
            invariant.event(event, &mut found);
        }
    }
    found
}

/// Tasks that run outside their mask at the end of a run; pending affinity changes are not known here,
/// so this is for runs that ended by themselves.
pub fn tasks_in_mask(tasks: &[TaskRow]) -> Vec<&TaskRow> {
    tasks
        .iter()
        .filter(|task| task.on_cpu && task.pid != 0)
        .filter(|task| task.cpu >= 64 || task.cpus_mask >> task.cpu & 1 == 0)
        .collect()
}

#[cfg(test)]
mod testing {
    //! Hand-written events for the tests of the invariants.

    use super::*;
    use crate::event::{Comm, EventData};

    /// Numbers and stamps a list of (cpu, current pid, event).
    pub fn events(rows: impl IntoIterator<Item = (u32, i32, EventData)>) -> Vec<Event> {
        (0..)
            .zip(rows)
            .map(|(seq, (cpu, pid, data))| Event {
                seq,
                cpu,
                cycles: 100 * seq,
                insns: 90 * seq,
                pid,
                comm: Comm::default(),
                stack: None,
                data,
            })
            .collect()
    }

    pub fn broken(mut invariant: impl Invariant, events: &[Event]) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        for event in events {
            invariant.event(event, &mut found);
        }
        found.into_iter().map(|v| (v.seq, v.what)).collect()
    }

    pub fn switch(prev: (i32, i32), prev_state: i64, next: (i32, i32)) -> EventData {
        crate::events::SchedSwitch {
            prev_comm: comm(prev.0),
            prev_pid: prev.0,
            prev_prio: prev.1,
            prev_state,
            next_comm: comm(next.0),
            next_pid: next.0,
            next_prio: next.1,
        }
        .into()
    }

    /// Pids 10 to 19 are stoppers.
    pub fn comm(pid: i32) -> Comm {
        match pid {
            0 => "swapper".into(),
            10..=19 => format!("migration/{}", pid - 10).as_str().into(),
            _ => format!("task{pid}").as_str().into(),
        }
    }
}
