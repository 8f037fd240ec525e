//! Pools of workers, and how workers are made.
//!
//! Linux: `kernel/workqueue.c` (v6.8): `worker_pool`, `create_worker`, `rebind_workers`, `kick_pool`.
//! Kept: names, nice, binding and flags of workers, the idle list as a stack. Left out: the ida (workers
//! do not end, so the lowest free number is the next one), busy hash, mayday. Differs: nothing else.
//! Locks: the pool's lock.

extern crate alloc;

use super::worker::worker_thread;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, NR_CPUS, cpu_possible_mask};
use crate::include::linux::jiffies::jiffies;
use crate::include::linux::list::{
    INIT_LIST_HEAD, ListHead, list_add, list_add_tail, list_del_init, list_empty,
};
use crate::include::linux::sched::TaskRef;
use crate::include::linux::spinlock::RawSpinlock;
use crate::include::linux::workqueue::WorkStruct;
use crate::kernel::kthread::{kthread_bind_mask, kthread_create, kthread_set_per_cpu};
use crate::kernel::sched::core::{set_cpus_allowed_ptr, set_user_nice, wake_up_process};
use crate::{WARN_ON, intrusive_adapter, pr_err};
use alloc::boxed::Box;

/// Pools of a CPU: ordinary and urgent.
pub const NR_STD_WORKER_POOLS: usize = 2;
/// A worker is making another worker.
pub const POOL_MANAGER_ACTIVE: u32 = 1 << 0;
/// The pool is not tied to its CPU.
pub const POOL_DISASSOCIATED: u32 = 1 << 2;

/// It waits for work.
pub const WORKER_IDLE: u32 = 1 << 2;
/// It prepares to run works.
pub const WORKER_PREP: u32 = 1 << 3;
/// Its work has run for long: others may run beside it.
pub const WORKER_CPU_INTENSIVE: u32 = 1 << 6;
/// Its pool does not count running workers.
pub const WORKER_UNBOUND: u32 = 1 << 7;
/// Its CPU has come up; it counts from its next work on.
pub const WORKER_REBOUND: u32 = 1 << 8;
/// It does not count as running.
pub const WORKER_NOT_RUNNING: u32 =
    WORKER_PREP | WORKER_CPU_INTENSIVE | WORKER_UNBOUND | WORKER_REBOUND;

/// A pool of workers. Fields: under `lock`, unless said otherwise.
#[doc(alias = "worker_pool")]
#[repr(C)]
pub struct WorkerPool {
    /// The lock.
    pub lock: RawSpinlock,
    /// Its CPU, -1 if unbound.
    pub cpu: Shared<i32>,
    /// Its number.
    pub id: Shared<i32>,
    /// `POOL_*`.
    pub flags: Shared<u32>,
    /// Works that wait.
    pub worklist: ListHead,
    /// Workers that run works and do not sleep; changed by the scheduler's hooks.
    pub nr_running: Shared<i32>,
    /// Workers.
    pub nr_workers: Shared<i32>,
    /// Idle ones.
    pub nr_idle: Shared<i32>,
    /// Idle ones, last come first served.
    pub idle_list: ListHead,
    /// All of them.
    pub workers: ListHead,
    /// Their nice value.
    pub nice: Shared<i32>,
    next_id: Shared<i32>,
}

/// A worker. Fields: under its pool's lock, `sleeping` by itself.
#[doc(alias = "worker")]
#[repr(C)]
pub struct Worker {
    /// Place in the idle list.
    pub entry: ListHead,
    /// Place among the pool's workers.
    pub node: ListHead,
    /// The work it runs.
    pub current_work: Shared<Option<&'static WorkStruct>>,
    /// Its run time when that began.
    pub current_at: Shared<u64>,
    /// It sleeps inside a work.
    pub sleeping: Shared<u32>,
    /// Its thread.
    pub task: Shared<Option<TaskRef>>,
    /// Its pool.
    pub pool: &'static WorkerPool,
    /// When it last became idle.
    pub last_active: Shared<u64>,
    /// `WORKER_*`.
    pub flags: Shared<u32>,
    /// Its number in the pool.
    pub id: i32,
}

