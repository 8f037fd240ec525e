//! Where a fair task runs next when it wakes up or is new.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `select_task_rq_fair`, `select_idle_sibling`,
//! `find_idlest_cpu`. Kept: no choice before the boot's CPUs are up (no domains yet: the previous CPU),
//! then one cache domain over the active CPUs: the target if idle, the previous CPU, a recent one,
//! a scan from the target; a new task, and one at its exec, goes to the idlest CPU. Left out, until load tracking and
//! domains come: wake_wide and wake_affine's weights, the scan limit, SMT, capacity, energy.
//! Differs: `find_idlest_cpu` compares idle CPUs by their idle_stamp and busy ones by the number of
//! tasks instead of load.
//! Locks: the task's `pi_lock` is held; runqueues are only looked at.

use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::include::linux::cpumask::{Cpumask, NR_CPUS, cpu_active_mask};
use crate::include::linux::sched::{SCHED_IDLE, TaskRef};
use crate::kernel::sched::core::idle_cpu;
use crate::kernel::sched::core::init::sched_smp_initialized;
use crate::kernel::sched::fair::sched_idle_cpu;
use crate::kernel::sched::sched::{WF_CURRENT_CPU, WF_EXEC, WF_FORK, WF_TTWU, cpu_rq};
use core::sync::atomic::Ordering;

/// Chooses a CPU. The caller checks that the task may run there.
#[inline(never)]
pub fn select_task_rq_fair(p: TaskRef, prev_cpu: i32, wake_flags: i32) -> i32 {
    let prev = prev_cpu as u32;
    if !sched_smp_initialized.load(Ordering::Acquire) {
        return prev_cpu;
    }
    let span = cpu_active_mask().and(p.allowed());
    if wake_flags & WF_TTWU != 0 {
        let this = raw_smp_processor_id();
        if wake_flags & WF_CURRENT_CPU != 0 && p.allowed().test(this) {
            return this as i32;
        }
        let target = wake_affine_idle(this, prev, p);
        return select_idle_sibling(p, prev, target, span) as i32;
    }
    if wake_flags & (WF_FORK | WF_EXEC) != 0 {
        return find_idlest_cpu(span, prev) as i32;
    }
    prev_cpu
}

/// wake_affine's rule for idle CPUs: pull the task here only if here is idle and there is not.
fn wake_affine_idle(this: u32, prev: u32, p: TaskRef) -> u32 {
    if this != prev && p.allowed().test(this) && idle_cpu(this) && !idle_cpu(prev) {
        return this;
    }
    prev
}

/// Idle, or as good as idle for this task.
fn usable(p: TaskRef, cpu: u32) -> bool {
    idle_cpu(cpu) || p.policy.get() != SCHED_IDLE && sched_idle_cpu(cpu)
}

fn select_idle_sibling(p: TaskRef, prev: u32, target: u32, span: Cpumask) -> u32 {
    if span.test(target) && usable(p, target) {
        return target;
    }
    if prev != target && span.test(prev) && usable(p, prev) {
        return prev;
    }
    let recent = p.recent_used_cpu.get() as u32;
    p.recent_used_cpu.set(prev as i32);
    if recent != prev && recent != target && span.test(recent) && usable(p, recent) {
        return recent;
    }
    // Cyclic from the CPU after the target.
    let after = span.and(Cpumask::from_bits(!0u64 << (target as usize % NR_CPUS)));
    let after = after.without(target);
    after
        .iter()
        .chain(span.andnot(after).iter())
        .find(|&cpu| usable(p, cpu))
        .unwrap_or(target)
}

fn find_idlest_cpu(span: Cpumask, prev: u32) -> u32 {
    let idle = span
        .iter()
        .filter(|&cpu| idle_cpu(cpu))
        // Idle for the shortest time: its cache is the warmest.
        .max_by_key(|&cpu| (cpu == prev, cpu_rq(cpu).idle_stamp.get()));
    if let Some(cpu) = idle {
        return cpu;
    }
    span.iter()
        .min_by_key(|&cpu| (cpu_rq(cpu).nr_running.get(), cpu != prev, cpu))
        .unwrap_or(prev)
}
