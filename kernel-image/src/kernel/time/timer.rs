//! The timer wheel: timers counted in jiffies.
//!
//! Linux: kernel/time/timer.c, v6.8. **Kept** 9 levels of 64 buckets with growing granularity, no cascading,
//! expiry never early; a standard and a deferrable base a CPU; the next expiry kept beside the wheel, which
//! lets idle CPUs sleep; the move to a busy CPU, shut-down, timers of dead CPUs; what a tick does
//! (`update_process_times`). **Left out** the sysctl timer_migration, debug objects, PREEMPT_RT's waiting for a
//! callback. **Differs** the buckets are `list_head`s, and those that expire have heads in the base.
//! **Locks** `base.lock`, interrupts off; two bases only when a CPU is dead.
pub mod sleep;

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::cpumask::{NR_CPUS, cpu_online, cpu_possible_mask};
use crate::include::linux::interrupt::{TIMER_SOFTIRQ, open_softirq, raise_softirq_irqoff};
use crate::include::linux::irqflags::{local_irq_disable, local_irq_enable};
use crate::include::linux::jiffies::*;
use crate::include::linux::ktime::{KTIME_MAX, Ktime};
use crate::include::linux::list::*;
use crate::include::linux::preempt::{preempt_count, preempt_count_set};
use crate::include::linux::smp::smp_processor_id;
use crate::include::linux::spinlock::*;
use crate::include::linux::timer::*;
use crate::include::trace::events::timer::*;
use crate::kernel::irq_work::irq_work_tick;
use crate::kernel::rcu::tree::rcu_sched_clock_irq;
use crate::kernel::sched::core::{get_nohz_timer_target, scheduler_tick, wake_up_nohz_cpu};
use crate::kernel::sched::cputime::account_process_tick;
use crate::kernel::time::hrtimer::{hrtimer_get_next_event, hrtimer_run_queues};
use crate::kernel::time::tick_sched::tick_nohz_active;
use crate::{WARN, WARN_ON_ONCE, list_entry};

const LVL_BITS: u32 = 6;
const LVL_SIZE: u32 = 1 << LVL_BITS;
const LVL_MASK: u32 = LVL_SIZE - 1;
/// Each level is eight times as coarse as the one below.
const LVL_CLK_SHIFT: u32 = 3;
const LVL_CLK_DIV: u32 = 1 << LVL_CLK_SHIFT;
const LVL_CLK_MASK: u32 = LVL_CLK_DIV - 1;
const LVL_DEPTH: u32 = 9;
const WHEEL_SIZE: usize = (LVL_SIZE * LVL_DEPTH) as usize;
const WHEEL_TIMEOUT_CUTOFF: u64 = LVL_START(LVL_DEPTH);
const WHEEL_TIMEOUT_MAX: u64 = WHEEL_TIMEOUT_CUTOFF - (1 << LVL_SHIFT(LVL_DEPTH - 1));
/// How far ahead an empty wheel's next expiry is.
const NEXT_TIMER_MAX_DELTA: u64 = (1 << 30) - 1;

/// The standard base.
const BASE_STD: usize = 0;
/// The base of deferrable timers.
const BASE_DEF: usize = 1;
const NR_BASES: usize = 2;

const fn LVL_SHIFT(level: u32) -> u32 {
    level * LVL_CLK_SHIFT
}
/// The first distance that belongs to `level`.
const fn LVL_START(level: u32) -> u64 {
    (LVL_SIZE as u64 - 1) << ((level - 1) * LVL_CLK_SHIFT)
}

/// A wheel.
#[doc(alias = "timer_base")]
struct TimerBase {
    lock: RawSpinlock,
    /// The timer whose callback runs.
    running_timer: Shared<Option<&'static TimerList>>,
    /// The jiffy up to which the wheel has turned.
    clk: Shared<u64>,
    /// When the first bucket is due.
    next_expiry: Shared<u64>,
    cpu: Shared<u32>,
    /// The first bucket went: `next_expiry` is too early.
    next_expiry_recalc: Shared<bool>,
    /// The CPU sleeps: whoever adds a timer has to wake it.
    is_idle: Shared<bool>,
    /// There are timers.
    timers_pending: Shared<bool>,
    /// Which buckets are not empty.
    pending_map: [Shared<u64>; LVL_DEPTH as usize],
    vectors: [ListHead; WHEEL_SIZE],
    /// Heads of the buckets that expire right now (Linux has them on the stack).
    heads: [ListHead; LVL_DEPTH as usize],
}

