//! Memory nodes. Linux: `include/linux/mmzone.h` (v6.8).
//!
//! Kept: what kswapd and kcompactd know of a node, the zone's watermarks. Left out: nodes beyond the first,
//! LRU lists. The zone itself is in `mm/page_alloc.rs`.

use crate::fence::shared::Shared;
use crate::include::linux::sched::TaskRef;
use crate::include::linux::wait::WaitQueueHead;

/// Below it only those that free memory get any.
pub const WMARK_MIN: usize = 0;
/// Below it kswapd is woken.
pub const WMARK_LOW: usize = 1;
/// Up to it kswapd frees.
pub const WMARK_HIGH: usize = 2;
/// How many there are.
pub const NR_WMARK: usize = 3;

/// The memory node: this machine has one.
#[doc(alias = "pglist_data")]
#[repr(C)]
pub struct PglistData {
    /// Where kswapd waits.
    pub kswapd_wait: WaitQueueHead,
    /// kswapd.
    pub kswapd: Shared<Option<TaskRef>>,
    /// The largest order that was asked for since it was woken.
    pub kswapd_order: Shared<u32>,
    /// Runs of kswapd in a row that freed nothing.
    pub kswapd_failures: Shared<u32>,
    /// The largest order that kcompactd shall make free blocks of; 0 when nobody asks.
    pub kcompactd_max_order: Shared<u32>,
    /// Where kcompactd waits.
    pub kcompactd_wait: WaitQueueHead,
    /// kcompactd.
    pub kcompactd: Shared<Option<TaskRef>>,
}

/// The node.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static contig_page_data: PglistData = PglistData {
    kswapd_wait: WaitQueueHead::new(),
    kswapd: Shared::new(None),
    kswapd_order: Shared::new(0),
    kswapd_failures: Shared::new(0),
    kcompactd_max_order: Shared::new(0),
    kcompactd_wait: WaitQueueHead::new(),
    kcompactd: Shared::new(None),
};
