//! CPU affinity: masks, the moves they cause, and the stopper's part in them.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `is_cpu_allowed` to `select_task_rq`, `migrate_disable`,
//! `affine_move_task`, `migration_cpu_stop`, `sched_setaffinity`.
//! Kept: the three ways of an affinity change (sleeping: masks only; queued: moved by the caller;
//! running: moved by the stopper, with a pending object that several callers share). Left out:
//! cpusets. Differs: the
//! pending object's stack lifetime is checked (`stack_pinned!`).
//! Locks: `pi_lock`, then the runqueue's; the stopper's lock is taken with neither held.

use super::push::push_cpu_stop;
use super::queue::{
    activate_task, deactivate_task, dequeue_task, enqueue_task, set_task_cpu, wakeup_preempt,
};
use super::schedule::{put_prev_task, set_next_task};
use super::syscalls::check_same_owner;
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::fence::void::VoidPtr;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpumask::{
    Cpumask, NR_CPUS, cpu_active, cpu_active_mask, cpu_dying, cpu_online, cpu_online_mask,
    cpu_possible_mask, cpumask_any_and_distribute,
};
use crate::include::linux::cred::{CAP_SYS_NICE, capable};
use crate::include::linux::errno::{EBUSY, EINVAL, EPERM};
use crate::include::linux::irqflags::{local_irq_disable, local_irq_enable};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::{
    MDF_PUSH, PF_NO_SETAFFINITY, TASK_WAKING, TaskRef, same_task, task_cpu,
};
use crate::include::linux::spinlock::{raw_spin_lock, raw_spin_unlock};
use crate::include::linux::stop_machine::{CpuStopWork, stop_one_cpu, stop_one_cpu_nowait};
use crate::include::trace::events::stop::trace_stop_complete_pending;
use crate::kernel::kreplay::counters::{count, kreplay_counters};
use crate::kernel::kthread::kthread_is_per_cpu;
use crate::kernel::sched::completion::{complete_all, wait_for_completion};
use crate::kernel::sched::deadline::params::dl_task_check_affinity;
use crate::kernel::sched::sched::{
    DEQUEUE_NOCLOCK, DEQUEUE_SAVE, ENQUEUE_NOCLOCK, ENQUEUE_RESTORE, RqFlags, RqRef, WF_EXEC,
    cpu_of, cpu_rq, is_kthread, is_migration_disabled, raw_spin_rq_lock, raw_spin_rq_unlock,
    same_rq, task_current, task_on_cpu, task_on_rq_queued, task_rq, task_rq_lock, task_rq_unlock,
    this_rq, update_rq_clock,
};
use crate::kernel::sched::wait_bit::{wait_var_event, wake_up_var};
use crate::kernel::smp::flush_smp_call_function_queue;
use crate::{BUG, WARN_ON_ONCE, printk_deferred, stack_pinned};
use core::sync::atomic::{AtomicI32, Ordering};

/// The caller wants `PF_NO_SETAFFINITY` respected.
pub const SCA_CHECK: u32 = 0x01;
/// The mask is narrowed for `migrate_disable`.
pub const SCA_MIGRATE_DISABLE: u32 = 0x02;
/// The mask is widened again.
pub const SCA_MIGRATE_ENABLE: u32 = 0x04;
/// The mask comes from a user.
pub const SCA_USER: u32 = 0x08;

/// An affinity change.
#[doc(alias = "affinity_context")]
#[repr(C)]
pub struct AffinityContext<'a> {
    /// The mask asked for.
    pub new_mask: &'a Cpumask,
    /// What the user asked for, whatever the kernel makes of it.
    pub user_mask: Option<&'a Cpumask>,
    /// `SCA_*`.
    pub flags: u32,
}

/// What `migration_cpu_stop` is to do.
#[doc(alias = "migration_arg")]
#[repr(C)]
pub struct MigrationArg {
    /// The task to move.
    pub task: Shared<Option<TaskRef>>,
    /// Where to.
    pub dest_cpu: Shared<i32>,
    /// Whom to tell when it is done.
    pub pending: Shared<Option<&'static SetAffinityPending>>,
}

