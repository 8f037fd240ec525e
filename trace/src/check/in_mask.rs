//! No task runs outside its mask, except while a change of the mask is under way.
//!
//! Linux changes a mask at once, but a task that runs, or that has disabled its migration, stays where
//! it is until a stopper's work or its own migrate_enable moves it (linux-facts.md, T8). So a change is
//! under way from `move:affinity_entry` until it has surely been written (whoever asked has gone on)
//! and the task is on a CPU of the new mask; until then the mask before is allowed beside it. Two
//! changes that are being written at one time may come in either order, which no event tells: then both
//! are allowed until a later sign decides.
//!
//! And a mask whose CPUs are all down is refused, which no event tells: a change to CPUs that are down, or
//! go down, leaves the mask before allowed beside it.

use std::collections::BTreeMap;

use super::{Invariant, Violation};
use crate::event::{Event, EventData};

/// A change of a mask that is under way.
struct Ask {
    mask: u64,
    /// Pid of the task that asked.
    by: i32,
    /// Whether the mask has surely been written.
    written: bool,
    /// Whether the mask before may be the one in force afterwards: another change of the same task may have
    /// been written before or after this one, or this one may have been refused.
    overlapped: bool,
    /// Whether it may have been refused: then what was asked for before it is in force still.
    refusable: bool,
}

#[derive(Default)]
struct Masks {
    /// The mask in force, or the union of those that may be; `None` until one is known.
    settled: Option<u64>,
    /// In the order they were asked for.
    asks: Vec<Ask>,
    /// The CPU that the task belongs to, as far as events have told.
    cpu: Option<u32>,
}

fn has(mask: u64, cpu: u32) -> bool {
    cpu < 64 && mask >> cpu & 1 != 0
}

impl Masks {
    fn ask(&mut self, mask: u64, by: i32, dying: u64) {
        let refusable = mask & !dying == 0;
        let mut overlapped = refusable;
        for other in self.asks.iter_mut().filter(|other| !other.written) {
            other.overlapped = true;
            overlapped = true;
        }
        self.asks.push(Ask {
            mask,
            by,
            written: false,
            overlapped,
            refusable,
        });
    }

    /// The task `by` has gone on: what it asked for is written.
    fn written(&mut self, by: i32) {
        for ask in self.asks.iter_mut().filter(|ask| ask.by == by) {
            ask.written = true;
        }
        self.settle();
    }

    fn is_on(&mut self, cpu: u32) {
        self.cpu = Some(cpu);
        self.settle();
    }

