//! How tasks are made. Linux: `kernel/fork.c` (v6.8).
//!
//! Kept: `kernel_thread`, `user_mode_thread` and clone3's kernel half as three ways to fill
//! `kernel_clone_args`; `kernel_clone` with vfork, `copy_process` with its checks of flags and the scheduler's
//! steps in Linux's order, `fork_idle`; a task's slot and stack; in `mm`, memory maps' life. Left out: what maps
//! map, files, signals, credentials, name spaces, cgroups. Differs: a child of clone3 runs a function, which
//! stands for the program it would return to; slots come from the heap once and go back to a list of free slots, never
//! to the heap, so that a reference to a task cannot dangle; a free slot keeps its stack, as Linux's
//! cache of stacks does.
//! Locks: `tasklist_lock` for the list of tasks, `free_slots_lock` for the free ones.

extern crate alloc;

pub mod clone3;
pub mod mm;

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::kernel::process::copy_thread;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::completion::Completion;
use crate::include::linux::errno::{EINVAL, ENOMEM};
use crate::include::linux::list::list_add_tail;
use crate::include::linux::mm_types::init_mm;
use crate::include::linux::rcupdate::rcu_copy_process;
use crate::include::linux::sched::task::*;
use crate::include::linux::sched::{
    PF_FORKNOEXEC, PF_IDLE, PF_KTHREAD, PF_NO_SETAFFINITY, PF_SUPERPRIV, PF_WQ_WORKER,
    TASK_COMM_LEN, TaskRef, TaskStruct,
};
use crate::include::linux::spinlock::RawSpinlock;
use crate::include::trace::events::sched::trace_sched_process_fork;
use crate::init::init_task::init_task;
use crate::kernel::fork::mm::wait_for_vfork_done;
use crate::kernel::kthread::set_kthread_struct;
use crate::kernel::pid::alloc_pid;
use crate::kernel::sched::core::{
    init_idle, sched_cgroup_fork, sched_fork, sched_post_fork, wake_up_new_task,
};
use crate::mm::vmalloc::alloc_thread_stack_node;
use crate::stack_pinned;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

pub use clone3::sys_clone3;
use mm::copy_mm;
pub use mm::{mm_alloc, mm_release, mmdrop_lazy_tlb, mmget, mmgrab_lazy_tlb, mmput};

/// Protects the list of all tasks.
pub static tasklist_lock: RawSpinlock = RawSpinlock::new();
/// Forks so far.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static total_forks: AtomicU64 = AtomicU64::new(0);

static free_slots_lock: RawSpinlock = RawSpinlock::new();
static free_slots: Shared<Option<TaskRef>> = Shared::new(None);

/// A slot for a task: a used one if there is one.
fn alloc_task_struct_node() -> TaskRef {
    let guard = free_slots_lock.lock_irqsave();
    let slot = free_slots.get();
    if let Some(slot) = slot {
        free_slots.set(slot.free_next.get());
    }
    drop(guard);
    slot.unwrap_or_else(|| Box::leak(Box::new(TaskStruct::new())))
}

/// The last reference is gone: the slot may become another task.
pub fn __put_task_struct(tsk: TaskRef) {
    let _guard = free_slots_lock.lock_irqsave();
    tsk.free_next.set(free_slots.get());
    free_slots.set(Some(tsk));
}

/// A dead task's stack stays with its slot.
pub fn put_task_stack(_tsk: TaskRef) {}

