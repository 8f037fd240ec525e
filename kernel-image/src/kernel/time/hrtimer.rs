//! High-resolution timers: a tree a clock and CPU, the earliest one in the hardware.
//!
//! Linux: kernel/time/hrtimer.c, v6.8. **Kept** four clocks, hard and soft bases, the move of a timer from an idle CPU
//! to a busy one, the interrupt with its three retries and its way out of a hang, the switch to high resolution in
//! a tick (`highres=off`), callbacks without the lock, timers of dying CPUs. **Left out** changes of the clocks
//! (nothing sets them), clock_nanosleep, PREEMPT_RT. **Differs** a timer between two bases has none, where Linux has
//! `migration_base`; a clock base names its CPU by number.
//! **Locks** `cpu_base.lock`, interrupts off; two of them only while a CPU dies.
pub mod sleep;

use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::clockchips::ClockEventDevice;
use crate::include::linux::cpumask::{NR_CPUS, cpu_active_mask};
use crate::include::linux::hrtimer::*;
use crate::include::linux::interrupt::{HRTIMER_SOFTIRQ, open_softirq, raise_softirq_irqoff};
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::ktime::{KTIME_MAX, Ktime, NSEC_PER_MSEC, ktime_add_safe};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::rbtree::{RbNode, rb_add_cached, rb_erase_cached, rb_first_cached};
use crate::include::linux::smp::{smp_call_function_single, smp_processor_id};
use crate::include::linux::spinlock::*;
use crate::include::trace::events::timer::*;
use crate::kernel::params::param;
use crate::kernel::sched::core::get_nohz_timer_target;
use crate::kernel::time::tick_common::{tick_init_highres, tick_program_event};
use crate::kernel::time::tick_sched::{
    tick_cancel_sched_timer, tick_check_oneshot_change, tick_nohz_active, tick_setup_sched_timer,
};
pub use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::time::timekeeping::{ktime_offs_boot, ktime_offs_real, ktime_offs_tai};
use crate::lib::rbtree::rb_next;
use crate::{BUG_ON, WARN_ON, WARN_ON_ONCE, container_of, pr_warn};

static hrtimer_bases: PerCpu<HrtimerCpuBase> =
    PerCpu::new([const { HrtimerCpuBase::new() }; NR_CPUS]);

/// What a timer can be exact to, ns: a tick until high resolution is on.
pub static hrtimer_resolution: Shared<u32> = Shared::new(TICK_NSEC as u32);
const HIGH_RES_NSEC: u32 = 1;
/// Longest time that a hang delays timers.
const MAX_HANG_DELAY: Ktime = 100 * NSEC_PER_MSEC;

type CpuBaseRef = &'static HrtimerCpuBase;
type ClockBaseRef = &'static HrtimerClockBase;

/// The clocks in the order of their bases.
const HRTIMER_CLOCK_TO_BASE: [i32; 4] =
    [CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_TAI];

fn hrtimer_clockid_to_base(clock_id: i32) -> u32 {
    let base = HRTIMER_CLOCK_TO_BASE
        .iter()
        .position(|&known| known == clock_id);
    if WARN_ON!(base.is_none()) {
        return HRTIMER_BASE_MONOTONIC;
    }
    base.unwrap_or(0) as u32
}

fn cpu_base_of(base: &HrtimerClockBase) -> CpuBaseRef {
    hrtimer_bases.per_cpu(base.cpu.get())
}

fn same_cpu_base(a: &HrtimerCpuBase, b: &HrtimerCpuBase) -> bool {
    core::ptr::eq(a, b)
}

fn same_timer(a: Option<&'static Hrtimer>, b: &Hrtimer) -> bool {
    a.is_some_and(|a| core::ptr::eq(a, b))
}

/// What to subtract from a base's expiry to get a monotonic one.
fn offset(base: &HrtimerClockBase) -> Ktime {
    match base.clockid.get() {
        CLOCK_REALTIME => ktime_offs_real(),
        CLOCK_BOOTTIME => ktime_offs_boot(),
        CLOCK_TAI => ktime_offs_tai(),
        _ => 0,
    }
}

/// What a base's clock shows.
fn get_time(base: &HrtimerClockBase) -> Ktime {
    ktime_get() + offset(base)
}

