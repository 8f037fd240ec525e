//! A group's signals: its entity follows its queue, its weight on a CPU follows its load, and queues with
//! something to fade are in a list.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `calc_group_shares`, `update_tg_load_avg`,
//! `propagate_entity_load_avg`, `list_add_leaf_cfs_rq`. Kept: all of it. Left out, differs: nothing.
//! Locks: the runqueue's lock; a group's `load_avg` is one atomic word.

use super::{Cfs, Se, add_positive, raise_sum, raise_util_sum, se_weight};
use crate::include::linux::cpumask::cpu_active;
use crate::include::linux::ktime::NSEC_PER_MSEC;
use crate::include::linux::list::{list_add, list_add_tail, list_del};
use crate::include::linux::sched::LeafCfsRqLink;
use crate::kernel::sched::clock::sched_clock_cpu;
use crate::kernel::sched::core::group::for_each_task_group;
use crate::kernel::sched::fair::bandwidth::throttled_hierarchy;
use crate::kernel::sched::fair::entity::reweight_entity;
use crate::kernel::sched::fair::{cfs_rq_of, group_cfs_rq, rq_of};
use crate::kernel::sched::pelt::get_pelt_divider;
use crate::kernel::sched::sched::{
    RqRef, SCHED_CAPACITY_SHIFT, cpu_of, root_task_group, same_tg, scale_load_down,
};
use core::sync::atomic::Ordering;

/// The smallest weight of a group's entity.
pub const MIN_SHARES: u64 = 1 << 1;

/// A group's weight on a CPU: its share of the group's load there, as load tracking knows it, with this
/// CPU's part as it is now.
pub fn calc_group_shares(cfs_rq: Cfs) -> u64 {
    let tg = cfs_rq.tg();
    let tg_shares = tg.shares.get() as i64;
    let load = (scale_load_down(cfs_rq.load.weight.get())).max(cfs_rq.avg.load_avg.get()) as i64;
    let tg_weight =
        tg.load_avg.load(Ordering::Relaxed) - cfs_rq.tg_load_avg_contrib.get() as i64 + load;
    let mut shares = tg_shares * load;
    if tg_weight != 0 {
        shares /= tg_weight;
    }
    // `tg_shares` may be below the minimum only if somebody set it so: the group is small, not gone.
    shares.min(tg_shares).max(MIN_SHARES as i64) as u64
}

/// Gives a group's entity the weight that the group has on this CPU now.
pub fn update_cfs_group(se: Se) {
    let Some(gcfs_rq) = group_cfs_rq(se) else {
        return;
    };
    if throttled_hierarchy(gcfs_rq) {
        return;
    }
    let shares = calc_group_shares(gcfs_rq);
    if se.load.weight.get() != shares {
        reweight_entity(cfs_rq_of(se), se, shares);
    }
}

/// Publishes a queue's load in its group, if it moved by more than 1/64, once a millisecond at most: the
/// group's sum is one word for all CPUs.
pub fn update_tg_load_avg(cfs_rq: Cfs) {
    let tg = cfs_rq.tg();
    // Nobody reads the root group's.
    if same_tg(tg, &root_task_group) || !cpu_active(cpu_of(rq_of(cfs_rq))) {
        return;
    }
    let now = sched_clock_cpu(cpu_of(rq_of(cfs_rq)));
    if now.wrapping_sub(cfs_rq.last_update_tg_load_avg.get()) < NSEC_PER_MSEC as u64 {
        return;
    }
    let contrib = cfs_rq.tg_load_avg_contrib.get();
    let delta = cfs_rq.avg.load_avg.get() as i64 - contrib as i64;
    if delta.unsigned_abs() > contrib / 64 {
        tg.load_avg.fetch_add(delta, Ordering::Relaxed);
        cfs_rq.tg_load_avg_contrib.set(cfs_rq.avg.load_avg.get());
        cfs_rq.last_update_tg_load_avg.set(now);
    }
}

