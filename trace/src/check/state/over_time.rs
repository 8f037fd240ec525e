//! What two instants, or an instant and the events before it, say together: C1, F2, T12 and T18.

use std::collections::BTreeMap;

use super::Broken;
use crate::event::{Event, EventData};
use crate::state::{State, Task};

const CLOCK: &str = "C1 a runqueue's clock does not go back";
const MINIMUM: &str = "F2 min_vruntime does not go back";
const STAYED: &str = "T12 who is queued and about to sleep was preempted";
const SWITCHES: &str = "T18 every switch away is counted";
/// prev_state of a task that was preempted.
const PREEMPTED: i64 = 0x100;

/// What the events have told of a task that has left a CPU.
#[derive(Clone, Copy)]
struct Left {
    times: u64,
    /// prev_state of the last time.
    state: i64,
}

/// Everything that states of one run break together; states and events in the order of the run, the events from
/// its begin.
pub fn over_time(events: &[Event], states: &[State]) -> Vec<Broken> {
    let mut found = Vec::new();
    let mut left: BTreeMap<i32, Left> = BTreeMap::new();
    let mut told = 0;
    for state in states {
        let until = (state.at.events_before as usize).clamp(told, events.len());
        for event in &events[told..until] {
            if let EventData::SchedSwitch(switch) = &event.data {
                let left = left
                    .entry(switch.prev_pid)
                    .or_insert(Left { times: 0, state: 0 });
                *left = Left {
                    times: left.times + 1,
                    state: switch.prev_state,
                };
            }
        }
        told = until;
        // The idle tasks share a pid, and who is on a CPU may be in the middle of a switch.
        for task in state.tasks.iter().filter(|it| it.pid != 0 && !it.on_cpu) {
            switches(task, left.get(&task.pid), &mut found);
        }
    }
    for pair in states.windows(2) {
        clocks(&pair[0], &pair[1], &mut found);
    }
    found
}

/// T18, and T12: nobody stays queued with a sleeper's state but who lost the CPU before it could sleep.
fn switches(task: &Task, left: Option<&Left>, found: &mut Vec<Broken>) {
    let pid = task.pid;
    let counted = task.nvcsw + task.nivcsw;
    let times = left.map_or(0, |it| it.times);
    if counted != times {
        found.push(Broken {
            invariant: SWITCHES,
            what: format!("{pid} has left a CPU {times} times, and counts {counted}"),
        });
    }
    let sleeps = !matches!(task.state, 'R' | 'X' | 'Z');
    let preempted = left.is_some_and(|it| it.state == PREEMPTED);
    if task.on_rq == 1 && sleeps && !preempted {
        found.push(Broken {
            invariant: STAYED,
            what: format!("{pid} has state {} and is queued", task.state),
        });
    }
}

/// C1, F2: what only grows.
fn clocks(before: &State, after: &State, found: &mut Vec<Broken>) {
    for (old, new) in before.cpus.iter().zip(&after.cpus) {
        let back = |a: u64, b: u64| (b.wrapping_sub(a) as i64) < 0;
        let min = |cpu: &crate::state::Cpu| cpu.fair.as_ref().map_or(0, |it| it.min_vruntime);
        for (invariant, name, a, b) in [
            (CLOCK, "clock", old.clock, new.clock),
            (CLOCK, "clock_task", old.clock_task, new.clock_task),
            (MINIMUM, "min_vruntime", min(old), min(new)),
        ] {
            // A cfs_rq begins just below 0.
            if back(a, b) && a != 0 {
                let cpu = new.cpu;
                let what = format!("CPU {cpu}: {name} goes from {a} to {b}");
                found.push(Broken { invariant, what });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::state;
    use super::*;
    use crate::event::Comm;
    use crate::events::SchedSwitch;

    fn switch(seq: u64, prev_pid: i32, prev_state: i64) -> Event {
        Event {
            seq,
            cpu: 0,
            cycles: 100 * seq,
            insns: 100 * seq,
            pid: prev_pid,
            comm: Comm::default(),
            stack: None,
            data: EventData::SchedSwitch(SchedSwitch {
                prev_comm: Comm::default(),
                prev_pid,
                prev_prio: 120,
                prev_state,
                next_comm: Comm::default(),
                next_pid: 0,
                next_prio: 140,
            }),
        }
    }

    /// Task 20 left once; what the change makes of a second state, two events later.
    fn broken(prev_state: i64, change: impl FnOnce(&mut State)) -> Vec<String> {
        let mut states = [state(1), state(1)];
        states[1].at.events_before = 2;
        states[1].tasks[2].nvcsw = 1;
        change(&mut states[1]);
        let events = [switch(0, 20, prev_state), switch(1, 0, 0)];
        let found = over_time(&events, &states);
        found.iter().map(Broken::to_string).collect()
    }

    #[test]
    fn what_only_grows() {
        assert_eq!(broken(1, |_| ()), [""; 0]);
        let clock = broken(1, |state| state.cpus[0].clock = 999);
        assert_eq!(
            clock,
            ["C1 a runqueue's clock does not go back: CPU 0: clock goes from 1000 to 999"]
        );
        let minimum = broken(1, |state| {
            state.cpus[0].fair.as_mut().unwrap().min_vruntime = 4999;
        });
        assert!(minimum[0].starts_with("F2"), "{minimum:?}");
    }

    #[test]
    fn switches_that_are_not_counted() {
        let missed = broken(1, |state| state.tasks[2].nvcsw = 0);
        assert_eq!(
            missed,
            ["T18 every switch away is counted: 20 has left a CPU 1 times, and counts 0"]
        );
        let involuntary = broken(0x100, |state| {
            state.tasks[2].nvcsw = 0;
            state.tasks[2].nivcsw = 1;
        });
        assert_eq!(involuntary, [""; 0]);
    }

    #[test]
    fn a_sleeper_in_the_queue() {
        let sleeps = |state: &mut State| state.tasks[2].state = 'S';
        assert_eq!(broken(0x100, sleeps), [""; 0]);
        assert_eq!(
            broken(0, sleeps),
            ["T12 who is queued and about to sleep was preempted: 20 has state S and is queued"]
        );
    }
}
