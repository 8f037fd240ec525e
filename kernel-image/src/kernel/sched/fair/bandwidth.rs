//! A limit on a group's CPU time: so much in each period, over all CPUs.
//!
//! Linux: `kernel/sched/fair.c` (v6.8): CFS bandwidth; `core.c`: `tg_set_cfs_bandwidth`.
//! Kept: the pool and its slices of 5 ms, throttling at the pick and at the put, the period timer with
//! burst, refilling in the order of throttling with remote CPUs asked to unthrottle themselves, the slack
//! timer, the clock of load tracking that stands while a queue is throttled, CPUs that go and come. Left
//! out: the hierarchy's check of quotas, scaling up of a period that is too short to be served, statistics.
//! Differs: the timer's first expiry has no random offset; walks over groups and throttled queues take a
//! lock or a snapshot where Linux relies on RCU.
//! Locks: the runqueue's lock, inside it `CfsBandwidth::lock`.
//!
//! A queue of a limited group has `runtime_remaining`, which running uses up and the pool fills. Where there
//! is none, the group's entity leaves the queue above (and so on upward): its tasks stay queued on a queue
//! that nobody can reach.

use super::entity::{dequeue_entity, enqueue_entity};
use super::load::{
    UPDATE_TG, cfs_rq_is_decayed, list_add_leaf_cfs_rq, list_del_leaf_cfs_rq, se_update_runnable,
    update_load_avg,
};
use super::{cfs_rq_is_idle, cfs_rq_of, for_each_sched_entity, group_cfs_rq, rq_of};
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{Cpumask, cpu_online_mask};
use crate::include::linux::errno::EINVAL;
use crate::include::linux::hrtimer::{
    CLOCK_MONOTONIC, HRTIMER_MODE_ABS_PINNED, HRTIMER_MODE_REL, HRTIMER_NORESTART, HRTIMER_RESTART,
    Hrtimer, HrtimerRestart, hrtimer_forward_now, hrtimer_init, hrtimer_start,
};
use crate::include::linux::ktime::{NSEC_PER_MSEC, NSEC_PER_SEC, NSEC_PER_USEC};
use crate::include::linux::list::{
    INIT_LIST_HEAD, ListHead, list_add_tail, list_del_init, list_empty,
};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::sched::{SchedEntity, same_task};
use crate::include::linux::spinlock::{RawSpinlock, raw_spin_lock, raw_spin_unlock};
use crate::kernel::cpu::{cpus_read_lock, cpus_read_unlock};
use crate::kernel::sched::core::group::{for_each_task_group, walk_tg_tree_from};
use crate::kernel::sched::core::resched_curr;
use crate::kernel::sched::pelt::rq_clock_pelt;
use crate::kernel::sched::sched::{
    CfsRq, DEQUEUE_SLEEP, ENQUEUE_WAKEUP, RqFlags, RqRef, TaskGroup, add_nr_running, cpu_of,
    cpu_rq, raw_spin_rq_lock, raw_spin_rq_unlock, root_task_group, rq_clock,
    rq_clock_start_loop_update, rq_clock_stop_loop_update, rq_lock_irqsave, rq_unlock_irqrestore,
    same_rq, same_tg, sub_nr_running, this_rq, update_rq_clock,
};
use crate::kernel::smp::smp_call_function_single_async;
use crate::kernel::time::hrtimer::{
    hrtimer_callback_running, hrtimer_cancel, hrtimer_expires_remaining, hrtimer_start_expires,
};
use crate::{WARN_ON_ONCE, intrusive_adapter};
use core::sync::atomic::{AtomicI32, Ordering};

type Se = &'static SchedEntity;
type Cfs = &'static CfsRq;

/// No limit.
pub const RUNTIME_INF: u64 = u64::MAX;
/// What a CPU takes from the pool at once, ns.
const SCHED_CFS_BANDWIDTH_SLICE: u64 = 5 * NSEC_PER_MSEC as u64;
/// The length of a period unless somebody sets it.
const DEFAULT_CFS_PERIOD: i64 = 100 * NSEC_PER_MSEC;
/// The shortest period and quota.
const MIN_CFS_QUOTA_PERIOD: u64 = NSEC_PER_MSEC as u64;
/// The longest period.
const MAX_CFS_QUOTA_PERIOD: u64 = NSEC_PER_SEC as u64;
/// The largest quota, as in `core.c`.
const MAX_CFS_RUNTIME: u64 = ((1 << 44) - 1) * NSEC_PER_USEC as u64;
/// What an idle queue keeps.
const MIN_CFS_RQ_RUNTIME: i64 = NSEC_PER_MSEC;
/// A refill that is nearer than this makes the slack timer needless.
const MIN_BANDWIDTH_EXPIRATION: i64 = 2 * NSEC_PER_MSEC;
/// How long run time that was given back waits for more.
const CFS_BANDWIDTH_SLACK_PERIOD: i64 = 5 * NSEC_PER_MSEC;

