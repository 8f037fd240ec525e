//! The share of a CPU that real-time tasks may have: throttling.
//!
//! Linux: `kernel/sched/rt.c` (v6.8): `rt_bandwidth`, `sched_rt_period_timer`, `sched_rt_runtime_exceeded`,
//! `__enable_runtime`, `__disable_runtime`, `sched_rt_rq_enqueue`. Kept: 0.95 s in each second, the period timer
//! that runs only while somebody needs it, on the grid that it had. Left out: sysctls, RT_GROUP_SCHED, lending run time between CPUs (RT_RUNTIME_SHARE is
//! off in Linux too). Differs: a queue's run time is under the runqueue's lock and has none of its own.
//! Locks: `rt_runtime_lock` inside a runqueue's lock.

use super::{dequeue_top_rt_rq, enqueue_top_rt_rq};
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::cpu_online_mask;
use crate::include::linux::hrtimer::{
    CLOCK_MONOTONIC, HRTIMER_MODE_ABS_PINNED_HARD, HRTIMER_MODE_REL_HARD, HRTIMER_NORESTART,
    HRTIMER_RESTART, Hrtimer, HrtimerRestart, hrtimer_active, hrtimer_forward_now, hrtimer_init,
    hrtimer_start_expires,
};
use crate::include::linux::ktime::NSEC_PER_SEC;
use crate::include::linux::sched::same_task;
use crate::include::linux::spinlock::{RawSpinlock, raw_spin_lock, raw_spin_unlock};
use crate::kernel::sched::core::resched_curr;
use crate::kernel::sched::sched::{
    RqFlags, RqRef, cpu_rq, rq_clock_cancel_skipupdate, rq_lock_irqsave, rq_unlock_irqrestore,
    update_rq_clock,
};
use core::sync::atomic::{AtomicBool, Ordering};

/// A run time without end: the CPU is offline, and whoever still runs there must get off it.
pub(super) const RUNTIME_INF: u64 = u64::MAX;

/// How long all real-time tasks of a CPU may run in a period.
#[doc(alias = "rt_bandwidth")]
pub(super) struct RtBandwidth {
    /// Protects the rest.
    rt_runtime_lock: RawSpinlock,
    /// ns.
    rt_period: i64,
    /// ns.
    pub(super) rt_runtime: u64,
    rt_period_timer: Hrtimer,
    rt_period_active: Shared<bool>,
}

pub(super) static def_rt_bandwidth: RtBandwidth = RtBandwidth {
    rt_runtime_lock: RawSpinlock::new(),
    rt_period: NSEC_PER_SEC,
    rt_runtime: 950_000_000,
    rt_period_timer: Hrtimer::new(),
    rt_period_active: Shared::new(false),
};

/// The default bandwidth's timer, once.
pub fn init_rt_bandwidth() {
    let timer = &def_rt_bandwidth.rt_period_timer;
    hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
    timer.function.set(Some(sched_rt_period_timer));
}

/// Whether there is a limit.
pub(super) fn rt_bandwidth_enabled() -> bool {
    def_rt_bandwidth.rt_runtime < def_rt_bandwidth.rt_period as u64
}

/// Starts the period timer if it does not run.
pub(super) fn start_rt_bandwidth(rt_b: &'static RtBandwidth) {
    if !rt_bandwidth_enabled() {
        return;
    }
    raw_spin_lock(&rt_b.rt_runtime_lock);
    if !rt_b.rt_period_active.get() {
        rt_b.rt_period_active.set(true);
        // At the end of the period in which it stopped; at once if that is over.
        hrtimer_forward_now(&rt_b.rt_period_timer, 0);
        hrtimer_start_expires(&rt_b.rt_period_timer, HRTIMER_MODE_ABS_PINNED_HARD);
    }
    raw_spin_unlock(&rt_b.rt_runtime_lock);
}

fn sched_rt_period_timer(timer: &'static Hrtimer) -> HrtimerRestart {
    let rt_b = &def_rt_bandwidth;
    raw_spin_lock(&rt_b.rt_runtime_lock);
    let mut idle = false;
    loop {
        let overrun = hrtimer_forward_now(timer, rt_b.rt_period);
        if overrun == 0 {
            break;
        }
        raw_spin_unlock(&rt_b.rt_runtime_lock);
        idle = do_sched_rt_period_timer(overrun);
        raw_spin_lock(&rt_b.rt_runtime_lock);
    }
    if idle {
        rt_b.rt_period_active.set(false);
    }
    raw_spin_unlock(&rt_b.rt_runtime_lock);
    if idle {
        HRTIMER_NORESTART
    } else {
        HRTIMER_RESTART
    }
}