    /// Ends the changes that have been carried out, and those that were surely written before them.
    fn settle(&mut self) {
        let Some(cpu) = self.cpu else {
            return;
        };
        let done = |ask: &Ask| ask.written && has(ask.mask, cpu);
        let Some(last) = self.asks.iter().rposition(done) else {
            return;
        };
        let ask = &self.asks[last];
        self.settled = if ask.overlapped {
            self.settled.map(|before| before | ask.mask)
        } else {
            Some(ask.mask)
        };
        let (overlapped, refusable) = (ask.overlapped, ask.refusable);
        let mut place = 0..;
        self.asks.retain(|ask| match place.next() {
            Some(index) if index == last => false,
            Some(index) if index < last => {
                !ask.written || refusable || (overlapped && ask.overlapped)
            }
            _ => true,
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
    /// CPUs that go down or are down.
    dying: u64,
}

const NAME: &str = "T8 inside its mask";
/// prev_state of a task that stays runnable: it did not leave by itself.
const STAYS: [i64; 2] = [0, 0x100];

impl InMask {
    fn goes_on(&mut self, asker: i32) {
        for masks in self.tasks.values_mut() {
            masks.written(asker);
        }
    }

    /// A callback of hotplug: whether its CPU goes up or down.
    fn hotplug(&mut self, cpu: u32, goes_down: bool) {
        let bit = 1_u64.checked_shl(cpu).unwrap_or(0);
        if goes_down {
            self.dying |= bit;
        } else {
            self.dying &= !bit;
        }
    }
}

impl Invariant for InMask {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        let dying = self.dying;
        match &event.data {
            EventData::CpuhpEnter(e) => self.hotplug(e.cpu, e.target < e.idx),
            EventData::MoveAffinityEntry(e) => {
                self.goes_on(event.pid);
                let masks = self.tasks.entry(e.pid).or_default();
                masks.is_on(e.task_cpu);
                masks.ask(e.new_mask.0, event.pid, dying);
            }
            EventData::SchedMigrateTask(e) => {
                if let Some(masks) = self.tasks.get_mut(&e.pid) {
                    masks.is_on(e.dest_cpu as u32);
                }
            }
            // What the kernel itself holds at this instant, if the task is where it says.
            EventData::StopWorkDone(e) if e.task_pid != 0 => {
                let masks = self.tasks.entry(e.task_pid).or_default();
                if has(e.task_cpus_mask.0, e.task_cpu as u32) {
                    masks.settled = Some(e.task_cpus_mask.0);
                    masks.asks.retain(|ask| !ask.written);
                }
            }
            // Completed by the asker itself: it wrote the mask and needed no stopper.
            EventData::StopComplete(e) if e.task_pid != 0 => {
                if let Some(masks) = self.tasks.get_mut(&e.task_pid) {
                    masks.written(event.pid);
                }
            }
            // Forced elsewhere: the fallback may widen the mask itself.
            EventData::MoveFallback(e) => {
                self.tasks.remove(&e.pid);
            }
            EventData::SchedProcessExit(e) => {
                self.goes_on(e.pid);
                self.tasks.remove(&e.pid);
            }
            EventData::SchedSwitch(e) => {
                // Whoever sleeps inside a change has written the mask and waits for the move.
                if !STAYS.contains(&e.prev_state) {
                    self.goes_on(e.prev_pid);
                }
                if e.next_pid == 0 {
                    return;
                }
                let Some(masks) = self.tasks.get_mut(&e.next_pid) else {
                    return;
                };
                masks.is_on(event.cpu);
                if let Some(mask) = masks.allowed()
                    && !has(mask, event.cpu)
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
    use crate::events::{CpuhpEnter, Mask, MoveAffinityEntry, SchedMigrateTask, StopComplete};

    /// `by` asks on CPU 1 that pid 5 be moved to `mask`.
    fn affinity(by: i32, task_cpu: u32, mask: u64) -> (u32, i32, EventData) {
        let ask = MoveAffinityEntry {
            comm: comm(5),
            pid: 5,
            prio: 120,
            task_cpu,
            on_rq: 1,
            on_cpu: 1,
            new_mask: Mask(mask),
        };
        (1, by, ask.into())
    }

    /// A callback of CPU `cpu` on its way to `target`.
    fn hotplug(cpu: u32, target: i32) -> (u32, i32, EventData) {
        let callback = CpuhpEnter {
            cpu,
            target,
            idx: 100,
            func: Addr(0),
        };
        (0, 1, callback.into())
    }

    fn complete(by: i32) -> (u32, i32, EventData) {
        let complete = StopComplete {
            done: Addr(0),
            pending: Addr(8),
            task: Addr(16),
            task_pid: 5,
            task_comm: comm(5),
        };
        (1, by, complete.into())
    }

    fn migrate(by: i32, dest_cpu: i32) -> (u32, i32, EventData) {
        let migrate = SchedMigrateTask {
            comm: comm(5),
            pid: 5,
            prio: 120,
            orig_cpu: 0,
            dest_cpu,
        };
        (1, by, migrate.into())
    }

    /// Pid 5 comes to a CPU.
    fn runs(cpu: u32) -> (u32, i32, EventData) {
        (cpu, 0, switch((0, 120), 0, (5, 120)))
    }

    /// Pid `by` goes to sleep on CPU 1.
    fn sleeps(by: i32) -> (u32, i32, EventData) {
        (1, by, switch((by, 120), 1, (0, 120)))
    }

    #[test]
    fn while_a_change_is_under_way_the_old_cpu_is_allowed() {
        let rows = |last_cpu| {
            events([
                affinity(7, 0, 0b01),
                complete(7),
                affinity(7, 0, 0b10),
                runs(0),
                // Waits for the stopper, or for the task's own migrate_enable.
                sleeps(7),
                runs(0),
                migrate(10, 1),
                runs(last_cpu),
            ])
        };
        assert_eq!(broken(InMask::default(), &rows(1)), []);
        let found = broken(InMask::default(), &rows(0));
        assert_eq!(found, [(7, "5 runs on CPU 0, its mask is 0x2".to_owned())]);
    }

    #[test]
    fn a_mask_of_cpus_that_are_down_may_have_been_refused() {
        let rows = |down: u32| {
            events([
                affinity(7, 0, 0b01),
                complete(7),
                hotplug(down, 0),
                affinity(7, 0, 0b10),
                sleeps(7),
                hotplug(down, 200),
                runs(1),
                sleeps(5),
                runs(0),
            ])
        };
        assert_eq!(broken(InMask::default(), &rows(1)), []);
        let found = broken(InMask::default(), &rows(0));
        assert_eq!(found, [(8, "5 runs on CPU 0, its mask is 0x2".to_owned())]);
    }

    #[test]
    fn what_was_asked_for_before_a_change_that_may_have_been_refused_stays_allowed() {
        let rows = |cpu| {
            events([
                affinity(7, 1, 0b010),
                complete(7),
                hotplug(1, 0),
                // It sleeps: its mask is written, and it is still on the CPU it fell asleep on.
                affinity(7, 1, 0b001),
                complete(7),
                affinity(8, 1, 0b010),
                hotplug(1, 200),
                sleeps(8),
                runs(cpu),
            ])
        };
        assert_eq!(broken(InMask::default(), &rows(0)), []);
        assert_eq!(broken(InMask::default(), &rows(1)), []);
        assert_eq!(broken(InMask::default(), &rows(2)).len(), 1);
    }

    #[test]
    fn a_change_of_a_task_that_is_in_its_new_mask_is_over_when_the_asker_goes_on() {
        let rows = |cpu| {
            events([
                affinity(7, 0, 0b01),
                complete(7),
                affinity(7, 1, 0b10),
                sleeps(7),
                runs(cpu),
            ])
        };
        assert_eq!(broken(InMask::default(), &rows(1)), []);
        assert_eq!(broken(InMask::default(), &rows(0)).len(), 1);
    }

    #[test]
    fn two_changes_at_once_may_take_effect_in_either_order() {
        let rows = |cpu| {
            events([
                affinity(7, 0, 0b001),
                complete(7),
                affinity(7, 0, 0b010),
                affinity(8, 0, 0b100),
                migrate(8, 2),
                complete(8),
                migrate(7, 1),
                complete(7),
                runs(cpu),
            ])
        };
        assert_eq!(broken(InMask::default(), &rows(1)), []);
        assert_eq!(broken(InMask::default(), &rows(2)), []);
        assert_eq!(broken(InMask::default(), &rows(3)).len(), 1);
    }

    #[test]
    fn a_change_in_flight_outlives_one_that_overlapped_it() {
        let rows = |cpu| {
            events([
                affinity(7, 1, 0b010),
                complete(7),
                affinity(7, 1, 0b001),
                // The task's own migrate_enable reads its mask before 7 has written it.
                affinity(5, 1, 0b010),
                sleeps(7),
                sleeps(5),
                migrate(0, 0),
                runs(cpu),
            ])
        };
        assert_eq!(broken(InMask::default(), &rows(0)), []);
        assert_eq!(broken(InMask::default(), &rows(2)).len(), 1);
    }

    #[test]
    fn a_task_whose_mask_was_never_told_is_not_judged() {
        assert_eq!(broken(InMask::default(), &events([runs(3)])), []);
    }
}
