//! CPUs that do not tick, and how many tasks there are.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `get_nohz_timer_target`, `wake_up_nohz_cpu`, `nr_running`,
//! `nr_context_switches`, `nr_iowait`, `single_task_running`. Kept: timers go to a busy CPU; an idle one is woken to
//! set its timer anew. Left out: housekeeping CPUs (all are), NO_HZ_FULL. Differs: nothing else.
//! Locks: none.

use super::tick::{idle_cpu, set_nr_and_not_polling};
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::include::linux::cpumask::{cpu_online, cpu_online_mask, cpu_possible_mask};
use crate::include::linux::sched::topology::sched_domain_span;
use crate::include::linux::smp::smp_send_reschedule;
use crate::include::trace::events::sched::trace_sched_wake_idle_without_ipi;
use crate::kernel::sched::sched::{cpu_rq, this_rq};
use crate::kernel::sched::topology::for_each_domain;
use core::sync::atomic::Ordering;

/// The CPU that a timer goes to: this one, or a busy one while this one idles, or this one after all.
///
/// # Context
/// Preemption off.
pub fn get_nohz_timer_target() -> u32 {
    let cpu = raw_smp_processor_id();
    if !idle_cpu(cpu) {
        return cpu;
    }
    // The nearest one first.
    for_each_domain(cpu)
        .flat_map(|sd| sched_domain_span(sd).iter())
        .find(|&other| other != cpu && !idle_cpu(other))
        .unwrap_or(cpu)
}

/// Wakes an idle CPU so that it looks at its timers again.
fn wake_up_idle_cpu(cpu: u32) {
    if cpu == raw_smp_processor_id() {
        return;
    }
    // While it polls the flag it looks at its timers before it sleeps anyway.
    if set_nr_and_not_polling(cpu_rq(cpu).idle_task()) {
        smp_send_reschedule(cpu);
    } else {
        trace_sched_wake_idle_without_ipi(cpu);
    }
}

/// A timer was added to a CPU that does not tick.
pub fn wake_up_nohz_cpu(cpu: u32) {
    // A dead CPU's timers move when it goes.
    if cpu_online(cpu) {
        wake_up_idle_cpu(cpu);
    }
}

/// Runnable tasks of all CPUs. Without locks: right at some time, or nearly.
pub fn nr_running() -> u32 {
    cpu_online_mask()
        .iter()
        .map(|cpu| cpu_rq(cpu).nr_running.get())
        .sum()
}

/// Whether the task that asks is the only one of its CPU.
pub fn single_task_running() -> bool {
    this_rq().nr_running.get() == 1
}

/// Context switches of one CPU.
pub fn nr_context_switches_cpu(cpu: u32) -> u64 {
    cpu_rq(cpu).nr_switches.get()
}

/// Context switches of all CPUs.
pub fn nr_context_switches() -> u64 {
    cpu_possible_mask()
        .iter()
        .map(nr_context_switches_cpu)
        .sum()
}

/// Tasks that wait for I/O and last ran on this CPU.
pub fn nr_iowait_cpu(cpu: u32) -> i32 {
    cpu_rq(cpu).nr_iowait.load(Ordering::Relaxed)
}

/// The same of all CPUs.
pub fn nr_iowait() -> i32 {
    cpu_possible_mask().iter().map(nr_iowait_cpu).sum()
}