impl MigrationArg {
    /// An empty order.
    pub const fn new() -> MigrationArg {
        MigrationArg {
            task: Shared::new(None),
            dest_cpu: Shared::new(0),
            pending: Shared::new(None),
        }
    }
}

impl StackObject for MigrationArg {
    fn quiescent(&self) -> bool {
        // Read by one stopper, before the request's `done` fires, which the owner waits for.
        true
    }
}

/// An affinity change that waits until its task has been moved. It lives on the stack of the first
/// caller; later callers share it, and the first waits until they have let go.
#[doc(alias = "set_affinity_pending")]
#[repr(C)]
pub struct SetAffinityPending {
    /// Callers that use it.
    pub refs: AtomicI32,
    /// Its work is queued or running: under the task's `pi_lock`.
    pub stop_pending: Shared<u32>,
    /// Fires when the task is where it may be.
    pub done: Completion,
    /// The work for the stopper.
    pub stop_work: CpuStopWork,
    /// The work's order.
    pub arg: MigrationArg,
}

impl SetAffinityPending {
    const fn new() -> SetAffinityPending {
        SetAffinityPending {
            refs: AtomicI32::new(0),
            stop_pending: Shared::new(0),
            done: Completion::new(),
            stop_work: CpuStopWork::new(),
            arg: MigrationArg::new(),
        }
    }
}

impl StackObject for SetAffinityPending {
    fn quiescent(&self) -> bool {
        self.refs.load(Ordering::Acquire) == 0
            && self.stop_pending.get() == 0
            && self.done.quiescent()
    }
}

/// Masks of one CPU each, to point `cpus_ptr` at (`cpumask_of`).
static cpu_bit_bitmap: PerCpu<Shared<Cpumask>> = PerCpu::new({
    let mut all = [const { Shared::new(Cpumask::EMPTY) }; NR_CPUS];
    let mut cpu = 0;
    while cpu < NR_CPUS {
        all[cpu] = Shared::new(Cpumask::of(cpu as u32));
        cpu += 1;
    }
    all
});

/// Whether a task may be queued on a CPU now.
fn is_cpu_allowed(p: TaskRef, cpu: u32) -> bool {
    if !p.allowed().test(cpu) {
        return false;
    }
    if is_migration_disabled(p) {
        return cpu_online(cpu);
    }
    if !is_kthread(p) {
        return cpu_active(cpu);
    }
    if kthread_is_per_cpu(p) {
        return cpu_online(cpu);
    }
    if cpu_dying(cpu) {
        return false;
    }
    cpu_online(cpu)
}

/// Chooses a CPU for a task that wakes or is new. Its `pi_lock` is held.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn select_task_rq(p: TaskRef, cpu: i32, wake_flags: i32) -> i32 {
    let cpu = if p.nr_cpus_allowed.get() > 1 && !is_migration_disabled(p) {
        (p.class().select_task_rq)(p, cpu, wake_flags)
    } else {
        p.allowed().first() as i32
    };
    if is_cpu_allowed(p, cpu as u32) {
        cpu
    } else {
        select_fallback_rq(task_cpu(p) as i32, p)
    }
}

/// The CPU of last resort: the lowest one that is allowed, with the mask widened until there is one.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn select_fallback_rq(cpu: i32, p: TaskRef) -> i32 {
    let mut widened = false;
    loop {
        if let Some(dest_cpu) = p.allowed().iter().find(|&dest| is_cpu_allowed(p, dest)) {
            // Kernel threads of a CPU that is not up yet come here as a matter of course.
            if widened && p.mm.get().is_some() {
                printk_deferred!(
                    6,
                    "process {} ({}) no longer affine to cpu{cpu}",
                    p.pid.get(),
                    p.comm_str()
                );
            }
            return dest_cpu as i32;
        }
        // One memory node and no cpusets: the next stage is "any CPU that may exist".
        if widened {
            BUG!();
        }
        do_set_cpus_allowed(p, &cpu_possible_mask());
        widened = true;
    }
}

