//! The events in the order of their causal times, and what a first pass must know for that.
//!
//! A recording's events come in the order of cause and effect; the causal times of two CPUs may go
//! against it, by little. The first pass measures by how much, so that a later pass knows how long to hold
//! events back to give all of them sorted, in whatever recording.

use std::collections::{BTreeMap, BTreeSet};

use trace::event::{Addr, Comm, Event, EventData, FieldValue};

use crate::Error;
use crate::causal::{Stamped, walk};
use crate::in_time::walk_above;
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

/// Calls `f` with every event and its causal time in nanoseconds, sorted by that time, and by number
/// where two times are equal. `late_ns` is the [survey](Survey)'s.
pub(super) fn walk_in_time(
    source: &dyn Source,
    late_ns: u64,
    f: &mut dyn FnMut(&Event, u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut newest = 0;
    let mut floor = |event: &Stamped<'_>| {
        newest = newest.max(event.time_ns);
        newest.saturating_sub(late_ns)
    };
    walk_above(source, &mut floor, &mut |event| {
        f(event.event, event.time_ns)
    })?;
    Ok(())
}
