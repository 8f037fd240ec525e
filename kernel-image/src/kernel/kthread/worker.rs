//! Kernel threads that run works one after the other. Linux: `kernel/kthread.c` (v6.8): `kthread_worker`.
//!
//! Kept: queueing, flushing, cancelling, making and ending workers. Left out: delayed works, freezing,
//! workers bound to a CPU. Differs: workers are recycled instead of freed.
//! Locks: the worker's lock, with interrupts off; `pi_lock` inside it.

extern crate alloc;

use super::{kthread_create, kthread_should_stop, kthread_stop};
use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::fence::void::VoidPtr;
use crate::include::linux::completion::Completion;
use crate::include::linux::list::{
    INIT_LIST_HEAD, ListHead, list_add, list_add_tail, list_del_init, list_empty,
};
use crate::include::linux::sched::{
    __set_current_state, TASK_INTERRUPTIBLE, TASK_RUNNING, TaskRef, cond_resched, same_task,
    set_current_state,
};
use crate::include::linux::spinlock::RawSpinlock;
use crate::include::trace::events::sched::{
    trace_sched_kthread_work_execute_end, trace_sched_kthread_work_execute_start,
    trace_sched_kthread_work_queue_work,
};
use crate::kernel::sched::completion::{complete, wait_for_completion};
use crate::kernel::sched::core::{schedule, wake_up_process};
use crate::{WARN_ON, WARN_ON_ONCE, intrusive_adapter, stack_pinned};
use alloc::boxed::Box;
use core::fmt;

/// What a work does.
pub type KthreadWorkFunc = fn(&'static KthreadWork);

/// A thread for works. Fields: under `lock`.
#[doc(alias = "kthread_worker")]
#[repr(C)]
pub struct KthreadWorker {
    lock: RawSpinlock,
    work_list: ListHead,
    task: Shared<Option<TaskRef>>,
    current_work: Shared<Option<&'static KthreadWork>>,
    /// Place among the workers that are not in use.
    free: ListHead,
}

/// A work. Fields: under its worker's lock.
#[doc(alias = "kthread_work")]
#[repr(C)]
pub struct KthreadWork {
    node: ListHead,
    func: KthreadWorkFunc,
    worker: Shared<Option<&'static KthreadWorker>>,
    canceling: Shared<i32>,
}

intrusive_adapter!(WorkLink = KthreadWork { node: ListHead });
intrusive_adapter!(FreeLink = KthreadWorker { free: ListHead });

static free_workers: ListHead = ListHead::new();
static free_workers_lock: RawSpinlock = RawSpinlock::new();

impl KthreadWork {
    /// A work that is in no list (`KTHREAD_WORK_INIT`).
    pub const fn new(func: KthreadWorkFunc) -> KthreadWork {
        KthreadWork {
            node: ListHead::new(),
            func,
            worker: Shared::new(None),
            canceling: Shared::new(0),
        }
    }
}

/// Runs works until the thread shall stop.
pub extern "C" fn kthread_worker_fn(worker: VoidPtr) -> i32 {
    let worker = worker.get::<KthreadWorker>();
    let task = worker.task.get();
    WARN_ON!(task.is_some_and(|task| !same_task(task, current())));
    worker.task.set(Some(current()));
    loop {
        // Before the list is looked at: whoever adds to it wakes us.
        set_current_state(TASK_INTERRUPTIBLE);
        if kthread_should_stop() {
            __set_current_state(TASK_RUNNING);
            let _guard = worker.lock.lock_irqsave();
            worker.task.set(None);
            return 0;
        }
        let work = {
            let _guard = worker.lock.lock_irqsave();
            let work = WorkLink::first(&worker.work_list);
            if let Some(work) = work {
                list_del_init(&work.node);
            }
            worker.current_work.set(work);
            work
        };
        match work {
            Some(work) => {
                let func = work.func;
                __set_current_state(TASK_RUNNING);
                trace_sched_kthread_work_execute_start(work);
                func(work);
                trace_sched_kthread_work_execute_end(work, func);
            }
            None => schedule(),
        }
        cond_resched();
    }
}

/// Makes a worker and its thread, which runs.
///
/// # Context
/// May sleep.
pub fn kthread_create_worker(name: fmt::Arguments<'_>) -> Result<&'static KthreadWorker, i32> {
    let used = {
        let _guard = free_workers_lock.lock_irqsave();
        let used = FreeLink::first(&free_workers);
        if let Some(worker) = used {
            list_del_init(&worker.free);
        }
        used
    };
    let worker: &'static KthreadWorker = used.unwrap_or_else(|| {
        Box::leak(Box::new(KthreadWorker {
            lock: RawSpinlock::new(),
            work_list: ListHead::new(),
            task: Shared::new(None),
            current_work: Shared::new(None),
            free: ListHead::new(),
        }))
    });
    INIT_LIST_HEAD(&worker.work_list);
    let task = kthread_create(kthread_worker_fn, VoidPtr::new(worker), name)?;
    worker.task.set(Some(task));
    wake_up_process(task);
    Ok(worker)
}

