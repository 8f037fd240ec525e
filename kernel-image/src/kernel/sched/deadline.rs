//! The deadline class: the earliest deadline runs first, and nobody gets more than it was promised.
//!
//! Linux: `kernel/sched/deadline.c` (v6.8).
//! Kept: the tree by deadline, the constant bandwidth server (`cbs`), bandwidth of CPUs and root domains with
//! reclaiming (`bandwidth`), the admission test (`params`), push and pull (`push_pull`), yielding, the hooks
//! of the class. Left out: priority inheritance, deadline servers (nobody registers one in v6.8), tasks of the
//! frequency governor, SIGXCPU at an overrun (no signals; the flag is kept), the high-resolution tick.
//! Differs: nothing else.
//! Locks: the runqueue's lock is held in every hook.

pub mod bandwidth;
pub mod cbs;
pub mod params;
pub mod push_pull;
mod stats;

use crate::include::linux::rbtree::{
    RB_CLEAR_NODE, RB_EMPTY_NODE, rb_add_cached, rb_erase_cached, rb_first_cached,
};
use crate::include::linux::sched::deadline::{dl_task, dl_time_before};
use crate::include::linux::sched::prio::dl_prio;
use crate::include::linux::sched::{
    DlNodeLink, DlOfTask, SchedDlEntity, TASK_WAKING, TaskRef, same_task, test_tsk_need_resched,
};
use crate::kernel::sched::core::affinity::{AffinityContext, set_cpus_allowed_common};
use crate::kernel::sched::core::params::{SCHED_FLAG_DL_OVERRUN, SCHED_FLAG_RECLAIM};
use crate::kernel::sched::core::resched_curr;
use crate::kernel::sched::cpudeadline::{
    cpudl_clear, cpudl_clear_freecpu, cpudl_later, cpudl_set, cpudl_set_freecpu,
};
use crate::kernel::sched::cpupri::{CPUPRI_HIGHER, cpupri_set};
use crate::kernel::sched::deadline::stats::{
    update_stats_dequeue_dl, update_stats_enqueue_dl, update_stats_wait_end_dl,
    update_stats_wait_start_dl,
};
use crate::kernel::sched::fair::entity::update_curr_common;
use crate::kernel::sched::pelt::{rq_clock_pelt, update_dl_rq_load_avg};
use crate::kernel::sched::rt::bandwidth::account_dl_time;
use crate::kernel::sched::sched::{
    DEQUEUE_MIGRATING, DEQUEUE_SAVE, DEQUEUE_SLEEP, DlRq, ENQUEUE_MIGRATING, ENQUEUE_REPLENISH,
    ENQUEUE_RESTORE, ENQUEUE_WAKEUP, RqRef, SchedClass, add_nr_running, cpu_of, raw_spin_rq_lock,
    raw_spin_rq_unlock, rq_clock, rq_clock_skip_update, rq_clock_task, same_class, sub_nr_running,
    task_current, task_on_rq_migrating, task_on_rq_queued, task_rq, update_rq_clock,
};
use crate::kernel::sched::stop_task::sched_stop_runnable;
use crate::{BUG_ON, WARN_ON_ONCE};
use bandwidth::{
    __dl_sub, add_rq_bw, add_running_bw, cancel_inactive_timer, dl_bw_cpus, grub_reclaim,
    init_dl_rq_bw_ratio, sub_rq_bw, sub_running_bw, task_contending, task_non_contending,
};
use cbs::{
    dl_check_constrained_dl, dl_is_implicit, dl_runtime_exceeded, replenish_dl_entity,
    setup_new_dl_entity, start_dl_timer, update_dl_entity,
};
use push_pull::{
    deadline_queue_pull_task, deadline_queue_push_tasks, dequeue_pushable_dl_task,
    dl_clear_overload, dl_set_overload, enqueue_pushable_dl_task, find_lock_later_rq, pull_dl_task,
    select_task_rq_dl, task_woken_dl,
};

