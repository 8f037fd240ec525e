//! What tasks are expected to need, and the numbers that load balancing reads.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `util_est_*`, `cpu_load`, `cpu_util`, `task_h_load` and relatives.
//! Kept: all of it. Left out: uclamp. Differs: nothing else.
//! Locks: none for what only reads; the estimates change under the runqueue's lock.

use super::Cfs;
use crate::arch::x86::include::asm::current::current;
use crate::include::linux::jiffies::jiffies;
use crate::include::linux::sched::{TaskRef, same_task, task_cpu};
use crate::kernel::sched::fair::capacity::arch_scale_cpu_capacity;
use crate::kernel::sched::fair::{cfs_rq_of, group_cfs_rq, parent_entity, rq_of};
use crate::kernel::sched::features::{SchedFeat, sched_feat};
use crate::kernel::sched::pelt::UTIL_AVG_UNCHANGED;
use crate::kernel::sched::sched::{RqRef, SCHED_CAPACITY_SCALE, cpu_of, cpu_rq, task_on_rq_queued};

/// An estimate is not worth a change below this.
const UTIL_EST_MARGIN: u64 = SCHED_CAPACITY_SCALE / 100;
/// A new value weighs a quarter.
const UTIL_EST_WEIGHT_SHIFT: u32 = 2;

/// A task's utilisation.
pub fn task_util(p: TaskRef) -> u64 {
    p.se.avg.util_avg.get()
}

/// How long a task ran or waited to.
pub fn task_runnable(p: TaskRef) -> u64 {
    p.se.avg.runnable_avg.get()
}

/// The estimate alone.
pub fn _task_util_est(p: TaskRef) -> u64 {
    u64::from(p.se.avg.util_est.get() & !UTIL_AVG_UNCHANGED)
}

/// The larger of the signal and the estimate.
pub fn task_util_est(p: TaskRef) -> u64 {
    task_util(p).max(_task_util_est(p))
}

/// The task's estimate joins the CPU's.
pub fn util_est_enqueue(cfs_rq: Cfs, p: TaskRef) {
    if !sched_feat(SchedFeat::UTIL_EST) {
        return;
    }
    cfs_rq.avg.util_est.add(_task_util_est(p) as u32);
}

/// And leaves it.
pub fn util_est_dequeue(cfs_rq: Cfs, p: TaskRef) {
    if !sched_feat(SchedFeat::UTIL_EST) {
        return;
    }
    let sum = cfs_rq.avg.util_est.get();
    cfs_rq
        .avg
        .util_est
        .set(sum.saturating_sub(_task_util_est(p) as u32));
}

/// A task that falls asleep leaves an estimate of what it needs: the mean of its past activations, a
/// larger need believed at once.
pub fn util_est_update(cfs_rq: Cfs, p: TaskRef, task_sleep: bool) {
    if !task_sleep || !sched_feat(SchedFeat::UTIL_EST) {
        return;
    }
    let ewma = p.se.avg.util_est.get();
    // Its signal has not moved since the last time.
    if ewma & UTIL_AVG_UNCHANGED != 0 {
        return;
    }
    let (ewma, dequeued) = (u64::from(ewma), task_util(p));
    let new = if ewma <= dequeued {
        dequeued
    } else if ewma - dequeued < UTIL_EST_MARGIN {
        // Close enough.
        ewma
    } else if dequeued > arch_scale_cpu_capacity(cpu_of(rq_of(cfs_rq))) {
        // More than the CPU has: who knows what it would have taken of a stronger one.
        return;
    } else if dequeued + UTIL_EST_MARGIN < task_runnable(p) {
        // It waited for the CPU, so the signal is too small.
        ewma
    } else {
        ((ewma << UTIL_EST_WEIGHT_SHIFT) - (ewma - dequeued)) >> UTIL_EST_WEIGHT_SHIFT
    };
    p.se.avg.util_est.set(new as u32 | UTIL_AVG_UNCHANGED);
}

/// A queue's load.
pub fn cfs_rq_load_avg(cfs_rq: Cfs) -> u64 {
    cfs_rq.avg.load_avg.get()
}

/// The load of a CPU's fair tasks.
pub fn cpu_load(rq: RqRef) -> u64 {
    cfs_rq_load_avg(&rq.cfs)
}

/// The same without a task that may be part of it.
pub fn cpu_load_without(rq: RqRef, p: TaskRef) -> u64 {
    let load = cpu_load(rq);
    if !counts_on(rq, p) {
        return load;
    }
    load.saturating_sub(task_h_load(p))
}

