//! The worker's loop, and the scheduler's hooks that keep one worker of a pool running.
//!
//! Linux: `kernel/workqueue.c` (v6.8): `worker_thread`, `process_one_work`, `wq_worker_*`.
//! Kept: the manager (a worker that finds no idle one makes one before it works), PENDING cleared
//! before the function, a sleeping worker waking the next. Left out: linked works, collisions, the
//! mayday timer, tracepoints of workqueues. Differs: nothing else.
//! Locks: the pool's lock; the function runs without it.

use super::pool::{
    POOL_MANAGER_ACTIVE, WORKER_CPU_INTENSIVE, WORKER_NOT_RUNNING, WORKER_PREP, WORKER_REBOUND,
    Worker, WorkerPool, create_worker, worker_clr_flags, worker_enter_idle, worker_leave_idle,
    worker_set_flags,
};
use crate::arch::x86::include::asm::current::current;
use crate::fence::void::VoidPtr;
use crate::include::linux::list::{list_del_init, list_empty};
use crate::include::linux::preempt::{preempt_count, preempt_disable, preempt_enable};
use crate::include::linux::sched::{
    __set_current_state, PF_WQ_WORKER, TASK_IDLE, TaskRef, cond_resched,
};
use crate::include::linux::spinlock::{raw_spin_lock_irq, raw_spin_unlock_irq};
use crate::include::linux::workqueue::{WORK_STRUCT_PENDING, WorkLink, WorkStruct};
use crate::kernel::sched::core::schedule;
use crate::pr_err;
use core::sync::atomic::Ordering;

/// Longer than this without sleeping, ns, and a work counts as CPU-intensive.
const WQ_CPU_INTENSIVE_THRESH_NS: u64 = 10_000_000;

/// A worker's thread.
pub(super) extern "C" fn worker_thread(data: VoidPtr) -> i32 {
    let worker = data.get::<Worker>();
    let pool = worker.pool;
    let task = current();
    task.worker.set(Some(worker));
    task.flags.or(PF_WQ_WORKER);
    loop {
        raw_spin_lock_irq(&pool.lock);
        worker_leave_idle(worker);
        // While there is work and nobody runs: first see that somebody could take over from us.
        while pool.need_more_worker() {
            if !pool.may_start_working() && manage_workers(pool) {
                continue;
            }
            worker_clr_flags(worker, WORKER_PREP | WORKER_REBOUND);
            loop {
                if let Some(work) = WorkLink::first(&pool.worklist) {
                    process_one_work(worker, work);
                }
                if !pool.keep_working() {
                    break;
                }
            }
            worker_set_flags(worker, WORKER_PREP);
            break;
        }
        worker_enter_idle(worker);
        // Under the lock: whoever queues a work after this finds us asleep, or wakes us.
        __set_current_state(TASK_IDLE);
        raw_spin_unlock_irq(&pool.lock);
        schedule();
    }
}

/// Makes a worker, unless another worker does so. True if the lock was dropped. The lock is held.
fn manage_workers(pool: &'static WorkerPool) -> bool {
    if pool.flags.get() & POOL_MANAGER_ACTIVE != 0 {
        return false;
    }
    pool.flags.or(POOL_MANAGER_ACTIVE);
    while pool.need_more_worker() && !pool.may_start_working() {
        raw_spin_unlock_irq(&pool.lock);
        let made = create_worker(pool);
        raw_spin_lock_irq(&pool.lock);
        if made.is_none() {
            break;
        }
    }
    pool.flags.and_not(POOL_MANAGER_ACTIVE);
    true
}

/// Runs one work. The lock is held, dropped around the function, and held again.
#[inline(never)]
fn process_one_work(worker: &'static Worker, work: &'static WorkStruct) {
    let pool = worker.pool;
    worker.current_work.set(Some(work));
    worker.current_at.set(current().se.sum_exec_runtime.get());
    list_del_init(&work.entry);
    // Workers that do not count as running pass the baton on.
    pool.kick_pool();
    // From here on it may be queued again.
    work.data.fetch_and(!WORK_STRUCT_PENDING, Ordering::SeqCst);
    raw_spin_unlock_irq(&pool.lock);

    let func = work.func.get();
    func(work);
    if preempt_count() != 0 {
        pr_err!(
            "BUG: workqueue leaked lock or atomic: {}/{:#010x}/{}",
            current().comm_str(),
            preempt_count(),
            current().pid.get()
        );
        crate::kernel::panic::dump_stack();
    }
    cond_resched();

    raw_spin_lock_irq(&pool.lock);
    worker_clr_flags(worker, WORKER_CPU_INTENSIVE);
    worker.current_work.set(None);
}

/// The worker is about to sleep inside a work: another one of its pool may run.
pub fn wq_worker_sleeping(task: TaskRef) {
    let Some(worker) = task.worker.get() else {
        return;
    };
    if worker.flags.get() & WORKER_NOT_RUNNING != 0 || worker.sleeping.get() != 0 {
        return;
    }
    let pool = worker.pool;
    worker.sleeping.set(1);
    raw_spin_lock_irq(&pool.lock);
    // An idle-again worker was rebound or so in the meantime: then it does not count anyway.
    if worker.flags.get() & WORKER_NOT_RUNNING == 0 {
        pool.nr_running.dec();
        pool.kick_pool();
    } else {
        worker.sleeping.set(0);
    }
    raw_spin_unlock_irq(&pool.lock);
}

/// The worker runs again.
pub fn wq_worker_running(task: TaskRef) {
    let Some(worker) = task.worker.get() else {
        return;
    };
    if worker.sleeping.get() == 0 {
        return;
    }
    // Preemption off: nr_running of a CPU's pool is changed on that CPU only.
    preempt_disable();
    if worker.flags.get() & WORKER_NOT_RUNNING == 0 {
        worker.pool.nr_running.inc();
    }
    preempt_enable();
    worker.sleeping.set(0);
    worker.current_at.set(task.se.sum_exec_runtime.get());
}

/// A tick found the worker running: one that has run for long does not hold others up.
pub fn wq_worker_tick(task: TaskRef) {
    let Some(worker) = task.worker.get() else {
        return;
    };
    if worker.current_work.get().is_none()
        || worker.flags.get() & WORKER_NOT_RUNNING != 0
        || worker.sleeping.get() != 0
    {
        return;
    }
    let ran = task
        .se
        .sum_exec_runtime
        .get()
        .wrapping_sub(worker.current_at.get());
    if ran < WQ_CPU_INTENSIVE_THRESH_NS {
        return;
    }
    let pool = worker.pool;
    let _guard = pool.lock.lock_irqsave();
    worker_set_flags(worker, WORKER_CPU_INTENSIVE);
    if !list_empty(&pool.worklist) {
        pool.kick_pool();
    }
}
