//! The deadline class: in its place between its neighbours, empty in this cut.
//!
//! Linux: `kernel/sched/deadline.c` (v6.8). Kept: the class, its queue and its start-up values, so that
//! the walk over the classes is whole. Left out: everything that would put a task into it; no policy
//! leads here yet, and a task that got here anyway stops the kernel. Differs: nothing else.
//! Locks: the runqueue's lock is held in every hook.

use crate::BUG;
use crate::include::linux::sched::{TaskRef, task_cpu};
use crate::kernel::sched::core::affinity::set_cpus_allowed_common;
use crate::kernel::sched::sched::{DlRq, RqRef, SchedClass, task_on_rq_queued};

/// The class.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static dl_sched_class: SchedClass = SchedClass {
    rank: 1,
    enqueue_task: no_task_here_with_flags,
    dequeue_task: no_task_here_with_flags,
    yield_task: no_task_runs_here,
    yield_to_task: None,
    wakeup_preempt: no_task_here_with_flags,
    pick_next_task: pick_next_task_dl,
    put_prev_task: no_task_here,
    set_next_task: no_task_here_first,
    balance: balance_dl,
    select_task_rq: select_task_rq_dl,
    migrate_task_rq: None,
    task_woken: None,
    set_cpus_allowed: set_cpus_allowed_common,
    rq_online: None,
    rq_offline: None,
    find_lock_rq: None,
    task_tick: no_task_here_with_flags,
    task_fork: None,
    task_dead: None,
    switched_from: None,
    switched_to: no_task_here,
    prio_changed: no_task_here_with_flags,
    get_rr_interval: None,
    update_curr: no_task_runs_here,
    task_change_group: None,
};

/// An empty queue.
pub fn init_dl_rq(dl_rq: &'static DlRq) {
    dl_rq.dl_nr_running.set(0);
    dl_rq.running_bw.set(0);
    dl_rq.this_bw.set(0);
}

fn no_task_here(_rq: RqRef, _p: TaskRef) {
    BUG!();
}

fn no_task_here_with_flags(_rq: RqRef, _p: TaskRef, _flags: i32) {
    BUG!();
}

fn no_task_here_first(_rq: RqRef, _p: TaskRef, _first: bool) {
    BUG!();
}

fn no_task_runs_here(_rq: RqRef) {
    BUG!();
}

fn pick_next_task_dl(rq: RqRef) -> Option<TaskRef> {
    if rq.dl.dl_nr_running.get() != 0 {
        BUG!();
    }
    None
}

/// Nothing to pull; true if this class or a higher one has a task.
fn balance_dl(rq: RqRef, _prev: TaskRef) -> bool {
    rq.stop.get().is_some_and(task_on_rq_queued)
}

fn select_task_rq_dl(p: TaskRef, _cpu: i32, _flags: i32) -> i32 {
    task_cpu(p) as i32
}

/// Whether the class has a task to run here.
pub fn sched_dl_runnable(rq: RqRef) -> bool {
    rq.dl.dl_nr_running.get() > 0
}