fn timer_of(node: &'static RbNode) -> &'static Hrtimer {
    container_of!(node, Hrtimer, node.node)
}

/// When a timer of a base expires on the monotonic clock.
fn monotonic_expires(timer: &Hrtimer, base: &HrtimerClockBase) -> Ktime {
    // One before the clock's zero is as good as due.
    (timer.expires() - offset(base)).max(0)
}

/// Prepares the bases of a CPU that comes up.
pub fn hrtimers_prepare_cpu(cpu: u32) -> i32 {
    let cpu_base = hrtimer_bases.per_cpu(cpu);
    cpu_base.cpu.set(cpu);
    for (index, base) in cpu_base.clock_base.iter().enumerate() {
        base.cpu.set(cpu);
        base.index.set(index as u32);
        base.clockid
            .set(HRTIMER_CLOCK_TO_BASE[index % HRTIMER_CLOCK_TO_BASE.len()]);
    }
    cpu_base.active_bases.set(0);
    cpu_base.hres_active.set(false);
    cpu_base.hang_detected.set(false);
    cpu_base.next_timer.set(None);
    cpu_base.softirq_next_timer.set(None);
    cpu_base.softirq_activated.set(false);
    cpu_base.expires_next.set(KTIME_MAX);
    cpu_base.softirq_expires_next.set(KTIME_MAX);
    cpu_base.online.set(true);
    0
}

/// The boot CPU's bases and the softirq.
pub fn hrtimers_init() {
    hrtimers_prepare_cpu(smp_processor_id());
    open_softirq(HRTIMER_SOFTIRQ, hrtimer_run_softirq);
}

/// A CPU dies: its timers go to another.
///
/// # Context
/// On that CPU, interrupts off, all others in `stop_machine`.
pub fn hrtimers_cpu_dying(dying_cpu: u32) -> i32 {
    tick_cancel_sched_timer(dying_cpu);
    let old_base = hrtimer_bases.per_cpu(dying_cpu);
    let ncpu = cpu_active_mask().without(dying_cpu).first();
    let new_base = hrtimer_bases.per_cpu(ncpu);
    // Nobody else takes two of these locks.
    raw_spin_lock(&old_base.lock);
    raw_spin_lock(&new_base.lock);
    for (from, to) in old_base.clock_base.iter().zip(&new_base.clock_base) {
        migrate_hrtimer_list(from, to);
    }
    // A soft timer may be the first of its new CPU.
    __hrtimer_get_next_event(new_base, HRTIMER_ACTIVE_SOFT);
    smp_call_function_single(ncpu, retrigger_next_event, 0, false);
    raw_spin_unlock(&new_base.lock);
    old_base.online.set(false);
    raw_spin_unlock(&old_base.lock);
    0
}

fn migrate_hrtimer_list(old_base: ClockBaseRef, new_base: ClockBaseRef) {
    while let Some(node) = rb_first_cached(&old_base.active) {
        let timer = timer_of(node);
        BUG_ON!(hrtimer_callback_running(timer));
        trace_hrtimer_cancel(timer);
        // It stays queued for those who look without the lock.
        __remove_hrtimer(timer, old_base, HRTIMER_STATE_ENQUEUED, false);
        timer.base.set(Some(new_base));
        enqueue_hrtimer(timer, new_base, HRTIMER_MODE_ABS);
    }
}

/// Sets the hardware of this CPU anew: the timers changed under it.
fn retrigger_next_event(_arg: u64) {
    let base = hrtimer_bases.this_cpu();
    if !base.hres_active.get() && !tick_nohz_active() {
        return;
    }
    raw_spin_lock(&base.lock);
    if base.hres_active.get() {
        hrtimer_force_reprogram(base, false);
    } else {
        hrtimer_update_next_event(base);
    }
    raw_spin_unlock(&base.lock);
}

/// Gives a timer its clock and mode.
pub fn hrtimer_init(timer: &'static Hrtimer, clock_id: i32, mode: u32) {
    trace_hrtimer_init(timer, clock_id, mode);
    let soft = mode & HRTIMER_MODE_SOFT != 0;
    // A relative time is not touched by a change of the wall clock.
    let clock_id = if clock_id == CLOCK_REALTIME && mode & HRTIMER_MODE_REL != 0 {
        CLOCK_MONOTONIC
    } else {
        clock_id
    };
    let half = if soft { HRTIMER_BASE_MONOTONIC_SOFT } else { 0 };
    let index = half + hrtimer_clockid_to_base(clock_id);
    timer
        .base
        .set(Some(&hrtimer_bases.this_cpu().clock_base[index as usize]));
    timer.is_soft.set(u8::from(soft));
    timer.is_hard.set(u8::from(mode & HRTIMER_MODE_HARD != 0));
    timer.state.set(HRTIMER_STATE_INACTIVE);
    timer.function.set(None);
    timer.node.node.__rb_parent_color.set(0);
}

/// Locks the base a timer is on; it may change while waiting.
fn lock_hrtimer_base(timer: &'static Hrtimer) -> (ClockBaseRef, u64) {
    loop {
        if let Some(base) = timer.base.get() {
            let cpu_base = cpu_base_of(base);
            let flags = raw_spin_lock_irqsave(&cpu_base.lock);
            if timer.base.get().is_some_and(|now| core::ptr::eq(now, base)) {
                return (base, flags);
            }
            raw_spin_unlock_irqrestore(&cpu_base.lock, flags);
        }
        cpu_relax();
    }
}

fn unlock_hrtimer_base(base: ClockBaseRef, flags: u64) {
    raw_spin_unlock_irqrestore(&cpu_base_of(base).lock, flags);
}

/// Whether the timer's callback runs.
pub fn hrtimer_callback_running(timer: &Hrtimer) -> bool {
    timer
        .base
        .get()
        .is_some_and(|base| same_timer(base.running.get(), timer))
}

/// Whether the timer is in a tree.
pub fn hrtimer_is_queued(timer: &Hrtimer) -> bool {
    timer.state.get() & HRTIMER_STATE_ENQUEUED != 0
}

/// Puts the timer into its base's tree; true if it is the base's first.
fn enqueue_hrtimer(timer: &'static Hrtimer, base: ClockBaseRef, mode: u32) -> bool {
    trace_hrtimer_start(timer, mode);
    WARN_ON_ONCE!(!cpu_base_of(base).online.get());
    cpu_base_of(base).active_bases.or(1 << base.index.get());
    timer.state.set(HRTIMER_STATE_ENQUEUED);
    let less = |a: &'static RbNode, b: &'static RbNode| {
        timer_of(a).node.expires.get() < timer_of(b).node.expires.get()
    };
    rb_add_cached(&timer.node.node, &base.active, less).is_some()
}

fn __remove_hrtimer(timer: &'static Hrtimer, base: ClockBaseRef, newstate: u8, reprogram: bool) {
    let state = timer.state.replace(newstate);
    if state & HRTIMER_STATE_ENQUEUED == 0 {
        return;
    }
    let cpu_base = cpu_base_of(base);
    rb_erase_cached(&timer.node.node, &base.active);
    if rb_first_cached(&base.active).is_none() {
        cpu_base.active_bases.and_not(1 << base.index.get());
    }
    // Without it `next_timer` may name a timer that is gone: the worst is an interrupt for nothing.
    if reprogram && same_timer(cpu_base.next_timer.get(), timer) {
        hrtimer_force_reprogram(cpu_base, true);
    }
}

/// Takes a queued timer out; true if it was queued. With `restart` it is about to be queued again and looks so
/// throughout; with `keep_local` it stays here and the hardware is set then.
fn remove_hrtimer(
    timer: &'static Hrtimer,
    base: ClockBaseRef,
    restart: bool,
    keep_local: bool,
) -> bool {
    let mut state = timer.state.get();
    if state & HRTIMER_STATE_ENQUEUED == 0 {
        return false;
    }
    trace_hrtimer_cancel(timer);
    let mut reprogram = is_this_cpu(cpu_base_of(base));
    if restart {
        reprogram &= !keep_local;
    } else {
        state = HRTIMER_STATE_INACTIVE;
    }
    __remove_hrtimer(timer, base, state, reprogram);
    true
}

/// The earliest monotonic expiry of the bases in `active`, and whose it is; one timer may be left out.
fn __hrtimer_next_event_base(
    cpu_base: CpuBaseRef,
    exclude: Option<&Hrtimer>,
    active: u32,
    expires_next: Ktime,
) -> Ktime {
    let mut expires_next = expires_next;
    for base in &cpu_base.clock_base {
        if active & 1 << base.index.get() == 0 {
            continue;
        }
        let mut node = rb_first_cached(&base.active);
        if let (Some(first), Some(exclude)) = (node, exclude)
            && core::ptr::eq(timer_of(first), exclude)
        {
            node = rb_next(first);
        }
        let Some(timer) = node.map(timer_of) else {
            continue;
        };
        let expires = monotonic_expires(timer, base);
        if expires < expires_next {
            expires_next = expires;
            if exclude.is_some() {
                continue;
            }
            if timer.is_soft.get() != 0 {
                cpu_base.softirq_next_timer.set(Some(timer));
            } else {
                cpu_base.next_timer.set(Some(timer));
            }
        }
    }
    expires_next
}

/// The earliest expiry of the hard bases, the soft ones, or both; a soft one only if its softirq is not raised.
fn __hrtimer_get_next_event(cpu_base: CpuBaseRef, active_mask: u32) -> Ktime {
    let mut expires_next = KTIME_MAX;
    let mut next_timer = None;
    let active = cpu_base.active_bases.get() & active_mask;
    if !cpu_base.softirq_activated.get() && active_mask & HRTIMER_ACTIVE_SOFT != 0 {
        cpu_base.softirq_next_timer.set(None);
        let soft = active & HRTIMER_ACTIVE_SOFT;
        expires_next = __hrtimer_next_event_base(cpu_base, None, soft, expires_next);
        next_timer = cpu_base.softirq_next_timer.get();
    }
    if active_mask & HRTIMER_ACTIVE_HARD != 0 {
        cpu_base.next_timer.set(next_timer);
        let hard = active & HRTIMER_ACTIVE_HARD;
        expires_next = __hrtimer_next_event_base(cpu_base, None, hard, expires_next);
    }
    expires_next
}

/// What the hardware must be set to: soft timers need an interrupt too, unless their softirq is raised.
fn hrtimer_update_next_event(cpu_base: CpuBaseRef) -> Ktime {
    let mut soft = KTIME_MAX;
    if !cpu_base.softirq_activated.get() {
        soft = __hrtimer_get_next_event(cpu_base, HRTIMER_ACTIVE_SOFT);
        cpu_base.softirq_expires_next.set(soft);
    }
    let hard = __hrtimer_get_next_event(cpu_base, HRTIMER_ACTIVE_HARD);
    if hard > soft {
        cpu_base.next_timer.set(cpu_base.softirq_next_timer.get());
    }
    hard.min(soft)
}

fn is_this_cpu(cpu_base: &HrtimerCpuBase) -> bool {
    cpu_base.cpu.get() == smp_processor_id()
}

fn __hrtimer_reprogram(cpu_base: CpuBaseRef, expires_next: Ktime) {
    cpu_base.expires_next.set(expires_next);
    // Without high resolution the tick serves the timers. After a hang the grace time stands: the interrupt at its
    // end sets the hardware.
    if cpu_base.hres_active.get() && !cpu_base.hang_detected.get() {
        tick_program_event(expires_next, true);
    }
}

/// The first timer changed: sets the hardware anew.
fn hrtimer_force_reprogram(cpu_base: CpuBaseRef, skip_equal: bool) {
    let expires_next = hrtimer_update_next_event(cpu_base);
    if skip_equal && expires_next == cpu_base.expires_next.get() {
        return;
    }
    __hrtimer_reprogram(cpu_base, expires_next);
}

/// A new first timer of its base: sets the hardware if it is earlier than all others.
fn hrtimer_reprogram(timer: &'static Hrtimer, base: ClockBaseRef, reprogram: bool) {
    let timer_cpu_base = cpu_base_of(base);
    let expires = monotonic_expires(timer, base);
    if timer.is_soft.get() != 0 {
        // The softirq will look for the next one itself.
        if timer_cpu_base.softirq_activated.get()
            || expires >= timer_cpu_base.softirq_expires_next.get()
        {
            return;
        }
        timer_cpu_base.softirq_next_timer.set(Some(timer));
        timer_cpu_base.softirq_expires_next.set(expires);
        if expires >= timer_cpu_base.expires_next.get() || !reprogram {
            return;
        }
    }
    // Another CPU's hardware is out of reach; `switch_hrtimer_base` saw to it that this timer is not its first.
    if !is_this_cpu(timer_cpu_base) || expires >= timer_cpu_base.expires_next.get() {
        return;
    }
    // The interrupt sets it at its end.
    if timer_cpu_base.in_hrtirq.get() {
        return;
    }
    timer_cpu_base.next_timer.set(Some(timer));
    __hrtimer_reprogram(timer_cpu_base, expires);
}

/// Which CPU a timer that is started here goes to: a busy one while this one is idle.
fn get_target_base(this: CpuBaseRef, pinned: bool) -> CpuBaseRef {
    if tick_nohz_active() && !pinned {
        hrtimer_bases.per_cpu(get_nohz_timer_target())
    } else {
        this
    }
}

/// Whether the timer would be the first on another CPU, whose hardware we cannot set.
fn hrtimer_check_target(timer: &Hrtimer, new_base: ClockBaseRef) -> bool {
    timer.expires() - offset(new_base) < cpu_base_of(new_base).expires_next.get()
}

/// Finds the CPU for a timer and takes it there, the lock changing with it; a timer whose callback runs stays.
fn switch_hrtimer_base(timer: &'static Hrtimer, base: ClockBaseRef, pinned: bool) -> ClockBaseRef {
    let this_cpu_base = hrtimer_bases.this_cpu();
    let mut new_cpu_base = get_target_base(this_cpu_base, pinned);
    loop {
        let new_base = &new_cpu_base.clock_base[base.index.get() as usize];
        if core::ptr::eq(base, new_base) {
            if same_cpu_base(new_cpu_base, this_cpu_base) || !hrtimer_check_target(timer, new_base)
            {
                return base;
            }
            new_cpu_base = this_cpu_base;
            continue;
        }
        if hrtimer_callback_running(timer) {
            return base;
        }
        timer.base.set(None);
        raw_spin_unlock(&cpu_base_of(base).lock);
        raw_spin_lock(&new_cpu_base.lock);
        if !same_cpu_base(new_cpu_base, this_cpu_base) && hrtimer_check_target(timer, new_base) {
            raw_spin_unlock(&new_cpu_base.lock);
            raw_spin_lock(&cpu_base_of(base).lock);
            new_cpu_base = this_cpu_base;
            timer.base.set(Some(base));
            continue;
        }
        timer.base.set(Some(new_base));
        return new_base;
    }
}

/// Queues a timer; the base where it is now, and whether the hardware may have to be set for it.
fn __hrtimer_start_range_ns(
    timer: &'static Hrtimer,
    tim: Ktime,
    delta_ns: u64,
    mode: u32,
    base: ClockBaseRef,
) -> (ClockBaseRef, bool) {
    let this_cpu_base = hrtimer_bases.this_cpu();
    // The first timer here is started anew: it stays, and the hardware is set once, not twice.
    let force_local = same_cpu_base(cpu_base_of(base), this_cpu_base)
        && same_timer(this_cpu_base.next_timer.get(), timer);
    remove_hrtimer(timer, base, true, force_local);
    let tim = if mode & HRTIMER_MODE_REL != 0 {
        ktime_add_safe(tim, get_time(base))
    } else {
        tim
    };
    timer.is_rel.set(u8::from(mode & HRTIMER_MODE_REL != 0));
    timer.set_expires_range_ns(tim, delta_ns);
    let new_base = if force_local {
        base
    } else {
        switch_hrtimer_base(timer, base, mode & HRTIMER_MODE_PINNED != 0)
    };
    let first = enqueue_hrtimer(timer, new_base, mode);
    if !force_local {
        return (new_base, first);
    }
    hrtimer_force_reprogram(this_cpu_base, true);
    (new_base, false)
}

/// Starts (or restarts) a timer to expire between `tim` and `tim + delta_ns`.
///
/// # Context
/// Any but NMI. The callback is set.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hrtimer_start_range_ns(
    timer: &'static Hrtimer,
    tim: Ktime,
    delta_ns: u64,
    mode: u32,
) {
    if WARN_ON_ONCE!(timer.function.get().is_none()) {
        return;
    }
    let (base, flags) = lock_hrtimer_base(timer);
    let (base, first) = __hrtimer_start_range_ns(timer, tim, delta_ns, mode, base);
    if first {
        hrtimer_reprogram(timer, base, true);
    }
    unlock_hrtimer_base(base, flags);
}

