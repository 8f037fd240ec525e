//! The fair class: EEVDF, earliest eligible virtual deadline first.
//!
//! Linux: `kernel/sched/fair.c` (v6.8), here a folder of the same name: `eevdf` (virtual time, the
//! tree, the pick), `entity` (into and out of a queue, accounting, weights), `load` (load tracking),
//! `select` (CPUs); this file has the tasks' side and the class.
//! Kept: the class as it is with FAIR_GROUP_SCHED and the root group only, so every walk up or down
//! the levels has one step. Left out: load balancing (`newidle_balance` finds
//! nothing), bandwidth, group entities, NUMA, buddies but for their clearing, misfit and energy.
//! Differs: nothing else. Locks: the runqueue's lock is held in every hook.

pub mod eevdf;
pub mod entity;
pub mod load;
pub mod select;

use crate::fence::shared::Shared;
use crate::include::linux::cpumask::num_online_cpus;
use crate::include::linux::list::list_move;
use crate::include::linux::sched::{
    SCHED_IDLE, SCHED_NORMAL, SchedEntity, SeOfTask, TASK_NEW, TaskRef, same_task, task_cpu,
    test_tsk_need_resched,
};
use crate::kernel::sched::core::affinity::set_cpus_allowed_common;
use crate::kernel::sched::core::params::{sched_prio_to_weight, sched_prio_to_wmult};
use crate::kernel::sched::core::resched_curr;
use crate::kernel::sched::core::wakeup_preempt;
use crate::kernel::sched::pelt::update_idle_rq_clock_pelt;
use crate::kernel::sched::sched::{
    CfsRq, DEQUEUE_SLEEP, ENQUEUE_INITIAL, RqRef, SchedClass, TaskGroup, add_nr_running, cpu_rq,
    raw_spin_rq_lock, raw_spin_rq_unlock, rq_clock, rq_clock_skip_update, same_class, scale_load,
    set_task_rq, sub_nr_running, task_current, task_on_rq_migrating, task_on_rq_queued, this_rq,
    update_rq_clock,
};
use eevdf::{calc_delta_fair, clear_buddies, pick_eevdf, place_entity};
use entity::{
    dequeue_entity, enqueue_entity, entity_tick, put_prev_entity, reweight_entity, set_next_entity,
    update_curr,
};
use load::{
    attach_task_cfs_rq, detach_task_cfs_rq, migrate_se_pelt_lag, remove_entity_load_avg,
    util_est_dequeue, util_est_enqueue, util_est_update,
};

/// The class.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static fair_sched_class: SchedClass = SchedClass {
    rank: 3,
    enqueue_task: enqueue_task_fair,
    dequeue_task: dequeue_task_fair,
    yield_task: yield_task_fair,
    wakeup_preempt: check_preempt_wakeup_fair,
    pick_next_task: __pick_next_task_fair,
    put_prev_task: put_prev_task_fair,
    set_next_task: set_next_task_fair,
    balance: balance_fair,
    select_task_rq: select::select_task_rq_fair,
    migrate_task_rq: Some(migrate_task_rq_fair),
    task_woken: None,
    set_cpus_allowed: set_cpus_allowed_common,
    rq_online: Some(rq_online_fair),
    rq_offline: Some(rq_offline_fair),
    find_lock_rq: None,
    task_tick: task_tick_fair,
    task_fork: Some(task_fork_fair),
    task_dead: Some(task_dead_fair),
    switched_from: Some(switched_from_fair),
    switched_to: switched_to_fair,
    prio_changed: prio_changed_fair,
    get_rr_interval: None,
    update_curr: update_curr_fair,
    task_change_group: Some(task_change_group_fair),
};

/// What the fair pick found.
pub enum Pick {
    /// A task, already made the running one.
    Task(TaskRef),
    /// The lock was dropped and a higher class has work now: walk again (`RETRY_TASK`).
    Retry,
    /// No fair task.
    Nothing,
}

/// Length of a request with one CPU, ns.
const NORMALIZED_SYSCTL_SCHED_BASE_SLICE: u64 = 750_000;
/// Length of a request, scaled by the number of CPUs, ns.
static sysctl_sched_base_slice: Shared<u64> = Shared::new(NORMALIZED_SYSCTL_SCHED_BASE_SLICE);

/// Length of a request, ns.
pub fn base_slice_ns() -> u64 {
    sysctl_sched_base_slice.get()
}

/// More CPUs, longer slices: 1 + log2 of at most 8 CPUs.
fn update_sysctl() {
    let cpus = num_online_cpus().clamp(1, 8);
    let factor = 1 + u64::from(cpus.ilog2());
    sysctl_sched_base_slice.set(NORMALIZED_SYSCTL_SCHED_BASE_SLICE * factor);
}

/// The CPUs of the boot are there.
pub fn sched_init_granularity() {
    update_sysctl();
}

/// Nothing to prepare before load balancing exists.
pub fn init_sched_fair_class() {}

/// An empty queue.
pub fn init_cfs_rq(cfs_rq: &'static CfsRq) {
    // Just below the wrap, so that wrapping is exercised from the start.
    cfs_rq.min_vruntime.set((-(1i64 << 20)) as u64);
}

