//! Mutexes: locks that are waited for asleep. Linux: `include/linux/mutex.h` (v6.8).
//!
//! Kept: the type. The functions are in `kernel/locking/mutex.rs`.

use crate::fence::tagged::TaggedRef;
use crate::include::linux::list::ListHead;
use crate::include::linux::sched::TaskStruct;
use crate::include::linux::spinlock::RawSpinlock;
use crate::kernel::locking::osq_lock::OptimisticSpinQueue;

/// A lock that only one task holds; others spin as long as that may help, then sleep.
#[doc(alias = "mutex")]
#[repr(C)]
pub struct Mutex {
    /// Who holds it, with `MUTEX_FLAG_*`.
    pub owner: TaggedRef<TaskStruct>,
    /// Protects the list.
    pub wait_lock: RawSpinlock,
    /// Those who spin.
    pub osq: OptimisticSpinQueue,
    /// Those who sleep, first in first out.
    pub wait_list: ListHead,
}

impl Mutex {
    /// Free.
    pub const fn new() -> Mutex {
        Mutex {
            owner: TaggedRef::new(),
            wait_lock: RawSpinlock::new(),
            osq: OptimisticSpinQueue::new(),
            wait_list: ListHead::new(),
        }
    }
}
