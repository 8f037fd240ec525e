//! The part of the workload `rt` for two and more CPUs: real-time tasks pushed and pulled between CPUs.
//!
//! Runners compute until they are told to stop and note where they are. The director (pid 1, CPU 0, above all
//! runners) sets up who runs and who waits on CPUs 0 and 1, makes room on one of them, and looks after a
//! moment who runs where: always the most important ones that may. A wrong place is a panic.

use super::{change, fail};
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, NR_CPUS};
use crate::include::linux::kthread::{kthread_create, kthread_stop};
use crate::include::linux::sched::{SCHED_FIFO, TaskRef};
use crate::kernel::kreplay::common::{compute, wait_for_stop};
use crate::kernel::sched::core::{
    migrate_disable, migrate_enable, set_cpus_allowed_ptr, wake_up_process,
};
use crate::kernel::sched::features::{SchedFeat, sched_feat, sched_feat_set};
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A task that computes.
struct Runner {
    name: char,
    /// It may not migrate while it runs.
    stays: AtomicBool,
    /// It sleeps once more before it computes, us: so it wakes where it is, and not by the director, who
    /// would occupy a CPU.
    sleeps: Shared<u64>,
    stop: AtomicBool,
    /// Turns so far, on each CPU.
    turns: PerCpu<AtomicU64>,
    task: Shared<Option<TaskRef>>,
}

impl Runner {
    const fn new(name: char) -> Runner {
        Runner {
            name,
            stays: AtomicBool::new(false),
            sleeps: Shared::new(0),
            stop: AtomicBool::new(false),
            turns: PerCpu::new([const { AtomicU64::new(0) }; NR_CPUS]),
            task: Shared::new(None),
        }
    }

    /// A runner, asleep, on one CPU so far.
    fn enter(&'static self, priority: u32, cpu: u32) {
        self.stop.store(false, Ordering::Relaxed);
        let task = match kthread_create(
            runner,
            VoidPtr::new(self),
            format_args!("runner/{}", self.name),
        ) {
            Ok(task) => task,
            Err(error) => fail(format_args!("no runner {}: {error}", self.name)),
        };
        self.task.set(Some(task));
        self.allow(Cpumask::of(cpu));
        change(task, SCHED_FIFO, priority);
    }

    fn task(&self) -> TaskRef {
        match self.task.get() {
            Some(task) => task,
            None => fail(format_args!("{} has not entered", self.name)),
        }
    }

    fn allow(&self, mask: Cpumask) {
        if set_cpus_allowed_ptr(self.task(), &mask) != 0 {
            fail(format_args!("{} cannot be bound", self.name));
        }
    }

    /// Lets it run, and gives it the time to begin.
    fn begin(&self) {
        wake_up_process(self.task());
        usleep_range(500, 500);
    }

    fn dismiss(&self) {
        kthread_stop(self.task());
        self.stays.store(false, Ordering::Relaxed);
        self.sleeps.set(0);
    }

    fn turns_on(&self) -> [u64; NR_CPUS] {
        core::array::from_fn(|cpu| self.turns.per_cpu(cpu as u32).load(Ordering::Relaxed))
    }
}

