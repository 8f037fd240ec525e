//! The life of a task: made, woken for the first time, woken again after every sleep, dead once (T13, T14,
//! T16), and numbered upwards (K1).
//!
//! A task that was there before the first event is taken as it comes. A sleep that a signal may end does not
//! begin if one is pending: the switch is printed with S all the same, and the task stays queued. What a
//! kernel thread gets for a signal is `kthread_stop`, so a task that goes on without a wake-up has to end.

use std::collections::{BTreeMap, BTreeSet};

use super::{Invariant, Violation};
use crate::event::{Event, EventData};

/// Where a task is in its life, as far as events have told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Forked, not woken yet.
    New,
    /// Runs, or waits to.
    Runnable,
    /// Has left its CPU to sleep.
    Asleep,
    /// The same, unless a signal was pending.
    Interruptible,
    /// Has passed `do_exit`, and still runs.
    Ending,
    /// Has left its CPU for the last time.
    Dead,
}

#[derive(Default)]
struct Wakings {
    waking: u64,
    wakeup: u64,
}

/// Keeps every task's stage.
#[derive(Default)]
pub struct Life {
    tasks: BTreeMap<i32, Stage>,
    wakings: BTreeMap<i32, Wakings>,
    /// By parent: its youngest child.
    children: BTreeMap<i32, i32>,
    used: BTreeSet<i32>,
    /// Went on after an interruptible sleep without a wake-up, and has not ended: the event.
    cancelled: BTreeMap<i32, u64>,
}

const DEAD: &str = "T13 dead once";
const NEW: &str = "T14 the first wake-up is a new task's";
const WOKEN: &str = "T16 a sleep ends by a wake-up";
const PIDS: &str = "K1 pids rise";
/// prev_state of a task that stays runnable.
const STAYS: [i64; 2] = [0, 0x100];
/// prev_state of a sleep that a signal ends (TASK_INTERRUPTIBLE).
pub(super) const INTERRUPTIBLE: i64 = 1;
/// Bits of prev_state that say that the task has ended: EXIT_DEAD, EXIT_ZOMBIE.
const ENDED: i64 = 0x30;
/// From here on numbers may have wrapped round.
const WRAPS: i32 = 32_000;

