//! Pools of workers: how workers are made, kept, culled, and what happens to them when CPUs come and go.
//!
//! Linux: `kernel/workqueue.c` (v6.8): `worker_pool`, `create_worker`, `kick_pool`, the idle and mayday
//! timers, `get_unbound_pool`, `rebind_workers`, `unbind_workers`.
//! Kept: names, nice, binding and flags of workers, the idle list as a stack, culling after 300 s, pools
//! shared by attributes. Left out: the stall watchdog's report (the time stamp is kept). Differs: pools and
//! workers are recycled instead of freed; the number of a pool's workers is limited to 1024.
//! Locks: `wq_pool_mutex`, then `wq_pool_attach_mutex`, then the pool's lock, then `wq_mayday_lock`.

extern crate alloc;

use super::attrs::{SharedAttrs, WorkqueueAttrs};
use super::worker::worker_thread;
use super::{system_unbound_wq, wq_pool_mutex};
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::fence::void::VoidPtr;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpumask::{
    Cpumask, GlobalCpumask, NR_CPUS, cpu_active_mask, cpu_online_mask, cpu_possible_mask,
    cpumask_any_and_distribute,
};
use crate::include::linux::jiffies::{HZ, jiffies, time_before};
use crate::include::linux::list::{
    INIT_LIST_HEAD, ListHead, list_add, list_add_tail, list_del, list_del_init, list_empty,
    list_move,
};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::sched::TaskRef;
use crate::include::linux::spinlock::{RawSpinlock, raw_spin_lock_irq, raw_spin_unlock_irq};
use crate::include::linux::timer::{
    TIMER_DEFERRABLE, TimerList, del_timer_sync, mod_timer, timer_setup,
};
use crate::include::linux::wait::WaitQueueHead;
use crate::include::linux::workqueue::{
    WORKER_DESC_LEN, WorkFunc, WorkLink, WorkStruct, WorkqueueStruct, cancel_work_sync, queue_work,
};
use crate::kernel::kthread::{kthread_bind_mask, kthread_create, kthread_set_per_cpu};
use crate::kernel::sched::completion::wait_for_completion;
use crate::kernel::sched::core::{set_cpus_allowed_ptr, set_user_nice, wake_up_process};
use crate::kernel::sched::wait::wait_event;
use crate::kernel::workqueue::work_pending;
use crate::lib::idr::Ida;
use crate::{WARN_ON, WARN_ON_ONCE, intrusive_adapter, pr_err, stack_pinned};
use alloc::boxed::Box;

/// Pools of a CPU: ordinary and urgent.
pub const NR_STD_WORKER_POOLS: usize = 2;
/// A worker is making another worker.
pub const POOL_MANAGER_ACTIVE: u32 = 1 << 0;
/// The pool is not tied to its CPU.
pub const POOL_DISASSOCIATED: u32 = 1 << 2;

/// It shall end.
pub const WORKER_DIE: u32 = 1 << 1;
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

/// One idle worker in so many busy ones is kept.
const MAX_IDLE_WORKERS_RATIO: i32 = 4;
/// How long a worker that is too many stays.
const IDLE_WORKER_TIMEOUT: u64 = 300 * HZ;
/// A worker is made for this long before the rescuers are called.
pub(super) const MAYDAY_INITIAL_TIMEOUT: u64 = if HZ / 100 >= 2 { HZ / 100 } else { 2 };
/// How often they are called then.
const MAYDAY_INTERVAL: u64 = HZ / 10;

const BUSY_WORKER_HASH_ORDER: u32 = 6;
/// Most pools: two a CPU, and the unbound ones.
const MAX_POOLS: usize = 4 * NR_CPUS;

