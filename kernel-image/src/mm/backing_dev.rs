//! Writing back what was changed in memory. Linux: `mm/backing-dev.c` (v6.8).
//!
//! Kept: the workqueue that all backing devices share. Left out: backing devices: there are none, so nothing
//! is queued on it.

use crate::fence::shared::Shared;
use crate::include::linux::errno::ENOMEM;
use crate::include::linux::workqueue::{
    WQ_MEM_RECLAIM, WQ_SYSFS, WQ_UNBOUND, WorkqueueStruct, alloc_workqueue,
};

/// Where dirty pages are written from.
pub static bdi_wq: Shared<Option<&'static WorkqueueStruct>> = Shared::new(None);

/// A subsystem initcall.
pub fn default_bdi_init() -> i32 {
    let wq = alloc_workqueue("writeback", WQ_MEM_RECLAIM | WQ_UNBOUND | WQ_SYSFS, 0);
    bdi_wq.set(wq);
    if wq.is_some() { 0 } else { -ENOMEM }
}
