//! The timer wheel: timers counted in jiffies.
//!
//! Linux: kernel/time/timer.c, v6.8. **Kept** 9 levels of 64 buckets with growing granularity, no cascading,
//! expiry never early, TIMER_SOFTIRQ. **Left out** deferrable timers, a base for NO_HZ, timer migration.
//! **Locks** `base.lock`, interrupts off; a leaf.
pub mod sleep;

use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::interrupt::{TIMER_SOFTIRQ, open_softirq};
use crate::include::linux::irqflags::{local_irq_disable, local_irq_enable};
use crate::include::linux::jiffies::{jiffies, time_before};
use crate::include::linux::list::*;
use crate::include::linux::preempt::{preempt_count, preempt_count_set};
use crate::include::linux::smp::smp_processor_id;
use crate::include::linux::spinlock::*;
use crate::include::linux::timer::*;
use crate::kernel::softirq::__raise_softirq_irqoff;
use crate::kernel::time::hrtimer::hrtimer_run_queues;
use crate::{BUG_ON, list_entry, pr_warn};

const LVL_BITS: u32 = 6;
const LVL_SIZE: u32 = 1 << LVL_BITS;
const LVL_MASK: u32 = LVL_SIZE - 1;
/// Each level is eight times as coarse as the one below.
const LVL_CLK_SHIFT: u32 = 3;
const LVL_DEPTH: u32 = 9;
const WHEEL_SIZE: usize = (LVL_SIZE * LVL_DEPTH) as usize;
const WHEEL_TIMEOUT_MAX: u64 = lvl_start(LVL_DEPTH) - (1 << lvl_shift(LVL_DEPTH - 1));

const fn lvl_shift(level: u32) -> u32 {
    level * LVL_CLK_SHIFT
}
/// The first distance that belongs to `level`.
const fn lvl_start(level: u32) -> u64 {
    (LVL_SIZE as u64 - 1) << ((level - 1) * LVL_CLK_SHIFT)
}

/// One CPU's wheel.
#[doc(alias = "timer_base")]
struct TimerBase {
    lock: RawSpinlock,
    running_timer: Shared<Option<&'static TimerList>>,
    /// The next jiffy to look at.
    clk: Shared<u64>,
    /// Timers in the wheel.
    nr_pending: Shared<u32>,
    vectors: [ListHead; WHEEL_SIZE],
}

static timer_bases: PerCpu<TimerBase> = PerCpu::new(
    [const {
        TimerBase {
            lock: RawSpinlock::new(),
            running_timer: Shared::new(None),
            clk: Shared::new(0),
            nr_pending: Shared::new(0),
            vectors: [const { ListHead::new() }; WHEEL_SIZE],
        }
    }; NR_CPUS],
);

/// The boot CPU's wheel and the softirq.
pub fn init_timers() {
    timers_prepare_cpu(smp_processor_id());
    open_softirq(TIMER_SOFTIRQ, run_timer_softirq);
}

/// Before `cpu` comes up: its wheel starts now.
pub fn timers_prepare_cpu(cpu: u32) -> i32 {
    let base = timer_bases.per_cpu(cpu);
    base.clk.set(jiffies());
    0
}

/// A CPU is dead: its timers go to the wheel of this one.
pub fn timers_dead_cpu(cpu: u32) -> i32 {
    let old_base = timer_bases.per_cpu(cpu);
    local_irq_disable();
    let new_base = timer_bases.this_cpu();
    raw_spin_lock(&new_base.lock);
    raw_spin_lock(&old_base.lock);
    forward_timer_base(new_base);
    BUG_ON!(old_base.running_timer.get().is_some());
    for bucket in &old_base.vectors {
        migrate_timer_list(new_base, old_base, bucket);
    }
    raw_spin_unlock(&old_base.lock);
    raw_spin_unlock(&new_base.lock);
    local_irq_enable();
    0
}

fn migrate_timer_list(
    new_base: &'static TimerBase,
    old_base: &'static TimerBase,
    bucket: &'static ListHead,
) {
    while let Some(link) = list_first(bucket) {
        let timer = list_entry!(link, TimerList, entry);
        detach_if_pending(timer, old_base);
        timer
            .flags
            .set(timer.flags.get() & !TIMER_CPUMASK | smp_processor_id());
        internal_add_timer(new_base, timer);
    }
}