/// A pool of workers. Fields: under `lock`, unless said otherwise.
#[doc(alias = "worker_pool")]
#[repr(C)]
pub struct WorkerPool {
    /// The lock.
    pub lock: RawSpinlock,
    /// Its CPU, -1 if unbound: fixed.
    pub cpu: Shared<i32>,
    /// Its number: fixed.
    pub id: Shared<i32>,
    /// `POOL_*`.
    pub flags: Shared<u32>,
    /// When it last made progress.
    pub watchdog_ts: Shared<u64>,
    /// Workers that run works and do not sleep; changed by the scheduler's hooks.
    pub nr_running: Shared<i32>,
    /// Works that wait.
    pub worklist: ListHead,
    /// Workers.
    pub nr_workers: Shared<i32>,
    /// Idle ones.
    pub nr_idle: Shared<i32>,
    /// Idle ones, last come first served.
    pub idle_list: ListHead,
    /// Runs while there are too many idle ones.
    pub idle_timer: TimerList,
    /// Lets them go.
    pub idle_cull_work: WorkStruct,
    /// Runs while a worker is being made.
    pub mayday_timer: TimerList,
    /// Busy workers by the address of their work.
    busy_hash: [ListHead; 1 << BUSY_WORKER_HASH_ORDER],
    /// The worker that makes workers.
    pub manager: Shared<Option<&'static Worker>>,
    /// All workers: under `wq_pool_attach_mutex`.
    pub workers: ListHead,
    /// Those that shall end: under `wq_pool_attach_mutex`.
    pub dying_workers: ListHead,
    /// Who waits for the last worker to leave.
    pub detach_completion: Shared<Option<&'static Completion>>,
    /// Numbers of workers.
    pub worker_ida: Ida<16>,
    /// What its workers are like: fixed.
    pub attrs: SharedAttrs,
    /// Place among the unbound pools, or the free ones: under `wq_pool_mutex`.
    pub hash_node: ListHead,
    /// Users of an unbound pool: under `wq_pool_mutex`.
    pub refcnt: Shared<i32>,
}

/// A worker. Fields: under its pool's lock, unless said otherwise.
#[doc(alias = "worker")]
#[repr(C)]
pub struct Worker {
    /// Place in the idle list or among the busy ones.
    pub entry: ListHead,
    /// The work it runs.
    pub current_work: Shared<Option<&'static WorkStruct>>,
    /// What that does.
    pub current_func: Shared<Option<WorkFunc>>,
    /// From which queue it is.
    pub current_pwq: Shared<Option<&'static super::PoolWorkqueue>>,
    /// Its run time when that began: (self).
    pub current_at: Shared<u64>,
    /// The colour of the work.
    pub current_color: Shared<u32>,
    /// It sleeps inside a work: (self).
    pub sleeping: Shared<u32>,
    /// What it ran last.
    pub last_func: Shared<Option<WorkFunc>>,
    /// Works that it shall run next.
    pub scheduled: ListHead,
    /// Its thread: fixed.
    pub task: Shared<Option<TaskRef>>,
    /// Its pool; a rescuer has one only while it helps: under `wq_pool_attach_mutex`.
    pub pool: Shared<Option<&'static WorkerPool>>,
    /// Place among the pool's workers: under `wq_pool_attach_mutex`.
    pub node: ListHead,
    /// When it last became idle.
    pub last_active: Shared<u64>,
    /// `WORKER_*`.
    pub flags: Shared<u32>,
    /// Its number in the pool.
    pub id: Shared<i32>,
    /// What it works at, for whoever looks at threads: (self).
    pub desc: [Shared<u8>; WORKER_DESC_LEN],
    /// The queue that a rescuer rescues: fixed.
    pub rescue_wq: Shared<Option<&'static WorkqueueStruct>>,
}

intrusive_adapter!(
    /// Workers by their place in the idle list or among the busy ones.
    pub IdleLink = Worker { entry: ListHead });
intrusive_adapter!(
    /// Workers by their place in the pool.
    pub WorkerNodeLink = Worker { node: ListHead });
intrusive_adapter!(
    PoolHashLink = WorkerPool {
        hash_node: ListHead
    }
);
intrusive_adapter!(
    PoolOfIdleTimer = WorkerPool {
        idle_timer: TimerList
    }
);
intrusive_adapter!(
    PoolOfMaydayTimer = WorkerPool {
        mayday_timer: TimerList
    }
);
intrusive_adapter!(
    PoolOfCullWork = WorkerPool {
        idle_cull_work: WorkStruct
    }
);

