//! Pushing the running task away, so that a task that must stay here can run.
//!
//! Linux: `kernel/sched/core.c`, `sched.h` (v6.8): `push_cpu_stop`, `get_push_task`. Kept: both. Left out,
//! differs: nothing.
//! Locks: `pi_lock`, then the runqueue's, then another runqueue's.

use super::queue::{activate_task, deactivate_task, set_task_cpu};
use super::tick::resched_curr;
use crate::fence::void::VoidPtr;
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::{MDF_PUSH, TaskRef, TaskStruct};
use crate::include::linux::spinlock::{raw_spin_lock_irq, raw_spin_unlock_irq};
use crate::kernel::sched::sched::{
    RqRef, cpu_of, double_unlock_balance, is_migration_disabled, raw_spin_rq_lock,
    raw_spin_rq_unlock, same_rq, task_rq, this_rq,
};

/// The running task, if it may be pushed away and no push is on its way; with a reference that
/// `push_cpu_stop` drops. The runqueue's lock is held.
pub fn get_push_task(rq: RqRef) -> Option<TaskRef> {
    let p = rq.current();
    if rq.push_busy.get() != 0 || p.nr_cpus_allowed.get() == 1 || is_migration_disabled(p) {
        return None;
    }
    rq.push_busy.set(1);
    Some(get_task_struct(p))
}

/// The stopper's part of a push: the task was running here, and is not now. If it may not migrate, its
/// `migrate_enable` asks again.
///
/// # Context
/// The stopper thread, preemption off, interrupts on.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn push_cpu_stop(arg: VoidPtr) -> i32 {
    let p = arg.get::<TaskStruct>();
    let rq = this_rq();
    raw_spin_lock_irq(&p.pi_lock);
    raw_spin_rq_lock(rq);
    if same_rq(task_rq(p), rq) {
        push_away(rq, p);
    }
    rq.push_busy.set(0);
    raw_spin_rq_unlock(rq);
    raw_spin_unlock_irq(&p.pi_lock);
    put_task_struct(p);
    0
}

#[inline(always)]
fn push_away(rq: RqRef, p: TaskRef) {
    if is_migration_disabled(p) {
        p.migration_flags.or(MDF_PUSH);
        return;
    }
    p.migration_flags.and_not(MDF_PUSH);
    let Some(find_lock_rq) = p.class().find_lock_rq else {
        return;
    };
    let Some(lowest_rq) = find_lock_rq(p, rq) else {
        return;
    };
    // The runqueue's lock may have been released meanwhile.
    if same_rq(task_rq(p), rq) {
        deactivate_task(rq, p, 0);
        set_task_cpu(p, cpu_of(lowest_rq));
        activate_task(lowest_rq, p, 0);
        resched_curr(lowest_rq);
    }
    double_unlock_balance(rq, lowest_rq);
}
