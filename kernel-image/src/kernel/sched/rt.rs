//! The real-time class: SCHED_FIFO and SCHED_RR, one list a priority.
//!
//! Linux: `kernel/sched/rt.c` (v6.8), without RT_GROUP_SCHED.
//! Kept: the array with its bitmap, the rules of head and tail, round robin by the tick, preemption by
//! priority and among equals if that lets a task move away, the list of tasks to push (its uses are in
//! `push_pull`), throttling (`bandwidth`). Left out: RLIMIT_RTTIME (no signals), capacities. Differs: nothing
//! else.
//! Locks: the runqueue's lock is held in every hook; `rt_runtime_lock` and a timer base inside it.

pub mod bandwidth;
pub mod push_pull;
mod stats;

pub use bandwidth::init_rt_bandwidth;

use crate::WARN_ON_ONCE;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::cpu_online;
use crate::include::linux::jiffies::HZ;
use crate::include::linux::list::{
    ListHead, list_add, list_add_tail, list_del_init, list_empty, list_is_singular, list_move,
    list_move_tail,
};
use crate::include::linux::sched::prio::MAX_RT_PRIO;
use crate::include::linux::sched::{
    RtOfTask, RunListLink, SCHED_RR, SchedRtEntity, TaskRef, same_task, test_tsk_need_resched,
};
use crate::kernel::sched::core::affinity::set_cpus_allowed_common;
use crate::kernel::sched::core::resched_curr;
use crate::kernel::sched::cpupri::{CPUPRI_INVALID, cpupri_find_any, cpupri_set};
use crate::kernel::sched::deadline::sched_dl_runnable;
use crate::kernel::sched::fair::entity::update_curr_common;
use crate::kernel::sched::pelt::{rq_clock_pelt, update_rt_rq_load_avg};
use crate::kernel::sched::rt::stats::{
    update_stats_dequeue_rt, update_stats_enqueue_rt, update_stats_wait_end_rt,
    update_stats_wait_start_rt,
};
use crate::kernel::sched::sched::{
    DEQUEUE_MOVE, DEQUEUE_SAVE, ENQUEUE_HEAD, ENQUEUE_WAKEUP, RqRef, RtPrioArray, RtRq, SchedClass,
    add_nr_running, cpu_of, rq_clock_task, same_class, sub_nr_running, task_current,
    task_on_rq_queued,
};
use crate::kernel::sched::stop_task::sched_stop_runnable;
use bandwidth::{
    __disable_runtime, __enable_runtime, RUNTIME_INF, def_rt_bandwidth, rt_bandwidth_enabled,
    sched_rt_runtime_exceeded, start_rt_bandwidth,
};
use push_pull::{
    dequeue_pushable_task, enqueue_pushable_task, find_lock_lowest_rq, pull_rt_task,
    rt_clear_overload, rt_queue_pull_task, rt_queue_push_tasks, rt_set_overload, select_task_rq_rt,
    task_woken_rt,
};

/// The class.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static rt_sched_class: SchedClass = SchedClass {
    rank: 2,
    enqueue_task: enqueue_task_rt,
    dequeue_task: dequeue_task_rt,
    yield_task: yield_task_rt,
    yield_to_task: None,
    wakeup_preempt: wakeup_preempt_rt,
    pick_next_task: pick_next_task_rt,
    put_prev_task: put_prev_task_rt,
    set_next_task: set_next_task_rt,
    balance: balance_rt,
    select_task_rq: select_task_rq_rt,
    migrate_task_rq: None,
    task_woken: Some(task_woken_rt),
    set_cpus_allowed: set_cpus_allowed_common,
    rq_online: Some(rq_online_rt),
    rq_offline: Some(rq_offline_rt),
    find_lock_rq: Some(find_lock_lowest_rq),
    task_tick: task_tick_rt,
    task_fork: None,
    task_dead: None,
    switched_from: Some(switched_from_rt),
    switched_to: switched_to_rt,
    prio_changed: prio_changed_rt,
    get_rr_interval: Some(get_rr_interval_rt),
    update_curr: update_curr_rt,
    task_change_group: None,
};

