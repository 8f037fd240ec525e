//! Virtual time, the tree by deadline, placement and the pick.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `calc_delta_fair` to `pick_eevdf`, `place_entity`.
//! Kept: exact integer arithmetic (wrapping, truncating as C does), the subtree minimum in every node,
//! run-to-parity, buddies, the feature switches. Left out, differs: nothing.
//! Locks: the runqueue's lock is held throughout.
//!
//! An entity has a weight w, a virtual run time v that advances by delta/w while it runs, and a
//! virtual deadline. V is the weighted mean of all v: the virtual time of a CPU shared perfectly. An
//! entity with v <= V has received no more than its share: it is *eligible*. Among the eligible the
//! earliest deadline runs.

use super::{base_slice_ns, cfs_rq_of, for_each_sched_entity, same_se, se_is_idle};
use crate::WARN_ON_ONCE;
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::rbtree::{
    RbAugment, RbNode, rb_add_augmented_cached, rb_erase_augmented_cached, rb_first_cached,
    rb_parent,
};
use crate::include::linux::sched::{LoadWeight, RunNodeLink, SchedEntity};
use crate::kernel::sched::features::{SchedFeat, sched_feat};
use crate::kernel::sched::sched::{CfsRq, ENQUEUE_INITIAL, NICE_0_LOAD, scale_load_down};

type Se = &'static SchedEntity;
type Cfs = &'static CfsRq;

const WMULT_CONST: u32 = u32::MAX;
const WMULT_SHIFT: u32 = 32;

fn __update_inv_weight(lw: &LoadWeight) {
    if lw.inv_weight.get() != 0 {
        return;
    }
    let w = scale_load_down(lw.weight.get());
    lw.inv_weight.set(if w > u64::from(u32::MAX) {
        1
    } else if w == 0 {
        WMULT_CONST
    } else {
        WMULT_CONST / w as u32
    });
}

/// delta x weight / lw.weight, by a multiplication with the inverse that is kept within 32 bits.
pub fn __calc_delta(delta_exec: u64, weight: u64, lw: &LoadWeight) -> u64 {
    let mut fact = scale_load_down(weight);
    let mut shift = WMULT_SHIFT;
    __update_inv_weight(lw);
    let mut narrow = |fact: u64| {
        let high = (fact >> 32) as u32;
        let bits = u32::BITS - high.leading_zeros();
        shift -= bits;
        fact >> bits
    };
    fact = narrow(fact);
    fact = u64::from(fact as u32) * u64::from(lw.inv_weight.get());
    fact = narrow(fact);
    ((u128::from(delta_exec) * u128::from(fact)) >> shift) as u64
}

/// Real time to this entity's virtual time.
pub fn calc_delta_fair(delta: u64, se: Se) -> u64 {
    if se.load.weight.get() == NICE_0_LOAD {
        return delta;
    }
    __calc_delta(delta, NICE_0_LOAD, &se.load)
}

/// Signed distance of two points of virtual time, which wraps.
fn vdiff(a: u64, b: u64) -> i64 {
    a.wrapping_sub(b) as i64
}

fn entity_before(a: Se, b: Se) -> bool {
    vdiff(a.deadline.get(), b.deadline.get()) < 0
}

fn entity_key(cfs_rq: Cfs, se: Se) -> i64 {
    vdiff(se.vruntime.get(), cfs_rq.min_vruntime.get())
}

fn weight_of(se: Se) -> i64 {
    scale_load_down(se.load.weight.get()) as i64
}

fn avg_vruntime_add(cfs_rq: Cfs, se: Se) {
    let weight = weight_of(se);
    cfs_rq
        .avg_vruntime
        .add(entity_key(cfs_rq, se).wrapping_mul(weight));
    cfs_rq.avg_load.add(weight as u64);
}

fn avg_vruntime_sub(cfs_rq: Cfs, se: Se) {
    let weight = weight_of(se);
    cfs_rq
        .avg_vruntime
        .sub(entity_key(cfs_rq, se).wrapping_mul(weight));
    cfs_rq.avg_load.sub(weight as u64);
}

/// The running entity, if it still wants to run.
fn curr_on_rq(cfs_rq: Cfs) -> Option<Se> {
    cfs_rq.curr.get().filter(|curr| curr.on_rq.get() != 0)
}