impl TimerBase {
    const fn new() -> Self {
        Self {
            lock: RawSpinlock::new(),
            running_timer: Shared::new(None),
            clk: Shared::new(0),
            next_expiry: Shared::new(0),
            cpu: Shared::new(0),
            next_expiry_recalc: Shared::new(false),
            is_idle: Shared::new(false),
            timers_pending: Shared::new(false),
            pending_map: [const { Shared::new(0) }; LVL_DEPTH as usize],
            vectors: [const { ListHead::new() }; WHEEL_SIZE],
            heads: [const { ListHead::new() }; LVL_DEPTH as usize],
        }
    }

    /// An empty wheel that starts now.
    fn reset(&self, now: u64) {
        self.clk.set(now);
        self.next_expiry.set(now.wrapping_add(NEXT_TIMER_MAX_DELTA));
        self.next_expiry_recalc.set(false);
        self.timers_pending.set(false);
        self.is_idle.set(false);
    }

    fn set_pending(&self, idx: u32) {
        self.pending_map[(idx / LVL_SIZE) as usize].or(1 << (idx % LVL_SIZE));
    }

    fn clear_pending(&self, idx: u32) {
        self.pending_map[(idx / LVL_SIZE) as usize].and_not(1 << (idx % LVL_SIZE));
    }
}

static timer_bases: PerCpu<[TimerBase; NR_BASES]> =
    PerCpu::new([const { [const { TimerBase::new() }; NR_BASES] }; NR_CPUS]);

type BaseRef = &'static TimerBase;

fn same_base(a: BaseRef, b: BaseRef) -> bool {
    core::ptr::eq(a, b)
}

/// All wheels, and the softirq.
pub fn init_timers() {
    for cpu in cpu_possible_mask().iter() {
        init_timer_cpu(cpu);
    }
    open_softirq(TIMER_SOFTIRQ, run_timer_softirq);
}

fn init_timer_cpu(cpu: u32) {
    for base in timer_bases.per_cpu(cpu) {
        base.cpu.set(cpu);
        base.reset(jiffies());
    }
}

/// Before `cpu` comes up: its wheels start now.
pub fn timers_prepare_cpu(cpu: u32) -> i32 {
    for base in timer_bases.per_cpu(cpu) {
        base.reset(jiffies());
    }
    0
}

/// After `cpu` has gone down: its timers go on here.
///
/// # Context
/// Thread on another CPU.
pub fn timers_dead_cpu(cpu: u32) -> i32 {
    local_irq_disable();
    for (old_base, new_base) in timer_bases.per_cpu(cpu).iter().zip(timer_bases.this_cpu()) {
        raw_spin_lock(&new_base.lock);
        raw_spin_lock(&old_base.lock);
        // It may be behind, and nothing else moves it now.
        forward_timer_base(new_base);
        WARN_ON_ONCE!(old_base.running_timer.get().is_some());
        old_base.running_timer.set(None);
        for vector in &old_base.vectors {
            migrate_timer_list(new_base, vector);
        }
        for map in &old_base.pending_map {
            map.set(0);
        }
        raw_spin_unlock(&old_base.lock);
        raw_spin_unlock(&new_base.lock);
    }
    local_irq_enable();
    0
}

fn migrate_timer_list(new_base: BaseRef, head: &'static ListHead) {
    while let Some(timer) = first_timer(head) {
        detach_timer(timer, false);
        set_timer_cpu(timer, new_base.cpu.get());
        internal_add_timer(new_base, timer);
    }
}

