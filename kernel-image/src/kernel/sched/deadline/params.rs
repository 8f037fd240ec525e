//! Parameters of deadline tasks, and who gets them: the admission test.
//!
//! Linux: `kernel/sched/deadline.c` (v6.8): `sched_dl_overflow` to `dl_bw_check_overflow`,
//! `dl_add_task_root_domain`. Kept: all of it. Left out: cpusets, tasks of the frequency governor, the sysctls
//! of the periods. Differs: nothing else.
//! Locks: `pi_lock` and the runqueue's lock; a root domain's `dl_bw.lock` inside.

use super::bandwidth::{
    __dl_add, __dl_overflow, __dl_sub, dl_bandwidth_enabled, dl_bw_capacity, dl_bw_cpus, dl_bw_of,
    dl_change_utilization, init_dl_inactive_task_timer, to_ratio,
};
use super::cbs::{DL_SCALE, init_dl_task_timer};
use crate::include::linux::cpumask::Cpumask;
use crate::include::linux::errno::EBUSY;
use crate::include::linux::hrtimer::hrtimer_active;
use crate::include::linux::rbtree::RB_CLEAR_NODE;
use crate::include::linux::sched::deadline::dl_task;
use crate::include::linux::sched::{SchedDlEntity, TaskRef, TasksLink, task_cpu};
use crate::init::init_task::init_task;
use crate::kernel::fork::tasklist_lock;
use crate::kernel::sched::core::params::{
    SCHED_FLAG_DL_OVERRUN, SCHED_FLAG_RECLAIM, SchedAttr, dl_policy, task_has_dl_policy,
};
use crate::kernel::sched::sched::{__task_rq_lock, RdRef, raw_spin_rq_unlock, task_rq};

/// Flags that a deadline task keeps.
pub const SCHED_DL_FLAGS: u64 = SCHED_FLAG_RECLAIM | SCHED_FLAG_DL_OVERRUN;
/// Longest period, us: about four seconds.
const SYSCTL_SCHED_DL_PERIOD_MAX: u64 = 1 << 22;
/// Shortest one, us.
const SYSCTL_SCHED_DL_PERIOD_MIN: u64 = 100;
const NSEC_PER_USEC: u64 = 1000;

fn period_of(attr: &SchedAttr) -> u64 {
    match attr.sched_period {
        0 => attr.sched_deadline,
        period => period,
    }
}

/// Gives the root domain's bandwidth to a task that is about to get its parameters.
///
/// # Returns
/// 0, or -1 if there is not enough left.
pub fn sched_dl_overflow(p: TaskRef, policy: u32, attr: &SchedAttr) -> i32 {
    let new_bw = if dl_policy(policy) {
        to_ratio(period_of(attr), attr.sched_runtime)
    } else {
        0
    };
    // The same share as before. A task of another policy may carry an old one.
    if new_bw == p.dl.dl_bw.get() && task_has_dl_policy(p) {
        return 0;
    }
    let rd = dl_bw_of(task_cpu(p));
    let dl_b = &rd.dl_bw;
    let _guard = dl_b.lock.lock();
    let cpus = dl_bw_cpus(rd);
    let cap = dl_bw_capacity(rd);
    let old_bw = p.dl.dl_bw.get();
    match (dl_policy(policy), task_has_dl_policy(p)) {
        (true, false) if !__dl_overflow(dl_b, cap, 0, new_bw) => {
            // It left the class a moment ago and has not given its share back yet.
            if hrtimer_active(&p.dl.inactive_timer) {
                __dl_sub(rd, old_bw, cpus);
            }
            __dl_add(rd, new_bw, cpus);
            0
        }
        (true, true) if !__dl_overflow(dl_b, cap, old_bw, new_bw) => {
            __dl_sub(rd, old_bw, cpus);
            __dl_add(rd, new_bw, cpus);
            dl_change_utilization(p, new_bw);
            0
        }
        // It leaves: its share is given back at the right time, later.
        (false, true) => 0,
        _ => -1,
    }
}

/// Stores the parameters.
pub fn __setparam_dl(p: TaskRef, attr: &SchedAttr) {
    let dl_se = &p.dl;
    dl_se.dl_runtime.set(attr.sched_runtime);
    dl_se.dl_deadline.set(attr.sched_deadline);
    dl_se.dl_period.set(period_of(attr));
    dl_se.flags.set((attr.sched_flags & SCHED_DL_FLAGS) as u32);
    dl_se
        .dl_bw
        .set(to_ratio(dl_se.dl_period.get(), dl_se.dl_runtime.get()));
    dl_se
        .dl_density
        .set(to_ratio(dl_se.dl_deadline.get(), dl_se.dl_runtime.get()));
}

