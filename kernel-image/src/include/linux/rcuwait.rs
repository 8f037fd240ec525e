//! One task that waits for a condition. Linux: `include/linux/rcuwait.h`, `kernel/exit.c`
//! (`rcuwait_wake_up`), v6.8.
//!
//! Kept: one waiter at a time, published before it looks at the condition. Differs: the waiter cannot
//! be freed under the waker, because tasks never are; Linux needs a read-side section for that.

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::include::linux::sched::{
    __set_current_state, TASK_RUNNING, TaskRef, set_current_state, smp_mb,
};
use crate::kernel::sched::core::{schedule, wake_up_process};

/// Who waits, if anybody does.
#[doc(alias = "rcuwait")]
#[repr(C)]
pub struct Rcuwait {
    /// The waiter.
    pub task: Shared<Option<TaskRef>>,
}

impl Rcuwait {
    /// Nobody waits.
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

/// Wakes the waiter; true if there was one and it slept.
///
/// # Context
/// Any. The condition has been made true before.
pub fn rcuwait_wake_up(w: &Rcuwait) -> bool {
    // The condition before the look at the waiter; the waiter does it the other way round.
    smp_mb();
    w.task.get().is_some_and(|task| wake_up_process(task))
}

/// Sleeps until the condition holds.
///
/// # Context
/// May sleep. Nobody else waits here.
pub fn rcuwait_wait_event(w: &Rcuwait, condition: impl Fn() -> bool, state: u32) {
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
