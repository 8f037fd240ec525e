//! A task enters a queue only if it is in none and does not run, and a wake-up puts it into one (T1, T2, T5,
//! T14).
//!
//! A task that a signal has kept from sleeping has never left its queue, though its switch says S: see
//! [`super::life`].

use std::collections::BTreeMap;

use super::life::INTERRUPTIBLE;
use super::{Invariant, Violation};
use crate::event::{Event, EventData};

/// Keeps which CPU's queue a task is in, and who runs where.
#[derive(Default)]
pub struct OneQueue {
    queued: BTreeMap<i32, u32>,
    running: BTreeMap<u32, i32>,
    /// Tasks that have left their CPU to sleep, and entered no queue since; with their state.
    asleep: BTreeMap<i32, i64>,
    /// Woken out of an interruptible sleep without entering a queue, and not ended since: the event.
    cancelled: BTreeMap<i32, u64>,
}

const TWICE: &str = "T1 in one queue";
const WOKEN: &str = "T14 a wake-up enqueues";
const RUNNING: &str = "T5 not enqueued while it runs";
/// prev_state of a task that stays runnable.
const STAYS: [i64; 2] = [0, 0x100];

impl Invariant for OneQueue {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        let mut broken = |invariant, what| {
            found.push(Violation {
                invariant,
                seq: event.seq,
                what,
            });
        };
        match &event.data {
            EventData::MoveEnqueued(e) => {
                self.asleep.remove(&e.pid);
                if let Some((cpu, _)) = self.running.iter().find(|(_, pid)| **pid == e.pid) {
                    let what = format!(
                        "{} enters CPU {}'s queue and runs on CPU {cpu}",
                        e.pid, e.cpu
                    );
                    broken(RUNNING, what);
                }
                if let Some(cpu) = self.queued.insert(e.pid, e.cpu) {
                    let what = format!(
                        "{} enters CPU {}'s queue and is in CPU {cpu}'s",
                        e.pid, e.cpu
                    );
                    broken(TWICE, what);
                }
            }
            // A task is taken out of its queue before its CPU changes.
            EventData::SchedMigrateTask(e) => drop(self.queued.remove(&e.pid)),
            EventData::SchedSwitch(e) => {
                if !STAYS.contains(&e.prev_state) {
                    self.queued.remove(&e.prev_pid);
                    self.asleep.insert(e.prev_pid, e.prev_state);
                }
                if let Some(cpu) = self.queued.get(&e.next_pid)
                    && *cpu != event.cpu
                {
                    let what = format!(
                        "{} runs on CPU {} and is in CPU {cpu}'s",
                        e.next_pid, event.cpu
                    );
                    broken(TWICE, what);
                }
                self.asleep.remove(&e.next_pid);
                self.running.insert(event.cpu, e.next_pid);
            }
            EventData::SchedWakeup(e) => match self.asleep.remove(&e.pid) {
                None => {}
                Some(INTERRUPTIBLE) => {
                    self.cancelled.entry(e.pid).or_insert(event.seq);
                }
                Some(_) => broken(WOKEN, unqueued(e.pid)),
            },
            EventData::SchedProcessExit(e) => drop(self.cancelled.remove(&e.pid)),
            EventData::SchedProcessFork(e) => {
                self.queued.remove(&e.child_pid);
                self.asleep.remove(&e.child_pid);
            }
            _ => {}
        }
    }

    fn end(&mut self, found: &mut Vec<Violation>) {
        found.extend(self.cancelled.iter().map(|(pid, seq)| Violation {
            invariant: WOKEN,
            seq: *seq,
            what: unqueued(*pid),
        }));
    }
}

fn unqueued(pid: i32) -> String {
    format!("{pid} is woken and in no queue")
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn found(rows: impl IntoIterator<Item = (u32, i32, EventData)>) -> Vec<String> {
        let found = broken(OneQueue::default(), &events(rows));
        found.into_iter().map(|(_, what)| what).collect()
    }

    #[test]
    fn asleep_queued_moved_and_back() {
        let fine = [
            (0, 0, enqueued(7, 120, 0)),
            (1, 5, migrate(7, 0, 1)),
            (1, 5, enqueued(7, 120, 1)),
            (1, 5, switch((5, 120), 0x100, (7, 120))),
            (1, 7, switch((7, 120), 1, (5, 120))),
            (0, 0, enqueued(7, 120, 0)),
        ];
        assert_eq!(found(fine), [""; 0]);
    }

    #[test]
    fn woken_by_a_waker_that_looked_too_early() {
        let lost = [(0, 7, switch((7, 120), 2, (0, 120))), (1, 5, wakeup(7, 0))];
        assert_eq!(found(lost), ["7 is woken and in no queue"]);
        let fine = [
            (0, 7, switch((7, 120), 1, (0, 120))),
            (1, 5, enqueued(7, 120, 0)),
            (1, 5, wakeup(7, 0)),
            (0, 0, switch((0, 120), 0, (7, 120))),
            // Woken before it had gone.
            (1, 5, wakeup(7, 0)),
        ];
        assert_eq!(found(fine), [""; 0]);
    }

    #[test]
    fn a_sleep_that_a_signal_cancelled_is_one_of_a_task_that_ends() {
        let left = |rows: &[(u32, i32, EventData)]| {
            let (mut queues, mut found) = (OneQueue::default(), Vec::new());
            for event in events(rows.iter().copied()) {
                queues.event(&event, &mut found);
            }
            queues.end(&mut found);
            found
                .into_iter()
                .map(|v| (v.seq, v.what))
                .collect::<Vec<_>>()
        };
        let rows = [
            (0, 7, switch((7, 120), 1, (5, 120))),
            (1, 6, wakeup(7, 0)),
            (0, 5, switch((5, 120), 2, (7, 120))),
            (0, 7, exit(7)),
        ];
        assert_eq!(left(&rows), []);
        let lost = (1, "7 is woken and in no queue".to_owned());
        assert_eq!(left(&rows[..3]), [lost]);
    }

    #[test]
    fn in_two_queues_or_queued_while_it_runs() {
        let twice = [(0, 0, enqueued(7, 120, 0)), (1, 5, enqueued(7, 120, 1))];
        assert_eq!(found(twice), ["7 enters CPU 1's queue and is in CPU 0's"]);
        let elsewhere = [
            (0, 0, enqueued(7, 120, 0)),
            (1, 5, switch((5, 120), 1, (7, 120))),
        ];
        assert_eq!(found(elsewhere), ["7 runs on CPU 1 and is in CPU 0's"]);
        let running = [
            (1, 5, switch((5, 120), 1, (7, 120))),
            (0, 0, enqueued(7, 120, 0)),
        ];
        assert_eq!(found(running), ["7 enters CPU 0's queue and runs on CPU 1"]);
    }
}
