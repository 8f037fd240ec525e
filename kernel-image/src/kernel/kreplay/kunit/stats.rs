//! Tests of the scheduler's statistics, switched on for the time of a case: what a wake-up counts, by where it was
//! made and where the task came to; what a sleep and a wait count.

use super::{Subject, two_cpus, until};
use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpumask::{Cpumask, cpu_online_mask, cpu_possible_mask};
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};
use crate::include::linux::jiffies::TICK_NSEC;
use crate::include::linux::kthread::kthread_stop;
use crate::include::linux::ktime::{NSEC_PER_MSEC, NSEC_PER_USEC};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::sched::topology::{SD_WAKE_AFFINE, SdRef, sched_domain_span};
use crate::include::linux::sched::{
    SCHED_FIFO, TASK_INTERRUPTIBLE, TASK_NORMAL, TASK_RUNNING, TASK_UNINTERRUPTIBLE, TaskRef,
    set_current_state, task_cpu,
};
use crate::include::linux::smp::raw_smp_processor_id;
use crate::kernel::kreplay::fair::{end_group, make_group};
use crate::kernel::sched::core::{
    SchedParam, sched_move_task, sched_setscheduler_nocheck, set_cpus_allowed_ptr, try_to_wake_up,
    wait_task_inactive, wake_up_process, yield_to,
};
use crate::kernel::sched::sched::{WF_SYNC, cpu_rq, root_task_group};
use crate::kernel::sched::stats::{__schedstats_from_se, schedstat_enabled, set_schedstats};
use crate::kernel::sched::topology::for_each_domain;
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::time::timer::sleep::usleep_range;
use crate::{KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_TRUE, kunit_skip, kunit_test_suite};

/// Statistics are on as long as it lives; it puts them back as they were.
struct WithSchedstats {
    before: bool,
}

impl WithSchedstats {
    fn new(enabled: bool) -> WithSchedstats {
        let before = schedstat_enabled();
        set_schedstats(enabled);
        WithSchedstats { before }
    }
}

impl Drop for WithSchedstats {
    fn drop(&mut self) {
        set_schedstats(self.before);
    }
}

/// What a wake-up may count, in the order of [`count`].
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Counts {
    /// Of the runqueue of the CPU that wakes: all, and those for that CPU.
    rq: [u64; 2],
    /// Of the task: all, sync, migrate, local, remote, affine, and asked whether affine.
    task: [u64; 7],
    /// Of the domains of the CPU that wakes, from the narrowest: wake-ups for another CPU; tasks drawn here.
    remote: [u64; 4],
    affine: [u64; 4],
}

fn counts(cpu: u32, p: TaskRef) -> Counts {
    let mut counts = Counts::default();
    let (rq, stats) = (&cpu_rq(cpu).stats, &p.stats);
    counts.rq = [rq.ttwu_count.get(), rq.ttwu_local.get()];
    counts.task = [
        stats.nr_wakeups.get(),
        stats.nr_wakeups_sync.get(),
        stats.nr_wakeups_migrate.get(),
        stats.nr_wakeups_local.get(),
        stats.nr_wakeups_remote.get(),
        stats.nr_wakeups_affine.get(),
        stats.nr_wakeups_affine_attempts.get(),
    ];
    for (at, sd) in for_each_domain(cpu).enumerate().take(4) {
        counts.remote[at] = sd.ttwu_wake_remote.get();
        counts.affine[at] = sd.ttwu_move_affine.get();
    }
    counts
}

impl Counts {
    /// How far they have moved since.
    fn since(self, before: Counts) -> Counts {
        fn less<const N: usize>(now: [u64; N], before: [u64; N]) -> [u64; N] {
            core::array::from_fn(|at| now[at] - before[at])
        }
        Counts {
            rq: less(self.rq, before.rq),
            task: less(self.task, before.task),
            remote: less(self.remote, before.remote),
            affine: less(self.affine, before.affine),
        }
    }
}