/// The pools of each CPU.
pub static cpu_worker_pools: PerCpu<[WorkerPool; NR_STD_WORKER_POOLS]> =
    PerCpu::new([const { [const { WorkerPool::new() }; NR_STD_WORKER_POOLS] }; NR_CPUS]);
/// CPUs that unbound works may use.
pub static wq_unbound_cpumask: GlobalCpumask = GlobalCpumask::new();
/// Protects which workers belong to which pool.
pub(super) static wq_pool_attach_mutex: Mutex = Mutex::new();
/// Protects the queues' lists of shares that call for rescue.
pub(super) static wq_mayday_lock: RawSpinlock = RawSpinlock::new();
/// Where a pool's end waits for its manager.
static wq_manager_wait: WaitQueueHead = WaitQueueHead::new();
/// Pools by number: under `wq_pool_mutex`.
static worker_pool_idr: [Shared<Option<&'static WorkerPool>>; MAX_POOLS] =
    [const { Shared::new(None) }; MAX_POOLS];
/// Unbound pools in use: under `wq_pool_mutex`.
static unbound_pool_hash: ListHead = ListHead::new();
/// Pools that are not in use any more: under `wq_pool_mutex`.
static free_pools: ListHead = ListHead::new();
/// Workers that ended: under `free_workers_lock`.
static free_workers: ListHead = ListHead::new();
static free_workers_lock: RawSpinlock = RawSpinlock::new();

impl Worker {
    const fn new() -> Worker {
        Worker {
            entry: ListHead::new(),
            current_work: Shared::new(None),
            current_func: Shared::new(None),
            current_pwq: Shared::new(None),
            current_at: Shared::new(0),
            current_color: Shared::new(u32::MAX),
            sleeping: Shared::new(0),
            last_func: Shared::new(None),
            scheduled: ListHead::new(),
            task: Shared::new(None),
            pool: Shared::new(None),
            node: ListHead::new(),
            last_active: Shared::new(0),
            flags: Shared::new(WORKER_PREP),
            id: Shared::new(-1),
            desc: [const { Shared::new(0) }; WORKER_DESC_LEN],
            rescue_wq: Shared::new(None),
        }
    }

    /// Its pool. Only a rescuer that does not help has none.
    pub(super) fn pool(&self) -> &'static WorkerPool {
        self.pool.get().expect("a worker without a pool")
    }

    /// Says what it works at.
    pub(super) fn set_desc(&self, text: impl Iterator<Item = u8>) {
        let mut text = text.take(WORKER_DESC_LEN - 1);
        for cell in &self.desc {
            cell.set(text.next().unwrap_or(0));
        }
    }
}

/// A worker without thread and pool.
pub(super) fn alloc_worker() -> &'static Worker {
    let used = {
        let _guard = free_workers_lock.lock_irqsave();
        let used = WorkerNodeLink::first(&free_workers);
        if let Some(worker) = used {
            list_del_init(&worker.node);
        }
        used
    };
    let worker: &'static Worker = used.unwrap_or_else(|| Box::leak(Box::new(Worker::new())));
    for list in [&worker.entry, &worker.scheduled, &worker.node] {
        INIT_LIST_HEAD(list);
    }
    worker.flags.set(WORKER_PREP);
    worker.current_color.set(u32::MAX);
    worker.sleeping.set(0);
    worker.last_func.set(None);
    worker.task.set(None);
    worker.rescue_wq.set(None);
    worker.set_desc(core::iter::empty());
    worker
}

/// The worker is no more.
pub(super) fn free_worker(worker: &'static Worker) {
    let _guard = free_workers_lock.lock_irqsave();
    list_add(&worker.node, &free_workers);
}

