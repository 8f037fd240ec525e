//! Signals to kernel threads. Linux: `kernel/signal.c` (v6.8).
//!
//! Kept: a thread ignores signals until it allows them; a signal that comes through is pending, and wakes a
//! sleep that signals end. Left out: all that delivers signals to user code.

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::thread_info::TIF_SIGPENDING;
use crate::include::linux::errno::EINVAL;
use crate::include::linux::sched::signal::SIGKILL;
use crate::include::linux::sched::{
    PF_EXITING, PF_KTHREAD, TASK_INTERRUPTIBLE, TASK_WAKEKILL, TaskRef, clear_tsk_thread_flag,
    set_tsk_thread_flag,
};
use crate::kernel::sched::core::wake_up_state;
use core::sync::atomic::Ordering;

/// Highest signal.
const _NSIG: i32 = 64;

/// A kernel thread wants to know of a signal.
pub fn allow_signal(sig: i32) {
    if (1..=_NSIG).contains(&sig) {
        current()
            .allowed_signals
            .fetch_or(1 << (sig - 1), Ordering::Release);
    }
}

/// The current thread has seen its signals.
pub fn flush_signals() {
    let t = current();
    t.pending.store(0, Ordering::Release);
    clear_tsk_thread_flag(t, TIF_SIGPENDING);
}

/// Sends a signal.
///
/// # Returns
/// 0, also when the thread ignores it, or -EINVAL.
pub fn send_sig(sig: i32, p: TaskRef) -> i32 {
    if !(1..=_NSIG).contains(&sig) {
        return -EINVAL;
    }
    let bit = 1 << (sig - 1);
    let ignored =
        p.flags.get() & PF_KTHREAD != 0 && p.allowed_signals.load(Ordering::Acquire) & bit == 0;
    if ignored || p.flags.get() & PF_EXITING != 0 {
        return 0;
    }
    p.pending.fetch_or(bit, Ordering::SeqCst);
    signal_wake_up(p, sig == SIGKILL);
    0
}

/// Ends the sleep of a task that has a signal; a fatal one ends killable sleeps too.
pub fn signal_wake_up(t: TaskRef, fatal: bool) {
    set_tsk_thread_flag(t, TIF_SIGPENDING);
    let state = TASK_INTERRUPTIBLE | if fatal { TASK_WAKEKILL } else { 0 };
    wake_up_state(t, state);
}
