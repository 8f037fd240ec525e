//! Per-entity load tracking: how much an entity has wanted to run, waited and run, the past fading.
//!
//! Linux: `kernel/sched/pelt.c` and `pelt.h` (v6.8).
//! Kept: the geometric series in units of 1024 ns with y^32 = 1/2, the pieces of a period at both ends, the
//! signals of tasks, groups, queues and of the real-time and deadline classes, the clock that the series
//! runs on with its lost idle time. Left out: the table generator, thermal pressure, interrupt time (this
//! kernel does not account it). Differs: the frequency is constant, so scaling by it is the identity
//! and is not written out.
//! Locks: the runqueue's lock; `clock_idle`, `clock_pelt_idle` are read without it.
//!
//! A signal is a sum over periods of 1024 units, period n ago weighing y^n, divided by what the sum would
//! be had it never paused: the running period counts as far as it has come.

use crate::include::linux::sched::{SchedAvg, SchedEntity, is_idle_task};
use crate::kernel::sched::fair::capacity::arch_scale_cpu_capacity;
use crate::kernel::sched::fair::load::{se_runnable, se_weight};
use crate::kernel::sched::fair::{rq_of, same_se};
use crate::kernel::sched::sched::{
    CfsRq, RqRef, SCHED_CAPACITY_SHIFT, cpu_of, rq_clock, rq_clock_task, scale_load_down,
};

/// y^n in 32 bits after the point.
pub const runnable_avg_yN_inv: [u32; LOAD_AVG_PERIOD as usize] = [
    0xffff_ffff,
    0xfa83_b2da,
    0xf525_7d14,
    0xefe4_b99a,
    0xeac0_c6e6,
    0xe5b9_06e6,
    0xe0cc_deeb,
    0xdbfb_b796,
    0xd744_fcc9,
    0xd2a8_1d91,
    0xce24_8c14,
    0xc9b9_bd85,
    0xc567_2a10,
    0xc12c_4cc9,
    0xbd08_a39e,
    0xb8fb_af46,
    0xb504_f333,
    0xb123_f581,
    0xad58_3ee9,
    0xa9a1_5ab4,
    0xa5fe_d6a9,
    0xa270_4302,
    0x9ef5_325f,
    0x9b8d_39b9,
    0x9837_f050,
    0x94f4_efa8,
    0x91c3_d373,
    0x8ea4_398a,
    0x8b95_c1e3,
    0x8898_0e80,
    0x85aa_c367,
    0x82cd_8698,
];

/// Periods in which a contribution halves.
pub const LOAD_AVG_PERIOD: u64 = 32;
/// The sum of an entity that never paused, as the arithmetic here reaches it.
pub const LOAD_AVG_MAX: u64 = 47_742;
/// The sum without the running period.
pub const PELT_MIN_DIVIDER: u64 = LOAD_AVG_MAX - 1024;

/// val x y^n.
pub fn decay_load(val: u64, n: u64) -> u64 {
    if n > LOAD_AVG_PERIOD * 63 {
        return 0;
    }
    let halved = val >> (n / LOAD_AVG_PERIOD);
    let rest = runnable_avg_yN_inv[(n % LOAD_AVG_PERIOD) as usize];
    ((u128::from(halved) * u128::from(rest)) >> 32) as u64
}

/// What a stretch of time adds: `d1` units that complete the oldest period, the full periods after it,
/// `d3` units of the newest.
fn __accumulate_pelt_segments(periods: u64, d1: u64, d3: u64) -> u64 {
    let oldest = decay_load(d1, periods);
    // The infinite sum, less what lies before the stretch, less the running period (y^0).
    let full = LOAD_AVG_MAX - decay_load(LOAD_AVG_MAX, periods) - 1024;
    oldest + full + d3
}

/// What the signal's sums are divided by: the running period counts as far as it has come, so that the
/// average does not move with the place inside the period.
pub fn get_pelt_divider(avg: &SchedAvg) -> u64 {
    PELT_MIN_DIVIDER + u64::from(avg.period_contrib.get())
}

