//! One CPU starts timers, another cancels them while they expire.

use super::{fail, start, thread_on};
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::num_online_cpus;
use crate::include::linux::hrtimer::*;
use crate::include::linux::jiffies::jiffies;
use crate::include::linux::kthread::kthread_stop;
use crate::include::linux::ktime::NSEC_PER_USEC;
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::timer::*;
use crate::kernel::kreplay::common::{compute, nth_cpu, wait_for_stop};
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;
use core::sync::atomic::{AtomicU64, Ordering};

static TIMER: TimerList = TimerList::new();
static HRTIMER: Hrtimer = Hrtimer::new();
/// Rounds that have been started, and that have been ended by the canceller.
static STARTED: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);
static ROUNDS: Shared<u64> = Shared::new(0);
/// Whether a callback runs, and how many have.
static RUNNING: AtomicU64 = AtomicU64::new(0);
static FIRED: AtomicU64 = AtomicU64::new(0);
static CANCELLED: AtomicU64 = AtomicU64::new(0);
static WAITED: AtomicU64 = AtomicU64::new(0);

fn callback() {
    RUNNING.store(1, Ordering::SeqCst);
    compute(1000, 1);
    FIRED.fetch_add(1, Ordering::SeqCst);
    RUNNING.store(0, Ordering::SeqCst);
}

fn expired(_timer: &'static TimerList) {
    callback();
}

fn hr_expired(_timer: &'static Hrtimer) -> HrtimerRestart {
    callback();
    HRTIMER_NORESTART
}

/// Starts a timer a round, on its own CPU.
extern "C" fn starter(_data: VoidPtr) -> i32 {
    for round in 0..ROUNDS.get() {
        while ENDED.load(Ordering::SeqCst) != round {
            usleep_range(5, 10);
        }
        if round.is_multiple_of(8) {
            mod_timer(&TIMER, jiffies());
        } else {
            let us = 2 + round % 7;
            hrtimer_start(&HRTIMER, us as i64 * NSEC_PER_USEC, HRTIMER_MODE_REL_PINNED);
        }
        STARTED.store(round + 1, Ordering::SeqCst);
    }
    wait_for_stop()
}

/// Cancels it, sooner or later.
fn end(round: u64) {
    while STARTED.load(Ordering::SeqCst) != round + 1 {
        usleep_range(3, 6);
    }
    let (sync, pending) = if round.is_multiple_of(8) {
        // The softirq comes with a tick, sometime within four milliseconds.
        usleep_range(round * 131 % 5000, 5000);
        let ran = RUNNING.load(Ordering::SeqCst);
        (ran, del_timer_sync(&TIMER))
    } else {
        let fired = FIRED.load(Ordering::SeqCst);
        preempt_disable();
        // Every third time in the middle of the callback, if that is on another CPU.
        while round.is_multiple_of(3)
            && RUNNING.load(Ordering::SeqCst) == 0
            && FIRED.load(Ordering::SeqCst) == fired
            && hrtimer_active(&HRTIMER)
        {
            core::hint::spin_loop();
        }
        compute((round * 61 % 2000) as u32 / 8, round);
        preempt_enable();
        let ran = RUNNING.load(Ordering::SeqCst);
        (ran, hrtimer_cancel(&HRTIMER) != 0)
    };
    WAITED.fetch_add(sync, Ordering::Relaxed);
    if RUNNING.load(Ordering::SeqCst) != 0 || timer_pending(&TIMER) || hrtimer_active(&HRTIMER) {
        fail(format_args!(
            "round {round}: a cancelled timer's callback runs"
        ));
    }
    CANCELLED.fetch_add(u64::from(pending), Ordering::Relaxed);
    let (fired, cancelled) = (
        FIRED.load(Ordering::SeqCst),
        CANCELLED.load(Ordering::Relaxed),
    );
    if fired + cancelled != round + 1 {
        fail(format_args!(
            "round {round}: {fired} fired, {cancelled} cancelled"
        ));
    }
    ENDED.store(round + 1, Ordering::SeqCst);
}

pub(super) fn run(rounds: u64) {
    timer_setup(&TIMER, expired, TIMER_PINNED);
    hrtimer_init(&HRTIMER, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED);
    HRTIMER.function.set(Some(hr_expired));
    ROUNDS.set(rounds);
    let cpu = nth_cpu(u64::from(num_online_cpus()) - 1);
    let starter = thread_on(cpu, starter, VoidPtr::NULL, "starter");
    start(starter);
    for round in 0..rounds {
        end(round);
    }
    kthread_stop(starter);
    if rounds >= 50 && num_online_cpus() > 1 && WAITED.load(Ordering::Relaxed) == 0 {
        fail(format_args!(
            "no timer was cancelled while its callback ran"
        ));
    }
    pr_info!(
        "timers: of {rounds} timers {} fired and {} were cancelled, {} while they ran on another CPU",
        FIRED.load(Ordering::Relaxed),
        CANCELLED.load(Ordering::Relaxed),
        WAITED.load(Ordering::Relaxed),
    );
}