/// A CPU goes down: no group has load there any more.
pub fn clear_tg_offline_cfs_rqs(rq: RqRef) {
    for_each_task_group(|tg| clear_tg_load_avg(tg.cfs_rq_on(cpu_of(rq))));
}

fn clear_tg_load_avg(cfs_rq: Cfs) {
    let tg = cfs_rq.tg();
    if same_tg(tg, &root_task_group) {
        return;
    }
    let contrib = cfs_rq.tg_load_avg_contrib.replace(0);
    tg.load_avg.fetch_sub(contrib as i64, Ordering::Relaxed);
    cfs_rq
        .last_update_tg_load_avg
        .set(sched_clock_cpu(cpu_of(rq_of(cfs_rq))));
}

/// A change below a group's entity that the entity's own signal has to follow.
pub(super) fn add_tg_cfs_propagate(cfs_rq: Cfs, runnable_sum: i64) {
    cfs_rq.propagate.set(1);
    cfs_rq.prop_runnable_sum.add(runnable_sum);
}

/// Carries what changed in a group's queue over to the group's entity and to the queue that is on.
pub(super) fn propagate_entity_load_avg(se: Se) -> bool {
    let Some(gcfs_rq) = group_cfs_rq(se) else {
        return false;
    };
    if gcfs_rq.propagate.get() == 0 {
        return false;
    }
    gcfs_rq.propagate.set(0);
    let cfs_rq = cfs_rq_of(se);
    add_tg_cfs_propagate(cfs_rq, gcfs_rq.prop_runnable_sum.get());
    update_tg_cfs_util(cfs_rq, se, gcfs_rq);
    update_tg_cfs_runnable(cfs_rq, se, gcfs_rq);
    update_tg_cfs_load(cfs_rq, se, gcfs_rq);
    true
}

/// The entity's utilisation is its queue's.
fn update_tg_cfs_util(cfs_rq: Cfs, se: Se, gcfs_rq: Cfs) {
    let (sa, sum) = (&se.avg, &cfs_rq.avg);
    let delta = gcfs_rq.avg.util_avg.get() as i64 - sa.util_avg.get() as i64;
    if delta == 0 {
        return;
    }
    sa.util_avg.set(gcfs_rq.avg.util_avg.get());
    let new_sum = sa.util_avg.get() * get_pelt_divider(sum);
    let delta_sum = new_sum as i64 - i64::from(sa.util_sum.get());
    sa.util_sum.set(new_sum as u32);
    add_positive(&sum.util_avg, delta);
    sum.util_sum
        .set((i64::from(sum.util_sum.get()) + delta_sum).max(0) as u32);
    raise_util_sum(cfs_rq);
}

/// So is its runnable signal.
fn update_tg_cfs_runnable(cfs_rq: Cfs, se: Se, gcfs_rq: Cfs) {
    let (sa, sum) = (&se.avg, &cfs_rq.avg);
    let delta = gcfs_rq.avg.runnable_avg.get() as i64 - sa.runnable_avg.get() as i64;
    if delta == 0 {
        return;
    }
    sa.runnable_avg.set(gcfs_rq.avg.runnable_avg.get());
    // 32 bits, as in v6.8.
    let new_sum = u64::from((sa.runnable_avg.get() * get_pelt_divider(sum)) as u32);
    let delta_sum = new_sum as i64 - sa.runnable_sum.get() as i64;
    sa.runnable_sum.set(new_sum);
    add_positive(&sum.runnable_avg, delta);
    add_positive(&sum.runnable_sum, delta_sum);
    raise_sum(&sum.runnable_sum, &sum.runnable_avg);
}

