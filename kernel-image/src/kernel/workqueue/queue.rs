//! Queueing works, and running functions on CPUs through them.
//!
//! Linux: `kernel/workqueue.c` (v6.8): `__queue_work`, `queue_work_on`, `work_on_cpu`, `schedule_on_each_cpu`.
//! Kept: where a work goes (its queue's share for the CPU, or where it still runs), the limit of active
//! works, unbound works in turns. Left out: `queue_work_node`.
//! Locks: the pool's lock, with interrupts off.

use super::flush;
use super::pool::Worker;
use super::pool::{WorkerPool, wq_unbound_cpumask};
use super::worker::find_worker_executing_work;
use super::{
    PoolWorkqueue, WorkqueueStruct, get_work_pool, set_work_pwq, system_wq, work_color_to_flags,
    wq_rr_cpu_last,
};
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::fence::void::{VoidCell, VoidPtr};
use crate::include::linux::cpumask::{NR_CPUS, cpu_online, cpu_online_mask};
use crate::include::linux::errno::ENODEV;
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};
use crate::include::linux::jiffies::jiffies;
use crate::include::linux::list::{ListHead, list_add_tail, list_empty};
use crate::include::linux::preempt::in_task;
use crate::include::linux::sched::PF_WQ_WORKER;
use crate::include::linux::spinlock::{raw_spin_lock, raw_spin_unlock};
use crate::include::linux::workqueue::*;
use crate::include::trace::events::workqueue::{
    trace_workqueue_activate_work, trace_workqueue_queue_work,
};
use crate::kernel::cpu::{cpus_read_lock, cpus_read_unlock};
use crate::{WARN, WARN_ON, WARN_ON_ONCE, intrusive_adapter, stack_pinned};
use core::sync::atomic::Ordering;

/// The worker that the current task is.
pub(super) fn current_wq_worker() -> Option<&'static Worker> {
    if in_task() && current().flags.get() & PF_WQ_WORKER != 0 {
        current().worker.get()
    } else {
        None
    }
}

/// The work that the current task runs (`current_work`).
pub fn current_work() -> Option<&'static WorkStruct> {
    current_wq_worker()?.current_work.get()
}

/// Says what the current worker works at, for whoever looks at threads.
pub fn set_worker_desc(text: &str) {
    if let Some(worker) = current_wq_worker() {
        worker.set_desc(text.bytes());
    }
}

/// Whether a work of the queue queues another one.
fn is_chained_work(wq: &WorkqueueStruct) -> bool {
    current_wq_worker()
        .and_then(|worker| worker.current_pwq.get())
        .is_some_and(|pwq| core::ptr::eq(pwq.wq(), wq))
}

/// Puts a work into a list of its pool. The pool's lock is held.
pub(super) fn insert_work(
    pwq: &'static PoolWorkqueue,
    work: &'static WorkStruct,
    head: &'static ListHead,
    flags: u64,
) {
    set_work_pwq(work, pwq, flags);
    list_add_tail(&work.entry, head);
    pwq.get();
}

/// Where an unbound work runs that is queued on this CPU: here, or in turns where it may.
fn wq_select_unbound_cpu(cpu: u32) -> u32 {
    let mask = wq_unbound_cpumask.get();
    if mask.test(cpu) {
        return cpu;
    }
    let last = wq_rr_cpu_last.per_cpu(cpu);
    let usable = mask.and(cpu_online_mask());
    if usable.is_empty() {
        return cpu;
    }
    let next = match usable.next(last.get()) {
        next if next < NR_CPUS as u32 => next,
        _ => usable.first(),
    };
    last.set(next);
    next
}

/// Queues a work that the caller has marked pending. Interrupts are off.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn __queue_work(
    cpu: u32,
    wq: &'static WorkqueueStruct,
    work: &'static WorkStruct,
) {
    let req_cpu = cpu;
    if wq.flags.get() & (__WQ_DESTROYING | __WQ_DRAINING) != 0
        && WARN_ON_ONCE!(!is_chained_work(wq))
    {
        return;
    }
    // A share that is being replaced has no references: the new one is in its place soon.
    let (pwq, pool) = loop {
        let cpu = match (req_cpu, wq.flags.get() & WQ_UNBOUND != 0) {
            (WORK_CPU_UNBOUND, true) => wq_select_unbound_cpu(raw_smp_processor_id()),
            (WORK_CPU_UNBOUND, false) => raw_smp_processor_id(),
            (cpu, _) => cpu,
        };
        let Some(pwq) = wq.cpu_pwq.per_cpu(cpu).get() else {
            WARN_ON!(true);
            return;
        };
        let (pwq, pool) = lock_pool_for(wq, pwq, work);
        let valid =
            pwq.refcnt.get() != 0 && core::ptr::eq(pwq.pool(), pool) && core::ptr::eq(pwq.wq(), wq);
        if valid {
            break (pwq, pool);
        }
        raw_spin_unlock(&pool.lock);
        if WARN!(
            wq.flags.get() & WQ_UNBOUND == 0,
            "workqueue: per-cpu pwq for {} on cpu{cpu} has 0 refcnt\n",
            wq.name()
        ) {
            return;
        }
        crate::arch::x86::include::asm::processor::cpu_relax();
    };
    trace_workqueue_queue_work(req_cpu, pwq, work);
    if !WARN_ON!(!list_empty(&work.entry)) {
        let color = pwq.work_color.get();
        pwq.nr_in_flight[color as usize].inc();
        let flags = work_color_to_flags(color as u32);
        if pwq.nr_active.get() < pwq.max_active.get() {
            if list_empty(&pool.worklist) {
                pool.watchdog_ts.set(jiffies());
            }
            trace_workqueue_activate_work(work);
            pwq.nr_active.inc();
            insert_work(pwq, work, &pool.worklist, flags);
            pool.kick_pool();
        } else {
            insert_work(pwq, work, &pwq.inactive_works, flags | WORK_STRUCT_INACTIVE);
        }
    }
    raw_spin_unlock(&pool.lock);
}

