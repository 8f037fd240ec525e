//! The workload `affinity`: tasks whose CPU masks rotate while they run, wait and sleep.
//!
//! - *hogs* compute without a break; *movers* on other CPUs rotate their masks, so that a hog is moved while
//!   it runs (through the stopper) or while it waits in a queue (directly);
//! - *roamers* move themselves; *sleepers* are woken by *wakers*, which change their masks while they
//!   sleep; *yielders* give way; some are nicer than others;
//! - *keepers*, one a CPU, run when nothing else does, so that no CPU looks for work elsewhere;
//! - a *pinner* forbids its migration for a while, again and again, and *shifters* change its mask meanwhile:
//!   they share one wait, which ends when it may migrate again;
//! - now and then a mover asks the stoppers for something else, or queues a work.
//!
//! At the end the workload compares its own counts with the kernel's and panics if they differ.
//! Parameters: `affinity.hogs=` (default: one a CPU, at least 2), `affinity.moves=` (moves of running tasks
//! to wait for; 0: none), `affinity.insns=` (least work of all CPUs together, in ns at one instruction a
//! ns), `affinity.limit_ms=` (a run that is not done by then has gone wrong; 0: no limit).

use crate::arch::x86::include::asm::current::current;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, NR_CPUS, cpu_online_mask, num_online_cpus};
use crate::include::linux::errno::EAGAIN;
use crate::include::linux::kthread::{kthread_run, kthread_stop};
use crate::include::linux::sched::{SCHED_IDLE, TaskRef, task_cpu};
use crate::include::linux::stop_machine::{
    CpuStopWork, stop_machine, stop_one_cpu, stop_one_cpu_nowait, stop_two_cpus, try_stop_cpus,
};
use crate::include::linux::wait::WaitQueueHead;
use crate::include::linux::workqueue::{
    WORK_CPU_UNBOUND, WorkStruct, queue_work_on, schedule_work_on, system_unbound_wq,
};
use crate::kernel::kreplay::common::{compute, next_cpu, nth_cpu, wait_for_stop};
use crate::kernel::kreplay::counters::{count, kreplay_counters};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::core::{
    SchedParam, migrate_disable, migrate_enable, sched_setscheduler_nocheck, set_cpus_allowed_ptr,
    set_user_nice, r#yield,
};
use crate::kernel::sched::sched::cpu_rq;
use crate::kernel::sched::wait::{wait_event, wake_up};
use crate::kernel::stop_machine::stop_cpus;
use crate::kernel::time::timer::sleep::{msleep, usleep_range};
use crate::pr_info;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const MAX_HOGS: usize = NR_CPUS;
const MAX_THREADS: usize = MAX_HOGS + NR_CPUS + 48;
/// Moves of running tasks, unless told otherwise.
const DEFAULT_MOVES: u64 = 1_200;
/// Work of all CPUs together, unless told otherwise.
const DEFAULT_INSNS: u64 = 200_000_000;
/// How many times longer than it asks for a thread rests: what is left to the hogs decides how dense
/// the scheduler's events are among the instructions.
const PACE: u64 = 8;
/// Rounds of about two microseconds after which a hog gives way.
const HOG_YIELDS: u64 = 128;
/// A run that has not got there by then has gone wrong, unless told otherwise.
const DEFAULT_LIMIT_MS: u64 = 5_000;

/// What one thread of the workload has been given and has done.
struct Actor {
    index: Shared<u64>,
    rounds: AtomicU64,
    task: Shared<Option<TaskRef>>,
}

