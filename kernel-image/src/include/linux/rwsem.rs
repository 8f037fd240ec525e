//! Semaphores for many readers or one writer. Linux: `include/linux/rwsem.h` (v6.8).
//!
//! Kept: the type. The functions are in `kernel/locking/rwsem.rs`.

use crate::fence::tagged::TaggedRef;
use crate::include::linux::list::ListHead;
use crate::include::linux::sched::TaskStruct;
use crate::include::linux::spinlock::RawSpinlock;
use crate::kernel::locking::osq_lock::OptimisticSpinQueue;
use core::sync::atomic::AtomicI64;

/// Many readers, or one writer.
#[doc(alias = "rw_semaphore")]
#[repr(C)]
pub struct RwSemaphore {
    /// Bit 0: a writer; bit 1: somebody waits; bit 2: the first waiter wants it handed over; from bit 8
    /// on: readers.
    pub count: AtomicI64,
    /// The writer, or the last reader that came (a hint), with `RWSEM_*` flags.
    pub owner: TaggedRef<TaskStruct>,
    /// Writers that spin.
    pub osq: OptimisticSpinQueue,
    /// Protects the list.
    pub wait_lock: RawSpinlock,
    /// Those who sleep, first in first out.
    pub wait_list: ListHead,
}

impl RwSemaphore {
    /// Free.
    pub const fn new() -> RwSemaphore {
        RwSemaphore {
            count: AtomicI64::new(0),
            owner: TaggedRef::new(),
            osq: OptimisticSpinQueue::new(),
            wait_lock: RawSpinlock::new(),
            wait_list: ListHead::new(),
        }
    }
}