/// A period is over: every CPU's queue gets its share again. True if no queue needs the timer.
fn do_sched_rt_period_timer(overrun: u64) -> bool {
    let (mut idle, mut throttled) = (true, false);
    for cpu in cpu_online_mask().iter() {
        let rq = cpu_rq(cpu);
        let rt_rq = &rq.rt;
        // A look without the lock: whoever begins to run now is seen in the next period.
        if rt_rq.rt_time.get() == 0 && rt_rq.rt_nr_running.get() == 0 {
            continue;
        }
        let mut rf = RqFlags::new();
        rq_lock_irqsave(rq, &mut rf);
        update_rq_clock(rq);
        let mut enqueue = false;
        if rt_rq.rt_time.get() != 0 {
            enqueue = refill(rq, overrun);
            if rt_rq.rt_time.get() != 0 || rt_rq.rt_nr_running.get() != 0 {
                idle = false;
            }
        } else if rt_rq.rt_nr_running.get() != 0 {
            idle = false;
            enqueue = rt_rq.rt_throttled.get() == 0;
        }
        throttled |= rt_rq.rt_throttled.get() != 0;
        if enqueue {
            sched_rt_rq_enqueue(rq);
        }
        rq_unlock_irqrestore(rq, &rf);
    }
    let no_limit = !rt_bandwidth_enabled() || def_rt_bandwidth.rt_runtime == RUNTIME_INF;
    idle || !throttled && no_limit
}

/// Takes so many periods' share off what a queue has had; true if it is throttled no more.
fn refill(rq: RqRef, overrun: u64) -> bool {
    let rt_rq = &rq.rt;
    let runtime = rt_rq.rt_runtime.get();
    let time = rt_rq.rt_time.get();
    let share = overrun.wrapping_mul(runtime);
    rt_rq.rt_time.set(time - time.min(share));
    if rt_rq.rt_throttled.get() == 0 || rt_rq.rt_time.get() >= runtime {
        return false;
    }
    rt_rq.rt_throttled.set(0);
    if rt_rq.rt_nr_running.get() != 0 && same_task(rq.current(), rq.idle_task()) {
        // The wake-up of a throttled task let the next switch leave the clock alone; the time since then would
        // be charged to it.
        rq_clock_cancel_skipupdate(rq);
    }
    true
}

/// The queue's tasks count again, and one of them may be the next to run.
fn sched_rt_rq_enqueue(rq: RqRef) {
    if rq.rt.rt_nr_running.get() == 0 {
        return;
    }
    enqueue_top_rt_rq(rq);
    resched_curr(rq);
}

/// Throttles a queue that has had its share. True if it is throttled.
pub(super) fn sched_rt_runtime_exceeded(rq: RqRef) -> bool {
    let rt_rq = &rq.rt;
    if rt_rq.rt_throttled.get() != 0 {
        return true;
    }
    if !rt_bandwidth_enabled() || rt_rq.rt_time.get() <= rt_rq.rt_runtime.get() {
        return false;
    }
    rt_rq.rt_throttled.set(1);
    static said: AtomicBool = AtomicBool::new(false);
    if !said.swap(true, Ordering::Relaxed) {
        // With a runqueue's lock held, which the console does not take.
        crate::pr_warn!("sched: RT throttling activated");
    }
    dequeue_top_rt_rq(rq);
    true
}

/// How long a period is, ns: of the real-time class's share and of deadline tasks' together.
pub fn global_rt_period() -> u64 {
    def_rt_bandwidth.rt_period as u64
}

/// How much of it they may have, ns.
pub fn global_rt_runtime() -> u64 {
    def_rt_bandwidth.rt_runtime
}

/// Deadline tasks run on the real-time class's account, while somebody looks at it: they are never
/// throttled for it themselves.
pub fn account_dl_time(rq: RqRef, delta_exec: u64) {
    if !rt_bandwidth_enabled() {
        return;
    }
    let rt_rq = &rq.rt;
    let watched = hrtimer_active(&def_rt_bandwidth.rt_period_timer)
        || rt_rq.rt_time.get() < def_rt_bandwidth.rt_runtime;
    if watched {
        rt_rq.rt_time.add(delta_exec);
    }
}

/// The CPU comes up: its queue starts with a full share.
pub(super) fn __enable_runtime(rq: RqRef) {
    let rt_rq = &rq.rt;
    rt_rq.rt_runtime.set(def_rt_bandwidth.rt_runtime);
    rt_rq.rt_time.set(0);
    rt_rq.rt_throttled.set(0);
}

/// The CPU goes down: nobody there is held back any more.
pub(super) fn __disable_runtime(rq: RqRef) {
    rq.rt.rt_runtime.set(RUNTIME_INF);
    rq.rt.rt_throttled.set(0);
    sched_rt_rq_enqueue(rq);
}
