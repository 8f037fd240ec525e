//! The fair class: EEVDF, earliest eligible virtual deadline first.
//!
//! Linux: `kernel/sched/fair.c` (v6.8), here a folder of the same name: `eevdf` (virtual time, the
//! tree, the pick), `entity` (into and out of a queue, accounting, weights), `load` (load tracking),
//! `group` (groups of tasks), `bandwidth` (their limits), `select` (CPUs), `balance` (load balancing),
//! `capacity` (what CPUs can do); this file has the tasks' side and the class.
//! Kept: the class as it is with FAIR_GROUP_SCHED: every level of groups has its own EEVDF, and every
//! walk goes over all levels. Left out: NUMA and energy.
//! Differs: nothing else. Locks: the runqueue's lock is held in every hook.

pub mod balance;
pub mod bandwidth;
pub mod capacity;
pub mod eevdf;
pub mod entity;
pub mod group;
pub mod load;
pub mod select;
pub mod stats;

use crate::fence::shared::Shared;
use crate::include::linux::cpumask::num_online_cpus;
use crate::include::linux::interrupt::{SCHED_SOFTIRQ, open_softirq};
use crate::include::linux::jiffies::{HZ, jiffies};
use crate::include::linux::ktime::NSEC_PER_SEC;
use crate::include::linux::list::list_move;
use crate::include::linux::sched::{
    SCHED_IDLE, SCHED_NORMAL, SchedEntity, SeOfTask, TASK_NEW, TaskRef, same_task, task_cpu,
    test_tsk_need_resched,
};
use crate::kernel::sched::core::affinity::set_cpus_allowed_common;
use crate::kernel::sched::core::params::{sched_prio_to_weight, sched_prio_to_wmult};
use crate::kernel::sched::core::schedule::put_prev_task;
use crate::kernel::sched::core::{resched_curr, wakeup_preempt};
use crate::kernel::sched::features::{SchedFeat, sched_feat};
use crate::kernel::sched::pelt::update_idle_rq_clock_pelt;
use crate::kernel::sched::sched::{
    CfsRq, DEQUEUE_SLEEP, ENQUEUE_INITIAL, ENQUEUE_WAKEUP, RqRef, SchedClass, WF_FORK,
    add_nr_running, cpu_rq, raw_spin_rq_lock, raw_spin_rq_unlock, rq_clock_skip_update, same_class,
    scale_load, set_task_rq, sub_nr_running, task_current, task_on_rq_migrating, task_on_rq_queued,
    this_rq, update_rq_clock,
};
use balance::domains::newidle_balance;
use balance::nohz::init_nohz;
use bandwidth::{
    account_cfs_rq_runtime, cfs_rq_throttled, check_cfs_rq_runtime, throttled_hierarchy,
    unthrottle_offline_cfs_rqs, update_runtime_enabled,
};
use capacity::{update_misfit_status, update_overutilized_status};
use eevdf::{
    calc_delta_fair, clear_buddies, entity_eligible, pick_eevdf, place_entity, set_next_buddy,
};
use entity::{
    dequeue_entity, enqueue_entity, entity_tick, put_prev_entity, reweight_entity, set_next_entity,
    update_curr,
};
use load::{
    UPDATE_TG, attach_task_cfs_rq, clear_tg_offline_cfs_rqs, detach_task_cfs_rq,
    migrate_se_pelt_lag, remove_entity_load_avg, se_update_runnable, update_cfs_group,
    update_load_avg, util_est_dequeue, util_est_enqueue, util_est_update,
};

/// The class.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static fair_sched_class: SchedClass = SchedClass {
    rank: 3,
    enqueue_task: enqueue_task_fair,
    dequeue_task: dequeue_task_fair,
    yield_task: yield_task_fair,
    yield_to_task: Some(yield_to_task_fair),
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
    get_rr_interval: Some(get_rr_interval_fair),
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
///
/// The `base_slice_ns` of Linux's debugfs: a CPU that comes or goes sets it anew.
pub static sysctl_sched_base_slice: Shared<u64> = Shared::new(NORMALIZED_SYSCTL_SCHED_BASE_SLICE);

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

/// Opens the softirq of load balancing.
pub fn init_sched_fair_class() {
    open_softirq(SCHED_SOFTIRQ, || balance::domains::run_rebalance_domains());
    init_nohz();
}

