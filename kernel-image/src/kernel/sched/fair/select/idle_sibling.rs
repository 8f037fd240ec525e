//! The fast way: an idle CPU that shares the target's cache.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `select_idle_sibling`, `select_idle_cpu`, `select_idle_core`,
//! `select_idle_smt`, `select_idle_capacity`. Kept: the order of candidates, whole cores first, the limit of
//! the search by how busy the cache's CPUs are (SIS_UTIL). Left out: clusters between core and cache (on this
//! machine a cluster is a core), core cookies. Differs: nothing else.
//! Locks: the task's `pi_lock`, interrupts off.

use super::available_idle_cpu;
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::smpboot::cpu_smt_mask;
use crate::include::linux::cpumask::Cpumask;
use crate::include::linux::preempt::in_task;
use crate::include::linux::sched::TaskRef;
use crate::include::linux::sched::topology::{SdRef, sched_domain_span};
use crate::kernel::sched::core::hotplug::sched_smt_active;
use crate::kernel::sched::fair::capacity::{capacity_of, fits_capacity, util_fits_cpu};
use crate::kernel::sched::fair::load::demand::task_util_est;
use crate::kernel::sched::fair::load::sync_entity_load_avg;
use crate::kernel::sched::fair::sched_idle_cpu;
use crate::kernel::sched::features::{SchedFeat, sched_feat};
use crate::kernel::sched::sched::{RqRef, cpu_of, is_kthread, this_rq};
use crate::kernel::sched::topology::build::for_each_cpu_wrap;
use crate::kernel::sched::topology::{
    cpus_share_cache, sched_asym_cpucap_active, sd_asym_cpucapacity, sd_llc, sd_llc_shared,
};

/// Idle, or as good as idle.
fn idle_enough(cpu: u32) -> bool {
    available_idle_cpu(cpu) || sched_idle_cpu(cpu)
}

/// An idle CPU near the target, or the target.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub fn select_idle_sibling(p: TaskRef, prev: u32, target: u32) -> u32 {
    let asym = sched_asym_cpucap_active();
    let task_util = if asym {
        sync_entity_load_avg(&p.se);
        task_util_est(p)
    } else {
        0
    };
    let fits = |cpu: u32| !asym || util_fits_cpu(task_util, cpu);

    if idle_enough(target) && fits(target) {
        return target;
    }
    if prev != target && cpus_share_cache(prev, target) && idle_enough(prev) && fits(prev) {
        return prev;
    }
    // A per-CPU kernel thread that does somebody's work on his behalf: it is about to sleep.
    if is_per_cpu_kthread(current())
        && in_task()
        && prev == raw_smp_processor_id()
        && this_rq().nr_running.get() <= 1
        && fits(prev)
    {
        return prev;
    }
    let recent_used_cpu = p.recent_used_cpu.get() as u32;
    p.recent_used_cpu.set(prev as i32);
    if recent_used_cpu != prev
        && recent_used_cpu != target
        && cpus_share_cache(recent_used_cpu, target)
        && idle_enough(recent_used_cpu)
        && p.allowed().test(recent_used_cpu)
        && fits(recent_used_cpu)
    {
        return recent_used_cpu;
    }
    if asym && let Some(sd) = sd_asym_cpucapacity.per_cpu(target).get() {
        return select_idle_capacity(p, sd, target).unwrap_or(target);
    }
    let Some(sd) = sd_llc.per_cpu(target).get() else {
        return target;
    };
    let mut has_idle_core = false;
    if sched_smt_active() {
        has_idle_core = test_idle_cores(target);
        if !has_idle_core
            && cpus_share_cache(prev, target)
            && let Some(i) = select_idle_smt(p, sd, prev)
        {
            return i;
        }
    }
    select_idle_cpu(p, sd, has_idle_core, target).unwrap_or(target)
}

fn is_per_cpu_kthread(p: TaskRef) -> bool {
    is_kthread(p) && p.nr_cpus_allowed.get() == 1
}

