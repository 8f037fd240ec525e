//! Statistics of tasks and runqueues.
//!
//! Linux: `kernel/sched/stats.h`, `stats.c` and the static key of core.c (v6.8). Kept: `sched_info` of every task and
//! runqueue, always; the schedstats of tasks, groups, runqueues and domains with `schedstats=enable`, and their events.
//! Left out: /proc/schedstat. Differs: the key is a flag that is read.
//! Locks: the runqueue's lock.

use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use crate::include::linux::rcupdate::{rcu_read_lock, rcu_read_unlock};
use crate::include::linux::sched::stats::{SchedInfo, SchedStatistics};
use crate::include::linux::sched::topology::sched_domain_span;
use crate::include::linux::sched::{
    SchedEntity, TASK_INTERRUPTIBLE, TASK_RUNNING, TASK_UNINTERRUPTIBLE, TaskRef, same_task,
};
use crate::include::trace::events::sched::{
    trace_sched_stat_blocked, trace_sched_stat_iowait, trace_sched_stat_sleep,
    trace_sched_stat_wait,
};
use crate::kernel::params::param;
use crate::kernel::sched::fair::{group_cfs_rq, task_of};
use crate::kernel::sched::sched::{
    DEQUEUE_SLEEP, RqRef, WF_MIGRATED, WF_SYNC, cpu_rq, rq_clock, task_on_rq_migrating,
};
use crate::kernel::sched::topology::for_each_domain;
use core::sync::atomic::{AtomicBool, Ordering};

/// What is counted of a runqueue. All fields: (rq).
#[doc(alias = "rq")]
#[repr(C)]
pub struct RqStats {
    /// Waits of its tasks.
    pub rq_sched_info: SchedInfo,
    /// Time that tasks other than the idle one ran, ns.
    pub rq_cpu_time: Shared<u64>,
    /// Calls of sched_yield.
    pub yld_count: Shared<u64>,
    /// Calls of `__schedule`.
    pub sched_count: Shared<u64>,
    /// Of those, how many chose the idle task.
    pub sched_goidle: Shared<u64>,
    /// Wake-ups made on this CPU.
    pub ttwu_count: Shared<u64>,
    /// Of those, how many woke a task for this CPU.
    pub ttwu_local: Shared<u64>,
}

impl RqStats {
    /// Nothing yet.
    pub const fn new() -> RqStats {
        RqStats {
            rq_sched_info: SchedInfo::new(),
            rq_cpu_time: Shared::new(0),
            yld_count: Shared::new(0),
            sched_count: Shared::new(0),
            sched_goidle: Shared::new(0),
            ttwu_count: Shared::new(0),
            ttwu_local: Shared::new(0),
        }
    }
}

static sched_schedstats: AtomicBool = AtomicBool::new(false);

/// Whether statistics beyond `sched_info` are counted.
#[inline(always)]
pub fn schedstat_enabled() -> bool {
    sched_schedstats.load(Ordering::Relaxed)
}

/// Switches the statistics on or off: what the sysctl kernel.sched_schedstats does in Linux.
pub fn set_schedstats(enabled: bool) {
    sched_schedstats.store(enabled, Ordering::Relaxed);
}

/// `schedstats=enable|disable` on the command line.
pub fn init_schedstats() {
    let Some(text) = param("schedstats") else {
        return;
    };
    if text.is("enable") {
        set_schedstats(true);
    } else if text.is("disable") {
        set_schedstats(false);
    } else {
        crate::pr_warn!("Unable to parse schedstats=");
    }
}

/// One more, if statistics are counted.
#[inline(always)]
pub fn schedstat_inc(counter: &Shared<u64>) {
    if schedstat_enabled() {
        counter.inc();
    }
}

/// So many more, if statistics are counted.
#[inline(always)]
pub fn schedstat_add(counter: &Shared<u64>, n: u64) {
    if schedstat_enabled() {
        counter.add(n);
    }
}

/// A maximum that grows.
pub(super) fn raise(max: &Shared<u64>, value: u64) {
    if value > max.get() {
        max.set(value);
    }
}

// sched_info: how long tasks wait for a CPU.

/// The task leaves the queue without having got the CPU.
pub fn sched_info_dequeue(rq: RqRef, t: TaskRef) {
    let queued = t.sched_info.last_queued.replace(0);
    if queued != 0 {
        let delta = rq_clock(rq).wrapping_sub(queued);
        t.sched_info.run_delay.add(delta);
        rq.stats.rq_sched_info.run_delay.add(delta);
    }
}

/// The task gets the CPU.
fn sched_info_arrive(rq: RqRef, t: TaskRef) {
    let queued = t.sched_info.last_queued.replace(0);
    if queued == 0 {
        return;
    }
    let now = rq_clock(rq);
    let delta = now.wrapping_sub(queued);
    t.sched_info.run_delay.add(delta);
    t.sched_info.last_arrival.set(now);
    t.sched_info.pcount.inc();
    rq.stats.rq_sched_info.run_delay.add(delta);
    rq.stats.rq_sched_info.pcount.inc();
}

/// The task waits from now on, unless it does already.
pub fn sched_info_enqueue(rq: RqRef, t: TaskRef) {
    if t.sched_info.last_queued.get() == 0 {
        t.sched_info.last_queued.set(rq_clock(rq));
    }
}

