//! Invariants of the kernel's structures, read from a machine that stands still.
//!
//! An instant may lie inside a critical section, so a runqueue is judged only while its lock is free. One
//! more window is Linux's own: a class that looks for work elsewhere lets go of the lock while the task that
//! is about to sleep is still `curr`.

mod fair;
mod over_time;
mod realtime;
mod runqueue;
mod stopper;
pub mod switches;
#[cfg(test)]
mod testing;

pub use over_time::over_time;

use std::collections::BTreeSet;

use crate::krec::TaskRow;
use crate::state::State;

/// An invariant that a state breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The invariant.
    pub invariant: &'static str,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Everything that a state breaks.
pub fn all(state: &State) -> Vec<Broken> {
    let mut found = Vec::new();
    runqueue::check(state, &mut found);
    runqueue::uninterruptible(state, &mut found);
    fair::check(state, &mut found);
    realtime::check(state, &mut found);
    stopper::check(state, &mut found);
    masks(state, &mut found);
    found
}

/// H1: active, online, present, possible: each is a part of the next.
fn masks(state: &State, found: &mut Vec<Broken>) {
    let Some(masks) = &state.masks else { return };
    let chain = [
        ("active", masks.active, "online", masks.online),
        ("online", masks.online, "present", masks.present),
        ("present", masks.present, "possible", masks.possible),
    ];
    for (inner, part, outer, whole) in chain {
        if part & !whole != 0 {
            found.push(Broken {
                invariant: "H1 active, online, present, possible",
                what: format!("{inner} {part:#x} is no part of {outer} {whole:#x}"),
            });
        }
    }
}

/// Tasks that nobody will ever run: runnable, and in no queue (T1), or left between two (T2). Only for a run
/// that ended by itself, and but for the [`unsettled`](super::unsettled).
pub fn lost(tasks: &[TaskRow], unsettled: &BTreeSet<i32>) -> Vec<Broken> {
    let mut found = Vec::new();
    let waiting = tasks.iter().filter(|task| task.pid != 0 && !task.on_cpu);
    for task in waiting.filter(|task| !unsettled.contains(&task.pid)) {
        let broken = match (task.state, task.on_rq) {
            ('R', 0) => Some((
                "T1 a runnable task is in a queue",
                "is runnable and in no queue",
            )),
            (_, 2) => Some(("T2 a move ends", "is still on its way between two queues")),
            _ => None,
        };
        if let Some((invariant, what)) = broken {
            let what = format!("{}[{}] {what}", task.comm, task.pid);
            found.push(Broken { invariant, what });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::testing::state;
    use super::*;
    use crate::state::CpuMasks;

    #[test]
    fn masks_lie_in_each_other() {
        let mut state = state(2);
        assert_eq!(all(&state), []);
        state.masks = Some(CpuMasks {
            possible: 3,
            present: 3,
            online: 1,
            active: 3,
        });
        let found = all(&state);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "H1 active, online, present, possible: active 0x3 is no part of online 0x1"
        );
    }

    #[test]
    fn lost_tasks_are_named() {
        let row = |pid, state, on_rq, on_cpu| TaskRow {
            addr: 0x1000,
            pid,
            comm: format!("task{pid}"),
            cpu: 0,
            state,
            on_cpu,
            on_rq,
            class: "fair".to_owned(),
            prio: 120,
            cpus_mask: 1,
        };
        let fine = [
            row(0, 'R', 0, false),
            row(1, 'R', 1, true),
            row(2, 'R', 1, false),
            row(3, 'S', 0, false),
        ];
        let settled = BTreeSet::new();
        assert_eq!(lost(&fine, &settled), []);
        let between = [row(4, 'R', 0, false), row(5, 'R', 2, false)];
        assert_eq!(lost(&between, &BTreeSet::from([4, 5])), []);
        let found = lost(&between, &settled);
        assert_eq!(found[0].what, "task4[4] is runnable and in no queue");
        assert_eq!(
            found[1].what,
            "task5[5] is still on its way between two queues"
        );
    }
}
