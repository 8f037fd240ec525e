//! When to balance: at the tick, and before a CPU idles.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `trigger_load_balance`, `run_rebalance_domains`, `rebalance_domains`,
//! `newidle_balance`. Kept: intervals by how busy the CPU is, the cost of looking before idling weighed
//! against how long the CPU usually idles, the re-evaluation after the lock was dropped. Left out:
//! housekeeping CPUs (all are). Differs: nothing else.
//! Locks: `newidle_balance` drops this runqueue's lock while it looks.

use super::nohz::{nohz_balancer_kick, nohz_idle_balance, nohz_newidle_balance};
use super::{CpuIdleType, load_balance};
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{cpu_active, num_online_cpus};
use crate::include::linux::interrupt::{SCHED_SOFTIRQ, raise_softirq};
use crate::include::linux::jiffies::{HZ, jiffies, msecs_to_jiffies, time_after, time_after_eq};
use crate::include::linux::sched::topology::{SD_BALANCE_NEWIDLE, SD_SERIALIZE, SdRef};
use crate::include::linux::spinlock::{RawSpinlock, raw_spin_trylock, raw_spin_unlock};
use crate::kernel::sched::clock::sched_clock_cpu;
use crate::kernel::sched::core::idle_cpu;
use crate::kernel::sched::fair::capacity::update_misfit_status;
use crate::kernel::sched::fair::load::update_blocked_averages;
use crate::kernel::sched::fair::sched_idle_cpu;
use crate::kernel::sched::sched::{
    RqRef, SYSCTL_SCHED_MIGRATION_COST, cpu_of, raw_spin_rq_lock, raw_spin_rq_unlock, rq_clock,
    this_rq,
};
use crate::kernel::sched::topology::for_each_domain;

/// Longest time between two balances of a domain, jiffies.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static max_load_balance_interval: Shared<u64> = Shared::new(HZ / 10);

/// Held by the one balance of a domain that wants to be the only one.
static balancing: RawSpinlock = RawSpinlock::new();

/// The set of online CPUs has changed.
pub fn update_max_interval() {
    max_load_balance_interval.set(HZ * u64::from(num_online_cpus()) / 10);
}

/// Time between two balances of a domain, jiffies.
fn get_sd_balance_interval(sd: SdRef, cpu_busy: bool) -> u64 {
    let busy_factor = if cpu_busy { sd.busy_factor.get() } else { 1 };
    let interval = msecs_to_jiffies(u64::from(sd.balance_interval.get() * busy_factor));
    // So that levels of like intervals do not fall on the same tick.
    let interval = interval.saturating_sub(u64::from(cpu_busy));
    interval.clamp(1, max_load_balance_interval.get())
}

fn update_next_balance(sd: SdRef, next_balance: &mut u64) {
    // The CPU idles now.
    let next = sd.last_balance.get() + get_sd_balance_interval(sd, false);
    if time_after(*next_balance, next) {
        *next_balance = next;
    }
}

/// Notes the longest cost of a new idle balance, which decays by 1 % a second. True if it did.
fn update_newidle_cost(sd: SdRef, cost: u64) -> bool {
    let now = jiffies();
    if cost > sd.max_newidle_lb_cost.get() {
        sd.max_newidle_lb_cost.set(cost);
        sd.last_decay_max_lb_cost.set(now);
    } else if time_after(now, sd.last_decay_max_lb_cost.get() + HZ) {
        sd.max_newidle_lb_cost
            .set(sd.max_newidle_lb_cost.get() * 253 / 256);
        sd.last_decay_max_lb_cost.set(now);
        return true;
    }
    false
}

fn is_busy(idle: CpuIdleType, cpu: u32) -> bool {
    idle != CpuIdleType::Idle && !sched_idle_cpu(cpu)
}

/// Balances the domains of a CPU that are due, for that CPU: it may be another one that sleeps.
///
/// # Context
/// The softirq.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn rebalance_domains(rq: RqRef, idle: CpuIdleType) {
    let cpu = cpu_of(rq);
    let mut idle = idle;
    let mut busy = is_busy(idle, cpu);
    let mut continue_balancing = true;
    let mut next_balance = jiffies() + 60 * HZ;
    let mut update_next = false;
    let (mut need_decay, mut max_cost) = (false, 0);
    for sd in for_each_domain(cpu) {
        // This is a regular visit, so costs decay here.
        need_decay = update_newidle_cost(sd, 0);
        max_cost += sd.max_newidle_lb_cost.get();
        // Another CPU of the group balances from here on up.
        if !continue_balancing {
            if need_decay {
                continue;
            }
            break;
        }
        let mut interval = get_sd_balance_interval(sd, busy);
        let need_serialize = sd.has(SD_SERIALIZE);
        let may = !need_serialize || raw_spin_trylock(&balancing);
        if may {
            if time_after_eq(jiffies(), sd.last_balance.get() + interval) {
                if load_balance(cpu, rq, sd, idle, &mut continue_balancing) != 0 {
                    // They may have come to another CPU of our group instead: look.
                    idle = if idle_cpu(cpu) {
                        CpuIdleType::Idle
                    } else {
                        CpuIdleType::NotIdle
                    };
                    busy = is_busy(idle, cpu);
                }
                sd.last_balance.set(jiffies());
                interval = get_sd_balance_interval(sd, busy);
            }
            if need_serialize {
                raw_spin_unlock(&balancing);
            }
        }
        if time_after(next_balance, sd.last_balance.get() + interval) {
            next_balance = sd.last_balance.get() + interval;
            update_next = true;
        }
    }
    if need_decay {
        rq.max_idle_balance_cost
            .set(max_cost.max(SYSCTL_SCHED_MIGRATION_COST));
    }
    // A CPU without domains leaves it as it is.
    if update_next {
        rq.next_balance.set(next_balance);
    }
}

