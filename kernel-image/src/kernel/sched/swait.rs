//! Simple wait queues. Linux: `kernel/sched/swait.c` (v6.8).
//!
//! Kept: what completions use: waking the first waiter or all of them with the queue's lock held, and
//! leaving the queue. Left out: the stand-alone wait macros. Differs: nothing.

use crate::include::linux::list::{list_add_tail, list_del_init, list_empty};
use crate::include::linux::sched::{__set_current_state, TASK_NORMAL, TASK_RUNNING};
use crate::include::linux::swait::{SwaitLink, SwaitQueue, SwaitQueueHead};
use crate::kernel::sched::core::try_to_wake_up;

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
