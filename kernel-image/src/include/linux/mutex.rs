//! Mutexes: locks that are waited for asleep. Linux: `include/linux/mutex.h` (v6.8).
//!
//! Kept: the type. The functions are in `kernel/locking/mutex.rs`.

use crate::fence::shared::Shared;
use crate::include::linux::list::ListHead;
use crate::include::linux::sched::TaskRef;
use crate::include::linux::spinlock::RawSpinlock;

/// A lock that only one task holds; others sleep.
#[doc(alias = "mutex")]
#[repr(C)]
pub struct Mutex {
    /// Who holds it: under `wait_lock`.
    pub owner: Shared<Option<TaskRef>>,
    /// Protects the fields.
    pub wait_lock: RawSpinlock,
    /// Waiters, first in first out.
    pub wait_list: ListHead,
}

impl Mutex {
    /// Free.
    pub const fn new() -> Mutex {
        Mutex {
            owner: Shared::new(None),
            wait_lock: RawSpinlock::new(),
            wait_list: ListHead::new(),
        }
    }
}