/// A group's limit. Fields: (lock).
#[doc(alias = "cfs_bandwidth")]
#[repr(C)]
pub struct CfsBandwidth {
    /// The lock.
    pub lock: RawSpinlock,
    /// ns.
    pub period: Shared<i64>,
    /// Run time a period, ns; `RUNTIME_INF`: no limit.
    pub quota: Shared<u64>,
    /// What is left in the pool.
    pub runtime: Shared<u64>,
    /// How much of earlier periods may be used beside the quota.
    pub burst: Shared<u64>,
    /// The pool after the last refill.
    pub runtime_snap: Shared<u64>,
    /// Nobody took anything in this period.
    pub idle: Shared<u8>,
    /// The period timer is on its way.
    pub period_active: Shared<u8>,
    /// The slack timer is.
    pub slack_started: Shared<u8>,
    /// Refills the pool.
    pub period_timer: Hrtimer,
    /// Hands out what was given back.
    pub slack_timer: Hrtimer,
    /// Throttled queues, the longest throttled first.
    pub throttled_cfs_rq: ListHead,
    /// Periods.
    pub nr_periods: Shared<u64>,
    /// Periods in which somebody was throttled.
    pub nr_throttled: Shared<u64>,
    /// Periods that used more than the quota.
    pub nr_burst: Shared<u64>,
    /// Time queues were throttled, ns.
    pub throttled_time: Shared<u64>,
    /// Run time beyond the quota, ns.
    pub burst_time: Shared<u64>,
}

impl CfsBandwidth {
    /// For `init_cfs_bandwidth`.
    pub const fn new() -> CfsBandwidth {
        CfsBandwidth {
            lock: RawSpinlock::new(),
            period: Shared::new(DEFAULT_CFS_PERIOD),
            quota: Shared::new(RUNTIME_INF),
            runtime: Shared::new(0),
            burst: Shared::new(0),
            runtime_snap: Shared::new(0),
            idle: Shared::new(0),
            period_active: Shared::new(0),
            slack_started: Shared::new(0),
            period_timer: Hrtimer::new(),
            slack_timer: Hrtimer::new(),
            throttled_cfs_rq: ListHead::new(),
            nr_periods: Shared::new(0),
            nr_throttled: Shared::new(0),
            nr_burst: Shared::new(0),
            throttled_time: Shared::new(0),
            burst_time: Shared::new(0),
        }
    }
}

intrusive_adapter!(
    /// Queues by their link in their group's list of throttled ones.
    ThrottledLink = CfsRq { throttled_list: ListHead });
intrusive_adapter!(
    /// Queues by their link in their CPU's list of those to unthrottle.
    ThrottledCsdLink = CfsRq { throttled_csd_list: ListHead });
intrusive_adapter!(
    /// Groups by their limit.
    TgOfBandwidth = TaskGroup { cfs_bandwidth: CfsBandwidth });
intrusive_adapter!(
    /// Limits by their period timer.
    OfPeriodTimer = CfsBandwidth { period_timer: Hrtimer });
intrusive_adapter!(
    /// Limits by their slack timer.
    OfSlackTimer = CfsBandwidth { slack_timer: Hrtimer });

/// How many groups have a limit: without any, nothing here costs more than a look at this (a static key in
/// Linux).
static __cfs_bandwidth_used: AtomicI32 = AtomicI32::new(0);

fn cfs_bandwidth_used() -> bool {
    __cfs_bandwidth_used.load(Ordering::Relaxed) > 0
}

/// Whether the queue is out of the hierarchy.
pub fn cfs_rq_throttled(cfs_rq: Cfs) -> bool {
    cfs_bandwidth_used() && cfs_rq.throttled.get() != 0
}

/// Whether the queue or one above it is.
pub fn throttled_hierarchy(cfs_rq: Cfs) -> bool {
    cfs_bandwidth_used() && cfs_rq.throttle_count.get() != 0
}

