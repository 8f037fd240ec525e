//! Workqueues: works are handed to pools, each pool keeps just enough workers running.
//!
//! Linux: `kernel/workqueue.c` (v6.8), here a file and a folder: `pool` (pools, workers' making and
//! end), `worker` (the worker's and rescuer's loops, concurrency), `attrs` (unbound queues'
//! wishes, pods), `queue` (queueing), `delayed`, `flush` and `cancel` (waiting for works, taking them back),
//! `alloc` (making and ending queues), `init` (start-up, CPUs); this file: queues, their shares of pools
//! (`pool_workqueue`), what a work's `data` says.
//! Kept: everything in these. Left out: freezing, sysfs, the stall watchdog, `queue_rcu_work`,
//! `queue_work_node`, statistics. Differs: queues, shares, pools and workers are recycled instead of freed;
//! Linux's `system_wq` is a pointer, here something that points.
//! Locks: `wq_pool_mutex`, a queue's mutex, `wq_pool_attach_mutex`, a pool's lock with interrupts off,
//! `wq_mayday_lock`; `pi_lock` and runqueue locks inside them.

pub mod alloc;
pub mod attrs;
pub mod cancel;
pub mod delayed;
pub mod flush;
pub mod init;
pub mod pool;
pub mod queue;
pub mod worker;

use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::kthread::{KthreadWork, KthreadWorker};
use crate::include::linux::list::{ListHead, list_empty};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::sched::smp_mb;
use crate::include::linux::workqueue::*;
use crate::kernel::kthread::kthread_queue_work;
use crate::{WARN_ON_ONCE, intrusive_adapter};
use alloc::pwq_release_workfn;
use attrs::SharedAttrs;
use cancel::pwq_activate_inactive_work;
use core::fmt;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use flush::WqFlusher;
use pool::{WorkerPool, pool_by_id};

pub use alloc::{
    alloc_ordered_workqueue, alloc_workqueue, destroy_workqueue, workqueue_set_max_active,
};
pub use attrs::apply_workqueue_attrs;
pub use init::{
    workqueue_init, workqueue_init_early, workqueue_init_topology, workqueue_offline_cpu,
    workqueue_online_cpu, workqueue_prepare_cpu,
};
pub use pool::Worker;
pub use queue::{
    current_work, queue_work, queue_work_on, schedule_on_each_cpu, schedule_work, schedule_work_on,
    set_worker_desc, work_busy, work_on_cpu, work_on_cpu_safe,
};
pub use worker::{wq_worker_running, wq_worker_sleeping, wq_worker_tick};

/// A queue: where its works go.
#[doc(alias = "workqueue_struct")]
#[repr(C)]
pub struct WorkqueueStruct {
    /// Its shares of pools: under `mutex`.
    pub pwqs: ListHead,
    /// Place among all queues, or the free ones: under `wq_pool_mutex`.
    pub list: ListHead,
    /// Protects the fields.
    pub mutex: Mutex,
    /// The colour of new works.
    pub work_color: Shared<i32>,
    /// The colour that is flushed.
    pub flush_color: Shared<i32>,
    /// Shares that still have works of that colour.
    pub nr_pwqs_to_flush: AtomicI32,
    /// Who waits for that colour and cares for the rest.
    pub first_flusher: Shared<Option<&'static WqFlusher>>,
    /// Who waits for later colours.
    pub flusher_queue: ListHead,
    /// Who waits for a colour to come free.
    pub flusher_overflow: ListHead,
    /// Shares that call for rescue: under `wq_mayday_lock`.
    pub maydays: ListHead,
    /// The rescuer.
    pub rescuer: Shared<Option<&'static Worker>>,
    /// How many drain it.
    pub nr_drainers: Shared<i32>,
    /// How many of its works a share may have active.
    pub saved_max_active: Shared<i32>,
    /// What an unbound queue asks of its pools.
    pub unbound_attrs: SharedAttrs,
    /// The share of an unbound queue that is always there.
    pub dfl_pwq: Shared<Option<&'static PoolWorkqueue>>,
    /// Its name.
    pub name: [Shared<u8>; WQ_NAME_LEN],
    /// `WQ_*`.
    pub flags: Shared<u32>,
    /// The share for works of each CPU.
    pub cpu_pwq: PerCpu<Shared<Option<&'static PoolWorkqueue>>>,
}

