//! The workers' loop, the rescuers', and the scheduler's hooks that keep one worker of a pool running.
//!
//! Linux: `kernel/workqueue.c` (v6.8): `worker_thread`, `rescuer_thread`, `process_one_work`, `wq_worker_*`.
//! Kept: the manager (a worker that finds no idle one makes one before it works), works that must not run
//! beside themselves, linked works, PENDING cleared before the function, a sleeping worker waking the next,
//! works that use the CPU for long. Left out: the report of such works, statistics, lockdep.
//! Locks: the pool's lock; the function runs without it.

use super::pool::{
    MAYDAY_INITIAL_TIMEOUT, POOL_MANAGER_ACTIVE, WORKER_CPU_INTENSIVE, WORKER_DIE,
    WORKER_NOT_RUNNING, WORKER_PREP, WORKER_REBOUND, Worker, WorkerPool, create_worker,
    free_worker, wake_manager_waiters, worker_attach_to_pool, worker_clr_flags,
    worker_detach_from_pool, worker_enter_idle, worker_leave_idle, worker_set_flags,
    wq_mayday_lock,
};
use super::{
    MaydayLink, get_work_pwq, put_pwq, pwq_dec_nr_in_flight, set_work_pool_and_clear_pending,
    wq_cpu_intensive_thresh_ns,
};
use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::jiffies::{HZ, jiffies};
use crate::include::linux::list::{
    ListHead, list_add, list_add_tail, list_del_init, list_empty, list_move_tail,
};
use crate::include::linux::preempt::{preempt_count, preempt_disable, preempt_enable};
use crate::include::linux::sched::{
    __set_current_state, CommBuf, PF_WQ_WORKER, TASK_IDLE, TASK_INTERRUPTIBLE, TASK_RUNNING,
    TaskRef, cond_resched, set_current_state,
};
use crate::include::linux::smp::raw_smp_processor_id;
use crate::include::linux::spinlock::{
    raw_spin_lock, raw_spin_lock_irq, raw_spin_unlock, raw_spin_unlock_irq,
};
use crate::include::linux::timer::{del_timer_sync, mod_timer};
use crate::include::linux::workqueue::{
    WORK_STRUCT_LINKED, WQ_CPU_INTENSIVE, WorkLink, WorkStruct,
};
use crate::include::trace::events::workqueue::{
    trace_workqueue_execute_end, trace_workqueue_execute_start,
};
use crate::kernel::kthread::kthread_should_stop;
use crate::kernel::sched::core::{schedule, set_user_nice};
use crate::kernel::time::timer::sleep::schedule_timeout;
use crate::kernel::workqueue::pool::POOL_DISASSOCIATED;
use crate::{WARN_ON, WARN_ON_ONCE, pr_err};
use core::sync::atomic::Ordering;

/// Nice value of rescuers.
const RESCUER_NICE_LEVEL: i32 = -20;
/// How long a pool that could not make a worker waits.
const CREATE_COOLDOWN: u64 = HZ;

/// The worker that runs this work, if one of the pool does: the same work with the same function, for the
/// memory may have become another work. The lock is held.
pub(super) fn find_worker_executing_work(
    pool: &'static WorkerPool,
    work: &'static WorkStruct,
) -> Option<&'static Worker> {
    super::pool::IdleLink::iter(pool.busy_bucket(work)).find(|worker| {
        worker
            .current_work
            .get()
            .is_some_and(|current| core::ptr::eq(current, work))
            && worker
                .current_func
                .get()
                .is_some_and(|func| core::ptr::fn_addr_eq(func, work.func.get()))
    })
}

/// Moves a work and those linked to it to the tail of `head`; what followed them in their list, as long as
/// that is not its end `old`. The lock is held.
pub(super) fn move_linked_works(
    work: &'static WorkStruct,
    old: &'static ListHead,
    head: &'static ListHead,
) -> Option<&'static WorkStruct> {
    let mut work = work;
    loop {
        let next = next_work(work, old);
        list_move_tail(&work.entry, head);
        let linked = work.data.load(Ordering::Relaxed) & WORK_STRUCT_LINKED != 0;
        match next {
            Some(next) if linked => work = next,
            next => return next,
        }
    }
}

/// The work after this one in the list `head`.
fn next_work(work: &'static WorkStruct, head: &'static ListHead) -> Option<&'static WorkStruct> {
    let next = work.entry.next.get()?;
    (!core::ptr::eq(next, head)).then(|| WorkLink::entry(next))
}

/// Gives a waiting work to a worker: to the one that runs it already, or else to this one. True if to this
/// one; and the next work of the list. The lock is held.
fn assign_work(
    work: &'static WorkStruct,
    worker: &'static Worker,
) -> (bool, Option<&'static WorkStruct>) {
    let pool = worker.pool();
    // Not beside itself: whoever runs it runs it again.
    let collision = find_worker_executing_work(pool, work);
    let to = collision.unwrap_or(worker);
    let next = move_linked_works(work, &pool.worklist, &to.scheduled);
    (collision.is_none(), next)
}