/// Whether a group's tasks cannot run on one of two CPUs: not worth moving.
pub fn throttled_lb_pair(tg: &'static TaskGroup, src_cpu: u32, dest_cpu: u32) -> bool {
    throttled_hierarchy(tg.cfs_rq_on(src_cpu)) || throttled_hierarchy(tg.cfs_rq_on(dest_cpu))
}

/// Sets up a new group's limit: none.
pub fn init_cfs_bandwidth(cfs_b: &'static CfsBandwidth) {
    for cell in [&cfs_b.runtime, &cfs_b.burst, &cfs_b.runtime_snap] {
        cell.set(0);
    }
    cfs_b.quota.set(RUNTIME_INF);
    cfs_b.period.set(DEFAULT_CFS_PERIOD);
    for cell in [&cfs_b.idle, &cfs_b.period_active, &cfs_b.slack_started] {
        cell.set(0);
    }
    INIT_LIST_HEAD(&cfs_b.throttled_cfs_rq);
    hrtimer_init(
        &cfs_b.period_timer,
        CLOCK_MONOTONIC,
        HRTIMER_MODE_ABS_PINNED,
    );
    cfs_b
        .period_timer
        .function
        .set(Some(sched_cfs_period_timer));
    hrtimer_init(&cfs_b.slack_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
    cfs_b.slack_timer.function.set(Some(sched_cfs_slack_timer));
}

/// A queue's part, without a limit.
pub fn init_cfs_rq_runtime(cfs_rq: Cfs) {
    let bw = cfs_rq;
    bw.runtime_enabled.set(0);
    bw.runtime_remaining.set(0);
    bw.throttled.set(0);
    bw.throttle_count.set(0);
    for cell in [
        &bw.throttled_pelt_idle,
        &bw.throttled_clock,
        &bw.throttled_clock_pelt,
        &bw.throttled_clock_pelt_time,
        &bw.throttled_clock_self,
        &bw.throttled_clock_self_time,
    ] {
        cell.set(0);
    }
    INIT_LIST_HEAD(&bw.throttled_list);
    INIT_LIST_HEAD(&bw.throttled_csd_list);
}

/// The group ends: its timers stop.
pub fn destroy_cfs_bandwidth(tg: &'static TaskGroup) {
    hrtimer_cancel(&tg.cfs_bandwidth.period_timer);
    hrtimer_cancel(&tg.cfs_bandwidth.slack_timer);
}

/// A new group below throttled ones is as throttled as they are.
pub fn sync_throttle(tg: &'static TaskGroup, cpu: u32) {
    if !cfs_bandwidth_used() {
        return;
    }
    let Some(parent) = tg.parent.get() else {
        return;
    };
    let cfs_rq = tg.cfs_rq_on(cpu);
    cfs_rq
        .throttle_count
        .set(parent.cfs_rq_on(cpu).throttle_count.get());
    cfs_rq.throttled_clock_pelt.set(rq_clock_pelt(cpu_rq(cpu)));
}

fn tg_bandwidth(cfs_rq: Cfs) -> &'static CfsBandwidth {
    &cfs_rq.tg().cfs_bandwidth
}

/// A period's run time into the pool, with what `burst` lets remain of earlier ones.
fn __refill_cfs_bandwidth_runtime(cfs_b: &CfsBandwidth) {
    let quota = cfs_b.quota.get();
    if quota == RUNTIME_INF {
        return;
    }
    cfs_b.runtime.add(quota);
    // More was used since the last refill than the quota.
    let over = cfs_b.runtime_snap.get() as i64 - cfs_b.runtime.get() as i64;
    if over > 0 {
        cfs_b.burst_time.add(over as u64);
        cfs_b.nr_burst.inc();
    }
    let most = quota + cfs_b.burst.get();
    cfs_b.runtime.set(cfs_b.runtime.get().min(most));
    cfs_b.runtime_snap.set(cfs_b.runtime.get());
}

/// Takes from the pool up to `target`. The limit's lock is held. True if the queue may run.
fn __assign_cfs_rq_runtime(cfs_b: &'static CfsBandwidth, cfs_rq: Cfs, target: i64) -> bool {
    let remaining = &cfs_rq.runtime_remaining;
    let wanted = (target - remaining.get()) as u64;
    let amount = if cfs_b.quota.get() == RUNTIME_INF {
        wanted
    } else {
        start_cfs_bandwidth(cfs_b);
        let amount = wanted.min(cfs_b.runtime.get());
        cfs_b.runtime.sub(amount);
        if amount > 0 {
            cfs_b.idle.set(0);
        }
        amount
    };
    remaining.add(amount as i64);
    remaining.get() > 0
}

