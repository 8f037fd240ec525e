//! Waking tasks: `try_to_wake_up`, wake lists between CPUs, wake queues, and waiting for a task to be
//! off its CPU.
//!
//! Linux: `kernel/sched/core.c` (v6.8): the `ttwu_*` family, `wake_q_*`, `wait_task_inactive`,
//! `scheduler_ipi`, `call_function_single_prep_ipi`.
//! Kept: every ordering rule of `try_to_wake_up` (state under `pi_lock`, `on_rq` before `on_cpu`, the
//! wake list for a target that is switching out or has nothing to run), the events and their order.
//! Left out: sleeping locks' saved state (the field is there). Differs: nothing else.
//! Locks: `pi_lock`, then the runqueue's.

use super::affinity::select_task_rq;
use super::queue::{activate_task, set_task_cpu, wakeup_preempt};
use super::tick::set_nr_if_polling;
use crate::WARN_ON_ONCE;
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::include::linux::cpumask::cpu_active;
use crate::include::linux::hrtimer::HRTIMER_MODE_REL_HARD;
use crate::include::linux::jiffies::HZ;
use crate::include::linux::ktime::NSEC_PER_SEC;
use crate::include::linux::llist::LlistNode;
use crate::include::linux::preempt::{preempt_disable, preempt_enable, set_preempt_need_resched};
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::wake_q::WakeQHead;
use crate::include::linux::sched::{
    TASK_NORMAL, TASK_RUNNING, TASK_UNINTERRUPTIBLE, TASK_WAKING, TaskRef, WakeEntryLink,
    need_resched, same_task, set_current_state, smp_mb, task_cpu,
};
use crate::include::linux::smp::__smp_call_single_queue;
use crate::include::linux::wait::WaitQueueEntry;
use crate::include::trace::events::sched::{
    trace_sched_wait_task, trace_sched_wake_idle_without_ipi, trace_sched_wakeup,
    trace_sched_waking,
};
use crate::kernel::sched::features::{SchedFeat, sched_feat};
use crate::kernel::sched::sched::{
    __task_rq_lock, ENQUEUE_MIGRATED, ENQUEUE_NOCLOCK, ENQUEUE_WAKEUP, RqFlags, RqRef, WF_MIGRATED,
    WF_TTWU, cpu_rq, raw_spin_rq_lock, raw_spin_rq_unlock, rq_clock, rq_lock_irqsave,
    rq_unlock_irqrestore, task_on_cpu, task_on_rq_queued, task_rq, task_rq_lock, task_rq_unlock,
    this_rq, update_rq_clock,
};
use crate::kernel::sched::stats::ttwu_stat;
use crate::kernel::sched::topology::cpus_share_cache;
use crate::kernel::time::hrtimer::sleep::schedule_hrtimeout;
use core::sync::atomic::Ordering;

/// Wakes a task if its state is in `state`. True if it was woken.
///
/// # Context
/// Any; preemption is off throughout.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn try_to_wake_up(p: TaskRef, state: u32, wake_flags: i32) -> bool {
    preempt_disable();
    let woken = if same_task(p, current()) {
        // It is running: no queue and no lock is involved, and only it itself could sleep.
        ttwu_current(p, state).then_some(wake_flags)
    } else {
        ttwu_other(p, state, wake_flags)
    };
    if let Some(wake_flags) = woken {
        ttwu_stat(p, task_cpu(p), wake_flags);
    }
    preempt_enable();
    woken.is_some()
}

fn ttwu_current(p: TaskRef, state: u32) -> bool {
    if !ttwu_state_match(p, state) {
        return false;
    }
    trace_sched_waking(p);
    ttwu_do_wakeup(p);
    true
}

