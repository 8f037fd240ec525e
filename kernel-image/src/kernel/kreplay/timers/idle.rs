//! The tick of idle CPUs, and where ticks are accounted.

use super::fail;
use crate::arch::x86::include::asm::current::current;
use crate::include::linux::cpumask::cpu_active_mask;
use crate::include::linux::jiffies::{TICK_NSEC, jiffies, time_before};
use crate::kernel::kreplay::common::compute;
use crate::kernel::sched::cputime::{CpuUsageStat, NR_STATS, kcpustat_cpu, kernel_cpustat};
use crate::kernel::time::hrtimer::hrtimer_resolution;
use crate::kernel::time::tick_sched::{
    get_cpu_idle_time_ns, tick_get_tick_sched, tick_nohz_active,
};
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::time::timer::sleep::usleep_range_idle;
use crate::pr_info;

/// Ticks of a window in which the others idle.
const WINDOW: u64 = 20;
const WINDOWS: u64 = 10;

pub(super) fn run() {
    // Without high resolution a tick ends our own sleep, and periodic ticks keep no account of themselves.
    if hrtimer_resolution.get() == 1 {
        sleeping();
    }
    accounting();
}

/// While one CPU is busy, or none is, the idle ones do not tick.
fn sleeping() {
    let mut quiet = 0;
    let others = cpu_active_mask().without(0);
    for window in 0..WINDOWS {
        let begin = jiffies();
        if others.is_empty() || window % 2 == 0 {
            usleep_range_idle(WINDOW * 4000, WINDOW * 4000);
        } else {
            while time_before(jiffies(), begin + WINDOW) {
                compute(1000, window);
            }
        }
        let now = jiffies();
        if time_before(now + 1, begin + WINDOW) {
            fail(format_args!("jiffies stood still: {begin}, {now}"));
        }
        let watched = if others.is_empty() {
            cpu_active_mask()
        } else {
            others
        };
        for cpu in watched.iter() {
            let last = tick_get_tick_sched(cpu).last_tick_jiffies.get();
            if !tick_nohz_active() {
                if time_before(last + 2, now) {
                    fail(format_args!(
                        "cpu{cpu} does not tick: last {last}, now {now}"
                    ));
                }
            } else if time_before(last, begin + 3) {
                quiet += 1;
            }
        }
    }
    let all = WINDOWS * u64::from(others.weight().max(1));
    // Now and then something may be due on a CPU; it does not tick all the time.
    if tick_nohz_active() && quiet * 2 < all {
        fail(format_args!(
            "idle CPUs ticked in {} of {all} windows",
            all - quiet
        ));
    }
    pr_info!("timers: no tick in {quiet} of {all} windows of {WINDOW} ticks on idle CPUs");
}

fn total(cpu: u32) -> u64 {
    (0..NR_STATS)
        .map(|kind| kernel_cpustat.per_cpu(cpu).cpustat[kind].get())
        .sum()
}

/// Every tick of this CPU is in its account, asleep or not, once.
fn accounting() {
    let tick = TICK_NSEC as u64;
    let (begin, time, before) = (jiffies(), ktime_get(), total(0));
    let (busy, idle) = (
        kcpustat_cpu(0, CpuUsageStat::CPUTIME_SYSTEM),
        get_cpu_idle_time_ns(0),
    );
    let mine = current().stime.get();
    while time_before(jiffies(), begin + 10) {
        compute(1000, 1);
    }
    usleep_range_idle(40_000, 40_000);
    while time_before(jiffies(), begin + 30) {
        compute(1000, 1);
    }
    let ticks = jiffies() - begin;
    let accounted = (total(0) - before) / tick;
    let busy = (kcpustat_cpu(0, CpuUsageStat::CPUTIME_SYSTEM) - busy) / tick;
    let slept = (get_cpu_idle_time_ns(0) - idle) / TICK_NSEC;
    let mine = (current().stime.get() - mine) / tick;
    let took = (ktime_get() - time) / TICK_NSEC;
    if accounted.abs_diff(ticks) > 2 || took.abs_diff(ticks as i64) > 1 {
        fail(format_args!(
            "{ticks} ticks in {took}, {accounted} accounted"
        ));
    }
    if busy.abs_diff(20) > 3 || mine.abs_diff(busy) > 2 || slept.abs_diff(10) > 2 {
        fail(format_args!(
            "busy for {busy} ticks and not 20, of {mine} our own, asleep for {slept} and not 10"
        ));
    }
    pr_info!("timers: {accounted} of {ticks} ticks accounted, {busy} of them to the system");
}
