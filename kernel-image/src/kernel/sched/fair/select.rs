//! Where a fair task runs next: when it wakes up, when it is new, when it execs.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `select_task_rq_fair` and `wake_affine`; here a folder of the same
//! name: `idlest` (the slow way: the least busy CPU of a wide domain), `idle_sibling` (the fast way: an idle
//! CPU near the target).
//! Kept: all rules. Left out: energy models, clamps, core cookies. Differs: before there are domains the
//! answer is the previous CPU, as in Linux.
//! Locks: the task's `pi_lock` is held with interrupts off; runqueues are only looked at.

pub mod idle_sibling;
pub mod idlest;

use super::capacity::capacity_of;
use super::load::demand::{cpu_load, task_h_load};
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::include::linux::jiffies::{HZ, jiffies, time_after};
use crate::include::linux::sched::topology::{SD_WAKE_AFFINE, SdRef, sched_domain_span};
use crate::include::linux::sched::{PF_EXITING, TaskRef, same_task};
use crate::kernel::sched::core::idle_cpu;
use crate::kernel::sched::features::{SchedFeat, sched_feat};
use crate::kernel::sched::sched::{WF_CURRENT_CPU, WF_SYNC, WF_TTWU, cpu_rq};
use crate::kernel::sched::stats::schedstat_inc;
use crate::kernel::sched::topology::{cpus_share_cache, for_each_domain, sd_llc_size};
use idle_sibling::select_idle_sibling;
use idlest::find_idlest_cpu;

/// A CPU that is idle and whose vCPU, if it is one, runs.
pub fn available_idle_cpu(cpu: u32) -> bool {
    idle_cpu(cpu)
}

/// Chooses a CPU. The caller checks that the task may run there.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub fn select_task_rq_fair(p: TaskRef, prev_cpu: i32, wake_flags: i32) -> i32 {
    let prev_cpu = prev_cpu as u32;
    let cpu = raw_smp_processor_id();
    let sync = wake_flags & WF_SYNC != 0 && current().flags.get() & PF_EXITING == 0;
    // The flags for exec, fork and wake-up are the domains' own.
    let sd_flag = wake_flags as u32 & 0xf;
    let mut new_cpu = prev_cpu;
    let mut want_affine = false;
    if wake_flags & WF_TTWU != 0 {
        record_wakee(p);
        if wake_flags & WF_CURRENT_CPU != 0 && p.allowed().test(cpu) {
            return cpu as i32;
        }
        want_affine = !wake_wide(p) && p.allowed().test(cpu);
    }
    let mut sd = None;
    for tmp in for_each_domain(cpu) {
        // The narrowest domain that has both CPUs decides; the wide search is then not wanted.
        if want_affine && tmp.has(SD_WAKE_AFFINE) && sched_domain_span(tmp).test(prev_cpu) {
            if cpu != prev_cpu {
                new_cpu = wake_affine(tmp, p, cpu, prev_cpu, sync);
            }
            sd = None;
            break;
        }
        if tmp.has(sd_flag) {
            sd = Some(tmp);
        } else if !want_affine {
            break;
        }
    }
    if let Some(sd) = sd {
        new_cpu = find_idlest_cpu(sd, p, cpu, prev_cpu, sd_flag);
    } else if wake_flags & WF_TTWU != 0 {
        new_cpu = select_idle_sibling(p, prev_cpu, new_cpu);
    }
    new_cpu as i32
}

/// Counts how often the waker turns from one wakee to another: many say that it is a dispatcher.
fn record_wakee(p: TaskRef) {
    let waker = current();
    // The memory is a second long.
    if time_after(jiffies(), waker.wakee_flip_decay_ts.get() + HZ) {
        waker.wakee_flips.set(waker.wakee_flips.get() >> 1);
        waker.wakee_flip_decay_ts.set(jiffies());
    }
    if !waker
        .last_wakee
        .get()
        .is_some_and(|last| same_task(last, p))
    {
        waker.last_wakee.set(Some(p));
        waker.wakee_flips.inc();
    }
}

