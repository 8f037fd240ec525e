//! Tests of CFS bandwidth: run time that is given back reaches those who wait for it, a group that is made
//! below a throttled one is as throttled, and nobody is throttled on a CPU that goes.

use super::{Subject, two_cpus, until};
use crate::arch::x86::include::asm::current::current;
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpu::{add_cpu, remove_cpu};
use crate::include::linux::cpumask::{Cpumask, cpu_online_mask};
use crate::include::linux::kthread::kthread_stop;
use crate::include::linux::sched::{TASK_INTERRUPTIBLE, TASK_RUNNING, TaskRef, task_cpu};
use crate::kernel::kreplay::fair::{end_group, make_group};
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::core::{sched_move_task, set_cpus_allowed_ptr, wake_up_process};
use crate::kernel::sched::fair::bandwidth::{RUNTIME_INF, tg_set_cfs_bandwidth};
use crate::kernel::sched::sched::{
    RqFlags, TaskGroup, cpu_rq, root_task_group, rq_lock_irqsave, rq_unlock_irqrestore,
    task_current,
};
use crate::kernel::time::hrtimer::hrtimer_get_remaining;
use crate::kernel::time::timer::sleep::usleep_range;
use crate::{KUNIT_EXPECT_EQ, KUNIT_EXPECT_LE, KUNIT_EXPECT_TRUE, kunit_skip, kunit_test_suite};

const MS: u64 = 1_000_000;
/// The longest there is: no refill comes to the rescue.
const PERIOD: u64 = 1000 * MS;

fn limit(test: &Kunit, tg: &'static TaskGroup, quota: u64) {
    KUNIT_EXPECT_EQ!(test, tg_set_cfs_bandwidth(tg, PERIOD, quota, 0), 0);
}

/// Something of a CPU's queues, with its lock held.
fn with_rq<T>(cpu: u32, look: impl FnOnce() -> T) -> T {
    let rq = cpu_rq(cpu);
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    let found = look();
    rq_unlock_irqrestore(rq, &rf);
    found
}

fn throttled(tg: &'static TaskGroup, cpu: u32) -> bool {
    with_rq(cpu, || tg.cfs_rq_on(cpu).throttled.get() != 0)
}

/// A busy task of a group that has used up what the group may, with some time to the next refill: periods
/// begin where the clock says, not where a group does.
fn exhausted(
    test: &Kunit,
    hog: &'static Subject,
    tg: &'static TaskGroup,
    cpu: u32,
) -> Option<TaskRef> {
    let task = hog.start(test, Cpumask::of(cpu))?;
    sched_move_task(task, tg);
    let left = hrtimer_get_remaining(&tg.cfs_bandwidth.period_timer) as u64;
    if left < PERIOD / 2 {
        usleep_range(left / 1000 + 1000, 0);
    }
    KUNIT_EXPECT_TRUE!(test, until(|| throttled(tg, cpu)));
    Some(task)
}

/// The end of a group and of its tasks, which must be able to run for it.
fn end(test: &Kunit, tg: &'static TaskGroup, tasks: &[TaskRef]) {
    KUNIT_EXPECT_EQ!(test, tg_set_cfs_bandwidth(tg, PERIOD, RUNTIME_INF, 0), 0);
    for &task in tasks {
        sched_move_task(task, &root_task_group);
        KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
    }
}

/// Whether the task runs within so many milliseconds.
fn runs_within(task: TaskRef, ms: u64) -> bool {
    let before = task.se.sum_exec_runtime.get();
    usleep_range(ms * 1000, ms * 1000);
    task.se.sum_exec_runtime.get() != before
}

/// A queue takes 5 ms from the pool when its first task wakes, and gives back all but one when the task
/// sleeps: somebody throttled gets it 5 ms later, not at the end of the period. Not if that is near.
fn slack_goes_to_who_waits(test: &Kunit) {
    static HOG: Subject = Subject::new(TASK_RUNNING);
    static SLEEPERS: [Subject; 2] = [const { Subject::new(TASK_INTERRUPTIBLE) }; 2];
    let Some((near, far)) = two_cpus() else {
        kunit_skip!(test, "needs two CPUs");
    };
    let tg = make_group(&root_task_group, 1024);
    limit(test, tg, 2 * MS);
    let Some(hog) = exhausted(test, &HOG, tg, far) else {
        return;
    };
    let cfs_b = &tg.cfs_bandwidth;
    // As if a third CPU had given it back. A pool alone moves nobody.
    let fill = || {
        let _guard = cfs_b.lock.lock_irqsave();
        cfs_b.runtime.add(8 * MS);
    };
    fill();
    KUNIT_EXPECT_TRUE!(test, !runs_within(hog, 20));
    let (mut tasks, mut count) = ([hog; 3], 1);
    for (sleeper, late) in SLEEPERS.iter().zip([false, true]) {
        let Some(task) = sleeper.start(test, Cpumask::of(near)) else {
            break;
        };
        tasks[count] = task;
        count += 1;
        sched_move_task(task, tg);
        if late {
            // What came back is used up here and there, and the refill is nearer than the timer and 2 ms.
            KUNIT_EXPECT_TRUE!(test, until(|| throttled(tg, far)));
            let left = hrtimer_get_remaining(&cfs_b.period_timer) as u64;
            usleep_range((left - 6 * MS) / 1000, 0);
            with_rq(near, || tg.cfs_rq_on(near).runtime_remaining.set(0));
            fill();
        }
        let pool = || {
            let _guard = cfs_b.lock.lock_irqsave();
            (cfs_b.runtime.get(), cfs_b.slack_started.get() != 0)
        };
        let (before, _) = pool();
        let periods = cfs_b.nr_periods.get();
        wake_up_process(task);
        let slept = || sleeper.rounds() == 1 && task.on_rq.get() == 0;
        KUNIT_EXPECT_TRUE!(test, until(slept));
        let (after, started) = pool();
        KUNIT_EXPECT_EQ!(test, cfs_b.nr_periods.get(), periods);
        // It keeps a millisecond, and has used a moment.
        KUNIT_EXPECT_LE!(test, MS, before - after);
        KUNIT_EXPECT_LE!(test, before - after, MS + MS / 2);
        KUNIT_EXPECT_EQ!(test, started, !late);
        if !late {
            KUNIT_EXPECT_TRUE!(test, !runs_within(hog, 3));
            KUNIT_EXPECT_TRUE!(test, runs_within(hog, 10));
            KUNIT_EXPECT_EQ!(test, cfs_b.nr_periods.get(), periods);
        }
    }
    end(test, tg, &tasks[..count]);
    end_group(tg);
}

