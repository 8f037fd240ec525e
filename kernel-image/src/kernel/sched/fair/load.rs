//! Load tracking of fair entities: who attaches to which queue with how much, what left without the lock,
//! what fades. `groups`: a group's signals. `demand`: what a task needs, what load balancing reads.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `init_entity_runnable_average` to `update_blocked_averages`.
//! Kept: all of it. Left out: thermal pressure, asymmetric capacities. Differs: nothing else. The
//! arithmetic of the series is in `sched/pelt.rs`.
//! Locks: the runqueue's lock, unless said otherwise; `removed` has its own inside it.

pub mod demand;
pub mod groups;

use super::bandwidth::{cfs_rq_throttled, throttled_hierarchy, update_idle_cfs_rq_clock_pelt};
use super::{cfs_rq_of, fair_sched_class, group_cfs_rq, parent_entity, rq_of, task_of};
use crate::fence::shared::Shared;
use crate::include::linux::jiffies::jiffies;
use crate::include::linux::list::links;
use crate::include::linux::sched::{LeafCfsRqLink, SchedAvg, SchedEntity, TaskRef, is_idle_task};
use crate::include::linux::spinlock::{raw_spin_lock, raw_spin_unlock};
use crate::kernel::sched::clock::sched_clock_cpu;
use crate::kernel::sched::deadline::dl_sched_class;
use crate::kernel::sched::fair::capacity::arch_scale_cpu_capacity;
use crate::kernel::sched::features::{SchedFeat, sched_feat};
use crate::kernel::sched::pelt::{
    __update_load_avg_blocked_se, __update_load_avg_cfs_rq, __update_load_avg_se, PELT_MIN_DIVIDER,
    cfs_rq_clock_pelt, get_pelt_divider, rq_clock_pelt, update_dl_rq_load_avg,
    update_rt_rq_load_avg,
};
use crate::kernel::sched::rt::rt_sched_class;
use crate::kernel::sched::sched::{
    CfsRq, RqFlags, RqRef, SCHED_CAPACITY_SHIFT, cpu_of, cpu_rq, rq_lock_irqsave,
    rq_unlock_irqrestore, same_class, scale_load_down, task_on_rq_migrating, update_rq_clock,
};
pub use demand::{
    _task_util_est, cfs_rq_load_avg, cpu_load, cpu_load_without, cpu_runnable,
    cpu_runnable_without, cpu_util, cpu_util_cfs, cpu_util_cfs_boost, cpu_util_dl, cpu_util_rt,
    cpu_util_without, task_h_load, task_runnable, task_util, task_util_est, util_est_dequeue,
    util_est_enqueue, util_est_update,
};
pub use groups::{
    MIN_SHARES, calc_group_shares, clear_tg_offline_cfs_rqs, list_add_leaf_cfs_rq,
    list_del_leaf_cfs_rq, update_cfs_group, update_tg_load_avg,
};
use groups::{add_tg_cfs_propagate, child_cfs_rq_on_list, propagate_entity_load_avg};

type Se = &'static SchedEntity;
type Cfs = &'static CfsRq;

/// Also publish the queue's load in its group.
pub const UPDATE_TG: i32 = 0x1;
/// Leave the entity's signal as it is.
pub const SKIP_AGE_LOAD: i32 = 0x2;
/// An entity that is attached nowhere joins the queue.
pub const DO_ATTACH: i32 = 0x4;
/// The entity leaves the queue.
pub const DO_DETACH: i32 = 0x8;

/// The weight of an entity as load tracking counts.
pub fn se_weight(se: Se) -> u64 {
    scale_load_down(se.load.weight.get())
}

/// How many tasks of the entity want to run.
pub fn se_runnable(se: Se) -> u64 {
    match group_cfs_rq(se) {
        None => u64::from(se.on_rq.get() != 0),
        Some(_) => se.runnable_weight.get(),
    }
}

/// Notes how many tasks wait below a group's entity.
pub fn se_update_runnable(se: Se) {
    if let Some(my_q) = group_cfs_rq(se) {
        se.runnable_weight.set(u64::from(my_q.h_nr_running.get()));
    }
}

