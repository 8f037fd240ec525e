//! Entities into and out of a queue, the accounting of run time, and weights.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `update_curr`, `enqueue_entity`, `dequeue_entity`,
//! `set_next_entity`, `put_prev_entity`, `reweight_entity`.
//! Kept: the order of every step. Left out: nothing.
//! Differs: nothing else. Locks: the runqueue's lock is held throughout.

use super::bandwidth::{
    account_cfs_rq_runtime, cfs_rq_throttled, check_cfs_rq_runtime, check_enqueue_throttle,
    return_cfs_rq_runtime, throttled_hierarchy, update_idle_cfs_rq_clock_pelt,
};
use super::eevdf::{
    __dequeue_entity, __enqueue_entity, avg_vruntime, calc_delta_fair, clear_buddies, place_entity,
    update_entity_lag, update_min_vruntime,
};
use super::load::{
    DO_ATTACH, UPDATE_TG, dequeue_action, list_add_leaf_cfs_rq, reweight_load_avg,
    se_update_runnable, update_cfs_group, update_load_avg,
};
use super::stats::{
    update_stats_dequeue_fair, update_stats_enqueue_fair, update_stats_exec_fair,
    update_stats_slice_fair, update_stats_wait_end_fair, update_stats_wait_start_fair,
};
use super::{base_slice_ns, group_cfs_rq, rq_of, same_se, se_is_idle, task_of};
use crate::include::linux::list::{list_add, list_del_init};
use crate::include::linux::sched::{LoadWeight, SchedEntity, TaskRef};
use crate::include::trace::events::sched::trace_sched_stat_runtime;
use crate::kernel::sched::core::resched_curr;
use crate::kernel::sched::sched::{
    CfsRq, DEQUEUE_MOVE, DEQUEUE_SAVE, ENQUEUE_MIGRATED, RqRef, rq_clock, rq_clock_task,
};

type Se = &'static SchedEntity;
type Cfs = &'static CfsRq;

fn update_load_add(lw: &LoadWeight, inc: u64) {
    lw.weight.add(inc);
    lw.inv_weight.set(0);
}

fn update_load_sub(lw: &LoadWeight, dec: u64) {
    lw.weight.sub(dec);
    lw.inv_weight.set(0);
}

fn is_curr(cfs_rq: Cfs, se: Se) -> bool {
    cfs_rq.curr.get().is_some_and(|curr| same_se(curr, se))
}

/// Charges the running entity for the time since the last charge.
#[inline(never)]
pub fn update_curr(cfs_rq: Cfs) {
    let Some(curr) = cfs_rq.curr.get() else {
        return;
    };
    let now = rq_clock_task(rq_of(cfs_rq));
    let delta_exec = now.wrapping_sub(curr.exec_start.get()) as i64;
    if delta_exec <= 0 {
        return;
    }
    let delta_exec = delta_exec as u64;
    curr.exec_start.set(now);
    update_stats_exec_fair(curr, delta_exec);
    curr.sum_exec_runtime.add(delta_exec);
    curr.vruntime.add(calc_delta_fair(delta_exec, curr));
    update_deadline(cfs_rq, curr);
    update_min_vruntime(cfs_rq);
    if group_cfs_rq(curr).is_none() {
        trace_sched_stat_runtime(task_of(curr), delta_exec);
    }
    account_cfs_rq_runtime(cfs_rq, delta_exec);
}

/// Charges a running task that is not fair. Returns for how much, ns.
pub fn update_curr_common(rq: RqRef, curr: TaskRef) -> u64 {
    let now = rq_clock_task(rq);
    let delta_exec = now.wrapping_sub(curr.se.exec_start.get()) as i64;
    if delta_exec <= 0 {
        return 0;
    }
    curr.se.exec_start.set(now);
    update_stats_exec_fair(&curr.se, delta_exec as u64);
    curr.se.sum_exec_runtime.add(delta_exec as u64);
    trace_sched_stat_runtime(curr, delta_exec as u64);
    delta_exec as u64
}