/// The task loses the CPU; if it wants to run it waits from now on.
fn sched_info_depart(rq: RqRef, t: TaskRef) {
    let ran = rq_clock(rq).wrapping_sub(t.sched_info.last_arrival.get());
    rq.stats.rq_cpu_time.add(ran);
    if t.__state.get() == TASK_RUNNING {
        sched_info_enqueue(rq, t);
    }
}

/// One task leaves the CPU and another comes.
pub fn sched_info_switch(rq: RqRef, prev: TaskRef, next: TaskRef) {
    // The idle task counts for nothing.
    if !same_task(prev, rq.idle_task()) {
        sched_info_depart(rq, prev);
    }
    if !same_task(next, rq.idle_task()) {
        sched_info_arrive(rq, next);
    }
}

// schedstats.

/// A group's entity with its statistics; a task's are in the task.
#[doc(alias = "sched_entity_stats")]
#[repr(C)]
pub struct SchedEntityStats {
    /// The entity.
    pub se: SchedEntity,
    /// What is counted of it.
    pub stats: SchedStatistics,
}

/// What is counted of an entity, a task's or a group's.
pub fn __schedstats_from_se(se: &'static SchedEntity) -> &'static SchedStatistics {
    if group_cfs_rq(se).is_some() {
        &crate::container_of!(se, SchedEntityStats, se).stats
    } else {
        &task_of(se).stats
    }
}

/// A task, or a group (None), begins to wait; what the task waited on another CPU counts too.
pub fn __update_stats_wait_start(rq: RqRef, p: Option<TaskRef>, stats: &SchedStatistics) {
    let (now, before) = (rq_clock(rq), stats.wait_start.get());
    stats.wait_start.set(if p.is_some() && now > before {
        now - before
    } else {
        now
    });
}

/// It has waited long enough, or the task goes on waiting elsewhere.
pub fn __update_stats_wait_end(rq: RqRef, p: Option<TaskRef>, stats: &SchedStatistics) {
    let delta = rq_clock(rq).wrapping_sub(stats.wait_start.get());
    if let Some(p) = p {
        if task_on_rq_migrating(p) {
            stats.wait_start.set(delta);
            return;
        }
        trace_sched_stat_wait(p, delta);
    }
    raise(&stats.wait_max, delta);
    stats.wait_count.inc();
    stats.wait_sum.add(delta);
    stats.wait_start.set(0);
}

/// It has slept.
pub fn __update_stats_enqueue_sleeper(rq: RqRef, p: Option<TaskRef>, stats: &SchedStatistics) {
    // The clock of another CPU may be ahead.
    let since = |start: u64| (rq_clock(rq).wrapping_sub(start) as i64).max(0) as u64;
    let sleep_start = stats.sleep_start.replace(0);
    if sleep_start != 0 {
        let delta = since(sleep_start);
        raise(&stats.sleep_max, delta);
        stats.sum_sleep_runtime.add(delta);
        if let Some(p) = p {
            trace_sched_stat_sleep(p, delta);
        }
    }
    let block_start = stats.block_start.replace(0);
    if block_start != 0 {
        let delta = since(block_start);
        raise(&stats.block_max, delta);
        stats.sum_sleep_runtime.add(delta);
        stats.sum_block_runtime.add(delta);
        if let Some(p) = p {
            if p.in_iowait.get() != 0 {
                stats.iowait_sum.add(delta);
                stats.iowait_count.inc();
                trace_sched_stat_iowait(p, delta);
            }
            trace_sched_stat_blocked(p, delta);
        }
    }
}

/// The task goes to sleep, if the flags say so.
pub fn update_stats_dequeue_sleeper(rq: RqRef, p: TaskRef, flags: i32) {
    if flags & DEQUEUE_SLEEP == 0 {
        return;
    }
    let state = p.__state.get();
    if state & TASK_INTERRUPTIBLE != 0 {
        p.stats.sleep_start.set(rq_clock(rq));
    }
    if state & TASK_UNINTERRUPTIBLE != 0 {
        p.stats.block_start.set(rq_clock(rq));
    }
}

/// A wake-up has been made, to `cpu`. Preemption is off.
pub fn ttwu_stat(p: TaskRef, cpu: u32, wake_flags: i32) {
    if !schedstat_enabled() {
        return;
    }
    let this_cpu = raw_smp_processor_id();
    let rq = cpu_rq(this_cpu);
    if cpu == this_cpu {
        rq.stats.ttwu_local.inc();
        p.stats.nr_wakeups_local.inc();
    } else {
        p.stats.nr_wakeups_remote.inc();
        // How far it went: the narrowest domain of this CPU that has the other one, too.
        rcu_read_lock();
        if let Some(sd) = for_each_domain(this_cpu).find(|&sd| sched_domain_span(sd).test(cpu)) {
            sd.ttwu_wake_remote.inc();
        }
        rcu_read_unlock();
    }
    if wake_flags & WF_MIGRATED != 0 {
        p.stats.nr_wakeups_migrate.inc();
    }
    rq.stats.ttwu_count.inc();
    p.stats.nr_wakeups.inc();
    if wake_flags & WF_SYNC != 0 {
        p.stats.nr_wakeups_sync.inc();
    }
}