fn first_timer(head: &'static ListHead) -> Option<&'static TimerList> {
    list_first(head).map(|link| list_entry!(link, TimerList, entry))
}

fn set_timer_cpu(timer: &TimerList, cpu: u32) {
    timer.flags.set(timer.flags.get() & !TIMER_BASEMASK | cpu);
}

fn timer_get_idx(timer: &TimerList) -> u32 {
    (timer.flags.get() & TIMER_ARRAYMASK) >> TIMER_ARRAYSHIFT
}

fn timer_set_idx(timer: &TimerList, idx: u32) {
    timer
        .flags
        .set(timer.flags.get() & !TIMER_ARRAYMASK | idx << TIMER_ARRAYSHIFT);
}

/// Sets a timer's callback and its flags of `TIMER_INIT_FLAGS`.
pub fn timer_setup(timer: &'static TimerList, function: fn(&'static TimerList), flags: u32) {
    trace_timer_init(timer);
    WARN_ON_ONCE!(flags & !TIMER_INIT_FLAGS != 0);
    timer.function.set(Some(function));
    timer
        .flags
        .set(flags & TIMER_INIT_FLAGS | smp_processor_id());
    timer.entry.next.set(None);
    timer.entry.prev.set(None);
}

/// Whether the timer is in a wheel.
pub fn timer_pending(timer: &TimerList) -> bool {
    timer.entry.next.get().is_some()
}

/// The bucket of a level for an expiry, and when it is due: one granule more, because the rest of the time below
/// the granularity is cut off, and a timer is never early.
fn calc_index(expires: u64, level: u32) -> (u32, u64) {
    let bucket = (expires >> LVL_SHIFT(level)) + 1;
    (
        level * LVL_SIZE + (bucket as u32 & LVL_MASK),
        bucket << LVL_SHIFT(level),
    )
}

/// The bucket for an expiry, and when it is due.
fn calc_wheel_index(expires: u64, clk: u64) -> (u32, u64) {
    let delta = expires.wrapping_sub(clk);
    if (delta as i64) < 0 {
        // Past: the bucket that is looked at next.
        return (clk as u32 & LVL_MASK, clk);
    }
    match (1..LVL_DEPTH).find(|&level| delta < LVL_START(level)) {
        Some(level) => calc_index(expires, level - 1),
        None if delta >= WHEEL_TIMEOUT_CUTOFF => calc_index(clk + WHEEL_TIMEOUT_MAX, LVL_DEPTH - 1),
        None => calc_index(expires, LVL_DEPTH - 1),
    }
}

/// A timer was added to a wheel whose CPU may sleep.
fn trigger_dyntick_cpu(base: BaseRef, timer: &TimerList) {
    if !tick_nohz_active() || timer.flags.get() & TIMER_DEFERRABLE != 0 {
        return;
    }
    // The CPU cannot fall asleep now: it would need our lock.
    if base.is_idle.get() {
        wake_up_nohz_cpu(base.cpu.get());
    }
}

/// Puts the timer into a bucket. The last one that came is the first to run.
fn place(base: BaseRef, timer: &'static TimerList, idx: u32) {
    list_add(&timer.entry, &base.vectors[idx as usize]);
    base.set_pending(idx);
    timer_set_idx(timer, idx);
}

fn enqueue_timer(base: BaseRef, timer: &'static TimerList, idx: u32, bucket_expiry: u64) {
    place(base, timer, idx);
    trace_timer_start(timer, bucket_expiry);
    if time_before(bucket_expiry, base.next_expiry.get()) {
        base.next_expiry.set(bucket_expiry);
        base.timers_pending.set(true);
        base.next_expiry_recalc.set(false);
        trigger_dyntick_cpu(base, timer);
    }
}

fn internal_add_timer(base: BaseRef, timer: &'static TimerList) {
    let (idx, bucket_expiry) = calc_wheel_index(timer.expires.get(), base.clk.get());
    enqueue_timer(base, timer, idx, bucket_expiry);
}

fn detach_timer(timer: &'static TimerList, clear_pending: bool) {
    trace_timer_cancel(timer);
    list_del(&timer.entry);
    if !clear_pending {
        // It is on its way to another bucket: not idle in between.
        timer.entry.next.set(Some(&timer.entry));
    }
}

/// Takes a timer out of its bucket, if it is in one.
fn detach_if_pending(timer: &'static TimerList, base: BaseRef, clear_pending: bool) -> bool {
    if !timer_pending(timer) {
        return false;
    }
    let idx = timer_get_idx(timer);
    let vector = &base.vectors[idx as usize];
    let alone = list_first(vector).is_some_and(|first| core::ptr::eq(first, &timer.entry))
        && list_is_singular(vector);
    if alone {
        base.clear_pending(idx);
        base.next_expiry_recalc.set(true);
    }
    detach_timer(timer, clear_pending);
    true
}