intrusive_adapter!(
    /// Workers by their place in the idle list.
    pub IdleLink = Worker { entry: ListHead });
intrusive_adapter!(
    /// Workers by their place in the pool.
    pub WorkerNodeLink = Worker { node: ListHead });

impl WorkerPool {
    const fn new() -> WorkerPool {
        WorkerPool {
            lock: RawSpinlock::new(),
            cpu: Shared::new(-1),
            id: Shared::new(-1),
            flags: Shared::new(0),
            worklist: ListHead::new(),
            nr_running: Shared::new(0),
            nr_workers: Shared::new(0),
            nr_idle: Shared::new(0),
            idle_list: ListHead::new(),
            workers: ListHead::new(),
            nice: Shared::new(0),
            next_id: Shared::new(0),
        }
    }

    /// Sets the pool up, not tied to its CPU yet.
    pub(super) fn init(&'static self, cpu: i32, id: i32, nice: i32) {
        self.cpu.set(cpu);
        self.id.set(id);
        self.nice.set(nice);
        self.flags.set(POOL_DISASSOCIATED);
        for list in [&self.worklist, &self.idle_list, &self.workers] {
            INIT_LIST_HEAD(list);
        }
    }

    /// Ties the pool to its CPU.
    pub(super) fn associate(&self) {
        self.flags.and_not(POOL_DISASSOCIATED);
    }

    /// The CPUs its workers may use.
    fn cpumask(&self) -> Cpumask {
        match self.cpu.get() {
            cpu if cpu >= 0 => Cpumask::of(cpu as u32),
            _ => cpu_possible_mask(),
        }
    }

    /// Works wait and nobody runs.
    pub(super) fn need_more_worker(&self) -> bool {
        !list_empty(&self.worklist) && self.nr_running.get() == 0
    }

    /// There is a worker to wake.
    pub(super) fn may_start_working(&self) -> bool {
        self.nr_idle.get() != 0
    }

    /// Works wait and nobody else runs.
    pub(super) fn keep_working(&self) -> bool {
        !list_empty(&self.worklist) && self.nr_running.get() <= 1
    }

    /// Wakes a worker if one is needed. The lock is held.
    pub(super) fn kick_pool(&'static self) -> bool {
        if !self.need_more_worker() {
            return false;
        }
        let Some(task) = IdleLink::first(&self.idle_list).and_then(|worker| worker.task.get())
        else {
            return false;
        };
        // It leaves the idle list when it runs, not now.
        wake_up_process(task);
        true
    }
}

/// The pools of each CPU.
pub static cpu_worker_pools: PerCpu<[WorkerPool; NR_STD_WORKER_POOLS]> =
    PerCpu::new([const { [const { WorkerPool::new() }; NR_STD_WORKER_POOLS] }; NR_CPUS]);
/// The pool of works for any CPU.
pub static unbound_pool: WorkerPool = WorkerPool::new();

/// The worker becomes idle. The lock is held.
pub(super) fn worker_enter_idle(worker: &'static Worker) {
    worker.flags.or(WORKER_IDLE);
    worker.pool.nr_idle.inc();
    worker.last_active.set(jiffies());
    list_add(&worker.entry, &worker.pool.idle_list);
}

/// The worker is idle no more. The lock is held.
pub(super) fn worker_leave_idle(worker: &'static Worker) {
    if WARN_ON!(worker.flags.get() & WORKER_IDLE == 0) {
        return;
    }
    worker_clr_flags(worker, WORKER_IDLE);
    worker.pool.nr_idle.dec();
    list_del_init(&worker.entry);
}

/// Sets flags; a worker that counted as running counts no more. The lock is held.
pub(super) fn worker_set_flags(worker: &Worker, flags: u32) {
    if flags & WORKER_NOT_RUNNING != 0 && worker.flags.get() & WORKER_NOT_RUNNING == 0 {
        worker.pool.nr_running.dec();
    }
    worker.flags.or(flags);
}