impl WorkerPool {
    const fn new() -> WorkerPool {
        WorkerPool {
            lock: RawSpinlock::new(),
            cpu: Shared::new(-1),
            id: Shared::new(-1),
            flags: Shared::new(0),
            watchdog_ts: Shared::new(0),
            nr_running: Shared::new(0),
            worklist: ListHead::new(),
            nr_workers: Shared::new(0),
            nr_idle: Shared::new(0),
            idle_list: ListHead::new(),
            idle_timer: TimerList::new(),
            idle_cull_work: WorkStruct::new(idle_cull_fn),
            mayday_timer: TimerList::new(),
            busy_hash: [const { ListHead::new() }; 1 << BUSY_WORKER_HASH_ORDER],
            manager: Shared::new(None),
            workers: ListHead::new(),
            dying_workers: ListHead::new(),
            detach_completion: Shared::new(None),
            worker_ida: Ida::new(),
            attrs: SharedAttrs::new(),
            hash_node: ListHead::new(),
            refcnt: Shared::new(0),
        }
    }

    /// Sets the pool up, without workers and not tied to a CPU (`init_worker_pool`).
    fn init(&'static self, attrs: WorkqueueAttrs) {
        self.cpu.set(-1);
        self.id.set(-1);
        self.flags.set(POOL_DISASSOCIATED);
        self.watchdog_ts.set(jiffies());
        self.nr_running.set(0);
        for list in [
            &self.worklist,
            &self.idle_list,
            &self.workers,
            &self.dying_workers,
            &self.hash_node,
        ] {
            INIT_LIST_HEAD(list);
        }
        // An idle CPU does not wake up to let workers go.
        timer_setup(&self.idle_timer, idle_worker_timeout, TIMER_DEFERRABLE);
        timer_setup(&self.mayday_timer, pool_mayday_timeout, 0);
        self.detach_completion.set(None);
        self.attrs.set(attrs.clear_for_pool());
        self.refcnt.set(1);
    }

    /// Sets up a CPU's pool.
    pub(super) fn init_cpu(&'static self, cpu: u32, nice: i32) {
        let mask = Cpumask::of(cpu);
        self.init(WorkqueueAttrs {
            nice,
            cpumask: mask,
            __pod_cpumask: mask,
            affn_strict: true,
            ..WorkqueueAttrs::new()
        });
        self.cpu.set(cpu as i32);
        wq_pool_mutex.lock();
        WARN_ON!(!worker_pool_assign_id(self));
        wq_pool_mutex.unlock();
    }

    /// The CPUs its workers may use (`pool_allowed_cpus`).
    pub(super) fn allowed_cpus(&self) -> Cpumask {
        if self.cpu.get() < 0 && self.attrs.affn_strict.get() {
            self.attrs.__pod_cpumask.get()
        } else {
            self.attrs.cpumask.get()
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

    /// Works wait, nobody runs and nobody could.
    pub(super) fn need_to_create_worker(&self) -> bool {
        self.need_more_worker() && !self.may_start_working()
    }

    /// More workers idle than are worth keeping.
    fn too_many_workers(&self) -> bool {
        // A manager is as good as idle.
        let managing = self.flags.get() & POOL_MANAGER_ACTIVE != 0;
        let nr_idle = self.nr_idle.get() + i32::from(managing);
        let nr_busy = self.nr_workers.get() - nr_idle;
        nr_idle > 2 && (nr_idle - 2) * MAX_IDLE_WORKERS_RATIO >= nr_busy
    }

    /// Wakes a worker if one is needed. The lock is held.
    pub(super) fn kick_pool(&'static self) -> bool {
        if !self.need_more_worker() {
            return false;
        }
        let Some(p) = IdleLink::first(&self.idle_list).and_then(|worker| worker.task.get()) else {
            return false;
        };
        // A worker that may run anywhere had better run near where the work comes from.
        let pod = self.attrs.__pod_cpumask.get();
        if !self.attrs.affn_strict.get() && !pod.test(p.wake_cpu.get() as u32) {
            p.wake_cpu.set(cpumask_any_and_distribute(pod, pod) as i32);
        }
        // It leaves the idle list when it runs, not now.
        wake_up_process(p);
        true
    }

    /// Workers whose work has this address, or would have.
    pub(super) fn busy_bucket(&'static self, work: &'static WorkStruct) -> &'static ListHead {
        let hash = (core::ptr::from_ref(work) as u64).wrapping_mul(0x61c8_8646_80b5_83eb);
        &self.busy_hash[(hash >> (64 - BUSY_WORKER_HASH_ORDER)) as usize]
    }
}

/// Gives a pool the lowest free number. `wq_pool_mutex` is held.
fn worker_pool_assign_id(pool: &'static WorkerPool) -> bool {
    let Some(id) = worker_pool_idr.iter().position(|slot| slot.get().is_none()) else {
        return false;
    };
    worker_pool_idr[id].set(Some(pool));
    pool.id.set(id as i32);
    true
}

/// The pool of a number.
pub(super) fn pool_by_id(id: u64) -> Option<&'static WorkerPool> {
    worker_pool_idr.get(id as usize)?.get()
}

