//! The real-time class: SCHED_FIFO and SCHED_RR, one list a priority.
//!
//! Linux: `kernel/sched/rt.c` (v6.8), without RT_GROUP_SCHED.
//! Kept: the array with its bitmap, the rules of head and tail, round robin by the tick, preemption by
//! priority, throttling by a period timer. Left out: everything that moves tasks between CPUs (cpupri, the
//! pushable list, push and pull) with the preemption among equals that only prepares a push, so a task
//! runs where it last ran as long as it may; RLIMIT_RTTIME (no signals). Differs: a queue's run time and
//! throttling are under the runqueue's lock and have none of their own.
//! Locks: the runqueue's lock is held in every hook; `rt_runtime_lock` and a timer base inside it.

use crate::WARN_ON_ONCE;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{cpu_online, cpu_online_mask};
use crate::include::linux::hrtimer::{
    CLOCK_MONOTONIC, HRTIMER_MODE_ABS_PINNED_HARD, HRTIMER_MODE_REL_HARD, HRTIMER_NORESTART,
    HRTIMER_RESTART, Hrtimer, HrtimerRestart, hrtimer_forward_now, hrtimer_init, hrtimer_start,
};
use crate::include::linux::jiffies::HZ;
use crate::include::linux::ktime::NSEC_PER_SEC;
use crate::include::linux::list::{
    ListHead, list_add, list_add_tail, list_del_init, list_empty, list_is_singular, list_move,
    list_move_tail,
};
use crate::include::linux::sched::prio::MAX_RT_PRIO;
use crate::include::linux::sched::{
    RtOfTask, RunListLink, SCHED_RR, SchedRtEntity, TaskRef, same_task,
};
use crate::include::linux::spinlock::{RawSpinlock, raw_spin_lock, raw_spin_unlock};
use crate::kernel::sched::core::affinity::set_cpus_allowed_common;
use crate::kernel::sched::core::resched_curr;
use crate::kernel::sched::fair::entity::update_curr_common;
use crate::kernel::sched::sched::{
    DEQUEUE_MOVE, DEQUEUE_SAVE, ENQUEUE_HEAD, ENQUEUE_WAKEUP, RqFlags, RqRef, RtPrioArray, RtRq,
    SchedClass, add_nr_running, cpu_of, cpu_rq, rq_clock_task, rq_lock_irqsave,
    rq_unlock_irqrestore, same_class, sub_nr_running, task_current, task_on_rq_queued,
    update_rq_clock,
};
use crate::kernel::time::timekeeping::ktime_get;
use core::sync::atomic::{AtomicBool, Ordering};

/// The class.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static rt_sched_class: SchedClass = SchedClass {
    rank: 2,
    enqueue_task: enqueue_task_rt,
    dequeue_task: dequeue_task_rt,
    yield_task: yield_task_rt,
    wakeup_preempt: wakeup_preempt_rt,
    pick_next_task: pick_next_task_rt,
    put_prev_task: put_prev_task_rt,
    set_next_task: set_next_task_rt,
    balance: balance_rt,
    select_task_rq: select_task_rq_rt,
    migrate_task_rq: None,
    task_woken: None,
    set_cpus_allowed: set_cpus_allowed_common,
    rq_online: None,
    rq_offline: None,
    find_lock_rq: None,
    task_tick: task_tick_rt,
    task_fork: None,
    task_dead: None,
    switched_from: None,
    switched_to: switched_to_rt,
    prio_changed: prio_changed_rt,
    get_rr_interval: Some(get_rr_interval_rt),
    update_curr: update_curr_rt,
};

/// A round-robin task's turn, 100 ms in jiffies.
pub const RR_TIMESLICE: u32 = (100 * HZ / 1000) as u32;
/// The turn in force.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static sched_rr_timeslice: Shared<u32> = Shared::new(RR_TIMESLICE);

/// How long all real-time tasks of a CPU may run in a period.
#[doc(alias = "rt_bandwidth")]
struct RtBandwidth {
    /// Protects the rest.
    rt_runtime_lock: RawSpinlock,
    /// ns.
    rt_period: i64,
    /// ns.
    rt_runtime: u64,
    rt_period_timer: Hrtimer,
    rt_period_active: Shared<bool>,
}

static def_rt_bandwidth: RtBandwidth = RtBandwidth {
    rt_runtime_lock: RawSpinlock::new(),
    rt_period: NSEC_PER_SEC,
    rt_runtime: 950_000_000,
    rt_period_timer: Hrtimer::new(),
    rt_period_active: Shared::new(false),
};

