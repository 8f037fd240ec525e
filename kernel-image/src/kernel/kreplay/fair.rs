//! The workload `fair`: the fair class's numbers with known answers, on one CPU beside the director's.
//!
//! Pid 1 becomes a real-time task on CPU 0, lets hogs compete on the next CPU, and compares what they
//! received with what their weights promise; then it looks at load tracking and at lag. A wrong answer is a
//! panic.
//!
//! Parameters: `fair.limits=1` adds scenes with limited groups, whose throttled tasks are queued and not
//! counted. `fair.ms` (2000): length of the longest comparison; a share may be wrong by 2 % and a tick.
//! `fair.quick=1` leaves out the scenes that need their length for an answer: yields, lag, load tracking.

mod limits;

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, cpu_active_mask};
use crate::include::linux::errno::EINVAL;
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::kthread::{kthread_create, kthread_should_stop, kthread_stop};
use crate::include::linux::sched::{SCHED_FIFO, SCHED_IDLE, TaskRef};
use crate::kernel::kreplay::common::{compute, nth_cpu, wait_for_stop};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::core::tick::task_sched_runtime;
use crate::kernel::sched::core::{
    SchedParam, sched_create_group, sched_destroy_group, sched_move_task, sched_online_group,
    sched_release_group, sched_set_normal, sched_setscheduler_nocheck, set_cpus_allowed_ptr,
    set_user_nice, wake_up_process, yield_to,
};
use crate::kernel::sched::fair::eevdf::avg_vruntime;
use crate::kernel::sched::fair::entity::update_curr;
use crate::kernel::sched::fair::group::{sched_group_set_idle, sched_group_set_shares};
use crate::kernel::sched::fair::load::{_task_util_est, update_load_avg};
use crate::kernel::sched::fair::{base_slice_ns, cfs_rq_of, sysctl_sched_base_slice};
use crate::kernel::sched::features::{SchedFeat, sched_feat_set};
use crate::kernel::sched::sched::{
    RqFlags, TaskGroup, cpu_rq, root_task_group, rq_lock_irqsave, rq_unlock_irqrestore, scale_load,
    scale_load_down, task_rq_lock, task_rq_unlock, update_rq_clock,
};
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;
use core::sync::atomic::{AtomicBool, Ordering};

/// A period of load tracking, ns.
const PERIOD: u64 = 1024 * 1024;
const MAX_HOGS: usize = 5;
/// What threads are given that need nothing.
static NOTHING: Shared<u32> = Shared::new(0);

extern "C" fn hog(_data: VoidPtr) -> i32 {
    while !kthread_should_stop() {
        compute(200, 1);
    }
    0
}

extern "C" fn sleeper(_data: VoidPtr) -> i32 {
    while !kthread_should_stop() {
        compute(1000, 1);
        usleep_range(150, 150);
    }
    0
}

/// The tasks that compete on a CPU.
struct Stage {
    cpu: u32,
    hogs: [Option<TaskRef>; MAX_HOGS],
    count: usize,
}

impl Stage {
    fn open() -> Stage {
        Stage {
            cpu: nth_cpu(1),
            hogs: [None; MAX_HOGS],
            count: 0,
        }
    }

    /// A thread for the stage; it runs at once.
    fn enter(&mut self, threadfn: extern "C" fn(VoidPtr) -> i32, nice: i32) -> TaskRef {
        let name = format_args!("fair/{}", self.count);
        let task = match kthread_create(threadfn, VoidPtr::new(&NOTHING), name) {
            Ok(task) => task,
            Err(error) => fail(format_args!("no thread: {error}")),
        };
        if set_cpus_allowed_ptr(task, &Cpumask::of(self.cpu)) != 0 {
            fail(format_args!("a hog cannot be bound"));
        }
        set_user_nice(task, nice);
        wake_up_process(task);
        self.hogs[self.count] = Some(task);
        self.count += 1;
        task
    }