/// An empty queue.
pub fn init_cfs_rq(cfs_rq: &'static CfsRq) {
    // Just below the wrap, so that wrapping is exercised from the start.
    cfs_rq.min_vruntime.set((-(1i64 << 20)) as u64);
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

/// An entity and those of its groups, from the task up.
pub fn for_each_sched_entity(
    se: Option<&'static SchedEntity>,
) -> impl Iterator<Item = &'static SchedEntity> {
    core::iter::successors(se, |se| parent_entity(se))
}

/// Whether a group's queue holds tasks that run when nothing else does.
pub fn cfs_rq_is_idle(cfs_rq: &'static CfsRq) -> bool {
    cfs_rq.idle.get() > 0
}

fn task_has_idle_policy(p: TaskRef) -> bool {
    p.policy.get() == SCHED_IDLE
}

/// Whether an entity runs when nothing else does.
pub fn se_is_idle(se: &'static SchedEntity) -> bool {
    match group_cfs_rq(se) {
        None => task_has_idle_policy(task_of(se)),
        Some(my_q) => cfs_rq_is_idle(my_q),
    }
}

/// The queue that two entities are on, if it is the same.
fn is_same_group(se: &'static SchedEntity, pse: &'static SchedEntity) -> Option<&'static CfsRq> {
    let cfs_rq = cfs_rq_of(se);
    core::ptr::eq(cfs_rq, cfs_rq_of(pse)).then_some(cfs_rq)
}

/// The entities of two tasks that are on the same queue: in it their groups compete.
fn find_matching_se(
    mut se: &'static SchedEntity,
    mut pse: &'static SchedEntity,
) -> (&'static SchedEntity, &'static SchedEntity) {
    let up = |se| parent_entity(se).expect("two tasks without a common queue");
    while se.depth.get() > pse.depth.get() {
        se = up(se);
    }
    while pse.depth.get() > se.depth.get() {
        pse = up(pse);
    }
    while is_same_group(se, pse).is_none() {
        se = up(se);
        pse = up(pse);
    }
    (se, pse)
}

fn sched_idle_rq(rq: RqRef) -> bool {
    let running = rq.nr_running.get();
    running != 0 && running == rq.cfs.idle_h_nr_running.get()
}

/// Whether a CPU runs nothing but tasks of policy SCHED_IDLE: as good as idle for anybody else.
pub fn sched_idle_cpu(cpu: u32) -> bool {
    sched_idle_rq(cpu_rq(cpu))
}

/// A task more or less below a queue. `idle`: one that runs when nothing else does; below an idle group's
/// queue every task is one. Returns what it is to the queue above.
fn count_task(cfs_rq: &'static CfsRq, idle: bool, count: fn(&Shared<u32>)) -> bool {
    count(&cfs_rq.h_nr_running);
    if idle {
        count(&cfs_rq.idle_h_nr_running);
    }
    idle || cfs_rq_is_idle(cfs_rq)
}

/// The group's entity stays on its queue while the tasks below it change.
fn update_entity(se: &'static SchedEntity) {
    update_load_avg(cfs_rq_of(se), se, UPDATE_TG);
    se_update_runnable(se);
    update_cfs_group(se);
}

/// Queues the task, and every group above it that was not queued because it had no task.
#[inline(never)]
fn enqueue_task_fair(rq: RqRef, p: TaskRef, flags: i32) {
    let task_new = flags & ENQUEUE_WAKEUP == 0;
    util_est_enqueue(&rq.cfs, p);
    let mut flags = flags;
    let mut idle = task_has_idle_policy(p);
    for se in for_each_sched_entity(Some(&p.se)) {
        let cfs_rq = cfs_rq_of(se);
        if se.on_rq.get() == 0 {
            enqueue_entity(cfs_rq, se, flags);
            flags = ENQUEUE_WAKEUP;
        } else {
            update_entity(se);
        }
        idle = count_task(cfs_rq, idle, Shared::<u32>::inc);
        if cfs_rq_throttled(cfs_rq) {
            // Queued, and out of reach.
            return;
        }
    }
    add_nr_running(rq, 1);
    // A new task's utilisation is a guess: half of what the CPU has to spare.
    if !task_new {
        update_overutilized_status(rq);
    }
}

