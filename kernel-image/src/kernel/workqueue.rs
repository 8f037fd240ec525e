//! Workqueues: works are handed to pools, each pool keeps just enough workers running.
//!
//! Linux: `kernel/workqueue.c` (v6.8), here a file and a folder: `pool` (pools, creating workers),
//! `worker` (the worker's loop, concurrency), this file (queues, queueing, start-up stages).
//! Kept: per-CPU pools of two priorities and an unbound one, concurrency management through the
//! scheduler's hooks, on-demand workers made by a manager, workers of a CPU that is not up yet. Left
//! out: max_active accounting, flushing, delayed works, rescuers, culling, attributes, freezing. Differs: a
//! work never finds itself running on another pool, because nothing requeues across CPUs here.
//! Locks: the pool's lock, with interrupts off; `pi_lock` and runqueue locks inside it.

pub mod pool;
pub mod worker;

use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::fence::void::VoidPtr;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpumask::{cpu_online_mask, cpu_possible_mask, nr_cpu_ids};
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};
use crate::include::linux::list::{list_add_tail, list_empty};
use crate::include::linux::sched::{
    __set_current_state, TASK_INTERRUPTIBLE, TASK_RUNNING, set_current_state,
};
use crate::include::linux::workqueue::{WORK_CPU_UNBOUND, WORK_STRUCT_PENDING, WorkStruct};
use crate::kernel::kthread::{kthread_run, kthread_should_stop};
use crate::kernel::sched::completion::{complete, wait_for_completion};
use crate::kernel::sched::core::schedule;
use crate::{BUG_ON, WARN_ON, intrusive_adapter, stack_pinned};
use core::sync::atomic::{AtomicBool, Ordering};
use pool::{
    NR_STD_WORKER_POOLS, cpu_worker_pools, create_worker, rebind_workers, unbind_workers,
    unbound_pool,
};

pub use pool::Worker;
pub use worker::{wq_worker_running, wq_worker_sleeping, wq_worker_tick};

/// A queue: which pools its works go to.
#[doc(alias = "workqueue_struct")]
pub struct WorkqueueStruct {
    /// Its name.
    pub name: &'static str,
    unbound: bool,
    highpri: bool,
}

const fn workqueue(name: &'static str, unbound: bool, highpri: bool) -> WorkqueueStruct {
    WorkqueueStruct {
        name,
        unbound,
        highpri,
    }
}

/// Ordinary works, on the CPU that queues them.
pub static system_wq: WorkqueueStruct = workqueue("events", false, false);
/// Urgent works.
pub static system_highpri_wq: WorkqueueStruct = workqueue("events_highpri", false, true);
/// Works for any CPU.
pub static system_unbound_wq: WorkqueueStruct = workqueue("events_unbound", true, false);

static wq_online: AtomicBool = AtomicBool::new(false);

/// Queues a work on a CPU (`WORK_CPU_UNBOUND`: this one).
///
/// # Context
/// Any.
/// # Returns
/// False if it was queued already.
pub fn queue_work_on(cpu: u32, wq: &'static WorkqueueStruct, work: &'static WorkStruct) -> bool {
    let flags = local_irq_save();
    let fresh =
        work.data.fetch_or(WORK_STRUCT_PENDING, Ordering::SeqCst) & WORK_STRUCT_PENDING == 0;
    if fresh {
        __queue_work(cpu, wq, work);
    }
    local_irq_restore(flags);
    fresh
}

/// Queues an ordinary work on a CPU.
pub fn schedule_work_on(cpu: u32, work: &'static WorkStruct) -> bool {
    queue_work_on(cpu, &system_wq, work)
}

#[inline(never)]
fn __queue_work(cpu: u32, wq: &'static WorkqueueStruct, work: &'static WorkStruct) {
    let pool = if wq.unbound {
        &unbound_pool
    } else {
        let cpu = if cpu == WORK_CPU_UNBOUND {
            raw_smp_processor_id()
        } else {
            cpu
        };
        &cpu_worker_pools.per_cpu(cpu)[usize::from(wq.highpri)]
    };
    let _guard = pool.lock.lock_irqsave();
    list_add_tail(&work.entry, &pool.worklist);
    pool.kick_pool();
}

