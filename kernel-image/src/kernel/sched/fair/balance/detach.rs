//! Which tasks a balance moves, and their way from one runqueue to the other.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): `can_migrate_task`, `task_hot`, `detach_tasks`, `attach_tasks`.
//! Kept: the order (the task that ran longest ago first), what makes a task unfit to move, the units of the
//! imbalance. Left out: NUMA's preferences. Differs: nothing else.
//! Locks: the source's runqueue while detaching, the destination's while attaching.

use super::{
    CpuIdleType, LBF_ACTIVE_LB, LBF_ALL_PINNED, LBF_DST_PINNED, LBF_NEED_BREAK, LBF_SOME_PINNED,
    LbEnv, MigrationType, SCHED_NR_MIGRATE_BREAK,
};
use crate::WARN_ON_ONCE;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::list::{ListHead, list_add, list_del_init, list_empty, list_move};
use crate::include::linux::sched::topology::SD_SHARE_CPUCAPACITY;
use crate::include::linux::sched::{GroupNodeLink, SCHED_IDLE, SeOfTask, TaskRef};
use crate::kernel::kthread::kthread_is_per_cpu;
use crate::kernel::sched::core::{activate_task, deactivate_task, set_task_cpu, wakeup_preempt};
use crate::kernel::sched::fair::bandwidth::throttled_lb_pair;
use crate::kernel::sched::fair::capacity::task_fits_cpu;
use crate::kernel::sched::fair::load::demand::{task_h_load, task_util_est};
use crate::kernel::sched::fair::{cfs_rq_of, fair_sched_class, same_se};
use crate::kernel::sched::features::{SchedFeat, sched_feat};
use crate::kernel::sched::sched::{
    DEQUEUE_NOCLOCK, ENQUEUE_NOCLOCK, RqRef, SYSCTL_SCHED_MIGRATION_COST, cpu_of, raw_spin_rq_lock,
    raw_spin_rq_unlock, rq_clock_task, same_class, task_group, task_on_cpu, update_rq_clock,
};
use crate::kernel::sched::stats::{schedstat_add, schedstat_inc};

/// Tasks on their way between two runqueues.
pub struct DetachedTasks {
    /// By their `se.group_node`.
    pub head: ListHead,
}

impl StackObject for DetachedTasks {
    fn quiescent(&self) -> bool {
        list_empty(&self.head)
    }
}

/// Whether the task ran so lately that its cache is warm.
fn task_hot(p: TaskRef, env: &LbEnv) -> bool {
    if !same_class(p.class(), &fair_sched_class) || p.policy.get() == SCHED_IDLE {
        return false;
    }
    // Siblings have the same cache.
    if env.sd.has(SD_SHARE_CPUCAPACITY) {
        return false;
    }
    // Wanted next: about to run.
    let is_next = cfs_rq_of(&p.se)
        .next
        .get()
        .is_some_and(|next| same_se(next, &p.se));
    if sched_feat(SchedFeat::CACHE_HOT_BUDDY) && env.dst_rq.nr_running.get() != 0 && is_next {
        return true;
    }
    let delta = rq_clock_task(env.src_rq).wrapping_sub(p.se.exec_start.get()) as i64;
    delta < SYSCTL_SCHED_MIGRATION_COST as i64
}

/// Whether a task may move, and should. Notes in the flags why not.
#[inline(never)]
fn can_migrate_task(p: TaskRef, env: &mut LbEnv) -> bool {
    // Its group may not run here or there.
    if throttled_lb_pair(task_group(p), cpu_of(env.src_rq), env.dst_cpu) {
        return false;
    }
    // They are where they have to be.
    if kthread_is_per_cpu(p) {
        return false;
    }
    let allowed = p.allowed();
    if !allowed.test(env.dst_cpu) {
        schedstat_inc(&p.stats.nr_failed_migrations_affine);
        env.flags |= LBF_SOME_PINNED;
        // Another CPU of our group may take it; one such is enough.
        if env.idle == CpuIdleType::NewlyIdle || env.flags & (LBF_DST_PINNED | LBF_ACTIVE_LB) != 0 {
            return false;
        }
        let others = env.dst_grpmask.and(env.cpus).and(allowed);
        if !others.is_empty() {
            env.flags |= LBF_DST_PINNED;
            env.new_dst_cpu = others.first();
        }
        return false;
    }
    env.flags &= !LBF_ALL_PINNED;
    if task_on_cpu(p) {
        schedstat_inc(&p.stats.nr_failed_migrations_running);
        return false;
    }
    if env.flags & LBF_ACTIVE_LB != 0 || !task_hot(p, env) {
        return true;
    }
    // Too often in vain: never mind the cache.
    let forced = env.sd.nr_balance_failed.get() > env.sd.cache_nice_tries.get();
    if forced {
        schedstat_inc(&env.sd.lb_hot_gained[env.idle as usize]);
        schedstat_inc(&p.stats.nr_forced_migrations);
    } else {
        schedstat_inc(&p.stats.nr_failed_migrations_hot);
    }
    forced
}