/// Starts a timer without slack.
pub fn hrtimer_start(timer: &'static Hrtimer, tim: Ktime, mode: u32) {
    hrtimer_start_range_ns(timer, tim, 0, mode);
}

/// Starts a timer at the expiry that it has.
pub fn hrtimer_start_expires(timer: &'static Hrtimer, mode: u32) {
    let soft = timer.softexpires();
    let delta = timer.expires().saturating_sub(soft);
    hrtimer_start_range_ns(timer, soft, delta as u64, mode);
}

/// Stops a timer.
///
/// # Returns
/// 1 if it was queued, 0 if not, -1 while its callback runs.
pub fn hrtimer_try_to_cancel(timer: &'static Hrtimer) -> i32 {
    // Common, and free: it has expired.
    if !hrtimer_active(timer) {
        return 0;
    }
    let (base, flags) = lock_hrtimer_base(timer);
    let result = if hrtimer_callback_running(timer) {
        -1
    } else {
        i32::from(remove_hrtimer(timer, base, false, false))
    };
    unlock_hrtimer_base(base, flags);
    result
}

/// Stops a timer and waits for its callback.
///
/// # Context
/// Not in the callback itself.
/// # Returns
/// Whether it was queued.
pub fn hrtimer_cancel(timer: &'static Hrtimer) -> i32 {
    loop {
        let result = hrtimer_try_to_cancel(timer);
        if result >= 0 {
            return result;
        }
        cpu_relax();
    }
}