static ACTORS: [Actor; MAX_THREADS] = [const {
    Actor {
        index: Shared::new(0),
        rounds: AtomicU64::new(0),
        task: Shared::new(None),
    }
}; MAX_THREADS];
static HOGS: [Shared<Option<&'static Actor>>; MAX_HOGS] = [const { Shared::new(None) }; MAX_HOGS];
static nr_hogs: Shared<u64> = Shared::new(0);
/// Everybody shall come to an end.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// A sleeper and its waker meet here.
struct Meeting {
    queue: WaitQueueHead,
    round: AtomicU64,
    seen: AtomicU64,
    sleeper: Shared<Option<TaskRef>>,
}

const MAX_MEETINGS: usize = 8;
static MEETINGS: [Meeting; MAX_MEETINGS] = [const {
    Meeting {
        queue: WaitQueueHead::new(),
        round: AtomicU64::new(0),
        seen: AtomicU64::new(0),
        sleeper: Shared::new(None),
    }
}; MAX_MEETINGS];

/// The workload's own counts, to be compared with the kernel's.
struct Counts {
    /// Affinity changes asked for, and refused.
    asked: AtomicU64,
    refused: AtomicU64,
    /// Requests to stoppers, functions that ran for them, refusals with -EAGAIN.
    stops: AtomicU64,
    stopped: AtomicU64,
    expected_stopped: AtomicU64,
    again: AtomicU64,
    /// Works queued and executed.
    works: AtomicU64,
    executed: AtomicU64,
}

static COUNTS: Counts = Counts {
    asked: AtomicU64::new(0),
    refused: AtomicU64::new(0),
    stops: AtomicU64::new(0),
    stopped: AtomicU64::new(0),
    expected_stopped: AtomicU64::new(0),
    again: AtomicU64::new(0),
    works: AtomicU64::new(0),
    executed: AtomicU64::new(0),
};

/// Runs it, as pid 1.
pub fn run() {
    let cpus = u64::from(num_online_cpus());
    let moves = workload_param("affinity.moves", DEFAULT_MOVES, 0..=1_000_000_000);
    // A run of fewer moves is as much shorter, unless told otherwise.
    let least = DEFAULT_INSNS * moves.min(DEFAULT_MOVES) / DEFAULT_MOVES;
    let insns = workload_param("affinity.insns", least, 0..=1_000_000_000_000);
    let hogs = workload_param("affinity.hogs", cpus.max(2), 1..=MAX_HOGS as u64);
    let limit = match workload_param("affinity.limit_ms", DEFAULT_LIMIT_MS, 0..=1_000_000_000) {
        0 => u64::MAX,
        ms => ms * 1_000_000,
    };
    pr_info!("affinity: {hogs} hogs on {cpus} CPUs, {moves} moves of running tasks");

    let mut cast = Cast { len: 0 };
    let start = sched_clock();
    let before = kreplay_counters.stopper_moves.load(Ordering::Relaxed);
    cast.hire_all(cpus, hogs);
    loop {
        usleep_range(500, 1000);
        let moved = kreplay_counters.stopper_moves.load(Ordering::Relaxed) - before;
        let elapsed = sched_clock() - start;
        let enough = elapsed * cpus >= insns && (cpus == 1 || moved >= moves);
        if enough && cast.have_all_worked() {
            break;
        }
        if elapsed > limit {
            fail(format_args!(
                "only {moved} of {moves} moves after {elapsed} ns"
            ));
        }
    }
    STOPPING.store(true, Ordering::Relaxed);
    show_tasks();
    cast.dismiss();
    let elapsed = sched_clock() - start;
    drain_works();
    report(cpus, elapsed);
}

/// The threads of the workload, in the order they were made.
struct Cast {
    len: usize,
}

impl Cast {
    fn hire_all(&mut self, cpus: u64, hogs: u64) {
        nr_hogs.set(hogs);
        for index in 0..hogs {
            let hog = self.hire("hog", index, hog, 0);
            // Background work: whoever wakes up preempts it at once, not at the next tick.
            if let Some(task) = hog.task.get()
                && sched_setscheduler_nocheck(task, SCHED_IDLE, &SchedParam::default()) != 0
            {
                fail(format_args!("hog/{index} cannot have policy SCHED_IDLE"));
            }
            HOGS[index as usize].set(Some(hog));
            let home = nth_cpu(index);
            ask(hog.task.get(), Cpumask::of(home));
        }
        // Every CPU has something to run that stays: a CPU that is about to idle would take the hogs that
        // the stoppers have just come for, and who moves them is what this workload is about.
        for index in 0..cpus {
            let keeper = self.hire("keeper", index, keeper, 0);
            if let Some(task) = keeper.task.get()
                && sched_setscheduler_nocheck(task, SCHED_IDLE, &SchedParam::default()) != 0
            {
                fail(format_args!("keeper/{index} cannot have policy SCHED_IDLE"));
            }
            ask(keeper.task.get(), Cpumask::of(nth_cpu(index)));
        }
        let pairs = (cpus / 2).clamp(1, MAX_MEETINGS as u64);
        for index in 0..pairs {
            let sleeper = self.hire("sleeper", index, sleeper, -5);
            MEETINGS[index as usize].sleeper.set(sleeper.task.get());
            self.hire("waker", index, waker, 0);
        }
        self.hire("yielder", 0, yielder, 5);
        for index in 0..pairs {
            self.hire("roamer", index, roamer, 10);
        }
        let pinner = self.hire("pinner", 0, pinner, 0);
        PINNER.set(pinner.task.get());
        for index in 0..2 {
            self.hire("shifter", index, shifter, 0);
        }
        if cpus > 1 {
            for index in 0..pairs {
                self.hire("mover", index, mover, -10);
            }
        }
    }

    fn hire(
        &mut self,
        name: &str,
        index: u64,
        part: extern "C" fn(VoidPtr) -> i32,
        nice: i32,
    ) -> &'static Actor {
        let actor = &ACTORS[self.len];
        self.len += 1;
        actor.index.set(index);
        match kthread_run(part, VoidPtr::new(actor), format_args!("{name}/{index}")) {
            Ok(task) => {
                set_user_nice(task, nice);
                actor.task.set(Some(task));
            }
            Err(error) => fail(format_args!("no thread {name}/{index}: error {error}")),
        }
        actor
    }

    /// Ends all, the last hired first: movers before the hogs they move.
    fn dismiss(&self) {
        for actor in ACTORS[..self.len].iter().rev() {
            let Some(task) = actor.task.get() else {
                continue;
            };
            let ret = kthread_stop(task);
            if ret != 0 {
                fail(format_args!("a thread returned {ret}"));
            }
        }
    }

    fn have_all_worked(&self) -> bool {
        ACTORS[..self.len]
            .iter()
            .all(|actor| actor.rounds.load(Ordering::Relaxed) != 0)
    }
}