/// Copies what a new task inherits.
fn dup_task_struct(orig: TaskRef) -> Option<TaskRef> {
    let tsk = alloc_task_struct_node();
    if tsk.stack.get() == 0 {
        let Some(stack) = alloc_thread_stack_node() else {
            __put_task_struct(tsk);
            return None;
        };
        tsk.stack.set(stack);
    }
    // RCU's users: whoever reaps it, and the scheduler; together they hold one reference.
    tsk.rcu_users.store(2, Ordering::Relaxed);
    tsk.usage.store(1, Ordering::Relaxed);
    tsk.thread_info.flags.store(0, Ordering::Relaxed);
    tsk.flags.set(orig.flags.get());
    for (to, from) in tsk.comm.iter().zip(&orig.comm) {
        to.set(from.get());
    }
    for (to, from) in [
        (&tsk.prio, &orig.prio),
        (&tsk.static_prio, &orig.static_prio),
        (&tsk.normal_prio, &orig.normal_prio),
        (&tsk.nr_cpus_allowed, &orig.nr_cpus_allowed),
        (&tsk.wake_cpu, &orig.wake_cpu),
        (&tsk.recent_used_cpu, &orig.recent_used_cpu),
    ] {
        to.set(from.get());
    }
    tsk.policy.set(orig.policy.get());
    tsk.wakee_flips.set(orig.wakee_flips.get());
    tsk.wakee_flip_decay_ts.set(orig.wakee_flip_decay_ts.get());
    tsk.last_wakee.set(orig.last_wakee.get());
    tsk.rt_priority.set(orig.rt_priority.get());
    tsk.sched_reset_on_fork.set(orig.sched_reset_on_fork.get());
    tsk.cpus_mask.set(orig.cpus_mask.get());
    tsk.user_cpus_ptr.set(orig.user_cpus_ptr.get());
    tsk.cpus_ptr.set(Some(&tsk.cpus_mask));
    tsk.cred.copy_from(&orig.cred);
    for (to, from) in tsk.rlim.iter().zip(&orig.rlim) {
        to.set(from.get());
    }
    tsk.se.load.weight.set(orig.se.load.weight.get());
    tsk.se.load.inv_weight.set(orig.se.load.inv_weight.get());
    tsk.migration_disabled.set(0);
    tsk.migration_flags.set(0);
    tsk.exit_state.set(0);
    tsk.exit_code.set(0);
    tsk.sched_contributes_to_load.set(0);
    tsk.sched_remote_wakeup.set(0);
    tsk.worker.set(None);
    tsk.pending.store(0, Ordering::Relaxed);
    tsk.allowed_signals.store(0, Ordering::Relaxed);
    tsk.nvcsw.set(0);
    tsk.nivcsw.set(0);
    tsk.utime.set(0);
    tsk.stime.set(0);
    tsk.vfork_done.set(None);
    tsk.parent.set(Some(orig));
    Some(tsk)
}

/// Whether the flags go together.
fn clone_flags_valid(args: &KernelCloneArgs) -> bool {
    let has = |flag| args.flags & flag != 0;
    // Mounts of its own and a root directory that is shared; the same for users.
    !(has(CLONE_NEWNS) && has(CLONE_FS)
        || has(CLONE_NEWUSER) && has(CLONE_FS)
        // Threads share their handlers, and whoever shares handlers shares the memory they are in.
        || has(CLONE_THREAD) && !has(CLONE_SIGHAND)
        || has(CLONE_SIGHAND) && !has(CLONE_VM)
        // Nobody becomes a brother of init: its parent would not reap it.
        || has(CLONE_PARENT) && current().pid.get() == 1
        || has(CLONE_THREAD) && (has(CLONE_NEWUSER) || has(CLONE_NEWPID)))
}

