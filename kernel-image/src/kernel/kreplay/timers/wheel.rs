//! Wheel timers of every level, deferrable ones, timers on sleeping CPUs.

use super::fail;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{cpu_active_mask, num_online_cpus};
use crate::include::linux::jiffies::{jiffies, time_before};
use crate::include::linux::timer::*;
use crate::kernel::sched::core::idle_cpu;
use crate::kernel::time::hrtimer::hrtimer_resolution;
use crate::kernel::time::tick_sched::{tick_get_tick_sched, tick_nohz_active};
use crate::kernel::time::timer::sleep::{msleep, usleep_range_idle};
use crate::{intrusive_adapter, pr_info};

/// How late a softirq may be on a machine with next to nothing to do, ticks.
const SLACK: u64 = 2;

/// A timer that notes when it fired.
struct Noted {
    timer: TimerList,
    /// Jiffies when it fired; 0 before.
    at: Shared<u64>,
    fired: Shared<u64>,
}

intrusive_adapter!(
    /// Ours by their timer.
    NotedOfTimer = Noted { timer: TimerList });

const PER_LEVEL: usize = 6;
const LEVELS: usize = 9;

static TIMERS: [Noted; PER_LEVEL * LEVELS] = [const { Noted::new() }; PER_LEVEL * LEVELS];
static DEFERRED: Noted = Noted::new();
static REMOTE: Noted = Noted::new();

impl Noted {
    const fn new() -> Noted {
        Noted {
            timer: TimerList::new(),
            at: Shared::new(0),
            fired: Shared::new(0),
        }
    }

    fn set_up(&'static self, flags: u32) {
        self.fired.set(0);
        timer_setup(&self.timer, note, flags);
    }
}

fn note(timer: &'static TimerList) {
    let noted = NotedOfTimer::entry(timer);
    noted.at.set(jiffies());
    noted.fired.inc();
}

/// First distance of a level, ticks.
fn first_of(level: u32) -> u64 {
    if level == 0 {
        1
    } else {
        63 << (3 * (level - 1))
    }
}

pub(super) fn run(levels: u32) {
    all_levels(levels);
    changes();
    deferrable();
    if num_online_cpus() > 1 {
        on_a_sleeping_cpu();
    }
}

fn all_levels(levels: u32) {
    let begin = jiffies();
    let mut longest = 0;
    let timers = &TIMERS[..levels as usize * PER_LEVEL];
    for (index, noted) in timers.iter().enumerate() {
        let (level, which) = ((index / PER_LEVEL) as u32, (index % PER_LEVEL) as u64);
        let granule = 1 << (3 * level);
        // The level's first distance, the last one before it, and some beyond.
        let delta = first_of(level)
            + [0, 1, granule, 3 * granule + 1, 5 * granule - 1, 7 * granule][which as usize];
        noted.set_up(0);
        noted.timer.expires.set(begin + delta);
        add_timer(&noted.timer);
        longest = delta;
    }
    while time_before(jiffies(), begin + longest)
        || timers.iter().any(|noted| noted.fired.get() == 0)
    {
        if !time_before(jiffies(), begin + longest + (longest >> 2) + 100) {
            fail(format_args!("a timer of the wheel is lost"));
        }
        usleep_range_idle(4000, 8000 << (3 * (levels.min(5) - 1)));
    }
    let mut latest = 0;
    for (index, noted) in timers.iter().enumerate() {
        let granule = 1u64 << (3 * (index / PER_LEVEL));
        let (expires, at) = (noted.timer.expires.get(), noted.at.get());
        if noted.fired.get() != 1 || timer_pending(&noted.timer) {
            fail(format_args!(
                "timer {index} fired {} times",
                noted.fired.get()
            ));
        }
        if !time_before(expires, at) {
            fail(format_args!("timer {index} of {expires} was early: {at}"));
        }
        if time_before(expires + granule + SLACK, at) {
            fail(format_args!("timer {index} of {expires} was late: {at}"));
        }
        latest = latest.max(at - expires);
    }
    pr_info!(
        "timers: {} wheel timers up to {longest} ticks, at most {latest} late",
        timers.len()
    );
}

