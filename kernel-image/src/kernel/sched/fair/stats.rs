//! The statistics of fair tasks and of groups, at the places where their entities move.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `update_stats_*_fair`. Kept: all of it. Left out: the warning that an event
//! of them is on and they are not: events are switched on from outside. Locks: the runqueue's lock.

use super::{group_cfs_rq, rq_of, same_se, task_of};
use crate::include::linux::sched::stats::SchedStatistics;
use crate::include::linux::sched::{SchedEntity, TaskRef};
use crate::kernel::sched::sched::{CfsRq, ENQUEUE_WAKEUP};
use crate::kernel::sched::stats::{
    __schedstats_from_se, __update_stats_enqueue_sleeper, __update_stats_wait_end,
    __update_stats_wait_start, raise, schedstat_enabled, update_stats_dequeue_sleeper,
};

type Se = &'static SchedEntity;
type Cfs = &'static CfsRq;

/// What is counted of an entity, and its task if it is one's; None while nothing is counted.
fn counted(se: Se) -> Option<(Option<TaskRef>, &'static SchedStatistics)> {
    let p = group_cfs_rq(se).is_none().then(|| task_of(se));
    schedstat_enabled().then(|| (p, __schedstats_from_se(se)))
}

fn waits(cfs_rq: Cfs, se: Se) -> bool {
    // The running one is taken off and put back without having waited.
    !cfs_rq.curr.get().is_some_and(|curr| same_se(curr, se))
}

/// The entity begins to wait.
pub fn update_stats_wait_start_fair(cfs_rq: Cfs, se: Se) {
    if let Some((p, stats)) = counted(se) {
        __update_stats_wait_start(rq_of(cfs_rq), p, stats);
    }
}

/// It has waited.
pub fn update_stats_wait_end_fair(cfs_rq: Cfs, se: Se) {
    if let Some((p, stats)) = counted(se)
        // Statistics may have been off when it began.
        && stats.wait_start.get() != 0
    {
        __update_stats_wait_end(rq_of(cfs_rq), p, stats);
    }
}

/// It enters the queue.
pub fn update_stats_enqueue_fair(cfs_rq: Cfs, se: Se, flags: i32) {
    let Some((p, stats)) = counted(se) else {
        return;
    };
    if waits(cfs_rq, se) {
        update_stats_wait_start_fair(cfs_rq, se);
    }
    if flags & ENQUEUE_WAKEUP != 0 {
        __update_stats_enqueue_sleeper(rq_of(cfs_rq), p, stats);
    }
}

/// It leaves the queue.
pub fn update_stats_dequeue_fair(cfs_rq: Cfs, se: Se, flags: i32) {
    let Some((p, _)) = counted(se) else {
        return;
    };
    if waits(cfs_rq, se) {
        update_stats_wait_end_fair(cfs_rq, se);
    }
    if let Some(p) = p {
        update_stats_dequeue_sleeper(rq_of(cfs_rq), p, flags);
    }
}

/// It was charged for that long at once.
pub fn update_stats_exec_fair(se: Se, delta_exec: u64) {
    if let Some((_, stats)) = counted(se) {
        raise(&stats.exec_max, delta_exec);
    }
}

/// It starts to run; how long it ran the last time.
pub fn update_stats_slice_fair(cfs_rq: Cfs, se: Se) {
    if let Some((_, stats)) = counted(se)
        && rq_of(cfs_rq).cfs.load.weight.get() >= 2 * se.load.weight.get()
    {
        let ran = se.sum_exec_runtime.get() - se.prev_sum_exec_runtime.get();
        raise(&stats.slice_max, ran);
    }
}
