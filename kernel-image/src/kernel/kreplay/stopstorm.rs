//! The workload `stopstorm`: every kind of request to the stoppers, from several CPUs at once.
//!
//! - *stormers*, one a CPU to begin with, ask for works on one CPU, on CPUs whose sets cross, on two CPUs
//!   in either order, on all in lock step, on a CPU that is offline; for works that queue works; for
//!   works that fail; and they move running tasks, themselves among them, from CPU to CPU;
//! - *hogs* (fair) and *rts* (SCHED_FIFO and SCHED_RR, at several priorities) are what the stoppers preempt.
//!
//! Every stormer makes a given number of requests, so most counts do not depend on who runs when:
//! they are printed in a line of their own, and are the same on every machine. What a work may rely on is
//! checked while it runs ([`works`]); at the end the counts are compared with each other and with
//! the kernel's, and a difference is a panic.
//!
//! Parameters: `stopstorm.stormers=` (default: one a CPU, 2 to 16), `stopstorm.rounds=` (requests of
//! each), `stopstorm.hogs=` (default: one a CPU), `stopstorm.rts=` (default: one a CPU, 2 to 16),
//! `stopstorm.turns=` (length of a work), `stopstorm.patience_ms=` (no request answered for so long is a
//! failure; 0: wait for ever), `stopstorm.inactive=1` (every CPU stops the others while it comes up).

pub mod inactive;
mod requests;
mod works;

use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{
    Cpumask, NR_CPUS, cpu_active_mask, cpu_online_mask, cpu_possible_mask, num_online_cpus,
};
use crate::include::linux::kthread::{kthread_run, kthread_stop};
use crate::include::linux::sched::{SCHED_FIFO, SCHED_RR, TaskRef};
use crate::kernel::kreplay::common::{compute, nth_cpu, wait_for_stop};
use crate::kernel::kreplay::counters::{count, kreplay_counters};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::core::{
    SchedParam, sched_setscheduler_nocheck, set_cpus_allowed_ptr, set_user_nice, r#yield,
};
use crate::kernel::sched::sched::cpu_rq;
use crate::kernel::time::timer::sleep::{msleep, usleep_range};
use crate::pr_info;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const MAX_STORMERS: usize = NR_CPUS;
const MAX_VICTIMS: usize = 2 * NR_CPUS;
/// Requests of all stormers together, or as near to it as whole turns through the kinds come, unless told
/// otherwise.
const DEFAULT_REQUESTS: u64 = 2_240;
/// Turns of arithmetic in each work, unless told otherwise: half a microsecond.
const DEFAULT_TURNS: u64 = 60;
/// So long without an answer is a failure, unless told otherwise.
const DEFAULT_PATIENCE_MS: u64 = 2_000;

/// One thread of the workload.
struct Actor {
    index: Shared<u64>,
    rounds: AtomicU64,
    task: Shared<Option<TaskRef>>,
}

impl Actor {
    const fn new() -> Actor {
        Actor {
            index: Shared::new(0),
            rounds: AtomicU64::new(0),
            task: Shared::new(None),
        }
    }
}

static STORMERS: [Actor; MAX_STORMERS] = [const { Actor::new() }; MAX_STORMERS];
/// Hogs first, then rts.
static VICTIMS: [Actor; MAX_VICTIMS] = [const { Actor::new() }; MAX_VICTIMS];
static SIZES: Sizes = Sizes {
    rounds: Shared::new(0),
    hogs: Shared::new(0),
    rts: Shared::new(0),
    turns: Shared::new(0),
};
/// Stormers that have made all their requests.
static FINISHED: AtomicU64 = AtomicU64::new(0);
/// Works done, and works for the kernel's own reasons, before the storm.
static BEFORE: [Shared<u64>; 2] = [const { Shared::new(0) }; 2];

/// Works done; and those that the kernel queued itself, to obey a mask or to even out load.
fn of_the_kernel() -> [u64; 2] {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let k = &kreplay_counters;
    [
        get(&k.stop_works_done),
        get(&k.affinity_stop_works) + get(&k.balance_stop_works),
    ]
}

/// The victims shall come to an end.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// The parameters that threads look at.
struct Sizes {
    rounds: Shared<u64>,
    hogs: Shared<u64>,
    rts: Shared<u64>,
    turns: Shared<u64>,
}

