//! The workload `fair`: the fair class's numbers with known answers, on one CPU beside the director's.
//!
//! Pid 1 becomes a real-time task on CPU 0, lets hogs compete on the next CPU, and compares what they
//! received with what their weights promise (`share`); then it looks at lag (`lag`) and at load tracking
//! (`signals`). A wrong answer is a panic.
//!
//! Parameters: `fair.limits=1` adds scenes with limited groups, whose throttled tasks are queued and not
//! counted (`limits`). `fair.ms` (2000): length of the longest comparison; a share may be wrong by what EEVDF
//! allows, about a request and a tick, however long that is.
//! `fair.quick=1` leaves out the scenes that need their length for an answer: yields, lag, load tracking.

mod lag;
mod limits;
mod share;
mod signals;

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, cpu_active_mask};
use crate::include::linux::errno::EINVAL;
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::kthread::{kthread_create, kthread_should_stop, kthread_stop};
use crate::include::linux::sched::{SCHED_FIFO, SCHED_IDLE, TaskRef, task_cpu};
use crate::kernel::kreplay::common::{compute, nth_cpu};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::sched::core::{
    SchedParam, sched_create_group, sched_destroy_group, sched_move_task, sched_online_group,
    sched_release_group, sched_set_normal, sched_setscheduler_nocheck, set_cpus_allowed_ptr,
    set_user_nice, wake_up_process, yield_to,
};
use crate::kernel::sched::fair::group::{sched_group_set_idle, sched_group_set_shares};
use crate::kernel::sched::fair::load::update_cfs_rq_load_avg;
use crate::kernel::sched::features::{SchedFeat, sched_feat_set};
use crate::kernel::sched::pelt::cfs_rq_clock_pelt;
use crate::kernel::sched::sched::{
    RqFlags, TaskGroup, cpu_rq, root_task_group, rq_lock_irqsave, rq_unlock_irqrestore, scale_load,
};
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;
use core::sync::atomic::Ordering;
use share::{Queue, Rule, Se, lead, look, position, promise};

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

    /// What each has received, ns. It is bound to its CPU, which need not be the stage's.
    fn received(&self) -> [u64; MAX_HOGS] {
        let mut received = [0; MAX_HOGS];
        for (task, received) in self.tasks().zip(&mut received) {
            *received = look(task_cpu(task), |_, now| position(&task.se, now).received);
        }
        received
    }

    /// What each receives in `ms` milliseconds, ns.
    fn watch(&self, ms: u64) -> [u64; MAX_HOGS] {
        let before = self.received();
        usleep_range(ms * 1000, ms * 1000);
        let mut received = self.received();
        for (received, before) in received.iter_mut().zip(before) {
            *received -= before;
        }
        received
    }

    /// Watches, and compares the shares of the tasks with their `weights`: no group is on the CPU.
    fn compare(&self, what: &str, ms: u64, weights: &[u64], rule: Rule) {
        let mut entities = [(&current().se as Se, 0); MAX_HOGS];
        for ((slot, task), &weight) in entities.iter_mut().zip(self.tasks()).zip(weights) {
            *slot = (&task.se, weight);
        }
        let root = Queue {
            group: None,
            entities: &entities[..weights.len()],
        };
        self.compare_by(what, ms, weights, &[root], rule);
    }

    /// The same where there are groups: their queues, the root's first.
    fn compare_on(&self, what: &str, ms: u64, parts: &[u64], queues: &[Queue<'_>]) {
        self.compare_by(what, ms, parts, queues, Rule::Deadline);
    }

    fn compare_by(&self, what: &str, ms: u64, parts: &[u64], queues: &[Queue<'_>], rule: Rule) {
        let before = self.received();
        share::compare(self, what, ms, queues, rule);
        let mut received = self.received();
        for (received, before) in received.iter_mut().zip(before) {
            *received -= before;
        }
        let received = &received[..parts.len()];
        pr_info!("fair: {what}: {} ms for {}", Millis(received), Row(parts));
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
        lag::lag();
        signals::load_tracking();
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
    stage.compare("nice 0 against nice 5", ms, &[1024, 335], Rule::Deadline);
    set_user_nice(light, -5);
    stage.compare(
        "nice 0 against nice -5",
        ms / 4,
        &[1024, 3121],
        Rule::Deadline,
    );
    show_tasks();
    stage.close();
}

fn idle_policy(ms: u64) {
    let mut stage = Stage::open();
    stage.enter(hog, 0);
    let idle = stage.enter(hog, 0);
    change(idle, SCHED_IDLE, 0);
    usleep_range(10_000, 10_000);
    stage.compare(
        "nice 0 against SCHED_IDLE",
        ms / 4,
        &[1024, 3],
        Rule::Deadline,
    );
    stage.close();
}

/// A group below `parent`.
pub fn make_group(parent: &'static TaskGroup, shares: u64) -> &'static TaskGroup {
    let tg = sched_create_group(parent);
    sched_online_group(tg, parent);
    if sched_group_set_shares(tg, scale_load(shares)) != 0 {
        fail(format_args!("a group's shares were refused"));
    }
    tg
}

/// Ends a group without tasks.
pub fn end_group(tg: &'static TaskGroup) {
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
    let (of_a, of_b) = (entity(a, stage.cpu), entity(b, stage.cpu));
    let among = |group, entities| Queue { group, entities };
    let root = [(of_a, 1024), (of_b, 2048)];
    let in_a = [(&tasks[0].se as Se, 1024)];
    let in_b = [(&tasks[1].se as Se, 1024), (&tasks[2].se, 1024)];
    let queues = [
        among(None, &root[..]),
        among(Some(of_a), &in_a),
        among(Some(of_b), &in_b),
    ];
    stage.compare_on(
        "shares 1024 against 2048 for two",
        ms / 2,
        &[2, 2, 2],
        &queues,
    );
    let c = make_group(b, 3072);
    sched_move_task(tasks[2], c);
    usleep_range(50_000, 50_000);
    check_counts(stage.cpu, c, 1);
    check_counts(stage.cpu, b, 2);
    // A third, a quarter of two thirds, three quarters of two thirds.
    let of_c = entity(c, stage.cpu);
    let in_b = [(&tasks[1].se as Se, 1024), (of_c, 3072)];
    let in_c = [(&tasks[2].se as Se, 1024)];
    let below = |root| {
        [
            among(None, root),
            among(Some(of_a), &in_a),
            among(Some(of_b), &in_b),
            among(Some(of_c), &in_c),
        ]
    };
    stage.compare_on("a group in a group", ms / 2, &[2, 1, 3], &below(&root));
    check_group_load(stage.cpu, a, b, ms);
    if sched_group_set_idle(a, 1) != 0 || sched_group_set_shares(a, scale_load(1024)) != -EINVAL {
        fail(format_args!("an idle group took a weight"));
    }
    let parts = [3, 2048 / 4, 2048 / 4 * 3];
    let idle = [(of_a, 3), (of_b, 2048)];
    stage.compare_on("an idle group", ms / 4, &parts, &below(&idle));
    if sched_group_set_idle(a, 0) != 0 {
        fail(format_args!("an idle group stays one"));
    }
    stage.compare_on(
        "and an ordinary one again",
        ms / 4,
        &[2, 1, 3],
        &below(&root),
    );
    stage.close();
    for tg in [c, b, a] {
        check_counts(nth_cpu(1), tg, 0);
        end_group(tg);
    }
}

/// A group's entity on a CPU.
fn entity(tg: &'static TaskGroup, cpu: u32) -> Se {
    tg.se.per_cpu(cpu).get().expect("a group without entities")
}

/// A group's load is the load of what is in it, a task and a group here; its utilisation is its time: two
/// thirds of a CPU that is never idle, beside `other`.
fn check_group_load(cpu: u32, other: &'static TaskGroup, tg: &'static TaskGroup, ms: u64) {
    let cfs_rq = tg.cfs_rq_on(cpu);
    let (load, util, all, ahead) = look(cpu, |rq, now| {
        update_cfs_rq_load_avg(cfs_rq_clock_pelt(cfs_rq), cfs_rq);
        update_cfs_rq_load_avg(cfs_rq_clock_pelt(&rq.cfs), &rq.cfs);
        let at = [entity(tg, cpu), entity(other, cpu)].map(|se| position(se, now));
        let (load, util) = (cfs_rq.avg.load_avg.get(), cfs_rq.avg.util_avg.get());
        (load, util, rq.cfs.avg.util_avg.get(), lead(&at, 0, 1))
    });
    let published = tg.load_avg.load(Ordering::Relaxed) as u64;
    pr_info!("fair: group load {load} ({published} published), utilisation {util} of {all}");
    // Both always want to run: 1024 and 3072. What was not so before the scene has faded to a twentieth.
    let right = load.abs_diff(4096) <= 4096 / 20 && published.abs_diff(load) <= 1 + load / 32;
    // The time of its recent past is two thirds and how much its lead grew since; that lead is the mean of its
    // past ones as the signal weighs them, somewhere between the furthest that are promised.
    let real = |lead: i64| lead * 2 / 3;
    let signal = |ns: i64| ns * signals::STEP as i64 / signals::PERIOD as i64;
    let least = 683 + signal(real(ahead) - real(promise(2048, 1024)));
    let most = 683 + signal(real(ahead) + real(promise(1024, 2048)));
    // Averages are up to a period old; what the CPU gave to others; what is left of the time before the scene.
    let faded = (1024 * signals::fade((100 + ms) * 1_000_000)) >> 32;
    let old = (signals::STEP + faded + 2) as i64;
    let least = least - old - (1024 - all) as i64;
    if !right || !(least..=most + old).contains(&(util as i64)) || all < 1000 {
        fail(format_args!(
            "a group's load is wrong: {least} to {most} is right"
        ));
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
        stage.compare(
            "two hogs and one that yields",
            300,
            &[1024; 3],
            Rule::Eligible,
        );
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

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("fair: {why}"))
}