/// A queue's share of a pool. Fields: under the pool's lock, unless said otherwise.
#[doc(alias = "pool_workqueue")]
#[repr(C)]
pub struct PoolWorkqueue {
    pool: Shared<Option<&'static WorkerPool>>,
    wq: Shared<Option<&'static WorkqueueStruct>>,
    /// The colour of new works.
    pub work_color: Shared<i32>,
    /// The colour that is flushed, or -1.
    pub flush_color: Shared<i32>,
    /// References: works, and the queue.
    pub refcnt: Shared<i32>,
    /// Works of each colour that are not done.
    pub nr_in_flight: [Shared<i32>; WORK_NR_COLORS],
    /// Works that wait in the pool or run.
    pub nr_active: Shared<i32>,
    /// How many that may be.
    pub max_active: Shared<i32>,
    /// Works that wait until there are fewer.
    pub inactive_works: ListHead,
    /// Place among the queue's shares: under the queue's mutex.
    pub pwqs_node: ListHead,
    /// Place among those that call for rescue: under `wq_mayday_lock`.
    pub mayday_node: ListHead,
    /// Puts it away when the last reference is gone.
    pub release_work: KthreadWork,
}

intrusive_adapter!(
    /// Queues by their place among all queues.
    pub WqLink = WorkqueueStruct { list: ListHead });
intrusive_adapter!(
    /// Shares by their place among their queue's.
    pub PwqLink = PoolWorkqueue { pwqs_node: ListHead });
intrusive_adapter!(
    /// Shares by their call for rescue.
    pub MaydayLink = PoolWorkqueue { mayday_node: ListHead });
intrusive_adapter!(
    PwqOfRelease = PoolWorkqueue {
        release_work: KthreadWork
    }
);

/// One of the system's queues, from `workqueue_init_early` on.
pub struct SystemWq(Shared<Option<&'static WorkqueueStruct>>);

impl SystemWq {
    const fn new() -> SystemWq {
        SystemWq(Shared::new(None))
    }
}

impl Deref for SystemWq {
    type Target = WorkqueueStruct;

    fn deref(&self) -> &WorkqueueStruct {
        self.0.get().expect("no workqueues yet")
    }
}

/// Ordinary works, on the CPU that queues them.
pub static system_wq: SystemWq = SystemWq::new();
/// Urgent works.
pub static system_highpri_wq: SystemWq = SystemWq::new();
/// Works that take long.
pub static system_long_wq: SystemWq = SystemWq::new();
/// Works for any CPU.
pub static system_unbound_wq: SystemWq = SystemWq::new();
/// Works that a suspend would freeze.
pub static system_freezable_wq: SystemWq = SystemWq::new();
/// Works that may go elsewhere to save power.
pub static system_power_efficient_wq: SystemWq = SystemWq::new();
/// Both.
pub static system_freezable_power_efficient_wq: SystemWq = SystemWq::new();

/// Protects the lists of queues and pools.
pub(super) static wq_pool_mutex: Mutex = Mutex::new();
/// All queues.
static workqueues: ListHead = ListHead::new();
/// Queues and shares that are not in use any more: under `wq_pool_mutex`.
static free_workqueues: ListHead = ListHead::new();
static free_pwqs: ListHead = ListHead::new();
static online: AtomicBool = AtomicBool::new(false);
static pwq_release_worker: Shared<Option<&'static KthreadWorker>> = Shared::new(None);
/// From when on a work counts as one that uses the CPU for long, us.
static wq_cpu_intensive_thresh_us: Shared<u64> = Shared::new(10_000);
/// Where unbound works go whose CPU may not have them: the last one that did.
static wq_rr_cpu_last: PerCpu<Shared<u32>> = PerCpu::new([const { Shared::new(0) }; NR_CPUS]);

/// Whether works are executed.
pub(super) fn wq_online() -> bool {
    online.load(Ordering::Acquire)
}

/// From when on a work counts as one that uses the CPU for long, ns.
pub(super) fn wq_cpu_intensive_thresh_ns() -> u64 {
    wq_cpu_intensive_thresh_us.get() * 1000
}

/// A queue's name, for messages.
pub struct WqName<'a>(&'a [Shared<u8>; WQ_NAME_LEN]);