/// Whether the CPU's cache may have a core without work.
pub fn test_idle_cores(cpu: u32) -> bool {
    sd_llc_shared
        .per_cpu(cpu)
        .get()
        .is_some_and(|sds| sds.has_idle_cores.get() != 0)
}

/// Notes whether it may.
pub fn set_idle_cores(cpu: u32, val: bool) {
    if let Some(sds) = sd_llc_shared.per_cpu(cpu).get() {
        sds.has_idle_cores.set(i32::from(val));
    }
}

/// The CPU is about to idle: if the rest of its core idles, the core does.
pub fn update_idle_core(rq: RqRef) {
    if !sched_smt_active() {
        return;
    }
    let core = cpu_of(rq);
    if test_idle_cores(core) {
        return;
    }
    if cpu_smt_mask(core)
        .iter()
        .all(|cpu| cpu == core || available_idle_cpu(cpu))
    {
        set_idle_cores(core, true);
    }
}

/// An idle CPU of the same core.
fn select_idle_smt(p: TaskRef, sd: SdRef, target: u32) -> Option<u32> {
    cpu_smt_mask(target)
        .and(p.allowed())
        .and(sched_domain_span(sd))
        .iter()
        .find(|&cpu| cpu != target && idle_enough(cpu))
}

/// A core all of whose CPUs idle. If this one does not, an idle CPU of it is noted, and its CPUs are not
/// looked at again.
fn select_idle_core(core: u32, cpus: &mut Cpumask, idle_cpu: &mut Option<u32>) -> Option<u32> {
    let mut idle = true;
    for cpu in cpu_smt_mask(core).iter() {
        if !available_idle_cpu(cpu) {
            idle = false;
            if idle_cpu.is_some() {
                break;
            }
            if sched_idle_cpu(cpu) && cpus.test(cpu) {
                *idle_cpu = Some(cpu);
                break;
            }
        } else if idle_cpu.is_none() && cpus.test(cpu) {
            *idle_cpu = Some(cpu);
        }
    }
    if idle {
        return Some(core);
    }
    *cpus = cpus.andnot(cpu_smt_mask(core));
    None
}

/// Looks around the target, for a whole core if there may be one, else for so many CPUs as the cache's load
/// lets hope for.
fn select_idle_cpu(p: TaskRef, sd: SdRef, has_idle_core: bool, target: u32) -> Option<u32> {
    let mut nr = i32::MAX;
    if sched_feat(SchedFeat::SIS_UTIL)
        && let Some(sds) = sd_llc_shared.per_cpu(target).get()
    {
        nr = sds.nr_idle_scan.get() + 1;
        // So busy that looking is in vain.
        if nr == 1 {
            return None;
        }
    }
    let mut cpus = sched_domain_span(sd).and(p.allowed());
    let mut idle_cpu = None;
    for cpu in for_each_cpu_wrap(cpus, target + 1) {
        if !cpus.test(cpu) {
            continue;
        }
        if has_idle_core {
            if let Some(core) = select_idle_core(cpu, &mut cpus, &mut idle_cpu) {
                return Some(core);
            }
            continue;
        }
        nr -= 1;
        if nr <= 0 {
            return None;
        }
        if idle_enough(cpu) {
            return Some(cpu);
        }
    }
    if has_idle_core {
        // There is none after all.
        set_idle_cores(target, false);
    }
    idle_cpu
}

/// On unlike CPUs: an idle one that the task fits, else the strongest idle one.
fn select_idle_capacity(p: TaskRef, sd: SdRef, target: u32) -> Option<u32> {
    let cpus = sched_domain_span(sd).and(p.allowed());
    let task_util = task_util_est(p);
    let (mut best_cpu, mut best_cap) = (None, 0);
    for cpu in for_each_cpu_wrap(cpus, target) {
        if !idle_enough(cpu) {
            continue;
        }
        let cpu_cap = capacity_of(cpu);
        if fits_capacity(task_util, cpu_cap) {
            return Some(cpu);
        }
        if cpu_cap > best_cap {
            best_cap = cpu_cap;
            best_cpu = Some(cpu);
        }
    }
    best_cpu
}
