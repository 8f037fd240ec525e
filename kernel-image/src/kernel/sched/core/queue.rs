//! Into and out of a runqueue, and from one CPU to another.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `enqueue_task`, `activate_task`, `set_task_cpu`,
//! `wakeup_preempt`. Kept: `on_rq`'s order around the class's hooks, the migrate event before the
//! change. Left out: PSI, uclamp, perf and rseq hooks. Differs: nothing else.
//! Locks: the runqueue's lock is held throughout; `set_task_cpu` wants `pi_lock` or that lock.

use super::tick::resched_curr;
use crate::WARN_ON_ONCE;
use crate::include::linux::cpumask::cpu_online;
use crate::include::linux::sched::{
    TASK_RUNNING, TASK_WAKING, TaskRef, task_cpu, test_tsk_need_resched,
};
use crate::include::trace::events::sched::trace_sched_migrate_task;
use crate::kernel::sched::fair::fair_sched_class;
use crate::kernel::sched::sched::{
    __set_task_cpu, DEQUEUE_NOCLOCK, DEQUEUE_SAVE, DEQUEUE_SLEEP, ENQUEUE_MIGRATED,
    ENQUEUE_NOCLOCK, ENQUEUE_RESTORE, RqRef, TASK_ON_RQ_MIGRATING, TASK_ON_RQ_QUEUED,
    is_migration_disabled, rq_clock_skip_update, same_class, sched_class_above,
    task_on_rq_migrating, task_on_rq_queued, update_rq_clock,
};
use crate::kernel::sched::stats::{sched_info_dequeue, sched_info_enqueue};

pub(crate) fn enqueue_task(rq: RqRef, p: TaskRef, flags: i32) {
    if flags & ENQUEUE_NOCLOCK == 0 {
        update_rq_clock(rq);
    }
    if flags & ENQUEUE_RESTORE == 0 {
        sched_info_enqueue(rq, p);
    }
    (p.class().enqueue_task)(rq, p, flags);
}

pub(crate) fn dequeue_task(rq: RqRef, p: TaskRef, flags: i32) {
    if flags & DEQUEUE_NOCLOCK == 0 {
        update_rq_clock(rq);
    }
    if flags & DEQUEUE_SAVE == 0 {
        sched_info_dequeue(rq, p);
    }
    (p.class().dequeue_task)(rq, p, flags);
}

/// Puts a task into its class's queue. When it returns the task can be picked.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn activate_task(rq: RqRef, p: TaskRef, flags: i32) {
    let flags = if task_on_rq_migrating(p) {
        flags | ENQUEUE_MIGRATED
    } else {
        flags
    };
    enqueue_task(rq, p, flags);
    p.on_rq.set(TASK_ON_RQ_QUEUED);
}

/// Takes a task out of its class's queue: to sleep, or on its way to another CPU.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn deactivate_task(rq: RqRef, p: TaskRef, flags: i32) {
    // Before the hook, so that nobody who finds the task without the lock thinks it is queued.
    p.on_rq.set(if flags & DEQUEUE_SLEEP != 0 {
        0
    } else {
        TASK_ON_RQ_MIGRATING
    });
    dequeue_task(rq, p, flags);
}

/// Gives a task another CPU. It is in no queue.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn set_task_cpu(p: TaskRef, new_cpu: u32) {
    let state = p.__state.get();
    WARN_ON_ONCE!(state != TASK_RUNNING && state != TASK_WAKING && p.on_rq.get() == 0);
    // Only for the fair class: a throttled deadline task is moved while it is in no tree.
    WARN_ON_ONCE!(
        state == TASK_RUNNING
            && same_class(p.class(), &fair_sched_class)
            && p.on_rq.get() != 0
            && !task_on_rq_migrating(p)
    );
    WARN_ON_ONCE!(!cpu_online(new_cpu));
    WARN_ON_ONCE!(is_migration_disabled(p));

    trace_sched_migrate_task(p, new_cpu);
    if task_cpu(p) != new_cpu {
        if let Some(migrate_task_rq) = p.class().migrate_task_rq {
            migrate_task_rq(p, new_cpu as i32);
        }
        p.se.nr_migrations.inc();
    }
    __set_task_cpu(p, new_cpu);
}

/// A task became runnable: shall the running one give way?
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wakeup_preempt(rq: RqRef, p: TaskRef, flags: i32) {
    let curr = rq.current();
    if same_class(p.class(), curr.class()) {
        (curr.class().wakeup_preempt)(rq, p, flags);
    } else if sched_class_above(p.class(), curr.class())
        && !(cfg!(feature = "bug_dropped_resched") && curr.pid.get() != 0)
    {
        resched_curr(rq);
    }
    // The switch follows at once: the clock that was just read will do.
    if task_on_rq_queued(curr) && test_tsk_need_resched(curr) {
        rq_clock_skip_update(rq);
    }
}