/// The class.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static dl_sched_class: SchedClass = SchedClass {
    rank: 1,
    enqueue_task: enqueue_task_dl,
    dequeue_task: dequeue_task_dl,
    yield_task: yield_task_dl,
    yield_to_task: None,
    wakeup_preempt: wakeup_preempt_dl,
    pick_next_task: pick_next_task_dl,
    put_prev_task: put_prev_task_dl,
    set_next_task: set_next_task_dl,
    balance: balance_dl,
    select_task_rq: select_task_rq_dl,
    migrate_task_rq: Some(migrate_task_rq_dl),
    task_woken: Some(task_woken_dl),
    set_cpus_allowed: set_cpus_allowed_dl,
    rq_online: Some(rq_online_dl),
    rq_offline: Some(rq_offline_dl),
    find_lock_rq: Some(find_lock_later_rq),
    task_tick: task_tick_dl,
    // A deadline task cannot fork one.
    task_fork: None,
    task_dead: None,
    switched_from: Some(switched_from_dl),
    switched_to: switched_to_dl,
    prio_changed: prio_changed_dl,
    get_rr_interval: None,
    update_curr: update_curr_dl,
    task_change_group: None,
};

/// An empty queue.
pub fn init_dl_rq(dl_rq: &'static DlRq) {
    dl_rq.dl_nr_running.set(0);
    dl_rq.earliest_dl.curr.set(0);
    dl_rq.earliest_dl.next.set(0);
    dl_rq.overloaded.set(0);
    dl_rq.running_bw.set(0);
    dl_rq.this_bw.set(0);
    init_dl_rq_bw_ratio(dl_rq);
}

/// Whether the class has a task to run here.
pub fn sched_dl_runnable(rq: RqRef) -> bool {
    rq.dl.dl_nr_running.get() > 0
}

fn on_dl_rq(dl_se: &SchedDlEntity) -> bool {
    !RB_EMPTY_NODE(&dl_se.rb_node)
}

/// Whether entity `a` preempts `b`.
fn dl_entity_preempt(a: &SchedDlEntity, b: &SchedDlEntity) -> bool {
    dl_time_before(a.deadline.get(), b.deadline.get())
}

fn leftmost(dl_rq: &DlRq) -> Option<&'static SchedDlEntity> {
    rb_first_cached(&dl_rq.root).map(DlNodeLink::entry)
}

fn inc_dl_deadline(rq: RqRef, deadline: u64) {
    let curr = &rq.dl.earliest_dl.curr;
    if curr.get() != 0 && !dl_time_before(deadline, curr.get()) {
        return;
    }
    if curr.get() == 0 {
        cpupri_set(&rq.rd().cpupri, cpu_of(rq), CPUPRI_HIGHER);
    }
    curr.set(deadline);
    cpudl_set(&rq.rd().cpudl, cpu_of(rq), deadline);
}

fn dec_dl_deadline(rq: RqRef) {
    let cpu = cpu_of(rq);
    match leftmost(&rq.dl) {
        Some(first) => {
            rq.dl.earliest_dl.curr.set(first.deadline.get());
            cpudl_set(&rq.rd().cpudl, cpu, first.deadline.get());
        }
        None => {
            rq.dl.earliest_dl.curr.set(0);
            rq.dl.earliest_dl.next.set(0);
            cpudl_clear(&rq.rd().cpudl, cpu);
            cpupri_set(&rq.rd().cpupri, cpu, rq.rt.highest_prio.curr.get());
        }
    }
}

fn __enqueue_dl_entity(rq: RqRef, dl_se: &'static SchedDlEntity) {
    WARN_ON_ONCE!(on_dl_rq(dl_se));
    let deadline = |node| DlNodeLink::entry(node).deadline.get();
    rb_add_cached(&dl_se.rb_node, &rq.dl.root, |a, b| {
        dl_time_before(deadline(a), deadline(b))
    });
    rq.dl.dl_nr_running.inc();
    add_nr_running(rq, 1);
    inc_dl_deadline(rq, dl_se.deadline.get());
}

fn __dequeue_dl_entity(rq: RqRef, dl_se: &'static SchedDlEntity) {
    if !on_dl_rq(dl_se) {
        return;
    }
    rb_erase_cached(&dl_se.rb_node, &rq.dl.root);
    RB_CLEAR_NODE(&dl_se.rb_node);
    WARN_ON_ONCE!(rq.dl.dl_nr_running.get() == 0);
    rq.dl.dl_nr_running.dec();
    sub_nr_running(rq, 1);
    dec_dl_deadline(rq);
}

