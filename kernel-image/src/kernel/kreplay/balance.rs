//! The workload `balance`: what makes tasks change CPUs without anybody asking for it, and what asks for it
//! with conditions of its own.
//!
//! Six scenes, of hogs that compute until the scene ends:
//! - *spread*: hogs on one CPU are let go; the others, idle, take them: before idling, at their tick, or woken
//!   out of a sleep without one;
//! - *uneven*: every CPU has a hog and the first has three: busy CPUs take too;
//! - *push*: a CPU runs a hog that may go, and has one of policy SCHED_IDLE waiting that may not: only the
//!   stopper can take the first one off (active balance);
//! - *exec*: a task that finds itself beside a hog execs;
//! - *numa*: hogs are moved and exchanged as NUMA balancing would do it;
//! - *wake*: sleepers are woken from everywhere, beside hogs; forks fill the machine before.
//!
//! Every scene says what came of it, and the workload panics if it is not what must come: hogs that were not
//! spread, a bound hog elsewhere, a refused move that was to succeed.
//!
//! Parameters: `balance.hogs=` (hogs a CPU in the scene *spread*, default 2), `balance.rounds=` (how often
//! *push*, *exec* and *numa* are played, default 4), `balance.ms=` (length of a scene, default 60).

use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, NR_CPUS, cpu_active_mask, num_active_cpus};
use crate::include::linux::errno::{EAGAIN, EINVAL};
use crate::include::linux::kthread::{kthread_create, kthread_stop};
use crate::include::linux::sched::{SCHED_IDLE, TaskRef, task_cpu};
use crate::kernel::kreplay::common::{compute, nth_cpu, wait_for_stop};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::core::swap::{migrate_swap, migrate_task_to};
use crate::kernel::sched::core::{
    SchedParam, sched_exec, sched_setscheduler_nocheck, set_cpus_allowed_ptr, wake_up_process,
};
use crate::kernel::sched::topology::{cpus_share_cache, sched_asym_cpucap_active};
use crate::kernel::time::timer::sleep::{msleep, usleep_range};
use crate::pr_info;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How long the boot's load is let fade, ms.
const SETTLE_MS: u64 = 500;
const MAX_ACTORS: usize = 4 * NR_CPUS;

/// A thread of a scene.
struct Actor {
    task: Shared<Option<TaskRef>>,
    /// It shall come to an end.
    over: AtomicBool,
    /// What it has done so far.
    rounds: AtomicU64,
    /// Where it may be, for those that are bound throughout.
    bound: Shared<Cpumask>,
}

static ACTORS: [Actor; MAX_ACTORS] = [const {
    Actor {
        task: Shared::new(None),
        over: AtomicBool::new(false),
        rounds: AtomicU64::new(0),
        bound: Shared::new(Cpumask::ALL),
    }
}; MAX_ACTORS];

/// The threads of a scene, in the order they came.
struct Scene {
    name: &'static str,
    len: usize,
    started: u64,
}

impl Scene {
    fn open(name: &'static str) -> Scene {
        Scene {
            name,
            len: 0,
            started: sched_clock(),
        }
    }

    /// A thread, asleep until `begin`, that may run on these CPUs.
    fn enter(&mut self, part: extern "C" fn(VoidPtr) -> i32, mask: Cpumask) -> &'static Actor {
        let number = self.len;
        let actor = &ACTORS[number];
        self.len += 1;
        actor.over.store(false, Ordering::Relaxed);
        actor.rounds.store(0, Ordering::Relaxed);
        actor.bound.set(Cpumask::ALL);
        let name = self.name;
        match kthread_create(part, VoidPtr::new(actor), format_args!("{name}/{number}")) {
            Ok(task) => actor.task.set(Some(task)),
            Err(error) => fail(format_args!("no thread {name}/{number}: error {error}")),
        }
        allow(actor, mask);
        actor
    }

    fn actors(&self) -> &'static [Actor] {
        &ACTORS[..self.len]
    }

    fn begin(&self) {
        for actor in self.actors() {
            wake_up_process(task(actor));
        }
    }

    /// How many actors are on each CPU now: the fewest and the most.
    fn extremes(&self) -> (usize, usize) {
        let on = |cpu: u32| {
            let actors = self.actors().iter();
            actors.filter(|actor| task_cpu(task(actor)) == cpu).count()
        };
        let counts = || cpu_active_mask().iter().map(on);
        (counts().min().unwrap_or(0), counts().max().unwrap_or(0))
    }

    /// Ends all threads, and says how often they changed CPU.
    fn end(self) {
        let actors = self.actors();
        for actor in actors {
            actor.over.store(true, Ordering::Relaxed);
        }
        let (mut moves, mut rounds) = (0, 0);
        for actor in actors {
            moves += task(actor).se.nr_migrations.get();
            rounds += actor.rounds.load(Ordering::Relaxed);
            if kthread_stop(task(actor)) != 0 {
                fail(format_args!("{}: a thread failed", self.name));
            }
            actor.task.set(None);
        }
        let us = (sched_clock() - self.started) / 1000;
        let (name, len) = (self.name, self.len);
        pr_info!("balance: {name}: {len} threads, {rounds} rounds, {moves} moves in {us} us");
    }
}