/// An empty wheel may have stood still: it goes on from now.
fn forward_timer_base(base: &TimerBase) {
    if base.nr_pending.get() == 0 && time_before(base.clk.get(), jiffies()) {
        base.clk.set(jiffies());
    }
}

/// Puts a timer into the bucket of its expiry. The lock is held.
fn internal_add_timer(base: &'static TimerBase, timer: &'static TimerList) {
    let index = calc_wheel_index(timer.expires.get(), base.clk.get());
    let kept = timer.flags.get() & !TIMER_ARRAYMASK;
    timer.flags.set(kept | index << TIMER_ARRAYSHIFT);
    list_add_tail(&timer.entry, &base.vectors[index as usize]);
    base.nr_pending.inc();
}

/// Sets a timer's callback.
pub fn timer_setup(timer: &'static TimerList, function: fn(&'static TimerList), flags: u32) {
    timer.function.set(Some(function));
    timer.flags.set(flags | smp_processor_id());
    timer.entry.next.set(None);
    timer.entry.prev.set(None);
}

/// Whether the timer is in a wheel.
pub fn timer_pending(timer: &TimerList) -> bool {
    timer.entry.next.get().is_some()
}

/// The bucket for an expiry: the next one of the level's granularity after it, so never early.
fn calc_wheel_index(expires: u64, clk: u64) -> u32 {
    let delta = expires.wrapping_sub(clk);
    if delta as i64 <= 0 {
        return clk as u32 & LVL_MASK;
    }
    let (mut expires, mut level) = (expires, 0);
    while level + 1 < LVL_DEPTH && delta >= lvl_start(level + 1) {
        level += 1;
    }
    if delta >= WHEEL_TIMEOUT_MAX {
        expires = clk + WHEEL_TIMEOUT_MAX;
    }
    let bucket = (expires >> lvl_shift(level)) + 1;
    level * LVL_SIZE + (bucket as u32 & LVL_MASK)
}

fn lock_timer_base(timer: &'static TimerList) -> (&'static TimerBase, u64) {
    loop {
        let cpu = timer.flags.get() & TIMER_CPUMASK;
        let base = timer_bases.per_cpu(cpu);
        let flags = raw_spin_lock_irqsave(&base.lock);
        if timer.flags.get() & TIMER_CPUMASK == cpu {
            return (base, flags);
        }
        raw_spin_unlock_irqrestore(&base.lock, flags);
        cpu_relax();
    }
}

fn detach_if_pending(timer: &'static TimerList, base: &TimerBase) -> bool {
    if !timer_pending(timer) {
        return false;
    }
    list_del(&timer.entry);
    base.nr_pending.dec();
    true
}

fn is_running(base: &TimerBase, timer: &TimerList) -> bool {
    base.running_timer
        .get()
        .is_some_and(|running| core::ptr::eq(running, timer))
}

/// Starts or moves a timer; true if it was pending.
pub fn mod_timer(timer: &'static TimerList, expires: u64) -> bool {
    let (mut base, flags) = lock_timer_base(timer);
    let was_pending = detach_if_pending(timer, base);
    let new_base = timer_bases.this_cpu();
    if !core::ptr::eq(base, new_base) && !is_running(base, timer) {
        raw_spin_unlock(&base.lock);
        base = new_base;
        raw_spin_lock(&base.lock);
        timer
            .flags
            .set(timer.flags.get() & !TIMER_CPUMASK | smp_processor_id());
    }
    forward_timer_base(base);
    timer.expires.set(expires);
    internal_add_timer(base, timer);
    raw_spin_unlock_irqrestore(&base.lock, flags);
    was_pending
}

/// Starts a timer at its `expires`.
pub fn add_timer(timer: &'static TimerList) {
    mod_timer(timer, timer.expires.get());
}

/// Stops a timer and waits for its callback; true if it was pending (`del_timer_sync`).
pub fn del_timer(timer: &'static TimerList) -> bool {
    loop {
        let (base, flags) = lock_timer_base(timer);
        let running = is_running(base, timer);
        let was_pending = !running && detach_if_pending(timer, base);
        raw_spin_unlock_irqrestore(&base.lock, flags);
        if !running {
            return was_pending;
        }
        cpu_relax();
    }
}