/// Asks for a mask and keeps count.
fn ask(task: Option<TaskRef>, mask: Cpumask) {
    let Some(task) = task else { return };
    count(&COUNTS.asked);
    if set_cpus_allowed_ptr(task, &mask) != 0 {
        count(&COUNTS.refused);
    }
}

/// Sleeps between two acts.
fn rest(min_us: u64, max_us: u64) {
    usleep_range(PACE * min_us, PACE * max_us);
}

extern "C" fn hog(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let index = actor.index.get();
    let mut round = 0u64;
    while !STOPPING.load(Ordering::Relaxed) {
        compute(200, index);
        count(&actor.rounds);
        round += 1;
        // Most give way now and then; every fourth one only at the tick, if it must.
        if index % 4 != 3 && round.is_multiple_of(HOG_YIELDS) {
            r#yield();
        }
    }
    wait_for_stop()
}

/// Computes, and gives way all the time.
extern "C" fn keeper(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    while !STOPPING.load(Ordering::Relaxed) {
        compute(200, actor.index.get());
        count(&actor.rounds);
        r#yield();
    }
    wait_for_stop()
}

extern "C" fn roamer(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let mut round = 0;
    while !STOPPING.load(Ordering::Relaxed) {
        compute(100, round);
        ask(Some(current()), Cpumask::of(next_cpu(task_cpu(current()))));
        rest(100 + 10 * actor.index.get(), 200);
        round += 1;
        count(&actor.rounds);
    }
    wait_for_stop()
}

extern "C" fn yielder(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    while !STOPPING.load(Ordering::Relaxed) {
        compute(50, actor.index.get());
        r#yield();
        rest(150, 300);
        count(&actor.rounds);
    }
    wait_for_stop()
}

extern "C" fn sleeper(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let meeting = &MEETINGS[actor.index.get() as usize];
    loop {
        let seen = meeting.seen.load(Ordering::Acquire);
        wait_event(&meeting.queue, || {
            meeting.round.load(Ordering::Acquire) != seen || STOPPING.load(Ordering::Relaxed)
        });
        if STOPPING.load(Ordering::Relaxed) {
            return wait_for_stop();
        }
        compute(80, seen);
        meeting.seen.store(seen + 1, Ordering::Release);
        count(&actor.rounds);
    }
}

