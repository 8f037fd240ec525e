//! From runnable to running: the delays that `latency` and `runqlat` show.
//!
//! A task waits from the event that made it runnable (a wake-up, its own first one, or the switch that
//! took the CPU from it while it could have gone on) to the switch that lets it run: *sch delay* of
//! definitions.md section 5. A second wake-up of a task that waits or runs already changes nothing. The
//! idle tasks never wait. This is the state machine of `perf sched latency`.

use std::collections::BTreeMap;

use trace::event::{Comm, EventData};

use crate::causal::Stamped;

/// Which event of a wake-up makes its task runnable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wake {
    /// `sched_wakeup`: the task's state has become running.
    #[default]
    Wakeup,
    /// `sched_waking`: the waker has begun; what waking takes is part of the delay.
    Waking,
}

impl Wake {
    /// The event's name.
    pub fn event(self) -> &'static str {
        match self {
            Wake::Wakeup => "sched_wakeup",
            Wake::Waking => "sched_waking",
        }
    }
}

/// One wait of one task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delay {
    /// The task.
    pub pid: i32,
    /// Its name when it ran.
    pub comm: Comm,
    /// Its kernel priority when it ran.
    pub prio: i32,
    /// The CPU that it ran on.
    pub cpu: u32,
    /// When it became runnable, and the event that says so.
    pub from: (u64, u64),
    /// When it ran, and the switch.
    pub to: (u64, u64),
}

impl Delay {
    /// How long it waited.
    pub fn ns(&self) -> u64 {
        self.to.0.saturating_sub(self.from.0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Sleeping { since_ns: u64 },
    Waiting { from: (u64, u64) },
    Running,
}

/// Follows every task; bounded by their number.
#[derive(Debug)]
pub struct Delays {
    wake: Wake,
    tasks: BTreeMap<i32, State>,
    /// Wake-ups of tasks that slept.
    pub wakeups: u64,
    /// Of them: earlier than the switch that put the task to sleep. Causal time makes this 0.
    pub unordered: u64,
}

/// Whether a task that leaves its CPU in this state could have gone on.
pub fn stays_runnable(prev_state: i64) -> bool {
    prev_state == 0 || prev_state & 0x100 != 0
}

impl Delays {
    /// Nobody waits.
    pub fn new(wake: Wake) -> Delays {
        Delays {
            wake,
            tasks: BTreeMap::new(),
            wakeups: 0,
            unordered: 0,
        }
    }

    /// Takes the next event; gives the delay that it ends.
    pub fn push(&mut self, event: &Stamped<'_>) -> Option<Delay> {
        let now = (event.time_ns, event.event.seq);
        match &event.event.data {
            EventData::SchedWakeup(e) if self.wake == Wake::Wakeup => self.woken(e.pid, now),
            EventData::SchedWaking(e) if self.wake == Wake::Waking => self.woken(e.pid, now),
            EventData::SchedWakeupNew(e) => self.woken(e.pid, now),
            EventData::SchedSwitch(e) => {
                if e.prev_pid != 0 {
                    let state = match stays_runnable(e.prev_state) {
                        true => State::Waiting { from: now },
                        false => State::Sleeping {
                            since_ns: event.time_ns,
                        },
                    };
                    self.tasks.insert(e.prev_pid, state);
                }
                if e.next_pid == 0 {
                    return None;
                }
                let before = self.tasks.insert(e.next_pid, State::Running);
                if let Some(State::Waiting { from }) = before {
                    return Some(Delay {
                        pid: e.next_pid,
                        comm: e.next_comm,
                        prio: e.next_prio,
                        cpu: event.event.cpu,
                        from,
                        to: now,
                    });
                }
            }
            _ => {}
        }
        None
    }

    fn woken(&mut self, pid: i32, now: (u64, u64)) {
        let since_ns = match self.tasks.get(&pid) {
            Some(State::Sleeping { since_ns }) => *since_ns,
            Some(_) => return,
            None => 0,
        };
        if pid == 0 {
            return;
        }
        self.wakeups += 1;
        if since_ns > now.0 {
            self.unordered += 1;
            return;
        }
        self.tasks.insert(pid, State::Waiting { from: now });
    }
}