/// Makes a task that does not run yet.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
fn copy_process(args: &KernelCloneArgs) -> Result<TaskRef, i32> {
    if !clone_flags_valid(args) {
        return Err(-EINVAL);
    }
    let p = dup_task_struct(current()).ok_or(-ENOMEM)?;
    p.flags
        .and_not(PF_SUPERPRIV | PF_WQ_WORKER | PF_IDLE | PF_NO_SETAFFINITY);
    p.flags.or(PF_FORKNOEXEC);
    if args.kthread {
        p.flags.or(PF_KTHREAD);
        set_kthread_struct(p);
    } else {
        p.flags.and_not(PF_KTHREAD);
    }
    if let Some(name) = &args.name {
        p.set_comm(name);
    }
    rcu_copy_process(p);
    // A slot that is given up here goes back with its references.
    let give_up = |error: i32| {
        __put_task_struct(p);
        error
    };
    match sched_fork(args.flags, p) {
        0 => {}
        error => return Err(give_up(error)),
    }
    copy_mm(args.flags, p);
    let give_up = |error: i32| {
        if let Some(mm) = p.mm.replace(None) {
            mmput(mm);
        }
        give_up(error)
    };
    match copy_thread(p, args) {
        0 => {}
        error => return Err(give_up(error)),
    }
    let pid = if args.idle {
        0
    } else {
        alloc_pid(args.set_tid).map_err(give_up)?
    };
    p.pid.set(pid);
    let thread = args.flags & CLONE_THREAD != 0;
    p.tgid.set(if thread { current().tgid.get() } else { pid });
    // A thread's parent is its group's.
    if args.flags & (CLONE_PARENT | CLONE_THREAD) != 0 {
        p.parent.set(current().parent.get());
    }
    sched_cgroup_fork(p);
    if !args.idle {
        let _guard = tasklist_lock.lock();
        list_add_tail(&p.tasks, &init_task.tasks);
    }
    total_forks.fetch_add(1, Ordering::Relaxed);
    sched_post_fork(p);
    Ok(p)
}

/// Makes a task and lets it run.
///
/// # Returns
/// Its number, or an error.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn kernel_clone(args: &KernelCloneArgs) -> i32 {
    let p = match copy_process(args) {
        Ok(p) => p,
        Err(error) => return error,
    };
    trace_sched_process_fork(current(), p);
    // The number is read before the child runs: it may be gone afterwards.
    let nr = p.pid.get();
    if args.flags & CLONE_VFORK == 0 {
        wake_up_new_task(p);
        return nr;
    }
    stack_pinned!(let vfork = Completion::new());
    p.vfork_done.set(Some(vfork));
    get_task_struct(p);
    wake_up_new_task(p);
    wait_for_vfork_done(p, vfork);
    nr
}

fn thread_args(r#fn: ThreadFn, fn_arg: VoidPtr, flags: u64) -> KernelCloneArgs {
    KernelCloneArgs {
        flags: (flags | CLONE_VM | CLONE_UNTRACED) & !CSIGNAL,
        exit_signal: (flags & CSIGNAL) as i32,
        name: None,
        kthread: false,
        idle: false,
        stack: 0,
        stack_size: 0,
        set_tid: 0,
        r#fn: Some(r#fn),
        fn_arg,
    }
}

/// Makes a kernel thread.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub fn kernel_thread(
    r#fn: ThreadFn,
    arg: VoidPtr,
    name: Option<[u8; TASK_COMM_LEN]>,
    flags: u64,
) -> i32 {
    kernel_clone(&KernelCloneArgs {
        name,
        kthread: true,
        ..thread_args(r#fn, arg, flags)
    })
}

/// Makes a thread that will become a user process: no kernel-thread side, no name of its own.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub fn user_mode_thread(r#fn: ThreadFn, arg: VoidPtr, flags: u64) -> i32 {
    kernel_clone(&thread_args(r#fn, arg, flags))
}

extern "C" fn idle_dummy(_: VoidPtr) -> i32 {
    // The CPU that comes up runs on this task's stack from its own entry: this is never called.
    0
}

/// Makes the idle task of a CPU that is not up yet. It takes no number.
pub fn fork_idle(cpu: u32) -> Option<TaskRef> {
    let args = KernelCloneArgs {
        flags: CLONE_VM,
        kthread: true,
        idle: true,
        ..thread_args(idle_dummy, VoidPtr::NULL, 0)
    };
    let task = copy_process(&args).ok()?;
    // As its CPU would do when it starts: it borrows the kernel's own map.
    task.active_mm.set(Some(&init_mm));
    mmgrab_lazy_tlb(&init_mm);
    init_idle(task, cpu);
    Some(task)
}

/// Start-up of this room: nothing but the list's head, which `init_task` holds.
pub fn fork_init() {
    crate::include::linux::list::INIT_LIST_HEAD(&init_task.tasks);
}
