//! What CPUs can do, and whether a task fits.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `update_cpu_capacity`, `update_group_capacity`, `util_fits_cpu`,
//! `update_misfit_status`, `check_cpu_capacity`. Kept: all of it but clamps and thermal pressure.
//! Differs: on x86 every CPU has the whole capacity; here the command line may lower one
//! (`cpu_capacity.3=512`), so that what Linux does on unlike CPUs can be seen.
//! Locks: single words, written by whoever balances.

use super::load::demand::{cpu_util_cfs, cpu_util_dl, cpu_util_rt, task_h_load, task_util_est};
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{NR_CPUS, cpu_possible_mask};
use crate::include::linux::jiffies::{jiffies, msecs_to_jiffies};
use crate::include::linux::sched::TaskRef;
use crate::include::linux::sched::topology::SdRef;
use crate::kernel::params::param;
use crate::kernel::sched::fair::balance::domains::max_load_balance_interval;
use crate::kernel::sched::sched::{
    RqRef, SCHED_CAPACITY_SCALE, SG_OVERUTILIZED, SchedGroupCapacity, cpu_of, cpu_rq,
};
use crate::kernel::sched::topology::sched_asym_cpucap_active;
use crate::pr_warn;

/// What each CPU can do when nothing else runs there.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static cpu_scale: PerCpu<Shared<u64>> =
    PerCpu::new([const { Shared::new(SCHED_CAPACITY_SCALE) }; NR_CPUS]);

/// What a CPU can do when nothing else runs there, 1024 for the strongest.
pub fn arch_scale_cpu_capacity(cpu: u32) -> u64 {
    cpu_scale.per_cpu(cpu).get()
}

/// Takes lower capacities from the command line.
pub fn init_cpu_capacity() {
    for cpu in cpu_possible_mask().iter() {
        let name = alloc::format!("cpu_capacity.{cpu}");
        let Some(text) = param(&name) else {
            continue;
        };
        match text.as_u64() {
            Some(capacity @ 1..=SCHED_CAPACITY_SCALE) => cpu_scale.per_cpu(cpu).set(capacity),
            _ => pr_warn!("{name}={text}: not a capacity from 1 to 1024"),
        }
    }
}

/// What a CPU can do for fair tasks now.
pub fn capacity_of(cpu: u32) -> u64 {
    cpu_rq(cpu).cpu_capacity.get()
}

/// Whether one capacity is noticeably greater than another: by 5 %.
pub fn capacity_greater(cap1: u64, cap2: u64) -> bool {
    cap1 * 1024 > cap2 * 1078
}

/// Whether so much work fits a capacity with a fifth to spare.
pub fn fits_capacity(cap: u64, max: u64) -> bool {
    cap * 1280 < max * 1024
}

/// Whether so much work fits a CPU.
pub fn util_fits_cpu(util: u64, cpu: u32) -> bool {
    fits_capacity(util, capacity_of(cpu))
}

/// Whether a task fits a CPU.
pub fn task_fits_cpu(p: TaskRef, cpu: u32) -> bool {
    util_fits_cpu(task_util_est(p), cpu)
}

/// Whether a CPU has more to do than it can do with ease.
pub fn cpu_overutilized(cpu: u32) -> bool {
    !util_fits_cpu(cpu_util_cfs(cpu), cpu)
}

/// Marks the root domain if this CPU has too much to do.
pub fn update_overutilized_status(rq: RqRef) {
    if rq.rd().overutilized.get() == 0 && cpu_overutilized(cpu_of(rq)) {
        rq.rd().overutilized.set(SG_OVERUTILIZED);
    }
}

/// Notes how heavy the running task is if this CPU is too weak for it.
pub fn update_misfit_status(p: Option<TaskRef>, rq: RqRef) {
    if !sched_asym_cpucap_active() {
        return;
    }
    let misfit = p
        .filter(|&p| p.nr_cpus_allowed.get() != 1 && !task_fits_cpu(p, cpu_of(rq)))
        // Not 0, whatever its load is: 0 is no misfit.
        .map_or(0, |p| task_h_load(p).max(1));
    rq.misfit_task_load.set(misfit);
}

/// Whether other classes and interrupts take a noticeable part of a CPU.
pub fn check_cpu_capacity(rq: RqRef, sd: SdRef) -> bool {
    rq.cpu_capacity.get() * u64::from(sd.imbalance_pct.get())
        < arch_scale_cpu_capacity(cpu_of(rq)) * 100
}

/// Whether a CPU's only fair task would be better off elsewhere.
pub fn sched_reduced_capacity(rq: RqRef, sd: SdRef) -> bool {
    // With more than one, the load says it.
    rq.cfs.h_nr_running.get() == 1 && check_cpu_capacity(rq, sd)
}

/// Whether a CPU's task is too heavy for it and there is a better one.
pub fn check_misfit_status(rq: RqRef, sd: SdRef) -> bool {
    rq.misfit_task_load.get() != 0
        && (arch_scale_cpu_capacity(cpu_of(rq)) < rq.rd().max_cpu_capacity.get()
            || check_cpu_capacity(rq, sd))
}

/// What real-time and deadline tasks leave of a CPU.
fn scale_rt_capacity(cpu: u32) -> u64 {
    let rq = cpu_rq(cpu);
    let used = cpu_util_rt(rq) + cpu_util_dl(rq);
    arch_scale_cpu_capacity(cpu).saturating_sub(used).max(1)
}

fn update_cpu_capacity(sgc: &SchedGroupCapacity, cpu: u32) {
    let capacity = scale_rt_capacity(cpu);
    cpu_rq(cpu).cpu_capacity.set(capacity);
    sgc.capacity.set(capacity);
    sgc.min_capacity.set(capacity);
    sgc.max_capacity.set(capacity);
}

/// Computes what the CPU's own group of a domain can do: the sum of the child domain's groups.
pub fn update_group_capacity(sd: SdRef, cpu: u32) {
    let sgc = sd.local_group().sgc();
    let interval = msecs_to_jiffies(u64::from(sd.balance_interval.get()));
    let interval = interval.clamp(1, max_load_balance_interval.get());
    sgc.next_update.set(jiffies() + interval);
    let Some(child) = sd.child.get() else {
        update_cpu_capacity(sgc, cpu);
        return;
    };
    let (mut capacity, mut min_capacity, mut max_capacity) = (0, u64::MAX, 0);
    for group in child.local_group().circle() {
        let part = group.sgc();
        capacity += part.capacity.get();
        min_capacity = min_capacity.min(part.min_capacity.get());
        max_capacity = max_capacity.max(part.max_capacity.get());
    }
    sgc.capacity.set(capacity);
    sgc.min_capacity.set(min_capacity);
    sgc.max_capacity.set(max_capacity);
}