/// Part of every tick: high-resolution switch, and the softirq when the wheel has turned.
pub fn run_local_timers() {
    hrtimer_run_queues();
    let base = timer_bases.this_cpu();
    if base.nr_pending.get() > 0 && !time_before(jiffies(), base.clk.get()) {
        __raise_softirq_irqoff(TIMER_SOFTIRQ);
    }
}

fn run_timer_softirq() {
    __run_timers(timer_bases.this_cpu());
}

/// Runs every timer up to now, jiffy by jiffy, coarse levels first.
fn __run_timers(base: &'static TimerBase) {
    raw_spin_lock_irq(&base.lock);
    while !time_before(jiffies(), base.clk.get()) {
        let clk = base.clk.get();
        base.clk.set(clk + 1);
        for bucket in collect_expired_timers(clk) {
            expire_timers(base, &base.vectors[bucket as usize]);
        }
    }
    raw_spin_unlock_irq(&base.lock);
}

/// The buckets whose time is `clk`, coarse levels first: a level turns when all bits below it are zero.
fn collect_expired_timers(clk: u64) -> impl Iterator<Item = u32> {
    let turned = (clk.trailing_zeros() / LVL_CLK_SHIFT).min(LVL_DEPTH - 1);
    (0..=turned)
        .rev()
        .map(move |level| level * LVL_SIZE + ((clk >> lvl_shift(level)) as u32 & LVL_MASK))
}

fn expire_timers(base: &'static TimerBase, bucket: &'static ListHead) {
    while let Some(link) = list_first(bucket) {
        let timer = list_entry!(link, TimerList, entry);
        base.running_timer.set(Some(timer));
        detach_if_pending(timer, base);
        let function = timer.function.get();
        raw_spin_unlock_irq(&base.lock);
        let before = preempt_count();
        if let Some(function) = function {
            function(timer);
        }
        let after = preempt_count();
        if before != after {
            pr_warn!("timer: preempt leak: {before:08x} -> {after:08x}");
            preempt_count_set(before);
        }
        raw_spin_lock_irq(&base.lock);
        base.running_timer.set(None);
    }
}

impl StackObject for TimerList {
    fn quiescent(&self) -> bool {
        !timer_pending(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::include::linux::jiffies::INITIAL_JIFFIES;

    /// When a timer put in at `clk` fires: the first time its bucket is collected.
    fn fires_at(expires: u64, clk: u64) -> u64 {
        let index = calc_wheel_index(expires, clk);
        (clk..)
            .find(|&now| collect_expired_timers(now).any(|bucket| bucket == index))
            .unwrap_or(0)
    }

    #[test]
    fn never_early_and_late_by_one_granule_at_most() {
        for clk in [
            INITIAL_JIFFIES,
            INITIAL_JIFFIES + 1,
            0x1_0000_0000 - 3,
            0x1_0000_0007,
        ] {
            for delta in (1..200).chain([255, 503, 504, 505, 511, 512, 4031, 4032, 4033, 40_000]) {
                let fired = fires_at(clk + delta, clk);
                let level = (1..LVL_DEPTH)
                    .rev()
                    .find(|&it| delta >= lvl_start(it))
                    .unwrap_or(0);
                assert!(
                    fired > clk + delta - 1,
                    "early: {delta} fired after {}",
                    fired - clk
                );
                assert!(
                    fired <= clk + delta + (1 << lvl_shift(level)),
                    "late: {delta} fired after {}",
                    fired - clk
                );
            }
        }
    }

    #[test]
    fn expired_timers_fire_at_once() {
        assert_eq!(fires_at(1000, 1000), 1000);
        assert_eq!(fires_at(900, 1000), 1000);
    }

    #[test]
    fn far_timers_are_clamped_to_the_wheel() {
        let index = calc_wheel_index(u64::MAX / 4, 0);
        assert!((index as usize) < WHEEL_SIZE && index >= (LVL_DEPTH - 1) * LVL_SIZE);
    }
}