fn assign_cfs_rq_runtime(cfs_rq: Cfs) -> bool {
    let cfs_b = tg_bandwidth(cfs_rq);
    raw_spin_lock(&cfs_b.lock);
    let ret = __assign_cfs_rq_runtime(cfs_b, cfs_rq, SCHED_CFS_BANDWIDTH_SLICE as i64);
    raw_spin_unlock(&cfs_b.lock);
    ret
}

/// Charges a queue of a limited group for `delta_exec` ns. Where nothing is left, the running task leaves at
/// the next chance: then its queue is throttled.
pub fn account_cfs_rq_runtime(cfs_rq: Cfs, delta_exec: u64) {
    let bw = cfs_rq;
    if !cfs_bandwidth_used() || bw.runtime_enabled.get() == 0 {
        return;
    }
    bw.runtime_remaining.sub(delta_exec as i64);
    if bw.runtime_remaining.get() > 0 || bw.throttled.get() != 0 {
        return;
    }
    if !assign_cfs_rq_runtime(cfs_rq) && cfs_rq.curr.get().is_some() {
        resched_curr(rq_of(cfs_rq));
    }
}

/// A queue can run again: its clock of load tracking goes on, and it has something to fade.
fn tg_unthrottle_up(tg: &'static TaskGroup, rq: RqRef) {
    let cfs_rq = tg.cfs_rq_on(cpu_of(rq));
    let bw = cfs_rq;
    bw.throttle_count.dec();
    if bw.throttle_count.get() != 0 {
        return;
    }
    let stood = rq_clock_pelt(rq).wrapping_sub(bw.throttled_clock_pelt.get());
    bw.throttled_clock_pelt_time.add(stood);
    if !cfs_rq_is_decayed(cfs_rq) {
        list_add_leaf_cfs_rq(cfs_rq);
    }
    let since = bw.throttled_clock_self.replace(0);
    if since != 0 {
        let delta = rq_clock(rq).wrapping_sub(since) as i64;
        WARN_ON_ONCE!(delta < 0);
        bw.throttled_clock_self_time.add(delta.max(0) as u64);
    }
}

/// A queue cannot run any more.
fn tg_throttle_down(tg: &'static TaskGroup, rq: RqRef) {
    let cfs_rq = tg.cfs_rq_on(cpu_of(rq));
    let bw = cfs_rq;
    if bw.throttle_count.get() == 0 {
        bw.throttled_clock_pelt.set(rq_clock_pelt(rq));
        list_del_leaf_cfs_rq(cfs_rq);
        WARN_ON_ONCE!(bw.throttled_clock_self.get() != 0);
        if cfs_rq.nr_running.get() != 0 {
            bw.throttled_clock_self.set(rq_clock(rq));
        }
    }
    bw.throttle_count.inc();
}

/// How many tasks, and how many that run when nothing else does, leave or join the queues above.
struct Delta {
    tasks: u32,
    idle: u32,
}

impl Delta {
    fn of(cfs_rq: Cfs) -> Delta {
        Delta {
            tasks: cfs_rq.h_nr_running.get(),
            idle: cfs_rq.idle_h_nr_running.get(),
        }
    }

    /// Below an idle group every task is idle to those above.
    fn through(&mut self, se: Se) {
        if group_cfs_rq(se).is_some_and(cfs_rq_is_idle) {
            self.idle = self.tasks;
        }
    }
}

/// Takes a queue without run time out of the hierarchy. False if the pool had a little after all.
#[inline(never)]
fn throttle_cfs_rq(cfs_rq: Cfs) -> bool {
    let rq = rq_of(cfs_rq);
    let cfs_b = tg_bandwidth(cfs_rq);
    raw_spin_lock(&cfs_b.lock);
    // A refill may have come before this lock: it did not see this queue as throttled.
    let runs = __assign_cfs_rq_runtime(cfs_b, cfs_rq, 1);
    if !runs {
        list_add_tail(&cfs_rq.throttled_list, &cfs_b.throttled_cfs_rq);
    }
    raw_spin_unlock(&cfs_b.lock);
    if runs {
        return false;
    }
    walk_tg_tree_from(cfs_rq.tg(), &mut |tg| tg_throttle_down(tg, rq), &mut |_| ());

    let mut delta = Delta::of(cfs_rq);
    let mut leaves = true;
    // Up to the root, or to a group that is out already.
    let mut reached = true;
    for se in for_each_sched_entity(cfs_rq.tg().se.per_cpu(cpu_of(rq)).get()) {
        let above = cfs_rq_of(se);
        if se.on_rq.get() == 0 {
            reached = false;
            break;
        }
        if leaves {
            dequeue_entity(above, se, DEQUEUE_SLEEP);
        } else {
            update_load_avg(above, se, 0);
            se_update_runnable(se);
        }
        delta.through(se);
        above.h_nr_running.sub(delta.tasks);
        above.idle_h_nr_running.sub(delta.idle);
        if above.load.weight.get() != 0 {
            leaves = false;
        }
    }
    if reached {
        sub_nr_running(rq, delta.tasks);
    }
    cfs_rq.throttled.set(1);
    WARN_ON_ONCE!(cfs_rq.throttled_clock.get() != 0);
    if cfs_rq.nr_running.get() != 0 {
        cfs_rq.throttled_clock.set(rq_clock(rq));
    }
    true
}