fn get_timer_cpu_base(tflags: u32, cpu: u32) -> BaseRef {
    let which = if tflags & TIMER_DEFERRABLE != 0 {
        BASE_DEF
    } else {
        BASE_STD
    };
    &timer_bases.per_cpu(cpu)[which]
}

fn get_timer_base(tflags: u32) -> BaseRef {
    get_timer_cpu_base(tflags, tflags & TIMER_CPUMASK)
}

/// Where a timer that is started here goes: to this CPU, or to a busy one while this one is idle.
fn get_target_base(tflags: u32) -> BaseRef {
    let cpu = if tick_nohz_active() && tflags & TIMER_PINNED == 0 {
        get_nohz_timer_target()
    } else {
        smp_processor_id()
    };
    get_timer_cpu_base(tflags, cpu)
}

/// Lets a wheel that stood still catch up as far as nothing is due.
fn forward_timer_base(base: BaseRef) {
    __forward_timer_base(base, jiffies());
}

fn __forward_timer_base(base: BaseRef, basej: u64) {
    // Never back: that would make timers early.
    if time_before_eq(basej, base.clk.get()) {
        return;
    }
    let next = base.next_expiry.get();
    if time_after(next, basej) {
        base.clk.set(basej);
    } else if !WARN_ON_ONCE!(time_before(next, base.clk.get())) {
        base.clk.set(next);
    }
}

/// Locks the base a timer is on; it may change while waiting.
fn lock_timer_base(timer: &'static TimerList) -> (BaseRef, u64) {
    loop {
        let tflags = timer.flags.get();
        if tflags & TIMER_MIGRATING == 0 {
            let base = get_timer_base(tflags);
            let flags = raw_spin_lock_irqsave(&base.lock);
            if timer.flags.get() == tflags {
                return (base, flags);
            }
            raw_spin_unlock_irqrestore(&base.lock, flags);
        }
        cpu_relax();
    }
}

/// Takes a timer from its base, whose lock is held, to another, whose lock is held afterwards.
fn change_base(timer: &'static TimerList, base: BaseRef, new_base: BaseRef) {
    timer.flags.or(TIMER_MIGRATING);
    raw_spin_unlock(&base.lock);
    raw_spin_lock(&new_base.lock);
    set_timer_cpu(timer, new_base.cpu.get());
}

/// Only if it is pending.
const MOD_TIMER_PENDING_ONLY: u32 = 0x01;
/// Only to an earlier time.
const MOD_TIMER_REDUCE: u32 = 0x02;
/// It is known not to be pending.
const MOD_TIMER_NOTPENDING: u32 = 0x04;

fn __mod_timer(timer: &'static TimerList, expires: u64, options: u32) -> bool {
    let reduce = options & MOD_TIMER_REDUCE != 0;
    // The bucket, if the wheel stands at that time still.
    let mut known = None;
    if options & MOD_TIMER_NOTPENDING == 0 && timer_pending(timer) {
        // Common, and free: nothing changes.
        let diff = timer.expires.get().wrapping_sub(expires) as i64;
        if diff == 0 || reduce && diff < 0 {
            return true;
        }
    }
    let (mut base, flags) = lock_timer_base(timer);
    let done = |base: BaseRef, ret: bool| {
        raw_spin_unlock_irqrestore(&base.lock, flags);
        ret
    };
    if timer.function.get().is_none() {
        // Shut down: it stays so.
        return done(base, false);
    }
    forward_timer_base(base);
    if options & MOD_TIMER_NOTPENDING == 0 && timer_pending(timer) {
        if reduce && time_before_eq(timer.expires.get(), expires) {
            return done(base, true);
        }
        let clk = base.clk.get();
        let (idx, bucket_expiry) = calc_wheel_index(expires, clk);
        if idx == timer_get_idx(timer) {
            // The same bucket: only the time in it changes.
            if !reduce || time_after(timer.expires.get(), expires) {
                timer.expires.set(expires);
            }
            return done(base, true);
        }
        known = Some((clk, idx, bucket_expiry));
    }
    let ret = detach_if_pending(timer, base, false);
    if !ret && options & MOD_TIMER_PENDING_ONLY != 0 {
        return done(base, false);
    }

    let new_base = get_target_base(timer.flags.get());
    // While its callback runs it stays, or del_timer_sync could not see that.
    if !same_base(base, new_base) && !is_running(base, timer) {
        change_base(timer, base, new_base);
        base = new_base;
        forward_timer_base(base);
    }
    timer.expires.set(expires);
    match known {
        Some((clk, idx, bucket_expiry)) if clk == base.clk.get() => {
            enqueue_timer(base, timer, idx, bucket_expiry);
        }
        _ => internal_add_timer(base, timer),
    }
    done(base, ret)
}