fn add_positive(cell: &Shared<u64>, delta: i64) {
    let sum = cell.get() as i64 + delta;
    // The parts do not fade exactly as their sum does.
    cell.set(if delta < 0 { sum.max(0) } else { sum } as u64);
}

fn sub_positive(cell: &Shared<u64>, n: u64) {
    cell.set(cell.get().saturating_sub(n));
}

/// A sum may not say less than its average. Of both, v6.8 compares and keeps 32 bits (`max_t(u32, ...)`): a
/// load of 90,000 and more is cut off here.
fn raise_sum(sum: &Shared<u64>, avg: &Shared<u64>) {
    let least = avg.get() * PELT_MIN_DIVIDER;
    sum.set(u64::from((sum.get() as u32).max(least as u32)));
}

fn raise_util_sum(cfs_rq: Cfs) {
    let avg = &cfs_rq.avg;
    let least = avg.util_avg.get() * PELT_MIN_DIVIDER;
    avg.util_sum
        .set(u64::from(avg.util_sum.get()).max(least) as u32);
}

fn sub_util_sum(cfs_rq: Cfs, n: u64) {
    let sum = u64::from(cfs_rq.avg.util_sum.get());
    cfs_rq.avg.util_sum.set(sum.saturating_sub(n) as u32);
}

/// A new entity: a task is taken for a busy one, so that it counts before it has run.
pub fn init_entity_runnable_average(se: Se) {
    se.avg.reset();
    if group_cfs_rq(se).is_none() {
        se.avg.load_avg.set(se_weight(se));
    }
}

/// A new task's utilisation: half of what its CPU has left at most. Its queue's is the only guide.
pub fn post_init_entity_util_avg(p: TaskRef) {
    let se = &p.se;
    let cfs_rq = cfs_rq_of(se);
    if !same_class(p.class(), &fair_sched_class) {
        // It never attached: were it to come to this class, its signal shall have faded meanwhile.
        se.avg.last_update_time.set(cfs_rq_clock_pelt(cfs_rq));
        return;
    }
    let util = cfs_rq.avg.util_avg.get();
    let cpu_scale = arch_scale_cpu_capacity(cpu_of(rq_of(cfs_rq)));
    let cap = (cpu_scale as i64 - util as i64) / 2;
    if cap > 0 {
        let cap = cap as u64;
        // The weight is not scaled down, so `cap` nearly always wins.
        let guess = util * se.load.weight.get() / (cfs_rq.avg.load_avg.get() + 1);
        se.avg
            .util_avg
            .set(if util != 0 { guess.min(cap) } else { cap });
    }
    se.avg.runnable_avg.set(se.avg.util_avg.get());
}

fn enqueue_load_avg(cfs_rq: Cfs, se: Se) {
    cfs_rq.avg.load_avg.add(se.avg.load_avg.get());
    cfs_rq
        .avg
        .load_sum
        .add(se_weight(se) * se.avg.load_sum.get());
}

fn dequeue_load_avg(cfs_rq: Cfs, se: Se) {
    sub_positive(&cfs_rq.avg.load_avg, se.avg.load_avg.get());
    sub_positive(&cfs_rq.avg.load_sum, se_weight(se) * se.avg.load_sum.get());
    raise_sum(&cfs_rq.avg.load_sum, &cfs_rq.avg.load_avg);
}

/// Changes an entity's weight in its queue's load. Called by `reweight_entity` around the change.
pub(super) fn reweight_load_avg(cfs_rq: Cfs, se: Se, change: impl FnOnce()) {
    dequeue_load_avg(cfs_rq, se);
    change();
    let divider = get_pelt_divider(&se.avg);
    se.avg
        .load_avg
        .set(se_weight(se) * se.avg.load_sum.get() / divider);
    enqueue_load_avg(cfs_rq, se);
}

