//! The statistics of real-time tasks, at the places where they move.
//!
//! Linux: `kernel/sched/rt.c` (v6.8): `update_stats_*_rt`. Kept: all of it, for tasks; there are no real-time groups.
//! Differs: nothing. Locks: the runqueue's lock.

use crate::include::linux::sched::TaskRef;
use crate::kernel::sched::sched::{ENQUEUE_WAKEUP, RqRef};
use crate::kernel::sched::stats::{
    __update_stats_enqueue_sleeper, __update_stats_wait_end, __update_stats_wait_start,
    schedstat_enabled, update_stats_dequeue_sleeper,
};

/// The task begins to wait.
pub(super) fn update_stats_wait_start_rt(rq: RqRef, p: TaskRef) {
    if schedstat_enabled() {
        __update_stats_wait_start(rq, Some(p), &p.stats);
    }
}

/// It has waited.
pub(super) fn update_stats_wait_end_rt(rq: RqRef, p: TaskRef) {
    if schedstat_enabled() {
        __update_stats_wait_end(rq, Some(p), &p.stats);
    }
}

/// It enters the queue.
pub(super) fn update_stats_enqueue_rt(rq: RqRef, p: TaskRef, flags: i32) {
    if schedstat_enabled() && flags & ENQUEUE_WAKEUP != 0 {
        __update_stats_enqueue_sleeper(rq, Some(p), &p.stats);
    }
}

/// It leaves the queue.
pub(super) fn update_stats_dequeue_rt(rq: RqRef, p: TaskRef, flags: i32) {
    if schedstat_enabled() {
        update_stats_dequeue_sleeper(rq, p, flags);
    }
}