/// Reads them.
pub fn __getparam_dl(p: TaskRef, attr: &mut SchedAttr) {
    let dl_se = &p.dl;
    attr.sched_priority = p.rt_priority.get();
    attr.sched_runtime = dl_se.dl_runtime.get();
    attr.sched_deadline = dl_se.dl_deadline.get();
    attr.sched_period = dl_se.dl_period.get();
    attr.sched_flags &= !SCHED_DL_FLAGS;
    attr.sched_flags |= u64::from(dl_se.flags.get());
}

/// Whether they make sense: runtime <= deadline <= period, none too small or too large.
pub fn __checkparam_dl(attr: &SchedAttr) -> bool {
    let period = period_of(attr);
    let min = SYSCTL_SCHED_DL_PERIOD_MIN * NSEC_PER_USEC;
    let max = SYSCTL_SCHED_DL_PERIOD_MAX * NSEC_PER_USEC;
    attr.sched_deadline != 0
        // Below this the arithmetic sees nothing.
        && attr.sched_runtime >= 1 << DL_SCALE
        // The top bit must stay clear, so that times that wrap compare.
        && (attr.sched_deadline | attr.sched_period) >> 63 == 0
        && period >= attr.sched_deadline
        && attr.sched_deadline >= attr.sched_runtime
        && (min..=max).contains(&period)
}

/// Whether they are others than the task has.
pub fn dl_param_changed(p: TaskRef, attr: &SchedAttr) -> bool {
    let dl_se = &p.dl;
    dl_se.dl_runtime.get() != attr.sched_runtime
        || dl_se.dl_deadline.get() != attr.sched_deadline
        || dl_se.dl_period.get() != attr.sched_period
        || u64::from(dl_se.flags.get()) != attr.sched_flags & SCHED_DL_FLAGS
}

/// No parameters.
pub fn __dl_clear_params(dl_se: &SchedDlEntity) {
    for word in [
        &dl_se.dl_runtime,
        &dl_se.dl_deadline,
        &dl_se.dl_period,
        &dl_se.dl_bw,
        &dl_se.dl_density,
    ] {
        word.set(0);
    }
    dl_se.flags.set(0);
    for bit in [
        &dl_se.dl_throttled,
        &dl_se.dl_yielded,
        &dl_se.dl_non_contending,
        &dl_se.dl_overrun,
    ] {
        bit.set(0);
    }
}

/// The entity of a new task.
pub fn init_dl_entity(dl_se: &'static SchedDlEntity) {
    RB_CLEAR_NODE(&dl_se.rb_node);
    init_dl_task_timer(dl_se);
    init_dl_inactive_task_timer(dl_se);
    __dl_clear_params(dl_se);
}

/// Whether a deadline task may get this mask: the admission test holds for a whole root domain, so the task
/// must be able to use all of it.
///
/// # Returns
/// 0 or -EBUSY.
pub fn dl_task_check_affinity(p: TaskRef, mask: &Cpumask) -> i32 {
    if !task_has_dl_policy(p) || !dl_bandwidth_enabled() {
        return 0;
    }
    if task_rq(p).rd().span.get().subset(*mask) {
        0
    } else {
        -EBUSY
    }
}

/// A CPU has just been made inactive: whether the others can serve all deadline tasks.
///
/// # Returns
/// 0 or -EBUSY.
pub fn dl_bw_check_overflow(cpu: u32) -> i32 {
    let rd = dl_bw_of(cpu);
    let _guard = rd.dl_bw.lock.lock_irqsave();
    if __dl_overflow(&rd.dl_bw, dl_bw_capacity(rd), 0, 0) {
        -EBUSY
    } else {
        0
    }
}

/// Forgets what is held of a root domain whose CPUs change; all tasks are counted again.
pub fn dl_clear_root_domain(rd: RdRef) {
    let _guard = rd.dl_bw.lock.lock_irqsave();
    rd.dl_bw.total_bw.set(0);
}

/// Counts a deadline task in the root domain that it is in now.
pub fn dl_add_task_root_domain(p: TaskRef) {
    let guard = p.pi_lock.lock_irqsave();
    if dl_task(p) {
        let rq = __task_rq_lock(p);
        let rd = rq.rd();
        let dl_guard = rd.dl_bw.lock.lock();
        __dl_add(rd, p.dl.dl_bw.get(), rd.span.get().weight());
        drop(dl_guard);
        raw_spin_rq_unlock(rq);
    }
    drop(guard);
}

/// After root domains have been rebuilt: counts what is held of them (`dl_rebuild_rd_accounting`).
pub fn dl_rebuild_rd_accounting(rds: impl Iterator<Item = RdRef>) {
    rds.for_each(dl_clear_root_domain);
    let _guard = tasklist_lock.lock();
    TasksLink::iter(&init_task.tasks).for_each(dl_add_task_root_domain);
}