/// The sums over the tree and the running entity.
fn sums(cfs_rq: Cfs) -> (i64, i64) {
    let mut avg = cfs_rq.avg_vruntime.get();
    let mut load = cfs_rq.avg_load.get() as i64;
    if let Some(curr) = curr_on_rq(cfs_rq) {
        let weight = weight_of(curr);
        avg = avg.wrapping_add(entity_key(cfs_rq, curr).wrapping_mul(weight));
        load += weight;
    }
    (avg, load)
}

/// V, rounded down so that the result is never right of the mean.
pub fn avg_vruntime(cfs_rq: Cfs) -> u64 {
    let (mut avg, load) = sums(cfs_rq);
    if load != 0 {
        if avg < 0 {
            avg -= load - 1;
        }
        avg /= load;
    }
    cfs_rq.min_vruntime.get().wrapping_add(avg as u64)
}

/// Notes how far the entity is from V when it leaves. The limit keeps a long sleeper's claim small.
pub fn update_entity_lag(cfs_rq: Cfs, se: Se) {
    let lag = vdiff(avg_vruntime(cfs_rq), se.vruntime.get());
    let slice = (2 * se.slice.get()).max(TICK_NSEC as u64);
    let limit = calc_delta_fair(slice, se) as i64;
    se.vlag.set(lag.clamp(-limit, limit));
}

/// v <= V, without the division that V needs.
fn vruntime_eligible(cfs_rq: Cfs, vruntime: u64) -> bool {
    let (avg, load) = sums(cfs_rq);
    avg >= vdiff(vruntime, cfs_rq.min_vruntime.get()).wrapping_mul(load)
}

/// Whether an entity has received no more than its share.
pub fn entity_eligible(cfs_rq: Cfs, se: Se) -> bool {
    vruntime_eligible(cfs_rq, se.vruntime.get())
}

/// Moves the reference forward as the slowest entity advances; the sums are relative to it.
pub fn update_min_vruntime(cfs_rq: Cfs) {
    let curr = curr_on_rq(cfs_rq).map(|curr| curr.vruntime.get());
    let root = cfs_rq.tasks_timeline.rb_root.rb_node.get();
    let tree = root.map(|node| RunNodeLink::entry(node).min_vruntime.get());
    let vruntime = match (curr, tree) {
        (Some(a), Some(b)) => {
            if vdiff(b, a) < 0 {
                b
            } else {
                a
            }
        }
        (Some(v), None) | (None, Some(v)) => v,
        (None, None) => return,
    };
    let delta = vdiff(vruntime, cfs_rq.min_vruntime.get());
    if delta > 0 {
        cfs_rq
            .avg_vruntime
            .sub((cfs_rq.avg_load.get() as i64).wrapping_mul(delta));
        cfs_rq.min_vruntime.set(vruntime);
    }
}

/// Keeps `min_vruntime` of every node the smallest vruntime below it.
struct MinVruntimeCb;

/// Recomputes a node's minimum; true if it did not change.
fn min_vruntime_update(se: Se) -> bool {
    let old = se.min_vruntime.get();
    let mut min = se.vruntime.get();
    for child in [se.run_node.rb_left.get(), se.run_node.rb_right.get()]
        .into_iter()
        .flatten()
    {
        let below = RunNodeLink::entry(child).min_vruntime.get();
        if vdiff(below, min) < 0 {
            min = below;
        }
    }
    se.min_vruntime.set(min);
    old == min
}

impl RbAugment for MinVruntimeCb {
    fn propagate(node: Option<&'static RbNode>, stop: Option<&'static RbNode>) {
        let mut at = node;
        while let Some(node) = at {
            if stop.is_some_and(|stop| core::ptr::eq(stop, node))
                || min_vruntime_update(RunNodeLink::entry(node))
            {
                return;
            }
            at = rb_parent(node);
        }
    }

    fn copy(old: &'static RbNode, new: &'static RbNode) {
        RunNodeLink::entry(new)
            .min_vruntime
            .set(RunNodeLink::entry(old).min_vruntime.get());
    }

    fn rotate(old: &'static RbNode, new: &'static RbNode) {
        Self::copy(old, new);
        min_vruntime_update(RunNodeLink::entry(old));
    }
}

/// Into the tree.
pub fn __enqueue_entity(cfs_rq: Cfs, se: Se) {
    avg_vruntime_add(cfs_rq, se);
    se.min_vruntime.set(se.vruntime.get());
    rb_add_augmented_cached::<MinVruntimeCb>(&se.run_node, &cfs_rq.tasks_timeline, |a, b| {
        entity_before(RunNodeLink::entry(a), RunNodeLink::entry(b))
    });
}