fn enqueue_dl_entity(rq: RqRef, dl_se: &'static SchedDlEntity, flags: i32) {
    WARN_ON_ONCE!(on_dl_rq(dl_se));
    update_stats_enqueue_dl(rq, DlOfTask::entry(dl_se), flags);
    if dl_se.dl_throttled.get() == 0 && !dl_is_implicit(dl_se) {
        dl_check_constrained_dl(rq, dl_se);
    }
    if flags & (ENQUEUE_RESTORE | ENQUEUE_MIGRATING) != 0 {
        add_rq_bw(dl_se, rq);
        add_running_bw(dl_se, rq);
    }
    // A throttled task is put into the tree by its timer. But it counts as running: that depends on its
    // state and not on where it is.
    if dl_se.dl_throttled.get() != 0 && flags & ENQUEUE_REPLENISH == 0 {
        if flags & ENQUEUE_WAKEUP != 0 {
            task_contending(rq, dl_se, flags);
        }
        return;
    }
    let now = rq_clock(rq);
    if flags & ENQUEUE_WAKEUP != 0 {
        task_contending(rq, dl_se, flags);
        update_dl_entity(dl_se, now);
    } else if flags & ENQUEUE_REPLENISH != 0 {
        replenish_dl_entity(dl_se, now);
    } else if flags & ENQUEUE_RESTORE != 0 && dl_time_before(dl_se.deadline.get(), now) {
        setup_new_dl_entity(dl_se, now);
    }
    __enqueue_dl_entity(rq, dl_se);
}

fn dequeue_dl_entity(rq: RqRef, dl_se: &'static SchedDlEntity, flags: i32) {
    __dequeue_dl_entity(rq, dl_se);
    if flags & (DEQUEUE_SAVE | DEQUEUE_MIGRATING) != 0 {
        sub_running_bw(dl_se, rq);
        sub_rq_bw(dl_se, rq);
    }
    // It blocks or ends: for the bandwidth that is the same.
    if flags & DEQUEUE_SLEEP != 0 {
        task_non_contending(DlOfTask::entry(dl_se));
    }
}

#[inline(never)]
fn enqueue_task_dl(rq: RqRef, p: TaskRef, flags: i32) {
    if !dl_prio(p.normal_prio.get()) {
        // It is just leaving the class.
        p.dl.dl_throttled.set(0);
        return;
    }
    let flags = if task_on_rq_migrating(p) {
        flags | ENQUEUE_MIGRATING
    } else {
        flags
    };
    update_stats_wait_start_dl(rq, p);
    enqueue_dl_entity(rq, &p.dl, flags);
    if !task_current(rq, p) && p.dl.dl_throttled.get() == 0 && p.nr_cpus_allowed.get() > 1 {
        enqueue_pushable_dl_task(rq, p);
    }
}

#[inline(never)]
fn dequeue_task_dl(rq: RqRef, p: TaskRef, flags: i32) {
    update_curr_dl(rq);
    let flags = if task_on_rq_migrating(p) {
        flags | DEQUEUE_MIGRATING
    } else {
        flags
    };
    update_stats_dequeue_dl(rq, p, flags);
    dequeue_dl_entity(rq, &p.dl, flags);
    if p.dl.dl_throttled.get() == 0 {
        dequeue_pushable_dl_task(rq, p);
    }
}

/// Charges the running task. Without run time left, or if it has yielded, it waits for its next period.
fn update_curr_dl(rq: RqRef) {
    let curr = rq.current();
    let dl_se = &curr.dl;
    if !dl_task(curr) || !on_dl_rq(dl_se) {
        return;
    }
    let delta_exec = update_curr_common(rq, curr);
    if delta_exec == 0 && dl_se.dl_yielded.get() == 0 {
        return;
    }
    let reclaims = u64::from(dl_se.flags.get()) & SCHED_FLAG_RECLAIM != 0;
    let scaled = if reclaims {
        grub_reclaim(delta_exec, &rq.dl, dl_se)
    } else {
        delta_exec
    };
    dl_se.runtime.sub(scaled as i64);

    if dl_runtime_exceeded(dl_se) || dl_se.dl_yielded.get() != 0 {
        dl_se.dl_throttled.set(1);
        let tells = u64::from(dl_se.flags.get()) & SCHED_FLAG_DL_OVERRUN != 0;
        if dl_runtime_exceeded(dl_se) && tells {
            dl_se.dl_overrun.set(1);
        }
        dequeue_dl_entity(rq, dl_se, 0);
        dequeue_pushable_dl_task(rq, curr);
        if !start_dl_timer(rq, dl_se) {
            enqueue_task_dl(rq, curr, ENQUEUE_REPLENISH);
        }
        if !leftmost(&rq.dl).is_some_and(|first| core::ptr::eq(first, dl_se)) {
            resched_curr(rq);
        }
    }
    account_dl_time(rq, delta_exec);
}

