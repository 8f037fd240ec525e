//! The timer tick of the scheduler, and the request to reschedule a CPU.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `scheduler_tick`, `resched_curr`, `idle_cpu`,
//! `task_sched_runtime`.
//! Kept: the order of the tick; polling idle CPUs get no interrupt. Left out: thermal pressure, perf.
//! Differs: nothing else. Locks: the runqueue's lock.

use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::include::asm::thread_info::{_TIF_POLLING_NRFLAG, TIF_NEED_RESCHED};
use crate::include::linux::preempt::set_preempt_need_resched;
use crate::include::linux::rcupdate::{rcu_read_lock, rcu_read_unlock};
use crate::include::linux::sched::{
    PF_WQ_WORKER, TaskRef, is_idle_task, same_task, set_tsk_need_resched, test_tsk_need_resched,
};
use crate::include::linux::smp::smp_send_reschedule;
use crate::include::trace::events::sched::trace_sched_wake_idle_without_ipi;
use crate::kernel::sched::fair::balance::domains::trigger_load_balance;
use crate::kernel::sched::loadavg::calc_global_load_tick;
use crate::kernel::sched::sched::{
    RqFlags, RqRef, cpu_of, cpu_rq, raw_spin_rq_lock, raw_spin_rq_unlock, rq_lock_irqsave,
    rq_unlock_irqrestore, task_current, task_on_rq_queued, task_rq_lock, task_rq_unlock,
    update_rq_clock,
};
use crate::kernel::workqueue::wq_worker_tick;
use core::sync::atomic::Ordering;

/// The timer interrupt reaches the scheduler.
///
/// # Context
/// Hard interrupt, interrupts off, once every tick on every CPU that is not tickless.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn scheduler_tick() {
    let cpu = raw_smp_processor_id();
    let rq = cpu_rq(cpu);
    raw_spin_rq_lock(rq);
    let curr = rq.current();
    update_rq_clock(rq);
    (curr.class().task_tick)(rq, curr, 0);
    calc_global_load_tick(rq);
    raw_spin_rq_unlock(rq);

    if curr.flags.get() & PF_WQ_WORKER != 0 {
        wq_worker_tick(curr);
    }
    rq.idle_balance.set(u8::from(idle_cpu(cpu)));
    trigger_load_balance(rq);
}

/// A task's run time up to now, ns: the part since its last accounting included.
pub fn task_sched_runtime(p: TaskRef) -> u64 {
    let mut rf = RqFlags::new();
    let rq = task_rq_lock(p, &mut rf);
    if task_current(rq, p) && task_on_rq_queued(p) {
        update_rq_clock(rq);
        (p.class().update_curr)(rq);
    }
    let ns = p.se.sum_exec_runtime.get();
    task_rq_unlock(rq, p, &rf);
    ns
}

/// Asks a CPU's running task to call the scheduler. The runqueue's lock is held.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn resched_curr(rq: RqRef) {
    let curr = rq.current();
    if test_tsk_need_resched(curr) {
        return;
    }
    let cpu = cpu_of(rq);
    if cpu == raw_smp_processor_id() {
        set_tsk_need_resched(curr);
        set_preempt_need_resched();
        return;
    }
    if set_nr_and_not_polling(curr) {
        smp_send_reschedule(cpu);
    } else {
        trace_sched_wake_idle_without_ipi(cpu);
    }
}

/// As `resched_curr`, for a caller without the lock.
pub fn resched_cpu(cpu: u32) {
    let rq = cpu_rq(cpu);
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    if crate::include::linux::cpumask::cpu_online(cpu) || cpu == raw_smp_processor_id() {
        resched_curr(rq);
    }
    rq_unlock_irqrestore(rq, &rf);
}

/// Takes a CPU out of its idle state, if it is idle.
pub fn wake_up_if_idle(cpu: u32) {
    let rq = cpu_rq(cpu);
    rcu_read_lock();
    if is_idle_task(rq.current()) {
        let mut rf = RqFlags::new();
        rq_lock_irqsave(rq, &mut rf);
        if is_idle_task(rq.current()) {
            resched_curr(rq);
        }
        rq_unlock_irqrestore(rq, &rf);
    }
    rcu_read_unlock();
}

/// Sets the flag; true if the task does not poll it, so that an interrupt is needed.
pub(super) fn set_nr_and_not_polling(p: TaskRef) -> bool {
    let old = p
        .thread_info
        .flags
        .fetch_or(1 << TIF_NEED_RESCHED, Ordering::SeqCst);
    old & _TIF_POLLING_NRFLAG == 0
}

/// Sets the flag if the task polls; true if that was enough.
pub(super) fn set_nr_if_polling(p: TaskRef) -> bool {
    let mut flags = p.thread_info.flags.load(Ordering::Relaxed);
    loop {
        if flags & _TIF_POLLING_NRFLAG == 0 {
            return false;
        }
        if flags & 1 << TIF_NEED_RESCHED != 0 {
            return true;
        }
        match p.thread_info.flags.compare_exchange(
            flags,
            flags | 1 << TIF_NEED_RESCHED,
            Ordering::SeqCst,
            Ordering::Relaxed,
        ) {
            Ok(_) => return true,
            Err(now) => flags = now,
        }
    }
}

/// Whether a CPU has nothing to do, wake-ups on their way included.
pub fn idle_cpu(cpu: u32) -> bool {
    let rq = cpu_rq(cpu);
    rq.curr
        .get()
        .is_some_and(|curr| same_task(curr, rq.idle_task()))
        && rq.nr_running.get() == 0
        && rq.ttwu_pending.get() == 0
}
