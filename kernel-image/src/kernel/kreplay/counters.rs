//! What the kernel counts for the tracer, which reads this structure from guest memory when a run ends and
//! compares it with the events it has seen.

use core::sync::atomic::{AtomicU64, Ordering};

/// Counts since boot.
#[repr(C)]
pub struct KreplayCounters {
    /// Works added to a stopper's list.
    pub stop_works_queued: AtomicU64,
    /// Works a stopper began.
    pub stop_works_started: AtomicU64,
    /// Works whose function returned.
    pub stop_works_done: AtomicU64,
    /// Two-CPU requests that found a request to many CPUs half queued, and tried again.
    pub stop_two_works_retried: AtomicU64,
    /// Affinity changes that changed a mask.
    pub affinity_changes: AtomicU64,
    /// Of those, on a task that ran (or was being woken) on a CPU it must leave.
    pub affinity_running: AtomicU64,
    /// Works queued for those changes.
    pub affinity_stop_works: AtomicU64,
    /// On a task that waited in a queue it must leave.
    pub affinity_queued: AtomicU64,
    /// On a task that slept.
    pub affinity_sleeping: AtomicU64,
    /// On a task that could stay where it was.
    pub affinity_stayed: AtomicU64,
    /// Tasks that `migration_cpu_stop` moved.
    pub stopper_moves: AtomicU64,
    /// Works queued to even out load or to empty a CPU: pushes of a class, active balance, a CPU on its way down.
    pub balance_stop_works: AtomicU64,
    /// Context switches of the workload's end, all CPUs.
    pub nr_switches: AtomicU64,
}

/// The counts.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static kreplay_counters: KreplayCounters = KreplayCounters {
    stop_works_queued: AtomicU64::new(0),
    stop_works_started: AtomicU64::new(0),
    stop_works_done: AtomicU64::new(0),
    stop_two_works_retried: AtomicU64::new(0),
    affinity_changes: AtomicU64::new(0),
    affinity_running: AtomicU64::new(0),
    affinity_stop_works: AtomicU64::new(0),
    affinity_queued: AtomicU64::new(0),
    affinity_sleeping: AtomicU64::new(0),
    affinity_stayed: AtomicU64::new(0),
    stopper_moves: AtomicU64::new(0),
    balance_stop_works: AtomicU64::new(0),
    nr_switches: AtomicU64::new(0),
};

/// One more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