/// Whether the timer is queued or its callback runs. Without the lock: between the two it is looked at again.
pub fn hrtimer_active(timer: &Hrtimer) -> bool {
    loop {
        let base = timer.base.get();
        let seq = base.map(|base| base.seq.get());
        if hrtimer_is_queued(timer)
            || base.is_some_and(|base| same_timer(base.running.get(), timer))
        {
            return true;
        }
        let now = timer.base.get();
        let unmoved = match (base, now) {
            (None, None) => true,
            (Some(base), Some(now)) => core::ptr::eq(base, now),
            _ => false,
        };
        if unmoved && seq == now.map(|base| base.seq.get()) {
            return false;
        }
    }
}

/// The same of the caller's own timer, or under a lock that keeps others from it; ns.
pub fn hrtimer_expires_remaining(timer: &'static Hrtimer) -> Ktime {
    timer.expires() - timer.base.get().map_or(0, get_time)
}

/// Time to the expiry, ns.
pub fn hrtimer_get_remaining(timer: &'static Hrtimer) -> Ktime {
    let (base, flags) = lock_hrtimer_base(timer);
    let remaining = timer.expires() - get_time(base);
    unlock_hrtimer_base(base, flags);
    remaining
}

/// Moves the expiry by whole intervals to after `now`.
///
/// # Returns
/// How many intervals; 0 when it is still ahead.
pub fn hrtimer_forward(timer: &Hrtimer, now: Ktime, interval: Ktime) -> u64 {
    let delta = now - timer.expires();
    if delta < 0 || WARN_ON!(hrtimer_is_queued(timer)) {
        return 0;
    }
    let interval = interval.max(Ktime::from(hrtimer_resolution.get()));
    let overruns = delta / interval + 1;
    timer.add_expires(interval.saturating_mul(overruns));
    overruns as u64
}

