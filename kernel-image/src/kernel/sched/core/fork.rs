//! A task's birth, as the scheduler sees it.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `sched_fork`, `sched_cgroup_fork`, `sched_post_fork`,
//! `wake_up_new_task`. Kept: the order of states, priorities, placement and first activation, with
//! its quirk (the enqueue places the entity again, so the half slice of the fork does not survive).
//! Left out: uclamp. Differs: nothing else.
//! Locks: `pi_lock`, then the runqueue's.

use super::affinity::select_task_rq;
use super::params::{dl_policy, rt_policy, set_load_weight};
use super::queue::{activate_task, wakeup_preempt};
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::include::linux::errno::EAGAIN;
use crate::include::linux::list::INIT_LIST_HEAD;
use crate::include::linux::plist::plist_node_init;
use crate::include::linux::rbtree::RB_CLEAR_NODE;
use crate::include::linux::sched::prio::{MAX_PRIO, NICE_TO_PRIO, PRIO_TO_NICE, dl_prio, rt_prio};
use crate::include::linux::sched::{SCHED_NORMAL, TASK_NEW, TASK_RUNNING, TaskRef, task_cpu};
use crate::include::trace::events::sched::trace_sched_wakeup_new;
use crate::kernel::sched::deadline::params::init_dl_entity;
use crate::kernel::sched::fair::load::{init_entity_runnable_average, post_init_entity_util_avg};
use crate::kernel::sched::fair::{base_slice_ns, fair_sched_class};
use crate::kernel::sched::rt::{rt_sched_class, sched_rr_timeslice};
use crate::kernel::sched::sched::{
    __set_task_cpu, __task_rq_lock, ENQUEUE_NOCLOCK, WF_FORK, raw_spin_rq_unlock, update_rq_clock,
};
use core::sync::atomic::Ordering;

fn __sched_fork(p: TaskRef) {
    p.on_rq.set(0);
    p.stats.reset();
    for counter in [
        &p.sched_info.pcount,
        &p.sched_info.run_delay,
        &p.sched_info.last_arrival,
        &p.sched_info.last_queued,
    ] {
        counter.set(0);
    }
    p.in_iowait.set(0);
    let se = &p.se;
    se.on_rq.set(0);
    for cell in [
        &se.exec_start,
        &se.sum_exec_runtime,
        &se.prev_sum_exec_runtime,
        &se.nr_migrations,
    ] {
        cell.set(0);
    }
    se.vruntime.set(0);
    se.vlag.set(0);
    se.slice.set(base_slice_ns());
    INIT_LIST_HEAD(&se.group_node);
    se.cfs_rq.set(None);
    init_dl_entity(&p.dl);
    INIT_LIST_HEAD(&p.rt.run_list);
    p.rt.timeout.set(0);
    p.rt.time_slice.set(sched_rr_timeslice.get());
    p.rt.on_rq.set(0);
    p.rt.on_list.set(0);
    p.migration_pending.set(None);
}

/// Sets up what the scheduler keeps of a new task.
pub fn sched_fork(_clone_flags: u64, p: TaskRef) -> i32 {
    __sched_fork(p);
    // Nobody can wake it in this state, and no signal either.
    p.__state.set(TASK_NEW);
    // Not the parent's boosted priority.
    p.prio.set(current().normal_prio.get());
    if p.sched_reset_on_fork.get() != 0 {
        if rt_policy(p.policy.get()) || dl_policy(p.policy.get()) {
            p.policy.set(SCHED_NORMAL);
            p.static_prio.set(NICE_TO_PRIO(0));
            p.rt_priority.set(0);
        } else if PRIO_TO_NICE(p.static_prio.get()) < 0 {
            p.static_prio.set(NICE_TO_PRIO(0));
        }
        p.prio.set(p.static_prio.get());
        p.normal_prio.set(p.static_prio.get());
        set_load_weight(p, false);
        // It has served its purpose.
        p.sched_reset_on_fork.set(0);
    }
    if dl_prio(p.prio.get()) {
        // The child would need bandwidth of its own.
        return -EAGAIN;
    }
    let class = if rt_prio(p.prio.get()) {
        &rt_sched_class
    } else {
        &fair_sched_class
    };
    p.sched_class.set(Some(class));
    init_entity_runnable_average(&p.se);
    p.on_cpu.store(0, Ordering::Relaxed);
    plist_node_init(&p.pushable_tasks, MAX_PRIO);
    RB_CLEAR_NODE(&p.pushable_dl_tasks);
    0
}

/// Places a new task in its group, on this CPU.
pub fn sched_cgroup_fork(p: TaskRef) {
    let guard = p.pi_lock.lock_irqsave();
    // Its parent's, which `dup_task_struct` does not copy.
    p.sched_task_group.set(current().sched_task_group.get());
    // Not a change of CPU yet: no migrate event, and the entity is in no queue.
    __set_task_cpu(p, raw_smp_processor_id());
    if let Some(task_fork) = p.class().task_fork {
        task_fork(p);
    }
    drop(guard);
}

/// After the new task is in the list of tasks: nothing to do without uclamp.
pub fn sched_post_fork(_p: TaskRef) {}

/// Wakes a new task for the first time.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn wake_up_new_task(p: TaskRef) {
    let guard = p.pi_lock.lock_irqsave();
    p.__state.set(TASK_RUNNING);
    // The parent's cache is as good as any place; the class may know better.
    p.recent_used_cpu.set(task_cpu(p) as i32);
    __set_task_cpu(p, select_task_rq(p, task_cpu(p) as i32, WF_FORK) as u32);
    let rq = __task_rq_lock(p);
    update_rq_clock(rq);
    post_init_entity_util_avg(p);
    activate_task(rq, p, ENQUEUE_NOCLOCK);
    trace_sched_wakeup_new(p);
    wakeup_preempt(rq, p, WF_FORK);
    if let Some(task_woken) = p.class().task_woken {
        task_woken(rq, p);
    }
    raw_spin_rq_unlock(rq);
    drop(guard);
}
