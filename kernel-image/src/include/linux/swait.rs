//! Simple wait queues: one list, woken first in first out. Linux: `include/linux/swait.h` (v6.8).
//!
//! Kept: the types. The functions are in `kernel/sched/swait.rs`.

use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::list::{ListHead, list_empty};
use crate::include::linux::sched::TaskRef;
use crate::include::linux::spinlock::{RawSpinlock, raw_spin_is_locked};
use crate::intrusive_adapter;

/// Tasks that wait for one thing.
#[doc(alias = "swait_queue_head")]
#[repr(C)]
pub struct SwaitQueueHead {
    /// Protects the list and what is waited for.
    pub lock: RawSpinlock,
    /// The waiters.
    pub task_list: ListHead,
}

impl SwaitQueueHead {
    /// Nobody waits.
    pub const fn new() -> SwaitQueueHead {
        SwaitQueueHead {
            lock: RawSpinlock::new(),
            task_list: ListHead::new(),
        }
    }

    /// Nobody waits and nobody holds the lock.
    pub fn quiescent(&self) -> bool {
        list_empty(&self.task_list) && !raw_spin_is_locked(&self.lock)
    }
}

/// One waiting task; on its stack.
#[doc(alias = "swait_queue")]
#[repr(C)]
pub struct SwaitQueue {
    /// Who waits.
    pub task: Shared<Option<TaskRef>>,
    /// Place in the queue.
    pub task_list: ListHead,
}

impl SwaitQueue {
    /// A waiter that is in no queue.
    pub const fn new(task: TaskRef) -> SwaitQueue {
        SwaitQueue {
            task: Shared::new(Some(task)),
            task_list: ListHead::new(),
        }
    }
}

impl StackObject for SwaitQueue {
    fn quiescent(&self) -> bool {
        list_empty(&self.task_list)
    }
}

intrusive_adapter!(
    /// Waiters by their link.
    pub SwaitLink = SwaitQueue { task_list: ListHead });