/// First stage: pools and queues exist, nothing is executed yet.
pub fn workqueue_init_early() {
    let mut id = 0;
    for cpu in cpu_possible_mask().iter() {
        for (index, pool) in cpu_worker_pools.per_cpu(cpu).iter().enumerate() {
            pool.init(cpu as i32, id, if index == 0 { 0 } else { -20 });
            id += 1;
        }
    }
    BUG_ON!(id as u32 > 2 * nr_cpu_ids.load(Ordering::Relaxed).max(1) || NR_STD_WORKER_POOLS != 2);
    unbound_pool.init(-1, id, 0);
}

/// Second stage: there are kernel threads now, so the pools get their first workers.
pub fn workqueue_init() {
    let release = kthread_run(
        pwq_release_worker_fn,
        VoidPtr::NULL,
        format_args!("pool_workqueue_release"),
    );
    BUG_ON!(release.is_err());
    for cpu in cpu_online_mask().iter() {
        for pool in cpu_worker_pools.per_cpu(cpu) {
            pool.associate();
            BUG_ON!(create_worker(pool).is_none());
        }
    }
    BUG_ON!(create_worker(&unbound_pool).is_none());
    wq_online.store(true, Ordering::Release);
}

/// Third stage: the topology is known. One cache for all CPUs: the one unbound pool serves them all.
pub fn workqueue_init_topology() {}

/// Frees the per-pool side of queues that are destroyed. No queue ever is, so the thread sleeps, as it
/// does on an idle Linux.
extern "C" fn pwq_release_worker_fn(_: VoidPtr) -> i32 {
    loop {
        set_current_state(TASK_INTERRUPTIBLE);
        if kthread_should_stop() {
            __set_current_state(TASK_RUNNING);
            return 0;
        }
        schedule();
    }
}

/// A CPU comes up: its pools get workers, which run elsewhere until it is there.
pub fn workqueue_prepare_cpu(cpu: u32) -> i32 {
    for pool in cpu_worker_pools.per_cpu(cpu) {
        if pool.nr_workers.get() == 0 && create_worker(pool).is_none() {
            return -crate::include::linux::errno::ENOMEM;
        }
    }
    0
}

/// A CPU is up: its workers belong to it. Runs on that CPU, in cpuhp/N.
pub fn workqueue_online_cpu(cpu: u32) -> i32 {
    WARN_ON!(cpu != raw_smp_processor_id());
    for pool in cpu_worker_pools.per_cpu(cpu) {
        rebind_workers(pool);
    }
    0
}

/// A CPU goes down: its workers go on elsewhere. Runs on that CPU, in cpuhp/N.
pub fn workqueue_offline_cpu(cpu: u32) -> i32 {
    if WARN_ON!(cpu != raw_smp_processor_id()) {
        return -1;
    }
    for pool in cpu_worker_pools.per_cpu(cpu) {
        unbind_workers(pool);
    }
    0
}

/// A function to run in a worker of a CPU; on the stack of who asks.
#[doc(alias = "work_for_cpu")]
struct WorkForCpu {
    work: WorkStruct,
    r#fn: fn(VoidPtr) -> i32,
    arg: VoidPtr,
    ret: Shared<i32>,
    done: Completion,
}

impl StackObject for WorkForCpu {
    fn quiescent(&self) -> bool {
        list_empty(&self.work.entry) && self.done.quiescent()
    }
}

intrusive_adapter!(
    /// Such functions by their work.
    WorkForCpuOf = WorkForCpu { work: WorkStruct });

fn work_for_cpu_fn(work: &'static WorkStruct) {
    let wfc = WorkForCpuOf::entry(work);
    wfc.ret.set((wfc.r#fn)(wfc.arg));
    complete(&wfc.done);
}

/// Runs a function in a worker of a CPU and waits for it.
///
/// # Context
/// May sleep; the CPU stays online.
/// # Returns
/// What the function returned.
pub fn work_on_cpu(cpu: u32, r#fn: fn(VoidPtr) -> i32, arg: VoidPtr) -> i32 {
    stack_pinned!(let wfc = WorkForCpu {
        work: WorkStruct::new(work_for_cpu_fn),
        r#fn,
        arg,
        ret: Shared::new(0),
        done: Completion::new(),
    });
    schedule_work_on(cpu, &wfc.work);
    wait_for_completion(&wfc.done);
    wfc.ret.get()
}