/// Wakes another task; what the flags have become if it was woken.
fn ttwu_other(p: TaskRef, state: u32, mut wake_flags: i32) -> Option<i32> {
    let _pi = p.pi_lock.lock_irqsave();
    // Orders the waker's condition before the look at the state.
    smp_mb();
    if !ttwu_state_match(p, state) {
        return None;
    }
    trace_sched_waking(p);

    // on_rq before on_cpu: a task that is being switched out clears on_rq first and on_cpu last, so
    // reading them in this order cannot miss it in both.
    if p.on_rq.get() != 0 && ttwu_runnable(p, wake_flags) {
        return Some(wake_flags);
    }
    p.__state.set(TASK_WAKING);

    // Still being switched out: let that CPU do the rest instead of spinning for it.
    if task_on_cpu(p) && ttwu_queue_wakelist(p, task_cpu(p), wake_flags) {
        return Some(wake_flags);
    }
    while task_on_cpu(p) {
        cpu_relax();
    }

    let cpu = select_task_rq(p, p.wake_cpu.get(), wake_flags | WF_TTWU) as u32;
    if task_cpu(p) != cpu {
        if p.in_iowait.get() != 0 {
            task_rq(p).nr_iowait.fetch_sub(1, Ordering::Relaxed);
        }
        wake_flags |= WF_MIGRATED;
        set_task_cpu(p, cpu);
    }
    ttwu_queue(p, cpu, wake_flags);
    Some(wake_flags)
}

fn ttwu_state_match(p: TaskRef, state: u32) -> bool {
    p.__state.get() & state != 0
}

/// The task runs from now on.
fn ttwu_do_wakeup(p: TaskRef) {
    p.__state.set(TASK_RUNNING);
    trace_sched_wakeup(p);
}

/// The task is still in a queue: it had not gone to sleep yet. Only its state has to change.
fn ttwu_runnable(p: TaskRef, wake_flags: i32) -> bool {
    let rq = __task_rq_lock(p);
    // It was queued when we looked without the lock; meanwhile it may have gone to sleep.
    let queued = task_on_rq_queued(p) || cfg!(feature = "bug_stale_on_rq");
    if queued {
        if !task_on_cpu(p) {
            update_rq_clock(rq);
            wakeup_preempt(rq, p, wake_flags);
        }
        ttwu_do_wakeup(p);
    }
    raw_spin_rq_unlock(rq);
    queued
}

/// Puts the task into the queue; this CPU or the target's does the work.
fn ttwu_queue(p: TaskRef, cpu: u32, wake_flags: i32) {
    if ttwu_queue_wakelist(p, cpu, wake_flags) {
        return;
    }
    let rq = cpu_rq(cpu);
    raw_spin_rq_lock(rq);
    update_rq_clock(rq);
    ttwu_do_activate(rq, p, wake_flags);
    raw_spin_rq_unlock(rq);
}

/// The one place where a woken task enters a queue. The runqueue's lock is held.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ttwu_do_activate(rq: RqRef, p: TaskRef, wake_flags: i32) {
    if p.sched_contributes_to_load.get() != 0 {
        rq.nr_uninterruptible.dec();
    }
    let mut en_flags = ENQUEUE_WAKEUP | ENQUEUE_NOCLOCK;
    if wake_flags & WF_MIGRATED != 0 {
        en_flags |= ENQUEUE_MIGRATED;
    } else if p.in_iowait.get() != 0 {
        rq.nr_iowait.fetch_sub(1, Ordering::Relaxed);
    }
    activate_task(rq, p, en_flags);
    wakeup_preempt(rq, p, wake_flags);
    ttwu_do_wakeup(p);
    if let Some(task_woken) = p.class().task_woken {
        task_woken(rq, p);
    }
    if rq.idle_stamp.get() != 0 {
        let delta = rq_clock(rq).wrapping_sub(rq.idle_stamp.get());
        let max = 2 * rq.max_idle_balance_cost.get();
        let avg = rq.avg_idle.get() as i64;
        let avg = avg + (delta as i64 - avg) / 8;
        rq.avg_idle.set((avg.max(0) as u64).min(max));
        rq.idle_stamp.set(0);
    }
}

/// Whether the target should enqueue the task itself.
fn ttwu_queue_cond(p: TaskRef, cpu: u32) -> bool {
    if !cpu_active(cpu) || !p.allowed().test(cpu) {
        return false;
    }
    // In another cache its lock and its queue would have to come here first.
    if !cpus_share_cache(raw_smp_processor_id(), cpu) {
        return true;
    }
    if cpu == raw_smp_processor_id() {
        return false;
    }
    // A target with nothing to run idles, or is about to: its lock is better left alone.
    cpu_rq(cpu).nr_running.get() == 0
}

fn ttwu_queue_wakelist(p: TaskRef, cpu: u32, wake_flags: i32) -> bool {
    if !sched_feat(SchedFeat::TTWU_QUEUE) || !ttwu_queue_cond(p, cpu) {
        return false;
    }
    __ttwu_queue_wakelist(p, cpu, wake_flags);
    true
}