/// [`hrtimer_forward`] from the base's own time.
pub fn hrtimer_forward_now(timer: &Hrtimer, interval: Ktime) -> u64 {
    let now = timer.base.get().map_or_else(ktime_get, get_time);
    hrtimer_forward(timer, now, interval)
}

/// When the next timer is due that the tick has to serve: none with high resolution, where it has its own interrupt.
///
/// # Context
/// Interrupts off.
pub fn hrtimer_get_next_event() -> Ktime {
    let cpu_base = hrtimer_bases.this_cpu();
    let flags = raw_spin_lock_irqsave(&cpu_base.lock);
    let expires = if cpu_base.hres_active.get() {
        KTIME_MAX
    } else {
        __hrtimer_get_next_event(cpu_base, HRTIMER_ACTIVE_ALL)
    };
    raw_spin_unlock_irqrestore(&cpu_base.lock, flags);
    expires
}

/// When the next timer but one is due on this CPU, with high resolution.
pub fn hrtimer_next_event_without(exclude: &Hrtimer) -> Ktime {
    let cpu_base = hrtimer_bases.this_cpu();
    let flags = raw_spin_lock_irqsave(&cpu_base.lock);
    let mut expires = KTIME_MAX;
    if cpu_base.hres_active.get() {
        let mut active = cpu_base.active_bases.get();
        if cpu_base.softirq_activated.get() {
            active &= HRTIMER_ACTIVE_HARD;
        }
        expires = __hrtimer_next_event_base(cpu_base, Some(exclude), active, KTIME_MAX);
    }
    raw_spin_unlock_irqrestore(&cpu_base.lock, flags);
    expires
}