fn is_running(base: &TimerBase, timer: &TimerList) -> bool {
    base.running_timer
        .get()
        .is_some_and(|running| core::ptr::eq(running, timer))
}

/// Moves a timer that is pending; true if it was.
pub fn mod_timer_pending(timer: &'static TimerList, expires: u64) -> bool {
    __mod_timer(timer, expires, MOD_TIMER_PENDING_ONLY)
}

/// Starts or moves a timer; true if it was pending.
pub fn mod_timer(timer: &'static TimerList, expires: u64) -> bool {
    __mod_timer(timer, expires, 0)
}

/// Starts a timer, or moves it to an earlier time; true if it was pending.
pub fn timer_reduce(timer: &'static TimerList, expires: u64) -> bool {
    __mod_timer(timer, expires, MOD_TIMER_REDUCE)
}

/// Starts a timer at its `expires`.
pub fn add_timer(timer: &'static TimerList) {
    if !WARN_ON_ONCE!(timer_pending(timer)) {
        __mod_timer(timer, timer.expires.get(), MOD_TIMER_NOTPENDING);
    }
}

/// Starts a timer at its `expires` on a CPU.
pub fn add_timer_on(timer: &'static TimerList, cpu: u32) {
    if WARN_ON_ONCE!(timer_pending(timer)) {
        return;
    }
    let new_base = get_timer_cpu_base(timer.flags.get(), cpu);
    let (mut base, flags) = lock_timer_base(timer);
    if timer.function.get().is_some() {
        if !same_base(base, new_base) {
            change_base(timer, base, new_base);
            base = new_base;
        }
        forward_timer_base(base);
        internal_add_timer(base, timer);
    }
    raw_spin_unlock_irqrestore(&base.lock, flags);
}

fn __timer_delete(timer: &'static TimerList, shutdown: bool) -> bool {
    if !timer_pending(timer) && !shutdown {
        return false;
    }
    let (base, flags) = lock_timer_base(timer);
    let ret = detach_if_pending(timer, base, true);
    if shutdown {
        timer.function.set(None);
    }
    raw_spin_unlock_irqrestore(&base.lock, flags);
    ret
}

/// Stops a timer without waiting for a callback that runs; true if it was pending.
pub fn timer_delete(timer: &'static TimerList) -> bool {
    __timer_delete(timer, false)
}

/// The older name of [`timer_delete`].
pub fn del_timer(timer: &'static TimerList) -> bool {
    timer_delete(timer)
}

/// Stops a timer for good: until its next `timer_setup` nothing starts it.
pub fn timer_shutdown(timer: &'static TimerList) -> bool {
    __timer_delete(timer, true)
}

/// None while the callback runs, otherwise whether the timer was pending.
fn __try_to_del_timer_sync(timer: &'static TimerList, shutdown: bool) -> Option<bool> {
    let (base, flags) = lock_timer_base(timer);
    let ret = (!is_running(base, timer)).then(|| detach_if_pending(timer, base, true));
    if shutdown {
        timer.function.set(None);
    }
    raw_spin_unlock_irqrestore(&base.lock, flags);
    ret
}

/// Stops a timer unless its callback runs.
///
/// # Returns
/// 1 if it was pending, 0 if not, -1 while the callback runs.
pub fn try_to_del_timer_sync(timer: &'static TimerList) -> i32 {
    __try_to_del_timer_sync(timer, false).map_or(-1, i32::from)
}

fn __timer_delete_sync(timer: &'static TimerList, shutdown: bool) -> bool {
    // In an interrupt the callback below us would never end; one that runs with interrupts off cannot be below us.
    WARN_ON_ONCE!(
        crate::include::linux::preempt::in_hardirq() && timer.flags.get() & TIMER_IRQSAFE == 0
    );
    loop {
        if let Some(ret) = __try_to_del_timer_sync(timer, shutdown) {
            return ret;
        }
        cpu_relax();
    }
}

