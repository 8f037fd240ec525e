//! Tests of timers and of sleeping: never early, in order, not after they were cancelled.

use super::until;
use crate::fence::shared::Shared;
use crate::include::kunit::test::Kunit;
use crate::include::linux::hrtimer::{CLOCK_MONOTONIC, HRTIMER_MODE_REL, Hrtimer, HrtimerRestart};
use crate::include::linux::jiffies::{TICK_NSEC, jiffies};
use crate::include::linux::timer::{TimerList, del_timer, mod_timer, timer_pending};
use crate::intrusive_adapter;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::time::hrtimer::{
    hrtimer_active, hrtimer_cancel, hrtimer_forward_now, hrtimer_init, hrtimer_start,
};
use crate::kernel::time::timer::sleep::{msleep, usleep_range};
use crate::{
    KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_GE, KUNIT_EXPECT_LE, KUNIT_EXPECT_TRUE,
    kunit_test_suite,
};
use core::sync::atomic::{AtomicU64, Ordering};

const NR: usize = 4;

struct Alarm {
    timer: Hrtimer,
    number: Shared<u64>,
    /// When it went off, ns.
    at: Shared<u64>,
}

intrusive_adapter!(
    /// Alarms by their timer.
    AlarmOfTimer = Alarm { timer: Hrtimer });

static ALARMS: [Alarm; NR] = [const {
    Alarm {
        timer: Hrtimer::new(),
        number: Shared::new(0),
        at: Shared::new(0),
    }
}; NR];
static RANG: AtomicU64 = AtomicU64::new(0);
static ORDER: [Shared<u64>; NR] = [const { Shared::new(u64::MAX) }; NR];

fn rings(timer: &'static Hrtimer) -> HrtimerRestart {
    let alarm = AlarmOfTimer::entry(timer);
    alarm.at.set(sched_clock());
    let at = RANG.fetch_add(1, Ordering::SeqCst);
    ORDER[at as usize % NR].set(alarm.number.get());
    HrtimerRestart::HRTIMER_NORESTART
}