fn task(actor: &Actor) -> TaskRef {
    actor.task.get().expect("an actor without a thread")
}

fn allow(actor: &Actor, mask: Cpumask) {
    let ret = set_cpus_allowed_ptr(task(actor), &mask);
    if ret != 0 {
        fail(format_args!("a mask was refused: error {ret}"));
    }
}

/// Computes until the scene is over.
extern "C" fn hog(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    while !actor.over.load(Ordering::Relaxed) {
        compute(200, actor.rounds.load(Ordering::Relaxed));
        actor.rounds.fetch_add(1, Ordering::Relaxed);
        let here = task_cpu(task(actor));
        if !actor.bound.get().test(here) {
            fail(format_args!("a bound hog runs on cpu{here}"));
        }
    }
    wait_for_stop()
}

/// Computes for a while, and then no more.
extern "C" fn runner(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    // Each another length, so that CPUs fall idle one after the other.
    let turns = 400 + 300 * (task(actor).pid.get() as u64 % 5);
    for turn in 0..turns {
        compute(200, turn);
        actor.rounds.fetch_add(1, Ordering::Relaxed);
        if actor.over.load(Ordering::Relaxed) {
            break;
        }
    }
    wait_for_stop()
}

/// Sleeps and computes by turns.
extern "C" fn sleeper(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    while !actor.over.load(Ordering::Relaxed) {
        let round = actor.rounds.fetch_add(1, Ordering::Relaxed);
        usleep_range(200 + 50 * (round % 7), 600);
        compute(400, round);
    }
    wait_for_stop()
}

/// May go anywhere from now on, and execs.
extern "C" fn execer(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    allow(actor, cpu_active_mask());
    sched_exec();
    compute(2000, 1);
    actor.rounds.fetch_add(1, Ordering::Relaxed);
    wait_for_stop()
}

/// Runs it, as pid 1.
pub fn run() {
    let cpus = u64::from(num_active_cpus());
    let per_cpu = workload_param("balance.hogs", 2, 1..=3);
    let rounds = workload_param("balance.rounds", 4, 1..=1000);
    let ms = workload_param("balance.ms", 60, 1..=10_000);
    pr_info!("balance: {cpus} CPUs, {per_cpu} hogs a CPU, {rounds} rounds of {ms} ms");
    // The boot's threads of high weight leave load behind that halves every 32 ms; until it is gone CPU 0
    // looks like the busiest one to every balance.
    msleep(SETTLE_MS);
    spread(cpus, per_cpu, ms);
    finish(cpus);
    wake(cpus, ms);
    if cpus > 1 {
        uneven(cpus, ms);
        for _ in 0..rounds {
            push(cpus, ms);
            exec();
            numa();
        }
    }
    pr_info!("balance: all scenes as they should be");
}

/// Hogs on one CPU are let go.
fn spread(cpus: u64, per_cpu: u64, ms: u64) {
    let mut scene = Scene::open("spread");
    for _ in 0..cpus * per_cpu {
        scene.enter(hog, Cpumask::of(nth_cpu(0)));
    }
    scene.begin();
    // The others have gone to sleep meanwhile.
    msleep(ms / 4);
    for actor in scene.actors() {
        allow(actor, cpu_active_mask());
    }
    // CPUs of unlike capacity have unlike numbers.
    let bad = |(fewest, most): (usize, usize)| {
        fewest == 0 || most as u64 > per_cpu + 1 && !sched_asym_cpucap_active()
    };
    let (fewest, most) = settle(&scene, cpus, ms, bad);
    if bad((fewest, most)) {
        fail(format_args!(
            "spread: a CPU has {fewest} hogs and another {most}"
        ));
    }
    show_tasks();
    scene.end();
}

/// Lets a scene go on for its time, and for longer while the fewest and the most hogs of a CPU are `bad`: a busy
/// CPU balances seldom, at 16 times the domain's interval, which may be 2 ms for each of its CPUs.
fn settle(
    scene: &Scene,
    cpus: u64,
    ms: u64,
    bad: impl Fn((usize, usize)) -> bool,
) -> (usize, usize) {
    let patience = (4 * ms).max(64 * cpus);
    let mut waited = 0;
    loop {
        msleep(ms);
        waited += ms;
        let extremes = scene.extremes();
        if !bad(extremes) || waited >= patience {
            return extremes;
        }
    }
}

