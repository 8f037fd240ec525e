//! Who holds how much of the CPUs: bandwidth of a runqueue for reclaiming, bandwidth of a root domain for
//! admission.
//!
//! Linux: `kernel/sched/deadline.c` (v6.8): `__add_running_bw` to `inactive_task_timer`, `grub_reclaim`,
//! `__dl_overflow`, `dl_bw_*`. Kept: running_bw with the timer until the 0-lag time, this_bw, extra_bw, the
//! root domain's total. Left out: capacities other than 1024, tasks of the frequency governor. Differs: a
//! root domain stands for its `dl_bw`.
//! Locks: the runqueue's lock; a root domain's `dl_bw.lock` inside it.

use super::cbs::{BW_SHIFT, BW_UNIT};
use crate::WARN_ON_ONCE;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::cpu_active_mask;
use crate::include::linux::hrtimer::{
    CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD, HRTIMER_NORESTART, Hrtimer, HrtimerRestart,
    hrtimer_active, hrtimer_init, hrtimer_start, hrtimer_try_to_cancel,
};
use crate::include::linux::sched::deadline::dl_task;
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::{
    DlOfTask, InactiveTimerLink, SchedDlEntity, TASK_DEAD, TaskRef, task_cpu,
};
use crate::include::linux::spinlock::RawSpinlock;
use crate::kernel::sched::rt::bandwidth::{global_rt_period, global_rt_runtime};
use crate::kernel::sched::sched::{
    DlRq, ENQUEUE_MIGRATED, RdRef, RqFlags, RqRef, SCHED_CAPACITY_SHIFT, cpu_rq, rq_clock,
    task_on_rq_queued, task_rq, task_rq_lock, task_rq_unlock, update_rq_clock,
};

/// Binary digits after the point of `bw_ratio`.
const RATIO_SHIFT: u32 = 8;
/// No limit.
pub const RUNTIME_INF: u64 = u64::MAX;

/// What the deadline tasks of a root domain hold.
#[doc(alias = "dl_bw")]
#[repr(C)]
pub struct DlBw {
    /// Protects the rest.
    pub lock: RawSpinlock,
    /// What they may hold of one CPU; `u64::MAX`: anything.
    pub bw: Shared<u64>,
    /// What they hold, of all CPUs together.
    pub total_bw: Shared<u64>,
}

impl DlBw {
    /// One that `init_dl_bw` has to set up.
    pub const fn new() -> DlBw {
        DlBw {
            lock: RawSpinlock::new(),
            bw: Shared::new(0),
            total_bw: Shared::new(0),
        }
    }
}

/// The share that `runtime` is of `period`.
pub fn to_ratio(period: u64, runtime: u64) -> u64 {
    if runtime == RUNTIME_INF {
        return BW_UNIT;
    }
    // An entity without a period has no share; a plain division would fault.
    (runtime << BW_SHIFT).checked_div(period).unwrap_or(0)
}

/// Sets a root domain's limit: real-time and deadline tasks have one in common.
pub fn init_dl_bw(dl_b: &DlBw) {
    dl_b.bw.set(match global_rt_runtime() {
        RUNTIME_INF => u64::MAX,
        runtime => to_ratio(global_rt_period(), runtime),
    });
    dl_b.total_bw.set(0);
}

/// Sets what reclaiming may hand out.
pub(super) fn init_dl_rq_bw_ratio(dl_rq: &DlRq) {
    if global_rt_runtime() == RUNTIME_INF {
        dl_rq.bw_ratio.set(1 << RATIO_SHIFT);
        dl_rq.max_bw.set(BW_UNIT);
        dl_rq.extra_bw.set(BW_UNIT);
        return;
    }
    dl_rq
        .bw_ratio
        .set(to_ratio(global_rt_runtime(), global_rt_period()) >> (BW_SHIFT - RATIO_SHIFT));
    let bw = to_ratio(global_rt_period(), global_rt_runtime());
    dl_rq.max_bw.set(bw);
    dl_rq.extra_bw.set(bw);
}

/// Whether there is an admission test at all.
pub fn dl_bandwidth_enabled() -> bool {
    global_rt_runtime() != RUNTIME_INF
}

/// The root domain whose bandwidth a CPU's tasks hold.
pub(super) fn dl_bw_of(cpu: u32) -> RdRef {
    cpu_rq(cpu).rd()
}

/// Active CPUs of the root domain.
pub fn dl_bw_cpus(rd: RdRef) -> u32 {
    rd.span.get().and(cpu_active_mask()).weight()
}

/// What they can do together.
pub fn dl_bw_capacity(rd: RdRef) -> u64 {
    u64::from(dl_bw_cpus(rd)) << SCHED_CAPACITY_SHIFT
}

