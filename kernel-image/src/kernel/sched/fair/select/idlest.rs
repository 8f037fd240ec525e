//! The slow way: from the widest domain down, the least busy group and in it the least busy CPU.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `find_idlest_cpu`, `find_idlest_group`, `update_sg_wakeup_stats`.
//! Kept: all rules. Left out: NUMA's allowance, idle states (the machine has one), core cookies.
//! Differs: nothing else. Locks: the task's `pi_lock`.

use super::available_idle_cpu;
use crate::fence::shared::Shared;
use crate::include::linux::sched::topology::{
    SD_ASYM_CPUCAPACITY, SD_BALANCE_FORK, SdRef, sched_domain_span,
};
use crate::include::linux::sched::{TaskRef, same_task, task_cpu};
use crate::kernel::sched::fair::balance::stats::{GroupType, SgLbStats, group_classify};
use crate::kernel::sched::fair::capacity::task_fits_cpu;
use crate::kernel::sched::fair::load::demand::{
    cpu_load, cpu_load_without, cpu_runnable_without, cpu_util_without,
};
use crate::kernel::sched::fair::load::sync_entity_load_avg;
use crate::kernel::sched::fair::sched_idle_cpu;
use crate::kernel::sched::sched::{
    NICE_0_LOAD, SCHED_CAPACITY_SCALE, SchedGroup, cpu_rq, scale_load_down, sched_group_span,
    task_on_rq_queued,
};
use crate::kernel::sched::topology::for_each_domain;

type Sg = &'static SchedGroup;

/// The least busy CPU of a domain and the domains below.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub fn find_idlest_cpu(sd: SdRef, p: TaskRef, mut cpu: u32, prev_cpu: u32, sd_flag: u32) -> u32 {
    let mut new_cpu = cpu;
    if !sched_domain_span(sd).intersects(p.allowed()) {
        return prev_cpu;
    }
    // A new task's signal is new.
    if sd_flag & SD_BALANCE_FORK == 0 {
        sync_entity_load_avg(&p.se);
    }
    let mut at = Some(sd);
    while let Some(sd) = at {
        let better = if sd.has(sd_flag) {
            find_idlest_group(sd, p, cpu)
                .map(|group| find_idlest_group_cpu(group, p, cpu))
                .filter(|&better| better != cpu)
        } else {
            None
        };
        let Some(better) = better else {
            // Here is as good as anywhere at this level.
            at = sd.child.get();
            continue;
        };
        // Go on below this level, on that CPU's side.
        new_cpu = better;
        cpu = better;
        let weight = sd.span_weight.get();
        at = for_each_domain(cpu)
            .take_while(|tmp| tmp.span_weight.get() < weight)
            .filter(|tmp| tmp.has(sd_flag))
            .last();
    }
    new_cpu
}

/// The CPU of a group that is idle for the shortest time (its cache is the warmest), else the least loaded.
fn find_idlest_group_cpu(group: Sg, p: TaskRef, this_cpu: u32) -> u32 {
    let span = sched_group_span(group);
    if group.group_weight.get() == 1 {
        return span.first();
    }
    let (mut shallowest_idle_cpu, mut latest_idle_timestamp) = (None, 0);
    let (mut least_loaded_cpu, mut min_load) = (this_cpu, u64::MAX);
    for i in span.and(p.allowed()).iter() {
        if sched_idle_cpu(i) {
            return i;
        }
        if available_idle_cpu(i) {
            let idle_stamp = cpu_rq(i).idle_stamp.get();
            if idle_stamp > latest_idle_timestamp {
                latest_idle_timestamp = idle_stamp;
                shallowest_idle_cpu = Some(i);
            }
        } else if shallowest_idle_cpu.is_none() {
            let load = cpu_load(cpu_rq(i));
            if load < min_load {
                min_load = load;
                least_loaded_cpu = i;
            }
        }
    }
    shallowest_idle_cpu.unwrap_or(least_loaded_cpu)
}

/// The least busy group, or None if it is the CPU's own.
fn find_idlest_group(sd: SdRef, p: TaskRef, this_cpu: u32) -> Option<Sg> {
    let mut local: Option<(Sg, SgLbStats)> = None;
    let mut idlest: Option<(Sg, SgLbStats)> = None;
    for group in sd.local_group().circle() {
        let span = sched_group_span(group);
        if !span.intersects(p.allowed()) {
            continue;
        }
        let sgs = update_sg_wakeup_stats(sd, group, p);
        if span.test(this_cpu) {
            local = Some((group, sgs));
        } else if update_pick_idlest(idlest.as_ref(), group, &sgs) {
            idlest = Some((group, sgs));
        }
    }
    let (idlest, idlest_sgs) = idlest?;
    let Some((local, local_sgs)) = local else {
        // The task may not run in ours.
        return Some(idlest);
    };
    let pct = u64::from(sd.imbalance_pct.get());
    let capacities = (
        local.sgc().max_capacity.get(),
        idlest.sgc().max_capacity.get(),
    );
    (!stays_local(pct, &local_sgs, &idlest_sgs, capacities)).then_some(idlest)
}