/// All pools (`for_each_pool`). `wq_pool_mutex` is held.
pub(super) fn pools() -> impl Iterator<Item = &'static WorkerPool> {
    worker_pool_idr.iter().filter_map(Shared::get)
}

/// The worker becomes idle. The lock is held.
pub(super) fn worker_enter_idle(worker: &'static Worker) {
    let pool = worker.pool();
    if WARN_ON!(worker.flags.get() & WORKER_IDLE != 0) {
        return;
    }
    worker.flags.or(WORKER_IDLE);
    pool.nr_idle.inc();
    worker.last_active.set(jiffies());
    list_add(&worker.entry, &pool.idle_list);
    if pool.too_many_workers() && !crate::include::linux::timer::timer_pending(&pool.idle_timer) {
        mod_timer(&pool.idle_timer, jiffies() + IDLE_WORKER_TIMEOUT);
    }
    WARN_ON_ONCE!(pool.nr_workers.get() == pool.nr_idle.get() && pool.nr_running.get() != 0);
}

/// The worker is idle no more. The lock is held.
pub(super) fn worker_leave_idle(worker: &'static Worker) {
    if WARN_ON!(worker.flags.get() & WORKER_IDLE == 0) {
        return;
    }
    worker_clr_flags(worker, WORKER_IDLE);
    worker.pool().nr_idle.dec();
    list_del_init(&worker.entry);
}

/// Sets flags; a worker that counted as running counts no more. The lock is held.
pub(super) fn worker_set_flags(worker: &Worker, flags: u32) {
    if flags & WORKER_NOT_RUNNING != 0 && worker.flags.get() & WORKER_NOT_RUNNING == 0 {
        worker.pool().nr_running.dec();
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
        worker.pool().nr_running.inc();
    }
}

/// The worker belongs to the pool from now on.
pub(super) fn worker_attach_to_pool(worker: &'static Worker, pool: &'static WorkerPool) {
    let Some(task) = worker.task.get() else {
        return;
    };
    wq_pool_attach_mutex.lock();
    // Stable under the mutex: who binds and unbinds workers holds it.
    if pool.flags.get() & POOL_DISASSOCIATED != 0 {
        worker.flags.or(WORKER_UNBOUND);
    } else if pool.cpu.get() >= 0 {
        kthread_set_per_cpu(task, Some(pool.cpu.get() as u32));
    }
    if worker.rescue_wq.get().is_some() {
        set_cpus_allowed_ptr(task, &pool.allowed_cpus());
    }
    list_add_tail(&worker.node, &pool.workers);
    worker.pool.set(Some(pool));
    wq_pool_attach_mutex.unlock();
}

