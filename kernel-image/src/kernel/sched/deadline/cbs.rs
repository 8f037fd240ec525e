//! The constant bandwidth server: when a deadline task gets how much run time, and when it has to wait.
//!
//! Linux: `kernel/sched/deadline.c` (v6.8): `replenish_dl_entity` to `dl_task_timer`. Kept: replenishment, the
//! rule at a wake-up (with the revised one for constrained deadlines), throttling until the next period.
//! Left out: priority inheritance, servers. Differs: functions of the arithmetic take the time instead of the
//! runqueue whose clock it is.
//! Locks: the runqueue's lock; `dl_task_timer` takes `pi_lock` and it.

use super::bandwidth::{__dl_add, __dl_sub, add_rq_bw, add_running_bw, sub_rq_bw, sub_running_bw};
use super::push_pull::{find_lock_later_rq, has_pushable_dl_tasks, push_dl_task};
use super::{enqueue_task_dl, wakeup_preempt_dl};
use crate::include::linux::cpumask::{NR_CPUS, cpu_active_mask, cpumask_any_and};
use crate::include::linux::hrtimer::{
    CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD, HRTIMER_MODE_REL_HARD, HRTIMER_NORESTART,
    HRTIMER_STATE_ENQUEUED, Hrtimer, HrtimerRestart, hrtimer_init, hrtimer_start,
};
use crate::include::linux::ktime::NSEC_PER_USEC;
use crate::include::linux::sched::deadline::{dl_task, dl_time_before};
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::{DlOfTask, DlTimerLink, SchedDlEntity, TaskRef};
use crate::kernel::sched::core::{resched_curr, set_task_cpu};
use crate::kernel::sched::sched::{
    ENQUEUE_REPLENISH, RqFlags, RqRef, cpu_of, cpu_rq, double_lock_balance, double_unlock_balance,
    rq_clock, task_on_rq_queued, task_rq_lock, task_rq_unlock, update_rq_clock,
};
use crate::kernel::time::timekeeping::ktime_get;
use crate::{BUG_ON, pr_warn};
use core::sync::atomic::{AtomicBool, Ordering};

/// Binary digits after the point of a bandwidth.
pub const BW_SHIFT: u32 = 20;
/// A whole CPU.
pub const BW_UNIT: u64 = 1 << BW_SHIFT;
/// Digits that a product of two times drops so that it fits; also the least run time, as a power of two.
pub const DL_SCALE: u32 = 10;

/// Whether the deadline is the end of the period.
pub fn dl_is_implicit(dl_se: &SchedDlEntity) -> bool {
    dl_se.dl_deadline.get() == dl_se.dl_period.get()
}

/// A new instance begins at `now`.
pub fn replenish_dl_new_period(dl_se: &SchedDlEntity, now: u64) {
    dl_se
        .deadline
        .set(now.wrapping_add(dl_se.dl_deadline.get()));
    dl_se.runtime.set(dl_se.dl_runtime.get() as i64);
}

/// A task comes to the class, or comes back to it after its deadline.
pub fn setup_new_dl_entity(dl_se: &SchedDlEntity, now: u64) {
    // A throttled one keeps what it has until its timer.
    if dl_se.dl_throttled.get() == 0 {
        replenish_dl_new_period(dl_se, now);
    }
}

/// The task has waited for its next period: it gets run time, and a later deadline for it. Periods that
/// were overrun are paid for.
pub fn replenish_dl_entity(dl_se: &SchedDlEntity, now: u64) {
    if dl_se.dl_yielded.get() != 0 && dl_se.runtime.get() > 0 {
        dl_se.runtime.set(0);
    }
    while dl_se.runtime.get() <= 0 {
        dl_se.deadline.add(dl_se.dl_period.get());
        dl_se.runtime.add(dl_se.dl_runtime.get() as i64);
    }
    if dl_time_before(dl_se.deadline.get(), now) {
        static said: AtomicBool = AtomicBool::new(false);
        if !said.swap(true, Ordering::Relaxed) {
            pr_warn!("sched: DL replenish lagged too much");
        }
        replenish_dl_new_period(dl_se, now);
    }
    dl_se.dl_yielded.set(0);
    dl_se.dl_throttled.set(0);
}

/// Whether what is left of run time and deadline at time `t` would be more than the task's bandwidth.
pub fn dl_entity_overflow(dl_se: &SchedDlEntity, t: u64) -> bool {
    // runtime / (deadline - t) > dl_runtime / dl_deadline, without dividing.
    let left = (dl_se.dl_deadline.get() >> DL_SCALE)
        .wrapping_mul((dl_se.runtime.get() >> DL_SCALE) as u64);
    let right = (dl_se.deadline.get().wrapping_sub(t) >> DL_SCALE)
        .wrapping_mul(dl_se.dl_runtime.get() >> DL_SCALE);
    dl_time_before(right, left)
}

/// A constrained task wakes up early: it keeps its deadline and gets as much run time as its density allows
/// until then.
fn update_dl_revised_wakeup(dl_se: &SchedDlEntity, now: u64) {
    let laxity = dl_se.deadline.get().wrapping_sub(now);
    dl_se
        .runtime
        .set((dl_se.dl_density.get().wrapping_mul(laxity) >> BW_SHIFT) as i64);
}

/// The rule at a wake-up: whether the task may go on with its deadline and run time.
pub fn update_dl_entity(dl_se: &SchedDlEntity, now: u64) {
    let late = dl_time_before(dl_se.deadline.get(), now);
    if !late && !dl_entity_overflow(dl_se, now) {
        return;
    }
    if !dl_is_implicit(dl_se) && !late {
        update_dl_revised_wakeup(dl_se, now);
        return;
    }
    replenish_dl_new_period(dl_se, now);
}