/// The default bandwidth's timer, once.
pub fn init_rt_bandwidth() {
    let timer = &def_rt_bandwidth.rt_period_timer;
    hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
    timer.function.set(Some(sched_rt_period_timer));
}

/// An empty queue.
pub fn init_rt_rq(rt_rq: &'static RtRq) {
    rt_rq.active.init();
    rt_rq.highest_prio.set(MAX_RT_PRIO - 1);
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

fn rt_bandwidth_enabled() -> bool {
    def_rt_bandwidth.rt_runtime < def_rt_bandwidth.rt_period as u64
}

/// Starts the period timer if it does not run.
fn start_rt_bandwidth(rt_b: &'static RtBandwidth) {
    if !rt_bandwidth_enabled() {
        return;
    }
    raw_spin_lock(&rt_b.rt_runtime_lock);
    if !rt_b.rt_period_active.get() {
        rt_b.rt_period_active.set(true);
        // At once: what ran while nobody watched the period shall not count against the first task.
        hrtimer_start(
            &rt_b.rt_period_timer,
            ktime_get(),
            HRTIMER_MODE_ABS_PINNED_HARD,
        );
    }
    raw_spin_unlock(&rt_b.rt_runtime_lock);
}

fn sched_rt_period_timer(timer: &'static Hrtimer) -> HrtimerRestart {
    let rt_b = &def_rt_bandwidth;
    raw_spin_lock(&rt_b.rt_runtime_lock);
    let mut idle = false;
    loop {
        let overrun = hrtimer_forward_now(timer, rt_b.rt_period);
        if overrun == 0 {
            break;
        }
        raw_spin_unlock(&rt_b.rt_runtime_lock);
        idle = do_sched_rt_period_timer(overrun);
        raw_spin_lock(&rt_b.rt_runtime_lock);
    }
    if idle {
        rt_b.rt_period_active.set(false);
    }
    raw_spin_unlock(&rt_b.rt_runtime_lock);
    if idle {
        HRTIMER_NORESTART
    } else {
        HRTIMER_RESTART
    }
}

/// A period is over: every CPU's queue gets its share again. True if no queue needs the timer.
fn do_sched_rt_period_timer(overrun: u64) -> bool {
    let mut idle = true;
    for cpu in cpu_online_mask().iter() {
        let rq = cpu_rq(cpu);
        let rt_rq = &rq.rt;
        let mut rf = RqFlags::new();
        rq_lock_irqsave(rq, &mut rf);
        update_rq_clock(rq);
        if rt_rq.rt_time.get() != 0 || rt_rq.rt_nr_running.get() != 0 {
            idle = false;
        }
        let runtime = rt_rq.rt_runtime.get();
        let time = rt_rq.rt_time.get();
        rt_rq
            .rt_time
            .set(time - time.min(overrun.saturating_mul(runtime)));
        if rt_rq.rt_throttled.get() != 0 && rt_rq.rt_time.get() < runtime {
            rt_rq.rt_throttled.set(0);
            enqueue_top_rt_rq(rq);
            resched_curr(rq);
        }
        rq_unlock_irqrestore(rq, &rf);
    }
    idle
}

/// Throttles a queue that has had its share. True if it is throttled.
fn sched_rt_runtime_exceeded(rq: RqRef) -> bool {
    let rt_rq = &rq.rt;
    if rt_rq.rt_throttled.get() != 0 {
        return true;
    }
    if !rt_bandwidth_enabled() || rt_rq.rt_time.get() <= rt_rq.rt_runtime.get() {
        return false;
    }
    rt_rq.rt_throttled.set(1);
    static said: AtomicBool = AtomicBool::new(false);
    if !said.swap(true, Ordering::Relaxed) {
        // With a runqueue's lock held, which the console does not take.
        crate::pr_warn!("sched: RT throttling activated");
    }
    dequeue_top_rt_rq(rq);
    true
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
    rq.rt.rt_time.add(delta_exec);
    if sched_rt_runtime_exceeded(rq) {
        resched_curr(rq);
        start_rt_bandwidth(&def_rt_bandwidth);
    }
}

/// The queue's tasks no more count as runnable on the CPU.
fn dequeue_top_rt_rq(rq: RqRef) {
    if rq.rt.rt_queued.get() == 0 {
        return;
    }
    sub_nr_running(rq, rq.rt.rt_queued.get());
    rq.rt.rt_queued.set(0);
}

/// The queue's tasks count, unless it is throttled.
fn enqueue_top_rt_rq(rq: RqRef) {
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

fn inc_rt_tasks(rt_rq: &'static RtRq, p: TaskRef) {
    rt_rq.rt_nr_running.inc();
    rt_rq
        .rr_nr_running
        .add(u32::from(p.policy.get() == SCHED_RR));
    if p.prio.get() < rt_rq.highest_prio.get() {
        rt_rq.highest_prio.set(p.prio.get());
    }
    start_rt_bandwidth(&def_rt_bandwidth);
}

fn dec_rt_tasks(rt_rq: &'static RtRq, p: TaskRef) {
    rt_rq.rt_nr_running.dec();
    rt_rq
        .rr_nr_running
        .sub(u32::from(p.policy.get() == SCHED_RR));
    let highest = match rt_rq.rt_nr_running.get() {
        0 => MAX_RT_PRIO - 1,
        _ if p.prio.get() == rt_rq.highest_prio.get() => rt_rq.active.first(),
        _ => return,
    };
    rt_rq.highest_prio.set(highest);
}

fn __dequeue_rt_entity(rq: RqRef, p: TaskRef, flags: i32) {
    if move_entity(flags) {
        WARN_ON_ONCE!(p.rt.on_list.get() == 0);
        rq.rt.active.del(&p.rt, p.prio.get());
    }
    p.rt.on_rq.set(0);
    dec_rt_tasks(&rq.rt, p);
}

#[inline(never)]
fn enqueue_task_rt(rq: RqRef, p: TaskRef, flags: i32) {
    if flags & ENQUEUE_WAKEUP != 0 {
        p.rt.timeout.set(0);
    }
    dequeue_top_rt_rq(rq);
    if on_rt_rq(&p.rt) {
        __dequeue_rt_entity(rq, p, flags);
    }
    if move_entity(flags) {
        let head = flags & ENQUEUE_HEAD != 0;
        rq.rt.active.add(&p.rt, p.prio.get(), head);
    }
    p.rt.on_rq.set(1);
    inc_rt_tasks(&rq.rt, p);
    enqueue_top_rt_rq(rq);
}

#[inline(never)]
fn dequeue_task_rt(rq: RqRef, p: TaskRef, flags: i32) {
    update_curr_rt(rq);
    dequeue_top_rt_rq(rq);
    if on_rt_rq(&p.rt) {
        __dequeue_rt_entity(rq, p, flags);
    }
    enqueue_top_rt_rq(rq);
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

/// Only a higher priority preempts. An equal one waits: Linux would look here whether the running task
/// could be pushed elsewhere instead.
fn wakeup_preempt_rt(rq: RqRef, p: TaskRef, _flags: i32) {
    if p.prio.get() < rq.current().prio.get() {
        resched_curr(rq);
    }
}

fn sched_rt_runnable(rq: RqRef) -> bool {
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

fn put_prev_task_rt(rq: RqRef, _prev: TaskRef) {
    update_curr_rt(rq);
}

fn set_next_task_rt(rq: RqRef, p: TaskRef, _first: bool) {
    p.se.exec_start.set(rq_clock_task(rq));
}

/// Nothing to pull; true if this class or a higher one has a task.
fn balance_rt(rq: RqRef, _prev: TaskRef) -> bool {
    rq.stop.get().is_some_and(task_on_rq_queued) || sched_rt_runnable(rq)
}

/// Where it would have gone anyway. Linux looks for a CPU that runs something of lower priority.
fn select_task_rq_rt(_p: TaskRef, cpu: i32, _flags: i32) -> i32 {
    cpu
}

fn task_tick_rt(rq: RqRef, p: TaskRef, _queued: i32) {
    update_curr_rt(rq);
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

fn switched_to_rt(rq: RqRef, p: TaskRef) {
    if task_current(rq, p) || !task_on_rq_queued(p) {
        return;
    }
    if p.prio.get() < rq.current().prio.get() && cpu_online(cpu_of(rq)) {
        resched_curr(rq);
    }
}

fn prio_changed_rt(rq: RqRef, p: TaskRef, _oldprio: i32) {
    if !task_on_rq_queued(p) {
        return;
    }
    let curr = rq.current();
    let resched = if same_task(curr, p) {
        // It has fallen below one that waits.
        p.prio.get() > rq.rt.highest_prio.get()
    } else {
        p.prio.get() < curr.prio.get()
    };
    if resched {
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