/// The rest of the run time is given up: the task goes on in its next period.
fn yield_task_dl(rq: RqRef) {
    rq.current().dl.dl_yielded.set(1);
    update_rq_clock(rq);
    update_curr_dl(rq);
    // The switch follows at once.
    rq_clock_skip_update(rq);
}

/// The task was woken and goes to another CPU: its old one no longer counts it.
fn migrate_task_rq_dl(p: TaskRef, _new_cpu: i32) {
    if p.__state.get() != TASK_WAKING {
        return;
    }
    let rq = task_rq(p);
    // `pi_lock` is held, but not this one.
    raw_spin_rq_lock(rq);
    if p.dl.dl_non_contending.get() != 0 {
        update_rq_clock(rq);
        sub_running_bw(&p.dl, rq);
        p.dl.dl_non_contending.set(0);
        cancel_inactive_timer(&p.dl);
    }
    sub_rq_bw(&p.dl, rq);
    raw_spin_rq_unlock(rq);
}

/// A task with the running one's deadline woke up: if it cannot go elsewhere and the other can, it runs.
fn check_preempt_equal_dl(rq: RqRef, p: TaskRef) {
    let curr = rq.current();
    let cpudl = &rq.rd().cpudl;
    if curr.nr_cpus_allowed.get() == 1 || cpudl_later(cpudl, curr).is_none() {
        return;
    }
    if p.nr_cpus_allowed.get() != 1 && cpudl_later(cpudl, p).is_some() {
        return;
    }
    resched_curr(rq);
}

fn wakeup_preempt_dl(rq: RqRef, p: TaskRef, _flags: i32) {
    let curr = rq.current();
    if dl_entity_preempt(&p.dl, &curr.dl) {
        resched_curr(rq);
    } else if p.dl.deadline.get() == curr.dl.deadline.get() && !test_tsk_need_resched(curr) {
        check_preempt_equal_dl(rq, p);
    }
}

/// Pulls when a deadline task leaves the CPU; true if this class or the stopper's has a task.
#[inline(never)]
fn balance_dl(rq: RqRef, prev: TaskRef) -> bool {
    if !on_dl_rq(&prev.dl) && rq.online.get() != 0 && dl_task(prev) {
        pull_dl_task(rq);
    }
    sched_stop_runnable(rq) || sched_dl_runnable(rq)
}

fn set_next_task_dl(rq: RqRef, p: TaskRef, first: bool) {
    p.se.exec_start.set(rq_clock_task(rq));
    if on_dl_rq(&p.dl) {
        update_stats_wait_end_dl(rq, p);
    }
    // The running task is not one to push.
    dequeue_pushable_dl_task(rq, p);
    if !first {
        return;
    }
    if !same_class(rq.current().class(), &dl_sched_class) {
        update_dl_rq_load_avg(rq_clock_pelt(rq), rq, false);
    }
    deadline_queue_push_tasks(rq);
}

fn pick_next_task_dl(rq: RqRef) -> Option<TaskRef> {
    if !sched_dl_runnable(rq) {
        return None;
    }
    let first = leftmost(&rq.dl);
    BUG_ON!(first.is_none());
    let p = DlOfTask::entry(first?);
    set_next_task_dl(rq, p, true);
    Some(p)
}

fn put_prev_task_dl(rq: RqRef, p: TaskRef) {
    if on_dl_rq(&p.dl) {
        update_stats_wait_start_dl(rq, p);
    }
    update_curr_dl(rq);
    update_dl_rq_load_avg(rq_clock_pelt(rq), rq, true);
    if on_dl_rq(&p.dl) && p.nr_cpus_allowed.get() > 1 {
        enqueue_pushable_dl_task(rq, p);
    }
}

