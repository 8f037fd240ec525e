//! Readers that may sleep. Linux: `kernel/rcu/srcutree.c` (v6.8).
//!
//! Kept: two sets of counts a CPU, the reader's index, the flip between the sets. Left out: callbacks
//! (`call_srcu`, `srcu_barrier`), the tree, expediting. Differs: who waits looks himself, tick by tick,
//! instead of a work doing so.
//! Locks: the structure's mutex for who waits; readers take none.

use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{NR_CPUS, cpu_possible_mask};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::sched::smp_mb;
use crate::kernel::time::timer::sleep::schedule_timeout_uninterruptible;
use core::sync::atomic::{AtomicU64, Ordering};

/// A CPU's counts, for each of the two sets.
#[doc(alias = "srcu_data")]
struct SrcuData {
    lock_count: [AtomicU64; 2],
    unlock_count: [AtomicU64; 2],
}

/// A set of readers of its own.
#[doc(alias = "srcu_struct")]
pub struct SrcuStruct {
    srcu_idx: Shared<u32>,
    srcu_gp_mutex: Mutex,
    sda: PerCpu<SrcuData>,
}

impl SrcuStruct {
    /// No reader.
    pub const fn new() -> SrcuStruct {
        SrcuStruct {
            srcu_idx: Shared::new(0),
            srcu_gp_mutex: Mutex::new(),
            sda: PerCpu::new(
                [const {
                    SrcuData {
                        lock_count: [const { AtomicU64::new(0) }; 2],
                        unlock_count: [const { AtomicU64::new(0) }; 2],
                    }
                }; NR_CPUS],
            ),
        }
    }
}

/// Reads from here on; gives the index for the end.
pub fn srcu_read_lock(ssp: &'static SrcuStruct) -> u32 {
    let idx = ssp.srcu_idx.get() & 1;
    ssp.sda.this_cpu().lock_count[idx as usize].fetch_add(1, Ordering::SeqCst);
    idx
}

/// Reads no more; maybe on another CPU.
pub fn srcu_read_unlock(ssp: &'static SrcuStruct, idx: u32) {
    ssp.sda.this_cpu().unlock_count[idx as usize].fetch_add(1, Ordering::SeqCst);
}

/// Whether a set has no reader. The ends are counted first: a reader whose end was seen has a beginning.
fn srcu_readers_active_idx_check(ssp: &'static SrcuStruct, idx: usize) -> bool {
    let sum = |count: fn(&SrcuData) -> &[AtomicU64; 2]| {
        cpu_possible_mask()
            .iter()
            .map(|cpu| count(ssp.sda.per_cpu(cpu))[idx].load(Ordering::SeqCst))
            .fold(0u64, u64::wrapping_add)
    };
    let unlocks = sum(|sdp| &sdp.unlock_count);
    smp_mb();
    unlocks == sum(|sdp| &sdp.lock_count)
}

/// Waits until every reader of this set that reads now has ended.
///
/// # Context
/// May sleep; outside any reader of `ssp`.
pub fn synchronize_srcu(ssp: &'static SrcuStruct) {
    ssp.srcu_gp_mutex.lock();
    let wait = |idx: u32| {
        while !srcu_readers_active_idx_check(ssp, idx as usize & 1) {
            schedule_timeout_uninterruptible(1);
        }
    };
    // Readers that took the old index late are in the other set.
    wait(ssp.srcu_idx.get() ^ 1);
    smp_mb();
    ssp.srcu_idx.inc();
    smp_mb();
    wait(ssp.srcu_idx.get() ^ 1);
    ssp.srcu_gp_mutex.unlock();
}
