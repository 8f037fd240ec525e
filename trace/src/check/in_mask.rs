//! No task runs outside its mask, except while a change of the mask is under way.
//!
//! Linux keeps a running task on a forbidden CPU from the change of its mask until the stopper has
//! moved it (linux-facts.md, T8). So from `move:affinity_entry` until whoever asked has come out of the
//! change, its mask is allowed beside the one before. Two changes of one task at a time may take effect
//! in either order, which no event tells: then both are allowed until a later sign decides.

use std::collections::BTreeMap;

use super::{Invariant, Violation};
use crate::event::{Event, EventData};

/// A change of a mask that is under way.
struct Ask {
    mask: u64,
    /// Pid of the task that asked.
    by: i32,
    /// Whether another change of the same task was under way at the same time.
    overlapped: bool,
}

#[derive(Default)]
struct Masks {
    /// The mask in force, or the union of those that may be; `None` until one is known.
    settled: Option<u64>,
    asks: Vec<Ask>,
    /// Works of the stopper queued for the task and not done.
    works: u32,
}

impl Masks {
    fn ask(&mut self, mask: u64, by: i32) {
        for other in &mut self.asks {
            other.overlapped = true;
        }
        let overlapped = !self.asks.is_empty();
        self.asks.push(Ask {
            mask,
            by,
            overlapped,
        });
    }

    /// The task `by` has come out of its change, if it was in one.
    fn end(&mut self, by: i32) {
        let settled = &mut self.settled;
        self.asks.retain(|ask| {
            if ask.by != by {
                return true;
            }
            *settled = Some(match (ask.overlapped, *settled) {
                (true, Some(before)) => before | ask.mask,
                _ => ask.mask,
            });
            false
        });
    }

    /// The CPUs that the task may run on; `None` until its mask is known.
    fn allowed(&self) -> Option<u64> {
        let settled = self.settled?;
        Some(self.asks.iter().fold(settled, |all, ask| all | ask.mask))
    }
}

/// Follows the masks that are asked for and where their tasks run.
#[derive(Default)]
pub struct InMask {
    tasks: BTreeMap<i32, Masks>,
}

const NAME: &str = "inside its mask";
/// prev_state of a task that stays runnable: it did not leave by itself.
const STAYS: [i64; 2] = [0, 0x100];

impl InMask {
    fn asker_is_out(&mut self, by: i32, of: impl Fn(&Masks) -> bool) {
        for masks in self.tasks.values_mut().filter(|masks| of(masks)) {
            masks.end(by);
        }
    }
}

impl Invariant for InMask {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        match &event.data {
            EventData::MoveAffinityEntry(e) => {
                self.asker_is_out(event.pid, |_| true);
                let masks = self.tasks.entry(e.pid).or_default();
                masks.ask(e.new_mask.0, event.pid);
            }
            EventData::StopWorkQueue(e) if e.task_pid != 0 => {
                self.tasks.entry(e.task_pid).or_default().works += 1;
            }
            EventData::StopWorkDone(e) if e.task_pid != 0 => {
                let masks = self.tasks.entry(e.task_pid).or_default();
                masks.works = masks.works.saturating_sub(1);
                // What the kernel itself holds at this instant.
                masks.settled = Some(e.task_cpus_mask.0);
            }
            // Completed by the asker itself: it changed the mask and needed no stopper.
            EventData::StopComplete(e) if e.task_pid != 0 => {
                if let Some(masks) = self.tasks.get_mut(&e.task_pid) {
                    masks.end(event.pid);
                }
            }
            // Forced elsewhere: the fallback may widen the mask itself.
            EventData::MoveFallback(e) => {
                self.tasks.remove(&e.pid);
            }
            EventData::SchedProcessExit(e) => {
                self.asker_is_out(e.pid, |_| true);
                self.tasks.remove(&e.pid);
            }
            EventData::SchedSwitch(e) => {
                // Inside the change an asker sleeps only to wait for a work.
                if !STAYS.contains(&e.prev_state) {
                    self.asker_is_out(e.prev_pid, |masks| masks.works == 0);
                }
                let allowed = self.tasks.get(&e.next_pid).and_then(Masks::allowed);
                if let Some(mask) = allowed
                    && e.next_pid != 0
                    && (event.cpu >= 64 || mask >> event.cpu & 1 == 0)
                {
                    found.push(Violation {
                        invariant: NAME,
                        seq: event.seq,
                        what: format!(
                            "{} runs on CPU {}, its mask is {mask:#x}",
                            e.next_pid, event.cpu
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
    use crate::event::Addr;
    use crate::events::{Mask, MoveAffinityEntry, StopComplete};

    fn affinity(pid: i32, mask: u64) -> EventData {
        MoveAffinityEntry {
            comm: comm(pid),
            pid,
            prio: 120,
            task_cpu: 0,
            on_rq: 1,
            on_cpu: 1,
            new_mask: Mask(mask),
        }
        .into()
    }

    fn complete(pid: i32) -> EventData {
        StopComplete {
            done: Addr(0),
            pending: Addr(8),
            task: Addr(16),
            task_pid: pid,
            task_comm: comm(pid),
        }
        .into()
    }

    #[test]
    fn while_a_change_is_under_way_the_old_cpu_is_allowed() {
        let rows = |last_cpu| {
            events([
                (1, 7, affinity(5, 0b01)),
                (1, 7, complete(5)),
                (1, 7, affinity(5, 0b10)),
                (0, 0, switch((0, 120), 0, (5, 120))),
                (0, 5, switch((5, 120), 0x100, (0, 120))),
                (1, 7, complete(5)),
                (last_cpu, 0, switch((0, 120), 0, (5, 120))),
            ])
        };
        assert_eq!(broken(InMask::default(), &rows(1)), []);
        let found = broken(InMask::default(), &rows(0));
        assert_eq!(found, [(6, "5 runs on CPU 0, its mask is 0x2".to_owned())]);
    }

    #[test]
    fn a_change_without_a_work_is_over_when_the_asker_leaves() {
        let rows = events([
            (1, 7, affinity(5, 0b01)),
            (1, 7, complete(5)),
            (1, 7, affinity(5, 0b10)),
            (1, 7, switch((7, 120), 1, (0, 120))),
            (0, 0, switch((0, 120), 0, (5, 120))),
        ]);
        assert_eq!(broken(InMask::default(), &rows).len(), 1);
    }

    #[test]
    fn two_changes_at_once_may_take_effect_in_either_order() {
        let rows = |cpu| {
            events([
                (1, 7, affinity(5, 0b001)),
                (1, 7, complete(5)),
                (1, 7, affinity(5, 0b010)),
                (2, 8, affinity(5, 0b100)),
                (2, 8, complete(5)),
                (1, 7, complete(5)),
                (cpu, 0, switch((0, 120), 0, (5, 120))),
            ])
        };
        assert_eq!(broken(InMask::default(), &rows(1)), []);
        assert_eq!(broken(InMask::default(), &rows(2)), []);
        assert_eq!(broken(InMask::default(), &rows(3)).len(), 1);
    }

    #[test]
    fn a_task_whose_mask_was_never_told_is_not_judged() {
        let rows = events([(3, 0, switch((0, 120), 0, (5, 120)))]);
        assert_eq!(broken(InMask::default(), &rows), []);
    }
}
