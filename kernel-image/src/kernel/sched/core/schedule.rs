//! `__schedule`, everything that leads to it, and the choice of the next task.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `__schedule`, `schedule*`, `preempt_schedule*`, `pick_next_task`,
//! `yield_to`.
//! Kept: the whole path with its fast way for fair-only queues, the retry, switch counts, the state
//! rule (a preempted task that was about to sleep stays queued). Left out: block
//! plugs, core scheduling, PSI. Differs: nothing else.
//! Locks: takes the runqueue's lock; `context_switch` or the end of `__schedule` releases it.

use super::affinity::migrate_disable_switch;
use super::balance_callback::__balance_callbacks;
use super::queue::deactivate_task;
use super::switch::context_switch;
use super::tick::resched_curr;
use crate::arch::x86::include::asm::current::current;
use crate::include::linux::errno::ESRCH;
use crate::include::linux::irqflags::{
    local_irq_disable, local_irq_enable, local_irq_restore, local_irq_save,
};
use crate::include::linux::preempt::{
    __preempt_count_add, __preempt_count_sub, PREEMPT_OFFSET, clear_preempt_need_resched,
    preempt_count, preempt_count_set, preempt_disable, preempt_enable_no_resched, preemptible,
};
use crate::include::linux::sched::signal::signal_pending_state;
use crate::include::linux::sched::{
    PF_NOFREEZE, PF_WQ_WORKER, TASK_DEAD, TASK_FROZEN, TASK_NOLOAD, TASK_RUNNING,
    TASK_UNINTERRUPTIBLE, TaskRef, clear_tsk_need_resched, need_resched, same_task,
    set_special_state, smp_mb,
};
use crate::include::linux::spinlock::raw_spin_unlock_irq;
use crate::include::trace::events::sched::trace_sched_switch;
use crate::kernel::rcu::tree_plugin::rcu_note_context_switch;
use crate::kernel::sched::fair::{Pick, fair_sched_class, pick_next_task_fair};
use crate::kernel::sched::idle::idle_sched_class;
use crate::kernel::sched::sched::{
    DEQUEUE_NOCLOCK, DEQUEUE_SLEEP, RQCF_UPDATED, RqRef, SCHED_CLASSES, double_rq_lock,
    double_rq_unlock, raw_spin_rq_lock, same_class, same_rq, sched_class_above, task_on_cpu,
    task_rq, this_rq, update_rq_clock,
};
use crate::kernel::sched::stats::schedstat_inc;
use crate::kernel::workqueue::{wq_worker_running, wq_worker_sleeping};
use crate::{BUG, WARN_ON_ONCE, pr_err};

use core::sync::atomic::Ordering;

/// Whether `__schedule` was asked for or forced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SchedMode {
    /// The task called `schedule`: its state counts (`SM_NONE`).
    None,
    /// The task was preempted: it stays queued whatever its state says (`SM_PREEMPT`).
    Preempt,
}

/// Complains if the scheduler is called where it must not be.
fn schedule_debug(prev: TaskRef) {
    // Preemption was disabled once, for the call itself.
    if preempt_count() != PREEMPT_OFFSET {
        pr_err!(
            "BUG: scheduling while atomic: {}/{}/{:#010x}",
            prev.comm_str(),
            prev.pid.get(),
            preempt_count()
        );
        crate::kernel::panic::dump_stack();
        preempt_count_set(PREEMPT_OFFSET);
    }
}