/// Runs it, as pid 1.
pub fn run() {
    let cpus = u64::from(num_online_cpus());
    let few = cpus.clamp(2, 16);
    let most = NR_CPUS as u64;
    let stormers = workload_param("stopstorm.stormers", few, 1..=most);
    let patience = workload_param("stopstorm.patience_ms", DEFAULT_PATIENCE_MS, 0..=10_000_000);
    let turns = (DEFAULT_REQUESTS / stormers / requests::KINDS).max(1);
    SIZES.rounds.set(workload_param(
        "stopstorm.rounds",
        turns * requests::KINDS,
        1..=1_000_000,
    ));
    SIZES
        .hogs
        .set(workload_param("stopstorm.hogs", cpus, 1..=most));
    SIZES
        .rts
        .set(workload_param("stopstorm.rts", few, 0..=most));
    SIZES.turns.set(workload_param(
        "stopstorm.turns",
        DEFAULT_TURNS,
        0..=1_000_000,
    ));
    pr_info!(
        "stopstorm: {stormers} stormers with {} rounds each, {} hogs and {} real-time tasks on {cpus} CPUs",
        SIZES.rounds.get(),
        SIZES.hogs.get(),
        SIZES.rts.get()
    );

    let start = sched_clock();
    if !soon(nothing_outstanding) {
        fail(format_args!("the boot's works are still outstanding"));
    }
    for (before, now) in BEFORE.iter().zip(of_the_kernel()) {
        before.set(now);
    }
    hire_victims();
    for (actor, index) in STORMERS.iter().zip(0..stormers) {
        hire(actor, "storm", index, stormer);
    }
    wait_for_stormers(stormers, patience * 1_000_000);
    let elapsed = sched_clock() - start;
    drain();
    gather();
    show_tasks();
    STOPPING.store(true, Ordering::Relaxed);
    for actor in STORMERS.iter().chain(&VICTIMS) {
        dismiss(actor);
    }
    report(cpus, elapsed);
}

fn hire(actor: &'static Actor, name: &str, index: u64, part: extern "C" fn(VoidPtr) -> i32) {
    actor.index.set(index);
    match kthread_run(part, VoidPtr::new(actor), format_args!("{name}/{index}")) {
        Ok(task) => {
            actor.task.set(Some(task));
            requests::bind(task, Cpumask::of(nth_cpu(index)));
        }
        Err(error) => fail(format_args!("no thread {name}/{index}: error {error}")),
    }
}

fn hire_victims() {
    for (actor, index) in VICTIMS.iter().zip(0..SIZES.hogs.get()) {
        hire(actor, "hog", index, hog);
        if let Some(task) = actor.task.get() {
            set_user_nice(task, [0, 5, 10, -5][index as usize % 4]);
        }
    }
    for (actor, index) in rts().zip(0..) {
        hire(actor, "rt", index, rt);
        let policy = [SCHED_FIFO, SCHED_RR][index as usize % 2];
        let param = SchedParam {
            sched_priority: 10 + 20 * (index as u32 % 4),
        };
        let ret = actor
            .task
            .get()
            .map_or(-1, |task| sched_setscheduler_nocheck(task, policy, &param));
        if ret != 0 {
            fail(format_args!(
                "rt/{index} cannot have policy {policy}: {ret}"
            ));
        }
    }
}

fn rts() -> impl Iterator<Item = &'static Actor> {
    let (first, count) = (SIZES.hogs.get() as usize, SIZES.rts.get() as usize);
    VICTIMS[first..first + count].iter()
}

fn dismiss(actor: &'static Actor) {
    let Some(task) = actor.task.get() else { return };
    let ret = kthread_stop(task);
    if ret != 0 {
        fail(format_args!("a thread returned {ret}"));
    }
    if actor.rounds.load(Ordering::Relaxed) == 0 {
        fail(format_args!(
            "thread {} never got to work",
            actor.index.get()
        ));
    }
}

/// Waits until all are done, as long as requests are answered.
fn wait_for_stormers(stormers: u64, patience: u64) {
    let mut answered = 0;
    let mut since = sched_clock();
    while FINISHED.load(Ordering::Acquire) != stormers {
        usleep_range(500, 1000);
        let now = STORMERS
            .iter()
            .map(|actor| actor.rounds.load(Ordering::Relaxed))
            .sum::<u64>();
        let time = sched_clock();
        if now != answered {
            (answered, since) = (now, time);
        } else if patience != 0 && time - since > patience {
            fail(format_args!("no request was answered for {patience} ns"));
        }
    }
    // Every victim shall have been there.
    while VICTIMS
        .iter()
        .any(|actor| actor.task.get().is_some() && actor.rounds.load(Ordering::Relaxed) == 0)
    {
        usleep_range(500, 1000);
    }
}

/// Waits for the works that nobody waits for.
fn drain() {
    if !soon(works::all_free) {
        fail(format_args!("works are still outstanding"));
    }
}

/// Whether no stopper has a work, queued or running.
fn nothing_outstanding() -> bool {
    let k = &kreplay_counters;
    k.stop_works_queued.load(Ordering::Relaxed) == k.stop_works_done.load(Ordering::Relaxed)
}

/// Whether something comes true within a second.
fn soon(mut is_so: impl FnMut() -> bool) -> bool {
    for _ in 0..1000 {
        if is_so() {
            return true;
        }
        msleep(1);
    }
    false
}

