//! No task runs outside its mask, except while a change of the mask is under way.
//!
//! Linux keeps a running task on a forbidden CPU from the change of its mask until the stopper has
//! moved it (linux-facts.md, T8). So between `move:affinity_entry` and the sign that the change has
//! been carried out, both masks are allowed; at any other time only the last one is.

use std::collections::BTreeMap;

use super::{Invariant, Violation};
use crate::event::{Event, EventData};

#[derive(Default)]
struct Masks {
    /// The mask in force, once one is known.
    settled: Option<u64>,
    /// The mask asked for by a change that is under way, and who asked.
    asked: Option<(u64, i32)>,
    /// Works of the stopper queued for the task and not done.
    works: u32,
}

impl Masks {
    fn settle(&mut self) {
        if let Some((mask, _)) = self.asked.take() {
            self.settled = Some(mask);
        }
    }

    fn allow(&self, cpu: u32) -> bool {
        let has = |mask: u64| cpu < 64 && mask >> cpu & 1 != 0;
        match (self.settled, self.asked) {
            (None, _) => true,
            (Some(settled), None) => has(settled),
            (Some(settled), Some((asked, _))) => has(settled) || has(asked),
        }
    }
}

/// Follows the masks that are asked for and where their tasks run.
#[derive(Default)]
pub struct InMask {
    tasks: BTreeMap<i32, Masks>,
}

const NAME: &str = "inside its mask";

impl Invariant for InMask {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        match &event.data {
            EventData::MoveAffinityEntry(e) => {
                let masks = self.tasks.entry(e.pid).or_default();
                masks.settle();
                masks.asked = Some((e.new_mask.0, event.pid));
            }
            EventData::StopWorkQueue(e) if e.task_pid != 0 => {
                self.tasks.entry(e.task_pid).or_default().works += 1;
            }
            EventData::StopWorkDone(e) if e.task_pid != 0 => {
                let masks = self.tasks.entry(e.task_pid).or_default();
                masks.works = masks.works.saturating_sub(1);
                // What the kernel itself says of the mask after the work.
                masks.asked = None;
                masks.settled = Some(e.task_cpus_mask.0);
            }
            EventData::StopComplete(e) if e.task_pid != 0 => {
                self.tasks.entry(e.task_pid).or_default().settle();
            }
            // Forced elsewhere: the fallback may widen the mask itself.
            EventData::MoveFallback(e) => {
                self.tasks.remove(&e.pid);
            }
            EventData::SchedProcessExit(e) => {
                self.tasks.remove(&e.pid);
            }
            EventData::SchedSwitch(e) => {
                // Whoever asked for a change runs on only when it needed no work, or that is done.
                for masks in self.tasks.values_mut() {
                    if masks.works == 0 && masks.asked.is_some_and(|(_, by)| by == e.prev_pid) {
                        masks.settle();
                    }
                }
                if let Some(masks) = self.tasks.get(&e.next_pid)
                    && e.next_pid != 0
                    && !masks.allow(event.cpu)
                {
                    found.push(Violation {
                        invariant: NAME,
                        seq: event.seq,
                        what: format!(
                            "{} runs on CPU {}, its mask is {:#x}",
                            e.next_pid,
                            event.cpu,
                            masks.settled.unwrap_or(0)
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
    fn a_task_whose_mask_was_never_told_is_not_judged() {
        let rows = events([(3, 0, switch((0, 120), 0, (5, 120)))]);
        assert_eq!(broken(InMask::default(), &rows), []);
    }
}