    fn tasks(&self) -> impl Iterator<Item = TaskRef> + '_ {
        self.hogs.iter().copied().flatten()
    }

    fn close(self) {
        for task in self.tasks() {
            sched_move_task(task, &root_task_group);
            kthread_stop(task);
        }
    }

    /// What each receives in `ms` milliseconds, ns.
    fn watch(&self, ms: u64) -> [u64; MAX_HOGS] {
        let mut received = [0; MAX_HOGS];
        for (task, received) in self.tasks().zip(&mut received) {
            *received = task_sched_runtime(task);
        }
        usleep_range(ms * 1000, ms * 1000);
        for (task, received) in self.tasks().zip(&mut received) {
            *received = task_sched_runtime(task) - *received;
        }
        received
    }

    /// Watches, and compares the shares with `parts`.
    fn compare(&self, what: &str, ms: u64, parts: &[u64]) {
        let received = self.watch(ms);
        let received = &received[..parts.len()];
        let total: u64 = received.iter().sum();
        let whole: u64 = parts.iter().sum();
        pr_info!("fair: {what}: {} ms for {}", Millis(received), Row(parts));
        if total < ms * 1_000_000 / 100 * 98 {
            fail(format_args!("{what}: the CPU was not busy: {total} ns"));
        }
        for (&got, &part) in received.iter().zip(parts) {
            let right = total * part / whole;
            if got.abs_diff(right) > right / 50 + TICK_NSEC as u64 {
                fail(format_args!("{what}: {got} ns is not {right} ns"));
            }
        }
    }
}

struct Row<'a>(&'a [u64]);

impl core::fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, number) in self.0.iter().enumerate() {
            write!(f, "{}{number}", if index > 0 { " : " } else { "" })?;
        }
        Ok(())
    }
}

struct Millis<'a>(&'a [u64]);

impl core::fmt::Display for Millis<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, ns) in self.0.iter().enumerate() {
            let colon = if index > 0 { " : " } else { "" };
            write!(f, "{colon}{}.{}", ns / 1_000_000, ns / 100_000 % 10)?;
        }
        Ok(())
    }
}

fn change(task: TaskRef, policy: u32, sched_priority: u32) {
    if sched_setscheduler_nocheck(task, policy, &SchedParam { sched_priority }) != 0 {
        fail(format_args!("policy {policy} refused"));
    }
}

/// Runs it, as pid 1.
pub fn run() {
    let ms = workload_param("fair.ms", 2000, 200..=60_000);
    let with_limits = workload_param("fair.limits", 0, 0..=1) == 1;
    let me = current();
    if set_cpus_allowed_ptr(me, &Cpumask::of(0)) != 0 {
        fail(format_args!("pid 1 cannot be bound"));
    }
    change(me, SCHED_FIFO, 90);
    turns();
    nice(ms);
    idle_policy(ms);
    groups(ms);
    moves();
    if with_limits {
        limits::limits(ms / 2);
    }
    if workload_param("fair.quick", 0, 0..=1) == 0 {
        buddies();
        lag();
        load_tracking();
    }
    sched_set_normal(me, 0);
    if set_cpus_allowed_ptr(me, &cpu_active_mask()) != 0 {
        fail(format_args!("pid 1 cannot be let go"));
    }
    pr_info!("fair: all numbers are as they should be");
}

/// Two equal hogs take turns at every tick: it is longer than a slice.
fn turns() {
    let mut stage = Stage::open();
    let pair = [stage.enter(hog, 0), stage.enter(hog, 0)];
    let ticks = 100;
    let before = pair.map(|task| task.nivcsw.get());
    usleep_range(ticks * TICK_NSEC as u64 / 1000, 0);
    let switches = [0, 1].map(|n| pair[n].nivcsw.get() - before[n]);
    pr_info!(
        "fair: equals take turns: {} and {} switches in {ticks} ticks",
        switches[0],
        switches[1]
    );
    if switches.iter().any(|n| n.abs_diff(ticks / 2) > 3) {
        fail(format_args!("turns are not a tick long"));
    }
    stage.close();
}

/// Weights by nice; the light one becomes so while it runs or waits.
fn nice(ms: u64) {
    let mut stage = Stage::open();
    stage.enter(hog, 0);
    let light = stage.enter(hog, 0);
    usleep_range(10_000, 10_000);
    set_user_nice(light, 5);
    usleep_range(10_000, 10_000);
    stage.compare("nice 0 against nice 5", ms, &[1024, 335]);
    set_user_nice(light, -5);
    stage.compare("nice 0 against nice -5", ms / 4, &[1024, 3121]);
    show_tasks();
    stage.close();
}