/// Locks the pool where the work goes: where it still runs, so that it does not run beside itself, or else
/// where it should.
fn lock_pool_for(
    wq: &'static WorkqueueStruct,
    pwq: &'static PoolWorkqueue,
    work: &'static WorkStruct,
) -> (&'static PoolWorkqueue, &'static WorkerPool) {
    let pool = pwq.pool();
    if let Some(last_pool) = get_work_pool(work).filter(|last| !core::ptr::eq(*last, pool)) {
        raw_spin_lock(&last_pool.lock);
        let running = find_worker_executing_work(last_pool, work)
            .and_then(|worker| worker.current_pwq.get())
            .filter(|its| core::ptr::eq(its.wq(), wq));
        if let Some(its) = running {
            return (its, last_pool);
        }
        raw_spin_unlock(&last_pool.lock);
    }
    raw_spin_lock(&pool.lock);
    (pwq, pool)
}

/// Queues a work on a CPU (`WORK_CPU_UNBOUND`: this one). The CPU does not go away meanwhile, or its works
/// run elsewhere.
///
/// # Context
/// Any.
/// # Returns
/// False if it was queued already.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn queue_work_on(
    cpu: u32,
    wq: &'static WorkqueueStruct,
    work: &'static WorkStruct,
) -> bool {
    let flags = local_irq_save();
    let fresh =
        work.data.fetch_or(WORK_STRUCT_PENDING, Ordering::SeqCst) & WORK_STRUCT_PENDING == 0;
    if fresh {
        __queue_work(cpu, wq, work);
    }
    local_irq_restore(flags);
    fresh
}

/// Queues a work.
pub fn queue_work(wq: &'static WorkqueueStruct, work: &'static WorkStruct) -> bool {
    queue_work_on(WORK_CPU_UNBOUND, wq, work)
}

/// Queues an ordinary work on a CPU.
pub fn schedule_work_on(cpu: u32, work: &'static WorkStruct) -> bool {
    queue_work_on(cpu, &system_wq, work)
}

/// Queues an ordinary work.
pub fn schedule_work(work: &'static WorkStruct) -> bool {
    queue_work(&system_wq, work)
}

/// Whether a work waits (`WORK_BUSY_PENDING`) and runs (`WORK_BUSY_RUNNING`), at some moment just now.
pub fn work_busy(work: &'static WorkStruct) -> u32 {
    let mut ret = 0;
    if work_pending(work) {
        ret |= WORK_BUSY_PENDING;
    }
    if let Some(pool) = get_work_pool(work) {
        let _guard = pool.lock.lock_irqsave();
        if find_worker_executing_work(pool, work).is_some() {
            ret |= WORK_BUSY_RUNNING;
        }
    }
    ret
}

/// Runs a function once on every online CPU, in their workers, and waits.
///
/// # Context
/// May sleep.
pub fn schedule_on_each_cpu(func: WorkFunc) {
    stack_pinned!(let works = EachCpu([const { WorkStruct::new(nothing) }; NR_CPUS]));
    cpus_read_lock();
    for cpu in cpu_online_mask().iter() {
        let work = &works.0[cpu as usize];
        work.func.set(func);
        schedule_work_on(cpu, work);
    }
    for cpu in cpu_online_mask().iter() {
        flush::flush_work(&works.0[cpu as usize]);
    }
    cpus_read_unlock();
}

struct EachCpu([WorkStruct; NR_CPUS]);

impl StackObject for EachCpu {
    fn quiescent(&self) -> bool {
        self.0.iter().all(StackObject::quiescent)
    }
}

fn nothing(_: &'static WorkStruct) {}

/// A function for one CPU; on the stack of who waits for it.
#[doc(alias = "work_for_cpu")]
struct WorkForCpu {
    work: WorkStruct,
    r#fn: fn(VoidPtr) -> i64,
    arg: VoidCell,
    ret: Shared<i64>,
}

impl StackObject for WorkForCpu {
    fn quiescent(&self) -> bool {
        self.work.quiescent()
    }
}

intrusive_adapter!(ForCpuOfWork = WorkForCpu { work: WorkStruct });

fn work_for_cpu_fn(work: &'static WorkStruct) {
    let wfc = ForCpuOfWork::entry(work);
    wfc.ret.set((wfc.r#fn)(wfc.arg.get()));
}

/// Runs a function in a worker of a CPU, which is online and stays so, and waits.
///
/// # Context
/// May sleep.
/// # Returns
/// What the function returns.
pub fn work_on_cpu(cpu: u32, r#fn: fn(VoidPtr) -> i64, arg: VoidPtr) -> i64 {
    stack_pinned!(let wfc = WorkForCpu {
        work: WorkStruct::new(work_for_cpu_fn),
        r#fn,
        arg: VoidCell::new(arg),
        ret: Shared::new(0),
    });
    schedule_work_on(cpu, &wfc.work);
    flush::flush_work(&wfc.work);
    wfc.ret.get()
}

/// The same for a CPU that may go: -ENODEV if it is not online.
pub fn work_on_cpu_safe(cpu: u32, r#fn: fn(VoidPtr) -> i64, arg: VoidPtr) -> i64 {
    cpus_read_lock();
    let ret = if cpu_online(cpu) {
        work_on_cpu(cpu, r#fn, arg)
    } else {
        i64::from(-ENODEV)
    };
    cpus_read_unlock();
    ret
}
