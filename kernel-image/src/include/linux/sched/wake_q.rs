//! A list of tasks to wake after a lock has been dropped. Linux: `include/linux/sched/wake_q.h` (v6.8).
//!
//! Kept: all of it. Left out: nothing. Differs: membership is a flag beside the link instead of a
//! non-null link.

use crate::fence::shared::Shared;
use crate::include::linux::sched::TaskRef;
use core::sync::atomic::{AtomicBool, Ordering};

/// A task's place in a wake_q.
#[doc(alias = "wake_q_node")]
#[repr(C)]
pub struct WakeQNode {
    /// Whether it is in a list (Linux: `next` is not null).
    queued: AtomicBool,
    /// The next task of that list.
    next: Shared<Option<TaskRef>>,
}

impl WakeQNode {
    /// In no list.
    pub const fn new() -> WakeQNode {
        WakeQNode {
            queued: AtomicBool::new(false),
            next: Shared::new(None),
        }
    }

    /// Claims the node for one list. False if another list has it: that list's owner wakes the task.
    pub(crate) fn claim(&self) -> bool {
        !self.queued.swap(true, Ordering::SeqCst)
    }

    /// Leaves the list.
    pub(crate) fn release(&self) {
        self.next.set(None);
        self.queued.store(false, Ordering::Release);
    }
}

/// Tasks to wake, first in first out. Lives on the waker's stack.
#[doc(alias = "wake_q_head")]
pub struct WakeQHead {
    first: Option<TaskRef>,
    last: Option<TaskRef>,
}

impl WakeQHead {
    /// Nobody to wake (`DEFINE_WAKE_Q`).
    pub fn new() -> WakeQHead {
        WakeQHead {
            first: None,
            last: None,
        }
    }

    pub(crate) fn push(&mut self, task: TaskRef) {
        task.wake_q.next.set(None);
        match self.last {
            Some(last) => last.wake_q.next.set(Some(task)),
            None => self.first = Some(task),
        }
        self.last = Some(task);
    }

    pub(crate) fn pop(&mut self) -> Option<TaskRef> {
        let task = self.first?;
        self.first = task.wake_q.next.get();
        if self.first.is_none() {
            self.last = None;
        }
        Some(task)
    }
}