/// Wakes a task from this CPU; what that has counted, and where the task came to. With interrupts off, so that no
/// other wake-up of this CPU is in it.
fn wake_counted(p: TaskRef, wake_flags: i32) -> (Counts, u32) {
    let flags = local_irq_save();
    let here = raw_smp_processor_id();
    let before = counts(here, p);
    try_to_wake_up(p, TASK_NORMAL, wake_flags);
    let moved = (counts(here, p).since(before), task_cpu(p));
    local_irq_restore(flags);
    moved
}

/// What must have been counted: a wake-up by `here`, for `there`.
fn expected(here: u32, there: u32, sync: bool, migrated: bool) -> Counts {
    let (sync, migrated, local) = (sync.into(), migrated.into(), u64::from(here == there));
    let mut counts = Counts {
        rq: [1, local],
        task: [1, sync, migrated, local, 1 - local, 0, 0],
        ..Counts::default()
    };
    if here != there {
        let narrowest = domains(here).position(|sd| sched_domain_span(sd).test(there));
        if let Some(at) = narrowest {
            counts.remote[at] = 1;
        }
    }
    counts
}

fn domains(cpu: u32) -> impl Iterator<Item = SdRef> {
    for_each_domain(cpu).take(4)
}

/// Woken or not, the subject comes to rest.
fn rests(test: &Kunit, task: TaskRef) {
    KUNIT_EXPECT_TRUE!(test, until(|| task.__state.get() == TASK_INTERRUPTIBLE));
    KUNIT_EXPECT_TRUE!(test, wait_task_inactive(task, TASK_INTERRUPTIBLE));
}

/// The subject comes to rest on `cpu`.
fn sleeps_on(test: &Kunit, task: TaskRef, cpu: u32) {
    rests(test, task);
    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &Cpumask::of(cpu)), 0);
    if task_cpu(task) != cpu {
        wake_up_process(task);
        KUNIT_EXPECT_TRUE!(test, until(|| task_cpu(task) == cpu));
        rests(test, task);
    }
}

/// Runs the rest of a case on one CPU; undone by [`anywhere`].
fn stay_on(test: &Kunit, cpu: u32) {
    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(current(), &Cpumask::of(cpu)), 0);
}

fn anywhere(test: &Kunit) {
    let ret = set_cpus_allowed_ptr(current(), &cpu_possible_mask());
    KUNIT_EXPECT_EQ!(test, ret, 0);
}

/// From every CPU to every CPU, of a task that was there, and of one that comes there from the waker's or from the
/// other one: each of the counters moves by one or not at all.
fn ttwu_stat_counts_every_kind(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let _on = WithSchedstats::new(true);
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    for here in cpu_online_mask().iter() {
        stay_on(test, here);
        for there in cpu_online_mask().iter() {
            for wake_flags in [0, WF_SYNC] {
                let sync = wake_flags == WF_SYNC;
                sleeps_on(test, task, there);
                let found = wake_counted(task, wake_flags);
                let right = expected(here, there, sync, false);
                KUNIT_EXPECT_EQ!(test, found, (right, there));
                // It slept elsewhere, and may now be on one CPU only: the wake-up takes it there.
                for (from, to) in [(here, there), (there, here)] {
                    if from == to {
                        continue;
                    }
                    sleeps_on(test, task, from);
                    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &Cpumask::of(to)), 0);
                    let found = wake_counted(task, wake_flags);
                    let right = expected(here, to, sync, true);
                    KUNIT_EXPECT_EQ!(test, found, (right, to));
                }
            }
        }
    }
    anywhere(test);
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// A task that may run here as well as where it was: that the wake-up asks which is better, and what came of it.
fn affine_wakeups_are_counted(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let online = cpu_online_mask();
    if online.weight() < 2 {
        kunit_skip!(test, "one CPU only");
    }
    let _on = WithSchedstats::new(true);
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    let here = online.first();
    stay_on(test, here);
    for there in online.iter().filter(|&cpu| cpu != here) {
        sleeps_on(test, task, there);
        KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &online), 0);
        let (found, _) = wake_counted(task, WF_SYNC);
        let [.., affine, attempts] = found.task;
        KUNIT_EXPECT_EQ!(test, attempts, 1);
        let mut right = [0; 4];
        let asked = domains(here)
            .position(|sd| sd.has(SD_WAKE_AFFINE) && sched_domain_span(sd).test(there));
        if let Some(at) = asked {
            right[at] = affine;
        }
        KUNIT_EXPECT_EQ!(test, found.affine, right);
    }
    anywhere(test);
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// A task that wakes itself, and one that has not gone to sleep yet: they count as local, with the waker's flags.
fn a_wakeup_that_moves_nobody_counts(test: &Kunit) {
    let _on = WithSchedstats::new(true);
    preempt_disable();
    set_current_state(TASK_UNINTERRUPTIBLE);
    let here = raw_smp_processor_id();
    let found = wake_counted(current(), WF_SYNC);
    preempt_enable();
    KUNIT_EXPECT_EQ!(test, found, (expected(here, here, true, false), here));
    // It is awake: nothing is woken, nothing is counted.
    let (found, _) = wake_counted(current(), 0);
    KUNIT_EXPECT_EQ!(test, found, Counts::default());
}