impl Life {
    fn fork(&mut self, parent: i32, child: i32, broken: &mut impl FnMut(&'static str, String)) {
        let elder = self.children.insert(parent, child).unwrap_or(0);
        if child <= elder && elder < WRAPS {
            broken(PIDS, format!("{parent} forks {child} after {elder}"));
        }
        if !self.used.insert(child) && *self.used.last().unwrap_or(&0) < WRAPS {
            broken(PIDS, format!("{child} is given a second time"));
        }
        self.tasks.insert(child, Stage::New);
        self.wakings.remove(&child);
    }

    fn woken(&mut self, pid: i32, how: &str, broken: &mut impl FnMut(&'static str, String)) {
        match self.tasks.get(&pid) {
            Some(Stage::New) => broken(NEW, format!("{pid} is new, and gets {how}")),
            Some(Stage::Dead) => broken(DEAD, format!("{pid} is dead, and gets {how}")),
            _ => {}
        }
    }

    fn switched_in(&mut self, pid: i32, seq: u64, broken: &mut impl FnMut(&'static str, String)) {
        match self.tasks.get(&pid) {
            Some(Stage::New) => broken(NEW, format!("{pid} runs before its first wake-up")),
            Some(Stage::Dead) => broken(DEAD, format!("{pid} is dead, and runs")),
            Some(Stage::Asleep) => broken(WOKEN, unwoken(pid)),
            Some(Stage::Interruptible) => {
                self.cancelled.entry(pid).or_insert(seq);
            }
            _ => {}
        }
        if self.tasks.get(&pid) != Some(&Stage::Ending) {
            self.tasks.insert(pid, Stage::Runnable);
        }
    }

    fn switched_out(
        &mut self,
        pid: i32,
        state: i64,
        broken: &mut impl FnMut(&'static str, String),
    ) {
        let ending = self.tasks.get(&pid) == Some(&Stage::Ending);
        if state & ENDED != 0 {
            if !ending {
                broken(DEAD, format!("{pid} leaves as dead, and has not ended"));
            }
            self.tasks.insert(pid, Stage::Dead);
        } else if !ending {
            let stage = match state {
                INTERRUPTIBLE => Stage::Interruptible,
                _ if STAYS.contains(&state) => Stage::Runnable,
                _ => Stage::Asleep,
            };
            self.tasks.insert(pid, stage);
        }
    }
}

impl Invariant for Life {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        let mut broken = |invariant, what| {
            found.push(Violation {
                invariant,
                seq: event.seq,
                what,
            });
        };
        match &event.data {
            EventData::SchedProcessFork(e) => self.fork(e.parent_pid, e.child_pid, &mut broken),
            EventData::SchedWaking(e) => {
                self.woken(e.pid, "a wake-up", &mut broken);
                self.wakings.entry(e.pid).or_default().waking += 1;
            }
            EventData::SchedWakeup(e) => {
                self.woken(e.pid, "a wake-up", &mut broken);
                let asleep = [Some(&Stage::Asleep), Some(&Stage::Interruptible)];
                if asleep.contains(&self.tasks.get(&e.pid)) {
                    self.tasks.insert(e.pid, Stage::Runnable);
                }
                let wakings = self.wakings.entry(e.pid).or_default();
                wakings.wakeup += 1;
                if wakings.wakeup > wakings.waking {
                    let (up, ing) = (wakings.wakeup, wakings.waking);
                    broken(WOKEN, format!("{}: {up} wakeups, {ing} wakings", e.pid));
                }
            }
            EventData::SchedWakeupNew(e) => {
                if !matches!(self.tasks.get(&e.pid), None | Some(Stage::New)) {
                    broken(NEW, format!("{} is woken as new a second time", e.pid));
                }
                self.tasks.insert(e.pid, Stage::Runnable);
            }
            EventData::SchedProcessExit(e) => {
                let before = self.tasks.insert(e.pid, Stage::Ending);
                self.cancelled.remove(&e.pid);
                if before == Some(Stage::Dead) {
                    broken(DEAD, format!("{} ends a second time", e.pid));
                }
            }
            EventData::SchedSwitch(e) => {
                if e.prev_pid != 0 {
                    self.switched_out(e.prev_pid, e.prev_state, &mut broken);
                } else if !STAYS.contains(&e.prev_state) {
                    broken(WOKEN, format!("the idle task of CPU {} sleeps", event.cpu));
                }
                if e.next_pid != 0 {
                    self.switched_in(e.next_pid, event.seq, &mut broken);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, found: &mut Vec<Violation>) {
        found.extend(self.cancelled.iter().map(|(pid, seq)| Violation {
            invariant: WOKEN,
            seq: *seq,
            what: unwoken(*pid),
        }));
    }
}

fn unwoken(pid: i32) -> String {
    format!("{pid} runs after a sleep without one")
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn first(rows: impl IntoIterator<Item = (u32, i32, EventData)>) -> Option<String> {
        broken(Life::default(), &events(rows))
            .into_iter()
            .map(|(_, what)| what)
            .next()
    }

    #[test]
    fn a_whole_life_is_fine() {
        let life = [
            (0, 2, fork(2, 7)),
            (0, 2, wakeup_new(7, 0)),
            (0, 2, switch((2, 120), 0x100, (7, 120))),
            (0, 7, switch((7, 120), 2, (0, 120))),
            (1, 5, waking(7, 0)),
            (0, 0, wakeup(7, 0)),
            (0, 0, switch((0, 120), 0, (7, 120))),
            (0, 7, exit(7)),
            // Preempted on its way out: once dead, never again.
            (0, 7, switch((7, 120), 0x100, (2, 120))),
            (0, 2, switch((2, 120), 0, (7, 120))),
            (0, 7, switch((7, 120), 0x10, (0, 120))),
            (0, 2, fork(2, 8)),
        ];
        assert_eq!(first(life), None);
    }

    #[test]
    fn a_sleep_that_nobody_ended() {
        let life = [
            (0, 7, switch((7, 120), 2, (0, 120))),
            (0, 0, switch((0, 120), 0, (7, 120))),
        ];
        assert_eq!(first(life).unwrap(), "7 runs after a sleep without one");
        assert!(
            first([(0, 5, wakeup(7, 0))])
                .unwrap()
                .contains("1 wakeups, 0 wakings")
        );
        let idle = first([(0, 0, switch((0, 120), 2, (7, 120)))]);
        assert_eq!(idle.unwrap(), "the idle task of CPU 0 sleeps");
    }

    #[test]
    fn a_sleep_that_a_signal_cancelled_is_one_of_a_task_that_ends() {
        let left = |rows: &[(u32, i32, EventData)]| {
            let (mut life, mut found) = (Life::default(), Vec::new());
            for event in events(rows.iter().copied()) {
                life.event(&event, &mut found);
            }
            assert_eq!(found, []);
            life.end(&mut found);
            found
                .into_iter()
                .map(|v| (v.seq, v.what))
                .collect::<Vec<_>>()
        };
        let rows = [
            (0, 7, switch((7, 120), 1, (0, 120))),
            (0, 0, switch((0, 120), 0, (7, 120))),
            (0, 7, exit(7)),
        ];
        assert_eq!(left(&rows), []);
        let unwoken = (1, "7 runs after a sleep without one".to_owned());
        assert_eq!(left(&rows[..2]), [unwoken]);
    }

    #[test]
    fn a_new_task_is_woken_as_one() {
        let early = [(0, 2, fork(2, 7)), (0, 2, switch((2, 120), 1, (7, 120)))];
        assert_eq!(first(early).unwrap(), "7 runs before its first wake-up");
        let stray = [(0, 2, fork(2, 7)), (0, 2, waking(7, 0))];
        assert_eq!(first(stray).unwrap(), "7 is new, and gets a wake-up");
        let twice = [
            (0, 2, fork(2, 7)),
            (0, 2, wakeup_new(7, 0)),
            (0, 2, wakeup_new(7, 0)),
        ];
        assert_eq!(first(twice).unwrap(), "7 is woken as new a second time");
    }

    #[test]
    fn the_dead_stay_dead() {
        let end = [(0, 7, exit(7)), (0, 7, switch((7, 120), 0x10, (0, 120)))];
        let then = |event| end.iter().copied().chain([(0, 0, event)]);
        let runs = first(then(switch((0, 120), 0, (7, 120))));
        assert_eq!(runs.unwrap(), "7 is dead, and runs");
        assert_eq!(
            first(then(waking(7, 0))).unwrap(),
            "7 is dead, and gets a wake-up"
        );
        assert_eq!(first(then(exit(7))).unwrap(), "7 ends a second time");
        let sudden = first([(0, 7, switch((7, 120), 0x10, (0, 120)))]);
        assert_eq!(sudden.unwrap(), "7 leaves as dead, and has not ended");
    }

    #[test]
    fn numbers_rise() {
        let back = [(0, 2, fork(2, 9)), (0, 2, fork(2, 8))];
        assert_eq!(first(back).unwrap(), "2 forks 8 after 9");
        let again = [(0, 2, fork(2, 9)), (1, 3, fork(3, 9))];
        assert_eq!(first(again).unwrap(), "9 is given a second time");
    }
}