/// The worker does not belong to its pool any more, and must not touch it.
pub(super) fn worker_detach_from_pool(worker: &'static Worker) {
    let pool = worker.pool();
    let mut detach_completion = None;
    wq_pool_attach_mutex.lock();
    if let Some(task) = worker.task.get() {
        kthread_set_per_cpu(task, None);
    }
    list_del_init(&worker.node);
    worker.pool.set(None);
    if list_empty(&pool.workers) && list_empty(&pool.dying_workers) {
        detach_completion = pool.detach_completion.get();
    }
    wq_pool_attach_mutex.unlock();
    worker.flags.and_not(WORKER_UNBOUND | WORKER_REBOUND);
    if let Some(done) = detach_completion {
        crate::kernel::sched::completion::complete(done);
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
        pool.worker_ida.alloc()
    };
    let Some(id) = id else {
        pr_err!("workqueue: Failed to allocate a worker ID");
        return None;
    };
    let worker = alloc_worker();
    worker.id.set(id as i32);
    let data = VoidPtr::new(worker);
    let nice = pool.attrs.nice.get();
    let created = match pool.cpu.get() {
        cpu if cpu >= 0 => kthread_create(
            worker_thread,
            data,
            format_args!("kworker/{cpu}:{id}{}", if nice < 0 { "H" } else { "" }),
        ),
        _ => kthread_create(
            worker_thread,
            data,
            format_args!("kworker/u{}:{id}", pool.id.get()),
        ),
    };
    let task = match created {
        Ok(task) => task,
        Err(error) => {
            pr_err!("workqueue: Failed to create a worker thread: error {error}");
            let guard = pool.lock.lock_irqsave();
            pool.worker_ida.free(id);
            drop(guard);
            free_worker(worker);
            return None;
        }
    };
    worker.task.set(Some(task));
    set_user_nice(task, nice);
    kthread_bind_mask(task, &pool.allowed_cpus());
    worker_attach_to_pool(worker, pool);

    let _guard = pool.lock.lock_irqsave();
    pool.nr_workers.inc();
    worker_enter_idle(worker);
    pool.kick_pool();
    // It waits in kthread(), whether there is work or not.
    wake_up_process(task);
    Some(worker)
}

/// Workers that are about to be dismissed; on the stack of who dismisses them.
struct CullList(ListHead);

impl StackObject for CullList {
    fn quiescent(&self) -> bool {
        list_empty(&self.0)
    }
}

/// Takes an idle worker out of the pool. The lock and `wq_pool_attach_mutex` are held.
fn set_worker_dying(worker: &'static Worker, list: &'static ListHead) {
    let pool = worker.pool();
    if WARN_ON!(worker.current_work.get().is_some())
        || WARN_ON!(!list_empty(&worker.scheduled))
        || WARN_ON!(worker.flags.get() & WORKER_IDLE == 0)
    {
        return;
    }
    pool.nr_workers.dec();
    pool.nr_idle.dec();
    worker.flags.or(WORKER_DIE);
    list_move(&worker.entry, list);
    list_move(&worker.node, &pool.dying_workers);
}

/// Lets the workers of the list end. `wq_pool_attach_mutex` is held.
fn wake_dying_workers(cull_list: &'static ListHead) {
    for worker in IdleLink::iter(cull_list) {
        list_del_init(&worker.entry);
        unbind_worker(worker);
        // Its pool's lock was held when it was marked, so it cannot have slept past that.
        if let Some(task) = worker.task.get() {
            wake_up_process(task);
        }
    }
}

/// The pool has had too many idle workers for a while. Softirq.
fn idle_worker_timeout(timer: &'static TimerList) {
    let pool = PoolOfIdleTimer::entry(timer);
    if work_pending(&pool.idle_cull_work) {
        return;
    }
    let mut do_cull = false;
    {
        let _guard = pool.lock.lock_irqsave();
        if let (true, Some(worker)) = (pool.too_many_workers(), IdleLink::last(&pool.idle_list)) {
            let expires = worker.last_active.get() + IDLE_WORKER_TIMEOUT;
            do_cull = !time_before(jiffies(), expires);
            if !do_cull {
                mod_timer(&pool.idle_timer, expires);
            }
        }
    }
    // Workers are moved off their CPU first, which may sleep: not from here.
    if do_cull {
        queue_work(&system_unbound_wq, &pool.idle_cull_work);
    }
}

/// Dismisses the workers that have been idle for longest.
fn idle_cull_fn(work: &'static WorkStruct) {
    let pool = PoolOfCullWork::entry(work);
    stack_pinned!(let cull_list = CullList(ListHead::new()));
    INIT_LIST_HEAD(&cull_list.0);
    wq_pool_attach_mutex.lock();
    raw_spin_lock_irq(&pool.lock);
    while pool.too_many_workers() {
        let Some(worker) = IdleLink::last(&pool.idle_list) else {
            break;
        };
        let expires = worker.last_active.get() + IDLE_WORKER_TIMEOUT;
        if time_before(jiffies(), expires) {
            mod_timer(&pool.idle_timer, expires);
            break;
        }
        set_worker_dying(worker, &cull_list.0);
    }
    raw_spin_unlock_irq(&pool.lock);
    wake_dying_workers(&cull_list.0);
    wq_pool_attach_mutex.unlock();
}