/// What every class does with a new mask.
pub fn set_cpus_allowed_common(p: TaskRef, ctx: &AffinityContext<'_>) {
    if ctx.flags & SCA_MIGRATE_DISABLE != 0 {
        p.cpus_ptr
            .set(Some(cpu_bit_bitmap.per_cpu(ctx.new_mask.first())));
        return;
    }
    if ctx.flags & SCA_MIGRATE_ENABLE != 0 {
        p.cpus_ptr.set(Some(&p.cpus_mask));
        return;
    }
    p.cpus_mask.set(*ctx.new_mask);
    p.nr_cpus_allowed.set(ctx.new_mask.weight() as i32);
    if ctx.flags & SCA_USER != 0 {
        set_user_cpus(p, ctx);
    }
}

/// Keeps the mask that the user gave, or that there is none.
fn set_user_cpus(p: TaskRef, ctx: &AffinityContext<'_>) {
    p.user_cpus_ptr
        .set(ctx.user_mask.copied().unwrap_or(Cpumask::EMPTY));
}

/// Gives the task its mask; a queued or running one is taken out and put back around it.
fn __do_set_cpus_allowed(p: TaskRef, ctx: &AffinityContext<'_>) {
    let rq = task_rq(p);
    let queued = task_on_rq_queued(p);
    let running = task_current(rq, p);
    if queued {
        dequeue_task(rq, p, DEQUEUE_SAVE | DEQUEUE_NOCLOCK);
    }
    if running {
        put_prev_task(rq, p);
    }
    (p.class().set_cpus_allowed)(p, ctx);
    if queued {
        enqueue_task(rq, p, ENQUEUE_RESTORE | ENQUEUE_NOCLOCK);
    }
    if running {
        set_next_task(rq, p);
    }
}

/// Sets the mask of a task that is in no queue, or in a fallback; nothing is moved.
pub fn do_set_cpus_allowed(p: TaskRef, new_mask: &Cpumask) {
    __do_set_cpus_allowed(
        p,
        &AffinityContext {
            new_mask,
            user_mask: None,
            flags: SCA_USER,
        },
    );
}

/// Moves a queued task. Both the task's `pi_lock` and its runqueue's lock are held; returns the new
/// runqueue, locked.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn move_queued_task(rq: RqRef, p: TaskRef, new_cpu: u32) -> RqRef {
    deactivate_task(rq, p, DEQUEUE_NOCLOCK);
    set_task_cpu(p, new_cpu);
    raw_spin_rq_unlock(rq);

    let rq = cpu_rq(new_cpu);
    raw_spin_rq_lock(rq);
    WARN_ON_ONCE!(task_cpu(p) != new_cpu);
    activate_task(rq, p, 0);
    wakeup_preempt(rq, p, 0);
    rq
}

/// Moves a queued task if it may go there.
pub(super) fn __migrate_task(rq: RqRef, p: TaskRef, dest_cpu: u32) -> RqRef {
    if !is_cpu_allowed(p, dest_cpu) {
        return rq;
    }
    move_queued_task(rq, p, dest_cpu)
}

/// The stopper's part of a move: it runs on the task's CPU, so the task does not.
///
/// # Context
/// The stopper thread of the task's CPU, preemption off, interrupts on.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn migration_cpu_stop(data: VoidPtr) -> i32 {
    let arg = data.get::<MigrationArg>();
    let pending = arg.pending.get();
    let p = arg.task.get().expect("a migration without a task");
    let mut rq = this_rq();
    let mut complete = false;

    local_irq_disable();
    // The task may be on this CPU's list of wake-ups: let it come in, or it would be missed.
    flush_smp_call_function_queue();

    raw_spin_lock(&p.pi_lock);
    raw_spin_rq_lock(rq);
    if same_rq(task_rq(p), rq) {
        if !is_migration_disabled(p) {
            let mut at_home = false;
            if let Some(pending) = pending {
                detach_pending(p, pending);
                complete = true;
                at_home = p.cpus_mask.get().test(task_cpu(p));
            }
            if !at_home {
                rq = migrate_here(rq, p, arg.dest_cpu.get());
            }
        }
    } else if let Some(pending) = pending {
        // It went elsewhere by itself; if it may not be there, its new CPU's stopper takes over.
        if !p.allowed().test(task_cpu(p)) {
            requeue_stop(rq, p, pending);
            return 0;
        }
        detach_pending(p, pending);
        complete = true;
    }
    if let Some(pending) = pending {
        pending.stop_pending.set(0);
    }
    raw_spin_rq_unlock(rq);
    raw_spin_unlock(&p.pi_lock);
    local_irq_enable();

    if let (true, Some(pending)) = (complete, pending) {
        complete_pending(p, pending);
    }
    0
}

