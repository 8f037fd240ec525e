//! The tick as an hrtimer, in high-resolution mode.
//!
//! Linux: kernel/time/tick-sched.c, v6.8. **Kept** one hrtimer a CPU at one phase, the timekeeping duty, what a
//! tick does. **Left out** NO_HZ: an idle CPU keeps ticking, which the machine skips over at no cost.
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::hrtimer::*;
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::ktime::Ktime;
use crate::include::linux::smp::smp_processor_id;
use crate::kernel::time::jiffies::{do_timer, jiffies_lock};
use crate::kernel::time::tick_common::{
    TICK_DO_TIMER_NONE, tick_do_timer_cpu, tick_next_period, update_process_times,
};

/// One CPU's tick.
#[doc(alias = "tick_sched")]
pub struct TickSched {
    /// The timer.
    pub sched_timer: Hrtimer,
    /// High-resolution mode is set up.
    pub highres: Shared<bool>,
}

static tick_cpu_sched: PerCpu<TickSched> = PerCpu::new(
    [const {
        TickSched {
            sched_timer: Hrtimer::new(),
            highres: Shared::new(false),
        }
    }; NR_CPUS],
);

static last_jiffies_update: Shared<Ktime> = Shared::new(0);

/// Advances jiffies to `now`.
fn tick_do_update_jiffies64(now: Ktime) {
    if now < tick_next_period.get() {
        return;
    }
    let _guard = jiffies_lock.lock();
    let delta = now - last_jiffies_update.get();
    if delta < TICK_NSEC {
        return;
    }
    let ticks = delta / TICK_NSEC;
    last_jiffies_update.add(ticks * TICK_NSEC);
    do_timer(ticks as u64);
    tick_next_period.set(last_jiffies_update.get() + TICK_NSEC);
}

/// The phase that all ticks share: the last periodic one, rounded to a tick.
fn tick_init_jiffy_update() -> Ktime {
    let _guard = jiffies_lock.lock();
    if last_jiffies_update.get() == 0 {
        let next = tick_next_period.get();
        let rounded = next + (TICK_NSEC - next % TICK_NSEC) % TICK_NSEC;
        tick_next_period.set(rounded);
        last_jiffies_update.set(rounded);
    }
    last_jiffies_update.get()
}

/// The tick.
#[inline(never)]
fn tick_nohz_highres_handler(timer: &'static Hrtimer) -> HrtimerRestart {
    let now = ktime_get();
    tick_sched_do_timer(now);
    update_process_times(false);
    hrtimer_forward(timer, now, TICK_NSEC);
    HRTIMER_RESTART
}

fn tick_sched_do_timer(now: Ktime) {
    let cpu = smp_processor_id();
    if tick_do_timer_cpu.get() == TICK_DO_TIMER_NONE {
        tick_do_timer_cpu.set(cpu);
    }
    if tick_do_timer_cpu.get() == cpu {
        tick_do_update_jiffies64(now);
    }
}

/// Starts this CPU's tick timer, at the common phase.
///
/// # Context
/// Interrupts off, in the last periodic tick.
pub fn tick_setup_sched_timer() {
    let ts = tick_cpu_sched.this_cpu();
    hrtimer_init(
        &ts.sched_timer,
        CLOCK_MONOTONIC,
        HRTIMER_MODE_ABS_PINNED_HARD,
    );
    ts.sched_timer.function.set(Some(tick_nohz_highres_handler));
    ts.sched_timer.set_expires(tick_init_jiffy_update());
    ts.highres.set(true);
    hrtimer_forward(&ts.sched_timer, ktime_get(), TICK_NSEC);
    hrtimer_start(
        &ts.sched_timer,
        ts.sched_timer.expires(),
        HRTIMER_MODE_ABS_PINNED_HARD,
    );
}

/// Stops this CPU's tick for good; it goes down.
pub fn tick_cancel_sched_timer(cpu: u32) {
    hrtimer_cancel(&tick_cpu_sched.per_cpu(cpu).sched_timer);
}

/// An interrupt from idle: with NO_HZ jiffies could be stale here; they are not.
#[inline(always)]
pub fn tick_irq_enter() {}

/// The idle loop begins: the tick goes on.
pub fn tick_nohz_idle_enter() {}

/// The idle loop ends.
pub fn tick_nohz_idle_exit() {}

/// Whether this CPU's tick has been stopped: it never is.
pub fn tick_nohz_tick_stopped() -> bool {
    false
}
