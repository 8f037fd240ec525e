//! The real-time class: in its place between its neighbours, empty in this cut.
//!
//! Linux: `kernel/sched/rt.c` (v6.8). Kept: the class, its queue and its start-up values, so that
//! the walk over the classes is whole. Left out: everything that would put a task into it; no policy
//! leads here yet, and a task that got here anyway stops the kernel. Differs: nothing else.
//! Locks: the runqueue's lock is held in every hook.

use crate::BUG;
use crate::include::linux::sched::{TaskRef, task_cpu};
use crate::kernel::sched::core::affinity::set_cpus_allowed_common;
use crate::kernel::sched::sched::{RqRef, RtRq, SchedClass, task_on_rq_queued};

/// The class.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static rt_sched_class: SchedClass = SchedClass {
    rank: 2,
    enqueue_task: no_task_here_with_flags,
    dequeue_task: no_task_here_with_flags,
    yield_task: no_task_runs_here,
    wakeup_preempt: no_task_here_with_flags,
    pick_next_task: pick_next_task_rt,
    put_prev_task: no_task_here,
    set_next_task: no_task_here_first,
    balance: balance_rt,
    select_task_rq: select_task_rq_rt,
    migrate_task_rq: None,
    task_woken: None,
    set_cpus_allowed: set_cpus_allowed_common,
    rq_online: None,
    task_tick: no_task_here_with_flags,
    task_fork: None,
    task_dead: None,
    switched_to: no_task_here,
    prio_changed: no_task_here_with_flags,
    update_curr: no_task_runs_here,
};

/// Allowed real-time run time in each second, ns.
const RT_RUNTIME_NS: u64 = 950_000_000;
/// The bit that ends every search of the bitmap.
const MAX_RT_PRIO_BIT: u64 = 1 << (100 - 64);

/// An empty queue.
pub fn init_rt_rq(rt_rq: &'static RtRq) {
    rt_rq.active_bitmap[0].set(0);
    rt_rq.active_bitmap[1].set(MAX_RT_PRIO_BIT);
    for prio in &rt_rq.highest_prio {
        prio.set(99);
    }
    rt_rq.rt_queued.set(0);
    rt_rq.rt_time.set(0);
    rt_rq.rt_runtime.set(RT_RUNTIME_NS);
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

fn pick_next_task_rt(rq: RqRef) -> Option<TaskRef> {
    if rq.rt.rt_queued.get() != 0 {
        BUG!();
    }
    None
}

/// Nothing to pull; true if this class or a higher one has a task.
fn balance_rt(rq: RqRef, _prev: TaskRef) -> bool {
    rq.stop.get().is_some_and(task_on_rq_queued)
}

fn select_task_rq_rt(p: TaskRef, _cpu: i32, _flags: i32) -> i32 {
    task_cpu(p) as i32
}