fn __ttwu_queue_wakelist(p: TaskRef, cpu: u32, wake_flags: i32) {
    p.sched_remote_wakeup
        .set(u32::from(wake_flags & WF_MIGRATED != 0));
    cpu_rq(cpu).ttwu_pending.set(1);
    __smp_call_single_queue(cpu, &p.wake_entry);
}

/// The target's side of a wake list: enqueues every task of it, oldest first.
///
/// # Context
/// Interrupts off: the call-function interrupt, or the idle loop on its way out.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sched_ttwu_pending(list: &'static LlistNode) {
    let rq = this_rq();
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    update_rq_clock(rq);
    let mut node = Some(list);
    while let Some(entry) = node {
        // The task may be on the next list as soon as it has been activated.
        node = entry.next.get();
        let p = WakeEntryLink::entry(entry);
        // The waker queued it while it was being switched out here, so it is off by now.
        if WARN_ON_ONCE!(task_on_cpu(p)) {
            while task_on_cpu(p) {
                cpu_relax();
            }
        }
        if WARN_ON_ONCE!(task_cpu(p) != rq.cpu_nr()) {
            set_task_cpu(p, rq.cpu_nr());
        }
        let flags = if p.sched_remote_wakeup.get() != 0 {
            WF_MIGRATED
        } else {
            0
        };
        ttwu_do_activate(rq, p, flags);
    }
    // Only now: while it is set nobody takes this CPU for idle.
    rq.ttwu_pending.set(0);
    rq_unlock_irqrestore(rq, &rf);
}

/// Whether a CPU needs an interrupt to look at its call list: not if its idle task polls.
pub fn call_function_single_prep_ipi(cpu: u32) -> bool {
    let polls = set_nr_if_polling(cpu_rq(cpu).idle_task());
    if polls {
        trace_sched_wake_idle_without_ipi(cpu);
    }
    !polls
}

/// What the reschedule interrupt does: on the way out of it preemption sees the flag.
pub fn scheduler_ipi() {
    if need_resched() {
        set_preempt_need_resched();
    }
}

/// Wakes a task that sleeps, interruptibly or not.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wake_up_process(p: TaskRef) -> bool {
    try_to_wake_up(p, TASK_NORMAL, 0)
}

/// Wakes a task out of one of the given states.
pub fn wake_up_state(p: TaskRef, state: u32) -> bool {
    try_to_wake_up(p, state, 0)
}

/// What a wait queue does with an entry unless told otherwise.
pub fn default_wake_function(entry: &'static WaitQueueEntry, mode: u32, wake_flags: i32) -> bool {
    entry
        .private
        .get()
        .is_some_and(|p| try_to_wake_up(p, mode, wake_flags))
}

/// Notes a task to be woken by `wake_up_q`, once the caller has dropped its locks.
pub fn wake_q_add(head: &mut WakeQHead, task: TaskRef) {
    // If another list has the task, that list's owner has not woken it yet and will.
    if task.wake_q.claim() {
        head.push(get_task_struct(task));
    }
}

/// Wakes the noted tasks in the order they were noted.
pub fn wake_up_q(head: &mut WakeQHead) {
    while let Some(task) = head.pop() {
        task.wake_q.release();
        wake_up_process(task);
        put_task_struct(task);
    }
}

/// Waits until a task is off its CPU and out of its queue, in one of the given states; false if it is
/// in none of them. `TASK_ANY` are all but the running one.
///
/// # Context
/// May sleep (one tick at a time, if the task was preempted on its way to sleep).
pub fn wait_task_inactive(p: TaskRef, match_state: u32) -> bool {
    loop {
        // Spin without a lock as long as it runs: it is about to stop.
        while task_on_cpu(p) {
            if p.__state.get() & match_state == 0 {
                return false;
            }
            cpu_relax();
        }
        let mut rf = RqFlags::new();
        let rq = task_rq_lock(p, &mut rf);
        trace_sched_wait_task(p);
        let running = task_on_cpu(p);
        let queued = task_on_rq_queued(p);
        let matches = p.__state.get() & match_state != 0;
        task_rq_unlock(rq, p, &rf);
        if !matches {
            return false;
        }
        if running {
            cpu_relax();
            continue;
        }
        if queued {
            set_current_state(TASK_UNINTERRUPTIBLE);
            schedule_hrtimeout(NSEC_PER_SEC / HZ as i64, HRTIMER_MODE_REL_HARD);
            continue;
        }
        return true;
    }
}