/// Runs one expired timer, the base unlocked meanwhile.
fn __run_hrtimer(
    cpu_base: CpuBaseRef,
    base: ClockBaseRef,
    timer: &'static Hrtimer,
    now: &Ktime,
    flags: u64,
) {
    trace_hrtimer_cancel(timer);
    base.running.set(Some(timer));
    // Whoever finds the timer no longer queued finds it running.
    base.seq.add(2);
    __remove_hrtimer(timer, base, HRTIMER_STATE_INACTIVE, false);
    let function = timer.function.get();
    raw_spin_unlock_irqrestore(&cpu_base.lock, flags);
    trace_hrtimer_expire_entry(timer, now);
    let restart = function.map_or(HRTIMER_NORESTART, |function| function(timer));
    trace_hrtimer_expire_exit(timer);
    raw_spin_lock_irq(&cpu_base.lock);
    // The callback, or another CPU, may have started the timer meanwhile; then it is queued already.
    if restart == HRTIMER_RESTART && !hrtimer_is_queued(timer) {
        enqueue_hrtimer(timer, base, HRTIMER_MODE_ABS);
    }
    base.seq.add(2);
    WARN_ON_ONCE!(!same_timer(base.running.get(), timer));
    base.running.set(None);
}

/// Runs every timer of the bases in `mask` whose earliest expiry has come. `flags` are the caller's interrupts.
fn __hrtimer_run_queues(cpu_base: CpuBaseRef, now: Ktime, flags: u64, mask: u32) {
    for base in &cpu_base.clock_base {
        if cpu_base.active_bases.get() & mask & 1 << base.index.get() == 0 {
            continue;
        }
        let basenow = now + offset(base);
        while let Some(node) = rb_first_cached(&base.active) {
            let timer = timer_of(node);
            // Up to the end of its slack a timer may go along with another's interrupt; the tree is by that end, so
            // a later one with less slack may wait behind it.
            if basenow < timer.softexpires() {
                break;
            }
            __run_hrtimer(cpu_base, base, timer, &basenow, flags);
        }
    }
}