/// Brings a queue back into the hierarchy.
#[inline(never)]
pub fn unthrottle_cfs_rq(cfs_rq: Cfs) {
    let rq = rq_of(cfs_rq);
    let cfs_b = tg_bandwidth(cfs_rq);
    let own = cfs_rq.tg().se.per_cpu(cpu_of(rq)).get();
    cfs_rq.throttled.set(0);
    update_rq_clock(rq);
    raw_spin_lock(&cfs_b.lock);
    let since = cfs_rq.throttled_clock.replace(0);
    if since != 0 {
        cfs_b.throttled_time.add(rq_clock(rq) - since);
    }
    list_del_init(&cfs_rq.throttled_list);
    raw_spin_unlock(&cfs_b.lock);
    walk_tg_tree_from(cfs_rq.tg(), &mut |_| (), &mut |tg| tg_unthrottle_up(tg, rq));

    if cfs_rq.load.weight.get() != 0 {
        if rejoin(cfs_rq, own) {
            add_nr_running(rq, cfs_rq.h_nr_running.get());
        }
    } else if cfs_rq.on_list.get() == 0 {
        return;
    } else {
        // Nothing runs, but something fades: its way up has to be in the list.
        for se in for_each_sched_entity(own) {
            if list_add_leaf_cfs_rq(cfs_rq_of(se)) {
                break;
            }
        }
    }
    let idle = same_task(rq.current(), rq.idle_task());
    if idle && rq.cfs.nr_running.get() != 0 {
        resched_curr(rq);
    }
}

/// The queue's entity, and its groups' where they had left with it, return. False if a throttled group
/// above keeps the tasks from the CPU.
fn rejoin(cfs_rq: Cfs, own: Option<Se>) -> bool {
    let mut delta = Delta::of(cfs_rq);
    for se in for_each_sched_entity(own) {
        let above = cfs_rq_of(se);
        if se.on_rq.get() == 0 {
            enqueue_entity(above, se, ENQUEUE_WAKEUP);
        } else {
            update_load_avg(above, se, UPDATE_TG);
            se_update_runnable(se);
        }
        delta.through(se);
        above.h_nr_running.add(delta.tasks);
        above.idle_h_nr_running.add(delta.idle);
        if cfs_rq_throttled(above) {
            return false;
        }
    }
    true
}

/// On a CPU that was asked to unthrottle queues.
pub fn __cfsb_csd_unthrottle(cpu: u64) {
    let rq = cpu_rq(cpu as u32);
    raw_spin_rq_lock(rq);
    update_rq_clock(rq);
    // One time for all of them.
    rq_clock_start_loop_update(rq);
    for cfs_rq in ThrottledCsdLink::iter(&rq.cfsb_csd_list) {
        list_del_init(&cfs_rq.throttled_csd_list);
        if cfs_rq_throttled(cfs_rq) {
            unthrottle_cfs_rq(cfs_rq);
        }
    }
    rq_clock_stop_loop_update(rq);
    raw_spin_rq_unlock(rq);
}

/// Asks the queue's CPU to unthrottle it.
fn unthrottle_cfs_rq_async(cfs_rq: Cfs) {
    let rq = rq_of(cfs_rq);
    let wrong = !cfs_rq_throttled(cfs_rq) || cfs_rq.runtime_remaining.get() <= 0;
    if WARN_ON_ONCE!(wrong) {
        return;
    }
    if same_rq(rq, this_rq()) {
        unthrottle_cfs_rq(cfs_rq);
        return;
    }
    if WARN_ON_ONCE!(!list_empty(&cfs_rq.throttled_csd_list)) {
        return;
    }
    let first = list_empty(&rq.cfsb_csd_list);
    list_add_tail(&cfs_rq.throttled_csd_list, &rq.cfsb_csd_list);
    if first {
        smp_call_function_single_async(cpu_of(rq), &rq.cfsb_csd);
    }
}

