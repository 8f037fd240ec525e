//! High-resolution timers of every clock, and sleeps.

use super::fail;
use crate::fence::shared::Shared;
use crate::include::linux::hrtimer::*;
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::ktime::{Ktime, NSEC_PER_MSEC, NSEC_PER_USEC};
use crate::include::linux::spinlock::RawSpinlock;
use crate::kernel::kreplay::workload_param;
use crate::kernel::time::hrtimer::hrtimer_resolution;
use crate::kernel::time::timekeeping::{
    ktime_get_boottime, ktime_get_clocktai, ktime_get_real, ktime_offs_boot, ktime_offs_real,
    ktime_offs_tai,
};
use crate::kernel::time::timer::sleep::{msleep, usleep_range};
use crate::{intrusive_adapter, pr_info};

const TIMERS: usize = 64;

/// A timer that notes when it fired.
struct Noted {
    timer: Hrtimer,
    at: Shared<Ktime>,
    /// Its place in the order of firing, from 1; 0 before.
    order: Shared<u64>,
    /// How often a periodic one fires still.
    left: Shared<u64>,
    interval: Shared<Ktime>,
}

intrusive_adapter!(
    /// Ours by their timer.
    NotedOfTimer = Noted { timer: Hrtimer });

static NOTED: [Noted; TIMERS] = [const {
    Noted {
        timer: Hrtimer::new(),
        at: Shared::new(0),
        order: Shared::new(0),
        left: Shared::new(0),
        interval: Shared::new(0),
    }
}; TIMERS];
static ORDER_LOCK: RawSpinlock = RawSpinlock::new();
static ORDER: Shared<u64> = Shared::new(0);

fn note(timer: &'static Hrtimer) -> HrtimerRestart {
    let noted = NotedOfTimer::entry(timer);
    let _guard = ORDER_LOCK.lock_irqsave();
    noted.at.set(ktime_get());
    ORDER.inc();
    noted.order.set(ORDER.get());
    HRTIMER_NORESTART
}

fn again(timer: &'static Hrtimer) -> HrtimerRestart {
    let noted = NotedOfTimer::entry(timer);
    noted.left.dec();
    if noted.left.get() == 0 {
        noted.at.set(ktime_get());
        return HRTIMER_NORESTART;
    }
    hrtimer_forward_now(timer, noted.interval.get());
    HRTIMER_RESTART
}

/// How late a timer may be: with high resolution as long as an interrupt may be kept off, else a tick and a bit.
fn slack() -> Ktime {
    let us = workload_param("timers.slack_us", 2000, 1..=1_000_000);
    Ktime::from(hrtimer_resolution.get()) + us as Ktime * NSEC_PER_USEC
}

pub(super) fn run() {
    for (name, clock, offset, now) in [
        ("monotonic", CLOCK_MONOTONIC, 0, ktime_get as fn() -> Ktime),
        (
            "realtime",
            CLOCK_REALTIME,
            ktime_offs_real(),
            ktime_get_real,
        ),
        (
            "boottime",
            CLOCK_BOOTTIME,
            ktime_offs_boot(),
            ktime_get_boottime,
        ),
        ("tai", CLOCK_TAI, ktime_offs_tai(), ktime_get_clocktai),
    ] {
        let (before, there, after) = (ktime_get(), now() - offset, ktime_get());
        if there < before || there > after {
            fail(format_args!(
                "{name}: {there} is not between {before} and {after}"
            ));
        }
        for mode in [
            HRTIMER_MODE_ABS_PINNED_HARD,
            HRTIMER_MODE_ABS | HRTIMER_MODE_PINNED | HRTIMER_MODE_SOFT,
        ] {
            in_order(name, clock, offset, mode);
        }
    }
    periodic();
    sleeps();
}

/// Started in no order, they fire in the order of their times, none early, none too late.
fn in_order(name: &str, clock: i32, offset: Ktime, mode: u32) {
    ORDER.set(0);
    let begin = ktime_get() + NSEC_PER_MSEC;
    for (index, noted) in NOTED.iter().enumerate() {
        // 37 and 64 have no common divisor: every place is taken once.
        let place = (index * 37 % TIMERS) as Ktime;
        noted.order.set(0);
        hrtimer_init(&noted.timer, clock, mode);
        noted.timer.function.set(Some(note));
        hrtimer_start(
            &noted.timer,
            begin + offset + place * 50 * NSEC_PER_USEC,
            mode,
        );
    }
    let wanted = TIMERS as Ktime * 50 * NSEC_PER_USEC + NSEC_PER_MSEC + slack();
    usleep_range(
        (wanted / NSEC_PER_USEC) as u64,
        (wanted / NSEC_PER_USEC) as u64,
    );
    let mut latest = 0;
    for (index, noted) in NOTED.iter().enumerate() {
        let late = noted.at.get() - (noted.timer.expires() - offset);
        let place = (index * 37 % TIMERS) as u64;
        if hrtimer_active(&noted.timer) || noted.order.get() != place + 1 {
            fail(format_args!(
                "{name} mode {mode}: the timer of place {place} was number {}",
                noted.order.get()
            ));
        }
        if late < 0 || late > slack() {
            fail(format_args!(
                "{name} mode {mode}: a timer was {late} ns late"
            ));
        }
        latest = latest.max(late);
    }
    pr_info!("timers: {TIMERS} hrtimers {name} mode {mode:#x}, at most {latest} ns late");
}

/// A timer that restarts itself keeps its phase.
fn periodic() {
    let noted = &NOTED[0];
    let (rounds, interval) = (50, 300 * NSEC_PER_USEC);
    hrtimer_init(&noted.timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
    noted.timer.function.set(Some(again));
    noted.left.set(rounds);
    noted.interval.set(interval);
    noted.at.set(0);
    let begin = ktime_get();
    hrtimer_start(&noted.timer, interval, HRTIMER_MODE_REL_HARD);
    while noted.at.get() == 0 {
        usleep_range(1000, 1000);
    }
    // Low resolution skips intervals: only the end counts there.
    let took = noted.at.get() - begin;
    let least = rounds as Ktime * interval;
    if took < least || hrtimer_resolution.get() == 1 && took > least + slack() {
        fail(format_args!(
            "{rounds} intervals of {interval} ns took {took} ns"
        ));
    }
    pr_info!("timers: {rounds} intervals of {interval} ns took {took} ns");
}

fn sleeps() {
    for us in [1, 10, 100, 999, 5000] {
        let begin = ktime_get();
        usleep_range(us, 2 * us);
        let took = ktime_get() - begin;
        let (least, most) = (us as Ktime * NSEC_PER_USEC, 2 * us as Ktime * NSEC_PER_USEC);
        if took < least || took > most + slack() {
            fail(format_args!(
                "usleep_range({us}, {}) took {took} ns",
                2 * us
            ));
        }
    }
    for ms in [0, 1, 4, 20, 100, 333] {
        let begin = ktime_get();
        msleep(ms);
        let took = ktime_get() - begin;
        let least = ms as Ktime * NSEC_PER_MSEC;
        // A tick for the one that has begun, one of the wheel's own, an eighth of the distance, and the softirq.
        if took < least || took > least + least / 8 + 5 * TICK_NSEC {
            fail(format_args!("msleep({ms}) took {took} ns"));
        }
    }
    pr_info!("timers: sleeps keep their bounds");
}
