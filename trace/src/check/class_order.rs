//! No lower class is picked while a higher one is runnable there. Whether a deadline task is throttled is in no
//! event, so it is only asked that nothing goes before stoppers, real-time and fair tasks that should not.

use std::collections::BTreeMap;

use super::{Invariant, Violation};
use crate::event::{Comm, Event, EventData};

/// The classes from the one that goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    Stop,
    Deadline,
    Realtime,
    Fair,
    Idle,
}

/// The class that a task of this name, number and priority is in.
fn class(pid: i32, comm: Comm, prio: i32) -> Class {
    match prio {
        _ if pid == 0 => Class::Idle,
        0 if comm.as_bytes().starts_with(b"migration/") => Class::Stop,
        ..0 => Class::Deadline,
        0..100 => Class::Realtime,
        _ => Class::Fair,
    }
}

/// Keeps who is queued on each CPU, from `move:enqueued` until the task sleeps or moves away.
#[derive(Default)]
pub struct ClassOrder {
    /// By CPU, then by pid.
    queued: BTreeMap<u32, BTreeMap<i32, Class>>,
}

const NAME: &str = "P1 higher class first";
/// prev_state of a task that stays runnable.
const STAYS: [i64; 2] = [0, 0x100];

impl Invariant for ClassOrder {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        match &event.data {
            EventData::MoveEnqueued(e) => {
                let queue = self.queued.entry(e.cpu).or_default();
                queue.insert(e.pid, class(e.pid, e.comm, e.prio));
            }
            EventData::SchedMigrateTask(e) => {
                for queue in self.queued.values_mut() {
                    queue.remove(&e.pid);
                }
            }
            EventData::SchedSwitch(e) => {
                let queue = self.queued.entry(event.cpu).or_default();
                if STAYS.contains(&e.prev_state) && e.prev_pid != 0 {
                    queue.insert(e.prev_pid, class(e.prev_pid, e.prev_comm, e.prev_prio));
                } else {
                    queue.remove(&e.prev_pid);
                }
                let picked = class(e.next_pid, e.next_comm, e.next_prio);
                // A deadline task that has used its runtime up is throttled, queued or woken: no event says so.
                let waits = |class: &Class| *class < picked && *class != Class::Deadline;
                if let Some((pid, higher)) = queue.iter().find(|(_, class)| waits(class)) {
                    found.push(Violation {
                        invariant: NAME,
                        seq: event.seq,
                        what: format!(
                            "CPU {} picks {} of class {picked:?} while {pid} of class {higher:?} is queued there",
                            event.cpu, e.next_pid
                        ),
                    });
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{broken, comm, events, switch};
    use super::*;
    use crate::events::{MoveEnqueued, SchedMigrateTask};

    fn enqueued(pid: i32, prio: i32, cpu: u32) -> EventData {
        MoveEnqueued {
            comm: comm(pid),
            pid,
            prio,
            cpu,
        }
        .into()
    }

    #[test]
    fn a_queued_stopper_must_be_picked() {
        let found = broken(
            ClassOrder::default(),
            &events([
                (0, 5, enqueued(10, 0, 0)),
                (0, 5, switch((5, 120), 0x100, (6, 120))),
                (0, 6, switch((6, 120), 0x100, (10, 0))),
                (0, 10, switch((10, 0), 1, (6, 120))),
            ]),
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, 1);
        assert!(
            found[0]
                .1
                .contains("picks 6 of class Fair while 10 of class Stop")
        );
    }

    #[test]
    fn idle_is_picked_only_when_nobody_is_queued() {
        let migrate = SchedMigrateTask {
            comm: comm(5),
            pid: 5,
            prio: 120,
            orig_cpu: 0,
            dest_cpu: 1,
        };
        let fine = [
            (0, 0, enqueued(5, 120, 0)),
            (1, 0, migrate.into()),
            (0, 7, switch((7, 120), 1, (0, 120))),
        ];
        assert_eq!(broken(ClassOrder::default(), &events(fine)), []);
        let lazy = [
            (0, 0, enqueued(5, 120, 0)),
            (0, 7, switch((7, 120), 1, (0, 120))),
        ];
        assert_eq!(broken(ClassOrder::default(), &events(lazy)).len(), 1);
        let realtime = [
            (0, 0, enqueued(5, 50, 0)),
            (0, 7, switch((7, 120), 1, (6, 120))),
        ];
        assert_eq!(broken(ClassOrder::default(), &events(realtime)).len(), 1);
    }
}