/// When the task's next period begins.
pub fn dl_next_period(dl_se: &SchedDlEntity) -> u64 {
    dl_se
        .deadline
        .get()
        .wrapping_sub(dl_se.dl_deadline.get())
        .wrapping_add(dl_se.dl_period.get())
}

/// Whether the task has used up its run time.
pub fn dl_runtime_exceeded(dl_se: &SchedDlEntity) -> bool {
    dl_se.runtime.get() <= 0
}

/// Starts the timer for the next period; false if that has begun already.
pub(super) fn start_dl_timer(rq: RqRef, dl_se: &'static SchedDlEntity) -> bool {
    // The runqueue's clock and the timer's are two: the difference is added.
    let now = ktime_get();
    let delta = now.wrapping_sub(rq_clock(rq) as i64);
    let act = (dl_next_period(dl_se) as i64).wrapping_add(delta);
    // In whole microseconds: less than one late is not late.
    if act.wrapping_sub(now) / NSEC_PER_USEC < 0 {
        return false;
    }
    let timer = &dl_se.dl_timer;
    if timer.state.get() & HRTIMER_STATE_ENQUEUED == 0 {
        get_task_struct(DlOfTask::entry(dl_se));
        hrtimer_start(timer, act, HRTIMER_MODE_ABS_HARD);
    }
    true
}

/// A constrained task that wakes up between its deadline and its next period waits for that.
pub(super) fn dl_check_constrained_dl(rq: RqRef, dl_se: &'static SchedDlEntity) {
    let now = rq_clock(rq);
    if !dl_time_before(dl_se.deadline.get(), now) || !dl_time_before(now, dl_next_period(dl_se)) {
        return;
    }
    if !start_dl_timer(rq, dl_se) {
        return;
    }
    dl_se.dl_throttled.set(1);
    if dl_se.runtime.get() > 0 {
        dl_se.runtime.set(0);
    }
}

/// Gives an entity its timer.
pub(super) fn init_dl_task_timer(dl_se: &'static SchedDlEntity) {
    let timer = &dl_se.dl_timer;
    hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
    timer.function.set(Some(dl_task_timer));
}

/// The next period of a throttled task begins.
///
/// # Context
/// Hard interrupt. The task has a reference for this.
fn dl_task_timer(timer: &'static Hrtimer) -> HrtimerRestart {
    let dl_se = DlTimerLink::entry(timer);
    let p = DlOfTask::entry(dl_se);
    let mut rf = RqFlags::new();
    let rq = task_rq_lock(p, &mut rf);
    let rq = replenish_throttled(rq, p);
    task_rq_unlock(rq, p, &rf);
    put_task_struct(p);
    HRTIMER_NORESTART
}

/// Returns the runqueue that is locked.
fn replenish_throttled(mut rq: RqRef, p: TaskRef) -> RqRef {
    let dl_se = &p.dl;
    // It may have left the class, or have been replenished by a change of its parameters.
    if !dl_task(p) || dl_se.dl_throttled.get() == 0 {
        return rq;
    }
    update_rq_clock(rq);
    if !task_on_rq_queued(p) {
        // It went to sleep while it was throttled: the next wake-up enqueues it.
        replenish_dl_entity(dl_se, rq_clock(rq));
        return rq;
    }
    if rq.online.get() == 0 {
        // It was throttled while its CPU went down, and nobody pushed it away because it did not run.
        rq = dl_task_offline_migration(rq, p);
        update_rq_clock(rq);
    }
    enqueue_task_dl(rq, p, ENQUEUE_REPLENISH);
    if dl_task(rq.current()) {
        wakeup_preempt_dl(rq, p, 0);
    } else {
        resched_curr(rq);
    }
    if has_pushable_dl_tasks(rq) {
        // The timer holds no lock that a push minds.
        push_dl_task(rq);
    }
    rq
}

/// Takes a throttled task, which is in no tree, off an offline CPU. Returns the new runqueue, locked in the
/// old one's place.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
fn dl_task_offline_migration(rq: RqRef, p: TaskRef) -> RqRef {
    let later_rq = find_lock_later_rq(p, rq).unwrap_or_else(|| {
        // No CPU runs a later deadline: any allowed one will do, and the admission test holds there.
        let mut cpu = cpumask_any_and(cpu_active_mask(), p.allowed());
        if cpu as usize >= NR_CPUS {
            cpu = cpu_active_mask().first();
        }
        BUG_ON!(cpu as usize >= NR_CPUS);
        let later_rq = cpu_rq(cpu);
        double_lock_balance(rq, later_rq);
        later_rq
    });
    let dl_se = &p.dl;
    if dl_se.dl_non_contending.get() != 0 || dl_se.dl_throttled.get() != 0 {
        // It counts as running: the timer that ends this will find it on the new runqueue.
        sub_running_bw(dl_se, rq);
        sub_rq_bw(dl_se, rq);
        add_rq_bw(dl_se, later_rq);
        add_running_bw(dl_se, later_rq);
    } else {
        sub_rq_bw(dl_se, rq);
        add_rq_bw(dl_se, later_rq);
    }
    // The old CPU is in the default root domain by now.
    let bw = dl_se.dl_bw.get();
    let rd = rq.rd();
    let guard = rd.dl_bw.lock.lock();
    __dl_sub(rd, bw, rd.span.get().weight());
    drop(guard);
    let rd = later_rq.rd();
    let guard = rd.dl_bw.lock.lock();
    __dl_add(rd, bw, rd.span.get().weight());
    drop(guard);

    set_task_cpu(p, cpu_of(later_rq));
    double_unlock_balance(later_rq, rq);
    later_rq
}