/// What the calls say and do that change a timer.
fn changes() {
    let [a, b, c] = [&TIMERS[0], &TIMERS[1], &TIMERS[2]];
    [a, b, c].iter().for_each(|noted| noted.set_up(0));
    let now = jiffies();
    let checks = [
        (
            "mod_timer_pending of one that is not",
            mod_timer_pending(&a.timer, now + 9),
            false,
        ),
        (
            "mod_timer of one that is not pending",
            mod_timer(&a.timer, now + 9),
            false,
        ),
        (
            "mod_timer of one that is",
            mod_timer(&a.timer, now + 400),
            true,
        ),
        (
            "timer_reduce to later",
            timer_reduce(&a.timer, now + 500),
            true,
        ),
        (
            "timer_reduce to earlier",
            timer_reduce(&a.timer, now + 300),
            true,
        ),
        ("its time", a.timer.expires.get() == now + 300, true),
        ("timer_delete", timer_delete(&a.timer), true),
        ("timer_delete again", timer_delete(&a.timer), false),
        (
            "timer_reduce starts one",
            timer_reduce(&b.timer, now + 2),
            false,
        ),
        (
            "timer_shutdown of one that is not pending",
            timer_shutdown_sync(&c.timer),
            false,
        ),
        ("mod_timer after it", mod_timer(&c.timer, now + 2), false),
        ("and it stays out", timer_pending(&c.timer), false),
    ];
    for (what, found, right) in checks {
        if found != right {
            fail(format_args!("{what}: {found}"));
        }
    }
    msleep(40);
    if (a.fired.get(), b.fired.get(), c.fired.get()) != (0, 1, 0) {
        fail(format_args!(
            "a timer fired that was deleted, or one did not"
        ));
    }
    pr_info!("timers: {} changes of timers checked", checks.len());
}

/// A deferrable timer lets its CPU sleep, and fires with the next tick that comes for another reason.
fn deferrable() {
    let ts = tick_get_tick_sched(0);
    let mut waited = 0;
    for _ in 0..20 {
        let begin = jiffies();
        DEFERRED.set_up(TIMER_DEFERRABLE | TIMER_PINNED);
        mod_timer(&DEFERRED.timer, begin + 3);
        // A high-resolution sleep: what ends it is no tick.
        usleep_range_idle(40_000, 40_000);
        // Interrupts without a tick between: the last tick was before the timer's time.
        let slept = tick_nohz_active() && time_before(ts.last_tick_jiffies.get(), begin + 3);
        let fired = DEFERRED.fired.get();
        if slept {
            if fired != 0 {
                fail(format_args!("a deferrable timer woke its CPU"));
            }
            waited += 1;
        }
        // We run now: ticks come.
        let awake = jiffies();
        while DEFERRED.fired.get() == 0 {
            if time_before(awake + 2 + SLACK, jiffies()) {
                fail(format_args!(
                    "a deferrable timer missed the ticks of a busy CPU"
                ));
            }
            core::hint::spin_loop();
        }
    }
    // Without high resolution a tick ends our own sleep, and runs it.
    if tick_nohz_active() && hrtimer_resolution.get() == 1 && waited == 0 {
        fail(format_args!("a deferrable timer never waited"));
    }
    pr_info!("timers: {waited} of 20 deferrable timers waited for a tick");
}

/// A timer that another CPU puts on a sleeping one's wheel wakes it in time.
fn on_a_sleeping_cpu() {
    let mut asleep = 0;
    for cpu in cpu_active_mask().without(0).iter().cycle_n(3) {
        usleep_range_idle(30_000, 30_000);
        let slept = idle_cpu(cpu) && tick_get_tick_sched(cpu).tick_stopped.get();
        REMOTE.set_up(TIMER_PINNED);
        let expires = jiffies() + 5;
        REMOTE.timer.expires.set(expires);
        add_timer_on(&REMOTE.timer, cpu);
        usleep_range_idle(60_000, 60_000);
        if REMOTE.fired.get() != 1 || time_before(expires + 1 + SLACK, REMOTE.at.get()) {
            fail(format_args!("cpu{cpu} slept over a timer of {expires}"));
        }
        asleep += u32::from(slept);
    }
    pr_info!("timers: {asleep} timers were put on the wheels of sleeping CPUs");
}

/// Repetition of a short sequence.
trait CycleN: Iterator<Item = u32> + Sized {
    /// The sequence `n` times.
    fn cycle_n(self, n: usize) -> impl Iterator<Item = u32>;
}

impl<I: Iterator<Item = u32>> CycleN for I {
    fn cycle_n(self, n: usize) -> impl Iterator<Item = u32> {
        self.flat_map(move |item| core::iter::repeat_n(item, n))
    }
}
