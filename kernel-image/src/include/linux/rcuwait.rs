//! One task that waits for a condition. Linux: `include/linux/rcuwait.h` and `kernel/exit.c`
//! (`rcuwait_wake_up`), v6.8.
//!
//! Kept: the pointer published before the test, the wake-up that reads it in a reader. Left out: timeouts,
//! signals.

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::include::linux::rcupdate::{rcu_read_lock, rcu_read_unlock};
use crate::include::linux::sched::{
    __set_current_state, TASK_RUNNING, TaskRef, set_current_state, smp_mb,
};
use crate::kernel::sched::core::{schedule, wake_up_process};

/// Who waits, if anybody.
#[doc(alias = "rcuwait")]
#[repr(C)]
pub struct Rcuwait {
    /// The task; it is not freed before a grace period after it went from here.
    pub task: Shared<Option<TaskRef>>,
}

impl Rcuwait {
    /// Nobody.
    pub const fn new() -> Rcuwait {
        Rcuwait {
            task: Shared::new(None),
        }
    }
}

/// Whether somebody waits.
pub fn rcuwait_active(w: &Rcuwait) -> bool {
    w.task.get().is_some()
}

/// Wakes who waits. The condition has been made true before.
///
/// # Context
/// Any.
/// # Returns
/// Whether that woke somebody.
pub fn rcuwait_wake_up(w: &Rcuwait) -> bool {
    rcu_read_lock();
    // The condition is written before the task is read; the waiter does the two the other way round.
    smp_mb();
    let woken = w.task.get().is_some_and(|task| wake_up_process(task));
    rcu_read_unlock();
    woken
}

/// Sleeps in `state` until the condition holds.
///
/// # Context
/// May sleep; nobody else waits here.
pub fn rcuwait_wait_event(w: &Rcuwait, mut condition: impl FnMut() -> bool, state: u32) {
    w.task.set(Some(current()));
    loop {
        set_current_state(state);
        if condition() {
            break;
        }
        schedule();
    }
    w.task.set(None);
    __set_current_state(TASK_RUNNING);
}
