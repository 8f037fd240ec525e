//! Wait queues. Linux: `kernel/sched/wait.c` (v6.8).
//!
//! Kept: waking with exclusive waiters counted, prepare and finish with their ordering. Left out:
//! bookmarks, priority waiters, poll. Differs: `wait_event` is a function with a closure.
//! Locks: the queue's own, with interrupts off; waking takes `pi_lock` inside it.

use crate::arch::x86::include::asm::current::current;
use crate::include::linux::kernel::might_sleep;
use crate::include::linux::list::{list_add, list_add_tail, list_del_init, list_empty};
use crate::include::linux::sched::{
    __set_current_state, TASK_NORMAL, TASK_RUNNING, TASK_UNINTERRUPTIBLE, set_current_state,
};
use crate::include::linux::wait::{WQ_FLAG_EXCLUSIVE, WaitLink, WaitQueueEntry, WaitQueueHead};
use crate::kernel::sched::core::{default_wake_function, schedule};
use crate::stack_pinned;

/// Wakes all ordinary waiters and up to `nr_exclusive` exclusive ones.
pub fn __wake_up(q: &'static WaitQueueHead, mode: u32, nr_exclusive: i32, wake_flags: i32) {
    let _guard = q.lock.lock_irqsave();
    __wake_up_common(q, mode, nr_exclusive, wake_flags);
}

/// Wakes everybody. The queue's lock is held.
pub fn wake_up_all_locked(q: &'static WaitQueueHead) {
    __wake_up_common(q, TASK_NORMAL, 0, 0);
}

fn __wake_up_common(q: &'static WaitQueueHead, mode: u32, mut nr_exclusive: i32, wake_flags: i32) {
    for curr in WaitLink::iter(&q.head) {
        let exclusive = curr.flags.get() & WQ_FLAG_EXCLUSIVE != 0;
        if (curr.func.get())(curr, mode, wake_flags) && exclusive {
            nr_exclusive -= 1;
            if nr_exclusive == 0 {
                break;
            }
        }
    }
}

/// Wakes all ordinary waiters and one exclusive one.
pub fn wake_up(q: &'static WaitQueueHead) {
    __wake_up(q, TASK_NORMAL, 1, 0);
}

/// Wakes everybody.
pub fn wake_up_all(q: &'static WaitQueueHead) {
    __wake_up(q, TASK_NORMAL, 0, 0);
}

/// Wakes the waiter and takes it off the queue.
pub fn autoremove_wake_function(
    entry: &'static WaitQueueEntry,
    mode: u32,
    wake_flags: i32,
) -> bool {
    let woken = default_wake_function(entry, mode, wake_flags);
    if woken {
        list_del_init(&entry.entry);
    }
    woken
}

/// Joins the queue and sets the state; the condition is tested after this.
pub fn prepare_to_wait(q: &'static WaitQueueHead, entry: &'static WaitQueueEntry, state: u32) {
    let _guard = q.lock.lock_irqsave();
    if list_empty(&entry.entry) {
        if entry.flags.get() & WQ_FLAG_EXCLUSIVE != 0 {
            list_add_tail(&entry.entry, &q.head);
        } else {
            list_add(&entry.entry, &q.head);
        }
    }
    set_current_state(state);
}

/// Runs again, and leaves the queue if nobody has taken it off.
pub fn finish_wait(q: &'static WaitQueueHead, entry: &'static WaitQueueEntry) {
    __set_current_state(TASK_RUNNING);
    let _guard = q.lock.lock_irqsave();
    if !list_empty(&entry.entry) {
        list_del_init(&entry.entry);
    }
}

/// Sleeps until the condition holds. Whoever makes it true calls `wake_up` afterwards.
///
/// # Context
/// May sleep.
pub fn wait_event(q: &'static WaitQueueHead, condition: impl Fn() -> bool) {
    __wait_event(q, condition, 0);
}

/// The same, one waiter woken at a time.
pub fn wait_event_exclusive(q: &'static WaitQueueHead, condition: impl Fn() -> bool) {
    __wait_event(q, condition, WQ_FLAG_EXCLUSIVE);
}

fn __wait_event(q: &'static WaitQueueHead, condition: impl Fn() -> bool, flags: u32) {
    might_sleep();
    if condition() {
        return;
    }
    stack_pinned!(let entry = WaitQueueEntry::new(current()));
    entry.flags.set(flags);
    loop {
        prepare_to_wait(q, entry, TASK_UNINTERRUPTIBLE);
        if condition() {
            break;
        }
        schedule();
    }
    finish_wait(q, entry);
}
