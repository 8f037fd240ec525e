//! Simple wait queues. Linux: `kernel/sched/swait.c` (v6.8).
//!
//! Kept: what completions use: waking the first waiter or all of them with the queue's lock held, and
//! leaving the queue; waits for a condition, idle and with a timeout, as RCU's threads use them. Left out:
//! waits that signals end. Differs: the wait macros are functions with a closure.

use crate::arch::x86::include::asm::current::current;
use crate::include::linux::list::{list_add_tail, list_del_init, list_empty};
use crate::include::linux::sched::{
    __set_current_state, TASK_IDLE, TASK_NORMAL, TASK_RUNNING, set_current_state,
};
use crate::include::linux::swait::{SwaitLink, SwaitQueue, SwaitQueueHead};
use crate::kernel::sched::core::{schedule, try_to_wake_up};
use crate::kernel::time::timer::sleep::schedule_timeout;
use crate::stack_pinned;

/// Wakes the first waiter and takes it off the list. The lock is held, interrupts are off.
pub fn swake_up_locked(q: &'static SwaitQueueHead, wake_flags: i32) {
    if let Some(curr) = SwaitLink::first(&q.task_list) {
        let task = curr.task.get().expect("a waiter without a task");
        try_to_wake_up(task, TASK_NORMAL, wake_flags);
        list_del_init(&curr.task_list);
    }
}

/// Wakes all waiters, first in first out. The lock is held, interrupts are off.
pub fn swake_up_all_locked(q: &'static SwaitQueueHead) {
    while !list_empty(&q.task_list) {
        swake_up_locked(q, 0);
    }
}

/// Joins the queue, if not in it. The lock is held.
pub fn __prepare_to_swait(q: &'static SwaitQueueHead, wait: &'static SwaitQueue) {
    if list_empty(&wait.task_list) {
        list_add_tail(&wait.task_list, &q.task_list);
    }
}

/// Leaves the queue, if still in it. The lock is held.
pub fn __finish_swait(_q: &'static SwaitQueueHead, wait: &'static SwaitQueue) {
    __set_current_state(TASK_RUNNING);
    if !list_empty(&wait.task_list) {
        list_del_init(&wait.task_list);
    }
}

/// Wakes the first waiter.
pub fn swake_up_one(q: &'static SwaitQueueHead) {
    let _guard = q.lock.lock_irqsave();
    swake_up_locked(q, 0);
}

/// Wakes all waiters.
pub fn swake_up_all(q: &'static SwaitQueueHead) {
    let _guard = q.lock.lock_irqsave();
    swake_up_all_locked(q);
}

/// Joins the queue and sets the state; the condition is tested after this.
pub fn prepare_to_swait_exclusive(
    q: &'static SwaitQueueHead,
    wait: &'static SwaitQueue,
    state: u32,
) {
    let _guard = q.lock.lock_irqsave();
    __prepare_to_swait(q, wait);
    set_current_state(state);
}

/// Leaves the queue, if nobody has taken it off.
pub fn finish_swait(q: &'static SwaitQueueHead, wait: &'static SwaitQueue) {
    let _guard = q.lock.lock_irqsave();
    __finish_swait(q, wait);
}

/// Sleeps idle until the condition holds.
///
/// # Context
/// May sleep.
pub fn swait_event_idle_exclusive(q: &'static SwaitQueueHead, condition: impl Fn() -> bool) {
    if condition() {
        return;
    }
    stack_pinned!(let wait = SwaitQueue::new(current()));
    loop {
        prepare_to_swait_exclusive(q, wait, TASK_IDLE);
        if condition() {
            break;
        }
        schedule();
    }
    finish_swait(q, wait);
}

/// The same for so many ticks at most.
///
/// # Context
/// May sleep.
/// # Returns
/// The ticks that are left, at least 1 if the condition holds; 0 if the time is over and it does not.
pub fn swait_event_idle_timeout_exclusive(
    q: &'static SwaitQueueHead,
    condition: impl Fn() -> bool,
    timeout: u64,
) -> u64 {
    if condition() {
        return timeout.max(1);
    }
    stack_pinned!(let wait = SwaitQueue::new(current()));
    let mut left = timeout;
    loop {
        prepare_to_swait_exclusive(q, wait, TASK_IDLE);
        if condition() {
            left = left.max(1);
            break;
        }
        if left == 0 {
            break;
        }
        left = schedule_timeout(left);
    }
    finish_swait(q, wait);
    left
}
