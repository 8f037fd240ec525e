//! Moving a task to a CPU of somebody's choice, and exchanging two tasks.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `migrate_task_to`, `migrate_swap`. Kept: the stopper's part in both, all
//! conditions, before and after the CPUs were stopped. Left out: the callers. In Linux NUMA balancing asks
//! for these moves; this kernel has one node, and the workload `balance` asks.
//! Differs: nothing else.
//! Locks: both tasks' `pi_lock`, by address, then both runqueues' locks, by CPU.

use super::affinity::{MigrationArg, migration_cpu_stop};
use super::queue::{activate_task, deactivate_task, set_task_cpu, wakeup_preempt};
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::cpu_active;
use crate::include::linux::errno::{EAGAIN, EINVAL};
use crate::include::linux::sched::{TaskRef, task_cpu};
use crate::include::linux::spinlock::{raw_spin_lock, raw_spin_unlock};
use crate::include::linux::stop_machine::{stop_one_cpu, stop_two_cpus};
use crate::kernel::sched::sched::{
    cpu_rq, double_rq_lock, double_rq_unlock, task_on_rq_queued, task_rq, update_rq_clock,
};
use crate::stack_pinned;

/// What `migrate_swap_stop` is to do.
#[doc(alias = "migration_swap_arg")]
#[repr(C)]
pub struct MigrationSwapArg {
    /// One task.
    pub src_task: Shared<Option<TaskRef>>,
    /// The other.
    pub dst_task: Shared<Option<TaskRef>>,
    /// Where the one is.
    pub src_cpu: Shared<u32>,
    /// Where the other is.
    pub dst_cpu: Shared<u32>,
}

impl StackObject for MigrationSwapArg {
    fn quiescent(&self) -> bool {
        // Read by the two stoppers, before the request's `done` fires, which the owner waits for.
        true
    }
}

/// Moves a task. The runqueues of both CPUs are locked.
fn __migrate_swap_task(p: TaskRef, cpu: u32) {
    if !task_on_rq_queued(p) {
        // It sleeps: its next wake-up goes there.
        p.wake_cpu.set(cpu as i32);
        return;
    }
    let src_rq = task_rq(p);
    let dst_rq = cpu_rq(cpu);
    update_rq_clock(src_rq);
    update_rq_clock(dst_rq);
    deactivate_task(src_rq, p, 0);
    set_task_cpu(p, cpu);
    activate_task(dst_rq, p, 0);
    wakeup_preempt(dst_rq, p, 0);
}

/// The stoppers' part of an exchange: both CPUs are stopped, so neither task runs.
///
/// # Context
/// The stopper thread of the destination, interrupts off, in lock step with the source's.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn migrate_swap_stop(data: VoidPtr) -> i32 {
    let arg = data.get::<MigrationSwapArg>();
    let (src_cpu, dst_cpu) = (arg.src_cpu.get(), arg.dst_cpu.get());
    let src_task = arg.src_task.get().expect("an exchange without a task");
    let dst_task = arg.dst_task.get().expect("an exchange without a task");
    if !cpu_active(src_cpu) || !cpu_active(dst_cpu) {
        return -EAGAIN;
    }
    let (src_rq, dst_rq) = (cpu_rq(src_cpu), cpu_rq(dst_cpu));
    let (first, second) = if core::ptr::from_ref(src_task) < core::ptr::from_ref(dst_task) {
        (src_task, dst_task)
    } else {
        (dst_task, src_task)
    };
    raw_spin_lock(&first.pi_lock);
    raw_spin_lock(&second.pi_lock);
    double_rq_lock(src_rq, dst_rq);
    // Whoever asked looked without locks: one of them may have gone elsewhere, or may not go there any more.
    let as_asked = task_cpu(dst_task) == dst_cpu
        && task_cpu(src_task) == src_cpu
        && src_task.allowed().test(dst_cpu)
        && dst_task.allowed().test(src_cpu);
    if as_asked {
        __migrate_swap_task(src_task, dst_cpu);
        __migrate_swap_task(dst_task, src_cpu);
    }
    double_rq_unlock(src_rq, dst_rq);
    raw_spin_unlock(&second.pi_lock);
    raw_spin_unlock(&first.pi_lock);
    if as_asked { 0 } else { -EAGAIN }
}

/// Exchanges the CPUs of two tasks.
///
/// # Context
/// May sleep.
/// # Returns
/// 0; -EINVAL if they are on one CPU, or may not exchange; -EAGAIN if that changed meanwhile; -ENOENT if a
/// stopper takes no work.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn migrate_swap(cur: TaskRef, p: TaskRef, target_cpu: u32, curr_cpu: u32) -> i32 {
    if curr_cpu == target_cpu || !cpu_active(curr_cpu) || !cpu_active(target_cpu) {
        return -EINVAL;
    }
    if !p.allowed().test(curr_cpu) || !cur.allowed().test(target_cpu) {
        return -EINVAL;
    }
    stack_pinned!(let arg = MigrationSwapArg {
        src_task: Shared::new(Some(cur)),
        dst_task: Shared::new(Some(p)),
        src_cpu: Shared::new(curr_cpu),
        dst_cpu: Shared::new(target_cpu),
    });
    stop_two_cpus(target_cpu, curr_cpu, migrate_swap_stop, VoidPtr::new(arg))
}

/// Moves a task to a CPU where it may run.
///
/// # Context
/// May sleep; the task's CPU is the one it is on now.
/// # Returns
/// 0; -EINVAL if it may not run there; -ENOENT if the stopper takes no work.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn migrate_task_to(p: TaskRef, target_cpu: u32) -> i32 {
    let curr_cpu = task_cpu(p);
    if curr_cpu == target_cpu {
        return 0;
    }
    if !p.allowed().test(target_cpu) {
        return -EINVAL;
    }
    stack_pinned!(let arg = MigrationArg::new());
    arg.task.set(Some(p));
    arg.dest_cpu.set(target_cpu as i32);
    stop_one_cpu(curr_cpu, migration_cpu_stop, VoidPtr::new(arg))
}