/// Whether the two belong to a crowd that one cache cannot hold, so that the wakee should stay away.
fn wake_wide(p: TaskRef) -> bool {
    let factor = sd_llc_size.per_cpu(raw_smp_processor_id()).get();
    is_wide(current().wakee_flips.get(), p.wakee_flips.get(), factor)
}

/// The rule of `wake_wide` on its numbers.
pub fn is_wide(waker_flips: u32, wakee_flips: u32, factor: u32) -> bool {
    let (slave, master) = if waker_flips < wakee_flips {
        (waker_flips, wakee_flips)
    } else {
        (wakee_flips, waker_flips)
    };
    slave >= factor && u64::from(master) >= u64::from(slave) * u64::from(factor)
}

/// Whether the wakee goes where the waker is or back where it was.
fn wake_affine(sd: SdRef, p: TaskRef, this_cpu: u32, prev_cpu: u32, sync: bool) -> u32 {
    let mut target = None;
    if sched_feat(SchedFeat::WA_IDLE) {
        target = wake_affine_idle(this_cpu, prev_cpu, sync);
    }
    if target.is_none() && sched_feat(SchedFeat::WA_WEIGHT) {
        target = wake_affine_weight(sd, p, this_cpu, prev_cpu, sync);
    }
    schedstat_inc(&p.stats.nr_wakeups_affine_attempts);
    if target != Some(this_cpu) {
        return prev_cpu;
    }
    schedstat_inc(&sd.ttwu_move_affine);
    schedstat_inc(&p.stats.nr_wakeups_affine);
    this_cpu
}

/// By who is idle.
fn wake_affine_idle(this_cpu: u32, prev_cpu: u32, sync: bool) -> Option<u32> {
    // An idle waker's CPU: we are in an interrupt there, which says nothing about whose data it is.
    if available_idle_cpu(this_cpu) && cpus_share_cache(this_cpu, prev_cpu) {
        return Some(if available_idle_cpu(prev_cpu) {
            prev_cpu
        } else {
            this_cpu
        });
    }
    if sync && cpu_rq(this_cpu).nr_running.get() == 1 {
        return Some(this_cpu);
    }
    available_idle_cpu(prev_cpu).then_some(prev_cpu)
}

/// By load: here, if it would be less than there.
fn wake_affine_weight(
    sd: SdRef,
    p: TaskRef,
    this_cpu: u32,
    prev_cpu: u32,
    sync: bool,
) -> Option<u32> {
    let mut this_eff_load = cpu_load(cpu_rq(this_cpu)) as i64;
    if sync {
        // The waker is about to leave.
        let current_load = task_h_load(current()) as i64;
        if current_load > this_eff_load {
            return Some(this_cpu);
        }
        this_eff_load -= current_load;
    }
    let task_load = task_h_load(p) as i64;
    let prev_load = cpu_load(cpu_rq(prev_cpu)) as i64;
    // Without bias a domain that allows no imbalance.
    let pct = if sched_feat(SchedFeat::WA_BIAS) {
        i64::from(sd.imbalance_pct.get())
    } else {
        100
    };
    let here_is_better = weigh(
        pct,
        (this_eff_load + task_load, capacity_of(this_cpu) as i64),
        (prev_load - task_load, capacity_of(prev_cpu) as i64),
        sync,
    );
    here_is_better.then_some(this_cpu)
}

/// The rule of `wake_affine_weight` on its numbers: loads as they would be, and capacities. The previous CPU
/// has to bear half the imbalance that a domain allows.
pub fn weigh(imbalance_pct: i64, here: (i64, i64), prev: (i64, i64), sync: bool) -> bool {
    let this_eff_load = here.0 * 100 * prev.1;
    let prev_eff_load = prev.0 * (100 + (imbalance_pct - 100) / 2) * here.1;
    // With sync an even load goes to the waker.
    this_eff_load < prev_eff_load + i64::from(sync)
}