/// What changed in total is split among the CPUs for reclaiming.
fn __dl_update(rd: RdRef, bw: i64) {
    for cpu in rd.span.get().and(cpu_active_mask()).iter() {
        cpu_rq(cpu).dl.extra_bw.add(bw as u64);
    }
}

/// The root domain gives bandwidth away. `dl_bw.lock` is held.
pub(super) fn __dl_add(rd: RdRef, tsk_bw: u64, cpus: u32) {
    rd.dl_bw.total_bw.add(tsk_bw);
    __dl_update(rd, -(tsk_bw as i64 / i64::from(cpus.max(1))));
}

/// It gets bandwidth back. `dl_bw.lock` is held.
pub(super) fn __dl_sub(rd: RdRef, tsk_bw: u64, cpus: u32) {
    rd.dl_bw.total_bw.sub(tsk_bw);
    __dl_update(rd, tsk_bw as i64 / i64::from(cpus.max(1)));
}

/// Whether CPUs of the capacity `cap` could not serve what is held after `old_bw` became `new_bw`.
pub fn __dl_overflow(dl_b: &DlBw, cap: u64, old_bw: u64, new_bw: u64) -> bool {
    let bw = dl_b.bw.get();
    bw != u64::MAX
        && (bw * cap) >> SCHED_CAPACITY_SHIFT
            < dl_b
                .total_bw
                .get()
                .wrapping_sub(old_bw)
                .wrapping_add(new_bw)
}

/// The entity counts as running on the CPU.
pub(super) fn add_running_bw(dl_se: &SchedDlEntity, rq: RqRef) {
    let dl_rq = &rq.dl;
    let old = dl_rq.running_bw.get();
    dl_rq.running_bw.add(dl_se.dl_bw.get());
    WARN_ON_ONCE!(dl_rq.running_bw.get() < old);
    WARN_ON_ONCE!(dl_rq.running_bw.get() > dl_rq.this_bw.get());
}

/// It does not any more.
pub(super) fn sub_running_bw(dl_se: &SchedDlEntity, rq: RqRef) {
    let dl_rq = &rq.dl;
    let old = dl_rq.running_bw.get();
    if WARN_ON_ONCE!(dl_se.dl_bw.get() > old) {
        dl_rq.running_bw.set(0);
        return;
    }
    dl_rq.running_bw.sub(dl_se.dl_bw.get());
}

fn __add_rq_bw(dl_bw: u64, dl_rq: &DlRq) {
    let old = dl_rq.this_bw.get();
    dl_rq.this_bw.add(dl_bw);
    WARN_ON_ONCE!(dl_rq.this_bw.get() < old);
}

fn __sub_rq_bw(dl_bw: u64, dl_rq: &DlRq) {
    let old = dl_rq.this_bw.get();
    if WARN_ON_ONCE!(dl_bw > old) {
        dl_rq.this_bw.set(0);
        return;
    }
    dl_rq.this_bw.sub(dl_bw);
    WARN_ON_ONCE!(dl_rq.running_bw.get() > dl_rq.this_bw.get());
}

/// The entity belongs to the CPU.
pub(super) fn add_rq_bw(dl_se: &SchedDlEntity, rq: RqRef) {
    __add_rq_bw(dl_se.dl_bw.get(), &rq.dl);
}

/// It does not any more.
pub(super) fn sub_rq_bw(dl_se: &SchedDlEntity, rq: RqRef) {
    __sub_rq_bw(dl_se.dl_bw.get(), &rq.dl);
}

/// The entity is no more waited for by its timer: whether or not that is still to come.
pub(super) fn cancel_inactive_timer(dl_se: &'static SchedDlEntity) {
    // If the callback runs just now, it finds nothing to do and drops its reference itself.
    if hrtimer_try_to_cancel(&dl_se.inactive_timer) == 1 {
        put_task_struct(DlOfTask::entry(dl_se));
    }
}

/// A deadline task gets other parameters. A queued one is counted anew when it is put back.
pub(super) fn dl_change_utilization(p: TaskRef, new_bw: u64) {
    if task_on_rq_queued(p) {
        return;
    }
    let rq = task_rq(p);
    if p.dl.dl_non_contending.get() != 0 {
        sub_running_bw(&p.dl, rq);
        p.dl.dl_non_contending.set(0);
        cancel_inactive_timer(&p.dl);
    }
    __sub_rq_bw(p.dl.dl_bw.get(), &rq.dl);
    __add_rq_bw(new_bw, &rq.dl);
}