/// The task belongs to this CPU and does not run: off it goes. Returns the runqueue that is locked.
#[inline(always)]
fn migrate_here(rq: RqRef, p: TaskRef, dest_cpu: i32) -> RqRef {
    if !task_on_rq_queued(p) {
        // It sleeps: its next wake-up goes there.
        p.wake_cpu.set(dest_cpu);
        return rq;
    }
    update_rq_clock(rq);
    let dest = __migrate_task(rq, p, dest_cpu as u32);
    if !same_rq(rq, dest) {
        count(&kreplay_counters.stopper_moves);
    }
    dest
}

/// Hands the work to the stopper of the task's new CPU. Both locks are held, and released here.
#[inline(always)]
fn requeue_stop(rq: RqRef, p: TaskRef, pending: &'static SetAffinityPending) {
    WARN_ON_ONCE!(pending.stop_pending.get() == 0);
    preempt_disable();
    raw_spin_rq_unlock(rq);
    raw_spin_unlock(&p.pi_lock);
    local_irq_enable();
    let arg = VoidPtr::new(&pending.arg);
    count(&kreplay_counters.affinity_stop_works);
    // From here on it may be anywhere: that stopper looks again.
    stop_one_cpu_nowait(task_cpu(p), migration_cpu_stop, arg, &pending.stop_work);
    preempt_enable();
}

/// The pending object belongs to the task no more: later changes start their own.
fn detach_pending(p: TaskRef, pending: &'static SetAffinityPending) {
    WARN_ON_ONCE!(
        !p.migration_pending
            .get()
            .is_some_and(|its| core::ptr::eq(its, pending))
    );
    p.migration_pending.set(None);
}

/// Tells everybody who waits for this pending object.
#[inline(always)]
fn complete_pending(p: TaskRef, pending: &'static SetAffinityPending) {
    trace_stop_complete_pending(pending, p);
    complete_all(&pending.done);
}

/// Brings a task whose mask has changed to an allowed CPU, and waits until it is there.
///
/// Both locks are held, and released here. The cases:
/// it is where it may be: an older pending change is done too. It runs, or is being woken: the
/// stopper of its CPU moves it. It waits in a queue: it is moved now. It sleeps: its wake-up will
/// move it.
#[inline(never)]
fn affine_move_task(rq: RqRef, p: TaskRef, rf: &RqFlags, dest_cpu: u32, flags: u32) -> i32 {
    stack_pinned!(let my_pending = SetAffinityPending::new());

    if p.cpus_mask.get().test(task_cpu(p)) {
        affine_in_place(rq, p, rf, flags);
        return 0;
    }
    let Some(pending) = join_pending(p, my_pending, dest_cpu, flags) else {
        // migrate_enable with no change outstanding, on a CPU that is not allowed.
        WARN_ON_ONCE!(true);
        task_rq_unlock(rq, p, rf);
        return -EINVAL;
    };
    if task_on_cpu(p) || p.__state.get() == TASK_WAKING {
        affine_by_stopper(rq, p, rf, pending, flags);
        if flags & SCA_MIGRATE_ENABLE != 0 {
            return 0;
        }
    } else {
        affine_directly(rq, p, rf, pending, dest_cpu);
    }

    wait_for_completion(&pending.done);
    if pending.refs.fetch_sub(1, Ordering::AcqRel) == 1 {
        // The object may be gone by now, if it is not mine: this is its address only.
        wake_up_var(&pending.refs);
    }
    // The others that share my object may still be on their way out of it.
    wait_var_event(&my_pending.refs, || {
        my_pending.refs.load(Ordering::Acquire) == 0
    });
    WARN_ON_ONCE!(my_pending.stop_pending.get() != 0);
    0
}