fn raise_soft_if_due(cpu_base: CpuBaseRef, now: Ktime) {
    if now >= cpu_base.softirq_expires_next.get() {
        cpu_base.softirq_expires_next.set(KTIME_MAX);
        cpu_base.softirq_activated.set(true);
        raise_softirq_irqoff(HRTIMER_SOFTIRQ);
    }
}

/// The timer interrupt in high-resolution mode.
///
/// # Context
/// Hard interrupt.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn hrtimer_interrupt(dev: &'static ClockEventDevice) {
    let cpu_base = hrtimer_bases.this_cpu();
    cpu_base.nr_events.inc();
    dev.next_event.set(KTIME_MAX);
    let mut flags = raw_spin_lock_irqsave(&cpu_base.lock);
    let entry_time = ktime_get();
    let mut now = entry_time;
    for _ in 0..3 {
        cpu_base.in_hrtirq.set(true);
        // Until the interrupt is through nobody else need set the hardware.
        cpu_base.expires_next.set(KTIME_MAX);
        raise_soft_if_due(cpu_base, now);
        __hrtimer_run_queues(cpu_base, now, flags, HRTIMER_ACTIVE_HARD);
        let expires_next = hrtimer_update_next_event(cpu_base);
        cpu_base.expires_next.set(expires_next);
        cpu_base.in_hrtirq.set(false);
        raw_spin_unlock_irqrestore(&cpu_base.lock, flags);
        if tick_program_event(expires_next, false) == 0 {
            cpu_base.hang_detected.set(false);
            return;
        }
        // The next one is due already.
        flags = raw_spin_lock_irqsave(&cpu_base.lock);
        now = ktime_get();
        cpu_base.nr_retries.inc();
    }
    // Timers expire faster than they are handled: leave the rest of the system as much time as this took.
    cpu_base.nr_hangs.inc();
    cpu_base.hang_detected.set(true);
    raw_spin_unlock_irqrestore(&cpu_base.lock, flags);
    let delta = now - entry_time;
    let longest = Ktime::from(cpu_base.max_hang_time.get()).max(delta);
    cpu_base.max_hang_time.set(longest as u32);
    tick_program_event(now + delta.min(MAX_HANG_DELAY), true);
    if cpu_base.nr_hangs.get() == 1 {
        pr_warn!("hrtimer: interrupt took {delta} ns");
    }
}