/// Hands the pool out to throttled queues, in the order in which they were throttled: each gets what makes
/// it runnable. True if some are left without.
fn distribute_cfs_runtime(cfs_b: &'static CfsBandwidth, tg: &'static TaskGroup) -> bool {
    let mut order = [0u8; crate::include::linux::cpumask::NR_CPUS];
    let mut count = 0;
    {
        let _guard = cfs_b.lock.lock_irqsave();
        for cfs_rq in ThrottledLink::iter(&cfs_b.throttled_cfs_rq) {
            order[count] = cpu_of(rq_of(cfs_rq)) as u8;
            count += 1;
        }
    }
    let mut throttled = false;
    let mut remaining = 1;
    let mut local = None;
    for cpu in order[..count].iter().map(|&cpu| u32::from(cpu)) {
        if remaining == 0 {
            throttled = true;
            break;
        }
        let (rq, cfs_rq) = (cpu_rq(cpu), tg.cfs_rq_on(cpu));
        let mut rf = RqFlags::new();
        rq_lock_irqsave(rq, &mut rf);
        // Gone meanwhile, or on its way.
        if cfs_rq_throttled(cfs_rq) && list_empty(&cfs_rq.throttled_csd_list) {
            let owed = &cfs_rq.runtime_remaining;
            raw_spin_lock(&cfs_b.lock);
            let runtime = ((1 - owed.get()) as u64).min(cfs_b.runtime.get());
            cfs_b.runtime.sub(runtime);
            remaining = cfs_b.runtime.get();
            raw_spin_unlock(&cfs_b.lock);
            owed.add(runtime as i64);
            if owed.get() <= 0 {
                throttled = true;
            } else if cpu == raw_smp_processor_id() {
                // Its tasks would compete with the rest of this loop.
                local = Some(cfs_rq);
            } else {
                unthrottle_cfs_rq_async(cfs_rq);
            }
        }
        rq_unlock_irqrestore(rq, &rf);
    }
    if let Some(cfs_rq) = local {
        let rq = rq_of(cfs_rq);
        let mut rf = RqFlags::new();
        rq_lock_irqsave(rq, &mut rf);
        if cfs_rq_throttled(cfs_rq) {
            unthrottle_cfs_rq(cfs_rq);
        }
        rq_unlock_irqrestore(rq, &rf);
    }
    throttled
}

/// A period is over. The limit's lock is held, and released meanwhile. True if the timer may stop.
fn do_sched_cfs_period_timer(
    cfs_b: &'static CfsBandwidth,
    tg: &'static TaskGroup,
    overrun: u64,
) -> bool {
    if cfs_b.quota.get() == RUNTIME_INF {
        return true;
    }
    let mut throttled = !list_empty(&cfs_b.throttled_cfs_rq);
    cfs_b.nr_periods.add(overrun);
    __refill_cfs_bandwidth_runtime(cfs_b);
    if cfs_b.idle.get() != 0 && !throttled {
        return true;
    }
    if !throttled {
        // If nobody takes anything until the next time, the timer stops.
        cfs_b.idle.set(1);
        return false;
    }
    cfs_b.nr_throttled.add(overrun);
    while throttled && cfs_b.runtime.get() > 0 {
        raw_spin_unlock(&cfs_b.lock);
        throttled = distribute_cfs_runtime(cfs_b, tg);
        raw_spin_lock(&cfs_b.lock);
    }
    cfs_b.idle.set(0);
    false
}

fn sched_cfs_period_timer(timer: &'static Hrtimer) -> HrtimerRestart {
    let cfs_b = OfPeriodTimer::entry(timer);
    raw_spin_lock(&cfs_b.lock);
    let mut idle = false;
    loop {
        let overrun = hrtimer_forward_now(timer, cfs_b.period.get());
        if overrun == 0 {
            break;
        }
        idle = do_sched_cfs_period_timer(cfs_b, TgOfBandwidth::entry(cfs_b), overrun);
    }
    if idle {
        cfs_b.period_active.set(0);
    }
    raw_spin_unlock(&cfs_b.lock);
    if idle {
        HRTIMER_NORESTART
    } else {
        HRTIMER_RESTART
    }
}