/// Ends a request that has been served and begins the next one.
fn update_deadline(cfs_rq: Cfs, se: Se) {
    if (se.vruntime.get().wrapping_sub(se.deadline.get()) as i64) < 0 {
        return;
    }
    se.slice.set(base_slice_ns());
    se.deadline.set(
        se.vruntime
            .get()
            .wrapping_add(calc_delta_fair(se.slice.get(), se)),
    );
    if cfs_rq.nr_running.get() > 1 {
        resched_curr(rq_of(cfs_rq));
        clear_buddies(cfs_rq, se);
    }
}

fn account_entity_enqueue(cfs_rq: Cfs, se: Se) {
    update_load_add(&cfs_rq.load, se.load.weight.get());
    if group_cfs_rq(se).is_none() {
        list_add(&se.group_node, &rq_of(cfs_rq).cfs_tasks);
    }
    cfs_rq.nr_running.inc();
    if se_is_idle(se) {
        cfs_rq.idle_nr_running.inc();
    }
}

fn account_entity_dequeue(cfs_rq: Cfs, se: Se) {
    update_load_sub(&cfs_rq.load, se.load.weight.get());
    if group_cfs_rq(se).is_none() {
        list_del_init(&se.group_node);
    }
    cfs_rq.nr_running.dec();
    if se_is_idle(se) {
        cfs_rq.idle_nr_running.dec();
    }
}

/// Puts an entity on the queue. The running one (put back after a change) is placed before the
/// accounting, any other after it, so that V is up to date where it is used.
pub fn enqueue_entity(cfs_rq: Cfs, se: Se, flags: i32) {
    let curr = is_curr(cfs_rq, se);
    if curr {
        place_entity(cfs_rq, se, flags);
    }
    update_curr(cfs_rq);
    update_load_avg(cfs_rq, se, UPDATE_TG | DO_ATTACH);
    se_update_runnable(se);
    // A group's weight follows what it has, the newcomer included; the placement wants that weight.
    update_cfs_group(se);
    if !curr {
        place_entity(cfs_rq, se, flags);
    }
    account_entity_enqueue(cfs_rq, se);
    if flags & ENQUEUE_MIGRATED != 0 {
        // The old CPU's clock means nothing here.
        se.exec_start.set(0);
    }
    update_stats_enqueue_fair(cfs_rq, se, flags);
    if !curr {
        __enqueue_entity(cfs_rq, se);
    }
    se.on_rq.set(1);
    if cfs_rq.nr_running.get() == 1 {
        check_enqueue_throttle(cfs_rq);
        if !throttled_hierarchy(cfs_rq) {
            list_add_leaf_cfs_rq(cfs_rq);
        } else {
            let now = rq_clock(rq_of(cfs_rq));
            if cfs_rq_throttled(cfs_rq) && cfs_rq.throttled_clock.get() == 0 {
                cfs_rq.throttled_clock.set(now);
            }
            if cfs_rq.throttled_clock_self.get() == 0 {
                cfs_rq.throttled_clock_self.set(now);
            }
        }
    }
}

/// Takes an entity off the queue and notes its lag.
pub fn dequeue_entity(cfs_rq: Cfs, se: Se, flags: i32) {
    update_curr(cfs_rq);
    update_load_avg(cfs_rq, se, dequeue_action(se));
    se_update_runnable(se);
    update_stats_dequeue_fair(cfs_rq, se, flags);
    clear_buddies(cfs_rq, se);
    update_entity_lag(cfs_rq, se);
    if !is_curr(cfs_rq, se) {
        __dequeue_entity(cfs_rq, se);
    }
    se.on_rq.set(0);
    account_entity_dequeue(cfs_rq, se);
    return_cfs_rq_runtime(cfs_rq);
    update_cfs_group(se);
    // Whoever comes back at once (SAVE without MOVE) shall find the reference where it was.
    if flags & (DEQUEUE_SAVE | DEQUEUE_MOVE) != DEQUEUE_SAVE {
        update_min_vruntime(cfs_rq);
    }
    if cfs_rq.nr_running.get() == 0 {
        update_idle_cfs_rq_clock_pelt(cfs_rq);
    }
}

