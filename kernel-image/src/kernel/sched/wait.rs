//! Wait queues. Linux: `kernel/sched/wait.c` (v6.8).
//!
//! Kept: waking with exclusive waiters counted, prepare and finish with their ordering, waits that end by
//! signals or time, waiters that note that they were woken. Left out: bookmarks, priority waiters, poll.
//! Differs: `wait_event` and its relatives are functions with a closure.
//! Locks: the queue's own, with interrupts off; waking takes `pi_lock` inside it.

use crate::arch::x86::include::asm::current::current;
use crate::include::linux::errno::ERESTARTSYS;
use crate::include::linux::kernel::might_sleep;
use crate::include::linux::list::{list_add, list_add_tail, list_del_init, list_empty};
use crate::include::linux::sched::signal::signal_pending_state;
use crate::include::linux::sched::{
    __set_current_state, MAX_SCHEDULE_TIMEOUT, TASK_IDLE, TASK_INTERRUPTIBLE, TASK_KILLABLE,
    TASK_NORMAL, TASK_RUNNING, TASK_UNINTERRUPTIBLE, set_current_state, smp_mb,
};
use crate::include::linux::wait::{
    WQ_FLAG_EXCLUSIVE, WQ_FLAG_WOKEN, WaitLink, WaitQueueEntry, WaitQueueHead,
};
use crate::kernel::sched::core::default_wake_function;
use crate::kernel::time::timer::sleep::schedule_timeout;
use crate::stack_pinned;

/// A bit of `wake_flags`: the waker is about to sleep.
const WF_SYNC: i32 = 0x10;

/// Wakes all ordinary waiters and up to `nr_exclusive` exclusive ones.
pub fn __wake_up(q: &'static WaitQueueHead, mode: u32, nr_exclusive: i32, wake_flags: i32) {
    let _guard = q.lock.lock_irqsave();
    __wake_up_common(q, mode, nr_exclusive, wake_flags);
}

/// Wakes everybody. The queue's lock is held.
pub fn wake_up_all_locked(q: &'static WaitQueueHead) {
    __wake_up_common(q, TASK_NORMAL, 0, 0);
}

/// Wakes one. The queue's lock is held.
pub fn wake_up_locked(q: &'static WaitQueueHead) {
    __wake_up_common(q, TASK_NORMAL, 1, 0);
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

/// The same with `nr` exclusive ones.
pub fn wake_up_nr(q: &'static WaitQueueHead, nr: i32) {
    __wake_up(q, TASK_NORMAL, nr, 0);
}

/// Wakes everybody.
pub fn wake_up_all(q: &'static WaitQueueHead) {
    __wake_up(q, TASK_NORMAL, 0, 0);
}

/// Wakes those whose sleep signals may end.
pub fn wake_up_interruptible(q: &'static WaitQueueHead) {
    __wake_up(q, TASK_INTERRUPTIBLE, 1, 0);
}

/// All of those.
pub fn wake_up_interruptible_all(q: &'static WaitQueueHead) {
    __wake_up(q, TASK_INTERRUPTIBLE, 0, 0);
}

/// As `wake_up`, from a waker that is about to sleep.
pub fn wake_up_sync(q: &'static WaitQueueHead) {
    __wake_up(q, TASK_NORMAL, 1, WF_SYNC);
}

/// Whether anybody waits; the caller orders this against what it has made true.
pub fn waitqueue_active(q: &WaitQueueHead) -> bool {
    !list_empty(&q.head)
}

/// Joins the queue, in front. The lock is held.
pub fn __add_wait_queue(q: &'static WaitQueueHead, entry: &'static WaitQueueEntry) {
    list_add(&entry.entry, &q.head);
}

/// Joins it at the tail. The lock is held.
pub fn __add_wait_queue_entry_tail(q: &'static WaitQueueHead, entry: &'static WaitQueueEntry) {
    list_add_tail(&entry.entry, &q.head);
}

/// Joins the queue.
pub fn add_wait_queue(q: &'static WaitQueueHead, entry: &'static WaitQueueEntry) {
    entry.flags.and_not(WQ_FLAG_EXCLUSIVE);
    let _guard = q.lock.lock_irqsave();
    __add_wait_queue(q, entry);
}

/// Joins it as one of those who are woken one at a time.
pub fn add_wait_queue_exclusive(q: &'static WaitQueueHead, entry: &'static WaitQueueEntry) {
    entry.flags.or(WQ_FLAG_EXCLUSIVE);
    let _guard = q.lock.lock_irqsave();
    __add_wait_queue_entry_tail(q, entry);
}

/// Leaves the queue.
pub fn remove_wait_queue(q: &'static WaitQueueHead, entry: &'static WaitQueueEntry) {
    let _guard = q.lock.lock_irqsave();
    list_del_init(&entry.entry);
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
        join(q, entry);
    }
    set_current_state(state);
}

fn join(q: &'static WaitQueueHead, entry: &'static WaitQueueEntry) {
    if entry.flags.get() & WQ_FLAG_EXCLUSIVE != 0 {
        __add_wait_queue_entry_tail(q, entry);
    } else {
        __add_wait_queue(q, entry);
    }
}

/// The same for a wait that a signal may end: then the task is not in the queue.
///
/// # Returns
/// 0 or -ERESTARTSYS.
pub fn prepare_to_wait_event(
    q: &'static WaitQueueHead,
    entry: &'static WaitQueueEntry,
    state: u32,
) -> i32 {
    let _guard = q.lock.lock_irqsave();
    if signal_pending_state(state, current()) {
        // Whoever wakes one exclusive waiter after this must not choose us: we go.
        list_del_init(&entry.entry);
        return -ERESTARTSYS;
    }
    if list_empty(&entry.entry) {
        join(q, entry);
    }
    set_current_state(state);
    0
}