/// A group below a throttled one: its tasks do not run either, and load tracking of its queue stands still from
/// the group's beginning until they may.
fn new_group_is_as_throttled(test: &Kunit) {
    static HOGS: [Subject; 2] = [const { Subject::new(TASK_RUNNING) }; 2];
    let Some(cpu) = cpu_online_mask().iter().last() else {
        return;
    };
    let outer = make_group(&root_task_group, 1024);
    limit(test, outer, MS);
    let Some(hog) = exhausted(test, &HOGS[0], outer, cpu) else {
        return;
    };
    let began = sched_clock();
    let inner = make_group(outer, 1024);
    let count = || with_rq(cpu, || inner.cfs_rq_on(cpu).throttle_count.get());
    KUNIT_EXPECT_EQ!(test, count(), 1);
    let Some(task) = HOGS[1].start(test, Cpumask::of(cpu)) else {
        return;
    };
    sched_move_task(task, inner);
    KUNIT_EXPECT_TRUE!(
        test,
        until(|| with_rq(cpu, || !task_current(cpu_rq(cpu), task)))
    );
    KUNIT_EXPECT_TRUE!(test, !runs_within(task, 20));
    KUNIT_EXPECT_EQ!(test, tg_set_cfs_bandwidth(outer, PERIOD, RUNTIME_INF, 0), 0);
    let stood = with_rq(cpu, || inner.cfs_rq_on(cpu).throttled_clock_pelt_time.get());
    KUNIT_EXPECT_EQ!(test, count(), 0);
    KUNIT_EXPECT_LE!(test, 20 * MS, stood);
    KUNIT_EXPECT_LE!(test, stood, sched_clock() - began);
    KUNIT_EXPECT_TRUE!(test, runs_within(task, 20));
    end(test, outer, &[hog, task]);
    end_group(inner);
    end_group(outer);
}

/// Who is throttled on a CPU that goes has to run to get off it; the CPU has its limits again when it returns.
fn a_dying_cpu_throttles_nobody(test: &Kunit) {
    static HOG: Subject = Subject::new(TASK_RUNNING);
    let Some((stays, goes)) = two_cpus() else {
        kunit_skip!(test, "needs two CPUs");
    };
    let me = current();
    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(me, &Cpumask::of(stays)), 0);
    let tg = make_group(&root_task_group, 1024);
    limit(test, tg, MS);
    let Some(hog) = exhausted(test, &HOG, tg, goes) else {
        return;
    };
    let both = Cpumask::of(stays).with(goes);
    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(hog, &both), 0);
    KUNIT_EXPECT_EQ!(test, task_cpu(hog), goes);
    let enabled = || with_rq(goes, || tg.cfs_rq_on(goes).runtime_enabled.get());
    KUNIT_EXPECT_EQ!(test, enabled(), 1);
    KUNIT_EXPECT_EQ!(test, remove_cpu(goes), 0);
    KUNIT_EXPECT_EQ!(test, task_cpu(hog), stays);
    KUNIT_EXPECT_EQ!(test, enabled(), 0);
    KUNIT_EXPECT_TRUE!(test, !throttled(tg, goes));
    let left = with_rq(goes, || tg.cfs_rq_on(goes).h_nr_running.get());
    KUNIT_EXPECT_EQ!(test, left, 0);
    KUNIT_EXPECT_EQ!(test, add_cpu(goes), 0);
    KUNIT_EXPECT_EQ!(test, enabled(), 1);
    end(test, tg, &[hog]);
    end_group(tg);
    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(me, &cpu_online_mask()), 0);
}

kunit_test_suite!(
/// The suite.
suite = "sched_bandwidth": [
    slack_goes_to_who_waits,
    new_group_is_as_throttled,
    a_dying_cpu_throttles_nobody,
]);
