//! High-resolution timers: a tree a clock and CPU, the earliest one in the hardware.
//!
//! Linux: kernel/time/hrtimer.c, v6.8. **Kept** hard and soft bases, the interrupt with its three retries, the
//! switch to high resolution in a tick, callbacks without the lock. **Differs** two clocks instead of four; a
//! timer stays on the CPU that starts it (Linux may move it off an idle one), unless that CPU goes. **Left out**
//! clock_nanosleep.
//! **Locks** `cpu_base.lock`, interrupts off; a leaf.
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::fence::percpu::PerCpu;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::clockchips::ClockEventDevice;
use crate::include::linux::cpumask::{NR_CPUS, cpu_active_mask};
use crate::include::linux::hrtimer::*;
use crate::include::linux::interrupt::{HRTIMER_SOFTIRQ, open_softirq};
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};
use crate::include::linux::ktime::{KTIME_MAX, Ktime};
use crate::include::linux::rbtree::{RbNode, rb_add_cached, rb_erase_cached, rb_first_cached};
use crate::include::linux::smp::smp_processor_id;
use crate::include::linux::spinlock::*;
use crate::kernel::smp::smp_call_function_single;
use crate::kernel::softirq::__raise_softirq_irqoff;
use crate::kernel::time::tick_common::{tick_device, tick_program_event, tick_switch_to_oneshot};
use crate::kernel::time::tick_sched::{tick_cancel_sched_timer, tick_setup_sched_timer};
pub use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::time::timekeeping::ktime_offs_real;
use crate::{BUG_ON, container_of, pr_warn};

static hrtimer_bases: PerCpu<HrtimerCpuBase> =
    PerCpu::new([const { HrtimerCpuBase::new() }; NR_CPUS]);

const SOFT_MASK: u32 = 1 << HRTIMER_BASE_MONOTONIC_SOFT | 1 << HRTIMER_BASE_REALTIME_SOFT;
const HARD_MASK: u32 = 1 << HRTIMER_BASE_MONOTONIC | 1 << HRTIMER_BASE_REALTIME;

fn cpu_base_of(base: &HrtimerClockBase) -> &'static HrtimerCpuBase {
    hrtimer_bases.per_cpu(base.cpu.get())
}

/// What to subtract from a base's expiry to get a monotonic one.
fn offset(base: &HrtimerClockBase) -> Ktime {
    if base.index.get() & 1 == HRTIMER_BASE_REALTIME {
        ktime_offs_real()
    } else {
        0
    }
}