/// The task may stay: whatever was pending is done, unless a stopper is on its way and will see to it. If
/// a push has failed because the task could not migrate, now it can.
#[inline(always)]
fn affine_in_place(rq: RqRef, p: TaskRef, rf: &RqFlags, flags: u32) {
    count(&kreplay_counters.affinity_stayed);
    let push = flags & SCA_MIGRATE_ENABLE != 0
        && p.migration_flags.get() & MDF_PUSH != 0
        && rq.push_busy.get() == 0;
    if push {
        rq.push_busy.set(1);
        get_task_struct(p);
    }
    let done = p
        .migration_pending
        .get()
        .filter(|pending| pending.stop_pending.get() == 0);
    if done.is_some() {
        p.migration_pending.set(None);
    }
    preempt_disable();
    task_rq_unlock(rq, p, rf);
    if push {
        let arg = VoidPtr::new(p);
        if stop_one_cpu_nowait(cpu_of(rq), push_cpu_stop, arg, &rq.push_work) {
            count(&kreplay_counters.balance_stop_works);
        }
    }
    preempt_enable();
    if let Some(pending) = done {
        complete_pending(p, pending);
    }
}

/// The pending object to wait for: the task's, if it has one, else mine. `migrate_enable` only looks.
#[inline(always)]
fn join_pending(
    p: TaskRef,
    my_pending: &'static SetAffinityPending,
    dest_cpu: u32,
    flags: u32,
) -> Option<&'static SetAffinityPending> {
    let pending = p.migration_pending.get();
    if flags & SCA_MIGRATE_ENABLE != 0 {
        return pending;
    }
    if let Some(shared) = pending {
        shared.refs.fetch_add(1, Ordering::Relaxed);
        // Valid for the newest mask; the older callers are served by it as well.
        shared.arg.dest_cpu.set(dest_cpu as i32);
        return pending;
    }
    my_pending.refs.store(1, Ordering::Relaxed);
    my_pending.arg.task.set(Some(p));
    my_pending.arg.dest_cpu.set(dest_cpu as i32);
    my_pending.arg.pending.set(Some(my_pending));
    p.migration_pending.set(Some(my_pending));
    Some(my_pending)
}

/// The task runs, maybe as the caller: its CPU's stopper has to move it. One work at a time.
#[inline(always)]
fn affine_by_stopper(
    rq: RqRef,
    p: TaskRef,
    rf: &RqFlags,
    pending: &'static SetAffinityPending,
    flags: u32,
) {
    count(&kreplay_counters.affinity_running);
    let stop_pending = pending.stop_pending.replace(1) != 0;
    if flags & SCA_MIGRATE_ENABLE != 0 {
        // It leaves this CPU anyway.
        p.migration_flags.and_not(MDF_PUSH);
    }
    // The object stays as long as stop_pending is set; the stopper clears it.
    preempt_disable();
    let cpu = cpu_of(rq);
    task_rq_unlock(rq, p, rf);
    if !stop_pending {
        let arg = VoidPtr::new(&pending.arg);
        count(&kreplay_counters.affinity_stop_works);
        stop_one_cpu_nowait(cpu, migration_cpu_stop, arg, &pending.stop_work);
    }
    preempt_enable();
}