/// Lets every thread run everywhere again: the last changes of masks, the same on every machine.
fn gather() {
    for actor in STORMERS.iter().chain(&VICTIMS) {
        if let Some(task) = actor.task.get() {
            requests::bind(task, cpu_active_mask());
        }
    }
}

extern "C" fn stormer(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let index = actor.index.get();
    for round in 0..SIZES.rounds.get() {
        requests::make(index, round);
        compute(40, round);
        count(&actor.rounds);
        if (round + index).is_multiple_of(4) {
            usleep_range(5 + 3 * (index % 5), 40);
        }
    }
    FINISHED.fetch_add(1, Ordering::Release);
    wait_for_stop()
}

extern "C" fn hog(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let mut round = 0u64;
    while !STOPPING.load(Ordering::Relaxed) {
        compute(200, round);
        round += 1;
        count(&actor.rounds);
        if round.is_multiple_of(64) {
            r#yield();
        }
    }
    wait_for_stop()
}

/// Runs for a tenth of the time or so: nobody below it shall starve.
extern "C" fn rt(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let index = actor.index.get();
    let mut round = 0u64;
    while !STOPPING.load(Ordering::Relaxed) {
        for _ in 0..4 {
            compute(300 + 50 * (index as u32 % 3), round);
            if round % 8 == 3 {
                r#yield();
            }
        }
        round += 1;
        count(&actor.rounds);
        usleep_range(60 + 15 * (index % 7), 200);
    }
    wait_for_stop()
}

fn report(cpus: u64, elapsed: u64) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (made, ran) = (&requests::MADE, &works::RAN);
    let k = &kreplay_counters;
    agree();
    let switches = cpu_online_mask()
        .iter()
        .map(|cpu| cpu_rq(cpu).nr_switches.get())
        .sum();
    k.nr_switches.store(switches, Ordering::Relaxed);
    pr_info!(
        "stopstorm: counts: requests={} one={} nowait={} many={} try={} two={} machine={} cpuslocked={} \
         moves={} refused={} nested={} failed={} functions={}",
        get(&made.requests),
        get(&made.one),
        get(&made.nowait),
        get(&made.many),
        get(&made.tried),
        get(&made.two),
        get(&made.machine),
        get(&made.cpuslocked),
        get(&made.moves),
        get(&made.refused),
        get(&made.nested),
        get(&made.failed),
        get(&ran.functions)
    );
    pr_info!(
        "stopstorm: this run: works={} moved={} again={} retried={} changes={} switches={switches} us={}",
        get(&k.stop_works_done),
        get(&k.stopper_moves),
        get(&made.again),
        get(&k.stop_two_works_retried),
        get(&k.affinity_changes),
        elapsed / 1000
    );
    let offline = cpu_possible_mask().andnot(cpu_online_mask()).weight();
    pr_info!("stopstorm: {cpus} CPUs online, {offline} offline");
    pr_info!("stopstorm: done, all counts agree");
}

/// Panics if the counts do not agree with each other and with the kernel's. The kernel goes on balancing, and a
/// change of a mask may end before the work that was to make it: such a work is waited for.
fn agree() {
    let mut differ = None;
    if !soon(|| {
        differ = first_difference();
        differ.is_none()
    }) && let Some((what, left, right)) = differ
    {
        fail(format_args!("{what}: {left} is not {right}"));
    }
}

/// Two counts that should be the same and are not.
fn first_difference() -> Option<(&'static str, u64, u64)> {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (made, ran) = (&requests::MADE, &works::RAN);
    let k = &kreplay_counters;
    let parts = get(&k.affinity_running)
        + get(&k.affinity_queued)
        + get(&k.affinity_sleeping)
        + get(&k.affinity_stayed);
    let kinds = [
        &made.one,
        &made.nowait,
        &made.many,
        &made.tried,
        &made.two,
        &made.machine,
        &made.cpuslocked,
        &made.moves,
        &made.refused,
        &made.nested,
        &made.failed,
    ];
    let [done, own] = of_the_kernel();
    let checks = [
        (
            "requests = their kinds",
            get(&made.requests),
            kinds.into_iter().map(get).sum(),
        ),
        (
            "functions asked for = run",
            get(&made.functions),
            get(&ran.functions),
        ),
        (
            "works asked for, the kernel's own too = done",
            get(&made.works) + own - BEFORE[1].get(),
            done - BEFORE[0].get(),
        ),
        (
            "stopper works queued = started",
            get(&k.stop_works_queued),
            get(&k.stop_works_started),
        ),
        (
            "stopper works started = done",
            get(&k.stop_works_started),
            get(&k.stop_works_done),
        ),
        ("changes = their parts", get(&k.affinity_changes), parts),
    ];
    checks.into_iter().find(|(_, left, right)| left != right)
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("stopstorm: {why}"))
}

fn set_mask(task: TaskRef, mask: &Cpumask) {
    let ret = set_cpus_allowed_ptr(task, mask);
    if ret != 0 {
        fail(format_args!("{task:?} cannot have a mask: {ret}"));
    }
}
