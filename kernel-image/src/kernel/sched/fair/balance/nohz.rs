//! Balancing for CPUs that idle without a tick: one of them is woken to do it for all.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `nohz_balancer_kick`, `_nohz_idle_balance`, `nohz_balance_enter_idle`,
//! and `kernel/sched/core.c`: `nohz_csd_func`. Kept: when to kick, whom, and with what; the order of the flags
//! between who goes to sleep and who looks. Left out: housekeeping CPUs (all are), packing.
//! Differs: nothing else.
//! Locks: none; flags and masks are changed atomically.

use super::CpuIdleType;
use super::domains::{on_null_domain, rebalance_domains};
use crate::WARN_ON_ONCE;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{GlobalCpumask, cpu_active};
use crate::include::linux::interrupt::{SCHED_SOFTIRQ, raise_softirq_irqoff};
use crate::include::linux::jiffies::{
    jiffies, msecs_to_jiffies, time_after, time_after_eq, time_before,
};
use crate::include::linux::sched::{need_resched, smp_mb};
use crate::include::linux::smp::smp_call_function_single_async;
use crate::kernel::sched::core::idle_cpu;
use crate::kernel::sched::fair::capacity::{check_cpu_capacity, check_misfit_status};
use crate::kernel::sched::fair::load::update_blocked_averages;
use crate::kernel::sched::sched::{
    RqFlags, RqRef, SYSCTL_SCHED_MIGRATION_COST, cpu_of, cpu_rq, rq_lock_irqsave,
    rq_unlock_irqrestore, same_rq, this_rq, update_rq_clock,
};
use crate::kernel::sched::topology::build::for_each_cpu_wrap;
use crate::kernel::sched::topology::{sd_asym_cpucapacity, sd_llc, sd_llc_shared};
use core::sync::atomic::{AtomicI32, Ordering};

/// Balance for the sleepers.
pub const NOHZ_BALANCE_KICK: u32 = 1 << 0;
/// Let their sums decay.
pub const NOHZ_STATS_KICK: u32 = 1 << 1;
/// The same, before idling.
pub const NOHZ_NEWILB_KICK: u32 = 1 << 2;
/// Find the time of the next balance.
pub const NOHZ_NEXT_KICK: u32 = 1 << 3;
/// What is asked by an interrupt.
pub const NOHZ_KICK_MASK: u32 = NOHZ_BALANCE_KICK | NOHZ_STATS_KICK | NOHZ_NEXT_KICK;

/// How long half of a load is remembered, ms.
const LOAD_AVG_PERIOD: u64 = 32;

/// The CPUs that idle without a tick.
#[repr(C)]
pub struct Nohz {
    /// Which.
    pub idle_cpus_mask: GlobalCpumask,
    /// How many.
    pub nr_cpus: AtomicI32,
    /// One of them may have load that has to decay.
    pub has_blocked: Shared<i32>,
    /// One came since the time of the next balance was computed.
    pub needs_update: Shared<i32>,
    /// When to balance for them next, jiffies.
    pub next_balance: Shared<u64>,
    /// When to let their load decay next, jiffies.
    pub next_blocked: Shared<u64>,
}

/// The one of them.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static nohz: Nohz = Nohz {
    idle_cpus_mask: GlobalCpumask::new(),
    nr_cpus: AtomicI32::new(0),
    has_blocked: Shared::new(0),
    needs_update: Shared::new(0),
    next_balance: Shared::new(0),
    next_blocked: Shared::new(0),
};

/// A sleeper that may do the work: idle, and not this CPU.
fn find_new_ilb() -> Option<u32> {
    let this_cpu = raw_smp_processor_id();
    nohz.idle_cpus_mask
        .get()
        .iter()
        .find(|&cpu| cpu != this_cpu && idle_cpu(cpu))
}

/// Wakes a sleeper to work for all of them.
fn kick_ilb(flags: u32) {
    // A whole balance will set the time anew; until then nobody else has to ask.
    if flags & NOHZ_BALANCE_KICK != 0 {
        nohz.next_balance.set(jiffies() + 1);
    }
    let Some(ilb_cpu) = find_new_ilb() else {
        return;
    };
    let nohz_flags = &cpu_rq(ilb_cpu).nohz_flags;
    if nohz_flags.load(Ordering::Relaxed) & flags == flags {
        return;
    }
    // Whoever sets the first flag owns the call until it has run.
    if nohz_flags.fetch_or(flags, Ordering::SeqCst) & NOHZ_KICK_MASK != 0 {
        return;
    }
    smp_call_function_single_async(ilb_cpu, &cpu_rq(ilb_cpu).nohz_csd);
}

