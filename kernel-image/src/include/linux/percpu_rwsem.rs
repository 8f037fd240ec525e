//! Semaphores that many may read-lock at once. Linux: `include/linux/percpu-rwsem.h` (v6.8).
//!
//! Kept: the type. The functions are in `kernel/locking/percpu_rwsem.rs`.

use crate::fence::shared::Shared;
use crate::include::linux::spinlock::RawSpinlock;
use crate::include::linux::wait::WaitQueueHead;

/// Many readers, or one writer.
#[doc(alias = "percpu_rw_semaphore")]
#[repr(C)]
pub struct PercpuRwSemaphore {
    /// Protects the counts.
    pub lock: RawSpinlock,
    /// Who reads.
    pub read_count: Shared<u32>,
    /// Somebody writes.
    pub writing: Shared<bool>,
    /// Who waits to write: new readers queue behind them.
    pub block: Shared<u32>,
    /// Everybody who waits.
    pub waiters: WaitQueueHead,
}

impl PercpuRwSemaphore {
    /// Free.
    pub const fn new() -> PercpuRwSemaphore {
        PercpuRwSemaphore {
            lock: RawSpinlock::new(),
            read_count: Shared::new(0),
            writing: Shared::new(false),
            block: Shared::new(0),
            waiters: WaitQueueHead::new(),
        }
    }
}