/// Makes a queue the group's queue of a CPU. The root group has no entity.
pub fn init_tg_cfs_entry(
    tg: &'static TaskGroup,
    cfs_rq: &'static CfsRq,
    se: Option<&'static SchedEntity>,
    rq: RqRef,
    cpu: u32,
) {
    cfs_rq.rq.set(Some(rq));
    cfs_rq.tg.set(Some(tg));
    tg.cfs_rq.per_cpu(cpu).set(Some(cfs_rq));
    tg.se.per_cpu(cpu).set(se);
}

/// The queue a task's entity is on.
pub fn cfs_rq_of(se: &'static SchedEntity) -> &'static CfsRq {
    se.cfs_rq.get().expect("an entity without a queue")
}

/// The queue an entity owns: None for a task.
pub fn group_cfs_rq(se: &'static SchedEntity) -> Option<&'static CfsRq> {
    se.my_q.get()
}

/// The entity one level up.
pub fn parent_entity(se: &'static SchedEntity) -> Option<&'static SchedEntity> {
    se.parent.get()
}

/// The task around an entity.
pub fn task_of(se: &'static SchedEntity) -> TaskRef {
    SeOfTask::entry(se)
}

/// The runqueue of a queue.
pub fn rq_of(cfs_rq: &'static CfsRq) -> RqRef {
    cfs_rq.rq.get().expect("a queue without a runqueue")
}

/// Whether two entities are the same.
pub fn same_se(a: &'static SchedEntity, b: &'static SchedEntity) -> bool {
    core::ptr::eq(a, b)
}

fn idle_h_nr_running(p: TaskRef) -> u32 {
    u32::from(p.policy.get() == SCHED_IDLE)
}

/// Whether a CPU runs nothing but tasks of policy SCHED_IDLE: as good as idle for anybody else.
pub fn sched_idle_cpu(cpu: u32) -> bool {
    let rq = cpu_rq(cpu);
    rq.nr_running.get() != 0 && rq.nr_running.get() == rq.cfs.idle_h_nr_running.get()
}

#[inline(never)]
fn enqueue_task_fair(rq: RqRef, p: TaskRef, flags: i32) {
    let cfs_rq = cfs_rq_of(&p.se);
    util_est_enqueue(&rq.cfs, p);
    if p.se.on_rq.get() == 0 {
        enqueue_entity(cfs_rq, &p.se, flags);
        cfs_rq.h_nr_running.inc();
        cfs_rq.idle_h_nr_running.add(idle_h_nr_running(p));
    }
    add_nr_running(rq, 1);
}

#[inline(never)]
fn dequeue_task_fair(rq: RqRef, p: TaskRef, flags: i32) {
    let cfs_rq = cfs_rq_of(&p.se);
    util_est_dequeue(&rq.cfs, p);
    dequeue_entity(cfs_rq, &p.se, flags);
    cfs_rq.h_nr_running.dec();
    cfs_rq.idle_h_nr_running.sub(idle_h_nr_running(p));
    sub_nr_running(rq, 1);
    util_est_update(p, flags & DEQUEUE_SLEEP != 0);
}

/// The current task gives up the rest of its request, and its next deadline is a request later.
fn yield_task_fair(rq: RqRef) {
    let se = &rq.current().se;
    if rq.nr_running.get() == 1 {
        return;
    }
    let cfs_rq = cfs_rq_of(se);
    clear_buddies(cfs_rq, se);
    update_rq_clock(rq);
    update_curr(cfs_rq);
    rq_clock_skip_update(rq);
    se.deadline.add(calc_delta_fair(se.slice.get(), se));
}

/// Preempts if the pick would choose the new task.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
fn check_preempt_wakeup_fair(rq: RqRef, p: TaskRef, _wake_flags: i32) {
    let curr = rq.current();
    if same_task(curr, p) || test_tsk_need_resched(curr) {
        return;
    }
    if curr.policy.get() == SCHED_IDLE && p.policy.get() != SCHED_IDLE {
        resched_curr(rq);
        return;
    }
    if p.policy.get() != SCHED_NORMAL {
        return;
    }
    let cfs_rq = cfs_rq_of(&curr.se);
    update_curr(cfs_rq);
    if pick_eevdf(cfs_rq).is_some_and(|se| same_se(se, &p.se)) {
        resched_curr(rq);
    }
}

/// Picks with `prev` still the running task where that is possible: a task that goes on running is
/// neither put back nor taken out.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub fn pick_next_task_fair(rq: RqRef, prev: Option<TaskRef>) -> Pick {
    let cfs_rq = &rq.cfs;
    loop {
        if cfs_rq.nr_running.get() == 0 {
            let Some(_) = prev else { return Pick::Nothing };
            match newidle_balance(rq) {
                0 => {
                    update_idle_rq_clock_pelt(rq);
                    return Pick::Nothing;
                }
                pulled if pulled < 0 => return Pick::Retry,
                _ => continue,
            }
        }
        let next = match prev {
            Some(prev) if same_class(prev.class(), &fair_sched_class) => {
                if cfs_rq.curr.get().is_some_and(|curr| curr.on_rq.get() != 0) {
                    update_curr(cfs_rq);
                }
                let se = pick_next_entity(cfs_rq);
                if !same_se(se, &prev.se) {
                    put_prev_entity(cfs_rq, &prev.se);
                    set_next_entity(cfs_rq, se);
                }
                se
            }
            prev => {
                if let Some(prev) = prev {
                    (prev.class().put_prev_task)(rq, prev);
                }
                let se = pick_next_entity(cfs_rq);
                set_next_entity(cfs_rq, se);
                se
            }
        };
        list_move(&next.group_node, &rq.cfs_tasks);
        return Pick::Task(task_of(next));
    }
}

fn pick_next_entity(cfs_rq: &'static CfsRq) -> &'static SchedEntity {
    pick_eevdf(cfs_rq).expect("a fair queue with tasks and nothing to pick")
}

fn __pick_next_task_fair(rq: RqRef) -> Option<TaskRef> {
    match pick_next_task_fair(rq, None) {
        Pick::Task(p) => Some(p),
        Pick::Retry | Pick::Nothing => None,
    }
}

fn put_prev_task_fair(_rq: RqRef, prev: TaskRef) {
    put_prev_entity(cfs_rq_of(&prev.se), &prev.se);
}

fn set_next_task_fair(rq: RqRef, p: TaskRef, _first: bool) {
    let se = &p.se;
    if se.on_rq.get() != 0 {
        list_move(&se.group_node, &rq.cfs_tasks);
    }
    set_next_entity(cfs_rq_of(se), se);
}

fn balance_fair(rq: RqRef, _prev: TaskRef) -> bool {
    rq.nr_running.get() != 0 || newidle_balance(rq) != 0
}

/// Looks for work elsewhere before the CPU idles. Without balancing it finds none and notes the time.
fn newidle_balance(this_rq: RqRef) -> i32 {
    if this_rq.ttwu_pending.get() != 0 {
        return 0;
    }
    this_rq.idle_stamp.set(rq_clock(this_rq));
    0
}

/// The task goes to another CPU. Only `pi_lock` is held if it sleeps.
fn migrate_task_rq_fair(p: TaskRef, _new_cpu: i32) {
    if !task_on_rq_migrating(p) {
        // A queued one has been detached by its dequeue.
        remove_entity_load_avg(&p.se);
        migrate_se_pelt_lag(&p.se);
    }
    // It attaches where it is enqueued next.
    p.se.avg.last_update_time.set(0);
}

fn rq_online_fair(_rq: RqRef) {
    update_sysctl();
}

fn rq_offline_fair(_rq: RqRef) {
    update_sysctl();
}

fn task_dead_fair(p: TaskRef) {
    remove_entity_load_avg(&p.se);
}

fn task_tick_fair(_rq: RqRef, curr: TaskRef, queued: i32) {
    entity_tick(cfs_rq_of(&curr.se), &curr.se, queued);
}

fn task_fork_fair(p: TaskRef) {
    let rq = this_rq();
    raw_spin_rq_lock(rq);
    update_rq_clock(rq);
    let cfs_rq = cfs_rq_of(&p.se);
    if cfs_rq.curr.get().is_some() {
        update_curr(cfs_rq);
    }
    place_entity(cfs_rq, &p.se, ENQUEUE_INITIAL);
    raw_spin_rq_unlock(rq);
}

fn switched_from_fair(_rq: RqRef, p: TaskRef) {
    detach_task_cfs_rq(p);
}

fn switched_to_fair(rq: RqRef, p: TaskRef) {
    attach_task_cfs_rq(p);
    if task_on_rq_queued(p) {
        if task_current(rq, p) {
            resched_curr(rq);
        } else {
            wakeup_preempt(rq, p, 0);
        }
    }
}

fn prio_changed_fair(rq: RqRef, p: TaskRef, oldprio: i32) {
    if !task_on_rq_queued(p) || rq.cfs.nr_running.get() == 1 {
        return;
    }
    if task_current(rq, p) {
        // A larger number is a lower priority.
        if p.prio.get() > oldprio {
            resched_curr(rq);
        }
    } else {
        wakeup_preempt(rq, p, 0);
    }
}

/// The task goes to the group that it names now. It is on no queue.
fn task_change_group_fair(p: TaskRef) {
    // It attaches when it first wakes.
    if p.__state.get() == TASK_NEW {
        return;
    }
    detach_task_cfs_rq(p);
    // Its signal is not that of another queue any more.
    p.se.avg.last_update_time.set(0);
    set_task_rq(p, task_cpu(p));
    attach_task_cfs_rq(p);
}

fn update_curr_fair(rq: RqRef) {
    update_curr(cfs_rq_of(&rq.current().se));
}

/// Gives a task the weight of a nice value; it may be queued or running.
pub fn reweight_task(p: TaskRef, prio: usize) {
    let weight = scale_load(u64::from(sched_prio_to_weight[prio]));
    reweight_entity(cfs_rq_of(&p.se), &p.se, weight);
    p.se.load.inv_weight.set(sched_prio_to_wmult[prio]);
}