/// What the woken sleeper does in the interrupt: the softirq follows on the way out of it.
pub fn nohz_csd_func(info: u64) {
    let rq = cpu_rq(info as u32);
    let flags = rq
        .nohz_flags
        .fetch_and(!(NOHZ_KICK_MASK | NOHZ_NEWILB_KICK), Ordering::SeqCst);
    WARN_ON_ONCE!(flags & NOHZ_KICK_MASK == 0);
    rq.idle_balance.set(u8::from(idle_cpu(cpu_of(rq))));
    if rq.idle_balance.get() != 0 && !need_resched() {
        rq.nohz_idle_balance.set(flags);
        raise_softirq_irqoff(SCHED_SOFTIRQ);
    }
}

/// The tick of a busy CPU: is there enough to do to wake a sleeper?
pub(super) fn nohz_balancer_kick(rq: RqRef) {
    if rq.idle_balance.get() != 0 {
        return;
    }
    // The first busy tick after a sleep.
    nohz_balance_exit_idle(rq);
    if nohz.nr_cpus.load(Ordering::Relaxed) == 0 {
        return;
    }
    let now = jiffies();
    let mut flags = 0;
    if nohz.has_blocked.get() != 0 && time_after(now, nohz.next_blocked.get()) {
        flags = NOHZ_STATS_KICK;
    }
    if !time_before(now, nohz.next_balance.get()) && wants_help(rq) {
        flags = NOHZ_STATS_KICK | NOHZ_BALANCE_KICK;
    }
    if nohz.needs_update.get() != 0 {
        flags |= NOHZ_NEXT_KICK;
    }
    if flags != 0 {
        kick_ilb(flags);
    }
}

/// Whether an idle CPU could take something from this one, or from others of its cache.
fn wants_help(rq: RqRef) -> bool {
    if rq.nr_running.get() >= 2 {
        return true;
    }
    let reduced = |sd| rq.cfs.h_nr_running.get() >= 1 && check_cpu_capacity(rq, sd);
    if rq.sd.get().is_some_and(reduced) {
        return true;
    }
    let cpu = cpu_of(rq);
    if let Some(sd) = sd_asym_cpucapacity.per_cpu(cpu).get() {
        // On unlike CPUs only what does not fit counts.
        return check_misfit_status(rq, sd);
    }
    sd_llc_shared
        .per_cpu(cpu)
        .get()
        .is_some_and(|sds| sds.nr_busy_cpus.load(Ordering::Relaxed) > 1)
}

fn set_cpu_sd_state_busy(cpu: u32) {
    let Some(sd) = sd_llc.per_cpu(cpu).get() else {
        return;
    };
    if sd.nohz_idle.replace(0) != 0
        && let Some(shared) = sd.shared.get()
    {
        shared.nr_busy_cpus.fetch_add(1, Ordering::Relaxed);
    }
}

