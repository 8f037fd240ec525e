//! The statistics of fair tasks, at the places where their entities move.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `update_stats_*_fair`. Kept: the places. Left out: statistics of groups'
//! entities. Locks: the runqueue's lock.

use super::{group_cfs_rq, rq_of, same_se, task_of};
use crate::include::linux::sched::{SchedEntity, TaskRef};
use crate::kernel::sched::sched::{CfsRq, ENQUEUE_WAKEUP};
use crate::kernel::sched::stats::{
    __update_stats_enqueue_sleeper, __update_stats_wait_end, __update_stats_wait_start,
    schedstat_enabled, update_stats_dequeue_sleeper,
};

type Se = &'static SchedEntity;
type Cfs = &'static CfsRq;

/// The task of an entity whose statistics are counted.
fn counted(se: Se) -> Option<TaskRef> {
    (schedstat_enabled() && group_cfs_rq(se).is_none()).then(|| task_of(se))
}

fn waits(cfs_rq: Cfs, se: Se) -> bool {
    // The running one is taken off and put back without having waited.
    !cfs_rq.curr.get().is_some_and(|curr| same_se(curr, se))
}

/// The entity begins to wait.
pub fn update_stats_wait_start_fair(cfs_rq: Cfs, se: Se) {
    if let Some(p) = counted(se) {
        __update_stats_wait_start(rq_of(cfs_rq), p);
    }
}

/// It has waited.
pub fn update_stats_wait_end_fair(cfs_rq: Cfs, se: Se) {
    if let Some(p) = counted(se)
        // Statistics may have been off when it began.
        && p.stats.wait_start.get() != 0
    {
        __update_stats_wait_end(rq_of(cfs_rq), p);
    }
}

/// It enters the queue.
pub fn update_stats_enqueue_fair(cfs_rq: Cfs, se: Se, flags: i32) {
    let Some(p) = counted(se) else {
        return;
    };
    if waits(cfs_rq, se) {
        update_stats_wait_start_fair(cfs_rq, se);
    }
    if flags & ENQUEUE_WAKEUP != 0 {
        __update_stats_enqueue_sleeper(rq_of(cfs_rq), p);
    }
}

/// It leaves the queue.
pub fn update_stats_dequeue_fair(cfs_rq: Cfs, se: Se, flags: i32) {
    let Some(p) = counted(se) else {
        return;
    };
    if waits(cfs_rq, se) {
        update_stats_wait_end_fair(cfs_rq, se);
    }
    update_stats_dequeue_sleeper(rq_of(cfs_rq), p, flags);
}

/// It was charged for that long at once.
pub fn update_stats_exec_fair(se: Se, delta_exec: u64) {
    if let Some(p) = counted(se)
        && delta_exec > p.stats.exec_max.get()
    {
        p.stats.exec_max.set(delta_exec);
    }
}

/// It starts to run; how long it ran the last time.
pub fn update_stats_slice_fair(cfs_rq: Cfs, se: Se) {
    if let Some(p) = counted(se)
        && rq_of(cfs_rq).cfs.load.weight.get() >= 2 * se.load.weight.get()
    {
        let ran = se.sum_exec_runtime.get() - se.prev_sum_exec_runtime.get();
        if ran > p.stats.slice_max.get() {
            p.stats.slice_max.set(ran);
        }
    }
}
