//! Wait queues. Linux: `include/linux/wait.h` (v6.8).
//!
//! Kept: heads, entries, exclusive waiters, the wait loop as a function. The functions are in
//! `kernel/sched/wait.rs` and `wait_bit.rs`. Left out: keys of wake-ups (poll), bookmarks, priority waiters.

use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::list::{ListHead, list_empty};
use crate::include::linux::sched::TaskRef;
use crate::include::linux::spinlock::RawSpinlock;
use crate::intrusive_adapter;

/// Only one such waiter is woken at a time.
pub const WQ_FLAG_EXCLUSIVE: u32 = 0x01;

/// It has been woken (`woken_wake_function`).
pub const WQ_FLAG_WOKEN: u32 = 0x02;
/// A flag of the queue's owner.
pub const WQ_FLAG_CUSTOM: u32 = 0x04;

/// Wakes a waiter: entry, states, wake flags; true if it woke one.
pub type WaitQueueFunc = fn(&'static WaitQueueEntry, u32, i32) -> bool;

/// Tasks that wait for a condition.
#[doc(alias = "wait_queue_head")]
#[repr(C)]
pub struct WaitQueueHead {
    /// Protects the list.
    pub lock: RawSpinlock,
    /// The waiters.
    pub head: ListHead,
}

impl WaitQueueHead {
    /// Nobody waits.
    pub const fn new() -> WaitQueueHead {
        WaitQueueHead {
            lock: RawSpinlock::new(),
            head: ListHead::new(),
        }
    }
}

/// One waiter; on its stack.
#[doc(alias = "wait_queue_entry")]
#[repr(C)]
pub struct WaitQueueEntry {
    /// `WQ_FLAG_*`.
    pub flags: Shared<u32>,
    /// Who waits.
    pub private: Shared<Option<TaskRef>>,
    /// How to wake it.
    pub func: Shared<WaitQueueFunc>,
    /// Place in the queue.
    pub entry: ListHead,
}

impl WaitQueueEntry {
    /// A waiter that leaves the queue when it is woken.
    pub const fn new(task: TaskRef) -> WaitQueueEntry {
        Self::with_func(task, crate::kernel::sched::wait::autoremove_wake_function)
    }

    /// A waiter that is woken by `func` (`DEFINE_WAIT_FUNC`).
    pub const fn with_func(task: TaskRef, func: WaitQueueFunc) -> WaitQueueEntry {
        WaitQueueEntry {
            flags: Shared::new(0),
            private: Shared::new(Some(task)),
            func: Shared::new(func),
            entry: ListHead::new(),
        }
    }
}

impl StackObject for WaitQueueEntry {
    fn quiescent(&self) -> bool {
        list_empty(&self.entry)
    }
}

intrusive_adapter!(
    /// Waiters by their link.
    pub WaitLink = WaitQueueEntry { entry: ListHead });