fn set_cpu_sd_state_idle(cpu: u32) {
    let Some(sd) = sd_llc.per_cpu(cpu).get() else {
        return;
    };
    if sd.nohz_idle.replace(1) == 0
        && let Some(shared) = sd.shared.get()
    {
        shared.nr_busy_cpus.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The CPU has a tick again.
pub fn nohz_balance_exit_idle(rq: RqRef) {
    WARN_ON_ONCE!(!same_rq(rq, this_rq()));
    if rq.nohz_tick_stopped.get() == 0 {
        return;
    }
    rq.nohz_tick_stopped.set(0);
    nohz.idle_cpus_mask.clear_cpu(cpu_of(rq));
    nohz.nr_cpus.fetch_sub(1, Ordering::SeqCst);
    set_cpu_sd_state_busy(cpu_of(rq));
}

/// The CPU idles and has stopped its tick.
pub fn nohz_balance_enter_idle(cpu: u32) {
    let rq = cpu_rq(cpu);
    WARN_ON_ONCE!(cpu != raw_smp_processor_id());
    // On its way down: others will see to it.
    if !cpu_active(cpu) {
        return;
    }
    rq.has_blocked_load.set(1);
    if rq.nohz_tick_stopped.get() == 0 {
        if on_null_domain(rq) {
            return;
        }
        rq.nohz_tick_stopped.set(1);
        nohz.idle_cpus_mask.set_cpu(cpu);
        nohz.nr_cpus.fetch_add(1, Ordering::SeqCst);
        // Who does not see us in the mask sees the flags below.
        smp_mb();
        set_cpu_sd_state_idle(cpu);
        nohz.needs_update.set(1);
    }
    nohz.has_blocked.set(1);
}

/// Lets a sleeper's load decay; whether there is some left.
fn update_nohz_stats(rq: RqRef) -> bool {
    if rq.has_blocked_load.get() == 0 || !nohz.idle_cpus_mask.get().test(cpu_of(rq)) {
        return false;
    }
    // Once a tick is enough.
    if !time_after(jiffies(), rq.last_blocked_load_update_tick.get()) {
        return true;
    }
    update_blocked_averages(cpu_of(rq));
    rq.has_blocked_load.get() != 0
}

/// Balances for all sleepers, this CPU last.
///
/// # Context
/// The softirq of an idle CPU, or its idle loop.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn _nohz_idle_balance(this_rq: RqRef, flags: u32) {
    let now = jiffies();
    let mut next_balance = now + 60 * crate::include::linux::jiffies::HZ;
    let mut update_next_balance = false;
    let mut has_blocked_load = false;
    WARN_ON_ONCE!(flags & NOHZ_KICK_MASK == NOHZ_BALANCE_KICK);
    // Cleared before we look: who falls asleep meanwhile sets them again.
    if flags & NOHZ_STATS_KICK != 0 {
        nohz.has_blocked.set(0);
    }
    if flags & NOHZ_NEXT_KICK != 0 {
        nohz.needs_update.set(0);
    }
    smp_mb();
    let mut aborted = false;
    let start = cpu_of(this_rq) + 1;
    for balance_cpu in for_each_cpu_wrap(nohz.idle_cpus_mask.get(), start) {
        if !idle_cpu(balance_cpu) {
            continue;
        }
        // We have got work of our own: the next one goes on.
        if need_resched() {
            has_blocked_load |= flags & NOHZ_STATS_KICK != 0;
            if flags & NOHZ_NEXT_KICK != 0 {
                nohz.needs_update.set(1);
            }
            aborted = true;
            break;
        }
        let rq = cpu_rq(balance_cpu);
        if flags & NOHZ_STATS_KICK != 0 {
            has_blocked_load |= update_nohz_stats(rq);
        }
        if time_after_eq(jiffies(), rq.next_balance.get()) {
            let mut rf = RqFlags::new();
            rq_lock_irqsave(rq, &mut rf);
            update_rq_clock(rq);
            rq_unlock_irqrestore(rq, &rf);
            if flags & NOHZ_BALANCE_KICK != 0 {
                rebalance_domains(rq, CpuIdleType::Idle);
            }
        }
        if time_after(next_balance, rq.next_balance.get()) {
            next_balance = rq.next_balance.get();
            update_next_balance = true;
        }
    }
    if !aborted {
        if update_next_balance {
            nohz.next_balance.set(next_balance);
        }
        if flags & NOHZ_STATS_KICK != 0 {
            nohz.next_blocked
                .set(now + msecs_to_jiffies(LOAD_AVG_PERIOD));
        }
    }
    if has_blocked_load {
        nohz.has_blocked.set(1);
    }
}

/// The softirq of a CPU that was woken to work for the sleepers; whether it did.
pub(super) fn nohz_idle_balance(this_rq: RqRef, idle: CpuIdleType) -> bool {
    let flags = this_rq.nohz_idle_balance.replace(0);
    if flags == 0 || idle != CpuIdleType::Idle {
        return false;
    }
    _nohz_idle_balance(this_rq, flags);
    true
}

/// The idle loop: the sums that were to decay before idling.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn nohz_run_idle_balance(cpu: u32) {
    let rq = cpu_rq(cpu);
    let flags = rq.nohz_flags.fetch_and(!NOHZ_NEWILB_KICK, Ordering::SeqCst);
    // A kick that is on its way does the same.
    if flags == NOHZ_NEWILB_KICK && !need_resched() {
        _nohz_idle_balance(rq, NOHZ_STATS_KICK);
    }
}

/// About to idle: if sums are due to decay, do it on the way.
pub(super) fn nohz_newidle_balance(this_rq: RqRef) {
    // Awake again soon.
    if this_rq.avg_idle.get() < SYSCTL_SCHED_MIGRATION_COST {
        return;
    }
    if nohz.has_blocked.get() == 0 || time_before(jiffies(), nohz.next_blocked.get()) {
        return;
    }
    this_rq
        .nohz_flags
        .fetch_or(NOHZ_NEWILB_KICK, Ordering::SeqCst);
}

/// Nobody sleeps yet.
pub fn init_nohz() {
    nohz.next_balance.set(jiffies());
    nohz.next_blocked.set(jiffies());
}