/// Fades the sums and adds `delta` units; returns the number of period borders passed.
fn accumulate_sum(delta: u64, sa: &SchedAvg, load: u64, runnable: u64, running: bool) -> u64 {
    let mut contrib = delta;
    let total = delta + u64::from(sa.period_contrib.get());
    let periods = total / 1024;
    let rest = total % 1024;
    if periods != 0 {
        sa.load_sum.set(decay_load(sa.load_sum.get(), periods));
        sa.runnable_sum
            .set(decay_load(sa.runnable_sum.get(), periods));
        sa.util_sum
            .set(decay_load(u64::from(sa.util_sum.get()), periods) as u32);
        // Without load there is nothing to add, whatever the other two say.
        if load != 0 {
            let first = 1024 - u64::from(sa.period_contrib.get());
            contrib = __accumulate_pelt_segments(periods, first, rest);
        }
    }
    sa.period_contrib.set(rest as u32);
    if load != 0 {
        sa.load_sum.add(load * contrib);
    }
    if runnable != 0 {
        sa.runnable_sum
            .add((runnable * contrib) << SCHED_CAPACITY_SHIFT);
    }
    if running {
        sa.util_sum.add((contrib << SCHED_CAPACITY_SHIFT) as u32);
    }
    periods
}

/// Brings the sums up to `now`, ns. `load`: a factor of the time in which the entity wanted to run,
/// `runnable`: how many wanted to, `running`: whether it ran. True if a period border was passed, so that
/// the averages are worth computing.
pub fn ___update_load_sum(
    now: u64,
    sa: &SchedAvg,
    load: u64,
    runnable: u64,
    running: bool,
) -> bool {
    let delta = now.wrapping_sub(sa.last_update_time.get());
    // Another CPU's clock may be ahead.
    if (delta as i64) < 0 {
        sa.last_update_time.set(now);
        return false;
    }
    let units = delta >> 10;
    if units == 0 {
        return false;
    }
    sa.last_update_time.add(units << 10);
    // A group's queue may be empty while its entity still counts as running: dequeue in progress.
    let (runnable, running) = if load == 0 {
        (0, false)
    } else {
        (runnable, running)
    };
    accumulate_sum(units, sa, load, runnable, running) != 0
}

/// The averages from the sums; `load` is the weight that `load_sum` does not contain.
pub fn ___update_load_avg(sa: &SchedAvg, load: u64) {
    let divider = get_pelt_divider(sa);
    sa.load_avg.set(load * sa.load_sum.get() / divider);
    sa.runnable_avg.set(sa.runnable_sum.get() / divider);
    sa.util_avg.set(u64::from(sa.util_sum.get()) / divider);
}

/// Fades the signal of an entity that is on no queue.
pub fn __update_load_avg_blocked_se(now: u64, se: &'static SchedEntity) -> bool {
    if !___update_load_sum(now, &se.avg, 0, 0, false) {
        return false;
    }
    ___update_load_avg(&se.avg, se_weight(se));
    true
}

/// Brings an entity's signal up to date.
pub fn __update_load_avg_se(now: u64, cfs_rq: &'static CfsRq, se: &'static SchedEntity) -> bool {
    let running = cfs_rq.curr.get().is_some_and(|curr| same_se(curr, se));
    let queued = u64::from(se.on_rq.get() != 0);
    if !___update_load_sum(now, &se.avg, queued, se_runnable(se), running) {
        return false;
    }
    ___update_load_avg(&se.avg, se_weight(se));
    cfs_se_util_change(&se.avg);
    true
}