/// Out of the tree.
pub fn __dequeue_entity(cfs_rq: Cfs, se: Se) {
    rb_erase_augmented_cached::<MinVruntimeCb>(&se.run_node, &cfs_rq.tasks_timeline);
    avg_vruntime_sub(cfs_rq, se);
}

/// The entity with the earliest deadline in the tree.
fn __pick_first_entity(cfs_rq: Cfs) -> Option<Se> {
    rb_first_cached(&cfs_rq.tasks_timeline).map(RunNodeLink::entry)
}

/// The eligible entity with the earliest deadline, the running one included.
///
/// The leftmost node is the answer if it is eligible. Otherwise the subtree minima say which side has
/// an eligible entity at all: one walk down suffices.
#[inline(never)]
pub fn pick_eevdf(cfs_rq: Cfs) -> Option<Se> {
    let first = __pick_first_entity(cfs_rq);
    let curr = curr_on_rq(cfs_rq);
    if cfs_rq.nr_running.get() == 1 {
        return curr.or(first);
    }
    let curr = curr.filter(|curr| entity_eligible(cfs_rq, curr));
    // Parity: a request that has begun runs until its deadline moves (vlag holds the deadline it was
    // picked with).
    if let Some(curr) = curr
        && sched_feat(SchedFeat::RUN_TO_PARITY)
        && curr.vlag.get() as u64 == curr.deadline.get()
    {
        return Some(curr);
    }
    let best = match first {
        Some(first) if entity_eligible(cfs_rq, first) => Some(first),
        _ => descend(cfs_rq),
    };
    match (best, curr) {
        (None, curr) => curr,
        (Some(best), Some(curr)) if entity_before(curr, best) => Some(curr),
        (best, _) => best,
    }
}

fn descend(cfs_rq: Cfs) -> Option<Se> {
    let mut at = cfs_rq.tasks_timeline.rb_root.rb_node.get();
    while let Some(node) = at {
        if let Some(left) = node.rb_left.get()
            && vruntime_eligible(cfs_rq, RunNodeLink::entry(left).min_vruntime.get())
        {
            at = Some(left);
            continue;
        }
        let se = RunNodeLink::entry(node);
        if entity_eligible(cfs_rq, se) {
            return Some(se);
        }
        at = node.rb_right.get();
    }
    None
}

/// Gives an entity that joins its place in virtual time: where its lag was, inflated so that the lag
/// after joining (which moves V) is what it was.
pub fn place_entity(cfs_rq: Cfs, se: Se, flags: i32) {
    let vruntime = avg_vruntime(cfs_rq);
    let mut lag = 0i64;
    se.slice.set(base_slice_ns());
    let mut vslice = calc_delta_fair(se.slice.get(), se);
    if sched_feat(SchedFeat::PLACE_LAG) && cfs_rq.nr_running.get() != 0 {
        let mut load = cfs_rq.avg_load.get() as i64;
        if let Some(curr) = curr_on_rq(cfs_rq) {
            load += weight_of(curr);
        }
        lag = se.vlag.get().wrapping_mul(load + weight_of(se));
        if WARN_ON_ONCE!(load == 0) {
            load = 1;
        }
        lag /= load;
    }
    se.vruntime.set(vruntime.wrapping_sub(lag as u64));
    if sched_feat(SchedFeat::PLACE_DEADLINE_INITIAL) && flags & ENQUEUE_INITIAL != 0 {
        vslice /= 2;
    }
    se.deadline.set(se.vruntime.get().wrapping_add(vslice));
}

/// Wants the entity to run next, with all groups above it.
pub fn set_next_buddy(se: Se) {
    for se in for_each_sched_entity(Some(se)) {
        if WARN_ON_ONCE!(se.on_rq.get() == 0) || se_is_idle(se) {
            return;
        }
        cfs_rq_of(se).next.set(Some(se));
    }
}

/// Forgets that the entity was wanted next, from its queue upward.
pub fn clear_buddies(cfs_rq: Cfs, se: Se) {
    if !cfs_rq.next.get().is_some_and(|next| same_se(next, se)) {
        return;
    }
    for se in for_each_sched_entity(Some(se)) {
        let cfs_rq = cfs_rq_of(se);
        if !cfs_rq.next.get().is_some_and(|next| same_se(next, se)) {
            return;
        }
        cfs_rq.next.set(None);
    }
}