/// Starts the period timer if it does not run. The limit's lock is held.
fn start_cfs_bandwidth(cfs_b: &'static CfsBandwidth) {
    if cfs_b.period_active.get() != 0 {
        return;
    }
    cfs_b.period_active.set(1);
    hrtimer_forward_now(&cfs_b.period_timer, cfs_b.period.get());
    hrtimer_start_expires(&cfs_b.period_timer, HRTIMER_MODE_ABS_PINNED);
}

/// Whether the next refill is nearer than `min_expire` ns.
fn runtime_refresh_within(cfs_b: &'static CfsBandwidth, min_expire: i64) -> bool {
    hrtimer_callback_running(&cfs_b.period_timer)
        || hrtimer_expires_remaining(&cfs_b.period_timer) < min_expire
}

fn start_cfs_slack_bandwidth(cfs_b: &'static CfsBandwidth) {
    let min_left = CFS_BANDWIDTH_SLACK_PERIOD + MIN_BANDWIDTH_EXPIRATION;
    if runtime_refresh_within(cfs_b, min_left) || cfs_b.slack_started.get() != 0 {
        return;
    }
    cfs_b.slack_started.set(1);
    hrtimer_start(
        &cfs_b.slack_timer,
        CFS_BANDWIDTH_SLACK_PERIOD,
        HRTIMER_MODE_REL,
    );
}

/// An empty queue gives back what it does not need.
pub fn return_cfs_rq_runtime(cfs_rq: Cfs) {
    let bw = cfs_rq;
    if !cfs_bandwidth_used() || bw.runtime_enabled.get() == 0 || cfs_rq.nr_running.get() != 0 {
        return;
    }
    let slack_runtime = bw.runtime_remaining.get() - MIN_CFS_RQ_RUNTIME;
    if slack_runtime <= 0 {
        return;
    }
    let cfs_b = tg_bandwidth(cfs_rq);
    raw_spin_lock(&cfs_b.lock);
    if cfs_b.quota.get() != RUNTIME_INF {
        cfs_b.runtime.add(slack_runtime as u64);
        // Somebody waits for it: not from here, the runqueue's lock is held.
        if cfs_b.runtime.get() > SCHED_CFS_BANDWIDTH_SLICE && !list_empty(&cfs_b.throttled_cfs_rq) {
            start_cfs_slack_bandwidth(cfs_b);
        }
    }
    raw_spin_unlock(&cfs_b.lock);
    bw.runtime_remaining.sub(slack_runtime);
}

fn sched_cfs_slack_timer(timer: &'static Hrtimer) -> HrtimerRestart {
    let cfs_b = OfSlackTimer::entry(timer);
    raw_spin_lock(&cfs_b.lock);
    cfs_b.slack_started.set(0);
    let worth = !runtime_refresh_within(cfs_b, MIN_BANDWIDTH_EXPIRATION)
        && cfs_b.quota.get() != RUNTIME_INF
        && cfs_b.runtime.get() > SCHED_CFS_BANDWIDTH_SLICE;
    raw_spin_unlock(&cfs_b.lock);
    if worth {
        distribute_cfs_runtime(cfs_b, TgOfBandwidth::entry(cfs_b));
    }
    HRTIMER_NORESTART
}

/// The first entity joins a queue that nobody runs: is there run time for it?
pub fn check_enqueue_throttle(cfs_rq: Cfs) {
    let bw = cfs_rq;
    if !cfs_bandwidth_used()
        || bw.runtime_enabled.get() == 0
        || cfs_rq.curr.get().is_some()
        || bw.throttled.get() != 0
    {
        return;
    }
    account_cfs_rq_runtime(cfs_rq, 0);
    if bw.runtime_remaining.get() <= 0 {
        throttle_cfs_rq(cfs_rq);
    }
}

/// Throttles the queue if it has no run time left; true if it is throttled.
pub fn check_cfs_rq_runtime(cfs_rq: Cfs) -> bool {
    let bw = cfs_rq;
    if !cfs_bandwidth_used() || bw.runtime_enabled.get() == 0 || bw.runtime_remaining.get() > 0 {
        return false;
    }
    // The running task's groups are found here on the way up, when one of them is out already.
    bw.throttled.get() != 0 || throttle_cfs_rq(cfs_rq)
}

