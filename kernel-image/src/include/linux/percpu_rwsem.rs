//! Semaphores whose readers pay almost nothing. Linux: `include/linux/percpu-rwsem.h` (v6.8).
//!
//! Kept: the type. The functions are in `kernel/locking/percpu_rwsem.rs`.

use crate::fence::percpu::PerCpu;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::rcuwait::Rcuwait;
use crate::include::linux::wait::WaitQueueHead;
use crate::kernel::rcu::sync::RcuSync;
use core::sync::atomic::{AtomicU32, AtomicU64};

/// Many readers, counted where they are, or one writer, who waits for a grace period.
#[doc(alias = "percpu_rw_semaphore")]
#[repr(C)]
pub struct PercpuRwSemaphore {
    /// Whether readers may take the fast way.
    pub rss: RcuSync,
    /// Readers, each counted on the CPU it came or went on: only the sum means something.
    pub read_count: PerCpu<AtomicU32>,
    /// The writer, while it waits for readers.
    pub writer: Rcuwait,
    /// Readers and writers that a writer keeps waiting.
    pub waiters: WaitQueueHead,
    /// 1 while a writer has it or waits for readers.
    pub block: AtomicU64,
}

impl PercpuRwSemaphore {
    /// Free (`DEFINE_STATIC_PERCPU_RWSEM`).
    pub const fn new() -> PercpuRwSemaphore {
        PercpuRwSemaphore {
            rss: RcuSync::new(),
            read_count: PerCpu::new([const { AtomicU32::new(0) }; NR_CPUS]),
            writer: Rcuwait::new(),
            waiters: WaitQueueHead::new(),
            block: AtomicU64::new(0),
        }
    }
}
