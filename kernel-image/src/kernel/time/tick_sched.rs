//! The tick of each CPU in one-shot mode, and its stop while the CPU idles.
//!
//! Linux: kernel/time/tick-sched.c, v6.8, NO_HZ_IDLE. **Kept** the tick as an hrtimer at one phase (or, with
//! `highres=off`, as the device's next event), `skew_tick=1`, the stop in idle with all its conditions, the duty of
//! counting jiffies that a sleeping CPU gives up and the next that ticks adopts, idle accounting, `nohz=off`.
//! **Left out** NO_HZ_FULL with its dependencies, broadcast, cpuidle's question for the length of a sleep.
//! **Differs** nothing else.
//! **Locks** `jiffies_lock`; the rest is each CPU's own with interrupts off.
use crate::arch::x86::include::asm::current::current;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::clockchips::ClockEventDevice;
use crate::include::linux::cpumask::{NR_CPUS, cpu_active, cpu_online, num_possible_cpus};
use crate::include::linux::hrtimer::*;
use crate::include::linux::interrupt::{
    SOFTIRQ_HOTPLUG_SAFE_MASK, TIMER_SOFTIRQ, local_softirq_pending,
};
use crate::include::linux::irqflags::{local_irq_disable, local_irq_enable};
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::ktime::{KTIME_MAX, Ktime};
use crate::include::linux::sched::{is_idle_task, need_resched};
use crate::include::linux::smp::smp_processor_id;
use crate::include::trace::events::timer::trace_tick_stop;
use crate::kernel::irq_work::irq_work_needs_cpu;
use crate::kernel::params::param;
use crate::kernel::rcu::tree::rcu_needs_cpu;
use crate::kernel::sched::core::nr_iowait_cpu;
use crate::kernel::sched::cputime::account_idle_ticks;
use crate::kernel::sched::fair::balance::nohz::nohz_balance_enter_idle;
use crate::kernel::sched::loadavg::{calc_load_nohz_start, calc_load_nohz_stop};
use crate::kernel::time::jiffies::{do_timer, jiffies, jiffies_lock, jiffies_seq};
use crate::kernel::time::tick_common::{
    TICK_DO_TIMER_NONE, tick_do_timer_cpu, tick_is_oneshot_available, tick_next_period,
    tick_program_event, tick_switch_to_oneshot,
};
use crate::kernel::time::timekeeping::{ktime_get, timekeeping_max_deferment};
use crate::kernel::time::timer::{
    get_next_timer_interrupt, timer_clear_idle, update_process_times,
};
use crate::{WARN_ON_ONCE, container_of, pr_warn};
use core::sync::atomic::{AtomicBool, Ordering};

/// How a CPU ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum TickNohzMode {
    /// Periodically, or one-shot with `nohz=off`: the tick does not stop.
    NOHZ_MODE_INACTIVE,
    /// By setting the device for each tick.
    NOHZ_MODE_LOWRES,
    /// By an hrtimer.
    NOHZ_MODE_HIGHRES,
}
use TickNohzMode::*;

/// One CPU's tick.
#[doc(alias = "tick_sched")]
#[repr(C)]
pub struct TickSched {
    /// The CPU is in the idle loop.
    pub inidle: Shared<bool>,
    /// The tick is stopped.
    pub tick_stopped: Shared<bool>,
    /// It idles right now: no interrupt is being handled.
    pub idle_active: Shared<bool>,
    /// It was the last to have the duty of counting jiffies.
    pub do_timer_last: Shared<bool>,
    /// A tick came in the idle loop.
    pub got_idle_tick: Shared<bool>,
    /// Ticks since jiffies last moved.
    pub stalled_jiffies: Shared<u32>,
    /// Jiffies at the last tick.
    pub last_tick_jiffies: Shared<u64>,
    /// The timer; its expiry is the next tick in low resolution too.
    pub sched_timer: Hrtimer,
    /// Expiry of the tick that the stop replaced.
    pub last_tick: Shared<Ktime>,
    /// Expiry of the next one while it is stopped.
    pub next_tick: Shared<Ktime>,
    /// Jiffies at the stop, those counted since by interrupts added.
    pub idle_jiffies: Shared<u64>,
    /// When an interrupt last woke it.
    pub idle_waketime: Shared<Ktime>,
    /// When it began to idle.
    pub idle_entrytime: Shared<Ktime>,
    /// How it ticks.
    pub nohz_mode: Shared<TickNohzMode>,
    /// Jiffies when the next event was last computed.
    pub last_jiffies: Shared<u64>,
    /// The time of these jiffies, while that computation holds; 0 otherwise.
    pub timer_expires_base: Shared<Ktime>,
    /// What was computed.
    pub timer_expires: Shared<Ktime>,
    /// The first timer that it saw.
    pub next_timer: Shared<Ktime>,
    /// Expiry of the present sleep.
    pub idle_expires: Shared<Ktime>,
    /// How often the loop wanted to stop the tick.
    pub idle_calls: Shared<u64>,
    /// How often it was stopped.
    pub idle_sleeps: Shared<u64>,
    /// When the idle loop was last left.
    pub idle_exittime: Shared<Ktime>,
    /// Time slept with nobody waiting for I/O, ns.
    pub idle_sleeptime: Shared<Ktime>,
    /// Time slept with somebody waiting for I/O, ns.
    pub iowait_sleeptime: Shared<Ktime>,
    /// Bit 0: the device may have become able to do one-shot.
    pub check_clocks: Shared<bool>,
}