/// Soft timers.
fn hrtimer_run_softirq() {
    let cpu_base = hrtimer_bases.this_cpu();
    let flags = raw_spin_lock_irqsave(&cpu_base.lock);
    __hrtimer_run_queues(cpu_base, ktime_get(), flags, HRTIMER_ACTIVE_SOFT);
    cpu_base.softirq_activated.set(false);
    hrtimer_update_softirq_timer(cpu_base, true);
    raw_spin_unlock_irqrestore(&cpu_base.lock, flags);
}

/// The softirq is over: its next timer needs an interrupt again.
fn hrtimer_update_softirq_timer(cpu_base: CpuBaseRef, reprogram: bool) {
    __hrtimer_get_next_event(cpu_base, HRTIMER_ACTIVE_SOFT);
    if let Some(timer) = cpu_base.softirq_next_timer.get()
        && let Some(base) = timer.base.get()
    {
        hrtimer_reprogram(timer, base, reprogram);
    }
}

/// Called by every tick until high-resolution mode is on: switches to it, or runs what is due.
pub fn hrtimer_run_queues() {
    let cpu_base = hrtimer_bases.this_cpu();
    if cpu_base.hres_active.get() {
        return;
    }
    if tick_check_oneshot_change(!hrtimer_is_hres_enabled()) {
        hrtimer_switch_to_hres();
        return;
    }
    let flags = raw_spin_lock_irqsave(&cpu_base.lock);
    let now = ktime_get();
    raise_soft_if_due(cpu_base, now);
    __hrtimer_run_queues(cpu_base, now, flags, HRTIMER_ACTIVE_HARD);
    raw_spin_unlock_irqrestore(&cpu_base.lock, flags);
}

/// `highres=off` keeps timers on the tick.
fn hrtimer_is_hres_enabled() -> bool {
    !param("highres").is_some_and(|text| text.is("off"))
}

fn hrtimer_switch_to_hres() {
    let base = hrtimer_bases.this_cpu();
    if tick_init_highres() != 0 {
        pr_warn!(
            "Could not switch to high resolution mode on CPU {}",
            base.cpu.get()
        );
        return;
    }
    base.hres_active.set(true);
    hrtimer_resolution.set(HIGH_RES_NSEC);
    tick_setup_sched_timer();
    // Whatever was queued before gets its interrupt now.
    preempt_disable();
    retrigger_next_event(0);
    preempt_enable();
}

impl StackObject for Hrtimer {
    fn quiescent(&self) -> bool {
        !hrtimer_active(self)
    }
}
