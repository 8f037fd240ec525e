//! The events in the order of their causal times, and what a first pass must know for that.
//!
//! A recording's events come in the order of cause and effect; the causal times of two CPUs may go
//! against it, by little. The first pass measures by how much, and so a later pass needs to hold back
//! only the events of that stretch to give all of them sorted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use trace::event::{Addr, Comm, Event, EventData, FieldValue};

use crate::Error;
use crate::causal::walk;
use crate::source::Source;

/// What is known after one pass.
pub(super) struct Survey {
    /// Number of events.
    pub(super) events: u64,
    /// The latest causal time.
    pub(super) end_ns: u64,
    /// The most that an event's time lies before that of an event that comes before it.
    pub(super) late_ns: u64,
    /// The tasks, by pid; the idle tasks are not among them.
    pub(super) tasks: BTreeMap<i32, Task>,
    /// The addresses of code that events name.
    pub(super) code: BTreeSet<Addr>,
}

/// A task as the events show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Task {
    /// Its latest name.
    pub(super) comm: Comm,
    /// Who forked it, if that was recorded.
    pub(super) parent: Option<i32>,
}

impl Survey {
    /// Reads all events once.
    pub(super) fn of(source: &dyn Source) -> Result<Survey, Error> {
        let mut survey = Survey {
            events: 0,
            end_ns: 0,
            late_ns: 0,
            tasks: BTreeMap::new(),
            code: BTreeSet::new(),
        };
        let walked = walk(source, &mut |event| {
            let newest = survey.end_ns.max(event.time_ns);
            survey.end_ns = newest;
            survey.late_ns = survey.late_ns.max(newest - event.time_ns);
            survey.meet(event.event);
            Ok(())
        })?;
        survey.events = walked.events;
        Ok(survey)
    }

    fn meet(&mut self, event: &Event) {
        self.call(event.pid, event.comm);
        match &event.data {
            EventData::SchedSwitch(e) => {
                self.call(e.prev_pid, e.prev_comm);
                self.call(e.next_pid, e.next_comm);
            }
            EventData::SchedWaking(e) => self.call(e.pid, e.comm),
            EventData::SchedWakeup(e) => self.call(e.pid, e.comm),
            EventData::SchedWakeupNew(e) => self.call(e.pid, e.comm),
            EventData::SchedMigrateTask(e) => self.call(e.pid, e.comm),
            EventData::SchedProcessFork(e) => {
                self.call(e.child_pid, e.child_comm);
                if let Some(child) = self.tasks.get_mut(&e.child_pid) {
                    child.parent = Some(e.parent_pid);
                }
            }
            _ => {}
        }
        let mut fields = event.data.schema().fields.iter();
        event.data.visit(&mut |value| {
            let field = fields.next();
            if let (Some(field), FieldValue::Addr(addr)) = (field, value)
                && super::is_code(field)
                && addr.0 != 0
            {
                self.code.insert(addr);
            }
        });
    }

    fn call(&mut self, pid: i32, comm: Comm) {
        if pid != 0 {
            self.tasks.entry(pid).or_default().comm = comm;
        }
    }
}

/// An event that waits until no earlier one can come.
struct Held {
    time_ns: u64,
    event: Event,
}

impl Held {
    fn key(&self) -> (u64, u64) {
        (self.time_ns, self.event.seq)
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Held) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Held) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Held) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Calls `f` with every event and its causal time in nanoseconds, sorted by that time, and by number
/// where two times are equal. `late_ns` is the [survey](Survey)'s.
pub(super) fn walk_in_time(
    source: &dyn Source,
    late_ns: u64,
    f: &mut dyn FnMut(&Event, u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut held: BinaryHeap<Reverse<Held>> = BinaryHeap::new();
    let mut newest = 0;
    walk(source, &mut |event| {
        newest = newest.max(event.time_ns);
        held.push(Reverse(Held {
            time_ns: event.time_ns,
            event: *event.event,
        }));
        // What comes later lies at `newest - late_ns` or after it, and has a higher number.
        while let Some(Reverse(first)) = held.peek()
            && first.time_ns.saturating_add(late_ns) <= newest
            && let Some(Reverse(first)) = held.pop()
        {
            f(&first.event, first.time_ns)?;
        }
        Ok(())
    })?;
    while let Some(Reverse(first)) = held.pop() {
        f(&first.event, first.time_ns)?;
    }
    Ok(())
}
