//! Load tracking of fair entities: who attaches to which queue with how much, groups' signals, what a task
//! is expected to need, and the numbers that load balancing reads.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `init_entity_runnable_average` to `update_blocked_averages`,
//! `calc_group_shares`, `update_tg_load_avg`, `util_est_*`, `task_h_load`, `cpu_load`, `cpu_util`.
//! Kept: attach and detach, what leaves without the lock (`removed`), propagation to a group's entity, the
//! list of queues that have something to fade. Left out: uclamp, thermal pressure, asymmetric capacities.
//! Differs: nothing else. The arithmetic of the series is in `sched/pelt.rs`.
//! Locks: the runqueue's lock, unless said otherwise; `removed` has its own inside it.

use super::{cfs_rq_of, fair_sched_class, group_cfs_rq, parent_entity, rq_of, task_of};
use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::cpu_active;
use crate::include::linux::jiffies::jiffies;
use crate::include::linux::ktime::NSEC_PER_MSEC;
use crate::include::linux::list::{links, list_add, list_add_tail, list_del};
use crate::include::linux::sched::{
    LeafCfsRqLink, SchedAvg, SchedEntity, TaskRef, is_idle_task, same_task, task_cpu,
};
use crate::include::linux::spinlock::{raw_spin_lock, raw_spin_unlock};
use crate::kernel::sched::clock::sched_clock_cpu;
use crate::kernel::sched::core::group::for_each_task_group;
use crate::kernel::sched::deadline::dl_sched_class;
use crate::kernel::sched::pelt::{
    __update_load_avg_blocked_se, __update_load_avg_cfs_rq, __update_load_avg_se, PELT_MIN_DIVIDER,
    UTIL_AVG_UNCHANGED, cfs_rq_clock_pelt, get_pelt_divider, rq_clock_pelt, update_dl_rq_load_avg,
    update_rt_rq_load_avg,
};
use crate::kernel::sched::rt::rt_sched_class;
use crate::kernel::sched::sched::{
    CfsRq, RqFlags, RqRef, SCHED_CAPACITY_SCALE, SCHED_CAPACITY_SHIFT, cpu_of, cpu_rq,
    root_task_group, rq_lock_irqsave, rq_unlock_irqrestore, same_class, same_tg, scale_load_down,
    task_on_rq_migrating, task_on_rq_queued, update_rq_clock,
};
use core::sync::atomic::Ordering;

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

/// The smallest weight of a group's entity.
pub const MIN_SHARES: u64 = 1 << 1;

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

/// A sum may not say less than its average.
fn raise_sum(sum: &Shared<u64>, avg: &Shared<u64>) {
    sum.set(sum.get().max(avg.get() * PELT_MIN_DIVIDER));
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
    let cap = (SCHED_CAPACITY_SCALE as i64 - util as i64) / 2;
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
    // Base first, then the distance from it: a race makes the estimate old, never late.
    let base = rq.clock_pelt_idle.get();
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
    // A new task has no time yet: it is attached where it wakes up.
    if se.avg.last_update_time.get() == 0 {
        return;
    }
    __update_load_avg_blocked_se(cfs_rq_last_update_time(prev), se);
    se.avg.last_update_time.set(cfs_rq_last_update_time(next));
}