fn task_tick_dl(rq: RqRef, _p: TaskRef, _queued: i32) {
    update_curr_dl(rq);
    update_dl_rq_load_avg(rq_clock_pelt(rq), rq, true);
}

/// A new mask. If it leads out of the root domain, that gets its bandwidth back.
fn set_cpus_allowed_dl(p: TaskRef, ctx: &AffinityContext<'_>) {
    WARN_ON_ONCE!(!dl_task(p));
    let src_rd = task_rq(p).rd();
    if !src_rd.span.get().intersects(*ctx.new_mask) {
        // The new one has its share already: whoever moves tasks between root domains sees to it.
        let _guard = src_rd.dl_bw.lock.lock();
        __dl_sub(src_rd, p.dl.dl_bw.get(), dl_bw_cpus(src_rd));
    }
    set_cpus_allowed_common(p, ctx);
}

/// The CPU is active.
fn rq_online_dl(rq: RqRef) {
    if rq.dl.overloaded.get() != 0 {
        dl_set_overload(rq);
    }
    let cpudl = &rq.rd().cpudl;
    cpudl_set_freecpu(cpudl, cpu_of(rq));
    if rq.dl.dl_nr_running.get() > 0 {
        cpudl_set(cpudl, cpu_of(rq), rq.dl.earliest_dl.curr.get());
    }
}

fn rq_offline_dl(rq: RqRef) {
    if rq.dl.overloaded.get() != 0 {
        dl_clear_overload(rq);
    }
    cpudl_clear(&rq.rd().cpudl, cpu_of(rq));
    cpudl_clear_freecpu(&rq.rd().cpudl, cpu_of(rq));
}

/// The task has left the class. Its bandwidth stays with it until the 0-lag time.
fn switched_from_dl(rq: RqRef, p: TaskRef) {
    if task_on_rq_queued(p) && p.dl.dl_runtime.get() != 0 {
        task_non_contending(p);
    }
    if !task_on_rq_queued(p) {
        // It may run elsewhere, of another class, when its timer fires: so it leaves this queue now.
        if p.dl.dl_non_contending.get() != 0 {
            sub_running_bw(&p.dl, rq);
        }
        sub_rq_bw(&p.dl, rq);
    }
    // For the same reason the timer shall not touch a runqueue.
    p.dl.dl_non_contending.set(0);
    if task_on_rq_queued(p) && rq.dl.dl_nr_running.get() == 0 {
        deadline_queue_pull_task(rq);
    }
}

/// The task has come to the class.
fn switched_to_dl(rq: RqRef, p: TaskRef) {
    // It has just left: its old share was replaced by the new one in the admission test.
    cancel_inactive_timer(&p.dl);
    if !task_on_rq_queued(p) {
        // Its deadline is set when it wakes up.
        add_rq_bw(&p.dl, rq);
        return;
    }
    let curr = rq.current();
    if same_task(curr, p) {
        update_dl_rq_load_avg(rq_clock_pelt(rq), rq, false);
        return;
    }
    if p.nr_cpus_allowed.get() > 1 && rq.dl.overloaded.get() != 0 {
        deadline_queue_push_tasks(rq);
    }
    if dl_task(curr) {
        wakeup_preempt_dl(rq, p, 0);
    } else {
        resched_curr(rq);
    }
}

/// Its parameters changed, and with them perhaps its deadline.
fn prio_changed_dl(rq: RqRef, p: TaskRef, _oldprio: i32) {
    if !task_on_rq_queued(p) {
        return;
    }
    // The old deadline is not known: others may be earlier now.
    if rq.dl.overloaded.get() == 0 {
        deadline_queue_pull_task(rq);
    }
    let curr = rq.current();
    let resched = if same_task(curr, p) {
        dl_time_before(rq.dl.earliest_dl.curr.get(), p.dl.deadline.get())
    } else {
        !dl_task(curr) || dl_time_before(p.dl.deadline.get(), curr.dl.deadline.get())
    };
    if resched {
        resched_curr(rq);
    }
}
