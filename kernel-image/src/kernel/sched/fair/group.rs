//! The fair class's half of a group of tasks: its queues and entities, its weight.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `alloc_fair_sched_group` to `sched_group_set_idle`.
//! Kept: a queue and an entity for every possible CPU, shares, idle groups. Differs:
//! what a group had is kept with its slot and used again by the next group (`core/group.rs`).
//! Locks: `shares_mutex` orders changes of a group's weight; the runqueue's lock inside it.

extern crate alloc;

use super::bandwidth::{
    destroy_cfs_bandwidth, init_cfs_bandwidth, init_cfs_rq_runtime, sync_throttle,
};
use super::load::{
    MIN_SHARES, UPDATE_TG, attach_entity_cfs_rq, init_entity_runnable_average,
    list_del_leaf_cfs_rq, remove_entity_load_avg, update_cfs_group, update_load_avg,
};
use super::{cfs_rq_is_idle, cfs_rq_of, for_each_sched_entity, init_cfs_rq};
use crate::WARN_ON_ONCE;
use crate::include::linux::cpumask::cpu_possible_mask;
use crate::include::linux::errno::EINVAL;
use crate::include::linux::mutex::Mutex;
use crate::include::linux::sched::SchedEntity;
use crate::include::linux::sched::stats::SchedStatistics;
use crate::kernel::sched::sched::{
    CfsRq, NICE_0_LOAD, RqFlags, RqRef, TaskGroup, WEIGHT_IDLEPRIO, cpu_rq, root_task_group,
    rq_lock_irqsave, rq_unlock_irqrestore, same_tg, scale_load, update_rq_clock,
};
use crate::kernel::sched::stats::{__schedstats_from_se, SchedEntityStats};
use alloc::boxed::Box;

/// The largest weight of a group.
const MAX_SHARES: u64 = 1 << 18;

static shares_mutex: Mutex = Mutex::new();

/// Gives a new group its queues and entities, one of each a possible CPU, in no list yet.
pub fn alloc_fair_sched_group(tg: &'static TaskGroup, parent: &'static TaskGroup) {
    tg.shares.set(NICE_0_LOAD);
    tg.idle.set(0);
    init_cfs_bandwidth(&tg.cfs_bandwidth);
    for cpu in cpu_possible_mask().iter() {
        let (cfs_rq, se) = match (tg.cfs_rq.per_cpu(cpu).get(), tg.se.per_cpu(cpu).get()) {
            (Some(cfs_rq), Some(se)) => {
                renew_cfs_rq(cfs_rq);
                renew_entity(se);
                (cfs_rq, se)
            }
            _ => (
                &*Box::leak(Box::new(CfsRq::new())),
                &Box::leak(Box::new(SchedEntityStats {
                    se: SchedEntity::new(),
                    stats: SchedStatistics::new(),
                }))
                .se,
            ),
        };
        init_cfs_rq(cfs_rq);
        let above = parent.se.per_cpu(cpu).get();
        init_tg_cfs_entry(tg, cfs_rq, Some(se), cpu_rq(cpu), cpu, above);
        init_entity_runnable_average(se);
    }
}

/// What an earlier group left in its queue: it is empty, but its signals may not have faded.
fn renew_cfs_rq(cfs_rq: &'static CfsRq) {
    WARN_ON_ONCE!(cfs_rq.nr_running.get() != 0 || cfs_rq.h_nr_running.get() != 0);
    cfs_rq.load.inv_weight.set(0);
    cfs_rq.avg.reset();
    let removed = &cfs_rq.removed;
    removed.nr.set(0);
    for cell in [
        &removed.load_avg,
        &removed.util_avg,
        &removed.runnable_avg,
        &cfs_rq.last_update_tg_load_avg,
        &cfs_rq.tg_load_avg_contrib,
        &cfs_rq.h_load,
        &cfs_rq.last_h_load_update,
    ] {
        cell.set(0);
    }
    cfs_rq.avg_vruntime.set(0);
    cfs_rq.propagate.set(0);
    cfs_rq.prop_runnable_sum.set(0);
    cfs_rq.next.set(None);
    cfs_rq.h_load_next.set(None);
    cfs_rq.idle.set(0);
}

/// The same for an entity.
fn renew_entity(se: &'static SchedEntity) {
    for cell in [
        &se.deadline,
        &se.exec_start,
        &se.sum_exec_runtime,
        &se.prev_sum_exec_runtime,
        &se.vruntime,
        &se.nr_migrations,
        &se.runnable_weight,
    ] {
        cell.set(0);
    }
    se.vlag.set(0);
    __schedstats_from_se(se).reset();
}

/// Makes a queue the group's queue of a CPU, and an entity its entity there, below the entity `parent` or
/// on the runqueue itself. The root group has no entity.
pub fn init_tg_cfs_entry(
    tg: &'static TaskGroup,
    cfs_rq: &'static CfsRq,
    se: Option<&'static SchedEntity>,
    rq: RqRef,
    cpu: u32,
    parent: Option<&'static SchedEntity>,
) {
    cfs_rq.rq.set(Some(rq));
    cfs_rq.tg.set(Some(tg));
    init_cfs_rq_runtime(cfs_rq);
    tg.cfs_rq.per_cpu(cpu).set(Some(cfs_rq));
    tg.se.per_cpu(cpu).set(se);
    let Some(se) = se else { return };
    match parent {
        None => {
            se.cfs_rq.set(Some(&rq.cfs));
            se.depth.set(0);
        }
        Some(parent) => {
            se.cfs_rq.set(parent.my_q.get());
            se.depth.set(parent.depth.get() + 1);
        }
    }
    se.my_q.set(Some(cfs_rq));
    // A real weight from the start: it divides before the first task comes.
    se.load.weight.set(NICE_0_LOAD);
    se.load.inv_weight.set(0);
    se.parent.set(parent);
}