/// The entity starts running: it leaves the tree.
pub fn set_next_entity(cfs_rq: Cfs, se: Se) {
    clear_buddies(cfs_rq, se);
    if se.on_rq.get() != 0 {
        update_stats_wait_end_fair(cfs_rq, se);
        __dequeue_entity(cfs_rq, se);
        update_load_avg(cfs_rq, se, UPDATE_TG);
        // The deadline it was picked with, for run-to-parity; the lag is computed anew at dequeue.
        se.vlag.set(se.deadline.get() as i64);
    }
    se.exec_start.set(rq_clock_task(rq_of(cfs_rq)));
    cfs_rq.curr.set(Some(se));
    update_stats_slice_fair(cfs_rq, se);
    se.prev_sum_exec_runtime.set(se.sum_exec_runtime.get());
}

/// The entity stops running: it returns to the tree if it still wants to run.
pub fn put_prev_entity(cfs_rq: Cfs, prev: Se) {
    if prev.on_rq.get() != 0 {
        update_curr(cfs_rq);
    }
    // Out of run time: the group leaves, and with it its entity on the level above.
    check_cfs_rq_runtime(cfs_rq);
    if prev.on_rq.get() != 0 {
        update_stats_wait_start_fair(cfs_rq, prev);
        __enqueue_entity(cfs_rq, prev);
        // Still `curr`: the time until now counts as running.
        update_load_avg(cfs_rq, prev, 0);
    }
    cfs_rq.curr.set(None);
}

/// The tick, for one level. The deadline check in `update_curr` is what ends a slice.
pub fn entity_tick(cfs_rq: Cfs, curr: Se, _queued: i32) {
    update_curr(cfs_rq);
    update_load_avg(cfs_rq, curr, UPDATE_TG);
    update_cfs_group(curr);
}

/// Gives an entity another weight; its real lag and the rest of its request stay what they are.
pub fn reweight_entity(cfs_rq: Cfs, se: Se, weight: u64) {
    let curr = is_curr(cfs_rq, se);
    let on_rq = se.on_rq.get() != 0;
    if on_rq {
        if curr {
            update_curr(cfs_rq);
        } else {
            __dequeue_entity(cfs_rq, se);
        }
        update_load_sub(&cfs_rq.load, se.load.weight.get());
    }
    reweight_load_avg(cfs_rq, se, || {
        if on_rq {
            reweight_eevdf(cfs_rq, se, weight);
        } else {
            let vlag = se.vlag.get().wrapping_mul(se.load.weight.get() as i64);
            se.vlag.set(vlag / weight as i64);
        }
        se.load.weight.set(weight);
        se.load.inv_weight.set(0);
    });
    if on_rq {
        update_load_add(&cfs_rq.load, weight);
        if !curr {
            __enqueue_entity(cfs_rq, se);
        }
        update_min_vruntime(cfs_rq);
    }
}

/// v' = V - (V - v) w / w' and d' = V + (d - V) w / w'.
fn reweight_eevdf(cfs_rq: Cfs, se: Se, weight: u64) {
    let old = se.load.weight.get() as i64;
    let new = weight as i64;
    let avruntime = avg_vruntime(cfs_rq);
    if avruntime != se.vruntime.get() {
        let vlag = avruntime.wrapping_sub(se.vruntime.get()) as i64;
        let vlag = vlag.wrapping_mul(old) / new;
        se.vruntime.set(avruntime.wrapping_sub(vlag as u64));
    }
    let vslice = se.deadline.get().wrapping_sub(avruntime) as i64;
    let vslice = vslice.wrapping_mul(old) / new;
    se.deadline.set(avruntime.wrapping_add(vslice as u64));
}
