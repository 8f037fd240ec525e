//! Invariants of a scheduler, watched from outside: over the events of a recording and nothing else.
//!
//! Each is a small machine that takes the events in order and gives what breaks it. [`all`] runs them
//! all. A violation means that the kernel is wrong, or that a tracepoint lies. The names begin with the
//! rule: T tasks and queues, P preemption, F fair, R real time, S stoppers, H hotplug, K pids. What is read
//! from the machine itself while it stands still is in [`state`].
//!
//! Every rule of linux-facts.md section 6, and where it is checked: E here from events, S here from states
//! ([`state`]), K inside the kernel (`kernel-image/src/kernel/kreplay`, a suite of `kunit` or a workload), H by
//! a test of its code on the host (`kernel-image/tests`), or not, and why.
//!
//! | rule | where |
//! |---|---|
//! | T1 | E [`OneQueue`], S |
//! | T2, T5 | E [`OneQueue`] |
//! | T3 | E [`OneCpuPerTask`], S |
//! | T4, T6, T9 | S |
//! | T7 | S; K `kunit/affinity` |
//! | T8 | E [`InMask`], S; K `kunit/affinity` |
//! | T10 | E [`AtHome`]; K the BUG_ON of `smpboot_thread_fn`, `kunit/hotplug`, `kunit/kthread` |
//! | T11 | S [`state::switches`] |
//! | T12 | S with E [`state::over_time`] |
//! | T13 | E [`Life`] |
//! | T14 | E [`Life`], [`OneQueue`] |
//! | T15 | K `kunit/wakeup` |
//! | T16 | E [`Life`] |
//! | T17 | S |
//! | T18 | S with E [`state::over_time`], the sum: whether a task wanted to leave is the kernel's word |
//! | P1 | E [`ClassOrder`], S |
//! | P2 | S, real time: as P11; deadlines and FIFO order are in no event and no state |
//! | P3, P4, P12 | E [`StopperFirst`] |
//! | P5, P9, P11 | S |
//! | P6 | not: no event where a lock is dropped; what it is for is P1 |
//! | P7 | S [`state::switches`]; K the warnings of `finish_task_switch`, `cpu_stop_run_work`, `do_one_initcall` and `process_one_work` |
//! | P8, P10 | S [`state::switches`] |
//! | F1, F2, F4 | S, [`state::over_time`]; K `kunit/fair` |
//! | F3 | S, of a V that `trace-live` computes from the kernel's sums |
//! | F5 | K `kunit/fair` |
//! | F6 | K `kunit/fair`, the lag; not from S, where a yield cannot be told |
//! | F7 | S [`state::switches`] |
//! | F8, F9 | H `sched_fair.rs`; F9 with v6.8's V, which leaves out an entity that waits |
//! | F10 | K workload `fair` (`fair.limits=1`); S has no throttling, but the sum of T6 |
//! | F11, F12 | K `kunit/fair`, workload `fair` |
//! | R1 | S |
//! | R2 | S, the list; the root domain's mask is in no state |
//! | R3 | K workload `rt` |
//! | R4 | K workload `rt` (`rt.throttle=1`) |
//! | R5, R6 | K workload `deadline`, admission and misses; bandwidths are in no state |
//! | S1 | E [`StopOrder`]; K `kunit/stop_machine` |
//! | S2 | E [`Parked`]; K `kunit/stop_machine`, workload `hotplug` |
//! | S3, S4 | E [`StopRequests`] |
//! | S5, S6 | E [`LockStep`]; K `kunit/stop_machine` |
//! | S7 | E [`Parked`], S; K workload `hotplug` |
//! | S8 | E [`StopOrder`], what it is for: no work is queued twice; between the mark and the queueing nothing is locked |
//! | S9 | K `kunit/affinity`, workload `affinity` |
//! | H1 | E [`Hotplug`], S |
//! | H2 | E [`Hotplug`], but for interrupts; K `kunit/hotplug`, workload `hotplug` |
//! | H3 | E [`Parked`], what comes after; K workload `hotplug` |
//! | H4 | K workload `hotplug`, of a CPU that is off |
//! | H5 | K workload `hotplug` |
//! | W1 | K `kunit/workqueue` |
//! | W2, W3 | K `kunit/workqueue`, that a sleeping work stops nobody; the pools are in no state |
//! | W4 | K `kunit/workqueue` |
//! | K1 | E [`Life`]; K `kunit/fork` |
//! | L1 | not: no event at locks |
//! | C1 | S [`state::over_time`]; not that a section uses one value |

mod at_home;
mod class_order;
mod hotplug;
mod in_mask;
mod life;
mod lock_step;
mod one_cpu_per_task;
mod one_queue;
mod parked;
pub mod state;
mod stop_order;
mod stop_requests;
mod stopper_first;

