//! Where the time of each CPU and each task went, counted in ticks.
//!
//! Linux: `kernel/sched/cputime.c` (v6.8), TICK_CPU_ACCOUNTING. Kept: the tick is charged whole to what it
//! interrupted; skipped ticks are idle; a task's run time is split as its ticks were. Left out: vtime, interrupt time
//! by the clock, steal time, guests, groups. Differs: `cputime_adjust` has no state, because nobody reads it
//! while it changes.
//! Locks: none; each CPU writes its own, with interrupts off.

use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::preempt::{
    HARDIRQ_OFFSET, hardirq_count, in_serving_softirq, softirq_count,
};
use crate::include::linux::sched::prio::PRIO_TO_NICE;
use crate::include::linux::sched::{TaskRef, same_task};
use crate::kernel::sched::sched::{cpu_rq, this_rq};
use core::sync::atomic::Ordering;

/// What a CPU can be busy with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "cpu_usage_stat")]
#[repr(usize)]
pub enum CpuUsageStat {
    /// User mode.
    CPUTIME_USER,
    /// User mode, niced.
    CPUTIME_NICE,
    /// Kernel mode.
    CPUTIME_SYSTEM,
    /// Softirqs.
    CPUTIME_SOFTIRQ,
    /// Interrupts that a tick interrupted.
    CPUTIME_IRQ,
    /// Nothing.
    CPUTIME_IDLE,
    /// Nothing, while somebody waits for I/O.
    CPUTIME_IOWAIT,
}
use CpuUsageStat::*;

/// How many kinds there are.
pub const NR_STATS: usize = 7;

/// A CPU's time, ns.
#[doc(alias = "kernel_cpustat")]
#[repr(C)]
pub struct KernelCpustat {
    /// By kind.
    pub cpustat: [Shared<u64>; NR_STATS],
}

/// Every CPU's time.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static kernel_cpustat: PerCpu<KernelCpustat> = PerCpu::new(
    [const {
        KernelCpustat {
            cpustat: [const { Shared::new(0) }; NR_STATS],
        }
    }; NR_CPUS],
);

/// A CPU's time of one kind, ns.
pub fn kcpustat_cpu(cpu: u32, kind: CpuUsageStat) -> u64 {
    kernel_cpustat.per_cpu(cpu).cpustat[kind as usize].get()
}

fn account(kind: CpuUsageStat, cputime: u64) {
    kernel_cpustat.this_cpu().cpustat[kind as usize].add(cputime);
}

fn account_user_time(p: TaskRef, cputime: u64) {
    p.utime.add(cputime);
    let niced = PRIO_TO_NICE(p.static_prio.get()) > 0;
    account(if niced { CPUTIME_NICE } else { CPUTIME_USER }, cputime);
}

fn account_system_index_time(p: TaskRef, cputime: u64, index: CpuUsageStat) {
    p.stime.add(cputime);
    account(index, cputime);
}

fn account_system_time(p: TaskRef, hardirq_offset: u32, cputime: u64) {
    let index = if hardirq_count() != hardirq_offset {
        CPUTIME_IRQ
    } else if in_serving_softirq() {
        CPUTIME_SOFTIRQ
    } else {
        CPUTIME_SYSTEM
    };
    account_system_index_time(p, cputime, index);
}

fn account_idle_time(cputime: u64) {
    let waiting = this_rq().nr_iowait.load(Ordering::Relaxed) > 0;
    account(
        if waiting {
            CPUTIME_IOWAIT
        } else {
            CPUTIME_IDLE
        },
        cputime,
    );
}

/// A tick interrupted `p`: the whole tick is its.
///
/// # Context
/// The timer interrupt.
pub fn account_process_tick(p: TaskRef, user_tick: bool) {
    let cputime = TICK_NSEC as u64;
    let idle = cpu_rq(raw_smp_processor_id()).idle.get();
    if user_tick {
        account_user_time(p, cputime);
    } else if !idle.is_some_and(|idle| same_task(idle, p))
        || hardirq_count() | softirq_count() != HARDIRQ_OFFSET
    {
        account_system_time(p, HARDIRQ_OFFSET, cputime);
    } else {
        account_idle_time(cputime);
    }
}

/// Ticks that an idle CPU left out.
pub fn account_idle_ticks(ticks: u64) {
    account_idle_time(ticks * TICK_NSEC as u64);
}

/// A task's run time, split into user and system time in the proportion of its ticks.
pub fn task_cputime_adjusted(p: TaskRef) -> (u64, u64) {
    cputime_adjust(p.utime.get(), p.stime.get(), p.se.sum_exec_runtime.get())
}

/// Splits `rtime` as `utime` and `stime` are.
fn cputime_adjust(utime: u64, stime: u64, rtime: u64) -> (u64, u64) {
    // Without a tick of the other kind all of it is of one; a task without ticks counts as user time.
    let stime = if stime == 0 {
        0
    } else if utime == 0 {
        rtime
    } else {
        let total = u128::from(stime) + u128::from(utime);
        (u128::from(stime) * u128::from(rtime) / total) as u64
    };
    (rtime - stime, stime)
}

#[cfg(test)]
mod tests {
    use super::cputime_adjust;

    #[test]
    fn run_time_is_split_as_the_ticks_were() {
        assert_eq!(cputime_adjust(0, 0, 100), (100, 0));
        assert_eq!(cputime_adjust(0, 8, 100), (0, 100));
        assert_eq!(cputime_adjust(12, 4, 100), (75, 25));
        assert_eq!(cputime_adjust(u64::MAX, u64::MAX, 10), (5, 5));
    }
}