fn idle_policy(ms: u64) {
    let mut stage = Stage::open();
    stage.enter(hog, 0);
    let idle = stage.enter(hog, 0);
    change(idle, SCHED_IDLE, 0);
    usleep_range(10_000, 10_000);
    stage.compare("nice 0 against SCHED_IDLE", ms / 4, &[1024, 3]);
    stage.close();
}

fn make_group(parent: &'static TaskGroup, shares: u64) -> &'static TaskGroup {
    let tg = sched_create_group(parent);
    sched_online_group(tg, parent);
    if sched_group_set_shares(tg, scale_load(shares)) != 0 {
        fail(format_args!("a group's shares were refused"));
    }
    tg
}

fn end_group(tg: &'static TaskGroup) {
    sched_release_group(tg);
    sched_destroy_group(tg);
}

/// The running task's accounting and its signals, as of now.
fn check_counts(cpu: u32, tg: &'static TaskGroup, tasks: u32) {
    let rq = cpu_rq(cpu);
    let cfs_rq = tg.cfs_rq_on(cpu);
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    let (found, all) = (cfs_rq.h_nr_running.get(), rq.cfs.h_nr_running.get());
    let running = rq.nr_running.get();
    rq_unlock_irqrestore(rq, &rf);
    if found != tasks || all < tasks || running < all {
        fail(format_args!(
            "{tasks} tasks in a group are counted as {found}, {all} on the queue, {running} on the CPU"
        ));
    }
}

/// Weights by group: one beside two thirds, and a group inside a group. The hogs move while they run.
fn groups(ms: u64) {
    let refused = [
        sched_group_set_shares(&root_task_group, scale_load(2048)),
        sched_group_set_idle(&root_task_group, 1),
    ];
    if refused != [-EINVAL; 2] {
        fail(format_args!("the root group took a weight: {refused:?}"));
    }
    let mut stage = Stage::open();
    let a = make_group(&root_task_group, 1024);
    let b = make_group(&root_task_group, 2048);
    let tasks = [(); 3].map(|()| stage.enter(hog, 0));
    usleep_range(10_000, 10_000);
    sched_move_task(tasks[0], a);
    sched_move_task(tasks[1], b);
    sched_move_task(tasks[2], b);
    usleep_range(50_000, 50_000);
    check_counts(stage.cpu, a, 1);
    check_counts(stage.cpu, b, 2);
    stage.compare("shares 1024 against 2048 for two", ms / 2, &[2, 2, 2]);
    let c = make_group(b, 3072);
    sched_move_task(tasks[2], c);
    usleep_range(50_000, 50_000);
    check_counts(stage.cpu, c, 1);
    check_counts(stage.cpu, b, 2);
    // A third, a quarter of two thirds, three quarters of two thirds.
    stage.compare("a group in a group", ms / 2, &[2, 1, 3]);
    check_group_load(stage.cpu, b);
    if sched_group_set_idle(a, 1) != 0 || sched_group_set_shares(a, scale_load(1024)) != -EINVAL {
        fail(format_args!("an idle group took a weight"));
    }
    stage.compare("an idle group", ms / 4, &[3, 2048 / 4, 2048 / 4 * 3]);
    if sched_group_set_idle(a, 0) != 0 {
        fail(format_args!("an idle group stays one"));
    }
    stage.compare("and an ordinary one again", ms / 4, &[2, 1, 3]);
    stage.close();
    for tg in [c, b, a] {
        check_counts(nth_cpu(1), tg, 0);
        end_group(tg);
    }
}

/// A group's load is the load of what is in it: a task and a group here.
fn check_group_load(cpu: u32, tg: &'static TaskGroup) {
    let rq = cpu_rq(cpu);
    let cfs_rq = tg.cfs_rq_on(cpu);
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    update_rq_clock(rq);
    let (load, util) = (cfs_rq.avg.load_avg.get(), cfs_rq.avg.util_avg.get());
    let all = rq.cfs.avg.util_avg.get();
    let published = tg.load_avg.load(Ordering::Relaxed) as u64;
    rq_unlock_irqrestore(rq, &rf);
    pr_info!("fair: group load {load} ({published} published), utilisation {util} of {all}");
    // Both always want to run: 1024 and 3072.
    let right = load.abs_diff(4096) <= 4096 / 20 && published.abs_diff(load) <= 1 + load / 32;
    // Two thirds of a CPU that is never idle.
    if !right || util.abs_diff(683) > 60 || all < 1000 {
        fail(format_args!("a group's load is wrong"));
    }
}

/// Groups come and go while tasks run, wait and sleep in them.
fn moves() {
    let mut stage = Stage::open();
    let tasks = [
        stage.enter(hog, 0),
        stage.enter(hog, 5),
        stage.enter(sleeper, 0),
        stage.enter(sleeper, -5),
    ];
    let rounds = 60;
    for round in 0..rounds {
        let outer = make_group(&root_task_group, 512 + 64 * round);
        let inner = make_group(outer, 1024);
        for (n, task) in tasks.into_iter().enumerate() {
            let tg = if n as u64 % 2 == round % 2 {
                outer
            } else {
                inner
            };
            sched_move_task(task, tg);
            usleep_range(200 * (1 + round % 7), 0);
        }
        // The hogs are always there.
        let running = outer.cfs_rq_on(stage.cpu).h_nr_running.get();
        if !(2..=4).contains(&running) {
            fail(format_args!("{running} tasks in a group of four"));
        }
        for task in tasks {
            sched_move_task(task, &root_task_group);
        }
        check_counts(stage.cpu, inner, 0);
        check_counts(stage.cpu, outer, 0);
        end_group(inner);
        end_group(outer);
    }
    pr_info!("fair: {} moves between groups", 8 * rounds);
    stage.close();
}

static PARTNER: Shared<Option<TaskRef>> = Shared::new(None);
/// How often `yield_to` was granted, and refused.
static YIELDS: [Shared<u64>; 2] = [const { Shared::new(0) }; 2];

/// Yields to its partner all the time.
extern "C" fn yielder(_data: VoidPtr) -> i32 {
    while !kthread_should_stop() {
        compute(1000, 1);
        if let Some(partner) = PARTNER.get() {
            YIELDS[usize::from(yield_to(partner, true) <= 0)].inc();
        }
    }
    0
}

/// `yield_to`: who yields lets others go first and still gets its share, with and without NEXT_BUDDY; a
/// partner that sleeps is none.
fn buddies() {
    let mut stage = Stage::open();
    // The first to be stopped: every yield moved its deadline further away, and once it is picked it runs
    // to that deadline before another has a turn (v6.8's rule, mended years later).
    stage.enter(yielder, 0);
    let partner = stage.enter(hog, 0);
    stage.enter(hog, 0);
    usleep_range(20_000, 20_000);
    if yield_to(partner, false) != 0 {
        fail(format_args!("a real-time task yielded to an ordinary one"));
    }
    for next_buddy in [false, true] {
        sched_feat_set(SchedFeat::NEXT_BUDDY, next_buddy);
        let before = YIELDS[0].get();
        PARTNER.set(Some(partner));
        stage.compare("two hogs and one that yields", 300, &[1, 1, 1]);
        let granted = YIELDS[0].get() - before;
        // One that runs to its end between two yields would yield about once a tick at most.
        pr_info!("fair: NEXT_BUDDY {next_buddy}: {granted} yields");
        if granted < 20 {
            fail(format_args!("too few yields"));
        }
    }
    sched_feat_set(SchedFeat::NEXT_BUDDY, false);
    let before = YIELDS[1].get();
    PARTNER.set(Some(current()));
    usleep_range(50_000, 50_000);
    PARTNER.set(None);
    if YIELDS[1].get() == before {
        fail(format_args!(
            "a yield to a sleeping real-time task was granted"
        ));
    }
    stage.close();
}

/// How far a task is from its fair share at any moment: not further than a slice. For requests that are
/// whole ticks that holds whatever the weights; a shorter slice ends at the next tick, and then it holds for
/// equals, with the tick for the slice.
fn lag() {
    let tick = TICK_NSEC as u64;
    let slice = base_slice_ns();
    lag_among("equals", &[0; MAX_HOGS], (2 * slice).max(tick));
    sysctl_sched_base_slice.set(2 * tick);
    lag_among("nice -5 to 10", &[-5, 0, 0, 5, 10], 2 * tick);
    sysctl_sched_base_slice.set(slice);
}

/// What `look_at_lags` finds.
struct Lags {
    /// The largest distance of a task, ns of its share.
    furthest: i64,
    /// Sum of weight x lag, and of the weights.
    sum: i64,
    weights: i64,
    /// Whether the tasks of the stage are all there are.
    alone: bool,
}

fn look_at_lags(stage: &Stage) -> Lags {
    let rq = cpu_rq(stage.cpu);
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    update_rq_clock(rq);
    update_curr(&rq.cfs);
    let average = avg_vruntime(&rq.cfs);
    let mut lags = Lags {
        furthest: 0,
        sum: 0,
        weights: 0,
        alone: rq.cfs.nr_running.get() as usize == stage.count,
    };
    for task in stage.tasks() {
        let weight = scale_load_down(task.se.load.weight.get()) as i64;
        let lag = average.wrapping_sub(task.se.vruntime.get()) as i64 * weight;
        lags.sum += lag;
        lags.weights += weight;
        lags.furthest = lags.furthest.max(lag.abs() / 1024);
    }
    rq_unlock_irqrestore(rq, &rf);
    lags
}

fn lag_among(what: &str, nice: &[i32], limit: u64) {
    let mut stage = Stage::open();
    for &nice in nice {
        stage.enter(hog, nice);
    }
    usleep_range(100_000, 100_000);
    // A tick may come a little late.
    let limit = limit as i64 + 100_000;
    let (mut largest, mut exact) = (0, 0);
    for _ in 0..200 {
        usleep_range(1_700, 1_700);
        let lags = look_at_lags(&stage);
        largest = largest.max(lags.furthest);
        if lags.alone {
            exact += 1;
            // Exactly zero, had V not been rounded down.
            if lags.sum > 0 || lags.sum <= -lags.weights {
                fail(format_args!("{what}: the lags add up to {}", lags.sum));
            }
        }
    }
    pr_info!("fair: {what}: lag up to {largest} ns, {exact} sums of lags are 0");
    if largest > limit || exact < 100 {
        fail(format_args!(
            "{what}: a lag of {largest} ns is above {limit}"
        ));
    }
    stage.close();
}

static SIGNALS: [Shared<u64>; 11] = [const { Shared::new(0) }; 11];
static PLAYED: AtomicBool = AtomicBool::new(false);

/// The current task's utilisation, as of now.
fn own_util() -> u64 {
    let me = current();
    let mut rf = RqFlags::new();
    let rq = task_rq_lock(me, &mut rf);
    update_rq_clock(rq);
    update_load_avg(cfs_rq_of(&me.se), &me.se, 0);
    let util = me.se.avg.util_avg.get();
    task_rq_unlock(rq, me, &rf);
    util
}

fn own_estimate() -> u64 {
    _task_util_est(current())
}

/// Sleeps until it is forgotten, runs for 64 periods, sleeps for 32, and once more for a moment.
extern "C" fn player(_data: VoidPtr) -> i32 {
    usleep_range(500_000, 500_000);
    let begin = sched_clock();
    for (n, signal) in SIGNALS[..8].iter().enumerate() {
        while sched_clock() < begin + (n as u64 + 1) * 8 * PERIOD {
            compute(20, 1);
        }
        signal.set(own_util());
    }
    usleep_range(32 * PERIOD / 1000, 0);
    SIGNALS[8].set(own_util());
    SIGNALS[9].set(own_estimate());
    usleep_range(100, 100);
    SIGNALS[10].set(own_estimate());
    PLAYED.store(true, Ordering::Release);
    wait_for_stop()
}

/// Half of all after 32 periods of running, and half of that after 32 of sleeping.
fn load_tracking() {
    let mut stage = Stage::open();
    PLAYED.store(false, Ordering::Relaxed);
    stage.enter(player, 0);
    while !PLAYED.load(Ordering::Acquire) {
        usleep_range(10_000, 10_000);
    }
    // 1024 (1 - 2^(-n / 32)) for n = 8, 16 .. 64, and half of the last. The estimate: what it had used when
    // it fell asleep; then a quarter of the way to what is left of that.
    let right = [163, 300, 415, 512, 594, 662, 720, 768, 384, 768, 672];
    let found = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(|n: usize| SIGNALS[n].get());
    pr_info!("fair: utilisation {} for {}", Row(&found), Row(&right));
    for (found, right) in found.into_iter().zip(right) {
        // Averages move at the end of a period: one may be missing.
        if found.abs_diff(right) > 6 + (1024 - right) / 46 {
            fail(format_args!("a utilisation of {found} is not {right}"));
        }
    }
    stage.close();
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("fair: {why}"))
}
