//! Load tracking: half of all after 32 periods of running, and half of that after 32 of sleeping.
//!
//! A signal follows time with two delays that are no fault. An average is computed when its period ends, so
//! what is read may be up to a period old. And a task does not run all the time: whoever takes the CPU from it
//! makes its signal fall instead of rise meanwhile. Both are known here, the second from the task's run time,
//! so a reading has to lie between the curve a period ago and the curve now.

use super::{Row, Stage, fail};
use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::kernel::kreplay::common::{compute, wait_for_stop};
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::core::tick::task_sched_runtime;
use crate::kernel::sched::fair::cfs_rq_of;
use crate::kernel::sched::fair::load::{_task_util_est, update_load_avg};
use crate::kernel::sched::sched::{RqFlags, task_rq_lock, task_rq_unlock, update_rq_clock};
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;
use core::sync::atomic::{AtomicBool, Ordering};

/// A period of load tracking, ns.
pub(super) const PERIOD: u64 = 1024 * 1024;
/// y x 2^32, y^32 = 1/2.
const Y: u64 = 0xfa83_b2db;
/// The most that a signal moves in a period: 1024 (1 - y).
pub(super) const STEP: u64 = 22;

/// y^(ns / PERIOD) x 2^32, straight between periods as the running period makes the signal.
pub(super) fn fade(ns: u64) -> u64 {
    let power = |n| (0..n).fold(1u64 << 32, |power, _| (power * Y) >> 32);
    let from = power(ns / PERIOD);
    from - (from - power(ns / PERIOD + 1)) * (ns % PERIOD) / PERIOD
}

/// Utilisation after so long a run.
fn risen(ns: u64) -> u64 {
    1024 - ((1024 * fade(ns)) >> 32)
}

/// One reading.
struct Slot {
    value: Shared<u64>,
    /// Before it, ns since the run began.
    at: Shared<u64>,
    /// What the task had run after it, ns since it was woken for the run.
    ran: Shared<u64>,
}

static READINGS: [Slot; 11] = [const {
    Slot {
        value: Shared::new(0),
        at: Shared::new(0),
        ran: Shared::new(0),
    }
}; 11];
/// What it had run when the run began.
static RAN_BEFORE: Shared<u64> = Shared::new(0);
static PLAYED: AtomicBool = AtomicBool::new(false);

/// The current task's utilisation, as of now.
fn own_util() -> u64 {
    let me = current();
    let mut rf = RqFlags::new();
    let rq = task_rq_lock(me, &mut rf);
    update_rq_clock(rq);
    update_load_avg(cfs_rq_of(&me.se), &me.se, 0);
    let util = me.se.avg.util_avg.get();
    task_rq_unlock(rq, me, &rf);
    util
}

fn own_estimate() -> u64 {
    _task_util_est(current())
}

/// Sleeps until it is forgotten, runs for 64 periods, sleeps for 32, and once more for a moment.
extern "C" fn player(_data: VoidPtr) -> i32 {
    let before = task_sched_runtime(current());
    let ran = || task_sched_runtime(current()) - before;
    usleep_range(500_000, 500_000);
    let begin = sched_clock();
    RAN_BEFORE.set(ran());
    let read = |n: usize, signal: fn() -> u64| {
        READINGS[n].at.set(sched_clock() - begin);
        READINGS[n].value.set(signal());
        READINGS[n].ran.set(ran());
    };
    for n in 0..8 {
        while sched_clock() < begin + (n as u64 + 1) * 8 * PERIOD {
            compute(20, 1);
        }
        read(n, own_util);
    }
    usleep_range(32 * PERIOD / 1000, 0);
    read(8, own_util);
    read(9, own_estimate);
    usleep_range(100, 100);
    read(10, own_estimate);
    PLAYED.store(true, Ordering::Release);
    wait_for_stop()
}

struct Reading {
    value: u64,
    at: u64,
    ran: u64,
}

impl Reading {
    /// Running from the start of the run, without what others took.
    fn least(&self, age: u64) -> u64 {
        let others = self.at.saturating_sub(self.ran - RAN_BEFORE.get());
        // The average and its sum are rounded down: 2. What others took is missing from the rise, and made the
        // rest fall.
        let lost = 2 + (2 * STEP * others).div_ceil(PERIOD);
        risen(self.at - age).saturating_sub(lost)
    }

    fn most(&self) -> u64 {
        risen(self.ran) + 1
    }
}

/// What the readings may be.
struct Bounds {
    least: [u64; 11],
    most: [u64; 11],
}

fn bounds(readings: &[Reading; 11]) -> Bounds {
    let mut bounds = Bounds {
        least: [0; 11],
        most: [0; 11],
    };
    for (n, reading) in readings[..8].iter().enumerate() {
        bounds.least[n] = reading.least(PERIOD);
        bounds.most[n] = reading.most();
    }
    let (awake, woken) = (&readings[7], &readings[8]);
    let since = woken.at - awake.at;
    let ran = woken.ran - awake.ran;
    let fallen = |from: u64, asleep: u64| (from * fade(asleep)) >> 32;
    // It wakes in another period, so this average is not old.
    bounds.least[8] = fallen(awake.least(0), since) - 2;
    bounds.most[8] = fallen(woken.most(), since - ran) + 1;
    // The estimate: what it had used when it fell asleep.
    bounds.least[9] = bounds.least[7];
    bounds.most[9] = woken.most();
    // Then a quarter of the way to what was left of that when it fell asleep again, moments after the reading.
    let (estimate, last) = (readings[9].value, &readings[10]);
    let toward = |left: u64| (3 * estimate + left) / 4;
    bounds.least[10] = toward(woken.value);
    bounds.most[10] = toward(woken.value + 1 + STEP * (last.ran - woken.ran) / PERIOD);
    bounds
}

/// The rise, the fall, and the estimate of what the task will need.
pub(super) fn load_tracking() {
    let mut stage = Stage::open();
    PLAYED.store(false, Ordering::Relaxed);
    stage.enter(player, 0);
    while !PLAYED.load(Ordering::Acquire) {
        usleep_range(10_000, 10_000);
    }
    // 1024 (1 - 2^(-n / 32)) for n = 8, 16 .. 64, and half of the last; the estimates.
    let right = [163, 300, 415, 512, 594, 662, 720, 768, 384, 768, 672];
    let readings = READINGS.each_ref().map(|slot| Reading {
        value: slot.value.get(),
        at: slot.at.get(),
        ran: slot.ran.get(),
    });
    let found = readings.each_ref().map(|reading| reading.value);
    pr_info!("fair: utilisation {} for {}", Row(&found), Row(&right));
    let Bounds { least, most } = bounds(&readings);
    for (n, &found) in found.iter().enumerate() {
        let (least, most) = (least[n], most[n]);
        if !(least..=most).contains(&found) {
            let right = right[n];
            fail(format_args!(
                "a utilisation of {found} is not {right}: {least} to {most} is"
            ));
        }
    }
    stage.close();
}