/// Calls the rescuer of the work's queue, if it has one. The pool's lock and `wq_mayday_lock` are held.
fn send_mayday(work: &'static WorkStruct) {
    let Some(pwq) = super::get_work_pwq(work) else {
        return;
    };
    let wq = pwq.wq();
    let Some(task) = wq.rescuer.get().and_then(|rescuer| rescuer.task.get()) else {
        return;
    };
    if list_empty(&pwq.mayday_node) {
        // The rescuer gives this reference back.
        pwq.get();
        list_add_tail(&pwq.mayday_node, &wq.maydays);
        wake_up_process(task);
    }
}

/// Making a worker takes long: works of queues with a rescuer must not wait for it. Softirq.
fn pool_mayday_timeout(timer: &'static TimerList) {
    let pool = PoolOfMaydayTimer::entry(timer);
    {
        let _guard = pool.lock.lock_irqsave();
        let _mayday = wq_mayday_lock.lock();
        if pool.need_to_create_worker() {
            WorkLink::iter(&pool.worklist).for_each(send_mayday);
        }
    }
    mod_timer(&pool.mayday_timer, jiffies() + MAYDAY_INTERVAL);
}

/// A pool with these attributes: one that is there, or a new one with its first worker.
/// `wq_pool_mutex` is held.
pub(super) fn get_unbound_pool(attrs: &WorkqueueAttrs) -> Option<&'static WorkerPool> {
    let attrs = attrs.clear_for_pool();
    if let Some(pool) =
        PoolHashLink::iter(&unbound_pool_hash).find(|pool| pool.attrs.get() == attrs)
    {
        pool.refcnt.inc();
        return Some(pool);
    }
    let pool: &'static WorkerPool = match PoolHashLink::first(&free_pools) {
        Some(pool) => {
            list_del(&pool.hash_node);
            pool
        }
        None => Box::leak(Box::new(WorkerPool::new())),
    };
    pool.init(attrs);
    if !worker_pool_assign_id(pool) {
        list_add(&pool.hash_node, &free_pools);
        return None;
    }
    if super::wq_online() && create_worker(pool).is_none() {
        put_unbound_pool_id(pool);
        list_add(&pool.hash_node, &free_pools);
        return None;
    }
    list_add(&pool.hash_node, &unbound_pool_hash);
    Some(pool)
}

fn put_unbound_pool_id(pool: &'static WorkerPool) {
    worker_pool_idr[pool.id.get() as usize].set(None);
}

/// One user less; the last one ends the pool and its workers. `wq_pool_mutex` is held.
pub(super) fn put_unbound_pool(pool: &'static WorkerPool) {
    pool.refcnt.dec();
    if pool.refcnt.get() != 0 {
        return;
    }
    if WARN_ON!(pool.cpu.get() >= 0) || WARN_ON!(!list_empty(&pool.worklist)) {
        return;
    }
    put_unbound_pool_id(pool);
    list_del(&pool.hash_node);

    stack_pinned!(let cull_list = CullList(ListHead::new()));
    stack_pinned!(let detached = Completion::new());
    INIT_LIST_HEAD(&cull_list.0);
    // As its manager, for ever: no worker is made from here on.
    loop {
        wait_event(&wq_manager_wait, || {
            pool.flags.get() & POOL_MANAGER_ACTIVE == 0
        });
        wq_pool_attach_mutex.lock();
        raw_spin_lock_irq(&pool.lock);
        if pool.flags.get() & POOL_MANAGER_ACTIVE == 0 {
            pool.flags.or(POOL_MANAGER_ACTIVE);
            break;
        }
        raw_spin_unlock_irq(&pool.lock);
        wq_pool_attach_mutex.unlock();
    }
    while let Some(worker) = IdleLink::first(&pool.idle_list) {
        set_worker_dying(worker, &cull_list.0);
    }
    WARN_ON!(pool.nr_workers.get() != 0 || pool.nr_idle.get() != 0);
    raw_spin_unlock_irq(&pool.lock);
    wake_dying_workers(&cull_list.0);
    let wait = !list_empty(&pool.workers) || !list_empty(&pool.dying_workers);
    if wait {
        pool.detach_completion.set(Some(detached));
    }
    wq_pool_attach_mutex.unlock();
    if wait {
        wait_for_completion(detached);
    }
    del_timer_sync(&pool.idle_timer);
    cancel_work_sync(&pool.idle_cull_work);
    del_timer_sync(&pool.mayday_timer);
    list_add(&pool.hash_node, &free_pools);
}

