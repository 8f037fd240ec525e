//! The workload `deadline`: what SCHED_DEADLINE promises, checked by those it is promised to.
//!
//! Every CPU has an ordinary task that never sleeps beside the deadline tasks. Tasks that compute less than
//! their run time and give the rest back must meet every deadline, one or several a CPU; one that computes
//! for ever must get its run time and no more, or, if it may use what others leave, almost all; the admission
//! test must stop at the limit, and what ended tasks held must be free again at the end. A broken promise is
//! a panic. The first line after the errors tells what was checked of the system calls.
//!
//! Parameters: `deadline.periods` (10): periods of the first scene; the others have at most four.
//! `deadline.hogs` (all): how many CPUs have an ordinary task that never sleeps. With two CPUs and more,
//! tasks are pushed and pulled between them.

mod errors;

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpu::remove_cpu;
use crate::include::linux::cpumask::{
    Cpumask, NR_CPUS, cpu_active, cpu_active_mask, cpu_possible_mask, num_active_cpus,
};
use crate::include::linux::errno::EBUSY;
use crate::include::linux::kthread::{kthread_create, kthread_stop};
use crate::include::linux::sched::{SCHED_DEADLINE, SCHED_FIFO, TaskRef};
use crate::kernel::kreplay::common::{compute, wait_for_stop};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::core::params::SCHED_FLAG_RECLAIM;
use crate::kernel::sched::core::syscalls::sys_sched_yield;
use crate::kernel::sched::core::tick::task_sched_runtime;
use crate::kernel::sched::core::{
    SchedAttr, SchedParam, migrate_disable, migrate_enable, sched_set_normal, sched_setattr,
    sched_setattr_nocheck, sched_setscheduler_nocheck, set_cpus_allowed_ptr, wake_up_process,
};
use crate::kernel::sched::sched::cpu_rq;
use crate::kernel::time::timer::sleep::{msleep, usleep_range};
use crate::pr_info;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

const MS: u64 = 1_000_000;
/// A tick: run time is only looked at when something happens.
const TICK: u64 = 4 * MS;
const MAX_PLAYERS: usize = 2 * NR_CPUS;

/// What a deadline task does in each period.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Act {
    /// Computes for a while, and gives the rest of its run time back.
    Yield,
    /// Computes for a while, and sleeps a moment.
    Sleep,
    /// Computes for ever.
    Greedy,
    /// Sleeps until it is dismissed.
    Idle,
}

/// One deadline task.
struct Player {
    act: Shared<Option<&'static Act>>,
    /// What it computes in each period, ns of run time.
    work: Shared<u64>,
    /// Periods to play.
    periods: Shared<u64>,
    /// It may not migrate while it computes.
    stays: AtomicBool,
    stop: AtomicBool,
    /// Jobs done.
    jobs: AtomicU64,
    /// Those that ended after their deadline.
    missed: AtomicU64,
    /// The least time that was left at the end of a job, ns.
    slack: AtomicU64,
    /// Run time of a greedy one, ns.
    ran: AtomicU64,
    /// CPUs it has been on, as a mask.
    cpus: AtomicU64,
    done: AtomicBool,
    task: Shared<Option<TaskRef>>,
}

static PLAYERS: [Player; MAX_PLAYERS] = [const {
    Player {
        act: Shared::new(None),
        work: Shared::new(0),
        periods: Shared::new(0),
        stays: AtomicBool::new(false),
        stop: AtomicBool::new(false),
        jobs: AtomicU64::new(0),
        missed: AtomicU64::new(0),
        slack: AtomicU64::new(u64::MAX),
        ran: AtomicU64::new(0),
        cpus: AtomicU64::new(0),
        done: AtomicBool::new(false),
        task: Shared::new(None),
    }
}; MAX_PLAYERS];

static YIELD: Act = Act::Yield;
static SLEEP: Act = Act::Sleep;
static GREEDY: Act = Act::Greedy;
static IDLE: Act = Act::Idle;

