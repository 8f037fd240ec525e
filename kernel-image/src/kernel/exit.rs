//! The end of a task. Linux: `kernel/exit.c` (v6.8).
//!
//! Kept: the order of a kernel thread's end: flag, event, notification, the dead state, the last switch;
//! its slot is given back by the task that comes after it, after a grace period. Left out: everything of user processes,
//! zombies: kthreadd's children are reaped at once, as Linux does because kthreadd ignores SIGCHLD.
//! Locks: `tasklist_lock` while it leaves the list.

use crate::BUG_ON;
use crate::arch::x86::include::asm::current::current;
use crate::include::linux::irqflags::{local_irq_disable, local_irq_enable};
use crate::include::linux::list::list_del_init;
use crate::include::linux::preempt::preempt_disable;
use crate::include::linux::rcupdate::{RcuHead, exit_tasks_rcu_finish, exit_tasks_rcu_start};
use crate::include::linux::sched::task::put_task_struct;
use crate::include::linux::sched::{EXIT_DEAD, PF_EXITING, TaskRef, TaskStruct, is_idle_task};
use crate::include::trace::events::sched::{trace_sched_process_exit, trace_sched_process_free};
use crate::kernel::fork::{mm_release, mmgrab_lazy_tlb, mmput, tasklist_lock};
use crate::kernel::pid::free_pid;
use crate::kernel::rcu::tree::call_rcu;
use crate::kernel::rcu::tree_plugin::exit_rcu;
use crate::kernel::sched::core::do_task_dead;
use core::sync::atomic::Ordering;

/// Ends the current task.
///
/// # Context
/// Task context, preemption on.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn do_exit(code: i64) -> ! {
    let tsk = current();
    BUG_ON!(is_idle_task(tsk));
    if tsk.pid.get() == 1 {
        crate::kernel::panic::panic(format_args!(
            "Attempted to kill init! exitcode={:#010x}",
            code as u32
        ));
    }
    tsk.flags.or(PF_EXITING);
    tsk.exit_code.set(code as i32);
    exit_mm(tsk);
    trace_sched_process_exit(tsk);
    exit_tasks_rcu_start();
    exit_notify(tsk);
    // A dead task that is preempted would be taken for one that has switched for the last time.
    preempt_disable();
    exit_rcu();
    exit_tasks_rcu_finish();
    do_task_dead()
}

/// The task lets go of its memory map; until the last switch it borrows it.
fn exit_mm(tsk: TaskRef) {
    mm_release(tsk);
    let Some(mm) = tsk.mm.get() else {
        return;
    };
    mmgrab_lazy_tlb(mm);
    local_irq_disable();
    tsk.mm.set(None);
    local_irq_enable();
    mmput(mm);
}

fn exit_notify(tsk: TaskRef) {
    tsk.exit_state.set(EXIT_DEAD);
    release_task(tsk);
}

/// The task leaves the list of tasks; only the scheduler still refers to it.
fn release_task(p: TaskRef) {
    let guard = tasklist_lock.lock();
    list_del_init(&p.tasks);
    free_pid(p.pid.get());
    drop(guard);
    put_task_struct_rcu_user(p);
}

/// No reader can see the task any more: its last reference but those that others took goes.
fn delayed_put_task_struct(rhp: &'static RcuHead) {
    let tsk = crate::container_of!(rhp, TaskStruct, rcu);
    trace_sched_process_free(tsk);
    put_task_struct(tsk);
}

/// The reaper or the scheduler lets go of a task. Whoever found it in a reader may still look at it.
///
/// # Context
/// Any.
pub fn put_task_struct_rcu_user(task: TaskRef) {
    if task.rcu_users.fetch_sub(1, Ordering::AcqRel) == 1 {
        call_rcu(&task.rcu, delayed_put_task_struct);
    }
}