/// The entity's signal becomes part of the queue's. It takes the queue's place in the period, so that the
/// two fade alike from here on.
fn attach_entity_load_avg(cfs_rq: Cfs, se: Se) {
    let divider = get_pelt_divider(&cfs_rq.avg);
    let sa = &se.avg;
    sa.last_update_time.set(cfs_rq.avg.last_update_time.get());
    sa.period_contrib.set(cfs_rq.avg.period_contrib.get());
    sa.util_sum.set((sa.util_avg.get() * divider) as u32);
    sa.runnable_sum.set(sa.runnable_avg.get() * divider);
    let load_sum = sa.load_avg.get() * divider;
    let weight = se_weight(se);
    sa.load_sum.set(if weight < load_sum {
        load_sum / weight
    } else {
        1
    });

    enqueue_load_avg(cfs_rq, se);
    cfs_rq.avg.util_avg.add(sa.util_avg.get());
    cfs_rq.avg.util_sum.add(sa.util_sum.get());
    cfs_rq.avg.runnable_avg.add(sa.runnable_avg.get());
    cfs_rq.avg.runnable_sum.add(sa.runnable_sum.get());
    add_tg_cfs_propagate(cfs_rq, sa.load_sum.get() as i64);
}

/// The entity's signal leaves the queue's.
fn detach_entity_load_avg(cfs_rq: Cfs, se: Se) {
    let (sa, sum) = (&se.avg, &cfs_rq.avg);
    dequeue_load_avg(cfs_rq, se);
    sub_positive(&sum.util_avg, sa.util_avg.get());
    sub_util_sum(cfs_rq, u64::from(sa.util_sum.get()));
    raise_util_sum(cfs_rq);
    sub_positive(&sum.runnable_avg, sa.runnable_avg.get());
    sub_positive(&sum.runnable_sum, sa.runnable_sum.get());
    raise_sum(&sum.runnable_sum, &sum.runnable_avg);
    add_tg_cfs_propagate(cfs_rq, -(sa.load_sum.get() as i64));
}

/// Brings an entity's and its queue's signals up to date, and attaches or detaches the entity.
#[inline(never)]
pub fn update_load_avg(cfs_rq: Cfs, se: Se, flags: i32) {
    let now = cfs_rq_clock_pelt(cfs_rq);
    if se.avg.last_update_time.get() != 0 && flags & SKIP_AGE_LOAD == 0 {
        __update_load_avg_se(now, cfs_rq, se);
    }
    let decayed = update_cfs_rq_load_avg(now, cfs_rq) | propagate_entity_load_avg(se);

    if se.avg.last_update_time.get() == 0 && flags & DO_ATTACH != 0 {
        // It comes from another CPU, or is new: the queue's total changed at once.
        attach_entity_load_avg(cfs_rq, se);
        update_tg_load_avg(cfs_rq);
    } else if flags & DO_DETACH != 0 {
        detach_entity_load_avg(cfs_rq, se);
        update_tg_load_avg(cfs_rq);
    } else if decayed && flags & UPDATE_TG != 0 {
        update_tg_load_avg(cfs_rq);
    }
}

/// Fades the queue's signal to `now` and takes out of it what left without the lock. True if the signal
/// moved.
#[inline(never)]
pub fn update_cfs_rq_load_avg(now: u64, cfs_rq: Cfs) -> bool {
    let mut decayed = false;
    let (sa, removed) = (&cfs_rq.avg, &cfs_rq.removed);
    if removed.nr.get() != 0 {
        let divider = get_pelt_divider(sa);
        raw_spin_lock(&removed.lock);
        let util = removed.util_avg.replace(0);
        let load = removed.load_avg.replace(0);
        let runnable = removed.runnable_avg.replace(0);
        removed.nr.set(0);
        raw_spin_unlock(&removed.lock);

        sub_positive(&sa.load_avg, load);
        sub_positive(&sa.load_sum, load * divider);
        raise_sum(&sa.load_sum, &sa.load_avg);
        sub_positive(&sa.util_avg, util);
        sub_util_sum(cfs_rq, util * divider);
        raise_util_sum(cfs_rq);
        sub_positive(&sa.runnable_avg, runnable);
        sub_positive(&sa.runnable_sum, runnable * divider);
        raise_sum(&sa.runnable_sum, &sa.runnable_avg);
        // The weights that left are not known one by one: their runnable time stands for them.
        add_tg_cfs_propagate(
            cfs_rq,
            -((runnable * divider) as i64) >> SCHED_CAPACITY_SHIFT,
        );
        decayed = true;
    }
    decayed | __update_load_avg_cfs_rq(now, cfs_rq)
}