impl TickSched {
    const fn new() -> TickSched {
        TickSched {
            inidle: Shared::new(false),
            tick_stopped: Shared::new(false),
            idle_active: Shared::new(false),
            do_timer_last: Shared::new(false),
            got_idle_tick: Shared::new(false),
            stalled_jiffies: Shared::new(0),
            last_tick_jiffies: Shared::new(0),
            sched_timer: Hrtimer::new(),
            last_tick: Shared::new(0),
            next_tick: Shared::new(0),
            idle_jiffies: Shared::new(0),
            idle_waketime: Shared::new(0),
            idle_entrytime: Shared::new(0),
            nohz_mode: Shared::new(NOHZ_MODE_INACTIVE),
            last_jiffies: Shared::new(0),
            timer_expires_base: Shared::new(0),
            timer_expires: Shared::new(0),
            next_timer: Shared::new(0),
            idle_expires: Shared::new(0),
            idle_calls: Shared::new(0),
            idle_sleeps: Shared::new(0),
            idle_exittime: Shared::new(0),
            idle_sleeptime: Shared::new(0),
            iowait_sleeptime: Shared::new(0),
            check_clocks: Shared::new(false),
        }
    }
}

type TsRef = &'static TickSched;

#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
static tick_cpu_sched: PerCpu<TickSched> = PerCpu::new([const { TickSched::new() }; NR_CPUS]);

/// A CPU's tick.
pub fn tick_get_tick_sched(cpu: u32) -> TsRef {
    tick_cpu_sched.per_cpu(cpu)
}

/// Some CPU can stop its tick: timers go to busy CPUs, and sleeping ones are woken for those they get.
static nohz_active: AtomicBool = AtomicBool::new(false);

/// Whether ticks stop here.
pub fn tick_nohz_active() -> bool {
    nohz_active.load(Ordering::Relaxed)
}

/// `nohz=off` lets idle CPUs tick.
fn tick_nohz_enabled() -> bool {
    !param("nohz").is_some_and(|text| text.is("off"))
}

/// `skew_tick=1` lets CPUs tick one after the other.
fn sched_skew_tick() -> bool {
    param("skew_tick").is_some_and(|text| text.is("1"))
}

/// After so many ticks without a change of jiffies any CPU counts them.
const MAX_STALLED_JIFFIES: u32 = 5;

/// Time of the last jiffy; 0 until ticks are one-shot.
static last_jiffies_update: Shared<Ktime> = Shared::new(0);

/// Advances jiffies to `now`.
fn tick_do_update_jiffies64(now: Ktime) {
    // Without the lock: most often there is nothing to do.
    if now < tick_next_period.get() {
        return;
    }
    let _guard = jiffies_lock.lock();
    let delta = now - tick_next_period.get();
    if delta < 0 {
        return;
    }
    // One, and what a long sleep adds.
    let ticks = 1 + delta / TICK_NSEC;
    jiffies_seq.fetch_add(1, Ordering::SeqCst);
    last_jiffies_update.add(ticks * TICK_NSEC);
    tick_next_period.set(last_jiffies_update.get() + TICK_NSEC);
    do_timer(ticks as u64);
    jiffies_seq.fetch_add(1, Ordering::SeqCst);
}