/// Looks for a moment where the runners run; None: they wait.
///
/// When the director wakes up, whoever runs on its CPU makes room and may be pushed elsewhere; so all are
/// watched in one sleep, and the place is where a runner was most of the time.
fn watch<const N: usize>(what: &str, right: [(&'static Runner, Option<u32>); N]) {
    let before = right.map(|(runner, _)| runner.turns_on());
    usleep_range(1000, 1000);
    for ((runner, right), before) in right.iter().zip(before) {
        let after = runner.turns_on();
        let turns = |cpu: &usize| after[*cpu] - before[*cpu];
        let most = (0..NR_CPUS).max_by_key(turns).unwrap_or(0);
        let found = (turns(&most) > FEW).then_some(most as u32);
        if found != *right {
            let name = runner.name;
            fail(format_args!(
                "{what}: {name} runs on {found:?}, not on {right:?}"
            ));
        }
    }
}

extern "C" fn runner(data: VoidPtr) -> i32 {
    let me = data.get::<Runner>();
    let stays = me.stays.load(Ordering::Relaxed);
    if me.sleeps.get() != 0 {
        usleep_range(me.sleeps.get(), me.sleeps.get());
    }
    if stays {
        migrate_disable();
    }
    while !me.stop.load(Ordering::Acquire) {
        let turns = me.turns.this_cpu().fetch_add(1, Ordering::Relaxed);
        compute(100, turns);
    }
    if stays {
        migrate_enable();
    }
    wait_for_stop()
}

static LOW: Runner = Runner::new('L');
static MIDDLE: Runner = Runner::new('M');
static HIGH: Runner = Runner::new('H');

/// Turns in a moment that does not count: a push or the director's looking around takes microseconds.
const FEW: u64 = 200;
const BOTH: Cpumask = Cpumask::from_bits(3);

/// All scenes. There are at least two active CPUs.
pub(super) fn run() {
    pushed_by_preemption();
    pushed_by_an_equal();
    woken_elsewhere();
    for push_ipi in [true, false] {
        let was = sched_feat(SchedFeat::RT_PUSH_IPI);
        sched_feat_set(SchedFeat::RT_PUSH_IPI, push_ipi);
        pulled_when_one_ends(push_ipi);
        pulled_when_one_is_lowered(push_ipi);
        pushed_by_the_stopper(push_ipi);
        sched_feat_set(SchedFeat::RT_PUSH_IPI, was);
    }
}

/// M comes to CPU 1, where L runs: L goes on elsewhere.
fn pushed_by_preemption() {
    let what = "a preempted task is pushed";
    LOW.enter(10, 1);
    MIDDLE.enter(20, 1);
    LOW.begin();
    LOW.allow(BOTH);
    watch(what, [(&LOW, Some(1))]);
    MIDDLE.begin();
    watch(what, [(&MIDDLE, Some(1)), (&LOW, Some(0))]);
    dismiss(what, &[&LOW, &MIDDLE]);
}

/// M comes to CPU 1, where L of the same priority runs. M can run nowhere else, and L can.
fn pushed_by_an_equal() {
    let what = "an equal that can move makes room";
    LOW.enter(20, 1);
    MIDDLE.enter(20, 1);
    MIDDLE.sleeps.set(2000);
    MIDDLE.begin();
    LOW.begin();
    LOW.allow(BOTH);
    watch(what, [(&LOW, Some(1))]);
    usleep_range(1000, 1000);
    watch(what, [(&MIDDLE, Some(1)), (&LOW, Some(0))]);
    dismiss(what, &[&LOW, &MIDDLE]);
}

/// L wakes where H runs that cannot move: it starts elsewhere.
fn woken_elsewhere() {
    let what = "a task does not wake where it would wait";
    LOW.enter(10, 1);
    HIGH.enter(30, 1);
    LOW.sleeps.set(2000);
    LOW.begin();
    HIGH.begin();
    LOW.allow(BOTH);
    usleep_range(2000, 2000);
    watch(what, [(&HIGH, Some(1)), (&LOW, Some(0))]);
    dismiss(what, &[&LOW, &HIGH]);
}

/// H runs on CPU 0, M on CPU 1, and L waits behind M although it could run on CPU 0.
fn crowd(what: &str) {
    LOW.enter(10, 1);
    MIDDLE.enter(20, 1);
    HIGH.enter(30, 0);
    LOW.begin();
    HIGH.begin();
    LOW.allow(BOTH);
    MIDDLE.begin();
    watch(what, [(&HIGH, Some(0)), (&MIDDLE, Some(1)), (&LOW, None)]);
}

fn pulled_when_one_ends(push_ipi: bool) {
    let what = "a CPU that becomes free pulls";
    crowd(what);
    HIGH.stop.store(true, Ordering::Release);
    watch(what, [(&LOW, Some(0)), (&MIDDLE, Some(1))]);
    done(what, push_ipi, &[&LOW, &MIDDLE, &HIGH]);
}

fn pulled_when_one_is_lowered(push_ipi: bool) {
    let what = "a CPU whose task is lowered pulls";
    crowd(what);
    change(HIGH.task(), SCHED_FIFO, 5);
    watch(what, [(&LOW, Some(0)), (&MIDDLE, Some(1)), (&HIGH, None)]);
    done(what, push_ipi, &[&LOW, &MIDDLE, &HIGH]);
}

/// L cannot be pulled because it must not migrate; so M, which runs where L waits, goes.
fn pushed_by_the_stopper(push_ipi: bool) {
    let what = "the running task goes if the waiting one cannot";
    LOW.stays.store(true, Ordering::Relaxed);
    crowd(what);
    MIDDLE.allow(BOTH);
    HIGH.stop.store(true, Ordering::Release);
    watch(what, [(&MIDDLE, Some(0)), (&LOW, Some(1))]);
    done(what, push_ipi, &[&LOW, &MIDDLE, &HIGH]);
}

fn done(what: &str, push_ipi: bool, runners: &[&'static Runner]) {
    dismiss_all(runners);
    let how = if push_ipi { "by IPI" } else { "by lock" };
    pr_info!("rt: {what} ({how})");
}

fn dismiss(what: &str, runners: &[&'static Runner]) {
    dismiss_all(runners);
    pr_info!("rt: {what}");
}

/// All are told before one is waited for: it may wait for another's CPU.
fn dismiss_all(runners: &[&'static Runner]) {
    for runner in runners {
        runner.stop.store(true, Ordering::Release);
    }
    for runner in runners {
        runner.dismiss();
    }
}