/// Runs again, and leaves the queue if nobody has taken it off.
pub fn finish_wait(q: &'static WaitQueueHead, entry: &'static WaitQueueEntry) {
    __set_current_state(TASK_RUNNING);
    let _guard = q.lock.lock_irqsave();
    if !list_empty(&entry.entry) {
        list_del_init(&entry.entry);
    }
}

/// Sleeps in `mode` for at most so many ticks, unless the entry was woken since the last call; then what is
/// left. For loops that test a condition which may sleep itself.
pub fn wait_woken(entry: &'static WaitQueueEntry, mode: u32, timeout: u64) -> u64 {
    let mut timeout = timeout;
    // The state, then the look at the flag; the waker sets the flag and then wakes.
    set_current_state(mode);
    if entry.flags.get() & WQ_FLAG_WOKEN == 0 {
        timeout = schedule_timeout(timeout);
    }
    __set_current_state(TASK_RUNNING);
    entry.flags.and_not(WQ_FLAG_WOKEN);
    smp_mb();
    timeout
}

/// Wakes a waiter that uses [`wait_woken`].
pub fn woken_wake_function(entry: &'static WaitQueueEntry, mode: u32, wake_flags: i32) -> bool {
    smp_mb();
    entry.flags.or(WQ_FLAG_WOKEN);
    default_wake_function(entry, mode, wake_flags)
}

/// Sleeps in `state` until the condition holds, a signal comes or the time is over.
///
/// # Returns
/// -ERESTARTSYS, 0 if the time is over and the condition does not hold, else what is left, at least 1.
pub(super) fn ___wait_event(
    q: &'static WaitQueueHead,
    condition: impl Fn() -> bool,
    state: u32,
    exclusive: u32,
    timeout: u64,
) -> i64 {
    might_sleep();
    if condition() {
        return timeout.max(1) as i64;
    }
    stack_pinned!(let entry = WaitQueueEntry::new(current()));
    entry.flags.set(exclusive);
    let mut left = timeout;
    loop {
        let interrupted = prepare_to_wait_event(q, entry, state);
        if condition() {
            left = left.max(1);
            break;
        }
        if interrupted != 0 {
            __set_current_state(TASK_RUNNING);
            return i64::from(interrupted);
        }
        if left == 0 {
            break;
        }
        left = schedule_timeout(left);
    }
    finish_wait(q, entry);
    left as i64
}

/// The end of a wait without a time: 0 or -ERESTARTSYS.
fn status(left: i64) -> i32 {
    left.min(0) as i32
}

/// Sleeps until the condition holds. Whoever makes it true calls `wake_up` afterwards.
///
/// # Context
/// May sleep.
pub fn wait_event(q: &'static WaitQueueHead, condition: impl Fn() -> bool) {
    ___wait_event(q, condition, TASK_UNINTERRUPTIBLE, 0, MAX_SCHEDULE_TIMEOUT);
}

/// The same, one waiter woken at a time.
pub fn wait_event_exclusive(q: &'static WaitQueueHead, condition: impl Fn() -> bool) {
    ___wait_event(
        q,
        condition,
        TASK_UNINTERRUPTIBLE,
        WQ_FLAG_EXCLUSIVE,
        MAX_SCHEDULE_TIMEOUT,
    );
}

/// The same, not counted as load.
pub fn wait_event_idle(q: &'static WaitQueueHead, condition: impl Fn() -> bool) {
    ___wait_event(q, condition, TASK_IDLE, 0, MAX_SCHEDULE_TIMEOUT);
}

/// The same for so many ticks at most.
///
/// # Returns
/// 0 if the time is over and the condition does not hold, else what is left, at least 1.
pub fn wait_event_timeout(
    q: &'static WaitQueueHead,
    condition: impl Fn() -> bool,
    timeout: u64,
) -> u64 {
    ___wait_event(q, condition, TASK_UNINTERRUPTIBLE, 0, timeout) as u64
}

/// The same, unless a signal comes: 0 or -ERESTARTSYS.
pub fn wait_event_interruptible(q: &'static WaitQueueHead, condition: impl Fn() -> bool) -> i32 {
    status(___wait_event(
        q,
        condition,
        TASK_INTERRUPTIBLE,
        0,
        MAX_SCHEDULE_TIMEOUT,
    ))
}

/// The same, one waiter woken at a time.
pub fn wait_event_interruptible_exclusive(
    q: &'static WaitQueueHead,
    condition: impl Fn() -> bool,
) -> i32 {
    status(___wait_event(
        q,
        condition,
        TASK_INTERRUPTIBLE,
        WQ_FLAG_EXCLUSIVE,
        MAX_SCHEDULE_TIMEOUT,
    ))
}

/// The same for so many ticks at most: -ERESTARTSYS, 0 when the time is over, else what is left.
pub fn wait_event_interruptible_timeout(
    q: &'static WaitQueueHead,
    condition: impl Fn() -> bool,
    timeout: u64,
) -> i64 {
    ___wait_event(q, condition, TASK_INTERRUPTIBLE, 0, timeout)
}

/// The same, unless a fatal signal comes: 0 or -ERESTARTSYS.
pub fn wait_event_killable(q: &'static WaitQueueHead, condition: impl Fn() -> bool) -> i32 {
    status(___wait_event(
        q,
        condition,
        TASK_KILLABLE,
        0,
        MAX_SCHEDULE_TIMEOUT,
    ))
}