/// A manager has done its job.
pub(super) fn wake_manager_waiters() {
    crate::kernel::sched::wait::wake_up_all(&wq_manager_wait);
}

/// The worker may run on any CPU from now on.
fn unbind_worker(worker: &'static Worker) {
    let Some(task) = worker.task.get() else {
        return;
    };
    kthread_set_per_cpu(task, None);
    let unbound = wq_unbound_cpumask.get();
    let mask = if unbound.intersects(cpu_active_mask()) {
        unbound
    } else {
        cpu_possible_mask()
    };
    WARN_ON!(set_cpus_allowed_ptr(task, &mask) < 0);
}

/// The CPU goes: its pools serve on from other CPUs, without counting who runs.
pub(super) fn unbind_workers(cpu: u32) {
    for pool in cpu_worker_pools.per_cpu(cpu) {
        wq_pool_attach_mutex.lock();
        raw_spin_lock_irq(&pool.lock);
        // Every worker that is attached, rescuers too. From here on none of them counts.
        for worker in WorkerNodeLink::iter(&pool.workers) {
            worker.flags.or(WORKER_UNBOUND);
        }
        pool.flags.or(POOL_DISASSOCIATED);
        // Sleeping workers must not count when they wake up either: they see their flag first.
        pool.nr_running.set(0);
        // The one that ran may have been relied upon.
        pool.kick_pool();
        raw_spin_unlock_irq(&pool.lock);
        WorkerNodeLink::iter(&pool.workers).for_each(unbind_worker);
        wq_pool_attach_mutex.unlock();
    }
}

/// The pool's CPU has come up: its workers run there from now on, and count.
/// `wq_pool_attach_mutex` is held.
pub(super) fn rebind_workers(pool: &'static WorkerPool) {
    for worker in WorkerNodeLink::iter(&pool.workers) {
        if let Some(task) = worker.task.get() {
            kthread_set_per_cpu(task, Some(pool.cpu.get() as u32));
            WARN_ON!(set_cpus_allowed_ptr(task, &pool.allowed_cpus()) < 0);
        }
    }
    let _guard = pool.lock.lock_irqsave();
    pool.flags.and_not(POOL_DISASSOCIATED);
    for worker in WorkerNodeLink::iter(&pool.workers) {
        WARN_ON_ONCE!(worker.flags.get() & WORKER_UNBOUND == 0);
        // Counts again when it next begins to work: it clears REBOUND there.
        worker
            .flags
            .set(worker.flags.get() & !WORKER_UNBOUND | WORKER_REBOUND);
    }
}

/// A CPU of an unbound pool has come up: its workers may use it again, whatever the scheduler did to their
/// masks when none of their CPUs was left. `wq_pool_attach_mutex` is held.
pub(super) fn restore_unbound_workers_cpumask(pool: &'static WorkerPool, cpu: u32) {
    let mask = pool.attrs.cpumask.get();
    if !mask.test(cpu) {
        return;
    }
    let online = mask.and(cpu_online_mask());
    for worker in WorkerNodeLink::iter(&pool.workers) {
        if let Some(task) = worker.task.get() {
            WARN_ON!(set_cpus_allowed_ptr(task, &online) < 0);
        }
    }
}