/// The task does not run: a queued one is moved now, a sleeping one when it wakes. One that may not
/// migrate is left to its `migrate_enable`.
#[inline(always)]
fn affine_directly(
    mut rq: RqRef,
    p: TaskRef,
    rf: &RqFlags,
    pending: &'static SetAffinityPending,
    dest_cpu: u32,
) {
    let mut done = false;
    let queued = task_on_rq_queued(p);
    count(if queued {
        &kreplay_counters.affinity_queued
    } else {
        &kreplay_counters.affinity_sleeping
    });
    if !is_migration_disabled(p) {
        if queued {
            rq = move_queued_task(rq, p, dest_cpu);
        }
        if pending.stop_pending.get() == 0 {
            p.migration_pending.set(None);
            done = true;
        }
    }
    task_rq_unlock(rq, p, rf);
    if done {
        complete_pending(p, pending);
    }
}

/// The current task is about to become another program, with nothing in any cache: the cheapest moment
/// to move it to a better CPU.
///
/// # Context
/// May sleep.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sched_exec() {
    let p = current();
    let guard = p.pi_lock.lock_irqsave();
    let cpu = task_cpu(p);
    let dest_cpu = (p.class().select_task_rq)(p, cpu as i32, WF_EXEC) as u32;
    let go = dest_cpu != cpu && cpu_active(dest_cpu);
    drop(guard);
    if go {
        stack_pinned!(let arg = MigrationArg::new());
        arg.task.set(Some(p));
        arg.dest_cpu.set(dest_cpu as i32);
        stop_one_cpu(cpu, migration_cpu_stop, VoidPtr::new(arg));
    }
}

/// Gives a task a new mask and moves it off a CPU that the mask does not have.
///
/// # Context
/// May sleep.
/// # Returns
/// 0, -EINVAL if no allowed CPU is left or the task's mask is fixed, -EBUSY.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn __set_cpus_allowed_ptr(p: TaskRef, ctx: &AffinityContext<'_>) -> i32 {
    let mut rf = RqFlags::new();
    let rq = task_rq_lock(p, &mut rf);
    // What the user asked for goes on to hold, as far as it can.
    let keeps_user = ctx.flags & (SCA_USER | SCA_MIGRATE_ENABLE | SCA_MIGRATE_DISABLE) == 0;
    let both = p.user_cpus_ptr.get().and(*ctx.new_mask);
    let new_mask = if keeps_user && !both.is_empty() {
        both
    } else {
        *ctx.new_mask
    };
    let ctx = AffinityContext {
        new_mask: &new_mask,
        user_mask: ctx.user_mask,
        flags: ctx.flags,
    };
    __set_cpus_allowed_ptr_locked(p, &ctx, rq, &rf)
}

fn __set_cpus_allowed_ptr_locked(
    p: TaskRef,
    ctx: &AffinityContext<'_>,
    rq: RqRef,
    rf: &RqFlags,
) -> i32 {
    update_rq_clock(rq);
    let valid_mask = if is_kthread(p) || is_migration_disabled(p) {
        cpu_online_mask()
    } else {
        cpu_active_mask()
    };
    if !is_kthread(p) && !ctx.new_mask.subset(cpu_possible_mask()) {
        task_rq_unlock(rq, p, rf);
        return -EINVAL;
    }
    if ctx.flags & SCA_CHECK != 0 && p.flags.get() & PF_NO_SETAFFINITY != 0 {
        task_rq_unlock(rq, p, rf);
        return -EINVAL;
    }
    if ctx.flags & SCA_MIGRATE_ENABLE == 0 {
        if p.cpus_mask.get() == *ctx.new_mask {
            // The same CPUs, but from now on they are what the user asked for.
            if ctx.flags & SCA_USER != 0 {
                set_user_cpus(p, ctx);
            }
            task_rq_unlock(rq, p, rf);
            return 0;
        }
        let stuck =
            same_task(p, current()) && is_migration_disabled(p) && !ctx.new_mask.test(task_cpu(p));
        if WARN_ON_ONCE!(stuck) {
            task_rq_unlock(rq, p, rf);
            return -EBUSY;
        }
    }
    // Spread over the allowed CPUs, so that many tasks with one mask do not all land on one CPU.
    let dest_cpu = cpumask_any_and_distribute(valid_mask, *ctx.new_mask);
    if dest_cpu as usize >= NR_CPUS {
        task_rq_unlock(rq, p, rf);
        return -EINVAL;
    }
    count(&kreplay_counters.affinity_changes);
    __do_set_cpus_allowed(p, ctx);
    affine_move_task(rq, p, rf, dest_cpu, ctx.flags)
}

