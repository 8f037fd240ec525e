//! Works that kernel threads execute. Linux: `include/linux/workqueue.h` (v6.8).
//!
//! Kept: the work, the names of the system's queues. The functions are in `kernel/workqueue.rs`.

use crate::fence::shared::Shared;
use crate::include::linux::list::ListHead;
use crate::intrusive_adapter;
use core::sync::atomic::AtomicU64;

pub use crate::kernel::workqueue::{
    queue_work_on, schedule_work_on, system_highpri_wq, system_unbound_wq, system_wq,
};

/// What a work does.
pub type WorkFunc = fn(&'static WorkStruct);

/// The work is in a list and has not started.
pub const WORK_STRUCT_PENDING: u64 = 1 << 0;
/// No CPU asked for.
pub const WORK_CPU_UNBOUND: u32 = crate::include::linux::cpumask::NR_CPUS as u32;

/// A work.
#[doc(alias = "work_struct")]
#[repr(C)]
pub struct WorkStruct {
    /// `WORK_STRUCT_*`.
    pub data: AtomicU64,
    /// Place in a pool's list.
    pub entry: ListHead,
    /// What it does.
    pub func: Shared<WorkFunc>,
}

impl WorkStruct {
    /// A work that is in no list (`INIT_WORK`).
    pub const fn new(func: WorkFunc) -> WorkStruct {
        WorkStruct {
            data: AtomicU64::new(0),
            entry: ListHead::new(),
            func: Shared::new(func),
        }
    }
}

intrusive_adapter!(
    /// Works by their link.
    pub WorkLink = WorkStruct { entry: ListHead });