/// The task's bandwidth goes back to the root domain, and it has no parameters any more.
fn give_back(p: TaskRef) {
    let rd = dl_bw_of(task_cpu(p));
    let guard = rd.dl_bw.lock.lock();
    __dl_sub(rd, p.dl.dl_bw.get(), dl_bw_cpus(rd));
    drop(guard);
    super::params::__dl_clear_params(&p.dl);
}

/// The task blocks or leaves the class. Its bandwidth must not be used by others before the time at which
/// a task that ran evenly would have used up its run time: the 0-lag time.
pub(super) fn task_non_contending(p: TaskRef) {
    let dl_se = &p.dl;
    let rq = task_rq(p);
    // It was never set up, or has lost its parameters already.
    if dl_se.dl_runtime.get() == 0 {
        return;
    }
    WARN_ON_ONCE!(dl_se.dl_non_contending.get() != 0);
    let left = dl_se
        .runtime
        .get()
        .wrapping_mul(dl_se.dl_period.get() as i64)
        / dl_se.dl_runtime.get() as i64;
    let zerolag_time = (dl_se.deadline.get() as i64)
        .wrapping_sub(left)
        .wrapping_sub(rq_clock(rq) as i64);
    if zerolag_time < 0 || hrtimer_active(&dl_se.inactive_timer) {
        let dead = p.__state.get() == TASK_DEAD;
        if dl_task(p) {
            sub_running_bw(dl_se, rq);
        }
        if !dl_task(p) || dead {
            if dead {
                sub_rq_bw(dl_se, rq);
            }
            give_back(p);
        }
        return;
    }
    dl_se.dl_non_contending.set(1);
    get_task_struct(p);
    hrtimer_start(&dl_se.inactive_timer, zerolag_time, HRTIMER_MODE_REL_HARD);
}

/// The task wakes up.
pub(super) fn task_contending(rq: RqRef, dl_se: &'static SchedDlEntity, flags: i32) {
    if dl_se.dl_runtime.get() == 0 {
        return;
    }
    if flags & ENQUEUE_MIGRATED != 0 {
        // `migrate_task_rq_dl` has taken it off the other one.
        add_rq_bw(dl_se, rq);
    }
    if dl_se.dl_non_contending.get() != 0 {
        // It still counts as running.
        dl_se.dl_non_contending.set(0);
        cancel_inactive_timer(dl_se);
    } else {
        add_running_bw(dl_se, rq);
    }
}

/// Gives an entity its timer.
pub(super) fn init_dl_inactive_task_timer(dl_se: &'static SchedDlEntity) {
    let timer = &dl_se.inactive_timer;
    hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
    timer.function.set(Some(inactive_task_timer));
}

/// The 0-lag time of a task that blocked, died or left the class.
///
/// # Context
/// Hard interrupt. The task has a reference for this.
fn inactive_task_timer(timer: &'static Hrtimer) -> HrtimerRestart {
    let dl_se = InactiveTimerLink::entry(timer);
    let p = DlOfTask::entry(dl_se);
    let mut rf = RqFlags::new();
    let rq = task_rq_lock(p, &mut rf);
    update_rq_clock(rq);
    let dead = p.__state.get() == TASK_DEAD;
    if !dl_task(p) || dead {
        if dead && dl_se.dl_non_contending.get() != 0 {
            sub_running_bw(dl_se, rq);
            sub_rq_bw(dl_se, rq);
            dl_se.dl_non_contending.set(0);
        }
        give_back(p);
    } else if dl_se.dl_non_contending.get() != 0 {
        sub_running_bw(dl_se, rq);
        dl_se.dl_non_contending.set(0);
    }
    task_rq_unlock(rq, p, &rf);
    put_task_struct(p);
    HRTIMER_NORESTART
}

/// How much of `delta` counts for a task that reclaims what others leave: greedy reclaiming of unused
/// bandwidth, by the share of the CPU that is in use.
pub fn grub_reclaim(delta: u64, dl_rq: &DlRq, dl_se: &SchedDlEntity) -> u64 {
    let u_inact = dl_rq.this_bw.get().wrapping_sub(dl_rq.running_bw.get());
    let unused = u_inact.wrapping_add(dl_rq.extra_bw.get());
    let max_bw = dl_rq.max_bw.get();
    // The larger of the task's own share and of what is in use; compared this way round because the unused
    // part can be larger than all.
    let u_act = if unused > max_bw.wrapping_sub(dl_se.dl_bw.get()) {
        dl_se.dl_bw.get()
    } else {
        max_bw - unused
    };
    let u_act = (u_act * dl_rq.bw_ratio.get()) >> RATIO_SHIFT;
    (delta * u_act) >> BW_SHIFT
}
