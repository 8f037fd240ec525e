//! The life of memory maps. Linux: `kernel/fork.c` and `include/linux/sched/mm.h` (v6.8): `mm_alloc`, `copy_mm`,
//! `mmput`, `mmdrop`, `mm_release`.
//!
//! Kept: users and keepers of a map, borrowing, copying or sharing at a fork, whoever waits for a child of
//! vfork. Left out: what a map maps. Differs: maps are recycled instead of freed.
//! Locks: `free_mms_lock` for those that are not in use.

extern crate alloc;

use crate::arch::x86::include::asm::current::current;
use crate::include::linux::completion::Completion;
use crate::include::linux::list::{ListHead, list_add, list_del_init};
use crate::include::linux::mm_types::MmStruct;
use crate::include::linux::sched::task::{CLONE_VM, put_task_struct};
use crate::include::linux::sched::{TASK_KILLABLE, TaskRef};
use crate::include::linux::spinlock::RawSpinlock;
use crate::kernel::sched::completion::{complete, wait_for_completion_state};
use crate::{WARN_ON_ONCE, intrusive_adapter};
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

intrusive_adapter!(FreeLink = MmStruct { free: ListHead });

static free_mms: ListHead = ListHead::new();
static free_mms_lock: RawSpinlock = RawSpinlock::new();
static last_mm_ctx_id: AtomicU64 = AtomicU64::new(0);

/// A new map with one user.
pub fn mm_alloc() -> &'static MmStruct {
    let used = {
        let _guard = free_mms_lock.lock_irqsave();
        let used = FreeLink::first(&free_mms);
        if let Some(mm) = used {
            list_del_init(&mm.free);
        }
        used
    };
    let mm: &'static MmStruct = used.unwrap_or_else(|| Box::leak(Box::new(MmStruct::new())));
    mm.mm_users.store(1, Ordering::SeqCst);
    mm.mm_count.store(1, Ordering::SeqCst);
    mm.flags.store(0, Ordering::SeqCst);
    mm.ctx_id
        .set(last_mm_ctx_id.fetch_add(1, Ordering::SeqCst) + 1);
    mm
}

/// One user more.
pub fn mmget(mm: &'static MmStruct) {
    mm.mm_users.fetch_add(1, Ordering::SeqCst);
}

/// One user less; the last one empties the map.
///
/// # Context
/// May sleep.
pub fn mmput(mm: &'static MmStruct) {
    if mm.mm_users.fetch_sub(1, Ordering::SeqCst) == 1 {
        mmdrop(mm);
    }
}

/// One keeper less; the last one frees the map.
fn mmdrop(mm: &'static MmStruct) {
    if mm.mm_count.fetch_sub(1, Ordering::SeqCst) != 1 {
        return;
    }
    WARN_ON_ONCE!(mm.mm_users.load(Ordering::SeqCst) != 0);
    let _guard = free_mms_lock.lock_irqsave();
    list_add(&mm.free, &free_mms);
}

/// A kernel thread borrows the map.
pub fn mmgrab_lazy_tlb(mm: &'static MmStruct) {
    mm.mm_count.fetch_add(1, Ordering::SeqCst);
}

/// A kernel thread gives a borrowed map back.
pub fn mmdrop_lazy_tlb(mm: &'static MmStruct) {
    mmdrop(mm);
}

/// A map like the old one.
fn dup_mm(oldmm: &'static MmStruct) -> &'static MmStruct {
    let mm = mm_alloc();
    mm.flags
        .store(oldmm.flags.load(Ordering::SeqCst), Ordering::SeqCst);
    mm
}

/// The child's map: none if the parent has none, the same or a copy.
pub(super) fn copy_mm(clone_flags: u64, tsk: TaskRef) {
    tsk.mm.set(None);
    tsk.active_mm.set(None);
    // Of a kernel thread comes a kernel thread: it will borrow one.
    let Some(oldmm) = current().mm.get() else {
        return;
    };
    let mm = if clone_flags & CLONE_VM != 0 {
        mmget(oldmm);
        oldmm
    } else {
        dup_mm(oldmm)
    };
    tsk.mm.set(Some(mm));
    tsk.active_mm.set(Some(mm));
}

/// The task does not use its parent's map any more: it ends, or becomes another program.
pub fn mm_release(tsk: TaskRef) {
    complete_vfork_done(tsk);
}

/// Who waits for the task lets go of the wait, or is told, under this lock (in Linux the task's own, `task_lock`).
static vfork_lock: RawSpinlock = RawSpinlock::new();

/// Tells the parent of vfork, or whoever stops the kernel thread.
fn complete_vfork_done(tsk: TaskRef) {
    let _guard = vfork_lock.lock_irqsave();
    if let Some(vfork) = tsk.vfork_done.replace(None) {
        complete(vfork);
    }
}

/// Waits until the child uses the parent's map no more. A parent that is killed does not wait; the child then has
/// nobody to tell.
pub(super) fn wait_for_vfork_done(child: TaskRef, vfork: &'static Completion) -> i32 {
    let killed = wait_for_completion_state(vfork, TASK_KILLABLE);
    if killed != 0 {
        let _guard = vfork_lock.lock_irqsave();
        child.vfork_done.set(None);
    }
    put_task_struct(child);
    killed
}