/// Clears flags; a worker may count as running now. The lock is held.
pub(super) fn worker_clr_flags(worker: &Worker, flags: u32) {
    let old = worker.flags.get();
    worker.flags.and_not(flags);
    if flags & WORKER_NOT_RUNNING != 0
        && old & WORKER_NOT_RUNNING != 0
        && worker.flags.get() & WORKER_NOT_RUNNING == 0
    {
        worker.pool.nr_running.inc();
    }
}

/// Makes a worker: created, named, niced, bound, idle, and woken once so that it can look for work.
///
/// # Context
/// May sleep.
#[inline(never)]
pub fn create_worker(pool: &'static WorkerPool) -> Option<&'static Worker> {
    let id = {
        let _guard = pool.lock.lock_irqsave();
        let id = pool.next_id.get();
        pool.next_id.inc();
        id
    };
    let worker: &'static Worker = Box::leak(Box::new(Worker {
        entry: ListHead::new(),
        node: ListHead::new(),
        current_work: Shared::new(None),
        current_at: Shared::new(0),
        sleeping: Shared::new(0),
        task: Shared::new(None),
        pool,
        last_active: Shared::new(0),
        flags: Shared::new(WORKER_PREP),
        id,
    }));
    let data = VoidPtr::new(worker);
    let created = match pool.cpu.get() {
        -1 => kthread_create(
            worker_thread,
            data,
            format_args!("kworker/u{}:{}", pool.id.get(), id),
        ),
        cpu => kthread_create(
            worker_thread,
            data,
            format_args!(
                "kworker/{}:{}{}",
                cpu,
                id,
                if pool.nice.get() < 0 { "H" } else { "" }
            ),
        ),
    };
    let task = match created {
        Ok(task) => task,
        Err(error) => {
            pr_err!("workqueue: Failed to create a worker thread: error {error}");
            return None;
        }
    };
    worker.task.set(Some(task));
    set_user_nice(task, pool.nice.get());
    kthread_bind_mask(task, &pool.cpumask());
    if pool.flags.get() & POOL_DISASSOCIATED != 0 {
        worker.flags.or(WORKER_UNBOUND);
    } else {
        kthread_set_per_cpu(task, Some(pool.cpu.get() as u32));
    }
    let _guard = pool.lock.lock_irqsave();
    list_add_tail(&worker.node, &pool.workers);
    pool.nr_workers.inc();
    worker_enter_idle(worker);
    pool.kick_pool();
    wake_up_process(task);
    Some(worker)
}

/// The pool's CPU has come up: its workers run there from now on, and count.
pub(super) fn rebind_workers(pool: &'static WorkerPool) {
    for worker in WorkerNodeLink::iter(&pool.workers) {
        let Some(task) = worker.task.get() else {
            continue;
        };
        kthread_set_per_cpu(task, Some(pool.cpu.get() as u32));
        WARN_ON!(set_cpus_allowed_ptr(task, &pool.cpumask()) < 0);
    }
    let _guard = pool.lock.lock_irqsave();
    pool.flags.and_not(POOL_DISASSOCIATED);
    for worker in WorkerNodeLink::iter(&pool.workers) {
        // Counts again when it next begins to work: it clears REBOUND there.
        worker
            .flags
            .set(worker.flags.get() & !WORKER_UNBOUND | WORKER_REBOUND);
    }
}

/// The pool's CPU goes down: its workers may run anywhere, and do not count. Runs on that CPU.
pub(super) fn unbind_workers(pool: &'static WorkerPool) {
    {
        let _guard = pool.lock.lock_irqsave();
        for worker in WorkerNodeLink::iter(&pool.workers) {
            worker.flags.or(WORKER_UNBOUND);
        }
        pool.flags.or(POOL_DISASSOCIATED);
        // The scheduler's hooks count no more: from here on a pool with works always needs a worker.
        pool.nr_running.set(0);
        // A busy worker that sleeps wakes nobody now: pass the baton once.
        pool.kick_pool();
    }
    for worker in WorkerNodeLink::iter(&pool.workers) {
        if let Some(task) = worker.task.get() {
            kthread_set_per_cpu(task, None);
            WARN_ON!(set_cpus_allowed_ptr(task, &cpu_possible_mask()) < 0);
        }
    }
}
