//! The OOM reaper: takes the memory of tasks that were killed for it. Linux: `mm/oom_kill.c` (v6.8).
//!
//! Kept: the thread, its queue of tasks, who wakes it, the mark that a task's memory has been taken. Left out:
//! choosing and killing a victim: there are no user processes, and memory maps hold no pages yet, so the queue
//! is empty until somebody fills it.
//! Locks: `oom_reaper_lock`.

use super::vmstat::{VmEventItem, count_vm_event};
use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::mm_types::{MMF_OOM_SKIP, MMF_UNSTABLE};
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::{PF_NOFREEZE, TASK_INTERRUPTIBLE, TaskRef};
use crate::include::linux::spinlock::RawSpinlock;
use crate::include::linux::wait::{WaitQueueEntry, WaitQueueHead};
use crate::kernel::kthread::kthread_run;
use crate::kernel::sched::core::schedule;
use crate::kernel::sched::wait::{finish_wait, prepare_to_wait, wake_up};
use crate::{pr_info, stack_pinned};
use core::sync::atomic::Ordering;

static oom_reaper_wait: WaitQueueHead = WaitQueueHead::new();
static oom_reaper_lock: RawSpinlock = RawSpinlock::new();
/// Tasks to reap, the last one queued first.
static oom_reaper_list: Shared<Option<TaskRef>> = Shared::new(None);

/// Takes what can be taken of a task's memory.
fn oom_reap_task(tsk: TaskRef) {
    if let Some(mm) = tsk.mm.get() {
        // Whoever uses the map from here on must expect holes; and nobody needs to look at it again.
        mm.flags
            .fetch_or(MMF_UNSTABLE | MMF_OOM_SKIP, Ordering::SeqCst);
        pr_info!(
            "oom_reaper: reaped process {} ({}), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
            tsk.pid.get(),
            tsk.comm_str()
        );
    }
    put_task_struct(tsk);
}

/// The next task.
fn next_victim() -> Option<TaskRef> {
    let _guard = oom_reaper_lock.lock_irqsave();
    let tsk = oom_reaper_list.get()?;
    oom_reaper_list.set(tsk.oom_reaper_list.replace(None));
    Some(tsk)
}

/// The thread.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn oom_reaper(_: VoidPtr) -> i32 {
    current().flags.and_not(PF_NOFREEZE);
    loop {
        stack_pinned!(let wait = WaitQueueEntry::new(current()));
        loop {
            prepare_to_wait(&oom_reaper_wait, wait, TASK_INTERRUPTIBLE);
            if oom_reaper_list.get().is_some() {
                break;
            }
            schedule();
        }
        finish_wait(&oom_reaper_wait, wait);
        while let Some(tsk) = next_victim() {
            oom_reap_task(tsk);
        }
    }
}

/// Hands a task that is being killed for its memory to the reaper.
///
/// # Context
/// Any that may wake a task.
pub fn queue_oom_reaper(tsk: TaskRef) {
    count_vm_event(VmEventItem::OomKill);
    get_task_struct(tsk);
    {
        let _guard = oom_reaper_lock.lock_irqsave();
        tsk.oom_reaper_list.set(oom_reaper_list.get());
        oom_reaper_list.set(Some(tsk));
    }
    wake_up(&oom_reaper_wait);
}

/// A subsystem initcall.
pub fn oom_init() -> i32 {
    match kthread_run(oom_reaper, VoidPtr::NULL, format_args!("oom_reaper")) {
        Ok(_) => 0,
        Err(error) => error,
    }
}