/// When a queue's signal was brought up to date; read without the lock.
pub fn cfs_rq_last_update_time(cfs_rq: Cfs) -> u64 {
    cfs_rq.avg.last_update_time.get()
}

/// Brings the signal of an entity that is on no queue to the time of the queue it belongs to. Without the
/// runqueue's lock.
pub fn sync_entity_load_avg(se: Se) {
    __update_load_avg_blocked_se(cfs_rq_last_update_time(cfs_rq_of(se)), se);
}

/// The entity's signal leaves a queue whose lock is not held: the queue takes it out when it next looks.
pub fn remove_entity_load_avg(se: Se) {
    let removed = &cfs_rq_of(se).removed;
    sync_entity_load_avg(se);
    let _guard = removed.lock.lock_irqsave();
    removed.nr.inc();
    removed.util_avg.add(se.avg.util_avg.get());
    removed.load_avg.add(se.avg.load_avg.get());
    removed.runnable_avg.add(se.avg.runnable_avg.get());
}

/// An idle CPU's clock stands still; a task that slept there shall fade for that time too.
pub fn migrate_se_pelt_lag(se: Se) {
    if load_avg_is_decayed(se) {
        return;
    }
    let cfs_rq = cfs_rq_of(se);
    let rq = rq_of(cfs_rq);
    if !rq.curr.get().is_some_and(is_idle_task) {
        return;
    }
    // Throttled: it does not fade at all.
    let stood = cfs_rq.throttled_pelt_idle.get();
    if stood == u64::MAX {
        return;
    }
    // Base first, then the distance from it: a race makes the estimate old, never late.
    let base = rq.clock_pelt_idle.get().wrapping_sub(stood);
    let last = cfs_rq_last_update_time(cfs_rq);
    let now = if base < last {
        last
    } else {
        base + sched_clock_cpu(cpu_of(rq)).saturating_sub(rq.clock_idle.get())
    };
    __update_load_avg_blocked_se(now, se);
}

/// The task's signal leaves one queue for another: it fades to the old queue's time and takes the new
/// queue's.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn set_task_rq_fair(se: Se, prev: Option<Cfs>, next: Option<Cfs>) {
    let (Some(prev), Some(next)) = (prev, next) else {
        return;
    };
    if !sched_feat(SchedFeat::ATTACH_AGE_LOAD) {
        return;
    }
    // A new task has no time yet: it is attached where it wakes up.
    if se.avg.last_update_time.get() == 0 {
        return;
    }
    __update_load_avg_blocked_se(cfs_rq_last_update_time(prev), se);
    se.avg.last_update_time.set(cfs_rq_last_update_time(next));
}

/// Every level above the entity hears of a signal that joined or left.
fn propagate_entity_cfs_rq(se: Se) {
    let cfs_rq = cfs_rq_of(se);
    if cfs_rq_throttled(cfs_rq) {
        return;
    }
    if !throttled_hierarchy(cfs_rq) {
        list_add_leaf_cfs_rq(cfs_rq);
    }
    let mut at = parent_entity(se);
    while let Some(se) = at {
        let cfs_rq = cfs_rq_of(se);
        update_load_avg(cfs_rq, se, UPDATE_TG);
        if cfs_rq_throttled(cfs_rq) {
            break;
        }
        if !throttled_hierarchy(cfs_rq) {
            list_add_leaf_cfs_rq(cfs_rq);
        }
        at = parent_entity(se);
    }
}

fn detach_entity_cfs_rq(se: Se) {
    let cfs_rq = cfs_rq_of(se);
    // It is attached nowhere: new and not woken yet, or on its way to another CPU.
    if se.avg.last_update_time.get() == 0 {
        return;
    }
    update_load_avg(cfs_rq, se, 0);
    detach_entity_load_avg(cfs_rq, se);
    update_tg_load_avg(cfs_rq);
    propagate_entity_cfs_rq(se);
}

/// The task leaves the class or its group.
pub fn detach_task_cfs_rq(p: TaskRef) {
    detach_entity_cfs_rq(&p.se);
}