/// One job: computes for `work` ns of run time, and looks whether the deadline has been kept.
fn job(me: &Player) {
    let task = current();
    let begin = task_sched_runtime(task);
    let deadline = task.dl.deadline.get();
    while task_sched_runtime(task) - begin < me.work.get() {
        me.cpus
            .fetch_or(1 << raw_smp_processor_id(), Ordering::Relaxed);
        compute(1000, begin);
    }
    match deadline.checked_sub(sched_clock()) {
        Some(left) => {
            me.slack.fetch_min(left, Ordering::Relaxed);
        }
        None => {
            me.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
    me.jobs.fetch_add(1, Ordering::Relaxed);
}

/// Computes until so many instances are over, and notes what they were given. The first one may have begun
/// earlier and does not count.
fn greedy_job(me: &Player) {
    let task = current();
    let mut deadline = task.dl.deadline.get();
    let mut instances = 0;
    let mut begin = 0;
    while instances <= me.periods.get() && !me.stop.load(Ordering::Acquire) {
        me.cpus
            .fetch_or(1 << raw_smp_processor_id(), Ordering::Relaxed);
        compute(1000, begin);
        if task.dl.deadline.get() == deadline {
            continue;
        }
        deadline = task.dl.deadline.get();
        let ran = task_sched_runtime(task);
        if instances == 0 {
            begin = ran;
        }
        instances += 1;
        me.ran.store(ran - begin, Ordering::Relaxed);
    }
}

extern "C" fn player(data: VoidPtr) -> i32 {
    let me = data.get::<Player>();
    let stays = me.stays.load(Ordering::Relaxed);
    if stays {
        migrate_disable();
    }
    match me.act.get() {
        Some(Act::Yield) => {
            for _ in 0..me.periods.get() {
                job(me);
                sys_sched_yield();
            }
        }
        Some(Act::Sleep) => {
            while !me.stop.load(Ordering::Acquire) {
                job(me);
                usleep_range(2000, 2000);
            }
        }
        Some(Act::Greedy) => greedy_job(me),
        Some(Act::Idle) | None => {}
    }
    if stays {
        migrate_enable();
    }
    me.done.store(true, Ordering::Release);
    wait_for_stop()
}

/// A deadline task's parameters: run time, deadline and period in ms.
fn times(runtime: u64, deadline: u64, period: u64) -> SchedAttr {
    SchedAttr {
        sched_policy: SCHED_DEADLINE as i32,
        sched_runtime: runtime * MS,
        sched_deadline: deadline * MS,
        sched_period: period * MS,
        ..SchedAttr::default()
    }
}

/// Makes a player, asleep and still an ordinary task.
fn enter(index: usize, act: &'static Act, work: u64, periods: u64) -> &'static Player {
    let me = &PLAYERS[index];
    me.act.set(Some(act));
    me.work.set(work);
    me.periods.set(periods);
    me.stays.store(false, Ordering::Relaxed);
    me.stop.store(false, Ordering::Relaxed);
    me.done.store(false, Ordering::Relaxed);
    me.jobs.store(0, Ordering::Relaxed);
    me.ran.store(0, Ordering::Relaxed);
    me.missed.store(0, Ordering::Relaxed);
    me.slack.store(u64::MAX, Ordering::Relaxed);
    me.cpus.store(0, Ordering::Relaxed);
    match kthread_create(player, VoidPtr::new(me), format_args!("dl/{index}")) {
        Ok(task) => me.task.set(Some(task)),
        Err(error) => fail(format_args!("no player {index}: {error}")),
    }
    me
}

fn task_of(me: &Player) -> TaskRef {
    match me.task.get() {
        Some(task) => task,
        None => fail(format_args!("a player without a task")),
    }
}

fn admit(me: &Player, attr: &SchedAttr) {
    let error = sched_setattr(task_of(me), attr);
    if error != 0 {
        fail(format_args!("not admitted: {error}"));
    }
}

/// Waits until all have played their periods.
fn wait_done(players: &[Player]) {
    while players
        .iter()
        .any(|player| !player.done.load(Ordering::Acquire))
    {
        msleep(10);
    }
}

fn dismiss(players: &[Player]) {
    for player in players {
        player.stop.store(true, Ordering::Release);
    }
    for player in players {
        kthread_stop(task_of(player));
    }
}

/// All must have done their jobs in time.
fn check_kept(what: &str, players: &[Player], periods: u64) {
    let mut slack = u64::MAX;
    for (index, player) in players.iter().enumerate() {
        let missed = player.missed.load(Ordering::Relaxed);
        let jobs = player.jobs.load(Ordering::Relaxed);
        if missed != 0 || jobs < periods {
            fail(format_args!(
                "{what}: dl/{index} missed {missed} of {jobs} deadlines"
            ));
        }
        slack = slack.min(player.slack.load(Ordering::Relaxed));
    }
    pr_info!(
        "deadline: {what}: {} tasks, every deadline kept, {} us left at least",
        players.len(),
        slack / 1000
    );
}

static HOGS: [Shared<Option<TaskRef>>; NR_CPUS] = [const { Shared::new(None) }; NR_CPUS];
static STOP_HOGS: AtomicU32 = AtomicU32::new(0);

extern "C" fn hog(_: VoidPtr) -> i32 {
    while STOP_HOGS.load(Ordering::Relaxed) == 0 {
        compute(1000, 1);
    }
    wait_for_stop()
}

fn start_hogs() {
    let hogs = workload_param("deadline.hogs", NR_CPUS as u64, 1..=NR_CPUS as u64);
    for cpu in cpu_active_mask().iter().take(hogs as usize) {
        let task = match kthread_create(hog, VoidPtr::NULL, format_args!("hog/{cpu}")) {
            Ok(task) => task,
            Err(error) => fail(format_args!("no hog: {error}")),
        };
        set_cpus_allowed_ptr(task, &Cpumask::of(cpu));
        HOGS[cpu as usize].set(Some(task));
        wake_up_process(task);
    }
}

fn stop_hogs() {
    STOP_HOGS.store(1, Ordering::Relaxed);
    for hog in &HOGS {
        if let Some(task) = hog.replace(None) {
            kthread_stop(task);
        }
    }
}

fn held() -> u64 {
    cpu_rq(0).rd().dl_bw.total_bw.get()
}

/// Runs it, as pid 1.
pub fn run() {
    let periods = workload_param("deadline.periods", 10, 2..=1000);
    // The director looks on while others compute: it must not have to wait for them.
    let param = SchedParam { sched_priority: 50 };
    if sched_setscheduler_nocheck(current(), SCHED_FIFO, &param) != 0 {
        fail(format_args!("the director is no real-time task"));
    }
    errors::run();
    start_hogs();
    one_in_ten(periods);
    let periods = periods.min(4);
    greedy(periods, false);
    greedy(periods, true);
    constrained();
    several(periods);
    sleepers();
    if num_active_cpus() > 1 {
        pushed_by_the_stopper();
    }
    admission();
    show_tasks();
    stop_hogs();
    all_given_back();
    sched_set_normal(current(), 0);
    pr_info!("deadline: every promise was kept");
}

/// 8 ms of work in a run time of 10 ms each 100 ms.
fn one_in_ten(periods: u64) {
    let me = enter(0, &YIELD, 8 * MS, periods);
    admit(me, &times(10, 100, 100));
    let begin = sched_clock();
    wake_up_process(task_of(me));
    wait_done(&PLAYERS[..1]);
    let took = sched_clock() - begin;
    check_kept("10 of 100 ms", &PLAYERS[..1], periods);
    // The last yield waits for the period after.
    // We look every 10 ms and may have to wait for a hog's turn.
    if took.abs_diff(periods * 100 * MS) > 40 * MS {
        fail(format_args!("{periods} yields took {} us", took / 1000));
    }
    dismiss(&PLAYERS[..1]);
}

/// Computes for ever with 10 of 100 ms: gets that; or, if it may reclaim, what the limit leaves.
fn greedy(periods: u64, reclaim: bool) {
    let me = enter(0, &GREEDY, 0, periods);
    let mut attr = times(10, 100, 100);
    if reclaim {
        attr.sched_flags |= SCHED_FLAG_RECLAIM;
    }
    admit(me, &attr);
    wake_up_process(task_of(me));
    wait_done(&PLAYERS[..1]);
    let ran = me.ran.load(Ordering::Relaxed) / periods;
    let right = if reclaim { 95 * MS } else { 10 * MS };
    // What is overrun by up to a tick is paid back in the next period.
    if ran.abs_diff(right) > TICK / periods + right / 100 {
        fail(format_args!("ran {} us of 100 ms", ran / 1000));
    }
    pr_info!(
        "deadline: greedy{}: {} us of 100 ms",
        if reclaim { " and reclaiming" } else { "" },
        ran / 1000
    );
    dismiss(&PLAYERS[..1]);
}

/// A deadline before the end of the period: what wakes up between the two waits for the next period, and never
/// gets more than its density.
fn constrained() {
    let me = enter(0, &SLEEP, 8 * MS, 0);
    admit(me, &times(10, 20, 100));
    wake_up_process(task_of(me));
    msleep(350);
    let jobs = me.jobs.load(Ordering::Relaxed);
    let ran = task_sched_runtime(task_of(me));
    // Four periods have begun: at most one run time in each.
    if ran > 4 * 10 * MS + TICK || jobs < 3 {
        fail(format_args!(
            "constrained: {jobs} jobs in {} us",
            ran / 1000
        ));
    }
    pr_info!("deadline: constrained: {} us of 350 ms", ran / 1000);
    dismiss(&PLAYERS[..1]);
}

/// Two tasks for each CPU, 40 of 100 ms each: more than any CPU could promise alone for three.
fn several(periods: u64) {
    let tasks = 2 * num_active_cpus() as usize;
    for index in 0..tasks {
        let me = enter(index, &YIELD, 36 * MS, periods);
        admit(me, &times(40, 100, 100));
    }
    for player in &PLAYERS[..tasks] {
        wake_up_process(task_of(player));
    }
    wait_done(&PLAYERS[..tasks]);
    check_kept("two a CPU", &PLAYERS[..tasks], periods);
    dismiss(&PLAYERS[..tasks]);
}

/// One task more than CPUs, which block and wake often, at different times: they have to move.
fn sleepers() {
    let tasks = num_active_cpus() as usize + 1;
    for index in 0..tasks {
        let period = 20 + 7 * index as u64;
        let me = enter(index, &SLEEP, period * MS / 4, 0);
        admit(me, &times(period / 2 - 1, period, period));
    }
    for player in &PLAYERS[..tasks] {
        wake_up_process(task_of(player));
    }
    msleep(200);
    let jobs: u64 = PLAYERS[..tasks]
        .iter()
        .map(|player| player.jobs.load(Ordering::Relaxed))
        .sum();
    let moved = PLAYERS[..tasks]
        .iter()
        .filter(|player| player.cpus.load(Ordering::Relaxed).count_ones() > 1)
        .count();
    if jobs == 0 || num_active_cpus() > 1 && moved == 0 {
        fail(format_args!("sleepers: {jobs} jobs, {moved} tasks moved"));
    }
    pr_info!("deadline: sleepers: {jobs} jobs, {moved} of {tasks} tasks moved");
    dismiss(&PLAYERS[..tasks]);
}

/// A task that must not migrate waits behind one that can: if there is room elsewhere, that one is pushed.
fn pushed_by_the_stopper() {
    // Bound to CPU 1 for the beginning: a user may not do that, the kernel may.
    let low = enter(0, &GREEDY, 0, 1);
    let high = enter(1, &GREEDY, 0, 1);
    let other = enter(2, &GREEDY, 0, 1);
    low.stays.store(true, Ordering::Relaxed);
    for (me, cpu, runtime, deadline) in [(low, 1, 20, 150), (high, 1, 30, 100), (other, 0, 5, 50)] {
        set_cpus_allowed_ptr(task_of(me), &Cpumask::of(cpu));
        let error = sched_setattr_nocheck(task_of(me), &times(runtime, deadline, deadline));
        if error != 0 {
            fail(format_args!("pushed: not admitted: {error}"));
        }
    }
    for me in [low, high, other] {
        wake_up_process(task_of(me));
        usleep_range(1000, 1000);
        set_cpus_allowed_ptr(task_of(me), &cpu_possible_mask());
    }
    wait_done(&PLAYERS[..3]);
    dismiss(&PLAYERS[..3]);
    // `other` used up its run time while `high` ran and `low` waited.
    if low.cpus.load(Ordering::Relaxed) != 1 << 1 {
        fail(format_args!("pushed: the task that must stay has moved"));
    }
    if high.cpus.load(Ordering::Relaxed) == 1 << 1 {
        fail(format_args!("pushed: the task that ran has not moved"));
    }
    pr_info!("deadline: the running task goes if the waiting one cannot");
}

/// Half a CPU each: as many as 95 % of all CPUs allow, and not one more.
fn admission() {
    all_given_back();
    let cpus = u64::from(num_active_cpus());
    let right = (cpus * 95 / 50) as usize;
    for index in 0..=right {
        let me = enter(index, &IDLE, 0, 0);
        let found = sched_setattr(task_of(me), &times(50, 100, 100));
        let expected = if index < right { 0 } else { -EBUSY };
        if found != expected {
            fail(format_args!(
                "admission: task {index} of {right}: {found} is not {expected}"
            ));
        }
    }
    pr_info!("deadline: admission: {right} halves on {cpus} CPUs, then -EBUSY");
    if cpus > 1 {
        // One CPU less could not keep the promises.
        let last = cpu_active_mask().iter().last().unwrap_or(0);
        let error = remove_cpu(last);
        if error != -EBUSY || !cpu_active(last) {
            fail(format_args!("admission: CPU {last} may go: {error}"));
        }
        pr_info!("deadline: admission: CPU {last} has to stay: -EBUSY");
    }
    dismiss(&PLAYERS[..=right]);
}

/// What ended tasks held is free again, at the latest a period after their end.
fn all_given_back() {
    for _ in 0..50 {
        if held() == 0 {
            return;
        }
        msleep(20);
    }
    fail(format_args!("{} is still held", held()));
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("deadline: {why}"))
}