/// Puts a work into the list before `pos`. The lock is held.
fn kthread_insert_work(
    worker: &'static KthreadWorker,
    work: &'static KthreadWork,
    pos: &'static ListHead,
) {
    WARN_ON_ONCE!(!list_empty(&work.node));
    let other = |known: &KthreadWorker| !core::ptr::eq(known, worker);
    WARN_ON_ONCE!(work.worker.get().is_some_and(other));
    trace_sched_kthread_work_queue_work(worker, work);
    list_add_tail(&work.node, pos);
    work.worker.set(Some(worker));
    if worker.current_work.get().is_none()
        && let Some(task) = worker.task.get()
    {
        wake_up_process(task);
    }
}

/// Queues a work.
///
/// # Context
/// Any.
/// # Returns
/// False if it was queued already, or is being cancelled.
pub fn kthread_queue_work(worker: &'static KthreadWorker, work: &'static KthreadWork) -> bool {
    let _guard = worker.lock.lock_irqsave();
    let free = list_empty(&work.node) && work.canceling.get() == 0;
    if free {
        kthread_insert_work(worker, work, &worker.work_list);
    }
    free
}

/// A work that tells that those before it are done; on the stack of who waits.
struct KthreadFlushWork {
    work: KthreadWork,
    done: Completion,
}

impl StackObject for KthreadFlushWork {
    fn quiescent(&self) -> bool {
        list_empty(&self.work.node) && self.done.quiescent()
    }
}

intrusive_adapter!(FlushOfWork = KthreadFlushWork { work: KthreadWork });

fn kthread_flush_work_fn(work: &'static KthreadWork) {
    complete(&FlushOfWork::entry(work).done);
}

/// Waits for a work, as it was queued last.
///
/// # Context
/// May sleep.
pub fn kthread_flush_work(work: &'static KthreadWork) {
    stack_pinned!(let fwork = KthreadFlushWork {
        work: KthreadWork::new(kthread_flush_work_fn),
        done: Completion::new(),
    });
    let Some(worker) = work.worker.get() else {
        return;
    };
    {
        let _guard = worker.lock.lock_irqsave();
        let runs = worker
            .current_work
            .get()
            .is_some_and(|current| core::ptr::eq(current, work));
        let before = if !list_empty(&work.node) {
            work.node.next.get()
        } else if runs {
            worker.work_list.next.get()
        } else {
            None
        };
        let Some(before) = before else {
            return;
        };
        kthread_insert_work(worker, &fwork.work, before);
    }
    wait_for_completion(&fwork.done);
}

/// Waits for all works that the worker has now.
///
/// # Context
/// May sleep.
pub fn kthread_flush_worker(worker: &'static KthreadWorker) {
    stack_pinned!(let fwork = KthreadFlushWork {
        work: KthreadWork::new(kthread_flush_work_fn),
        done: Completion::new(),
    });
    kthread_queue_work(worker, &fwork.work);
    wait_for_completion(&fwork.done);
}

/// Takes a work back and waits for it to end if it runs.
///
/// # Context
/// May sleep.
/// # Returns
/// True if it was waiting.
pub fn kthread_cancel_work_sync(work: &'static KthreadWork) -> bool {
    let Some(worker) = work.worker.get() else {
        return false;
    };
    let (was_pending, runs) = {
        let _guard = worker.lock.lock_irqsave();
        let was_pending = !list_empty(&work.node);
        if was_pending {
            list_del_init(&work.node);
        }
        let runs = worker
            .current_work
            .get()
            .is_some_and(|current| core::ptr::eq(current, work));
        if runs {
            // Nobody queues it again while we wait.
            work.canceling.inc();
        }
        (was_pending, runs)
    };
    if runs {
        kthread_flush_work(work);
        let _guard = worker.lock.lock_irqsave();
        work.canceling.dec();
    }
    was_pending
}

/// Ends a worker: its works are run first.
///
/// # Context
/// May sleep.
pub fn kthread_destroy_worker(worker: &'static KthreadWorker) {
    let Some(task) = worker.task.get() else {
        WARN_ON!(true);
        return;
    };
    kthread_flush_worker(worker);
    kthread_stop(task);
    WARN_ON!(!list_empty(&worker.work_list));
    let _guard = free_workers_lock.lock_irqsave();
    list_add(&worker.free, &free_workers);
}