/// Brings a queue's signal up to date: the sum over its entities, without walking them.
pub fn __update_load_avg_cfs_rq(now: u64, cfs_rq: &'static CfsRq) -> bool {
    let load = scale_load_down(cfs_rq.load.weight.get());
    let runnable = u64::from(cfs_rq.h_nr_running.get());
    let running = cfs_rq.curr.get().is_some();
    if !___update_load_sum(now, &cfs_rq.avg, load, runnable, running) {
        return false;
    }
    ___update_load_avg(&cfs_rq.avg, 1);
    true
}

/// Time of the real-time class on a CPU up to `now`: all signals are the running one.
pub fn update_rt_rq_load_avg(now: u64, rq: RqRef, running: bool) -> bool {
    update_class_avg(now, &rq.avg_rt, running)
}

/// Time of the deadline class.
pub fn update_dl_rq_load_avg(now: u64, rq: RqRef, running: bool) -> bool {
    update_class_avg(now, &rq.avg_dl, running)
}

fn update_class_avg(now: u64, sa: &SchedAvg, running: bool) -> bool {
    let load = u64::from(running);
    if !___update_load_sum(now, sa, load, load, running) {
        return false;
    }
    ___update_load_avg(sa, 1);
    true
}

/// The estimate of a task's demand does not follow its signal until this bit is gone: nobody has run since
/// the estimate was made.
pub const UTIL_AVG_UNCHANGED: u32 = 0x8000_0000;

/// The task's signal moved: its estimate may be made anew at the next sleep.
fn cfs_se_util_change(avg: &SchedAvg) {
    let enqueued = avg.util_est.get();
    if enqueued & UTIL_AVG_UNCHANGED != 0 {
        avg.util_est.set(enqueued & !UTIL_AVG_UNCHANGED);
    }
}

/// The time that load tracking runs on. While a CPU is idle it equals the task clock, or idle time that
/// the capacity scaling held back would be lost.
pub fn rq_clock_pelt(rq: RqRef) -> u64 {
    rq.clock_pelt.get().wrapping_sub(rq.lost_idle_time.get())
}

/// The same for one queue: without the time that it was throttled.
pub fn cfs_rq_clock_pelt(cfs_rq: &'static CfsRq) -> u64 {
    let now = if cfs_rq.throttle_count.get() != 0 {
        cfs_rq.throttled_clock_pelt.get()
    } else {
        rq_clock_pelt(rq_of(cfs_rq))
    };
    now.wrapping_sub(cfs_rq.throttled_clock_pelt_time.get())
}

fn _update_idle_rq_clock_pelt(rq: RqRef) {
    rq.clock_pelt.set(rq_clock_task(rq));
    rq.clock_idle.set(rq_clock(rq));
    // A reader takes the two in the opposite order: it may see an old base, never a base of the future.
    rq.clock_pelt_idle.set(rq_clock_pelt(rq));
}

/// The queue's clock advanced by `delta` ns of task time.
pub fn update_rq_clock_pelt(rq: RqRef, delta: u64) {
    if rq.curr.get().is_some_and(is_idle_task) {
        _update_idle_rq_clock_pelt(rq);
        return;
    }
    // On a weaker CPU the same work takes longer: its time passes as much slower.
    rq.clock_pelt
        .add((delta * arch_scale_cpu_capacity(cpu_of(rq))) >> SCHED_CAPACITY_SHIFT);
}

/// The CPU is about to idle. If it was busy all the time, the idle time that a slower CPU would have
/// needed for the same work is no idle time: it is lost.
pub fn update_idle_rq_clock_pelt(rq: RqRef) {
    let divider = (PELT_MIN_DIVIDER << SCHED_CAPACITY_SHIFT) - LOAD_AVG_MAX;
    let util_sum = [&rq.cfs.avg, &rq.avg_rt, &rq.avg_dl]
        .into_iter()
        .map(|avg| u64::from(avg.util_sum.get()))
        .sum::<u64>();
    if util_sum >= divider {
        rq.lost_idle_time
            .add(rq_clock_task(rq).wrapping_sub(rq.clock_pelt.get()));
    }
    _update_idle_rq_clock_pelt(rq);
}
