//! The stop class: one thread a CPU that runs before everything else.
//!
//! Linux: `kernel/sched/stop_task.c` (v6.8). Kept: all of it. Left out: statistics. Differs: nothing.
//! Locks: the runqueue's lock is held in every hook.

use crate::BUG;
use crate::include::linux::sched::{TaskRef, task_cpu};
use crate::kernel::sched::core::affinity::set_cpus_allowed_common;
use crate::kernel::sched::fair::entity::update_curr_common;
use crate::kernel::sched::sched::{
    RqRef, SchedClass, add_nr_running, rq_clock_task, sub_nr_running, task_on_rq_queued,
};

/// The class.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static stop_sched_class: SchedClass = SchedClass {
    rank: 0,
    enqueue_task: enqueue_task_stop,
    dequeue_task: dequeue_task_stop,
    yield_task: yield_task_stop,
    yield_to_task: None,
    wakeup_preempt: wakeup_preempt_stop,
    pick_next_task: pick_next_task_stop,
    put_prev_task: put_prev_task_stop,
    set_next_task: set_next_task_stop,
    balance: balance_stop,
    select_task_rq: select_task_rq_stop,
    migrate_task_rq: None,
    task_woken: None,
    set_cpus_allowed: set_cpus_allowed_common,
    rq_online: None,
    rq_offline: None,
    find_lock_rq: None,
    task_tick: task_tick_stop,
    task_fork: None,
    task_dead: None,
    switched_from: None,
    switched_to: switched_to_stop,
    prio_changed: prio_changed_stop,
    get_rr_interval: None,
    update_curr: update_curr_stop,
    task_change_group: None,
};

/// Whether the stopper has something to do.
pub fn sched_stop_runnable(rq: RqRef) -> bool {
    rq.stop.get().is_some_and(task_on_rq_queued)
}

fn select_task_rq_stop(p: TaskRef, _cpu: i32, _flags: i32) -> i32 {
    task_cpu(p) as i32
}

fn balance_stop(rq: RqRef, _prev: TaskRef) -> bool {
    sched_stop_runnable(rq)
}

fn wakeup_preempt_stop(_rq: RqRef, _p: TaskRef, _flags: i32) {
    // There is only one, and it runs.
}

fn set_next_task_stop(rq: RqRef, stop: TaskRef, _first: bool) {
    stop.se.exec_start.set(rq_clock_task(rq));
}

fn pick_next_task_stop(rq: RqRef) -> Option<TaskRef> {
    let stop = rq.stop.get().filter(|&stop| task_on_rq_queued(stop))?;
    set_next_task_stop(rq, stop, true);
    Some(stop)
}

fn enqueue_task_stop(rq: RqRef, _p: TaskRef, _flags: i32) {
    add_nr_running(rq, 1);
}

fn dequeue_task_stop(rq: RqRef, _p: TaskRef, _flags: i32) {
    sub_nr_running(rq, 1);
}

fn yield_task_stop(_rq: RqRef) {
    BUG!();
}

fn put_prev_task_stop(rq: RqRef, prev: TaskRef) {
    update_curr_common(rq, prev);
}

fn task_tick_stop(_rq: RqRef, _curr: TaskRef, _queued: i32) {}

fn switched_to_stop(_rq: RqRef, _p: TaskRef) {
    // It becomes one while it is parked, without the scheduler's knowledge.
    BUG!();
}

fn prio_changed_stop(_rq: RqRef, _p: TaskRef, _oldprio: i32) {
    BUG!();
}

fn update_curr_stop(_rq: RqRef) {}