/// Takes the task out, and every group above it that has no other task left.
#[inline(never)]
fn dequeue_task_fair(rq: RqRef, p: TaskRef, flags: i32) {
    let task_sleep = flags & DEQUEUE_SLEEP != 0;
    let was_sched_idle = sched_idle_rq(rq);
    util_est_dequeue(&rq.cfs, p);
    let mut flags = flags;
    let mut idle = task_has_idle_policy(p);
    let (mut leaves, mut reached) = (true, true);
    for se in for_each_sched_entity(Some(&p.se)) {
        let cfs_rq = cfs_rq_of(se);
        if leaves {
            dequeue_entity(cfs_rq, se, flags);
        } else {
            update_entity(se);
        }
        idle = count_task(cfs_rq, idle, Shared::<u32>::dec);
        if cfs_rq_throttled(cfs_rq) {
            // The levels above have not counted it since.
            reached = false;
            break;
        }
        if leaves && cfs_rq.load.weight.get() != 0 {
            // Somebody else is there: the group stays. It may go on where it was.
            leaves = false;
            if task_sleep
                && !throttled_hierarchy(cfs_rq)
                && let Some(parent) = parent_entity(se)
            {
                set_next_buddy(parent);
            }
        }
        flags |= DEQUEUE_SLEEP;
    }
    if reached {
        sub_nr_running(rq, 1);
        if !was_sched_idle && sched_idle_rq(rq) {
            // What is left can wait for anything a balance brings.
            rq.next_balance.set(jiffies());
        }
    }
    util_est_update(&rq.cfs, p, task_sleep);
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

/// The current task yields, and would like that one to run.
fn yield_to_task_fair(rq: RqRef, p: TaskRef) -> bool {
    if p.se.on_rq.get() == 0 || throttled_hierarchy(cfs_rq_of(&p.se)) {
        return false;
    }
    set_next_buddy(&p.se);
    yield_task_fair(rq);
    true
}

/// Preempts if the pick would choose the new task.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
fn check_preempt_wakeup_fair(rq: RqRef, p: TaskRef, wake_flags: i32) {
    let curr = rq.current();
    // A task out of reach preempts nobody: it may have come with a balance.
    if same_task(curr, p) || throttled_hierarchy(cfs_rq_of(&p.se)) {
        return;
    }
    if sched_feat(SchedFeat::NEXT_BUDDY) && wake_flags & WF_FORK == 0 {
        set_next_buddy(&p.se);
    }
    if test_tsk_need_resched(curr) {
        return;
    }
    if task_has_idle_policy(curr) && !task_has_idle_policy(p) {
        resched_curr(rq);
        return;
    }
    if p.policy.get() != SCHED_NORMAL || !sched_feat(SchedFeat::WAKEUP_PREEMPTION) {
        return;
    }
    let (se, pse) = find_matching_se(&curr.se, &p.se);
    match (se_is_idle(se), se_is_idle(pse)) {
        (true, false) => {
            resched_curr(rq);
            return;
        }
        (false, true) => return,
        _ => {}
    }
    let cfs_rq = cfs_rq_of(se);
    update_curr(cfs_rq);
    if pick_eevdf(cfs_rq).is_some_and(|se| same_se(se, pse)) {
        resched_curr(rq);
    }
}

/// Picks with `prev` still the running task where that is possible: groups that go on running are neither
/// put back nor taken out, and neither is the task itself.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub fn pick_next_task_fair(rq: RqRef, prev: Option<TaskRef>) -> Pick {
    loop {
        if rq.cfs.nr_running.get() == 0 {
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
        let p = match prev {
            Some(prev) if same_class(prev.class(), &fair_sched_class) => {
                match pick_beside(rq, prev) {
                    Some(p) => p,
                    None if rq.cfs.nr_running.get() == 0 => continue,
                    None => pick_simple(rq, Some(prev)),
                }
            }
            prev => pick_simple(rq, prev),
        };
        list_move(&p.se.group_node, &rq.cfs_tasks);
        update_misfit_status(Some(p), rq);
        return Pick::Task(p);
    }
}

/// The pick with the running entity of every level taking part. None if a group on prev's way turned out to
/// have no run time: it is gone, and so may others above be.
fn pick_beside(rq: RqRef, prev: TaskRef) -> Option<TaskRef> {
    let mut level = Some(&rq.cfs);
    let mut picked = &prev.se;
    while let Some(cfs_rq) = level {
        if let Some(curr) = cfs_rq.curr.get() {
            if curr.on_rq.get() != 0 {
                update_curr(cfs_rq);
            }
            if check_cfs_rq_runtime(cfs_rq) {
                return None;
            }
        }
        picked = pick_next_entity(cfs_rq);
        level = group_cfs_rq(picked);
    }
    let p = task_of(picked);
    if !same_task(prev, p) {
        // Up on both sides to the queue they share; what is above it does not change.
        let (mut se, mut pse) = (Some(picked), Some(&prev.se));
        while let (Some(at), Some(pat)) = (se, pse) {
            let shared = is_same_group(at, pat).is_some();
            let (depth, pdepth) = (at.depth.get(), pat.depth.get());
            if shared || depth <= pdepth {
                put_prev_entity(cfs_rq_of(pat), pat);
                pse = parent_entity(pat);
            }
            if shared || depth >= pdepth {
                set_next_entity(cfs_rq_of(at), at);
                se = parent_entity(at);
            }
            if shared {
                break;
            }
        }
    }
    Some(p)
}

/// The pick after `prev` is put back.
fn pick_simple(rq: RqRef, prev: Option<TaskRef>) -> TaskRef {
    if let Some(prev) = prev {
        put_prev_task(rq, prev);
    }
    let mut cfs_rq = &rq.cfs;
    loop {
        let se = pick_next_entity(cfs_rq);
        set_next_entity(cfs_rq, se);
        match group_cfs_rq(se) {
            Some(below) => cfs_rq = below,
            None => return task_of(se),
        }
    }
}

fn pick_next_entity(cfs_rq: &'static CfsRq) -> &'static SchedEntity {
    // The wish of a yield_to counts only with NEXT_BUDDY, which is off.
    if sched_feat(SchedFeat::NEXT_BUDDY)
        && let Some(next) = cfs_rq.next.get()
        && entity_eligible(cfs_rq, next)
    {
        return next;
    }
    pick_eevdf(cfs_rq).expect("a fair queue with tasks and nothing to pick")
}

fn __pick_next_task_fair(rq: RqRef) -> Option<TaskRef> {
    match pick_next_task_fair(rq, None) {
        Pick::Task(p) => Some(p),
        Pick::Retry | Pick::Nothing => None,
    }
}

fn put_prev_task_fair(_rq: RqRef, prev: TaskRef) {
    for se in for_each_sched_entity(Some(&prev.se)) {
        put_prev_entity(cfs_rq_of(se), se);
    }
}

fn set_next_task_fair(rq: RqRef, p: TaskRef, _first: bool) {
    if p.se.on_rq.get() != 0 {
        list_move(&p.se.group_node, &rq.cfs_tasks);
    }
    for se in for_each_sched_entity(Some(&p.se)) {
        let cfs_rq = cfs_rq_of(se);
        set_next_entity(cfs_rq, se);
        // Nobody has looked whether it may run.
        account_cfs_rq_runtime(cfs_rq, 0);
    }
}

fn balance_fair(rq: RqRef, _prev: TaskRef) -> bool {
    rq.nr_running.get() != 0 || newidle_balance(rq) != 0
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

fn rq_online_fair(rq: RqRef) {
    update_sysctl();
    update_runtime_enabled(rq);
}

fn rq_offline_fair(rq: RqRef) {
    update_sysctl();
    unthrottle_offline_cfs_rqs(rq);
    clear_tg_offline_cfs_rqs(rq);
}

fn task_dead_fair(p: TaskRef) {
    remove_entity_load_avg(&p.se);
}

fn task_tick_fair(rq: RqRef, curr: TaskRef, queued: i32) {
    for se in for_each_sched_entity(Some(&curr.se)) {
        entity_tick(cfs_rq_of(se), se, queued);
    }
    update_misfit_status(Some(curr), rq);
    update_overutilized_status(rq);
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

/// The length of a request, in whole ticks: none, for what is in force here. Nor for a queue that is empty.
fn get_rr_interval_fair(rq: RqRef, task: TaskRef) -> u32 {
    if rq.cfs.load.weight.get() == 0 {
        return 0;
    }
    (task.se.slice.get() / (NSEC_PER_SEC as u64 / HZ)) as u32
}