extern "C" fn waker(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let meeting = &MEETINGS[actor.index.get() as usize];
    let mut round = 0u64;
    while !STOPPING.load(Ordering::Relaxed) {
        rest(60, 120);
        let awake = meeting.seen.load(Ordering::Acquire) != meeting.round.load(Ordering::Acquire);
        if awake {
            continue;
        }
        if round.is_multiple_of(2) {
            // Asleep: only the mask changes, and the wake-up below takes it there.
            ask(meeting.sleeper.get(), Cpumask::of(nth_cpu(round / 2)));
        }
        round += 1;
        meeting.round.store(round, Ordering::Release);
        wake_up(&meeting.queue);
        count(&actor.rounds);
    }
    wait_for_stop()
}

static PINNER: Shared<Option<TaskRef>> = Shared::new(None);

extern "C" fn pinner(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let mut round = 0;
    while !STOPPING.load(Ordering::Relaxed) {
        migrate_disable();
        let here = task_cpu(current());
        compute(300, round);
        if round.is_multiple_of(2) {
            // Asleep, and still not to be moved.
            rest(20, 40);
        }
        if task_cpu(current()) != here {
            fail(format_args!(
                "a task moved from cpu{here} with its migration disabled"
            ));
        }
        migrate_enable();
        rest(40, 80);
        round += 1;
        count(&actor.rounds);
    }
    wait_for_stop()
}

extern "C" fn shifter(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    while !STOPPING.load(Ordering::Relaxed) {
        if let Some(task) = PINNER.get() {
            ask(Some(task), Cpumask::of(next_cpu(task_cpu(task))));
        }
        rest(150 + 40 * actor.index.get(), 300);
        count(&actor.rounds);
    }
    wait_for_stop()
}

/// Rotates the hogs' masks, one after the other, each to the CPU after its own.
extern "C" fn mover(data: VoidPtr) -> i32 {
    let actor = data.get::<Actor>();
    let index = actor.index.get();
    let mut round = index;
    while !STOPPING.load(Ordering::Relaxed) {
        let victim = HOGS[(round % nr_hogs.get()) as usize]
            .get()
            .and_then(|hog| hog.task.get());
        if let Some(victim) = victim {
            let next = next_cpu(task_cpu(victim));
            let mask = match round % 8 {
                // Two to choose from.
                5 => Cpumask::of(next).with(next_cpu(next)),
                _ => Cpumask::of(next),
            };
            ask(Some(victim), mask);
        }
        round += 1;
        if round % 16 == index {
            ask_stoppers(round / 16 + index);
        }
        if round % 8 == index {
            queue_works(round);
        }
        if round.is_multiple_of(4) {
            rest(5, 10);
        }
        count(&actor.rounds);
    }
    wait_for_stop()
}

/// What the stoppers run for us.
extern "C" fn stopped(data: VoidPtr) -> i32 {
    count(data.get::<AtomicU64>());
    0
}

/// As `stopped`, and the buffer of a request that nobody waits for is free again.
extern "C" fn stopped_nowait(data: VoidPtr) -> i32 {
    data.get::<NowaitBuffer>()
        .busy
        .store(false, Ordering::Release);
    count(&COUNTS.stopped);
    0
}

struct NowaitBuffer {
    busy: AtomicBool,
    work: CpuStopWork,
}

static NOWAIT: PerCpu<NowaitBuffer> = PerCpu::new(
    [const {
        NowaitBuffer {
            busy: AtomicBool::new(false),
            work: CpuStopWork::new(),
        }
    }; NR_CPUS],
);