/// The task leaves the queue to sleep; an uninterruptible sleep is load.
fn block(rq: RqRef, prev: TaskRef, prev_state: u32) {
    let contributes =
        prev_state & TASK_UNINTERRUPTIBLE != 0 && prev_state & (TASK_NOLOAD | TASK_FROZEN) == 0;
    prev.sched_contributes_to_load.set(u32::from(contributes));
    if contributes {
        rq.nr_uninterruptible.inc();
    }
    deactivate_task(rq, prev, DEQUEUE_SLEEP | DEQUEUE_NOCLOCK);
    if prev.in_iowait.get() != 0 {
        rq.nr_iowait.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives the CPU to the next task. Preemption is off (once); interrupts are on or off.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn __schedule(preempt: bool) {
    let mode = if preempt {
        SchedMode::Preempt
    } else {
        SchedMode::None
    };
    let rq = this_rq();
    let prev = rq.current();
    schedule_debug(prev);
    schedstat_inc(&rq.stats.sched_count);

    local_irq_disable();
    rcu_note_context_switch(preempt);
    raw_spin_rq_lock(rq);
    // Pairs with the waker: it writes its condition and then reads our state; we have written our
    // state and now look whether we still may sleep.
    smp_mb();

    // A requested skip becomes the skip in force, for this one time.
    rq.clock_update_flags.set(rq.clock_update_flags.get() << 1);
    update_rq_clock(rq);
    rq.clock_update_flags.set(RQCF_UPDATED);

    let mut switch_count = &prev.nivcsw;
    let prev_state = prev.__state.get();
    if mode == SchedMode::None && prev_state != TASK_RUNNING {
        if signal_pending_state(prev_state, prev) {
            // It need not sleep at all.
            prev.__state.set(TASK_RUNNING);
        } else {
            block(rq, prev, prev_state);
        }
        switch_count = &prev.nvcsw;
    }

    let next = pick_next_task(rq, prev);
    clear_tsk_need_resched(prev);
    clear_preempt_need_resched();

    if same_task(prev, next) {
        __balance_callbacks(rq);
        raw_spin_unlock_irq(&rq.__lock);
        return;
    }
    rq.nr_switches.inc();
    rq.curr.set(Some(next));
    switch_count.inc();
    migrate_disable_switch(rq, prev);
    trace_sched_switch(preempt, prev, next, prev_state);
    // Releases the lock and turns interrupts on, on the other side.
    context_switch(rq, prev, next);
}

/// The class walk: the highest class with a runnable task decides.
///
/// The fast way serves queues on which only fair tasks run; `Pick::Retry` says that the fair class let
/// go of the lock and something higher came, so the walk starts from the top.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn pick_next_task(rq: RqRef, prev: TaskRef) -> TaskRef {
    let prev_class = prev.class();
    if !sched_class_above(prev_class, &fair_sched_class)
        && rq.nr_running.get() == rq.cfs.h_nr_running.get()
    {
        match pick_next_task_fair(rq, Some(prev)) {
            Pick::Task(p) => return p,
            Pick::Retry => {}
            Pick::Nothing => {
                put_prev_task(rq, prev);
                if let Some(p) = (idle_sched_class.pick_next_task)(rq) {
                    return p;
                }
            }
        }
    }

    put_prev_task_balance(rq, prev);
    for class in SCHED_CLASSES {
        if let Some(p) = (class.pick_next_task)(rq) {
            return p;
        }
    }
    // The idle class always has a task.
    BUG!()
}

/// Lets the classes from prev's down to fair look for work on other CPUs, then puts prev back.
fn put_prev_task_balance(rq: RqRef, prev: TaskRef) {
    let prev_class = prev.class();
    for class in SCHED_CLASSES {
        if sched_class_above(class, prev_class) {
            continue;
        }
        if same_class(class, &idle_sched_class) || (class.balance)(rq, prev) {
            break;
        }
    }
    put_prev_task(rq, prev);
}

/// The task stops being the running one.
pub(crate) fn put_prev_task(rq: RqRef, prev: TaskRef) {
    WARN_ON_ONCE!(!rq.curr.get().is_some_and(|curr| same_task(curr, prev)));
    (prev.class().put_prev_task)(rq, prev);
}

/// The task becomes the running one.
pub(crate) fn set_next_task(rq: RqRef, next: TaskRef) {
    (next.class().set_next_task)(rq, next, false);
}

/// Work to do while the task can still run: a worker that goes to sleep lets its pool wake another.
fn sched_submit_work(task: TaskRef) {
    if task.__state.get() != TASK_RUNNING && task.flags.get() & PF_WQ_WORKER != 0 {
        wq_worker_sleeping(task);
    }
}

/// Work to do when it runs again.
fn sched_update_worker(task: TaskRef) {
    if task.flags.get() & PF_WQ_WORKER != 0 {
        wq_worker_running(task);
    }
}

/// The last switch of a task: `finish_task_switch` on the other side drops the scheduler's reference.
///
/// # Context
/// Preemption off: between the state and the switch the task must not be preempted.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn do_task_dead() -> ! {
    // The state that a stray wake-up does not overwrite.
    set_special_state(TASK_DEAD);
    current().flags.or(PF_NOFREEZE);
    __schedule(false);
    BUG!()
}

/// Lets others run; the current task sleeps if its state says so.
///
/// # Context
/// Task context, preemption on.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn schedule() {
    let task = current();
    sched_submit_work(task);
    loop {
        preempt_disable();
        __schedule(false);
        preempt_enable_no_resched();
        if !need_resched() {
            break;
        }
    }
    sched_update_worker(task);
}

