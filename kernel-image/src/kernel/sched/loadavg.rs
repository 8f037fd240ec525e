//! The load averages over 1, 5 and 15 minutes.
//!
//! Linux: `kernel/sched/loadavg.c` (v6.8). Kept: exponential averages of running and uninterruptible tasks, taken every
//! 5 seconds and a tick; each CPU's part folded by its own tick, or before it stops ticking; the catch-up after a
//! sleep. Left out: /proc/loadavg. Differs: nothing else.
//! Locks: none; `calc_global_load` under the jiffies lock, the rest under the runqueue's lock or with interrupts off.

use crate::fence::shared::Shared;
use crate::include::linux::jiffies::{HZ, jiffies, time_before};
use crate::include::linux::sched::smp_mb;
use crate::kernel::sched::sched::{RqRef, this_rq};
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Binary digits after the point.
pub const FSHIFT: u32 = 11;
/// 1.0.
pub const FIXED_1: u64 = 1 << FSHIFT;
/// Ticks between two readings.
pub const LOAD_FREQ: u64 = 5 * HZ + 1;
/// 1/exp(5 s / 1 min).
pub const EXP_1: u64 = 1884;
/// 1/exp(5 s / 5 min).
pub const EXP_5: u64 = 2014;
/// 1/exp(5 s / 15 min).
pub const EXP_15: u64 = 2037;

/// The averages, of 1, 5 and 15 minutes.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static avenrun: [Shared<u64>; 3] = [const { Shared::new(0) }; 3];

/// Tasks that count, as of the last folding.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static calc_load_tasks: AtomicI64 = AtomicI64::new(0);
/// When the next reading is due.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static calc_load_update: AtomicU64 = AtomicU64::new(0);

/// Parts of CPUs that stopped ticking: one slot for the reading that comes, one for the next. Between a reading's
/// time and the reading itself CPUs put theirs into the next slot already.
static calc_load_nohz: [AtomicI64; 2] = [const { AtomicI64::new(0) }; 2];
static calc_load_idx: AtomicU64 = AtomicU64::new(0);

/// The averages with an offset, shifted.
pub fn get_avenrun(offset: u64, shift: u32) -> [u64; 3] {
    core::array::from_fn(|i| (avenrun[i].get() + offset) << shift)
}

/// One step of an average: `load * exp + active * (1 - exp)`, rounded up while it rises.
pub fn calc_load(load: u64, exp: u64, active: u64) -> u64 {
    let mut newload = load * exp + active * (FIXED_1 - exp);
    if active >= load {
        newload += FIXED_1 - 1;
    }
    newload / FIXED_1
}

/// `x` to the power of `n` in fixed point.
fn fixed_power_int(x: u64, frac_bits: u32, n: u64) -> u64 {
    let (mut x, mut n, mut result) = (x, n, 1u64 << frac_bits);
    let half = 1u64 << (frac_bits - 1);
    while n != 0 {
        if n & 1 != 0 {
            result = (result * x + half) >> frac_bits;
        }
        n >>= 1;
        if n != 0 {
            x = (x * x + half) >> frac_bits;
        }
    }
    result
}

/// `n` steps of an average with the same load at once.
pub fn calc_load_n(load: u64, exp: u64, active: u64, n: u64) -> u64 {
    calc_load(load, fixed_power_int(exp, FSHIFT, n), active)
}

/// How much a CPU's part has changed since it was last folded. `adjust` is a task that does not count.
pub fn calc_load_fold_active(this_rq: RqRef, adjust: i64) -> i64 {
    let active =
        i64::from(this_rq.nr_running.get()) - adjust + i64::from(this_rq.nr_uninterruptible.get());
    active - this_rq.calc_load_active.replace(active)
}

fn calc_load_write_idx() -> usize {
    let mut idx = calc_load_idx.load(Ordering::SeqCst);
    // The reading is due but not taken: what comes now is for the next one.
    if !time_before(jiffies(), calc_load_update.load(Ordering::SeqCst)) {
        idx += 1;
    }
    (idx & 1) as usize
}

fn calc_load_read_idx() -> usize {
    (calc_load_idx.load(Ordering::SeqCst) & 1) as usize
}

fn calc_load_nohz_fold(rq: RqRef) {
    let delta = calc_load_fold_active(rq, 0);
    if delta != 0 {
        calc_load_nohz[calc_load_write_idx()].fetch_add(delta, Ordering::SeqCst);
    }
}

/// This CPU is about to stop ticking.
pub fn calc_load_nohz_start() {
    calc_load_nohz_fold(this_rq());
}