/// One request to the stoppers, each time of another kind.
fn ask_stoppers(kind: u64) {
    let online = cpu_online_mask();
    let cpu = nth_cpu(kind);
    let arg = VoidPtr::new(&COUNTS.stopped);
    count(&COUNTS.stops);
    let (ret, runs) = match kind % 6 {
        0 => (stop_one_cpu(cpu, stopped, arg), 1),
        1 => {
            let buffer = NOWAIT.per_cpu(cpu);
            if buffer.busy.swap(true, Ordering::AcqRel) {
                return;
            }
            let queued =
                stop_one_cpu_nowait(cpu, stopped_nowait, VoidPtr::new(buffer), &buffer.work);
            (if queued { 0 } else { -1 }, 1)
        }
        2 => (stop_cpus(&online, stopped, arg), u64::from(online.weight())),
        3 => match try_stop_cpus(&online, stopped, arg) {
            ret if ret == -EAGAIN => {
                count(&COUNTS.again);
                return;
            }
            ret => (ret, u64::from(online.weight())),
        },
        4 => (stop_two_cpus(cpu, next_cpu(cpu), stopped, arg), 1),
        _ => (stop_machine(stopped, arg, None), 1),
    };
    if ret != 0 {
        fail(format_args!(
            "stopper request of kind {} returned {ret}",
            kind % 6
        ));
    }
    COUNTS.expected_stopped.fetch_add(runs, Ordering::Relaxed);
}

static WORKS: PerCpu<WorkStruct> = PerCpu::new([const { WorkStruct::new(executed) }; NR_CPUS]);
static UNBOUND_WORK: WorkStruct = WorkStruct::new(executed_asleep);

fn executed(_work: &'static WorkStruct) {
    compute(60, 1);
    count(&COUNTS.executed);
}

/// A work that sleeps: its pool may run another one meanwhile.
fn executed_asleep(_work: &'static WorkStruct) {
    usleep_range(20, 40);
    count(&COUNTS.executed);
}

fn queue_works(round: u64) {
    let cpu = nth_cpu(round / 8);
    if schedule_work_on(cpu, WORKS.per_cpu(cpu)) {
        count(&COUNTS.works);
    }
    if round % 32 < 8 && queue_work_on(WORK_CPU_UNBOUND, &system_unbound_wq, &UNBOUND_WORK) {
        count(&COUNTS.works);
    }
}

/// Waits until every queued work has been executed and every stopper is done.
fn drain_works() {
    // The last threads have said that they end; let them come to it.
    usleep_range(100, 200);
    for _ in 0..100 {
        let works = COUNTS.works.load(Ordering::Relaxed) == COUNTS.executed.load(Ordering::Relaxed);
        let stops = kreplay_counters.stop_works_done.load(Ordering::Relaxed)
            == kreplay_counters.stop_works_queued.load(Ordering::Relaxed);
        if works && stops {
            return;
        }
        msleep(1);
    }
    fail(format_args!("works are still outstanding"));
}

fn report(cpus: u64, elapsed: u64) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let k = &kreplay_counters;
    let switches = cpu_online_mask()
        .iter()
        .map(|cpu| cpu_rq(cpu).nr_switches.get())
        .sum();
    k.nr_switches.store(switches, Ordering::Relaxed);
    pr_info!(
        "affinity: {} moves by stoppers, {} changes: {} running, {} queued, {} asleep, {} in place",
        get(&k.stopper_moves),
        get(&k.affinity_changes),
        get(&k.affinity_running),
        get(&k.affinity_queued),
        get(&k.affinity_sleeping),
        get(&k.affinity_stayed)
    );
    pr_info!(
        "affinity: {} stopper requests, {} functions run, {} times -EAGAIN; {} works executed",
        get(&COUNTS.stops),
        get(&COUNTS.stopped),
        get(&COUNTS.again),
        get(&COUNTS.executed)
    );
    pr_info!(
        "affinity: {switches} switches, {} us on {cpus} CPUs",
        elapsed / 1000
    );

    check_counts();
    pr_info!("affinity: done, all counts agree");
}

/// Panics if the kernel and the workload do not agree.
fn check_counts() {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let k = &kreplay_counters;
    let parts = get(&k.affinity_running)
        + get(&k.affinity_queued)
        + get(&k.affinity_sleeping)
        + get(&k.affinity_stayed);
    let checks = [
        ("no change was refused", get(&COUNTS.refused), 0),
        ("changes = their parts", get(&k.affinity_changes), parts),
        (
            "stopper functions asked for = run",
            get(&COUNTS.expected_stopped),
            get(&COUNTS.stopped),
        ),
        (
            "works queued = executed",
            get(&COUNTS.works),
            get(&COUNTS.executed),
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
    ];
    for (what, left, right) in checks {
        if left != right {
            fail(format_args!("{what}: {left} is not {right}"));
        }
    }
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("affinity: {why}"))
}