/// Takes a task off the source; it belongs to the destination from here on.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn detach_task(p: TaskRef, env: &LbEnv) {
    deactivate_task(env.src_rq, p, DEQUEUE_NOCLOCK);
    set_task_cpu(p, env.dst_cpu);
}

/// The task at the tail of the source's list: the one that ran longest ago.
fn last_task(tasks: &'static ListHead) -> Option<TaskRef> {
    GroupNodeLink::last(tasks).map(SeOfTask::entry)
}

/// Takes one task off the source, whichever may move.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn detach_one_task(env: &mut LbEnv) -> Option<TaskRef> {
    let head = &env.src_rq.cfs_tasks;
    let mut at = GroupNodeLink::last(head);
    while let Some(se) = at {
        let p = SeOfTask::entry(se);
        // Read before the task is taken out.
        let before = se.group_node.prev.get();
        if can_migrate_task(p, env) {
            detach_task(p, env);
            // Moved, and not always by `load_balance`.
            schedstat_inc(&env.sd.lb_gained[env.idle as usize]);
            return Some(p);
        }
        at = before
            .filter(|&link| !core::ptr::eq(link, head))
            .map(GroupNodeLink::entry);
    }
    None
}

/// Takes tasks off the source until the imbalance is gone or there is none to take. Returns how many.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn detach_tasks(env: &mut LbEnv, detached: &'static ListHead) -> u32 {
    let src_rq = env.src_rq;
    let tasks = &src_rq.cfs_tasks;
    let mut count = 0;
    if src_rq.nr_running.get() <= 1 {
        // Somebody else was quicker; there is no task to say that it is bound.
        env.flags &= !LBF_ALL_PINNED;
        return 0;
    }
    if env.imbalance <= 0 {
        return 0;
    }
    while let Some(p) = last_task(tasks) {
        // Not all of them: the source would come and take them back.
        if env.idle != CpuIdleType::NotIdle && src_rq.nr_running.get() <= 1 {
            break;
        }
        env.r#loop += 1;
        // Seen all of them, and one could move at least.
        if env.r#loop > env.loop_max && env.flags & LBF_ALL_PINNED == 0 {
            break;
        }
        if env.r#loop > env.loop_break {
            env.loop_break += SCHED_NR_MIGRATE_BREAK;
            env.flags |= LBF_NEED_BREAK;
            break;
        }
        if !can_migrate_task(p, env) || !take_from_imbalance(p, env) {
            list_move(&p.se.group_node, tasks);
            continue;
        }
        detach_task(p, env);
        list_add(&p.se.group_node, detached);
        count += 1;
        // A CPU about to idle holds up whoever wakes there: one task is enough.
        if env.idle == CpuIdleType::NewlyIdle || env.imbalance <= 0 {
            break;
        }
    }
    schedstat_add(&env.sd.lb_gained[env.idle as usize], u64::from(count));
    count
}

/// Subtracts a task from what is to move; false if it is more than that, and it has not failed too often.
fn take_from_imbalance(p: TaskRef, env: &mut LbEnv) -> bool {
    let failed = env.sd.nr_balance_failed.get();
    let amount = match env.migration_type {
        MigrationType::Load => {
            let load = task_h_load(p).max(1);
            if sched_feat(SchedFeat::LB_MIN) && load < 16 && failed == 0 {
                return false;
            }
            load
        }
        MigrationType::Util => task_util_est(p),
        MigrationType::Task => {
            env.imbalance -= 1;
            return true;
        }
        MigrationType::Misfit => {
            if task_fits_cpu(p, cpu_of(env.src_rq)) {
                return false;
            }
            env.imbalance = 0;
            return true;
        }
    };
    if shr_bound(amount, failed) as i64 > env.imbalance {
        return false;
    }
    env.imbalance -= amount as i64;
    true
}

/// A right shift that does not overflow.
pub fn shr_bound(value: u64, shift: u32) -> u64 {
    value >> shift.min(u64::BITS - 1)
}

/// Puts a detached task into its new runqueue, whose lock is held.
fn attach_task(rq: RqRef, p: TaskRef) {
    WARN_ON_ONCE!(cpu_of(rq) != crate::include::linux::sched::task_cpu(p));
    activate_task(rq, p, ENQUEUE_NOCLOCK);
    wakeup_preempt(rq, p, 0);
}

/// The same, with the lock taken.
pub(super) fn attach_one_task(rq: RqRef, p: TaskRef) {
    raw_spin_rq_lock(rq);
    update_rq_clock(rq);
    attach_task(rq, p);
    raw_spin_rq_unlock(rq);
}

/// Puts all detached tasks into the destination.
pub(super) fn attach_tasks(env: &LbEnv, detached: &'static ListHead) {
    raw_spin_rq_lock(env.dst_rq);
    update_rq_clock(env.dst_rq);
    while let Some(se) = GroupNodeLink::first(detached) {
        list_del_init(&se.group_node);
        attach_task(env.dst_rq, SeOfTask::entry(se));
    }
    raw_spin_rq_unlock(env.dst_rq);
    WARN_ON_ONCE!(!list_empty(detached));
}