/// Whether the local group is as good as the least busy other one; greatest capacities of both.
pub fn stays_local(
    imbalance_pct: u64,
    local: &SgLbStats,
    idlest: &SgLbStats,
    (local_capacity, idlest_capacity): (u64, u64),
) -> bool {
    if local.group_type != idlest.group_type {
        return local.group_type < idlest.group_type;
    }
    match local.group_type {
        GroupType::Overloaded | GroupType::FullyBusy => {
            let imbalance = scale_load_down(NICE_0_LOAD) * (imbalance_pct - 100) / 100;
            // Not for a small difference.
            idlest.avg_load >= local.avg_load + imbalance
                || 100 * local.avg_load <= imbalance_pct * idlest.avg_load
        }
        GroupType::Imbalanced | GroupType::AsymPacking | GroupType::SmtBalance => true,
        GroupType::MisfitTask => local_capacity >= idlest_capacity,
        GroupType::HasSpare => local.idle_cpus >= idlest.idle_cpus,
    }
}

/// Whether a group is less busy than the least busy one so far.
fn update_pick_idlest(idlest: Option<&(Sg, SgLbStats)>, group: Sg, sgs: &SgLbStats) -> bool {
    let Some((idlest, idlest_sgs)) = idlest else {
        // Anything is less busy than an overloaded group of boundless load.
        return true;
    };
    if sgs.group_type != idlest_sgs.group_type {
        return sgs.group_type < idlest_sgs.group_type;
    }
    match sgs.group_type {
        GroupType::Overloaded | GroupType::FullyBusy => idlest_sgs.avg_load > sgs.avg_load,
        GroupType::Imbalanced | GroupType::AsymPacking | GroupType::SmtBalance => false,
        GroupType::MisfitTask => idlest.sgc().max_capacity.get() < group.sgc().max_capacity.get(),
        GroupType::HasSpare => {
            (sgs.idle_cpus, core::cmp::Reverse(sgs.group_util))
                > (
                    idlest_sgs.idle_cpus,
                    core::cmp::Reverse(idlest_sgs.group_util),
                )
        }
    }
}

/// A group as it is without the task.
fn update_sg_wakeup_stats(sd: SdRef, group: Sg, p: TaskRef) -> SgLbStats {
    let mut sgs = SgLbStats::new();
    let asym = sd.has(SD_ASYM_CPUCAPACITY);
    // A misfit everywhere until a CPU is found that it fits.
    let mut misfit = asym;
    for i in sched_group_span(group).iter() {
        let rq = cpu_rq(i);
        sgs.group_load += cpu_load_without(rq, p);
        sgs.group_util += cpu_util_without(i, p);
        sgs.group_runnable += cpu_runnable_without(rq, p);
        let local = u32::from(task_running_on_cpu(i, p));
        sgs.sum_h_nr_running += count_without(&rq.cfs.h_nr_running, local);
        let nr_running = count_without(&rq.nr_running, local);
        sgs.sum_nr_running += nr_running;
        if nr_running == 0 && idle_cpu_without(i, p) {
            sgs.idle_cpus += 1;
        }
        misfit = misfit && !task_fits_cpu(p, i);
    }
    sgs.group_misfit_task_load = u64::from(misfit);
    sgs.group_capacity = group.sgc().capacity.get();
    sgs.group_weight = group.group_weight.get();
    sgs.group_type = group_classify(
        u64::from(sd.imbalance_pct.get()),
        group.sgc().imbalance.get() != 0,
        &sgs,
    );
    if matches!(sgs.group_type, GroupType::FullyBusy | GroupType::Overloaded) {
        sgs.avg_load = sgs.group_load * SCHED_CAPACITY_SCALE / sgs.group_capacity;
    }
    sgs
}

fn count_without(count: &Shared<u32>, local: u32) -> u32 {
    count.get().saturating_sub(local)
}

/// Whether the task is one of a CPU's, and counted there.
fn task_running_on_cpu(cpu: u32, p: TaskRef) -> bool {
    cpu == task_cpu(p) && p.se.avg.last_update_time.get() != 0 && task_on_rq_queued(p)
}

/// Whether a CPU would be idle without the task.
fn idle_cpu_without(cpu: u32, p: TaskRef) -> bool {
    let rq = cpu_rq(cpu);
    let curr = rq.current();
    (same_task(curr, rq.idle_task()) || same_task(curr, p)) && rq.ttwu_pending.get() == 0
}