/// Started in the wrong order, they go off in the right one, none early.
fn hrtimers_fire_in_order(test: &Kunit) {
    let start = sched_clock();
    for (number, alarm) in ALARMS.iter().enumerate().rev() {
        alarm.number.set(number as u64);
        hrtimer_init(&alarm.timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
        alarm.timer.function.set(Some(rings));
        hrtimer_start(
            &alarm.timer,
            200_000 + number as i64 * 100_000,
            HRTIMER_MODE_REL,
        );
    }
    KUNIT_EXPECT_TRUE!(test, until(|| RANG.load(Ordering::SeqCst) == NR as u64));
    for (alarm, number) in ALARMS.iter().zip(0..) {
        KUNIT_EXPECT_EQ!(test, ORDER[number as usize].get(), number);
        KUNIT_EXPECT_GE!(test, alarm.at.get() - start, 200_000 + number * 100_000);
        KUNIT_EXPECT_FALSE!(test, hrtimer_active(&alarm.timer));
    }
}

static CANCELLED: Hrtimer = Hrtimer::new();
static CALLS: AtomicU64 = AtomicU64::new(0);

fn counts_a_call(_: &'static Hrtimer) -> HrtimerRestart {
    CALLS.fetch_add(1, Ordering::SeqCst);
    HrtimerRestart::HRTIMER_NORESTART
}

fn hrtimer_cancel_in_time(test: &Kunit) {
    hrtimer_init(&CANCELLED, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
    CANCELLED.function.set(Some(counts_a_call));
    hrtimer_start(&CANCELLED, 2_000_000, HRTIMER_MODE_REL);
    KUNIT_EXPECT_TRUE!(test, hrtimer_active(&CANCELLED));
    KUNIT_EXPECT_EQ!(test, hrtimer_cancel(&CANCELLED), 1);
    KUNIT_EXPECT_EQ!(test, hrtimer_cancel(&CANCELLED), 0);
    usleep_range(3_000, 3_000);
    KUNIT_EXPECT_EQ!(test, CALLS.load(Ordering::SeqCst), 0);
}

static PERIODIC: Hrtimer = Hrtimer::new();
static PERIODS: AtomicU64 = AtomicU64::new(0);
const PERIOD: i64 = 100_000;

fn comes_again(timer: &'static Hrtimer) -> HrtimerRestart {
    PERIODS.fetch_add(hrtimer_forward_now(timer, PERIOD), Ordering::SeqCst);
    HrtimerRestart::HRTIMER_RESTART
}

/// A timer that restarts itself keeps its phase: as many periods as time has passed.
fn hrtimer_restarts(test: &Kunit) {
    hrtimer_init(&PERIODIC, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
    PERIODIC.function.set(Some(comes_again));
    let start = sched_clock();
    hrtimer_start(&PERIODIC, PERIOD, HRTIMER_MODE_REL);
    usleep_range(2_000, 2_000);
    hrtimer_cancel(&PERIODIC);
    let most = (sched_clock() - start) / PERIOD as u64;
    let periods = PERIODS.load(Ordering::SeqCst);
    KUNIT_EXPECT_LE!(test, periods, most);
    KUNIT_EXPECT_GE!(test, periods, 19);
    usleep_range(500, 500);
    KUNIT_EXPECT_EQ!(test, PERIODS.load(Ordering::SeqCst), periods);
}

static WHEEL: TimerList = TimerList::new();
static WHEEL_AT: Shared<u64> = Shared::new(0);

fn notes_the_jiffy(_: &'static TimerList) {
    WHEEL_AT.set(jiffies());
}

/// The wheel: not before its jiffy, not after it was deleted.
fn wheel_timer(test: &Kunit) {
    WHEEL.function.set(Some(notes_the_jiffy));
    for delta in [1, 3, 10] {
        WHEEL_AT.set(0);
        let due = jiffies() + delta;
        KUNIT_EXPECT_FALSE!(test, mod_timer(&WHEEL, due));
        KUNIT_EXPECT_TRUE!(test, until(|| WHEEL_AT.get() != 0));
        KUNIT_EXPECT_GE!(test, WHEEL_AT.get(), due);
        KUNIT_EXPECT_FALSE!(test, timer_pending(&WHEEL));
    }
    WHEEL_AT.set(0);
    mod_timer(&WHEEL, jiffies() + 2);
    KUNIT_EXPECT_TRUE!(test, mod_timer(&WHEEL, jiffies() + 3));
    KUNIT_EXPECT_TRUE!(test, del_timer(&WHEEL));
    KUNIT_EXPECT_FALSE!(test, del_timer(&WHEEL));
    msleep(20);
    KUNIT_EXPECT_EQ!(test, WHEEL_AT.get(), 0);
}

/// At least so long; in whole ticks, one more to be sure, and the way back.
fn sleeps_long_enough(test: &Kunit) {
    for ms in [1, 5, 9] {
        let start = sched_clock();
        msleep(ms);
        let slept = sched_clock() - start;
        KUNIT_EXPECT_GE!(test, slept, ms * 1_000_000);
        KUNIT_EXPECT_LE!(test, slept, ms * 1_000_000 + 3 * TICK_NSEC as u64);
    }
    for us in [10, 150, 1_700] {
        let start = sched_clock();
        usleep_range(us, 2 * us);
        KUNIT_EXPECT_GE!(test, sched_clock() - start, us * 1_000);
    }
}

/// Jiffies and the clock tell the same time, to a tick or two.
fn jiffies_follow_the_clock(test: &Kunit) {
    let (start, ticks) = (sched_clock(), jiffies());
    msleep(40);
    let passed = (sched_clock() - start) / TICK_NSEC as u64;
    KUNIT_EXPECT_LE!(test, (jiffies() - ticks).abs_diff(passed), 2);
}

kunit_test_suite!(
/// The suite.
suite = "timers": [
    hrtimers_fire_in_order,
    hrtimer_cancel_in_time,
    hrtimer_restarts,
    wheel_timer,
    sleeps_long_enough,
    jiffies_follow_the_clock,
]);