impl fmt::Display for WqName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0
            .iter()
            .map(Shared::get)
            .take_while(|&byte| byte != 0)
            .try_for_each(|byte| f.write_char(char::from(byte)))
    }
}

impl WorkqueueStruct {
    const fn new() -> WorkqueueStruct {
        WorkqueueStruct {
            pwqs: ListHead::new(),
            list: ListHead::new(),
            mutex: Mutex::new(),
            work_color: Shared::new(0),
            flush_color: Shared::new(0),
            nr_pwqs_to_flush: AtomicI32::new(0),
            first_flusher: Shared::new(None),
            flusher_queue: ListHead::new(),
            flusher_overflow: ListHead::new(),
            maydays: ListHead::new(),
            rescuer: Shared::new(None),
            nr_drainers: Shared::new(0),
            saved_max_active: Shared::new(0),
            unbound_attrs: SharedAttrs::new(),
            dfl_pwq: Shared::new(None),
            name: [const { Shared::new(0) }; WQ_NAME_LEN],
            flags: Shared::new(0),
            cpu_pwq: PerCpu::new([const { Shared::new(None) }; NR_CPUS]),
        }
    }

    /// Its name.
    pub fn name(&self) -> WqName<'_> {
        WqName(&self.name)
    }
}

impl PoolWorkqueue {
    const fn new() -> PoolWorkqueue {
        PoolWorkqueue {
            pool: Shared::new(None),
            wq: Shared::new(None),
            work_color: Shared::new(0),
            flush_color: Shared::new(-1),
            refcnt: Shared::new(0),
            nr_in_flight: [const { Shared::new(0) }; WORK_NR_COLORS],
            nr_active: Shared::new(0),
            max_active: Shared::new(0),
            inactive_works: ListHead::new(),
            pwqs_node: ListHead::new(),
            mayday_node: ListHead::new(),
            release_work: KthreadWork::new(pwq_release_workfn),
        }
    }

    /// Its pool.
    pub fn pool(&self) -> &'static WorkerPool {
        self.pool.get().expect("a share of no pool")
    }

    /// Its queue.
    pub fn wq(&self) -> &'static WorkqueueStruct {
        self.wq.get().expect("a share of no queue")
    }

    /// One reference more (`get_pwq`). The pool's lock is held, or nobody else knows the share.
    pub(super) fn get(&self) {
        WARN_ON_ONCE!(self.refcnt.get() <= 0);
        self.refcnt.inc();
    }
}

// ---- a work's data word ----

/// The colour in the data of a queued work.
pub(super) fn get_work_color(data: u64) -> u32 {
    (data >> WORK_STRUCT_COLOR_SHIFT) as u32 & (WORK_NR_COLORS as u32 - 1)
}

pub(super) fn work_color_to_flags(color: u32) -> u64 {
    u64::from(color) << WORK_STRUCT_COLOR_SHIFT
}

/// The work is queued on this share. Whoever does this owns the pending bit and holds the pool's lock.
fn set_work_pwq(work: &'static WorkStruct, pwq: &'static PoolWorkqueue, flags: u64) {
    work.pwq.set(Some(pwq));
    work.data.store(
        flags | WORK_STRUCT_PENDING | WORK_STRUCT_PWQ,
        Ordering::Release,
    );
}

