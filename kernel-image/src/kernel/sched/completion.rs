//! Completions. Linux: `kernel/sched/completion.c` (v6.8).
//!
//! Kept: complete, complete_all, the uninterruptible wait and its test. Left out: timeouts, killable and
//! I/O variants (no signals here). Differs: nothing else.
//! Locks: the completion's own, with interrupts off; waking takes `pi_lock` inside it.

use crate::arch::x86::include::asm::current::current;
use crate::include::linux::completion::Completion;
use crate::include::linux::kernel::might_sleep;
use crate::include::linux::sched::{__set_current_state, TASK_UNINTERRUPTIBLE};
use crate::include::linux::spinlock::{raw_spin_lock_irq, raw_spin_unlock_irq};
use crate::include::linux::swait::SwaitQueue;
use crate::kernel::sched::core::schedule;
use crate::kernel::sched::swait::{
    __finish_swait, __prepare_to_swait, swake_up_all_locked, swake_up_locked,
};
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
    wait_for_common(x, TASK_UNINTERRUPTIBLE);
}

/// The same, asleep in the given state: one that signals do not end (there are none).
///
/// # Context
/// May sleep.
pub fn wait_for_completion_state(x: &'static Completion, state: u32) {
    wait_for_common(x, state);
}

fn wait_for_common(x: &'static Completion, state: u32) {
    might_sleep();
    stack_pinned!(let wait = SwaitQueue::new(current()));
    raw_spin_lock_irq(&x.wait.lock);
    if x.done.get() == 0 {
        while x.done.get() == 0 {
            __prepare_to_swait(&x.wait, wait);
            __set_current_state(state);
            raw_spin_unlock_irq(&x.wait.lock);
            schedule();
            raw_spin_lock_irq(&x.wait.lock);
        }
        __finish_swait(&x.wait, wait);
    }
    if x.done.get() != u32::MAX {
        x.done.dec();
    }
    raw_spin_unlock_irq(&x.wait.lock);
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