/// A round-robin task's turn, 100 ms in jiffies.
pub const RR_TIMESLICE: u32 = (100 * HZ / 1000) as u32;
/// The turn in force.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static sched_rr_timeslice: Shared<u32> = Shared::new(RR_TIMESLICE);

/// An empty queue.
pub fn init_rt_rq(rt_rq: &'static RtRq) {
    rt_rq.active.init();
    rt_rq.highest_prio.curr.set(MAX_RT_PRIO - 1);
    rt_rq.highest_prio.next.set(MAX_RT_PRIO - 1);
    rt_rq.overloaded.set(0);
    rt_rq.rt_queued.set(0);
    rt_rq.rt_throttled.set(0);
    rt_rq.rt_time.set(0);
    rt_rq.rt_runtime.set(def_rt_bandwidth.rt_runtime);
}

impl RtPrioArray {
    /// Empty, with the bit that ends every search.
    pub fn init(&'static self) {
        self.bitmap[0].set(0);
        self.bitmap[1].set(1 << (MAX_RT_PRIO - 64));
    }

    fn bit(prio: i32) -> (usize, u64) {
        (prio as usize / 64, 1 << (prio as usize % 64))
    }

    fn list(&'static self, prio: i32) -> &'static ListHead {
        &self.queue[prio as usize]
    }

    /// The highest priority with a task: the lowest number, `MAX_RT_PRIO` when there is none
    /// (`sched_find_first_bit`).
    pub fn first(&self) -> i32 {
        match self.bitmap[0].get() {
            0 => 64 + self.bitmap[1].get().trailing_zeros() as i32,
            low => low.trailing_zeros() as i32,
        }
    }

    /// Puts an entity at the end of its list, or at its head.
    pub fn add(&'static self, rt_se: &'static SchedRtEntity, prio: i32, head: bool) {
        WARN_ON_ONCE!(rt_se.on_list.get() != 0);
        if head {
            list_add(&rt_se.run_list, self.list(prio));
        } else {
            list_add_tail(&rt_se.run_list, self.list(prio));
        }
        let (word, bit) = Self::bit(prio);
        self.bitmap[word].or(bit);
        rt_se.on_list.set(1);
    }

    /// Takes an entity out of its list.
    pub fn del(&'static self, rt_se: &'static SchedRtEntity, prio: i32) {
        list_del_init(&rt_se.run_list);
        if list_empty(self.list(prio)) {
            let (word, bit) = Self::bit(prio);
            self.bitmap[word].and_not(bit);
        }
        rt_se.on_list.set(0);
    }

    /// Moves an entity to the end of its list, or to its head.
    pub fn requeue(&'static self, rt_se: &'static SchedRtEntity, prio: i32, head: bool) {
        if head {
            list_move(&rt_se.run_list, self.list(prio));
        } else {
            list_move_tail(&rt_se.run_list, self.list(prio));
        }
    }

    /// The first entity of the highest priority.
    pub fn pick(&'static self) -> Option<&'static SchedRtEntity> {
        let prio = self.first();
        (prio < MAX_RT_PRIO)
            .then(|| RunListLink::first(self.list(prio)))
            .flatten()
    }

    /// Whether nobody else is in the entity's list.
    pub fn is_alone(&'static self, prio: i32) -> bool {
        list_is_singular(self.list(prio))
    }
}

fn on_rt_rq(rt_se: &SchedRtEntity) -> bool {
    rt_se.on_rq.get() != 0
}

/// Whether a change takes the entity out of its list: not if it is only saved to be restored as it was.
fn move_entity(flags: i32) -> bool {
    flags & (DEQUEUE_SAVE | DEQUEUE_MOVE) != DEQUEUE_SAVE
}

fn update_curr_rt(rq: RqRef) {
    let curr = rq.current();
    if !same_class(curr.class(), &rt_sched_class) {
        return;
    }
    let delta_exec = update_curr_common(rq, curr);
    if delta_exec == 0 || !rt_bandwidth_enabled() {
        return;
    }
    // A CPU that goes down has no limit.
    if rq.rt.rt_runtime.get() == RUNTIME_INF {
        return;
    }
    rq.rt.rt_time.add(delta_exec);
    if sched_rt_runtime_exceeded(rq) {
        resched_curr(rq);
        start_rt_bandwidth(&def_rt_bandwidth);
    }
}

/// The queue's tasks no more count as runnable on the CPU.
pub(super) fn dequeue_top_rt_rq(rq: RqRef) {
    if rq.rt.rt_queued.get() == 0 {
        return;
    }
    sub_nr_running(rq, rq.rt.rt_queued.get());
    rq.rt.rt_queued.set(0);
}

/// The queue's tasks count, unless it is throttled.
pub(super) fn enqueue_top_rt_rq(rq: RqRef) {
    let rt_rq = &rq.rt;
    if rt_rq.rt_queued.get() != 0 || rt_rq.rt_throttled.get() != 0 {
        return;
    }
    let count = rt_rq.rt_nr_running.get();
    if count != 0 {
        add_nr_running(rq, count);
        rt_rq.rt_queued.set(count);
    }
}

fn inc_rt_prio(rq: RqRef, prio: i32) {
    let highest = &rq.rt.highest_prio.curr;
    if prio < highest.get() {
        highest.set(prio);
        if rq.online.get() != 0 {
            cpupri_set(&rq.rd().cpupri, cpu_of(rq), prio);
        }
    }
}

fn dec_rt_prio(rq: RqRef, prio: i32) {
    let rt_rq = &rq.rt;
    let prev_prio = rt_rq.highest_prio.curr.get();
    if rt_rq.rt_nr_running.get() == 0 {
        rt_rq.highest_prio.curr.set(MAX_RT_PRIO - 1);
    } else {
        WARN_ON_ONCE!(prio < prev_prio);
        if prio == prev_prio {
            rt_rq.highest_prio.curr.set(rt_rq.active.first());
        }
    }
    let highest = rt_rq.highest_prio.curr.get();
    if rq.online.get() != 0 && highest != prev_prio {
        cpupri_set(&rq.rd().cpupri, cpu_of(rq), highest);
    }
}

fn inc_rt_tasks(rq: RqRef, p: TaskRef) {
    let rt_rq = &rq.rt;
    rt_rq.rt_nr_running.inc();
    rt_rq
        .rr_nr_running
        .add(u32::from(p.policy.get() == SCHED_RR));
    inc_rt_prio(rq, p.prio.get());
    start_rt_bandwidth(&def_rt_bandwidth);
}

fn dec_rt_tasks(rq: RqRef, p: TaskRef) {
    let rt_rq = &rq.rt;
    rt_rq.rt_nr_running.dec();
    rt_rq
        .rr_nr_running
        .sub(u32::from(p.policy.get() == SCHED_RR));
    dec_rt_prio(rq, p.prio.get());
}

fn __dequeue_rt_entity(rq: RqRef, p: TaskRef, flags: i32) {
    if move_entity(flags) {
        WARN_ON_ONCE!(p.rt.on_list.get() == 0);
        rq.rt.active.del(&p.rt, p.prio.get());
    }
    p.rt.on_rq.set(0);
    dec_rt_tasks(rq, p);
}

#[inline(never)]
fn enqueue_task_rt(rq: RqRef, p: TaskRef, flags: i32) {
    if flags & ENQUEUE_WAKEUP != 0 {
        p.rt.timeout.set(0);
    }
    update_stats_wait_start_rt(rq, p);
    update_stats_enqueue_rt(rq, p, flags);
    dequeue_top_rt_rq(rq);
    if on_rt_rq(&p.rt) {
        __dequeue_rt_entity(rq, p, flags);
    }
    if move_entity(flags) {
        let head = flags & ENQUEUE_HEAD != 0;
        rq.rt.active.add(&p.rt, p.prio.get(), head);
    }
    p.rt.on_rq.set(1);
    inc_rt_tasks(rq, p);
    enqueue_top_rt_rq(rq);
    if !task_current(rq, p) && p.nr_cpus_allowed.get() > 1 {
        enqueue_pushable_task(rq, p);
    }
}

#[inline(never)]
fn dequeue_task_rt(rq: RqRef, p: TaskRef, flags: i32) {
    update_curr_rt(rq);
    update_stats_dequeue_rt(rq, p, flags);
    dequeue_top_rt_rq(rq);
    if on_rt_rq(&p.rt) {
        __dequeue_rt_entity(rq, p, flags);
    }
    enqueue_top_rt_rq(rq);
    dequeue_pushable_task(rq, p);
}

/// Puts a queued task at the end of its list, or at its head: nothing else about it changes.
fn requeue_task_rt(rq: RqRef, p: TaskRef, head: bool) {
    if on_rt_rq(&p.rt) {
        rq.rt.active.requeue(&p.rt, p.prio.get(), head);
    }
}

fn yield_task_rt(rq: RqRef) {
    requeue_task_rt(rq, rq.current(), false);
}

/// A task as important as the running one woke up. If it cannot go elsewhere and the running one can, it
/// gets this CPU: the other is pushed away in the switch.
fn check_preempt_equal_prio(rq: RqRef, p: TaskRef) {
    let curr = rq.current();
    let cpupri = &rq.rd().cpupri;
    if curr.nr_cpus_allowed.get() == 1 || !cpupri_find_any(cpupri, curr) {
        return;
    }
    // It will be pushed itself.
    if p.nr_cpus_allowed.get() != 1 && cpupri_find_any(cpupri, p) {
        return;
    }
    requeue_task_rt(rq, p, true);
    resched_curr(rq);
}

fn wakeup_preempt_rt(rq: RqRef, p: TaskRef, _flags: i32) {
    let curr = rq.current();
    if p.prio.get() < curr.prio.get() {
        resched_curr(rq);
    } else if p.prio.get() == curr.prio.get() && !test_tsk_need_resched(curr) {
        check_preempt_equal_prio(rq, p);
    }
}

/// Whether the class has a task to run here.
pub fn sched_rt_runnable(rq: RqRef) -> bool {
    rq.rt.rt_queued.get() != 0
}

fn pick_next_task_rt(rq: RqRef) -> Option<TaskRef> {
    if !sched_rt_runnable(rq) {
        return None;
    }
    let rt_se = rq.rt.active.pick();
    let p = RtOfTask::entry(rt_se.expect("a real-time queue that counts tasks and has none"));
    set_next_task_rt(rq, p, true);
    Some(p)
}

fn put_prev_task_rt(rq: RqRef, p: TaskRef) {
    if on_rt_rq(&p.rt) {
        update_stats_wait_start_rt(rq, p);
    }
    update_curr_rt(rq);
    update_rt_rq_load_avg(rq_clock_pelt(rq), rq, true);
    // It waits from now on: others may take it.
    if on_rt_rq(&p.rt) && p.nr_cpus_allowed.get() > 1 {
        enqueue_pushable_task(rq, p);
    }
}

fn set_next_task_rt(rq: RqRef, p: TaskRef, first: bool) {
    p.se.exec_start.set(rq_clock_task(rq));
    if on_rt_rq(&p.rt) {
        update_stats_wait_end_rt(rq, p);
    }
    dequeue_pushable_task(rq, p);
    if !first {
        return;
    }
    // Until now another class ran; from one real-time task to the next the time counts on.
    if !same_class(rq.current().class(), &rt_sched_class) {
        update_rt_rq_load_avg(rq_clock_pelt(rq), rq, false);
    }
    // Those that it has overtaken could run elsewhere.
    rt_queue_push_tasks(rq);
}

/// Whether what was left here may be less important than what waits elsewhere.
fn need_pull_rt_task(rq: RqRef, prev: TaskRef) -> bool {
    rq.online.get() != 0 && rq.rt.highest_prio.curr.get() > prev.prio.get()
}

/// Pulls if the task that leaves was the most important; true if this class or a higher one has a task.
#[inline(never)]
fn balance_rt(rq: RqRef, p: TaskRef) -> bool {
    if !on_rt_rq(&p.rt) && need_pull_rt_task(rq, p) {
        pull_rt_task(rq);
    }
    sched_stop_runnable(rq) || sched_dl_runnable(rq) || sched_rt_runnable(rq)
}

/// The CPU is active: it is one to push to and to pull from.
fn rq_online_rt(rq: RqRef) {
    if rq.rt.overloaded.get() != 0 {
        rt_set_overload(rq);
    }
    __enable_runtime(rq);
    cpupri_set(&rq.rd().cpupri, cpu_of(rq), rq.rt.highest_prio.curr.get());
}

fn rq_offline_rt(rq: RqRef) {
    if rq.rt.overloaded.get() != 0 {
        rt_clear_overload(rq);
    }
    __disable_runtime(rq);
    cpupri_set(&rq.rd().cpupri, cpu_of(rq), CPUPRI_INVALID);
}

fn task_tick_rt(rq: RqRef, p: TaskRef, _queued: i32) {
    update_curr_rt(rq);
    update_rt_rq_load_avg(rq_clock_pelt(rq), rq, true);
    if p.policy.get() != SCHED_RR {
        return;
    }
    p.rt.time_slice.dec();
    if p.rt.time_slice.get() != 0 {
        return;
    }
    p.rt.time_slice.set(sched_rr_timeslice.get());
    // Alone, it would be the next again.
    if !rq.rt.active.is_alone(p.prio.get()) {
        requeue_task_rt(rq, p, false);
        resched_curr(rq);
    }
}

/// The last real-time task here is one no more: others may have some to spare.
fn switched_from_rt(rq: RqRef, p: TaskRef) {
    if task_on_rq_queued(p) && rq.rt.rt_nr_running.get() == 0 {
        rt_queue_pull_task(rq);
    }
}

fn switched_to_rt(rq: RqRef, p: TaskRef) {
    if task_current(rq, p) {
        update_rt_rq_load_avg(rq_clock_pelt(rq), rq, false);
        return;
    }
    if !task_on_rq_queued(p) {
        return;
    }
    if p.nr_cpus_allowed.get() > 1 && rq.rt.overloaded.get() != 0 {
        rt_queue_push_tasks(rq);
    }
    if p.prio.get() < rq.current().prio.get() && cpu_online(cpu_of(rq)) {
        resched_curr(rq);
    }
}

fn prio_changed_rt(rq: RqRef, p: TaskRef, oldprio: i32) {
    if !task_on_rq_queued(p) {
        return;
    }
    let curr = rq.current();
    if !same_task(curr, p) {
        if p.prio.get() < curr.prio.get() {
            resched_curr(rq);
        }
        return;
    }
    if oldprio < p.prio.get() {
        // It runs and has become less important: perhaps less than one that waits elsewhere.
        rt_queue_pull_task(rq);
    }
    if p.prio.get() > rq.rt.highest_prio.curr.get() {
        resched_curr(rq);
    }
}

/// Length of a task's turn in jiffies; 0: it has no end.
pub fn get_rr_interval_rt(_rq: RqRef, task: TaskRef) -> u32 {
    if task.policy.get() == SCHED_RR {
        sched_rr_timeslice.get()
    } else {
        0
    }
}
