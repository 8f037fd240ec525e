//! Whether a task has a reason to end its sleep early. Linux: `include/linux/sched/signal.h` (v6.8).
//!
//! Kept: pending, fatal, the test of a state. Left out: everything of user processes: handlers, queues,
//! groups. Differs: the set of pending signals is one word of the task.

use crate::arch::x86::include::asm::thread_info::{TIF_NOTIFY_SIGNAL, TIF_SIGPENDING};
use crate::include::linux::sched::{
    TASK_INTERRUPTIBLE, TASK_WAKEKILL, TaskRef, test_tsk_thread_flag,
};
pub use crate::kernel::signal::{allow_signal, flush_signals, send_sig, signal_wake_up};
use core::sync::atomic::Ordering;

/// The signal that nobody survives.
pub const SIGKILL: i32 = 9;

/// Whether a signal waits for the task, or something that is to be treated like one.
pub fn signal_pending(p: TaskRef) -> bool {
    test_tsk_thread_flag(p, TIF_NOTIFY_SIGNAL) || test_tsk_thread_flag(p, TIF_SIGPENDING)
}

/// Whether the signal is the one that nobody survives.
pub fn fatal_signal_pending(p: TaskRef) -> bool {
    test_tsk_thread_flag(p, TIF_SIGPENDING) && __fatal_signal_pending(p)
}

fn __fatal_signal_pending(p: TaskRef) -> bool {
    p.pending.load(Ordering::Acquire) & 1 << (SIGKILL - 1) != 0
}

/// Whether the task must not fall asleep in `state`.
pub fn signal_pending_state(state: u32, p: TaskRef) -> bool {
    if state & (TASK_INTERRUPTIBLE | TASK_WAKEKILL) == 0 || !signal_pending(p) {
        return false;
    }
    state & TASK_INTERRUPTIBLE != 0 || __fatal_signal_pending(p)
}