fn nothing_is_counted_while_they_are_off(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let _off = WithSchedstats::new(false);
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    let before = task.stats.sum_sleep_runtime.get();
    for _ in 0..3 {
        let (found, _) = wake_counted(task, WF_SYNC);
        KUNIT_EXPECT_EQ!(test, found, Counts::default());
        rests(test, task);
    }
    KUNIT_EXPECT_EQ!(test, task.stats.sum_sleep_runtime.get(), before);
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// How long the sleeps of a case are, and how much longer they may seem: others may be in the way.
const SLEEP: u64 = 3 * NSEC_PER_MSEC as u64;
const SLACK: u64 = 100 * NSEC_PER_MSEC as u64;

fn within(found: u64, least: u64) -> bool {
    found >= least - 20 * NSEC_PER_USEC as u64 && found <= least + SLACK
}

/// A sleep is counted by its kind, and by its length: when it ends.
fn sleeps_are_counted(test: &Kunit) {
    static INTERRUPTIBLE: Subject = Subject::new(TASK_INTERRUPTIBLE);
    static UNINTERRUPTIBLE: Subject = Subject::new(TASK_UNINTERRUPTIBLE);
    let _on = WithSchedstats::new(true);
    for (subject, state) in [
        (&INTERRUPTIBLE, TASK_INTERRUPTIBLE),
        (&UNINTERRUPTIBLE, TASK_UNINTERRUPTIBLE),
    ] {
        let Some(task) = subject.start(test, cpu_possible_mask()) else {
            return;
        };
        let stats = &task.stats;
        let sums = || [&stats.sum_sleep_runtime, &stats.sum_block_runtime].map(Shared::get);
        let before = sums();
        let slept_at = [&stats.sleep_start, &stats.block_start].map(Shared::get);
        let blocks = usize::from(state == TASK_UNINTERRUPTIBLE);
        KUNIT_EXPECT_TRUE!(test, slept_at[blocks] != 0);
        KUNIT_EXPECT_EQ!(test, slept_at[1 - blocks], 0);
        usleep_range(3_000, 3_000);
        KUNIT_EXPECT_EQ!(test, sums(), before);
        wake_up_process(task);
        KUNIT_EXPECT_TRUE!(test, until(|| subject.rounds() == 1));
        let now = sums();
        // Both kinds are sleeps; only one is a block.
        KUNIT_EXPECT_TRUE!(test, within(now[0] - before[0], SLEEP));
        if blocks == 1 {
            KUNIT_EXPECT_TRUE!(test, within(now[1] - before[1], SLEEP));
            KUNIT_EXPECT_TRUE!(test, stats.block_max.get() >= now[1] - before[1]);
        } else {
            KUNIT_EXPECT_EQ!(test, now[1], before[1]);
            KUNIT_EXPECT_TRUE!(test, stats.sleep_max.get() >= now[0] - before[0]);
        }
        KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
    }
}

/// Who is awake and finds its CPU taken waits; `sched_info` says so always, the statistics if they are on. A wake-up that
/// preempts lets the switch do without a look at the clock, so a wait ends at the last tick that came into it.
fn waits_are_counted(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    a_wait_is_counted(test, &SUBJECT, |_| ());
}

/// So does one of the real-time class, though it waits for nobody but who has switched preemption off.
fn waits_of_real_time_are_counted(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    a_wait_is_counted(test, &SUBJECT, |task| {
        let ret = sched_setscheduler_nocheck(task, SCHED_FIFO, &SchedParam { sched_priority: 1 });
        KUNIT_EXPECT_EQ!(test, ret, 0);
    });
}

fn a_wait_is_counted(test: &Kunit, subject: &'static Subject, prepare: impl FnOnce(TaskRef)) {
    const WAIT: u64 = 2 * TICK_NSEC as u64;
    let _on = WithSchedstats::new(true);
    let here = cpu_online_mask().first();
    let Some(task) = subject.start(test, Cpumask::of(here)) else {
        return;
    };
    prepare(task);
    stay_on(test, here);
    let (stats, info) = (&task.stats, &task.sched_info);
    let before = [
        stats.wait_count.get(),
        stats.wait_sum.get(),
        info.pcount.get(),
        info.run_delay.get(),
    ];
    KUNIT_EXPECT_EQ!(
        test,
        (stats.wait_start.get(), info.last_queued.get()),
        (0, 0)
    );
    preempt_disable();
    wake_up_process(task);
    let queued = (stats.wait_start.get(), info.last_queued.get());
    let until_ns = ktime_get() + 3 * TICK_NSEC;
    while ktime_get() < until_ns {
        core::hint::spin_loop();
    }
    preempt_enable();
    KUNIT_EXPECT_TRUE!(test, queued.0 != 0);
    KUNIT_EXPECT_TRUE!(test, queued.1 != 0);
    KUNIT_EXPECT_TRUE!(test, until(|| subject.rounds() == 1));
    rests(test, task);
    // It may have been preempted once more before it slept again.
    KUNIT_EXPECT_TRUE!(test, stats.wait_count.get() > before[0]);
    KUNIT_EXPECT_TRUE!(test, within(stats.wait_sum.get() - before[1], WAIT));
    KUNIT_EXPECT_TRUE!(test, within(stats.wait_max.get(), WAIT));
    KUNIT_EXPECT_TRUE!(test, info.pcount.get() > before[2]);
    KUNIT_EXPECT_TRUE!(test, within(info.run_delay.get() - before[3], WAIT));
    KUNIT_EXPECT_TRUE!(test, info.last_arrival.get() >= queued.1 + WAIT);
    KUNIT_EXPECT_EQ!(
        test,
        (stats.wait_start.get(), info.last_queued.get()),
        (0, 0)
    );
    anywhere(test);
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// Who yields to another counts as who yields.
fn yield_to_is_counted(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let _on = WithSchedstats::new(true);
    let here = cpu_online_mask().first();
    let Some(task) = SUBJECT.start(test, Cpumask::of(here)) else {
        return;
    };
    stay_on(test, here);
    let yields = &cpu_rq(here).stats.yld_count;
    let before = yields.get();
    // Asleep: refused.
    KUNIT_EXPECT_TRUE!(test, yield_to(task, false) <= 0);
    KUNIT_EXPECT_EQ!(test, yields.get(), before);
    // With interrupts off it cannot run before we yield to it.
    let flags = local_irq_save();
    wake_up_process(task);
    let yielded = yield_to(task, false);
    local_irq_restore(flags);
    KUNIT_EXPECT_EQ!(test, yielded, 1);
    KUNIT_EXPECT_EQ!(test, yields.get(), before + 1);
    KUNIT_EXPECT_TRUE!(test, until(|| SUBJECT.rounds() == 1));
    anywhere(test);
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// A group that shares a CPU waits for its turns, and they are counted where its entity is.
fn waits_of_groups_are_counted(test: &Kunit) {
    static HOG: [Subject; 2] = [const { Subject::new(TASK_RUNNING) }; 2];
    let _on = WithSchedstats::new(true);
    let here = cpu_online_mask().first();
    let tasks = [
        HOG[0].start(test, Cpumask::of(here)),
        HOG[1].start(test, Cpumask::of(here)),
    ];
    let [Some(inside), Some(_)] = tasks else {
        return;
    };
    let tg = make_group(&root_task_group, 1024);
    sched_move_task(inside, tg);
    let Some(se) = tg.se.per_cpu(here).get() else {
        crate::KUNIT_FAIL!(test, "a group without an entity");
        return;
    };
    let stats = __schedstats_from_se(se);
    KUNIT_EXPECT_FALSE!(test, core::ptr::eq(stats, &inside.stats));
    let counted = || (stats.wait_count.get(), stats.wait_sum.get());
    let before = counted();
    usleep_range(50_000, 50_000);
    let after = counted();
    // Two of equal weight by turns of a tick or some: it waits half of the time, a few times.
    KUNIT_EXPECT_TRUE!(test, after.0 > before.0 + 2);
    KUNIT_EXPECT_TRUE!(test, after.1 - before.1 > 10 * NSEC_PER_MSEC as u64);
    KUNIT_EXPECT_TRUE!(test, after.1 - before.1 < 50 * NSEC_PER_MSEC as u64);
    KUNIT_EXPECT_TRUE!(test, stats.exec_max.get() > 0);
    for task in tasks.iter().flatten() {
        sched_move_task(task, &root_task_group);
        KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
    }
    end_group(tg);
}

/// Of the domains of a CPU, all kinds of balance: how many there were, how they ended, what came of them.
#[derive(Default, Debug)]
struct Balances {
    count: u64,
    failed: u64,
    balanced: u64,
    nobusy: u64,
    gained: u64,
}

fn balances(cpus: Cpumask) -> Balances {
    let sum = |counters: &[Shared<u64>]| counters.iter().map(Shared::get).sum::<u64>();
    let mut all = Balances::default();
    for sd in cpus.iter().flat_map(domains) {
        all.nobusy += sum(&sd.lb_nobusyg) + sum(&sd.lb_nobusyq);
        all.failed += sum(&sd.lb_failed);
        all.balanced += sum(&sd.lb_balanced);
        all.gained += sum(&sd.lb_gained);
        // Last: a balance that runs meanwhile is in it and has not ended.
        all.count += sum(&sd.lb_count);
    }
    all
}

/// Four hogs on one CPU, three of which may leave: balances come and take them. The one that may not, and those that
/// run, are why others find nobody.
fn balances_are_counted(test: &Kunit) {
    static HOG: [Subject; 4] = [const { Subject::new(TASK_RUNNING) }; 4];
    let Some((here, there)) = two_cpus() else {
        kunit_skip!(test, "one CPU only")
    };
    let _on = WithSchedstats::new(true);
    let tasks: [Option<TaskRef>; 4] =
        core::array::from_fn(|at| HOG[at].start(test, Cpumask::of(here)));
    let online = cpu_online_mask();
    let before = balances(online);
    // Nobody can be taken; then three can.
    usleep_range(30_000, 30_000);
    for task in tasks[1..].iter().flatten() {
        let both = Cpumask::of(here).with(there);
        KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &both), 0);
    }
    let came = until(|| balances(online).gained > before.gained);
    KUNIT_EXPECT_TRUE!(test, came);
    let after = balances(online);
    KUNIT_EXPECT_TRUE!(test, after.balanced > before.balanced);
    KUNIT_EXPECT_TRUE!(test, after.nobusy <= after.balanced);
    KUNIT_EXPECT_TRUE!(test, after.failed + after.balanced <= after.count);
    let [Some(stays), Some(_), Some(_), Some(_)] = tasks else {
        return;
    };
    KUNIT_EXPECT_TRUE!(test, stays.stats.nr_failed_migrations_affine.get() > 0);
    for task in tasks.iter().flatten() {
        KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
    }
}

kunit_test_suite!(
/// The suite.
suite = "sched_stats": [
    ttwu_stat_counts_every_kind,
    affine_wakeups_are_counted,
    a_wakeup_that_moves_nobody_counts,
    nothing_is_counted_while_they_are_off,
    sleeps_are_counted,
    waits_are_counted,
    waits_of_real_time_are_counted,
    waits_of_groups_are_counted,
    balances_are_counted,
    yield_to_is_counted,
]);