/// Gives a task a new mask.
///
/// # Context
/// May sleep.
/// # Returns
/// As `__set_cpus_allowed_ptr`.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn set_cpus_allowed_ptr(p: TaskRef, new_mask: &Cpumask) -> i32 {
    __set_cpus_allowed_ptr(
        p,
        &AffinityContext {
            new_mask,
            user_mask: None,
            flags: 0,
        },
    )
}

/// The same on behalf of the current task: a fixed mask stays, others' tasks need a privilege, and a
/// deadline task must keep its whole root domain.
///
/// # Returns
/// -EINVAL, -EPERM, -EBUSY or as `__set_cpus_allowed_ptr`, in this order.
pub fn sched_setaffinity(p: TaskRef, new_mask: &Cpumask) -> i32 {
    get_task_struct(p);
    let ret = if p.flags.get() & PF_NO_SETAFFINITY != 0 {
        -EINVAL
    } else if !check_same_owner(p) && !capable(CAP_SYS_NICE) {
        -EPERM
    } else {
        __sched_setaffinity(p, new_mask)
    };
    put_task_struct(p);
    ret
}

fn __sched_setaffinity(p: TaskRef, asked: &Cpumask) -> i32 {
    // No cpusets: every possible CPU may be asked for.
    let new_mask = asked.and(cpu_possible_mask());
    match dl_task_check_affinity(p, &new_mask) {
        0 => __set_cpus_allowed_ptr(
            p,
            &AffinityContext {
                new_mask: &new_mask,
                user_mask: Some(asked),
                flags: SCA_USER | SCA_CHECK,
            },
        ),
        error => error,
    }
}

/// The CPUs a task may use now.
pub fn sched_getaffinity(p: TaskRef) -> Cpumask {
    let _pi = p.pi_lock.lock_irqsave();
    p.cpus_mask.get().and(cpu_active_mask())
}

/// The current task stays on this CPU until `migrate_enable`; it may still be preempted.
pub fn migrate_disable() {
    let p = current();
    if p.migration_disabled.get() != 0 {
        p.migration_disabled.inc();
        return;
    }
    preempt_disable();
    this_rq().nr_pinned.inc();
    p.migration_disabled.set(1);
    preempt_enable();
}

/// Ends the innermost `migrate_disable`.
pub fn migrate_enable() {
    let p = current();
    if p.migration_disabled.get() > 1 {
        p.migration_disabled.dec();
        return;
    }
    if WARN_ON_ONCE!(p.migration_disabled.get() == 0) {
        return;
    }
    // Preemption off: the stopper that has to move us comes only after the count is down.
    preempt_disable();
    let narrowed = !p
        .cpus_ptr
        .get()
        .is_some_and(|its| core::ptr::eq(its, &p.cpus_mask));
    if narrowed {
        let mask = p.cpus_mask.get();
        __set_cpus_allowed_ptr(
            p,
            &AffinityContext {
                new_mask: &mask,
                user_mask: None,
                flags: SCA_MIGRATE_ENABLE,
            },
        );
    }
    p.migration_disabled.set(0);
    cpu_rq(raw_smp_processor_id()).nr_pinned.dec();
    preempt_enable();
}

/// A task with migration disabled leaves its CPU: from now on its mask says what holds.
pub(super) fn migrate_disable_switch(rq: RqRef, p: TaskRef) {
    if p.migration_disabled.get() == 0 {
        return;
    }
    if !p
        .cpus_ptr
        .get()
        .is_some_and(|its| core::ptr::eq(its, &p.cpus_mask))
    {
        return;
    }
    let here = Cpumask::of(cpu_of(rq));
    __do_set_cpus_allowed(
        p,
        &AffinityContext {
            new_mask: &here,
            user_mask: None,
            flags: SCA_MIGRATE_DISABLE,
        },
    );
}