/// The time of the present jiffy, and the jiffy.
fn get_jiffies_update() -> (Ktime, u64) {
    loop {
        let seq = jiffies_seq.load(Ordering::SeqCst);
        let (basem, basej) = (last_jiffies_update.get(), jiffies());
        if seq & 1 == 0 && jiffies_seq.load(Ordering::SeqCst) == seq {
            return (basem, basej);
        }
        crate::arch::x86::include::asm::processor::cpu_relax();
    }
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

fn tick_sched_do_timer(ts: TsRef, now: Ktime) {
    let cpu = smp_processor_id();
    // The one that had the duty sleeps. Two may take it at once: the count is under a lock.
    if tick_do_timer_cpu.get() == TICK_DO_TIMER_NONE {
        tick_do_timer_cpu.set(cpu);
    }
    if tick_do_timer_cpu.get() == cpu {
        tick_do_update_jiffies64(now);
    }
    // That one may be kept from its tick: in `stop_machine`, or by its host.
    if ts.last_tick_jiffies.get() != jiffies() {
        ts.stalled_jiffies.set(0);
        ts.last_tick_jiffies.set(jiffies());
    } else {
        ts.stalled_jiffies.inc();
        if ts.stalled_jiffies.get() == MAX_STALLED_JIFFIES {
            tick_do_update_jiffies64(now);
            ts.stalled_jiffies.set(0);
            ts.last_tick_jiffies.set(jiffies());
        }
    }
    if ts.inidle.get() {
        ts.got_idle_tick.set(true);
    }
}

fn tick_sched_handle(ts: TsRef) {
    if ts.tick_stopped.get() {
        // This tick accounts itself: it is not part of the time that the exit from idle accounts.
        if is_idle_task(current()) {
            ts.idle_jiffies.inc();
        }
        // If it came early, the same expiry must be set again.
        ts.next_tick.set(0);
    }
    update_process_times(false);
}

/// The tick in high-resolution mode.
#[inline(never)]
fn tick_nohz_highres_handler(timer: &'static Hrtimer) -> HrtimerRestart {
    let ts = container_of!(timer, TickSched, sched_timer);
    let now = ktime_get();
    tick_sched_do_timer(ts, now);
    tick_sched_handle(ts);
    // While it is stopped the idle loop says when the next one is.
    if ts.tick_stopped.get() {
        return HRTIMER_NORESTART;
    }
    hrtimer_forward(timer, now, TICK_NSEC);
    HRTIMER_RESTART
}

/// The tick in low-resolution mode: the device's interrupt.
#[inline(never)]
fn tick_nohz_lowres_handler(dev: &'static ClockEventDevice) {
    let ts = tick_cpu_sched.this_cpu();
    let now = ktime_get();
    dev.next_event.set(KTIME_MAX);
    tick_sched_do_timer(ts, now);
    tick_sched_handle(ts);
    if !ts.tick_stopped.get() {
        hrtimer_forward(&ts.sched_timer, now, TICK_NSEC);
        tick_program_event(ts.sched_timer.expires(), true);
    }
}

fn tick_nohz_activate(ts: TsRef, mode: TickNohzMode) {
    if tick_nohz_enabled() {
        ts.nohz_mode.set(mode);
        nohz_active.store(true, Ordering::Relaxed);
    }
}

/// Goes over to ticks that can stop, without high resolution.
fn tick_nohz_switch_to_nohz() {
    if !tick_nohz_enabled() || tick_switch_to_oneshot(tick_nohz_lowres_handler) != 0 {
        return;
    }
    let ts = tick_cpu_sched.this_cpu();
    tick_nohz_activate(ts, NOHZ_MODE_LOWRES);
    // It is never queued: it keeps the time of the next tick.
    hrtimer_init(&ts.sched_timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
    ts.sched_timer.set_expires(tick_init_jiffy_update());
    hrtimer_forward_now(&ts.sched_timer, TICK_NSEC);
    tick_program_event(ts.sched_timer.expires(), true);
}

/// Starts this CPU's tick timer, at the common phase.
///
/// # Context
/// Interrupts off, in the last periodic tick.
pub fn tick_setup_sched_timer() {
    let ts = tick_cpu_sched.this_cpu();
    hrtimer_init(&ts.sched_timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
    ts.sched_timer.function.set(Some(tick_nohz_highres_handler));
    ts.sched_timer.set_expires(tick_init_jiffy_update());
    if sched_skew_tick() {
        let share = (TICK_NSEC >> 1) / Ktime::from(num_possible_cpus());
        ts.sched_timer
            .add_expires(share * Ktime::from(smp_processor_id()));
    }
    hrtimer_forward_now(&ts.sched_timer, TICK_NSEC);
    hrtimer_start_expires(&ts.sched_timer, HRTIMER_MODE_ABS_PINNED_HARD);
    tick_nohz_activate(ts, NOHZ_MODE_HIGHRES);
}

/// This CPU's device may be able to do one-shot now.
pub fn tick_oneshot_notify() {
    tick_cpu_sched.this_cpu().check_clocks.set(true);
}

/// Whether to go over to high resolution; if that is not allowed but stopped ticks are, goes over to these.
///
/// # Context
/// The periodic tick.
pub fn tick_check_oneshot_change(allow_nohz: bool) -> bool {
    let ts = tick_cpu_sched.this_cpu();
    if !ts.check_clocks.replace(false)
        || ts.nohz_mode.get() != NOHZ_MODE_INACTIVE
        || !tick_is_oneshot_available()
    {
        return false;
    }
    if allow_nohz {
        tick_nohz_switch_to_nohz();
    }
    !allow_nohz
}

/// A CPU dies: its tick ends, what it has slept stays known.
pub fn tick_cancel_sched_timer(cpu: u32) {
    let ts = tick_cpu_sched.per_cpu(cpu);
    if ts.sched_timer.base.get().is_some() {
        hrtimer_cancel(&ts.sched_timer);
    }
    for flag in [
        &ts.inidle,
        &ts.tick_stopped,
        &ts.idle_active,
        &ts.do_timer_last,
        &ts.got_idle_tick,
        &ts.check_clocks,
    ] {
        flag.set(false);
    }
    for time in [
        &ts.last_tick,
        &ts.next_tick,
        &ts.idle_waketime,
        &ts.idle_entrytime,
        &ts.timer_expires_base,
        &ts.timer_expires,
        &ts.next_timer,
        &ts.idle_expires,
        &ts.idle_exittime,
    ] {
        time.set(0);
    }
    ts.stalled_jiffies.set(0);
    ts.last_tick_jiffies.set(0);
    ts.idle_jiffies.set(0);
    ts.last_jiffies.set(0);
    ts.nohz_mode.set(NOHZ_MODE_INACTIVE);
}

// Idle time.

/// An interrupt, or work, ends a stretch of idling.
fn tick_nohz_stop_idle(ts: TsRef, now: Ktime) {
    if WARN_ON_ONCE!(!ts.idle_active.get()) {
        return;
    }
    let delta = now - ts.idle_entrytime.get();
    if nr_iowait_cpu(smp_processor_id()) > 0 {
        ts.iowait_sleeptime.add(delta);
    } else {
        ts.idle_sleeptime.add(delta);
    }
    ts.idle_entrytime.set(now);
    ts.idle_active.set(false);
}

fn tick_nohz_start_idle(ts: TsRef) {
    ts.idle_entrytime.set(ktime_get());
    ts.idle_active.set(true);
}

/// Time a CPU has idled with nobody waiting for I/O there, ns (`get_cpu_idle_time_us`, in its own unit).
pub fn get_cpu_idle_time_ns(cpu: u32) -> Ktime {
    get_cpu_sleep_time(
        cpu,
        &tick_cpu_sched.per_cpu(cpu).idle_sleeptime,
        |waiting| waiting == 0,
    )
}

/// Time a CPU has idled with somebody waiting for I/O there, ns (`get_cpu_iowait_time_us`).
pub fn get_cpu_iowait_time_ns(cpu: u32) -> Ktime {
    get_cpu_sleep_time(
        cpu,
        &tick_cpu_sched.per_cpu(cpu).iowait_sleeptime,
        |waiting| waiting > 0,
    )
}

fn get_cpu_sleep_time(cpu: u32, sleeptime: &Shared<Ktime>, now_too: fn(i32) -> bool) -> Ktime {
    let ts = tick_cpu_sched.per_cpu(cpu);
    let mut idle = sleeptime.get();
    if ts.idle_active.get() && now_too(nr_iowait_cpu(cpu)) {
        idle += (ktime_get() - ts.idle_entrytime.get()).max(0);
    }
    idle
}

// The stop.

fn tick_nohz_restart(ts: TsRef, now: Ktime) {
    hrtimer_cancel(&ts.sched_timer);
    ts.sched_timer.set_expires(ts.last_tick.get());
    hrtimer_forward(&ts.sched_timer, now, TICK_NSEC);
    if ts.nohz_mode.get() == NOHZ_MODE_HIGHRES {
        hrtimer_start_expires(&ts.sched_timer, HRTIMER_MODE_ABS_PINNED_HARD);
    } else {
        tick_program_event(ts.sched_timer.expires(), true);
    }
    // What was set for the sleep does not hold any more.
    ts.next_tick.set(0);
}

fn local_timer_softirq_pending() -> bool {
    local_softirq_pending() & 1 << TIMER_SOFTIRQ != 0
}

/// When this CPU must tick next; 0 if that is so soon that the tick goes on.
fn tick_nohz_next_event(ts: TsRef, cpu: u32) -> Ktime {
    let (basemono, basejiff) = get_jiffies_update();
    ts.last_jiffies.set(basejiff);
    ts.timer_expires_base.set(basemono);

    // RCU callbacks and lazy irq_work wait for a tick. With a timer softirq pending the wheel would answer "now" again and again.
    let mut next_tick = if rcu_needs_cpu() || irq_work_needs_cpu() || local_timer_softirq_pending()
    {
        basemono + TICK_NSEC
    } else {
        let next_tmr = get_next_timer_interrupt(basejiff, basemono);
        ts.next_timer.set(next_tmr);
        next_tmr
    };
    if WARN_ON_ONCE!(next_tick < basemono) {
        next_tick = basemono;
    }
    if next_tick - basemono <= TICK_NSEC {
        timer_clear_idle();
        // Not worth a stop. One that is stopped already stays so until then.
        if !ts.tick_stopped.get() {
            ts.timer_expires.set(0);
            return 0;
        }
    }
    // Whoever had the duty last looks at the clock now and then; the others may sleep for ever.
    let duty = tick_do_timer_cpu.get();
    let keeps_time = cpu == duty || duty == TICK_DO_TIMER_NONE && ts.do_timer_last.get();
    let expires = if keeps_time {
        basemono + timekeeping_max_deferment()
    } else {
        KTIME_MAX
    };
    ts.timer_expires.set(expires.min(next_tick));
    ts.timer_expires.get()
}

fn tick_nohz_stop_tick(ts: TsRef, cpu: u32) {
    let expires = ts.timer_expires.get();
    ts.timer_expires_base.set(0);
    // Whoever ticks next takes the duty; maybe it is this CPU again.
    if cpu == tick_do_timer_cpu.get() {
        tick_do_timer_cpu.set(TICK_DO_TIMER_NONE);
        ts.do_timer_last.set(true);
    } else if tick_do_timer_cpu.get() != TICK_DO_TIMER_NONE {
        ts.do_timer_last.set(false);
    }
    // An interrupt that woke nobody: the timer is set already.
    if ts.tick_stopped.get() && expires == ts.next_tick.get() {
        if expires == KTIME_MAX || expires == ts.sched_timer.expires() {
            return;
        }
        WARN_ON_ONCE!(true);
    }
    // The loop comes here several times before the tick goes on; the first time, what it needs then is kept.
    if !ts.tick_stopped.get() {
        calc_load_nohz_start();
        ts.last_tick.set(ts.sched_timer.expires());
        ts.tick_stopped.set(true);
        trace_tick_stop(true, 0);
    }
    ts.next_tick.set(expires);
    let highres = ts.nohz_mode.get() == NOHZ_MODE_HIGHRES;
    if expires == KTIME_MAX {
        if highres {
            hrtimer_cancel(&ts.sched_timer);
        } else {
            tick_program_event(KTIME_MAX, true);
        }
    } else if highres {
        hrtimer_start(&ts.sched_timer, expires, HRTIMER_MODE_ABS_PINNED_HARD);
    } else {
        ts.sched_timer.set_expires(expires);
        tick_program_event(expires, true);
    }
}

fn tick_nohz_retain_tick(ts: TsRef) {
    ts.timer_expires_base.set(0);
}

fn tick_nohz_restart_sched_tick(ts: TsRef, now: Ktime) {
    tick_do_update_jiffies64(now);
    // Timers may be added without waking us.
    timer_clear_idle();
    calc_load_nohz_stop();
    ts.tick_stopped.set(false);
    tick_nohz_restart(ts, now);
}

/// How often the complaint below has been made.
static ratelimit: Shared<u32> = Shared::new(0);

/// Softirqs are pending although the CPU idles: the tick must see to them. Complains, because nobody should leave
/// any behind.
fn report_idle_softirq() -> bool {
    let mut pending = local_softirq_pending();
    // On its way down ksoftirqd is parked already; these can stand that.
    if !cpu_active(smp_processor_id()) {
        pending &= !SOFTIRQ_HOTPLUG_SAFE_MASK;
    }
    if pending == 0 || ratelimit.get() >= 10 {
        return false;
    }
    pr_warn!("NOHZ tick-stop error: local softirq work is pending, handler #{pending:02x}!!!");
    ratelimit.inc();
    true
}

fn can_stop_idle_tick(cpu: u32, ts: TsRef) -> bool {
    if !cpu_online(cpu) {
        // It dies: it has no duty, and what was set does not hold when it comes up again.
        if cpu == tick_do_timer_cpu.get() {
            tick_do_timer_cpu.set(TICK_DO_TIMER_NONE);
        }
        ts.next_tick.set(0);
        return false;
    }
    ts.nohz_mode.get() != NOHZ_MODE_INACTIVE && !need_resched() && !report_idle_softirq()
}

/// Stops the tick, if it need not go on.
///
/// # Context
/// Idle loop, interrupts off.
#[inline(never)]
pub fn tick_nohz_idle_stop_tick() {
    let cpu = smp_processor_id();
    let ts = tick_cpu_sched.this_cpu();
    let expires = if ts.timer_expires_base.get() != 0 {
        ts.timer_expires.get()
    } else if can_stop_idle_tick(cpu, ts) {
        tick_nohz_next_event(ts, cpu)
    } else {
        return;
    };
    ts.idle_calls.inc();
    if expires > 0 {
        let was_stopped = ts.tick_stopped.get();
        tick_nohz_stop_tick(ts, cpu);
        ts.idle_sleeps.inc();
        ts.idle_expires.set(expires);
        if !was_stopped && ts.tick_stopped.get() {
            ts.idle_jiffies.set(ts.last_jiffies.get());
            nohz_balance_enter_idle(cpu);
        }
    } else {
        tick_nohz_retain_tick(ts);
    }
}

/// The idle loop begins.
pub fn tick_nohz_idle_enter() {
    local_irq_disable();
    let ts = tick_cpu_sched.this_cpu();
    WARN_ON_ONCE!(ts.timer_expires_base.get() != 0);
    ts.inidle.set(true);
    tick_nohz_start_idle(ts);
    local_irq_enable();
}

/// An interrupt of an idle CPU ends, and nothing is to be run.
///
/// # Context
/// Interrupts off.
pub fn tick_nohz_irq_exit() {
    let ts = tick_cpu_sched.this_cpu();
    if ts.inidle.get() {
        tick_nohz_start_idle(ts);
    }
}

/// The ticks that were left out are idle time.
fn tick_nohz_account_idle_time(ts: TsRef, now: Ktime) {
    ts.idle_exittime.set(now);
    let ticks = jiffies().wrapping_sub(ts.idle_jiffies.get());
    if ticks != 0 && ticks < i64::MAX as u64 {
        account_idle_ticks(ticks);
    }
}

/// Whether the tick of this CPU is stopped.
pub fn tick_nohz_tick_stopped() -> bool {
    tick_cpu_sched.this_cpu().tick_stopped.get()
}

/// The idle loop ends: there is something to run, and ticks go on.
pub fn tick_nohz_idle_exit() {
    local_irq_disable();
    let ts = tick_cpu_sched.this_cpu();
    WARN_ON_ONCE!(!ts.inidle.get());
    WARN_ON_ONCE!(ts.timer_expires_base.get() != 0);
    ts.inidle.set(false);
    let (idle_active, tick_stopped) = (ts.idle_active.get(), ts.tick_stopped.get());
    if idle_active || tick_stopped {
        let now = ktime_get();
        if idle_active {
            tick_nohz_stop_idle(ts, now);
        }
        if tick_stopped {
            tick_nohz_restart_sched_tick(ts, now);
            tick_nohz_account_idle_time(ts, now);
        }
    }
    local_irq_enable();
}

/// An interrupt of an idle CPU begins.
fn tick_nohz_irq_enter() {
    let ts = tick_cpu_sched.this_cpu();
    if !ts.idle_active.get() && !ts.tick_stopped.get() {
        return;
    }
    let now = ktime_get();
    if ts.idle_active.get() {
        tick_nohz_stop_idle(ts, now);
    }
    // All CPUs may have slept: jiffies are old then.
    if ts.tick_stopped.get() {
        ts.idle_waketime.set(now);
        tick_do_update_jiffies64(now);
    }
}

/// An interrupt of an idle CPU begins.
pub fn tick_irq_enter() {
    tick_nohz_irq_enter();
}
