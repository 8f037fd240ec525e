//! What is counted of a task: how often it ran, how long it waited.
//!
//! Linux: `include/linux/sched.h` (v6.8): `sched_info`, `sched_statistics`. Kept: the fields that are counted here, in
//! Linux's order.

use crate::fence::shared::Shared;

/// Counted always, of every class. All fields: (rq).
#[doc(alias = "sched_info")]
#[repr(C)]
pub struct SchedInfo {
    /// How often it got a CPU.
    pub pcount: Shared<u64>,
    /// How long it waited for one, ns.
    pub run_delay: Shared<u64>,
    /// When it last got one.
    pub last_arrival: Shared<u64>,
    /// Since when it waits; 0 if it does not.
    pub last_queued: Shared<u64>,
}

impl SchedInfo {
    /// Nothing yet.
    pub const fn new() -> SchedInfo {
        SchedInfo {
            pcount: Shared::new(0),
            run_delay: Shared::new(0),
            last_arrival: Shared::new(0),
            last_queued: Shared::new(0),
        }
    }
}

/// Counted with `schedstats=enable`. All fields: (rq).
#[doc(alias = "sched_statistics")]
#[repr(C)]
pub struct SchedStatistics {
    /// Since when it waits; while it changes CPU, how long it has waited.
    pub wait_start: Shared<u64>,
    /// Longest wait, ns.
    pub wait_max: Shared<u64>,
    /// Waits.
    pub wait_count: Shared<u64>,
    /// Their sum, ns.
    pub wait_sum: Shared<u64>,
    /// Sleeps for I/O.
    pub iowait_count: Shared<u64>,
    /// Their sum, ns.
    pub iowait_sum: Shared<u64>,
    /// Since when it sleeps interruptibly.
    pub sleep_start: Shared<u64>,
    /// Longest such sleep, ns.
    pub sleep_max: Shared<u64>,
    /// Sum of all sleeps, ns.
    pub sum_sleep_runtime: Shared<u64>,
    /// Since when it sleeps uninterruptibly.
    pub block_start: Shared<u64>,
    /// Longest such sleep, ns.
    pub block_max: Shared<u64>,
    /// Sum of these, ns.
    pub sum_block_runtime: Shared<u64>,
    /// Longest time between two charges, ns.
    pub exec_max: Shared<u64>,
    /// Longest time on a CPU with others waiting, ns.
    pub slice_max: Shared<u64>,
    /// In v6.8 never counted.
    pub nr_migrations_cold: Shared<u64>,
    /// Balances that did not move it because it may not run there.
    pub nr_failed_migrations_affine: Shared<u64>,
    /// Because it ran.
    pub nr_failed_migrations_running: Shared<u64>,
    /// Because its cache was warm.
    pub nr_failed_migrations_hot: Shared<u64>,
    /// Balances that moved it though its cache was warm: others had failed.
    pub nr_forced_migrations: Shared<u64>,
    /// Wake-ups.
    pub nr_wakeups: Shared<u64>,
    /// By a waker about to sleep.
    pub nr_wakeups_sync: Shared<u64>,
    /// To another CPU than before.
    pub nr_wakeups_migrate: Shared<u64>,
    /// To the waker's CPU.
    pub nr_wakeups_local: Shared<u64>,
    /// To another than the waker's.
    pub nr_wakeups_remote: Shared<u64>,
    /// To the waker's CPU, because that was found better.
    pub nr_wakeups_affine: Shared<u64>,
    /// How often that was asked.
    pub nr_wakeups_affine_attempts: Shared<u64>,
}

impl SchedStatistics {
    /// Nothing yet.
    pub const fn new() -> SchedStatistics {
        SchedStatistics {
            wait_start: Shared::new(0),
            wait_max: Shared::new(0),
            wait_count: Shared::new(0),
            wait_sum: Shared::new(0),
            iowait_count: Shared::new(0),
            iowait_sum: Shared::new(0),
            sleep_start: Shared::new(0),
            sleep_max: Shared::new(0),
            sum_sleep_runtime: Shared::new(0),
            block_start: Shared::new(0),
            block_max: Shared::new(0),
            sum_block_runtime: Shared::new(0),
            exec_max: Shared::new(0),
            slice_max: Shared::new(0),
            nr_migrations_cold: Shared::new(0),
            nr_failed_migrations_affine: Shared::new(0),
            nr_failed_migrations_running: Shared::new(0),
            nr_failed_migrations_hot: Shared::new(0),
            nr_forced_migrations: Shared::new(0),
            nr_wakeups: Shared::new(0),
            nr_wakeups_sync: Shared::new(0),
            nr_wakeups_migrate: Shared::new(0),
            nr_wakeups_local: Shared::new(0),
            nr_wakeups_remote: Shared::new(0),
            nr_wakeups_affine: Shared::new(0),
            nr_wakeups_affine_attempts: Shared::new(0),
        }
    }

    /// Every counter, to set a new task's to 0.
    pub fn reset(&self) {
        for counter in [
            &self.wait_start,
            &self.wait_max,
            &self.wait_count,
            &self.wait_sum,
            &self.iowait_count,
            &self.iowait_sum,
            &self.sleep_start,
            &self.sleep_max,
            &self.sum_sleep_runtime,
            &self.block_start,
            &self.block_max,
            &self.sum_block_runtime,
            &self.exec_max,
            &self.slice_max,
            &self.nr_migrations_cold,
            &self.nr_failed_migrations_affine,
            &self.nr_failed_migrations_running,
            &self.nr_failed_migrations_hot,
            &self.nr_forced_migrations,
            &self.nr_wakeups,
            &self.nr_wakeups_sync,
            &self.nr_wakeups_migrate,
            &self.nr_wakeups_local,
            &self.nr_wakeups_remote,
            &self.nr_wakeups_affine,
            &self.nr_wakeups_affine_attempts,
        ] {
            counter.set(0);
        }
    }
}