/// It ticks again.
pub fn calc_load_nohz_stop() {
    let this_rq = this_rq();
    this_rq
        .calc_load_update
        .set(calc_load_update.load(Ordering::SeqCst));
    if time_before(jiffies(), this_rq.calc_load_update.get()) {
        return;
    }
    // It woke into the ten ticks around a reading: its part is in the slots already.
    if time_before(jiffies(), this_rq.calc_load_update.get() + 10) {
        this_rq.calc_load_update.add(LOAD_FREQ);
    }
}

fn calc_load_nohz_read() -> i64 {
    calc_load_nohz[calc_load_read_idx()].swap(0, Ordering::SeqCst)
}

/// All slept through one reading or more: the averages fall as if each had been taken.
fn calc_global_nohz() {
    let sample_window = calc_load_update.load(Ordering::SeqCst);
    if !time_before(jiffies(), sample_window + 10) {
        let delta = jiffies() - sample_window - 10;
        let n = 1 + delta / LOAD_FREQ;
        let active = calc_load_tasks.load(Ordering::SeqCst).max(0) as u64 * FIXED_1;
        for (average, exp) in avenrun.iter().zip([EXP_1, EXP_5, EXP_15]) {
            average.set(calc_load_n(average.get(), exp, active, n));
        }
        calc_load_update.store(sample_window + n * LOAD_FREQ, Ordering::SeqCst);
    }
    // The slots change places.
    smp_mb();
    calc_load_idx.fetch_add(1, Ordering::SeqCst);
}

/// The reading, ten ticks after its time, so that every CPU has folded its part.
///
/// # Context
/// `jiffies_lock` held, after jiffies moved.
pub fn calc_global_load() {
    let sample_window = calc_load_update.load(Ordering::Relaxed);
    if time_before(jiffies(), sample_window + 10) {
        return;
    }
    let delta = calc_load_nohz_read();
    if delta != 0 {
        calc_load_tasks.fetch_add(delta, Ordering::SeqCst);
    }
    let active = calc_load_tasks.load(Ordering::SeqCst).max(0) as u64 * FIXED_1;
    for (average, exp) in avenrun.iter().zip([EXP_1, EXP_5, EXP_15]) {
        average.set(calc_load(average.get(), exp, active));
    }
    calc_load_update.store(sample_window + LOAD_FREQ, Ordering::SeqCst);
    calc_global_nohz();
}

/// A tick: folds this CPU's part when a reading is due.
pub fn calc_global_load_tick(this_rq: RqRef) {
    if time_before(jiffies(), this_rq.calc_load_update.get()) {
        return;
    }
    let delta = calc_load_fold_active(this_rq, 0);
    if delta != 0 {
        calc_load_tasks.fetch_add(delta, Ordering::SeqCst);
    }
    this_rq.calc_load_update.add(LOAD_FREQ);
}

/// A dead CPU's part goes; its stopper, which calls this, does not count.
pub fn calc_load_migrate(rq: RqRef) {
    let delta = calc_load_fold_active(rq, 1);
    if delta != 0 {
        calc_load_tasks.fetch_add(delta, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_tends_to_its_load_and_back() {
        let mut load = 0;
        for step in 1..=60 {
            load = calc_load(load, EXP_1, 2 * FIXED_1);
            let exact = 2.0 * (1.0 - (-5.0 * f64::from(step) / 60.0).exp());
            assert!(
                (load as f64 / FIXED_1 as f64 - exact).abs() < 0.01,
                "{step}"
            );
        }
        for _ in 0..60 {
            load = calc_load(load, EXP_1, 0);
        }
        assert!(load < FIXED_1 / 50);
        // An idle system's average falls to zero, though each step rounds.
        for _ in 0..200 {
            load = calc_load(load, EXP_1, 0);
        }
        assert_eq!(load, 0);
    }

    #[test]
    fn a_slept_through_time_counts_as_that_many_steps() {
        for n in [1, 2, 3, 7, 12, 100] {
            for exp in [EXP_1, EXP_5, EXP_15] {
                let stepwise = (0..n).fold(3 * FIXED_1, |load, _| calc_load(load, exp, 0));
                // A step cuts off less than one; the power is rounded in its eleventh digit.
                let at_once = calc_load_n(3 * FIXED_1, exp, 0, n);
                assert!(
                    at_once.abs_diff(stepwise) <= n + 16,
                    "{n} {exp}: {at_once} {stepwise}"
                );
            }
        }
    }
}