use std::collections::BTreeSet;
use std::fmt;

use crate::event::{Event, EventData};
use crate::krec::TaskRow;

pub use at_home::AtHome;
pub use class_order::ClassOrder;
pub use hotplug::Hotplug;
pub use in_mask::InMask;
pub use life::Life;
pub use lock_step::LockStep;
pub use one_cpu_per_task::OneCpuPerTask;
pub use one_queue::OneQueue;
pub use parked::Parked;
pub use stop_order::StopOrder;
pub use stop_requests::StopRequests;
pub use stopper_first::StopperFirst;

/// An event that breaks an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant.
    pub invariant: &'static str,
    /// Number of the event.
    pub seq: u64,
    /// What is wrong, in the kernel's words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at event {}: {}", self.invariant, self.seq, self.what)
    }
}

/// What one CPU asks of another and what is done under locks is over soon: within so many cycles of 1 ns. What
/// may come before it are sections with interrupts or preemption off, which are short; a tick (4 ms) would be a
/// lost reschedule. A machine that is switched off stops all CPUs wherever they are (`kernel_power_off`), so of
/// what began later than this before its end nobody can say that it would not have been done.
const SOON: u64 = 1_500_000;

/// An invariant that is watched event by event.
pub trait Invariant {
    /// Takes the next event; adds what it breaks to `found`.
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>);

    /// The run has ended by itself: nothing comes any more.
    fn end(&mut self, _found: &mut Vec<Violation>) {}
}

fn every() -> [Box<dyn Invariant>; 12] {
    [
        Box::new(OneCpuPerTask::default()),
        Box::new(OneQueue::default()),
        Box::new(Life::default()),
        Box::new(ClassOrder::default()),
        Box::new(StopperFirst::default()),
        Box::new(InMask::default()),
        Box::new(StopOrder::default()),
        Box::new(StopRequests::default()),
        Box::new(LockStep::default()),
        Box::new(AtHome::default()),
        Box::new(Hotplug::default()),
        Box::new(Parked::default()),
    ]
}

/// Every violation of every invariant, in the order of the events. They may end anywhere.
pub fn all<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut watched = every();
    for event in events {
        for invariant in &mut watched {
            invariant.event(event, &mut found);
        }
    }
    found
}

/// The same over the events of a run that ended by itself: nothing may be left undone.
pub fn whole<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut watched = every();
    for event in events {
        for invariant in &mut watched {
            invariant.event(event, &mut found);
        }
    }
    for invariant in &mut watched {
        invariant.end(&mut found);
    }
    found
}

/// Tasks that may have been caught half-way by the end of a run: begun, moved or told a new mask just before.
pub fn unsettled(events: &[Event]) -> BTreeSet<i32> {
    let Some(end) = events.iter().map(|event| event.cycles).max() else {
        return BTreeSet::new();
    };
    // Clocks of CPUs are not in the order of events, but near each other.
    let late = events.iter().filter(|event| event.cycles + SOON >= end);
    late.filter_map(|event| match &event.data {
        EventData::SchedProcessFork(e) => Some(e.child_pid),
        EventData::SchedMigrateTask(e) => Some(e.pid),
        EventData::MoveAffinityEntry(e) => Some(e.pid),
        _ => None,
    })
    .collect()
}

/// Tasks that run outside their mask at the end of a run that ended by itself, but for the [`unsettled`].
pub fn tasks_in_mask<'a>(tasks: &'a [TaskRow], unsettled: &BTreeSet<i32>) -> Vec<&'a TaskRow> {
    tasks
        .iter()
        .filter(|task| task.on_cpu && task.pid != 0 && !unsettled.contains(&task.pid))
        .filter(|task| task.cpu >= 64 || task.cpus_mask >> task.cpu & 1 == 0)
        .collect()
}

#[cfg(test)]
mod testing {
    //! Hand-written events for the tests of the invariants.

    use super::*;
    use crate::event::{Addr, Comm, EventData};

    /// Numbers and stamps a list of (cpu, current pid, event).
    pub fn events(rows: impl IntoIterator<Item = (u32, i32, EventData)>) -> Vec<Event> {
        (0..)
            .zip(rows)
            .map(|(seq, (cpu, pid, data))| Event {
                seq,
                cpu,
                cycles: 100 * seq,
                insns: 90 * seq,
                pid,
                comm: Comm::default(),
                stack: None,
                data,
            })
            .collect()
    }