/// Stops a timer and waits for its callback; true if it was pending.
///
/// # Context
/// Not with a lock that the callback takes.
pub fn timer_delete_sync(timer: &'static TimerList) -> bool {
    __timer_delete_sync(timer, false)
}

/// The older name of [`timer_delete_sync`].
pub fn del_timer_sync(timer: &'static TimerList) -> bool {
    timer_delete_sync(timer)
}

/// Stops a timer for good, and waits for its callback.
pub fn timer_shutdown_sync(timer: &'static TimerList) -> bool {
    __timer_delete_sync(timer, true)
}

fn call_timer_fn(timer: &'static TimerList, function: fn(&'static TimerList), baseclk: u64) {
    let count = preempt_count();
    trace_timer_expire_entry(timer, baseclk);
    function(timer);
    trace_timer_expire_exit(timer);
    if WARN!(
        count != preempt_count(),
        "timer: {:#x} preempt leak: {count:08x} -> {:08x}",
        function as usize,
        preempt_count()
    ) {
        preempt_count_set(count);
    }
}

/// Runs what was collected. The lock is held, and dropped around each callback.
fn expire_timers(base: BaseRef, head: &'static ListHead) {
    let baseclk = base.clk.get() - 1;
    while let Some(timer) = first_timer(head) {
        base.running_timer.set(Some(timer));
        detach_timer(timer, true);
        match timer.function.get() {
            None => {
                WARN_ON_ONCE!(true);
            }
            Some(function) if timer.flags.get() & TIMER_IRQSAFE != 0 => {
                raw_spin_unlock(&base.lock);
                call_timer_fn(timer, function, baseclk);
                raw_spin_lock(&base.lock);
            }
            Some(function) => {
                raw_spin_unlock_irq(&base.lock);
                call_timer_fn(timer, function, baseclk);
                raw_spin_lock_irq(&base.lock);
            }
        }
        base.running_timer.set(None);
    }
}

/// Turns the wheel to the next expiry and takes out the buckets that are due: a level turns when all bits below it
/// are zero. How many there are.
fn collect_expired_timers(base: BaseRef) -> usize {
    let mut clk = base.next_expiry.get();
    base.clk.set(clk);
    let mut levels = 0;
    for level in 0..LVL_DEPTH {
        let idx = level * LVL_SIZE + (clk as u32 & LVL_MASK);
        if base.pending_map[level as usize].get() & 1 << (idx % LVL_SIZE) != 0 {
            base.clear_pending(idx);
            list_splice_tail_init(&base.vectors[idx as usize], &base.heads[levels]);
            levels += 1;
        }
        if clk as u32 & LVL_CLK_MASK != 0 {
            break;
        }
        clk >>= LVL_CLK_SHIFT;
    }
    levels
}

/// How many buckets after `clk`'s the next one of the level is that is not empty.
fn next_pending_bucket(map: u64, clk: u32) -> Option<u32> {
    // As if the level were cut open at its present bucket.
    let map = map.rotate_right(clk);
    (map != 0).then(|| map.trailing_zeros())
}

/// Searches the wheel for its first bucket.
fn next_expiry_recompute(base: &TimerBase) {
    let far = base.clk.get().wrapping_add(NEXT_TIMER_MAX_DELTA);
    let mut next = far;
    let mut clk = base.clk.get();
    for level in 0..LVL_DEPTH {
        let lvl_clk = clk as u32 & LVL_CLK_MASK;
        let map = base.pending_map[level as usize].get();
        if let Some(pos) = next_pending_bucket(map, clk as u32 & LVL_MASK) {
            let due = (clk + u64::from(pos)) << LVL_SHIFT(level);
            if time_before(due, next) {
                next = due;
            }
            // Before this level's next turn no coarser one is due.
            if pos <= (LVL_CLK_DIV - lvl_clk) & LVL_CLK_MASK {
                break;
            }
        }
        // A coarser bucket covers times that are past in part: the next one counts, unless we stand at its start.
        clk = (clk >> LVL_CLK_SHIFT) + u64::from(lvl_clk != 0);
    }
    base.next_expiry.set(next);
    base.next_expiry_recalc.set(false);
    base.timers_pending.set(next != far);
}