fn timer_of(node: &'static RbNode) -> &'static Hrtimer {
    container_of!(node, Hrtimer, node.node)
}

/// Prepares the bases of a CPU.
pub fn hrtimers_prepare_cpu(cpu: u32) -> i32 {
    let cpu_base = hrtimer_bases.per_cpu(cpu);
    cpu_base.cpu.set(cpu);
    for (index, base) in cpu_base.clock_base.iter().enumerate() {
        base.cpu.set(cpu);
        base.index.set(index as u32);
    }
    cpu_base.active_bases.set(0);
    cpu_base.hres_active.set(false);
    cpu_base.hang_detected.set(false);
    cpu_base.expires_next.set(KTIME_MAX);
    cpu_base.softirq_expires_next.set(KTIME_MAX);
    cpu_base.online.set(true);
    0
}

/// Moves every timer of a base. Both locks are held.
fn migrate_hrtimer_list(old_base: &'static HrtimerClockBase, new_base: &'static HrtimerClockBase) {
    while let Some(first) = rb_first_cached(&old_base.active) {
        let timer = timer_of(first);
        BUG_ON!(callback_running(old_base, timer));
        __remove_hrtimer(timer, old_base, false);
        timer.base.set(Some(new_base));
        // The new CPU's hardware is set once for all of them, by that CPU.
        enqueue_hrtimer(timer, new_base);
    }
}

/// A CPU goes: its timers go to another one. On it, with interrupts off and all others stopped.
pub fn hrtimers_cpu_dying(dying_cpu: u32) -> i32 {
    let ncpu = cpu_active_mask().first();
    tick_cancel_sched_timer(dying_cpu);
    let old_base = hrtimer_bases.this_cpu();
    let new_base = hrtimer_bases.per_cpu(ncpu);
    // Nobody else takes two of these locks.
    raw_spin_lock(&old_base.lock);
    raw_spin_lock(&new_base.lock);
    for (old, new) in old_base.clock_base.iter().zip(&new_base.clock_base) {
        migrate_hrtimer_list(old, new);
    }
    // The first soft timer over there may be another one now.
    let soft = __hrtimer_next_event_base(new_base, SOFT_MASK);
    if !new_base.softirq_activated.get() {
        new_base.softirq_expires_next.set(soft);
    }
    smp_call_function_single(ncpu, retrigger_next_event, 0, false);
    raw_spin_unlock(&new_base.lock);
    old_base.online.set(false);
    raw_spin_unlock(&old_base.lock);
    0
}

/// Sets this CPU's hardware anew: its first timer may be another one. Interrupts are off.
fn retrigger_next_event(_: u64) {
    let cpu_base = hrtimer_bases.this_cpu();
    if !cpu_base.hres_active.get() {
        return;
    }
    raw_spin_lock(&cpu_base.lock);
    hrtimer_force_reprogram(cpu_base);
    raw_spin_unlock(&cpu_base.lock);
}

/// The boot CPU's bases and the softirq.
pub fn hrtimers_init() {
    hrtimers_prepare_cpu(smp_processor_id());
    open_softirq(HRTIMER_SOFTIRQ, hrtimer_run_softirq);
}

/// Gives a timer its clock and mode.
pub fn hrtimer_init(timer: &'static Hrtimer, clock_id: i32, mode: u32) {
    let soft = mode & HRTIMER_MODE_SOFT != 0;
    let clock = if clock_id == CLOCK_REALTIME {
        HRTIMER_BASE_REALTIME
    } else {
        0
    };
    let index = clock + if soft { HRTIMER_BASE_MONOTONIC_SOFT } else { 0 };
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
fn lock_hrtimer_base(timer: &'static Hrtimer) -> (&'static HrtimerClockBase, u64) {
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

fn unlock_hrtimer_base(base: &'static HrtimerClockBase, flags: u64) {
    raw_spin_unlock_irqrestore(&cpu_base_of(base).lock, flags);
}

fn callback_running(base: &HrtimerClockBase, timer: &Hrtimer) -> bool {
    base.running
        .get()
        .is_some_and(|running| core::ptr::eq(running, timer))
}

/// Puts the timer into its base's tree; true if it is the base's first.
fn enqueue_hrtimer(timer: &'static Hrtimer, base: &'static HrtimerClockBase) -> bool {
    let bit = 1 << base.index.get();
    cpu_base_of(base).active_bases.or(bit);
    timer.state.set(HRTIMER_STATE_ENQUEUED);
    let less = |a: &'static RbNode, b: &'static RbNode| {
        timer_of(a).node.expires.get() < timer_of(b).node.expires.get()
    };
    rb_add_cached(&timer.node.node, &base.active, less).is_some()
}

fn __remove_hrtimer(timer: &'static Hrtimer, base: &'static HrtimerClockBase, reprogram: bool) {
    if timer.state.get() & HRTIMER_STATE_ENQUEUED == 0 {
        return;
    }
    timer.state.set(HRTIMER_STATE_INACTIVE);
    let cpu_base = cpu_base_of(base);
    let was_first =
        rb_first_cached(&base.active).is_some_and(|first| core::ptr::eq(first, &timer.node.node));
    rb_erase_cached(&timer.node.node, &base.active);
    if rb_first_cached(&base.active).is_none() {
        cpu_base.active_bases.and_not(1 << base.index.get());
    }
    if reprogram && was_first {
        hrtimer_force_reprogram(cpu_base);
    }
}

/// The earliest monotonic expiry of the bases in `mask`.
fn __hrtimer_next_event_base(cpu_base: &'static HrtimerCpuBase, mask: u32) -> Ktime {
    let mut next = KTIME_MAX;
    for base in &cpu_base.clock_base {
        if cpu_base.active_bases.get() & mask & 1 << base.index.get() == 0 {
            continue;
        }
        if let Some(first) = rb_first_cached(&base.active) {
            next = next.min(timer_of(first).expires() - offset(base));
        }
    }
    next.max(0)
}

/// What the hardware must be set to: soft timers need an interrupt too, unless their softirq is raised.
fn hrtimer_update_next_event(cpu_base: &'static HrtimerCpuBase) -> Ktime {
    let hard = __hrtimer_next_event_base(cpu_base, HARD_MASK);
    let mut next = hard;
    if !cpu_base.softirq_activated.get() {
        let soft = __hrtimer_next_event_base(cpu_base, SOFT_MASK);
        cpu_base.softirq_expires_next.set(soft);
        next = hard.min(soft);
    }
    next
}

fn is_this_cpu(cpu_base: &HrtimerCpuBase) -> bool {
    cpu_base.cpu.get() == smp_processor_id()
}

/// The first timer changed: sets the hardware anew. A remote CPU's finds out when it fires.
fn hrtimer_force_reprogram(cpu_base: &'static HrtimerCpuBase) {
    let next = hrtimer_update_next_event(cpu_base);
    if next == cpu_base.expires_next.get() || !is_this_cpu(cpu_base) {
        return;
    }
    cpu_base.expires_next.set(next);
    if cpu_base.hres_active.get() && !cpu_base.hang_detected.get() && next != KTIME_MAX {
        tick_program_event(next, true);
    }
}

/// A new first timer: sets the hardware if it is earlier than all others.
fn hrtimer_reprogram(timer: &'static Hrtimer, base: &'static HrtimerClockBase) {
    let cpu_base = cpu_base_of(base);
    let expires = (timer.expires() - offset(base)).max(0);
    if timer.is_soft.get() != 0 {
        if cpu_base.softirq_activated.get() || expires >= cpu_base.softirq_expires_next.get() {
            return;
        }
        cpu_base.softirq_expires_next.set(expires);
    }
    if !is_this_cpu(cpu_base) || expires >= cpu_base.expires_next.get() {
        return;
    }
    // In the interrupt the hardware is set at its end; after a hang the grace time stands.
    if cpu_base.in_hrtirq.get() {
        return;
    }
    cpu_base.expires_next.set(expires);
    if cpu_base.hres_active.get() && !cpu_base.hang_detected.get() {
        tick_program_event(expires, true);
    }
}

/// The base on this CPU that corresponds to `base`, unless the callback still runs over there.
fn switch_hrtimer_base(
    timer: &'static Hrtimer,
    base: &'static HrtimerClockBase,
) -> &'static HrtimerClockBase {
    let new_base = &hrtimer_bases.this_cpu().clock_base[base.index.get() as usize];
    if core::ptr::eq(base, new_base) || callback_running(base, timer) {
        return base;
    }
    timer.base.set(None);
    raw_spin_unlock(&cpu_base_of(base).lock);
    raw_spin_lock(&cpu_base_of(new_base).lock);
    timer.base.set(Some(new_base));
    new_base
}

/// Starts (or restarts) a timer to expire between `tim` and `tim + delta_ns`.
///
/// # Context
/// Any but NMI. The callback is set.
#[inline(never)]
pub fn hrtimer_start_range_ns(timer: &'static Hrtimer, tim: Ktime, delta_ns: u64, mode: u32) {
    let (base, flags) = lock_hrtimer_base(timer);
    __remove_hrtimer(timer, base, false);
    let mut tim = tim;
    if mode & HRTIMER_MODE_REL != 0 {
        tim = tim.saturating_add(ktime_get() + offset(base));
    }
    timer.is_rel.set(u8::from(mode & HRTIMER_MODE_REL != 0));
    timer._softexpires.set(tim);
    timer
        .node
        .expires
        .set(tim.saturating_add(delta_ns as Ktime));
    let base = switch_hrtimer_base(timer, base);
    if enqueue_hrtimer(timer, base) {
        hrtimer_reprogram(timer, base);
    }
    unlock_hrtimer_base(base, flags);
}

/// Starts a timer without slack.
pub fn hrtimer_start(timer: &'static Hrtimer, tim: Ktime, mode: u32) {
    hrtimer_start_range_ns(timer, tim, 0, mode);
}

/// Stops a timer.
///
/// # Returns
/// 1 if it was queued, 0 if not, -1 while its callback runs.
pub fn hrtimer_try_to_cancel(timer: &'static Hrtimer) -> i32 {
    if timer.base.get().is_none() && timer.state.get() == HRTIMER_STATE_INACTIVE {
        return 0;
    }
    let (base, flags) = lock_hrtimer_base(timer);
    let result = if callback_running(base, timer) {
        -1
    } else {
        let queued = timer.state.get() & HRTIMER_STATE_ENQUEUED != 0;
        __remove_hrtimer(timer, base, true);
        i32::from(queued)
    };
    unlock_hrtimer_base(base, flags);
    result
}

/// Stops a timer and waits for its callback.
///
/// # Context
/// Not in the callback itself.
pub fn hrtimer_cancel(timer: &'static Hrtimer) -> i32 {
    loop {
        let result = hrtimer_try_to_cancel(timer);
        if result >= 0 {
            return result;
        }
        cpu_relax();
    }
}

/// Whether the timer is queued or its callback runs.
pub fn hrtimer_active(timer: &Hrtimer) -> bool {
    timer.state.get() != HRTIMER_STATE_INACTIVE
        || timer
            .base
            .get()
            .is_some_and(|base| callback_running(base, timer))
}

/// Nanoseconds to the expiry.
pub fn hrtimer_get_remaining(timer: &'static Hrtimer) -> Ktime {
    let (base, flags) = lock_hrtimer_base(timer);
    let remaining = timer.expires() - offset(base) - ktime_get();
    unlock_hrtimer_base(base, flags);
    remaining
}

/// Moves the expiry by whole intervals to after `now`.
///
/// # Returns
/// How many intervals; 0 when it is still ahead.
pub fn hrtimer_forward(timer: &'static Hrtimer, now: Ktime, interval: Ktime) -> u64 {
    let late = now - timer.expires();
    if late < 0 || interval <= 0 || timer.state.get() & HRTIMER_STATE_ENQUEUED != 0 {
        return 0;
    }
    let overruns = late / interval + 1;
    let by = overruns * interval;
    timer._softexpires.set(timer._softexpires.get() + by);
    timer.node.expires.set(timer.node.expires.get() + by);
    overruns as u64
}

/// [`hrtimer_forward`] from the base's own time.
pub fn hrtimer_forward_now(timer: &'static Hrtimer, interval: Ktime) -> u64 {
    let now = ktime_get() + timer.base.get().map_or(0, offset);
    hrtimer_forward(timer, now, interval)
}

/// Runs one expired timer, the base unlocked meanwhile.
fn __run_hrtimer(
    cpu_base: &'static HrtimerCpuBase,
    base: &'static HrtimerClockBase,
    timer: &'static Hrtimer,
) {
    base.running.set(Some(timer));
    __remove_hrtimer(timer, base, false);
    let function = timer.function.get();
    let flags = local_irq_save();
    raw_spin_unlock(&cpu_base.lock);
    let restart = function.map_or(HRTIMER_NORESTART, |function| function(timer));
    raw_spin_lock(&cpu_base.lock);
    local_irq_restore(flags);
    // The callback may have started the timer itself; then it is queued already.
    if restart == HRTIMER_RESTART && timer.state.get() & HRTIMER_STATE_ENQUEUED == 0 {
        enqueue_hrtimer(timer, base);
    }
    base.running.set(None);
}

/// Runs every timer of the bases in `mask` whose earliest expiry has come.
fn __hrtimer_run_queues(cpu_base: &'static HrtimerCpuBase, now: Ktime, mask: u32) {
    for base in &cpu_base.clock_base {
        if mask & 1 << base.index.get() == 0 {
            continue;
        }
        let base_now = now + offset(base);
        while let Some(first) = rb_first_cached(&base.active) {
            let timer = timer_of(first);
            if base_now < timer._softexpires.get() {
                break;
            }
            __run_hrtimer(cpu_base, base, timer);
        }
    }
}

fn raise_soft_if_due(cpu_base: &'static HrtimerCpuBase, now: Ktime) {
    if now >= cpu_base.softirq_expires_next.get() && !cpu_base.softirq_activated.get() {
        cpu_base.softirq_expires_next.set(KTIME_MAX);
        cpu_base.softirq_activated.set(true);
        __raise_softirq_irqoff(HRTIMER_SOFTIRQ);
    }
}

/// The timer interrupt in high-resolution mode.
///
/// # Context
/// Hard interrupt.
#[inline(never)]
pub fn hrtimer_interrupt(_: &'static ClockEventDevice) {
    let cpu_base = hrtimer_bases.this_cpu();
    cpu_base.nr_events.inc();
    raw_spin_lock(&cpu_base.lock);
    let entry_time = ktime_get();
    let mut now = entry_time;
    for _ in 0..3 {
        cpu_base.in_hrtirq.set(true);
        cpu_base.expires_next.set(KTIME_MAX);
        raise_soft_if_due(cpu_base, now);
        __hrtimer_run_queues(cpu_base, now, HARD_MASK);
        let next = hrtimer_update_next_event(cpu_base);
        cpu_base.expires_next.set(next);
        cpu_base.in_hrtirq.set(false);
        cpu_base.hang_detected.set(false);
        if next == KTIME_MAX || tick_program_event(next, false) == 0 {
            raw_spin_unlock(&cpu_base.lock);
            return;
        }
        now = ktime_get();
        cpu_base.nr_retries.inc();
    }
    // Timers expire faster than they are handled: leave the rest of the system some time.
    cpu_base.nr_hangs.inc();
    cpu_base.hang_detected.set(true);
    raw_spin_unlock(&cpu_base.lock);
    let delta = now - entry_time;
    let grace = delta.min(100 * crate::include::linux::ktime::NSEC_PER_MSEC);
    tick_program_event(now + grace, true);
    pr_warn!("hrtimer: interrupt took {delta} ns");
}

/// Soft timers.
fn hrtimer_run_softirq() {
    let cpu_base = hrtimer_bases.this_cpu();
    let flags = raw_spin_lock_irqsave(&cpu_base.lock);
    __hrtimer_run_queues(cpu_base, ktime_get(), SOFT_MASK);
    cpu_base.softirq_activated.set(false);
    hrtimer_force_reprogram(cpu_base);
    raw_spin_unlock_irqrestore(&cpu_base.lock, flags);
}

/// Called by every tick until high-resolution mode is on: switches to it, or runs what is due.
pub fn hrtimer_run_queues() {
    let cpu_base = hrtimer_bases.this_cpu();
    if cpu_base.hres_active.get() {
        return;
    }
    if tick_device().is_some() && cpu_base.online.get() {
        hrtimer_switch_to_hres();
        return;
    }
    let flags = raw_spin_lock_irqsave(&cpu_base.lock);
    let now = ktime_get();
    raise_soft_if_due(cpu_base, now);
    __hrtimer_run_queues(cpu_base, now, HARD_MASK);
    raw_spin_unlock_irqrestore(&cpu_base.lock, flags);
}

fn hrtimer_switch_to_hres() {
    let cpu_base = hrtimer_bases.this_cpu();
    tick_switch_to_oneshot(hrtimer_interrupt);
    cpu_base.hres_active.set(true);
    tick_setup_sched_timer();
    // Whatever was queued before gets its interrupt now (`retrigger_next_event`).
    let flags = raw_spin_lock_irqsave(&cpu_base.lock);
    let next = hrtimer_update_next_event(cpu_base);
    cpu_base.expires_next.set(next);
    if next != KTIME_MAX {
        tick_program_event(next, true);
    }
    raw_spin_unlock_irqrestore(&cpu_base.lock, flags);
}

impl StackObject for Hrtimer {
    fn quiescent(&self) -> bool {
        !hrtimer_active(self)
    }
}