    pub fn broken(mut invariant: impl Invariant, events: &[Event]) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        for event in events {
            invariant.event(event, &mut found);
        }
        found.into_iter().map(|v| (v.seq, v.what)).collect()
    }

    pub fn switch(prev: (i32, i32), prev_state: i64, next: (i32, i32)) -> EventData {
        crate::events::SchedSwitch {
            prev_comm: comm(prev.0),
            prev_pid: prev.0,
            prev_prio: prev.1,
            prev_state,
            next_comm: comm(next.0),
            next_pid: next.0,
            next_prio: next.1,
        }
        .into()
    }

    pub fn wakeup_at(pid: i32, prio: i32, cpu: u32) -> EventData {
        crate::events::SchedWakeup {
            comm: comm(pid),
            pid,
            prio,
            target_cpu: cpu as i32,
        }
        .into()
    }

    pub fn wakeup(pid: i32, cpu: u32) -> EventData {
        wakeup_at(pid, 120, cpu)
    }

    pub fn waking(pid: i32, cpu: u32) -> EventData {
        crate::events::SchedWaking {
            comm: comm(pid),
            pid,
            prio: 120,
            target_cpu: cpu as i32,
        }
        .into()
    }

    pub fn wakeup_new(pid: i32, cpu: u32) -> EventData {
        crate::events::SchedWakeupNew {
            comm: comm(pid),
            pid,
            prio: 120,
            target_cpu: cpu as i32,
        }
        .into()
    }

    pub fn fork(parent: i32, child: i32) -> EventData {
        crate::events::SchedProcessFork {
            parent_comm: comm(parent),
            parent_pid: parent,
            child_comm: comm(child),
            child_pid: child,
        }
        .into()
    }

    pub fn exit(pid: i32) -> EventData {
        crate::events::SchedProcessExit {
            comm: comm(pid),
            pid,
            prio: 120,
        }
        .into()
    }

    pub fn enqueued(pid: i32, prio: i32, cpu: u32) -> EventData {
        crate::events::MoveEnqueued {
            comm: comm(pid),
            pid,
            prio,
            cpu,
        }
        .into()
    }

    pub fn migrate(pid: i32, orig_cpu: i32, dest_cpu: i32) -> EventData {
        crate::events::SchedMigrateTask {
            comm: comm(pid),
            pid,
            prio: 120,
            orig_cpu,
            dest_cpu,
        }
        .into()
    }

    pub fn stop_queue(cpu: u32, work: u64, done: u64) -> EventData {
        crate::events::StopWorkQueue {
            work: Addr(work),
            cpu,
            func: Addr(0x100),
            caller: Addr(0),
            done: Addr(done),
            pending: Addr(0),
            task: Addr(0),
            task_pid: 0,
            task_comm: Comm::default(),
            nr_todo: -1,
        }
        .into()
    }

    pub fn stop_start(cpu: u32, work: u64, done: u64) -> EventData {
        crate::events::StopWorkStart {
            work: Addr(work),
            cpu,
            func: Addr(0x100),
            caller: Addr(0),
            done: Addr(done),
            pending: Addr(0),
            task: Addr(0),
            task_pid: 0,
            task_comm: Comm::default(),
            nr_todo: -1,
        }
        .into()
    }

    pub fn stop_done(cpu: u32, work: u64, done: u64) -> EventData {
        crate::events::StopWorkDone {
            work: Addr(work),
            cpu,
            func: Addr(0x100),
            caller: Addr(0),
            done: Addr(done),
            pending: Addr(0),
            task: Addr(0),
            task_pid: 0,
            task_comm: Comm::default(),
            nr_todo: -1,
            ret: 0,
            task_cpu: -1,
            task_on_rq: -1,
            task_cpus_mask: crate::events::Mask(0),
        }
        .into()
    }

    pub fn stop_complete(done: u64) -> EventData {
        crate::events::StopComplete {
            done: Addr(done),
            pending: Addr(0),
            task: Addr(0),
            task_pid: 0,
            task_comm: Comm::default(),
        }
        .into()
    }

    pub fn cpuhp_enter(cpu: u32, target: i32, idx: i32) -> EventData {
        crate::events::CpuhpEnter {
            cpu,
            target,
            idx,
            func: Addr(0x100),
        }
        .into()
    }

    pub fn cpuhp_exit(cpu: u32, state: i32, idx: i32, ret: i32) -> EventData {
        crate::events::CpuhpExit {
            cpu,
            state,
            idx,
            ret,
        }
        .into()
    }

    /// Pids 10 to 19 are stoppers.
    pub fn comm(pid: i32) -> Comm {
        match pid {
            0 => "swapper".into(),
            10..=19 => format!("migration/{}", pid - 10).as_str().into(),
            _ => format!("task{pid}").as_str().into(),
        }
    }
}