/// Its load is its weight times the time in which anybody below wanted to run. How those times overlap is
/// not known: a joining signal is added up to the whole time, a leaving one makes the entity's time at
/// most the mean of those that stay; and it wanted to run at least while it ran.
fn update_tg_cfs_load(cfs_rq: Cfs, se: Se, gcfs_rq: Cfs) {
    let runnable_sum = gcfs_rq.prop_runnable_sum.get();
    if runnable_sum == 0 {
        return;
    }
    gcfs_rq.prop_runnable_sum.set(0);
    let (sa, sum) = (&se.avg, &cfs_rq.avg);
    let divider = get_pelt_divider(sum);
    let own = sa.load_sum.get();
    let runnable_sum = if runnable_sum >= 0 {
        (runnable_sum as u64 + own).min(divider)
    } else {
        let weight = scale_load_down(gcfs_rq.load.weight.get());
        let mean = gcfs_rq.avg.load_sum.get().checked_div(weight).unwrap_or(0);
        own.min(mean)
    };
    let running_sum = u64::from(sa.util_sum.get()) >> SCHED_CAPACITY_SHIFT;
    let runnable_sum = runnable_sum.max(running_sum);

    let load_sum = se_weight(se) * runnable_sum;
    let load_avg = load_sum / divider;
    let delta_avg = load_avg as i64 - sa.load_avg.get() as i64;
    if delta_avg == 0 {
        return;
    }
    let delta_sum = load_sum as i64 - (se_weight(se) * own) as i64;
    sa.load_sum.set(runnable_sum);
    sa.load_avg.set(load_avg);
    add_positive(&sum.load_avg, delta_avg);
    add_positive(&sum.load_sum, delta_sum);
    raise_sum(&sum.load_sum, &sum.load_avg);
}

/// Puts a queue into its CPU's list, before its parent. True if the branch it belongs to is whole up to
/// the root; otherwise the parents follow one by one and `tmp_alone_branch` keeps the place.
pub fn list_add_leaf_cfs_rq(cfs_rq: Cfs) -> bool {
    let rq = rq_of(cfs_rq);
    let list = &rq.leaf_cfs_rq_list;
    if cfs_rq.on_list.get() != 0 {
        return rq.tmp_alone_branch.get().is_none();
    }
    cfs_rq.on_list.set(1);
    let leaf = &cfs_rq.leaf_cfs_rq_list;
    match cfs_rq.tg().parent.get() {
        None => {
            // The root is last; whatever hung in the air is connected now.
            list_add_tail(leaf, list);
            rq.tmp_alone_branch.set(None);
            true
        }
        Some(parent) => {
            let above = parent.cfs_rq_on(cpu_of(rq));
            if above.on_list.get() != 0 {
                list_add_tail(leaf, &above.leaf_cfs_rq_list);
                rq.tmp_alone_branch.set(None);
                return true;
            }
            list_add(leaf, rq.tmp_alone_branch.get().unwrap_or(list));
            rq.tmp_alone_branch.set(Some(leaf));
            false
        }
    }
}

/// Takes a queue out of the list.
pub fn list_del_leaf_cfs_rq(cfs_rq: Cfs) {
    if cfs_rq.on_list.get() == 0 {
        return;
    }
    let rq = rq_of(cfs_rq);
    let leaf = &cfs_rq.leaf_cfs_rq_list;
    if rq
        .tmp_alone_branch
        .get()
        .is_some_and(|at| core::ptr::eq(at, leaf))
    {
        let before = leaf.prev.get();
        let head = before.is_none_or(|at| core::ptr::eq(at, &rq.leaf_cfs_rq_list));
        rq.tmp_alone_branch.set(before.filter(|_| !head));
    }
    list_del(leaf);
    cfs_rq.on_list.set(0);
}

/// Whether a queue below this one is in the list: it would be just before it.
pub(super) fn child_cfs_rq_on_list(cfs_rq: Cfs) -> bool {
    let rq = rq_of(cfs_rq);
    let before = if cfs_rq.on_list.get() != 0 {
        cfs_rq.leaf_cfs_rq_list.prev.get()
    } else {
        rq.tmp_alone_branch.get()
    };
    before
        .filter(|&at| !core::ptr::eq(at, &rq.leaf_cfs_rq_list))
        .and_then(|at| LeafCfsRqLink::entry(at).tg().parent.get())
        .is_some_and(|parent| same_tg(parent, cfs_rq.tg()))
}