/// What comes first, a wheel timer or (without high resolution) an hrtimer.
fn cmp_next_hrtimer_event(basem: Ktime, expires: Ktime) -> Ktime {
    let nextevt = hrtimer_get_next_event();
    if expires <= nextevt {
        expires
    } else if nextevt <= basem {
        basem
    } else {
        // It is served by a tick.
        (nextevt as u64).div_ceil(TICK_NSEC as u64) as Ktime * TICK_NSEC
    }
}

/// When this CPU must tick again, as seen at the jiffy `basej` that began at `basem`; marks the wheel idle if that
/// is more than a tick ahead.
///
/// # Context
/// Interrupts off, idle task.
pub fn get_next_timer_interrupt(basej: u64, basem: Ktime) -> Ktime {
    let cpu = smp_processor_id();
    if !cpu_online(cpu) {
        return KTIME_MAX;
    }
    let base = &timer_bases.per_cpu(cpu)[BASE_STD];
    raw_spin_lock(&base.lock);
    if base.next_expiry_recalc.get() {
        next_expiry_recompute(base);
    }
    __forward_timer_base(base, basej);
    let mut expires = KTIME_MAX;
    let mut nextevt = basej.wrapping_add(NEXT_TIMER_MAX_DELTA);
    if base.timers_pending.get() {
        nextevt = base.next_expiry.get();
        if time_before(nextevt, basej) {
            nextevt = basej;
        }
        expires = basem + nextevt.wrapping_sub(basej) as Ktime * TICK_NSEC;
    } else {
        // An empty wheel's expiry moves along: it would be reached one day.
        base.next_expiry.set(nextevt);
    }
    set_idle(base, time_after(nextevt, basej + 1));
    raw_spin_unlock(&base.lock);
    cmp_next_hrtimer_event(basem, expires)
}

fn set_idle(base: &TimerBase, is_idle: bool) {
    if base.is_idle.replace(is_idle) != is_idle {
        trace_timer_base_idle(is_idle, base.cpu.get());
    }
}

/// This CPU ticks again: timers may be added without waking it.
///
/// # Context
/// Interrupts off.
pub fn timer_clear_idle() {
    set_idle(&timer_bases.this_cpu()[BASE_STD], false);
}

/// Runs every timer up to now, bucket by bucket, coarse levels first.
fn __run_timers(base: BaseRef) {
    if time_before(jiffies(), base.next_expiry.get()) {
        return;
    }
    raw_spin_lock_irq(&base.lock);
    while time_after_eq(jiffies(), base.clk.get())
        && time_after_eq(jiffies(), base.next_expiry.get())
    {
        let levels = collect_expired_timers(base);
        // An empty bucket is all right if its timers were deleted.
        WARN_ON_ONCE!(levels == 0 && !base.next_expiry_recalc.get() && base.timers_pending.get());
        base.clk.inc();
        next_expiry_recompute(base);
        for head in base.heads[..levels].iter().rev() {
            expire_timers(base, head);
        }
    }
    raw_spin_unlock_irq(&base.lock);
}

fn run_timer_softirq() {
    // A CPU does not change while it serves softirqs.
    let bases = timer_bases.this_cpu();
    __run_timers(&bases[BASE_STD]);
    __run_timers(&bases[BASE_DEF]);
}

/// Part of every tick: high-resolution switch, and the softirq when a wheel has something due.
fn run_local_timers() {
    hrtimer_run_queues();
    if timer_bases
        .this_cpu()
        .iter()
        .any(|base| !time_before(jiffies(), base.next_expiry.get()))
    {
        raise_softirq_irqoff(TIMER_SOFTIRQ);
    }
}

/// What every tick does for the task it interrupted.
///
/// # Context
/// The timer interrupt.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn update_process_times(user_tick: bool) {
    account_process_tick(current(), user_tick);
    run_local_timers();
    rcu_sched_clock_irq(user_tick);
    irq_work_tick();
    scheduler_tick();
}

