//! Counters of memory management, and the start of its workqueue. Linux: `mm/vmstat.c` (v6.8).
//!
//! Kept: `mm_percpu_wq`, event counters. Left out: counters a CPU and the works that fold them, so nothing is
//! queued on `mm_percpu_wq` yet; `/proc`.

use crate::WARN_ON;
use crate::fence::shared::Shared;
use crate::include::linux::workqueue::{WQ_MEM_RECLAIM, WorkqueueStruct, alloc_workqueue};
use core::sync::atomic::{AtomicU64, Ordering};

/// Works of memory management that each CPU does for itself.
pub static mm_percpu_wq: Shared<Option<&'static WorkqueueStruct>> = Shared::new(None);

/// What is counted.
#[doc(alias = "vm_event_item")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum VmEventItem {
    /// kswapd was woken.
    Pageoutrun,
    /// Objects of caches that shrinkers looked at.
    SlabsScanned,
    /// kcompactd was asked to compact.
    KcompactdWake,
    /// Pages it looked at.
    KcompactdMigrateScanned,
    /// Runs of it that ended without a free block of the size.
    CompactFail,
    /// Runs that ended with one.
    CompactSuccess,
    /// Tasks handed to the OOM reaper.
    OomKill,
}

const NR_VM_EVENT_ITEMS: usize = 7;

/// The counters.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static vm_event_states: [AtomicU64; NR_VM_EVENT_ITEMS] =
    [const { AtomicU64::new(0) }; NR_VM_EVENT_ITEMS];

/// Counts `delta` events.
pub fn count_vm_events(item: VmEventItem, delta: u64) {
    vm_event_states[item as usize].fetch_add(delta, Ordering::Relaxed);
}

/// Counts an event.
pub fn count_vm_event(item: VmEventItem) {
    count_vm_events(item, 1);
}

/// So many have been counted.
pub fn vm_event(item: VmEventItem) -> u64 {
    vm_event_states[item as usize].load(Ordering::Relaxed)
}

/// What memory management can only start once there are workqueues.
pub fn init_mm_internals() {
    let wq = alloc_workqueue("mm_percpu_wq", WQ_MEM_RECLAIM, 0);
    WARN_ON!(wq.is_none());
    mm_percpu_wq.set(wq);
}