/// Every level above the entity hears of a signal that joined or left.
fn propagate_entity_cfs_rq(se: Se) {
    list_add_leaf_cfs_rq(cfs_rq_of(se));
    let mut at = parent_entity(se);
    while let Some(se) = at {
        let cfs_rq = cfs_rq_of(se);
        update_load_avg(cfs_rq, se, UPDATE_TG);
        list_add_leaf_cfs_rq(cfs_rq);
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
    update_load_avg(cfs_rq, se, 0);
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

// Groups.

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
    let shares = calc_group_shares(gcfs_rq);
    if se.load.weight.get() != shares {
        super::entity::reweight_entity(cfs_rq_of(se), se, shares);
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
fn add_tg_cfs_propagate(cfs_rq: Cfs, runnable_sum: i64) {
    cfs_rq.propagate.set(1);
    cfs_rq.prop_runnable_sum.add(runnable_sum);
}

/// Carries what changed in a group's queue over to the group's entity and to the queue that is on.
fn propagate_entity_load_avg(se: Se) -> bool {
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
    let new_sum = sa.runnable_avg.get() * get_pelt_divider(sum);
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

// Queues with something to fade, children before parents.

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
fn child_cfs_rq_on_list(cfs_rq: Cfs) -> bool {
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

fn load_avg_is_decayed(se: Se) -> bool {
    sums_are_decayed(&se.avg)
}

fn sums_are_decayed(sa: &SchedAvg) -> bool {
    sa.load_sum.get() == 0 && sa.util_sum.get() == 0 && sa.runnable_sum.get() == 0
}

fn cfs_rq_is_decayed(cfs_rq: Cfs) -> bool {
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

// What a task is expected to need.

/// An estimate is not worth a change below this.
const UTIL_EST_MARGIN: u64 = SCHED_CAPACITY_SCALE / 100;
/// A new value weighs a quarter.
const UTIL_EST_WEIGHT_SHIFT: u32 = 2;

/// A task's utilisation.
pub fn task_util(p: TaskRef) -> u64 {
    p.se.avg.util_avg.get()
}

/// How long a task ran or waited to.
pub fn task_runnable(p: TaskRef) -> u64 {
    p.se.avg.runnable_avg.get()
}

/// The estimate alone.
pub fn _task_util_est(p: TaskRef) -> u64 {
    u64::from(p.se.avg.util_est.get() & !UTIL_AVG_UNCHANGED)
}

/// The larger of the signal and the estimate.
pub fn task_util_est(p: TaskRef) -> u64 {
    task_util(p).max(_task_util_est(p))
}

/// The task's estimate joins the CPU's.
pub fn util_est_enqueue(cfs_rq: Cfs, p: TaskRef) {
    cfs_rq.avg.util_est.add(_task_util_est(p) as u32);
}

/// And leaves it.
pub fn util_est_dequeue(cfs_rq: Cfs, p: TaskRef) {
    let sum = cfs_rq.avg.util_est.get();
    cfs_rq
        .avg
        .util_est
        .set(sum.saturating_sub(_task_util_est(p) as u32));
}

/// A task that falls asleep leaves an estimate of what it needs: the mean of its past activations, a
/// larger need believed at once.
pub fn util_est_update(p: TaskRef, task_sleep: bool) {
    if !task_sleep {
        return;
    }
    let ewma = p.se.avg.util_est.get();
    // Its signal has not moved since the last time.
    if ewma & UTIL_AVG_UNCHANGED != 0 {
        return;
    }
    let (ewma, dequeued) = (u64::from(ewma), task_util(p));
    let new = if ewma <= dequeued {
        dequeued
    } else if ewma - dequeued < UTIL_EST_MARGIN || dequeued + UTIL_EST_MARGIN < task_runnable(p) {
        // Close enough; or it waited for the CPU, so the signal is too small.
        ewma
    } else if dequeued > SCHED_CAPACITY_SCALE {
        return;
    } else {
        ((ewma << UTIL_EST_WEIGHT_SHIFT) - (ewma - dequeued)) >> UTIL_EST_WEIGHT_SHIFT
    };
    p.se.avg.util_est.set(new as u32 | UTIL_AVG_UNCHANGED);
}

// What load balancing reads, without the lock.

/// A queue's load.
pub fn cfs_rq_load_avg(cfs_rq: Cfs) -> u64 {
    cfs_rq.avg.load_avg.get()
}

/// The load of a CPU's fair tasks.
pub fn cpu_load(rq: RqRef) -> u64 {
    cfs_rq_load_avg(&rq.cfs)
}

/// The same without a task that may be part of it.
pub fn cpu_load_without(rq: RqRef, p: TaskRef) -> u64 {
    let load = cpu_load(rq);
    if !counts_on(rq, p) {
        return load;
    }
    load.saturating_sub(task_h_load(p))
}

/// How many fair tasks of a CPU run or wait, x 1024.
pub fn cpu_runnable(rq: RqRef) -> u64 {
    rq.cfs.avg.runnable_avg.get()
}

/// The same without a task that may be part of it.
pub fn cpu_runnable_without(rq: RqRef, p: TaskRef) -> u64 {
    let runnable = cpu_runnable(rq);
    if !counts_on(rq, p) {
        return runnable;
    }
    runnable.saturating_sub(task_runnable(p))
}

/// Whether a task's signal is part of the CPU's.
fn counts_on(rq: RqRef, p: TaskRef) -> bool {
    cpu_of(rq) == task_cpu(p) && p.se.avg.last_update_time.get() != 0
}

/// How much of a CPU its fair tasks use or are expected to, at most all of it. With `p`, as if the task
/// were on `dst_cpu` and nowhere else. `boost`: waiting counts as use.
pub fn cpu_util(cpu: u32, p: Option<TaskRef>, dst_cpu: Option<u32>, boost: bool) -> u64 {
    let cfs_rq = &cpu_rq(cpu).cfs;
    let mut util = cfs_rq.avg.util_avg.get();
    if boost {
        util = util.max(cfs_rq.avg.runnable_avg.get());
    }
    let is_dst = dst_cpu == Some(cpu);
    if let Some(p) = p {
        if task_cpu(p) == cpu && !is_dst {
            util = util.saturating_sub(task_util(p));
        } else if task_cpu(p) != cpu && is_dst {
            util += task_util(p);
        }
    }
    let mut util_est = u64::from(cfs_rq.avg.util_est.get());
    if let Some(p) = p {
        if is_dst {
            util_est += _task_util_est(p);
        } else if task_on_rq_queued(p) || same_task(current(), p) {
            // It is about to be part of the estimate twice.
            util_est = util_est.saturating_sub(_task_util_est(p));
        }
    }
    util.max(util_est).min(SCHED_CAPACITY_SCALE)
}

/// A CPU's utilisation by fair tasks.
pub fn cpu_util_cfs(cpu: u32) -> u64 {
    cpu_util(cpu, None, None, false)
}

/// The same, waiting counting as use.
pub fn cpu_util_cfs_boost(cpu: u32) -> u64 {
    cpu_util(cpu, None, None, true)
}

/// The same without a task that may be part of it.
pub fn cpu_util_without(cpu: u32, p: TaskRef) -> u64 {
    // A task that never was here is no part of it.
    let p = Some(p).filter(|p| cpu == task_cpu(p) && p.se.avg.last_update_time.get() != 0);
    cpu_util(cpu, p, None, false)
}

/// What the real-time class uses of a CPU.
pub fn cpu_util_rt(rq: RqRef) -> u64 {
    rq.avg_rt.util_avg.get()
}

/// What the deadline class uses of a CPU.
pub fn cpu_util_dl(rq: RqRef) -> u64 {
    rq.avg_dl.util_avg.get()
}

/// Computes how much of the CPU's load hangs on a group's queue, from the root down, once a tick.
fn update_cfs_rq_h_load(cfs_rq: Cfs) {
    let rq = rq_of(cfs_rq);
    let now = jiffies();
    if cfs_rq.last_h_load_update.get() == now {
        return;
    }
    // Up to a queue that is up to date, noting the way back.
    let mut at = cfs_rq;
    at.h_load_next.set(None);
    let mut up = at.tg().se.per_cpu(cpu_of(rq)).get();
    while let Some(se) = up {
        at = cfs_rq_of(se);
        at.h_load_next.set(Some(se));
        if at.last_h_load_update.get() == now {
            break;
        }
        up = parent_entity(se);
    }
    if up.is_none() {
        at.h_load.set(cfs_rq_load_avg(at));
        at.last_h_load_update.set(now);
    }
    while let Some(se) = at.h_load_next.get() {
        let load = at.h_load.get() * se.avg.load_avg.get() / (cfs_rq_load_avg(at) + 1);
        let Some(below) = group_cfs_rq(se) else {
            return;
        };
        at = below;
        at.h_load.set(load);
        at.last_h_load_update.set(now);
    }
}

/// A task's part of its CPU's load, its groups' weights taken into account.
pub fn task_h_load(p: TaskRef) -> u64 {
    let cfs_rq = cfs_rq_of(&p.se);
    update_cfs_rq_h_load(cfs_rq);
    p.se.avg.load_avg.get() * cfs_rq.h_load.get() / (cfs_rq_load_avg(cfs_rq) + 1)
}