/// The group can have tasks now: its entities join their queues' load.
pub fn online_fair_sched_group(tg: &'static TaskGroup) {
    for cpu in cpu_possible_mask().iter() {
        let Some(se) = tg.se.per_cpu(cpu).get() else {
            continue;
        };
        let rq = cpu_rq(cpu);
        let mut rf = RqFlags::new();
        rq_lock_irqsave(rq, &mut rf);
        update_rq_clock(rq);
        attach_entity_cfs_rq(se);
        sync_throttle(tg, cpu);
        rq_unlock_irqrestore(rq, &rf);
    }
}

/// The group has no tasks any more: its entities' load leaves, and its queues leave the CPUs' lists.
pub fn unregister_fair_sched_group(tg: &'static TaskGroup) {
    destroy_cfs_bandwidth(tg);
    for cpu in cpu_possible_mask().iter() {
        if let Some(se) = tg.se.per_cpu(cpu).get() {
            remove_entity_load_avg(se);
        }
        let cfs_rq = tg.cfs_rq_on(cpu);
        // Nobody can add it again: it has no task.
        if cfs_rq.on_list.get() == 0 {
            continue;
        }
        let rq = cpu_rq(cpu);
        let mut rf = RqFlags::new();
        rq_lock_irqsave(rq, &mut rf);
        list_del_leaf_cfs_rq(cfs_rq);
        rq_unlock_irqrestore(rq, &rf);
    }
}

fn __sched_group_set_shares(tg: &'static TaskGroup, shares: u64) -> i32 {
    // The root group has no entity that could have a weight.
    if same_tg(tg, &root_task_group) {
        return -EINVAL;
    }
    let shares = shares.clamp(scale_load(MIN_SHARES), scale_load(MAX_SHARES));
    if tg.shares.get() == shares {
        return 0;
    }
    tg.shares.set(shares);
    for cpu in cpu_possible_mask().iter() {
        let rq = cpu_rq(cpu);
        let mut rf = RqFlags::new();
        rq_lock_irqsave(rq, &mut rf);
        update_rq_clock(rq);
        for se in for_each_sched_entity(tg.se.per_cpu(cpu).get()) {
            update_load_avg(cfs_rq_of(se), se, UPDATE_TG);
            update_cfs_group(se);
        }
        rq_unlock_irqrestore(rq, &rf);
    }
    0
}

/// Gives a group a weight (`scale_load` of the number that user space knows, 1024 for an ordinary one).
///
/// # Returns
/// 0; -EINVAL for the root group and for one that is idle.
pub fn sched_group_set_shares(tg: &'static TaskGroup, shares: u64) -> i32 {
    shares_mutex.lock();
    let ret = if tg.idle.get() > 0 {
        -EINVAL
    } else {
        __sched_group_set_shares(tg, shares)
    };
    shares_mutex.unlock();
    ret
}

/// Makes a group one that runs when nothing else does, or an ordinary one.
///
/// # Returns
/// 0; -EINVAL for the root group and for a number that is not 0 or 1.
pub fn sched_group_set_idle(tg: &'static TaskGroup, idle: i32) -> i32 {
    if same_tg(tg, &root_task_group) || !(0..=1).contains(&idle) {
        return -EINVAL;
    }
    shares_mutex.lock();
    if tg.idle.get() != idle {
        tg.idle.set(idle);
        for cpu in cpu_possible_mask().iter() {
            let rq = cpu_rq(cpu);
            let mut rf = RqFlags::new();
            rq_lock_irqsave(rq, &mut rf);
            set_idle_on(tg, cpu, idle);
            rq_unlock_irqrestore(rq, &rf);
        }
        let weight = if idle > 0 {
            scale_load(WEIGHT_IDLEPRIO)
        } else {
            NICE_0_LOAD
        };
        __sched_group_set_shares(tg, weight);
    }
    shares_mutex.unlock();
    0
}

/// One CPU: the counts of the queues above follow.
fn set_idle_on(tg: &'static TaskGroup, cpu: u32, idle: i32) {
    let cfs_rq = tg.cfs_rq_on(cpu);
    cfs_rq.idle.set(idle);
    // What did not count as idle above while the group was an ordinary one.
    let others = cfs_rq.h_nr_running.get() - cfs_rq.idle_h_nr_running.get();
    for (level, se) in for_each_sched_entity(tg.se.per_cpu(cpu).get()).enumerate() {
        if se.on_rq.get() == 0 {
            break;
        }
        let above = cfs_rq_of(se);
        if idle > 0 {
            above.idle_h_nr_running.add(others);
        } else {
            above.idle_h_nr_running.sub(others);
        }
        if level == 0 {
            if idle > 0 {
                above.idle_nr_running.inc();
            } else {
                above.idle_nr_running.dec();
            }
        }
        // An idle group above counted them already.
        if cfs_rq_is_idle(above) {
            break;
        }
    }
}