/// How many fair tasks of a CPU run or wait, x 1024.
pub fn cpu_runnable(rq: RqRef) -> u64 {
    rq.cfs.avg.runnable_avg.get()
}

/// The same without a task that may be part of it.
pub fn cpu_runnable_without(rq: RqRef, p: TaskRef) -> u64 {
    let runnable = cpu_runnable(rq);
    if !counts_on(rq, p) {
        return runnable;
    }
    runnable.saturating_sub(task_runnable(p))
}

/// Whether a task's signal is part of the CPU's.
fn counts_on(rq: RqRef, p: TaskRef) -> bool {
    cpu_of(rq) == task_cpu(p) && p.se.avg.last_update_time.get() != 0
}

/// How much of a CPU its fair tasks use or are expected to, at most all of it. With `p`, as if the task
/// were on `dst_cpu` and nowhere else. `boost`: waiting counts as use.
pub fn cpu_util(cpu: u32, p: Option<TaskRef>, dst_cpu: Option<u32>, boost: bool) -> u64 {
    let cfs_rq = &cpu_rq(cpu).cfs;
    let mut util = cfs_rq.avg.util_avg.get();
    if boost {
        util = util.max(cfs_rq.avg.runnable_avg.get());
    }
    let is_dst = dst_cpu == Some(cpu);
    if let Some(p) = p {
        if task_cpu(p) == cpu && !is_dst {
            util = util.saturating_sub(task_util(p));
        } else if task_cpu(p) != cpu && is_dst {
            util += task_util(p);
        }
    }
    if sched_feat(SchedFeat::UTIL_EST) {
        let mut util_est = u64::from(cfs_rq.avg.util_est.get());
        if let Some(p) = p {
            if is_dst {
                util_est += _task_util_est(p);
            } else if task_on_rq_queued(p) || same_task(current(), p) {
                // It is about to be part of the estimate twice.
                util_est = util_est.saturating_sub(_task_util_est(p));
            }
        }
        util = util.max(util_est);
    }
    util.min(arch_scale_cpu_capacity(cpu))
}

/// A CPU's utilisation by fair tasks.
pub fn cpu_util_cfs(cpu: u32) -> u64 {
    cpu_util(cpu, None, None, false)
}

/// The same, waiting counting as use.
pub fn cpu_util_cfs_boost(cpu: u32) -> u64 {
    cpu_util(cpu, None, None, true)
}

/// The same without a task that may be part of it.
pub fn cpu_util_without(cpu: u32, p: TaskRef) -> u64 {
    // A task that never was here is no part of it.
    let p = Some(p).filter(|p| cpu == task_cpu(p) && p.se.avg.last_update_time.get() != 0);
    cpu_util(cpu, p, None, false)
}

/// What the real-time class uses of a CPU.
pub fn cpu_util_rt(rq: RqRef) -> u64 {
    rq.avg_rt.util_avg.get()
}

/// What the deadline class uses of a CPU.
pub fn cpu_util_dl(rq: RqRef) -> u64 {
    rq.avg_dl.util_avg.get()
}

/// Computes how much of the CPU's load hangs on a group's queue, from the root down, once a tick.
fn update_cfs_rq_h_load(cfs_rq: Cfs) {
    let rq = rq_of(cfs_rq);
    let now = jiffies();
    if cfs_rq.last_h_load_update.get() == now {
        return;
    }
    // Up to a queue that is up to date, noting the way back.
    let mut at = cfs_rq;
    at.h_load_next.set(None);
    let mut up = at.tg().se.per_cpu(cpu_of(rq)).get();
    while let Some(se) = up {
        at = cfs_rq_of(se);
        at.h_load_next.set(Some(se));
        if at.last_h_load_update.get() == now {
            break;
        }
        up = parent_entity(se);
    }
    if up.is_none() {
        at.h_load.set(cfs_rq_load_avg(at));
        at.last_h_load_update.set(now);
    }
    while let Some(se) = at.h_load_next.get() {
        let load = at.h_load.get() * se.avg.load_avg.get() / (cfs_rq_load_avg(at) + 1);
        let Some(below) = group_cfs_rq(se) else {
            return;
        };
        at = below;
        at.h_load.set(load);
        at.last_h_load_update.set(now);
    }
}

/// A task's part of its CPU's load, its groups' weights taken into account.
pub fn task_h_load(p: TaskRef) -> u64 {
    let cfs_rq = cfs_rq_of(&p.se);
    update_cfs_rq_h_load(cfs_rq);
    p.se.avg.load_avg.get() * cfs_rq.h_load.get() / (cfs_rq_load_avg(cfs_rq) + 1)
}