/// The work is in no list but still owned.
pub(super) fn set_work_pool_and_keep_pending(work: &WorkStruct, pool_id: i32) {
    work.data.store(
        (pool_id as u64) << WORK_OFFQ_POOL_SHIFT | WORK_STRUCT_PENDING,
        Ordering::SeqCst,
    );
}

pub(super) fn set_work_pool_id_and_clear_pending(work: &WorkStruct, pool_id: u64) {
    // What was done before is seen by whoever queues it next, and the other way round.
    smp_mb();
    work.data
        .store(pool_id << WORK_OFFQ_POOL_SHIFT, Ordering::SeqCst);
    smp_mb();
}

/// The work is about to be run: it may be queued again.
pub(super) fn set_work_pool_and_clear_pending(work: &WorkStruct, pool_id: i32) {
    set_work_pool_id_and_clear_pending(work, pool_id as u64);
}

/// The share the work is queued on, if it is.
pub(super) fn get_work_pwq(work: &WorkStruct) -> Option<&'static PoolWorkqueue> {
    let queued = work.data.load(Ordering::Acquire) & WORK_STRUCT_PWQ != 0;
    queued.then(|| work.pwq.get()).flatten()
}

/// The pool that has the work, or had it last.
pub(super) fn get_work_pool(work: &WorkStruct) -> Option<&'static WorkerPool> {
    if let Some(pwq) = get_work_pwq(work) {
        return Some(pwq.pool());
    }
    pool_by_id(get_work_pool_id(work))
}

/// Its number.
pub(super) fn get_work_pool_id(work: &WorkStruct) -> u64 {
    match get_work_pwq(work) {
        Some(pwq) => pwq.pool().id.get() as u64,
        None => work.data.load(Ordering::Relaxed) >> WORK_OFFQ_POOL_SHIFT & WORK_OFFQ_POOL_NONE,
    }
}

// ---- references and limits of shares ----

/// One reference less. The pool's lock is held.
pub(super) fn put_pwq(pwq: &'static PoolWorkqueue) {
    pwq.refcnt.dec();
    if pwq.refcnt.get() != 0 {
        return;
    }
    // Putting it away needs mutexes: a thread does it.
    if let Some(worker) = pwq_release_worker.get() {
        kthread_queue_work(worker, &pwq.release_work);
    }
}

/// The same without the lock.
pub(super) fn put_pwq_unlocked(pwq: &'static PoolWorkqueue) {
    let _guard = pwq.pool().lock.lock_irqsave();
    put_pwq(pwq);
}

/// The first work that waits for the limit may run.
fn pwq_activate_first_inactive(pwq: &'static PoolWorkqueue) {
    if let Some(work) = WorkLink::first(&pwq.inactive_works) {
        pwq_activate_inactive_work(pwq, work);
    }
}

/// A share has no works of the flushed colour any more; the last one tells the flusher.
pub(super) fn pwq_flushed(wq: &'static WorkqueueStruct) {
    if wq.nr_pwqs_to_flush.fetch_sub(1, Ordering::SeqCst) == 1 {
        wq.complete_first_flusher();
    }
}

/// A work of the share is done, or was taken back; `work_data` is what it was queued with. The pool's lock is
/// held.
pub(super) fn pwq_dec_nr_in_flight(pwq: &'static PoolWorkqueue, work_data: u64) {
    let color = get_work_color(work_data);
    // A barrier never was active.
    if work_data & WORK_STRUCT_INACTIVE == 0 {
        pwq.nr_active.dec();
        if !list_empty(&pwq.inactive_works) && pwq.nr_active.get() < pwq.max_active.get() {
            pwq_activate_first_inactive(pwq);
        }
    }
    let in_flight = &pwq.nr_in_flight[color as usize];
    in_flight.dec();
    if pwq.flush_color.get() == color as i32 && in_flight.get() == 0 {
        pwq.flush_color.set(-1);
        pwq_flushed(pwq.wq());
    }
    put_pwq(pwq);
}
