//! Completions. Linux: `kernel/sched/completion.c` (v6.8).
//!
//! Kept: complete, complete_all, waits in any state, with a timeout or without. Left out: I/O accounting.
//! Differs: nothing else.
//! Locks: the completion's own, with interrupts off; waking takes `pi_lock` inside it.

use crate::arch::x86::include::asm::current::current;
use crate::include::linux::completion::Completion;
use crate::include::linux::errno::ERESTARTSYS;
use crate::include::linux::kernel::might_sleep;
use crate::include::linux::sched::signal::signal_pending_state;
use crate::include::linux::sched::{
    __set_current_state, MAX_SCHEDULE_TIMEOUT, TASK_INTERRUPTIBLE, TASK_KILLABLE,
    TASK_UNINTERRUPTIBLE,
};
use crate::include::linux::spinlock::{raw_spin_lock_irq, raw_spin_unlock_irq};
use crate::include::linux::swait::SwaitQueue;
use crate::kernel::sched::swait::{
    __finish_swait, __prepare_to_swait, swake_up_all_locked, swake_up_locked,
};
use crate::kernel::time::timer::sleep::schedule_timeout;
use crate::stack_pinned;

/// Says that it has been done once more, and wakes the first waiter.
///
/// # Context
/// Any.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn complete(x: &'static Completion) {
    let _guard = x.wait.lock.lock_irqsave();
    if x.done.get() != u32::MAX {
        x.done.inc();
    }
    swake_up_locked(&x.wait, 0);
}

/// Says that it has been done for ever, and wakes everybody.
///
/// # Context
/// Any.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn complete_all(x: &'static Completion) {
    let _guard = x.wait.lock.lock_irqsave();
    x.done.set(u32::MAX);
    swake_up_all_locked(&x.wait);
}

/// Waits until it has been done, and takes one.
///
/// # Context
/// May sleep.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wait_for_completion(x: &'static Completion) {
    wait_for_common(x, MAX_SCHEDULE_TIMEOUT, TASK_UNINTERRUPTIBLE);
}

/// The same for so many ticks at most.
///
/// # Returns
/// 0 if the time is over, else what is left, at least 1.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wait_for_completion_timeout(x: &'static Completion, timeout: u64) -> u64 {
    wait_for_common(x, timeout, TASK_UNINTERRUPTIBLE) as u64
}

/// The same, unless a signal comes: 0 or -ERESTARTSYS.
pub fn wait_for_completion_interruptible(x: &'static Completion) -> i32 {
    wait_for_common(x, MAX_SCHEDULE_TIMEOUT, TASK_INTERRUPTIBLE).min(0) as i32
}

/// The same for so many ticks at most: -ERESTARTSYS, 0 when the time is over, else what is left.
pub fn wait_for_completion_interruptible_timeout(x: &'static Completion, timeout: u64) -> i64 {
    wait_for_common(x, timeout, TASK_INTERRUPTIBLE)
}

/// The same, unless a fatal signal comes: 0 or -ERESTARTSYS.
pub fn wait_for_completion_killable(x: &'static Completion) -> i32 {
    wait_for_common(x, MAX_SCHEDULE_TIMEOUT, TASK_KILLABLE).min(0) as i32
}

/// The same for so many ticks at most: -ERESTARTSYS, 0 when the time is over, else what is left.
pub fn wait_for_completion_killable_timeout(x: &'static Completion, timeout: u64) -> i64 {
    wait_for_common(x, timeout, TASK_KILLABLE)
}

/// The same, asleep in the given state: 0 or -ERESTARTSYS.
///
/// # Context
/// May sleep.
pub fn wait_for_completion_state(x: &'static Completion, state: u32) -> i32 {
    wait_for_common(x, MAX_SCHEDULE_TIMEOUT, state).min(0) as i32
}

/// The wait: -ERESTARTSYS, 0 when the time is over, else what is left, at least 1.
fn wait_for_common(x: &'static Completion, timeout: u64, state: u32) -> i64 {
    might_sleep();
    raw_spin_lock_irq(&x.wait.lock);
    let left = do_wait_for_common(x, timeout, state);
    raw_spin_unlock_irq(&x.wait.lock);
    left
}

/// The lock is held, and let go of while asleep.
fn do_wait_for_common(x: &'static Completion, timeout: u64, state: u32) -> i64 {
    let mut left = timeout;
    if x.done.get() == 0 {
        stack_pinned!(let wait = SwaitQueue::new(current()));
        let mut interrupted = false;
        loop {
            if signal_pending_state(state, current()) {
                interrupted = true;
                break;
            }
            __prepare_to_swait(&x.wait, wait);
            __set_current_state(state);
            raw_spin_unlock_irq(&x.wait.lock);
            left = schedule_timeout(left);
            raw_spin_lock_irq(&x.wait.lock);
            if x.done.get() != 0 || left == 0 {
                break;
            }
        }
        __finish_swait(&x.wait, wait);
        if x.done.get() == 0 {
            return if interrupted {
                i64::from(-ERESTARTSYS)
            } else {
                left as i64
            };
        }
    }
    if x.done.get() != u32::MAX {
        x.done.dec();
    }
    left.max(1) as i64
}

/// Takes one if it has been done, without waiting.
pub fn try_wait_for_completion(x: &'static Completion) -> bool {
    let _guard = x.wait.lock.lock_irqsave();
    match x.done.get() {
        0 => false,
        u32::MAX => true,
        _ => {
            x.done.dec();
            true
        }
    }
}

/// Whether it has been done.
pub fn completion_done(x: &'static Completion) -> bool {
    let _guard = x.wait.lock.lock_irqsave();
    x.done.get() != 0
}