/// The task joins the class or a group.
pub fn attach_task_cfs_rq(p: TaskRef) {
    attach_entity_cfs_rq(&p.se);
}

/// The entity of a task or a group joins its queue's load.
pub fn attach_entity_cfs_rq(se: Se) {
    let cfs_rq = cfs_rq_of(se);
    let age = if sched_feat(SchedFeat::ATTACH_AGE_LOAD) {
        0
    } else {
        SKIP_AGE_LOAD
    };
    update_load_avg(cfs_rq, se, age);
    attach_entity_load_avg(cfs_rq, se);
    update_tg_load_avg(cfs_rq);
    propagate_entity_cfs_rq(se);
}

/// What a dequeue does to the signals: a task on its way to another CPU takes its own along.
pub fn dequeue_action(se: Se) -> i32 {
    let migrating = group_cfs_rq(se).is_none() && task_on_rq_migrating(task_of(se));
    if migrating {
        UPDATE_TG | DO_DETACH
    } else {
        UPDATE_TG
    }
}

fn load_avg_is_decayed(se: Se) -> bool {
    sums_are_decayed(&se.avg)
}

fn sums_are_decayed(sa: &SchedAvg) -> bool {
    sa.load_sum.get() == 0 && sa.util_sum.get() == 0 && sa.runnable_sum.get() == 0
}

/// Whether a queue has nothing left to fade.
pub fn cfs_rq_is_decayed(cfs_rq: Cfs) -> bool {
    cfs_rq.load.weight.get() == 0 && sums_are_decayed(&cfs_rq.avg) && !child_cfs_rq_on_list(cfs_rq)
}

/// Whether a group's entity has nothing that could fade and nothing to hear.
fn skip_blocked_update(se: Se) -> bool {
    let quiet = se.avg.load_avg.get() == 0 && se.avg.util_avg.get() == 0;
    quiet && group_cfs_rq(se).is_none_or(|gcfs_rq| gcfs_rq.propagate.get() == 0)
}

fn cfs_rq_has_blocked(cfs_rq: Cfs) -> bool {
    cfs_rq.avg.load_avg.get() != 0 || cfs_rq.avg.util_avg.get() != 0
}

fn others_have_blocked(rq: RqRef) -> bool {
    rq.avg_rt.util_avg.get() != 0 || rq.avg_dl.util_avg.get() != 0
}

fn __update_blocked_others(rq: RqRef) -> bool {
    let now = rq_clock_pelt(rq);
    let class = rq.current().class();
    update_rt_rq_load_avg(now, rq, same_class(class, &rt_sched_class));
    update_dl_rq_load_avg(now, rq, same_class(class, &dl_sched_class));
    !others_have_blocked(rq)
}

fn __update_blocked_fair(rq: RqRef) -> bool {
    let mut done = true;
    let cpu = cpu_of(rq);
    for cfs_rq in links(&rq.leaf_cfs_rq_list).map(LeafCfsRqLink::entry) {
        if update_cfs_rq_load_avg(cfs_rq_clock_pelt(cfs_rq), cfs_rq) {
            update_tg_load_avg(cfs_rq);
            if cfs_rq.nr_running.get() == 0 {
                update_idle_cfs_rq_clock_pelt(cfs_rq);
            }
        }
        if let Some(se) = cfs_rq.tg().se.per_cpu(cpu).get()
            && !skip_blocked_update(se)
        {
            update_load_avg(cfs_rq_of(se), se, UPDATE_TG);
        }
        if cfs_rq_is_decayed(cfs_rq) {
            list_del_leaf_cfs_rq(cfs_rq);
        }
        if cfs_rq_has_blocked(cfs_rq) {
            done = false;
        }
    }
    done
}

/// Fades everything on a CPU that does not move by itself: sleepers' load is in their queue's sum.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn update_blocked_averages(cpu: u32) {
    let rq = cpu_rq(cpu);
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    rq.last_blocked_load_update_tick.set(jiffies());
    update_rq_clock(rq);
    let done = __update_blocked_others(rq) & __update_blocked_fair(rq);
    if done {
        rq.has_blocked_load.set(0);
    }
    rq_unlock_irqrestore(rq, &rf);
}
