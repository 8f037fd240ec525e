//! Counting semaphores. Linux: `include/linux/semaphore.h` (v6.8).
//!
//! Kept: the type. The functions are in `kernel/locking/semaphore.rs`.

use crate::fence::shared::Shared;
use crate::include::linux::list::ListHead;
use crate::include::linux::spinlock::RawSpinlock;

/// So many may have it at once.
#[doc(alias = "semaphore")]
#[repr(C)]
pub struct Semaphore {
    /// Protects the fields.
    pub lock: RawSpinlock,
    /// How many more may have it.
    pub count: Shared<u32>,
    /// Those who sleep, first in first out.
    pub wait_list: ListHead,
}

impl Semaphore {
    /// For `count` at once (`DEFINE_SEMAPHORE`).
    pub const fn new(count: u32) -> Semaphore {
        Semaphore {
            lock: RawSpinlock::new(),
            count: Shared::new(count),
            wait_list: ListHead::new(),
        }
    }
}