/// Threads that come to an end one by one: whoever falls idle takes from the others.
fn finish(cpus: u64) {
    let mut scene = Scene::open("finish");
    for _ in 0..3 * cpus {
        scene.enter(runner, cpu_active_mask());
    }
    scene.begin();
    for _ in 0..200 {
        msleep(4);
        let mut actors = scene.actors().iter();
        if actors.all(|actor| task(actor).on_rq.get() == 0) {
            break;
        }
    }
    scene.end();
}

/// Sleepers are woken beside hogs.
fn wake(cpus: u64, ms: u64) {
    let mut scene = Scene::open("wake");
    for _ in 0..cpus.div_ceil(2) {
        scene.enter(hog, cpu_active_mask());
    }
    for _ in 0..2 * cpus {
        scene.enter(sleeper, cpu_active_mask());
    }
    scene.begin();
    msleep(ms);
    scene.end();
}

/// Every CPU has a hog, the first one three.
fn uneven(cpus: u64, ms: u64) {
    let mut scene = Scene::open("uneven");
    for n in [0, 0].into_iter().chain(0..cpus) {
        scene.enter(hog, Cpumask::of(nth_cpu(n)));
    }
    scene.begin();
    msleep(4);
    for actor in scene.actors() {
        allow(actor, cpu_active_mask());
    }
    let (_, most) = settle(&scene, cpus, ms, |(_, most)| most > 2);
    if most > 2 && !sched_asym_cpucap_active() {
        fail(format_args!("uneven: a CPU still has {most} hogs"));
    }
    scene.end();
}

/// A hog that may go runs, and one that may not waits: the stopper has to push the first.
fn push(cpus: u64, ms: u64) {
    let cpu = nth_cpu(cpus - 1);
    let others = cpu_active_mask().without(cpu);
    if !others.iter().any(|other| cpus_share_cache(other, cpu)) {
        // Between caches load is moved and not a number of tasks, and for load nobody is pushed.
        return;
    }
    let mut scene = Scene::open("push");
    let home = Cpumask::of(cpu);
    let bound = scene.enter(hog, home);
    bound.bound.set(home);
    if sched_setscheduler_nocheck(task(bound), SCHED_IDLE, &SchedParam::default()) != 0 {
        fail(format_args!("no policy SCHED_IDLE for a hog"));
    }
    let free = scene.enter(hog, home);
    scene.begin();
    msleep(4);
    allow(free, cpu_active_mask());
    let limit = sched_clock() + 1_000_000 * 4 * ms;
    while home.test(task_cpu(task(free))) {
        if sched_clock() > limit {
            fail(format_args!("push: a hog waits beside idle CPUs"));
        }
        // Seldom and not with the tick: a CPU that wakes up for us then is not idle when it is looked for.
        usleep_range(20_500, 21_000);
    }
    scene.end();
}

/// A task beside a hog execs.
fn exec() {
    let mut scene = Scene::open("exec");
    let home = Cpumask::of(nth_cpu(0));
    scene.enter(hog, home).bound.set(home);
    let execer = scene.enter(execer, home);
    scene.begin();
    // Not at once: the CPU that waits for it is one that it could go to.
    while execer.rounds.load(Ordering::Relaxed) == 0 {
        usleep_range(2_500, 3_000);
    }
    scene.end();
}

/// Hogs are moved, and exchanged.
fn numa() {
    let mut scene = Scene::open("numa");
    let (a, b) = (nth_cpu(0), nth_cpu(1));
    let pair = Cpumask::of(a).with(b);
    let first = task(scene.enter(hog, Cpumask::of(a)));
    let second = task(scene.enter(hog, Cpumask::of(b)));
    // Beside a hog that stays, so that a move does not leave a CPU idle, which would take it back.
    for home in [Cpumask::of(a), Cpumask::of(b)] {
        scene.enter(hog, home).bound.set(home);
    }
    scene.begin();
    usleep_range(300, 400);
    for actor in &scene.actors()[..2] {
        allow(actor, pair);
    }
    let (at, other) = (task_cpu(first), task_cpu(second));
    let swapped = migrate_swap(first, second, other, at);
    // A balance may have been faster.
    if swapped != 0 && swapped != -EAGAIN && !(swapped == -EINVAL && at == other) {
        fail(format_args!("numa: an exchange failed: error {swapped}"));
    }
    usleep_range(300, 400);
    let target = if task_cpu(first) == a { b } else { a };
    let moved = migrate_task_to(first, target);
    if moved != 0 {
        fail(format_args!("numa: a move failed: error {moved}"));
    }
    usleep_range(300, 400);
    let refused = migrate_task_to(first, NR_CPUS as u32);
    if refused != -EINVAL {
        fail(format_args!("numa: a move to nowhere gave {refused}"));
    }
    scene.end();
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("balance: {why}"))
}