/// The softirq: for CPUs that sleep, if they asked us to; then for this one.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub(in crate::kernel::sched) extern "C" fn run_rebalance_domains() {
    let this_rq = this_rq();
    let idle = if this_rq.idle_balance.get() != 0 {
        CpuIdleType::Idle
    } else {
        CpuIdleType::NotIdle
    };
    // The sleepers first: what we pull for ourselves would end the loop over them.
    if nohz_idle_balance(this_rq, idle) {
        return;
    }
    update_blocked_averages(cpu_of(this_rq));
    rebalance_domains(this_rq, idle);
}

/// Whether a CPU has no domains.
pub(super) fn on_null_domain(rq: RqRef) -> bool {
    rq.sd.get().is_none()
}

/// The tick: is a balance due?
#[inline(never)]
pub fn trigger_load_balance(rq: RqRef) {
    if on_null_domain(rq) || !cpu_active(cpu_of(rq)) {
        return;
    }
    if time_after_eq(jiffies(), rq.next_balance.get()) {
        raise_softirq(SCHED_SOFTIRQ);
    }
    nohz_balancer_kick(rq);
}

/// Looks for work on other CPUs before this one idles. Returns 0 if there is none, a positive number if there
/// are fair tasks now, a negative one if there is something of a higher class.
///
/// # Context
/// The pick: interrupts off, this runqueue's lock held; it is dropped meanwhile.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn newidle_balance(this_rq: RqRef) -> i32 {
    let this_cpu = cpu_of(this_rq);
    update_misfit_status(None, this_rq);
    // Somebody is on his way here.
    if this_rq.ttwu_pending.get() != 0 {
        return 0;
    }
    // Before the search, so that its time counts as idle.
    this_rq.idle_stamp.set(rq_clock(this_rq));
    if !cpu_active(this_cpu) {
        return 0;
    }
    let mut next_balance = jiffies() + HZ;
    let mut pulled_task = 0;
    let sd = this_rq.sd.get();
    let too_short = sd.is_some_and(|sd| this_rq.avg_idle.get() < sd.max_newidle_lb_cost.get());
    if this_rq.rd().overload.get() == 0 || too_short {
        if let Some(sd) = sd {
            update_next_balance(sd, &mut next_balance);
        }
    } else {
        pulled_task = newidle_search(this_rq, &mut next_balance);
    }
    if time_after(this_rq.next_balance.get(), next_balance) {
        this_rq.next_balance.set(next_balance);
    }
    if pulled_task != 0 {
        this_rq.idle_stamp.set(0);
    } else {
        nohz_newidle_balance(this_rq);
    }
    pulled_task
}

/// The search, without the lock. The current task is on its way off this CPU but still on it, and interrupts
/// are off, so nothing else schedules here.
#[inline(always)]
fn newidle_search(this_rq: RqRef, next_balance: &mut u64) -> i32 {
    let this_cpu = cpu_of(this_rq);
    let (mut pulled_task, mut curr_cost) = (0, 0);
    raw_spin_rq_unlock(this_rq);
    let mut t0 = sched_clock_cpu(this_cpu);
    update_blocked_averages(this_cpu);
    for sd in for_each_domain(this_cpu) {
        let mut continue_balancing = true;
        update_next_balance(sd, next_balance);
        if this_rq.avg_idle.get() < curr_cost + sd.max_newidle_lb_cost.get() {
            break;
        }
        if sd.has(SD_BALANCE_NEWIDLE) {
            let idle = CpuIdleType::NewlyIdle;
            pulled_task = load_balance(this_cpu, this_rq, sd, idle, &mut continue_balancing) as i32;
            let t1 = sched_clock_cpu(this_cpu);
            let domain_cost = t1.wrapping_sub(t0);
            update_newidle_cost(sd, domain_cost);
            curr_cost += domain_cost;
            t0 = t1;
        }
        if pulled_task != 0 || this_rq.nr_running.get() > 0 || this_rq.ttwu_pending.get() != 0 {
            break;
        }
    }
    raw_spin_rq_lock(this_rq);
    if curr_cost > this_rq.max_idle_balance_cost.get() {
        this_rq.max_idle_balance_cost.set(curr_cost);
    }
    // What came while the lock was free counts as pulled.
    if this_rq.cfs.h_nr_running.get() != 0 && pulled_task == 0 {
        pulled_task = 1;
    }
    if this_rq.nr_running.get() != this_rq.cfs.h_nr_running.get() {
        pulled_task = -1;
    }
    pulled_task
}