/// The current task is about to sleep for I/O; what `io_schedule_finish` wants back.
pub fn io_schedule_prepare() -> u32 {
    current().in_iowait.replace(1)
}

/// It has slept.
pub fn io_schedule_finish(token: u32) {
    current().in_iowait.set(token);
}

/// As `schedule`, asleep for I/O: it counts in `nr_iowait`.
pub fn io_schedule() {
    let token = io_schedule_prepare();
    schedule();
    io_schedule_finish(token);
}

/// As `schedule_timeout`, asleep for I/O.
pub fn io_schedule_timeout(timeout: u64) -> u64 {
    let token = io_schedule_prepare();
    let left = crate::kernel::time::timer::sleep::schedule_timeout(timeout);
    io_schedule_finish(token);
    left
}

/// As `schedule`, for a caller that holds preemption off once.
pub fn schedule_preempt_disabled() {
    preempt_enable_no_resched();
    schedule();
    preempt_disable();
}

/// As `schedule`, for the idle task: it never sleeps, and preemption stays off.
pub fn schedule_idle() {
    WARN_ON_ONCE!(current().__state.get() != TASK_RUNNING);
    loop {
        __schedule(false);
        if !need_resched() {
            break;
        }
    }
}

/// Preemption of kernel code that just became preemptible.
///
/// # Context
/// Any; returns at once where preemption is not allowed.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn preempt_schedule() {
    if preemptible() {
        preempt_schedule_common();
    }
}

/// Preemption of a task that allows it, until nobody asks any more.
#[inline(never)]
pub(super) fn preempt_schedule_common() {
    loop {
        __preempt_count_add(PREEMPT_OFFSET);
        __schedule(true);
        __preempt_count_sub(PREEMPT_OFFSET);
        // An interrupt may have asked again between the switch and here.
        if !need_resched() {
            break;
        }
    }
}

/// Preemption on the way out of an interrupt.
///
/// # Context
/// Interrupts off, and off again on return; preempt_count 0.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn preempt_schedule_irq() {
    if preempt_count() != 0 {
        BUG!();
    }
    loop {
        __preempt_count_add(PREEMPT_OFFSET);
        local_irq_enable();
        __schedule(true);
        local_irq_disable();
        __preempt_count_sub(PREEMPT_OFFSET);
        if !need_resched() {
            break;
        }
    }
}

/// The current task lets others of its class run first (`yield`, a keyword here).
pub fn yield_task() {
    crate::include::linux::sched::set_current_state(TASK_RUNNING);
    do_sched_yield();
}

/// The current task lets others run, as its class sees it.
pub(super) fn do_sched_yield() {
    local_irq_disable();
    let rq = this_rq();
    raw_spin_rq_lock(rq);
    schedstat_inc(&rq.stats.yld_count);
    (current().class().yield_task)(rq);
    preempt_disable();
    raw_spin_unlock_irq(&rq.__lock);
    preempt_enable_no_resched();
    schedule();
}

/// The current task gives up the rest of its turn in favour of `p`. `preempt`: if that one waits on another
/// CPU, the task that runs there gives way.
///
/// # Returns
/// 1 if it did; 0 if the class has no such thing or `p` does not wait in it; -ESRCH if neither CPU has
/// anything else to run.
pub fn yield_to(p: TaskRef, preempt: bool) -> i32 {
    let curr = current();
    let flags = local_irq_save();
    let rq = this_rq();
    let mut yielded = 0;
    loop {
        let p_rq = task_rq(p);
        if rq.nr_running.get() == 1 && p_rq.nr_running.get() == 1 {
            yielded = -ESRCH;
            break;
        }
        double_rq_lock(rq, p_rq);
        if !same_rq(task_rq(p), p_rq) {
            double_rq_unlock(rq, p_rq);
            continue;
        }
        let waits = !task_on_cpu(p) && p.__state.get() == TASK_RUNNING;
        if let Some(yield_to_task) = curr.class().yield_to_task
            && same_class(curr.class(), p.class())
            && waits
            && yield_to_task(rq, p)
        {
            yielded = 1;
            schedstat_inc(&rq.stats.yld_count);
            if preempt && !same_rq(rq, p_rq) {
                resched_curr(p_rq);
            }
        }
        double_rq_unlock(rq, p_rq);
        break;
    }
    local_irq_restore(flags);
    if yielded > 0 {
        schedule();
    }
    yielded
}