/// A CPU is active again: its queues have a limit where their group has.
pub fn update_runtime_enabled(rq: RqRef) {
    for_each_task_group(|tg| {
        let cfs_b = &tg.cfs_bandwidth;
        let bw = tg.cfs_rq_on(cpu_of(rq));
        raw_spin_lock(&cfs_b.lock);
        let enabled = cfs_b.quota.get() != RUNTIME_INF;
        bw.runtime_enabled.set(i32::from(enabled));
        raw_spin_unlock(&cfs_b.lock);
    });
}

/// A CPU goes: whoever is throttled there must run to get off it.
pub fn unthrottle_offline_cfs_rqs(rq: RqRef) {
    if !cfs_bandwidth_used() {
        return;
    }
    rq_clock_start_loop_update(rq);
    let mut throttled = [None; 16];
    loop {
        // Unthrottling walks the groups itself, so they are collected first.
        let mut count = 0;
        for_each_task_group(|tg| {
            let cfs_rq = tg.cfs_rq_on(cpu_of(rq));
            if cfs_rq.runtime_enabled.get() != 0 && count < throttled.len() {
                throttled[count] = Some(cfs_rq);
                count += 1;
            }
        });
        for cfs_rq in throttled[..count].iter().flatten() {
            // No limit until the CPU returns.
            cfs_rq.runtime_remaining.set(1);
            cfs_rq.runtime_enabled.set(0);
            if cfs_rq_throttled(cfs_rq) {
                unthrottle_cfs_rq(cfs_rq);
            }
        }
        if count < throttled.len() {
            break;
        }
    }
    rq_clock_stop_loop_update(rq);
}

static cfs_constraints_mutex: Mutex = Mutex::new();

/// Gives a group a limit: `quota` ns in each `period` ns, and up to `burst` ns of earlier periods;
/// `RUNTIME_INF`: none.
///
/// # Returns
/// 0; -EINVAL for the root group, a period or quota below 1 ms, a period above 1 s, a burst above the quota.
pub fn tg_set_cfs_bandwidth(tg: &'static TaskGroup, period: u64, quota: u64, burst: u64) -> i32 {
    let limited = quota != RUNTIME_INF;
    if same_tg(tg, &root_task_group)
        || quota < MIN_CFS_QUOTA_PERIOD
        || !(MIN_CFS_QUOTA_PERIOD..=MAX_CFS_QUOTA_PERIOD).contains(&period)
        || limited && quota > MAX_CFS_RUNTIME
        || limited && (burst > quota || burst + quota > MAX_CFS_RUNTIME)
    {
        return -EINVAL;
    }
    let cfs_b = &tg.cfs_bandwidth;
    // No CPU comes or goes between the limit and its queues.
    cpus_read_lock();
    cfs_constraints_mutex.lock();
    let was_limited = cfs_b.quota.get() != RUNTIME_INF;
    if limited && !was_limited {
        __cfs_bandwidth_used.fetch_add(1, Ordering::Relaxed);
    }
    {
        let _guard = cfs_b.lock.lock_irqsave();
        cfs_b.period.set(period as i64);
        cfs_b.quota.set(quota);
        cfs_b.burst.set(burst);
        __refill_cfs_bandwidth_runtime(cfs_b);
        if limited {
            start_cfs_bandwidth(cfs_b);
        }
    }
    set_runtime_enabled(tg, cpu_online_mask(), limited);
    if was_limited && !limited {
        __cfs_bandwidth_used.fetch_sub(1, Ordering::Relaxed);
    }
    cfs_constraints_mutex.unlock();
    cpus_read_unlock();
    0
}

fn set_runtime_enabled(tg: &'static TaskGroup, cpus: Cpumask, limited: bool) {
    for cpu in cpus.iter() {
        let (rq, cfs_rq) = (cpu_rq(cpu), tg.cfs_rq_on(cpu));
        let mut rf = RqFlags::new();
        rq_lock_irqsave(rq, &mut rf);
        cfs_rq.runtime_enabled.set(i32::from(limited));
        cfs_rq.runtime_remaining.set(0);
        if cfs_rq.throttled.get() != 0 {
            unthrottle_cfs_rq(cfs_rq);
        }
        rq_unlock_irqrestore(rq, &rf);
    }
}

/// An entity's queue is empty: what sleeps in it fades by the time it was not throttled.
pub fn update_idle_cfs_rq_clock_pelt(cfs_rq: Cfs) {
    let bw = cfs_rq;
    bw.throttled_pelt_idle.set(if bw.throttle_count.get() != 0 {
        u64::MAX
    } else {
        bw.throttled_clock_pelt_time.get()
    });
}