impl StackObject for TimerList {
    fn quiescent(&self) -> bool {
        !timer_pending(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    fn wheel(clk: u64) -> BaseRef {
        let base: BaseRef = Box::leak(Box::new(TimerBase::new()));
        base.reset(clk);
        base
    }

    fn add(base: BaseRef, expires: u64) -> &'static TimerList {
        let timer: &'static TimerList = Box::leak(Box::new(TimerList::new()));
        timer.expires.set(expires);
        let (idx, due) = calc_wheel_index(expires, base.clk.get());
        place(base, timer, idx);
        if time_before(due, base.next_expiry.get()) {
            base.next_expiry.set(due);
        }
        timer
    }

    /// Turns the wheel to its next expiry; what fires there, coarse levels first.
    fn turn(base: BaseRef) -> (u64, Vec<&'static TimerList>) {
        next_expiry_recompute(base);
        if !base.timers_pending.get() {
            return (0, Vec::new());
        }
        let at = base.next_expiry.get();
        let levels = collect_expired_timers(base);
        base.clk.inc();
        let mut fired = Vec::new();
        for head in base.heads[..levels].iter().rev() {
            while let Some(timer) = first_timer(head) {
                list_del(&timer.entry);
                fired.push(timer);
            }
        }
        (at, fired)
    }

    fn level_of(delta: u64) -> u32 {
        (1..LVL_DEPTH)
            .rev()
            .find(|&it| delta >= LVL_START(it))
            .unwrap_or(0)
    }

    const CLOCKS: [u64; 5] = [
        INITIAL_JIFFIES,
        INITIAL_JIFFIES + 1,
        0x1_0000_0000 - 3,
        0x1_0000_0007,
        0x1_0000_0000,
    ];

    #[test]
    fn never_early_and_late_by_one_granule_at_most() {
        for clk in CLOCKS {
            let deltas = (0..600)
                .chain([4031, 4032, 4033, 32_255, 32_256, 40_000, 300_000, 2_100_000])
                .chain([20_000_000, 140_000_000, 1_000_000_000]);
            for delta in deltas {
                let base = wheel(clk);
                let timer = add(base, clk + delta);
                let (at, fired) = turn(base);
                assert!(fired.len() == 1 && core::ptr::eq(fired[0], timer));
                assert!(at > clk + delta, "early: {delta} fired after {}", at - clk);
                let granule = 1 << LVL_SHIFT(level_of(delta));
                assert!(
                    at <= clk + delta + granule,
                    "late: {delta} fired after {}",
                    at - clk
                );
            }
        }
    }

    #[test]
    fn timers_fire_in_the_order_of_their_buckets_and_none_is_lost() {
        let mut random = 88_172_645_463_325_252u64;
        for clk in CLOCKS {
            let base = wheel(clk);
            let timers: Vec<_> = (0..2000)
                .map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let bits = 1 + random % 22;
                    add(base, clk + (random >> 32) % (1 << bits))
                })
                .collect();
            let (mut last, mut count) = (clk, 0);
            loop {
                let (at, fired) = turn(base);
                if fired.is_empty() {
                    break;
                }
                assert!(at > last, "the wheel went back");
                last = at;
                for timer in fired {
                    let delta = timer.expires.get() - clk;
                    let granule = 1 << LVL_SHIFT(level_of(delta));
                    assert!(timer.expires.get() < at && at <= timer.expires.get() + granule);
                    count += 1;
                }
            }
            assert_eq!(count, timers.len());
        }
    }

    #[test]
    fn a_timer_of_the_past_fires_at_once() {
        let base = wheel(1000);
        add(base, 900);
        assert_eq!(turn(base).0, 1000);
        // One of the present has until the next tick.
        let base = wheel(1000);
        add(base, 1000);
        assert_eq!(turn(base).0, 1001);
    }

    #[test]
    fn far_timers_are_clamped_to_the_wheel() {
        let (idx, due) = calc_wheel_index(u64::MAX / 4, 0);
        assert!((idx as usize) < WHEEL_SIZE && idx >= (LVL_DEPTH - 1) * LVL_SIZE);
        assert!(due <= WHEEL_TIMEOUT_CUTOFF);
    }

    #[test]
    fn the_last_that_came_is_the_first_of_its_bucket() {
        let base = wheel(0);
        let (first, second) = (add(base, 5), add(base, 5));
        let (_, fired) = turn(base);
        assert!(core::ptr::eq(fired[0], second) && core::ptr::eq(fired[1], first));
    }
}