fn set_pf_worker(worker: Option<&'static Worker>) {
    let task = current();
    task.worker.set(worker);
    if worker.is_some() {
        task.flags.or(PF_WQ_WORKER);
    } else {
        task.flags.and_not(PF_WQ_WORKER);
    }
}

/// A worker's thread.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn worker_thread(data: VoidPtr) -> i32 {
    let worker = data.get::<Worker>();
    let pool = worker.pool();
    set_pf_worker(Some(worker));
    loop {
        raw_spin_lock_irq(&pool.lock);
        if worker.flags.get() & WORKER_DIE != 0 {
            raw_spin_unlock_irq(&pool.lock);
            return die(worker);
        }
        worker_leave_idle(worker);
        // While there is work and nobody runs: first see that somebody could take over from us.
        while pool.need_more_worker() {
            if !pool.may_start_working() && manage_workers(worker) {
                continue;
            }
            WARN_ON_ONCE!(!list_empty(&worker.scheduled));
            worker_clr_flags(worker, WORKER_PREP | WORKER_REBOUND);
            while let Some(work) = WorkLink::first(&pool.worklist) {
                if assign_work(work, worker).0 {
                    process_scheduled_works(worker);
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

/// The worker's end.
fn die(worker: &'static Worker) -> i32 {
    let pool = worker.pool();
    set_pf_worker(None);
    current().set_comm(&CommBuf::format(format_args!("kworker/dying")));
    {
        let _guard = pool.lock.lock_irqsave();
        pool.worker_ida.free(worker.id.get() as u32);
    }
    worker_detach_from_pool(worker);
    WARN_ON!(!list_empty(&worker.entry));
    free_worker(worker);
    0
}

/// Makes a worker, unless another worker does so. True if the lock was dropped. The lock is held.
fn manage_workers(worker: &'static Worker) -> bool {
    let pool = worker.pool();
    if pool.flags.get() & POOL_MANAGER_ACTIVE != 0 {
        return false;
    }
    pool.flags.or(POOL_MANAGER_ACTIVE);
    pool.manager.set(Some(worker));
    maybe_create_worker(pool);
    pool.manager.set(None);
    pool.flags.and_not(POOL_MANAGER_ACTIVE);
    wake_manager_waiters();
    true
}

/// Makes a worker if one is needed, however long it takes; meanwhile the rescuers help out. The lock is held,
/// dropped and held again.
#[inline(never)]
fn maybe_create_worker(pool: &'static WorkerPool) {
    while pool.need_to_create_worker() {
        raw_spin_unlock_irq(&pool.lock);
        mod_timer(&pool.mayday_timer, jiffies() + MAYDAY_INITIAL_TIMEOUT);
        while create_worker(pool).is_none() && pool.need_to_create_worker() {
            set_current_state(TASK_INTERRUPTIBLE);
            schedule_timeout(CREATE_COOLDOWN);
            if !pool.need_to_create_worker() {
                break;
            }
        }
        del_timer_sync(&pool.mayday_timer);
        raw_spin_lock_irq(&pool.lock);
        // Somebody may have taken the new worker already: then once more.
    }
}

/// Runs the works that were given to the worker, and those that come while it does. The lock is held.
fn process_scheduled_works(worker: &'static Worker) {
    let mut first = true;
    while let Some(work) = WorkLink::first(&worker.scheduled) {
        if first {
            worker.pool().watchdog_ts.set(jiffies());
            first = false;
        }
        process_one_work(worker, work);
    }
}

/// Runs one work. The lock is held, dropped around the function, and held again.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn process_one_work(worker: &'static Worker, work: &'static WorkStruct) {
    let pool = worker.pool();
    let Some(pwq) = get_work_pwq(work) else {
        WARN_ON!(true);
        list_del_init(&work.entry);
        return;
    };
    let wq = pwq.wq();
    let func = work.func.get();
    let work_data = work.data.load(Ordering::Relaxed);
    WARN_ON_ONCE!(
        pool.flags.get() & POOL_DISASSOCIATED == 0
            && raw_smp_processor_id() as i32 != pool.cpu.get()
    );
    list_add(&worker.entry, pool.busy_bucket(work));
    worker.current_work.set(Some(work));
    worker.current_func.set(Some(func));
    worker.current_pwq.set(Some(pwq));
    worker.current_at.set(current().se.sum_exec_runtime.get());
    worker.current_color.set(super::get_work_color(work_data));
    worker.set_desc(
        wq.name
            .iter()
            .map(Shared::get)
            .take_while(|&byte| byte != 0),
    );
    list_del_init(&work.entry);
    // Such a work counts for nobody: others run beside it.
    if wq.flags.get() & WQ_CPU_INTENSIVE != 0 {
        worker_set_flags(worker, WORKER_CPU_INTENSIVE);
    }
    // Workers that do not count as running pass the baton on.
    pool.kick_pool();
    // From here on it may be queued again: what was written before is seen by whoever does.
    set_work_pool_and_clear_pending(work, pool.id.get());
    raw_spin_unlock_irq(&pool.lock);

    trace_workqueue_execute_start(work);
    func(work);
    // The work may be gone by now: only its address is used.
    trace_workqueue_execute_end(work, func);
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
    worker.last_func.set(Some(func));
    list_del_init(&worker.entry);
    worker.current_work.set(None);
    worker.current_func.set(None);
    worker.current_pwq.set(None);
    worker.current_color.set(u32::MAX);
    pwq_dec_nr_in_flight(pwq, work_data);
}

/// A rescuer's thread: runs the works of its queue in pools that cannot make workers.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rescuer_thread(data: VoidPtr) -> i32 {
    let rescuer = data.get::<Worker>();
    let Some(wq) = rescuer.rescue_wq.get() else {
        return 0;
    };
    set_user_nice(current(), RESCUER_NICE_LEVEL);
    set_pf_worker(Some(rescuer));
    loop {
        set_current_state(TASK_IDLE);
        // Before the list: a queue that ends has been drained, but its last works may be in it.
        let should_stop = kthread_should_stop();
        raw_spin_lock_irq(&wq_mayday_lock);
        while let Some(pwq) = MaydayLink::first(&wq.maydays) {
            __set_current_state(TASK_RUNNING);
            list_del_init(&pwq.mayday_node);
            raw_spin_unlock_irq(&wq_mayday_lock);
            rescue(rescuer, pwq);
            raw_spin_lock_irq(&wq_mayday_lock);
        }
        raw_spin_unlock_irq(&wq_mayday_lock);
        if should_stop {
            __set_current_state(TASK_RUNNING);
            set_pf_worker(None);
            return 0;
        }
        WARN_ON_ONCE!(rescuer.flags.get() & WORKER_NOT_RUNNING == 0);
        schedule();
    }
}

/// Runs all works that wait on one share of the queue, as a guest of its pool.
fn rescue(rescuer: &'static Worker, pwq: &'static super::PoolWorkqueue) {
    let (pool, wq) = (pwq.pool(), pwq.wq());
    worker_attach_to_pool(rescuer, pool);
    raw_spin_lock_irq(&pool.lock);
    WARN_ON_ONCE!(!list_empty(&rescuer.scheduled));
    let mut at = WorkLink::first(&pool.worklist);
    while let Some(work) = at {
        let ours = get_work_pwq(work).is_some_and(|its| core::ptr::eq(its, pwq));
        at = if ours {
            assign_work(work, rescuer).1
        } else {
            next_work(work, &pool.worklist)
        };
    }
    if !list_empty(&rescuer.scheduled) {
        process_scheduled_works(rescuer);
        // They may have brought new ones, and the pool may still be without a worker.
        if pwq.nr_active.get() != 0 && pool.need_to_create_worker() {
            raw_spin_lock(&wq_mayday_lock);
            if wq.rescuer.get().is_some() && list_empty(&pwq.mayday_node) {
                pwq.get();
                list_add_tail(&pwq.mayday_node, &wq.maydays);
            }
            raw_spin_unlock(&wq_mayday_lock);
        }
    }
    put_pwq(pwq);
    // The pool's own workers go on.
    pool.kick_pool();
    raw_spin_unlock_irq(&pool.lock);
    worker_detach_from_pool(rescuer);
}

/// The worker is about to sleep inside a work: another one of its pool may run.
pub fn wq_worker_sleeping(task: TaskRef) {
    let Some(worker) = task.worker.get() else {
        return;
    };
    if worker.flags.get() & WORKER_NOT_RUNNING != 0 || worker.sleeping.get() != 0 {
        return;
    }
    let pool = worker.pool();
    worker.sleeping.set(1);
    raw_spin_lock_irq(&pool.lock);
    // Its CPU may have gone in the meantime: then it does not count anyway.
    if worker.flags.get() & WORKER_NOT_RUNNING == 0 {
        pool.nr_running.dec();
        pool.kick_pool();
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
    // Preemption off: nr_running of a CPU's pool is changed on that CPU only, and unbinding resets it.
    preempt_disable();
    if worker.flags.get() & WORKER_NOT_RUNNING == 0 {
        worker.pool().nr_running.inc();
    }
    preempt_enable();
    // Its time begins anew.
    worker.current_at.set(task.se.sum_exec_runtime.get());
    worker.sleeping.set(0);
}

/// A tick found the worker running: one that has run for long does not hold others up.
pub fn wq_worker_tick(task: TaskRef) {
    let Some(worker) = task.worker.get() else {
        return;
    };
    // 0 switches it off.
    if worker.current_pwq.get().is_none()
        || wq_cpu_intensive_thresh_ns() == 0
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
    if ran < wq_cpu_intensive_thresh_ns() {
        return;
    }
    let pool = worker.pool();
    let _guard = pool.lock.lock_irqsave();
    worker_set_flags(worker, WORKER_CPU_INTENSIVE);
    pool.kick_pool();
}
