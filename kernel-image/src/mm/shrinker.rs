//! Caches that can be made smaller. Linux: `mm/shrinker.c` (v6.8).
//!
//! Kept: the list, how much of a cache is looked at for each priority. Left out: memory groups, nodes, objects
//! that are put off to the next time.
//! Locks: `shrinker_mutex`.

use super::vmstat::{VmEventItem, count_vm_events};
use crate::include::linux::list::{ListHead, list_add_tail};
use crate::include::linux::mutex::Mutex;
use crate::intrusive_adapter;

/// A cache that can be made smaller.
#[doc(alias = "shrinker")]
#[repr(C)]
pub struct Shrinker {
    /// How much there is to free.
    pub count_objects: fn() -> u64,
    /// Frees up to so much; what it freed.
    pub scan_objects: fn(u64) -> u64,
    /// What an object costs to make again, compared with reading one page of a disk.
    pub seeks: u64,
    /// How much to look at in one go.
    pub batch: u64,
    /// Place in the list.
    pub list: ListHead,
}

intrusive_adapter!(ShrinkerLink = Shrinker { list: ListHead });

/// What an ordinary object costs.
pub const DEFAULT_SEEKS: u64 = 2;

static shrinker_list: ListHead = ListHead::new();
static shrinker_mutex: Mutex = Mutex::new();

/// Adds a cache to the list.
///
/// # Context
/// May sleep.
pub fn shrinker_register(shrinker: &'static Shrinker) {
    shrinker_mutex.lock();
    list_add_tail(&shrinker.list, &shrinker_list);
    shrinker_mutex.unlock();
}

fn do_shrink_slab(shrinker: &Shrinker, priority: u32) -> u64 {
    let freeable = (shrinker.count_objects)();
    let mut left = ((freeable >> priority) * 4 / shrinker.seeks).min(2 * freeable);
    let mut freed = 0;
    while left >= shrinker.batch || (left > 0 && left >= freeable) {
        let nr = left.min(shrinker.batch);
        freed += (shrinker.scan_objects)(nr);
        count_vm_events(VmEventItem::SlabsScanned, nr);
        left -= nr;
    }
    freed
}

/// Makes all caches smaller: by a `2^priority`-th part. What was freed.
///
/// # Context
/// May sleep.
pub fn shrink_slab(priority: u32) -> u64 {
    shrinker_mutex.lock();
    let freed = ShrinkerLink::iter(&shrinker_list)
        .map(|shrinker| do_shrink_slab(shrinker, priority))
        .sum();
    shrinker_mutex.unlock();
    freed
}
