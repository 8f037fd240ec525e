//! Tests of CPU affinity: errors, and the move of a running, a queued and a sleeping task.

use super::{Subject, two_cpus, until};
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpumask::{
    Cpumask, cpu_active_mask, cpu_online_mask, cpu_possible_mask,
};
use crate::include::linux::errno::EINVAL;
use crate::include::linux::kthread::{kthread_run, kthread_stop};
use crate::include::linux::sched::{TASK_INTERRUPTIBLE, TASK_RUNNING, TaskRef, task_cpu};
use crate::kernel::kreplay::common::{compute, wait_for_stop};
use crate::kernel::sched::core::{
    migrate_disable, migrate_enable, sched_getaffinity, sched_setaffinity, set_cpus_allowed_ptr,
    wake_up_process,
};
use crate::kernel::sched::sched::{cpu_rq, task_on_cpu};
use crate::{KUNIT_ASSERT_TRUE, KUNIT_EXPECT_EQ, KUNIT_EXPECT_TRUE, kunit_skip, kunit_test_suite};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// No CPU, none that is there, a task whose mask is fixed.
fn errors(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &Cpumask::EMPTY), -EINVAL);
    let gone = Cpumask::ALL.andnot(cpu_online_mask());
    if !gone.is_empty() {
        KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &gone), -EINVAL);
    }
    KUNIT_EXPECT_EQ!(test, task.cpus_mask.get(), cpu_possible_mask());
    if let Some(stopper) = cpu_rq(0).stop.get() {
        KUNIT_EXPECT_EQ!(
            test,
            sched_setaffinity(stopper, &cpu_online_mask()),
            -EINVAL
        );
        KUNIT_EXPECT_EQ!(test, stopper.cpus_mask.get(), Cpumask::of(0));
    }
    // The mask it has already: nothing to do, nothing to refuse.
    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &cpu_possible_mask()), 0);
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

fn getaffinity(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    KUNIT_EXPECT_EQ!(test, sched_getaffinity(task), cpu_active_mask());
    KUNIT_EXPECT_EQ!(test, sched_setaffinity(task, &Cpumask::of(0)), 0);
    KUNIT_EXPECT_EQ!(test, sched_getaffinity(task), Cpumask::of(0));
    KUNIT_EXPECT_EQ!(test, task.nr_cpus_allowed.get(), 1);
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// What a user has asked for goes on to hold when the kernel asks for more, and not when it asks for what
/// has none of it.
fn keeps_the_users_mask(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let Some((a, b)) = two_cpus() else {
        kunit_skip!(test, "one CPU only")
    };
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    KUNIT_EXPECT_EQ!(test, task.user_cpus_ptr.get(), Cpumask::EMPTY);
    KUNIT_EXPECT_EQ!(test, sched_setaffinity(task, &Cpumask::of(a)), 0);
    KUNIT_EXPECT_EQ!(test, task.user_cpus_ptr.get(), Cpumask::of(a));
    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &cpu_possible_mask()), 0);
    KUNIT_EXPECT_EQ!(test, task.cpus_mask.get(), Cpumask::of(a));
    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &Cpumask::of(b)), 0);
    KUNIT_EXPECT_EQ!(test, task.cpus_mask.get(), Cpumask::of(b));
    KUNIT_EXPECT_EQ!(test, task.user_cpus_ptr.get(), Cpumask::of(a));
    // The mask that it has: nothing moves, and the user has asked for it all the same.
    KUNIT_EXPECT_EQ!(test, sched_setaffinity(task, &Cpumask::of(b)), 0);
    KUNIT_EXPECT_EQ!(test, task.user_cpus_ptr.get(), Cpumask::of(b));
    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &cpu_possible_mask()), 0);
    KUNIT_EXPECT_EQ!(test, task.cpus_mask.get(), Cpumask::of(b));
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// When the call returns the caller is where it may be.
fn moves_itself(test: &Kunit) {
    for _ in 0..3 {
        for cpu in cpu_online_mask().iter() {
            KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(current(), &Cpumask::of(cpu)), 0);
            KUNIT_EXPECT_EQ!(test, raw_smp_processor_id(), cpu);
            KUNIT_EXPECT_EQ!(test, task_cpu(current()), cpu);
        }
    }
    KUNIT_EXPECT_EQ!(
        test,
        set_cpus_allowed_ptr(current(), &cpu_possible_mask()),
        0
    );
}

/// A task that runs is taken off its CPU by the stopper; when the call returns it is elsewhere (S9).
fn moves_a_running_task(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_RUNNING);
    let Some((a, b)) = two_cpus() else {
        kunit_skip!(test, "one CPU only")
    };
    let Some(task) = SUBJECT.start(test, Cpumask::of(a)) else {
        return;
    };
    for round in 0..10 {
        let to = if round % 2 == 0 { b } else { a };
        // From another CPU than the task's, so that it can be running.
        KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(current(), &Cpumask::of(to)), 0);
        KUNIT_EXPECT_TRUE!(test, until(|| task_on_cpu(task)));
        KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &Cpumask::of(to)), 0);
        KUNIT_EXPECT_EQ!(test, task_cpu(task), to);
        let before = SUBJECT.rounds();
        KUNIT_EXPECT_TRUE!(test, until(|| SUBJECT.rounds() > before + 1));
        KUNIT_EXPECT_EQ!(test, SUBJECT.cpu.get(), to);
    }
    KUNIT_EXPECT_EQ!(
        test,
        set_cpus_allowed_ptr(current(), &cpu_possible_mask()),
        0
    );
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// Of several tasks that share a CPU those that wait are moved by the caller itself.
fn moves_queued_tasks(test: &Kunit) {
    static SUBJECTS: [Subject; 3] = [const { Subject::new(TASK_RUNNING) }; 3];
    let Some((a, b)) = two_cpus() else {
        kunit_skip!(test, "one CPU only")
    };
    let tasks: [Option<TaskRef>; 3] =
        core::array::from_fn(|index| SUBJECTS[index].start(test, Cpumask::of(a)));
    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(current(), &Cpumask::of(b)), 0);
    for round in 0..6 {
        let to = if round % 2 == 0 { b } else { a };
        for (task, subject) in tasks.iter().flatten().zip(&SUBJECTS) {
            KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &Cpumask::of(to)), 0);
            KUNIT_EXPECT_EQ!(test, task_cpu(task), to);
            let before = subject.rounds();
            KUNIT_EXPECT_TRUE!(test, until(|| subject.rounds() > before + 1));
            KUNIT_EXPECT_EQ!(test, subject.cpu.get(), to);
        }
    }
    KUNIT_EXPECT_EQ!(
        test,
        set_cpus_allowed_ptr(current(), &cpu_possible_mask()),
        0
    );
    for task in tasks.iter().flatten() {
        KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
    }
}

/// A sleeping task's mask changes at once, its CPU only when it wakes.
fn leaves_a_sleeping_task_where_it_is(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let Some((a, b)) = two_cpus() else {
        kunit_skip!(test, "one CPU only")
    };
    let Some(task) = SUBJECT.start(test, Cpumask::of(a)) else {
        return;
    };
    KUNIT_EXPECT_EQ!(test, task_cpu(task), a);
    KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &Cpumask::of(b)), 0);
    KUNIT_EXPECT_EQ!(test, task_cpu(task), a);
    KUNIT_EXPECT_EQ!(test, SUBJECT.rounds(), 0);
    KUNIT_EXPECT_TRUE!(test, wake_up_process(task));
    KUNIT_EXPECT_TRUE!(test, until(|| SUBJECT.rounds() == 1));
    KUNIT_EXPECT_EQ!(test, SUBJECT.cpu.get(), b);
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// A task that holds on to its CPU until it is told to let go.
struct Pinned {
    cpu: Shared<u32>,
    holds: AtomicBool,
    let_go: AtomicBool,
    after: Shared<u32>,
}

static PINNED: Pinned = Pinned {
    cpu: Shared::new(0),
    holds: AtomicBool::new(false),
    let_go: AtomicBool::new(false),
    after: Shared::new(u32::MAX),
};

extern "C" fn holds_on(_: VoidPtr) -> i32 {
    migrate_disable();
    PINNED.cpu.set(raw_smp_processor_id());
    PINNED.holds.store(true, Ordering::SeqCst);
    while !PINNED.let_go.load(Ordering::SeqCst) {
        compute(50, 1);
        if raw_smp_processor_id() != PINNED.cpu.get() {
            PINNED.cpu.set(u32::MAX);
        }
    }
    migrate_enable();
    // It stays awake, because a sleeper would be moved only by its next wake-up.
    while MOVER_DONE.load(Ordering::SeqCst) == 0 {
        compute(50, 1);
    }
    PINNED.after.set(raw_smp_processor_id());
    wait_for_stop()
}

static MOVER_DONE: AtomicU64 = AtomicU64::new(0);

extern "C" fn moves_it(data: VoidPtr) -> i32 {
    let task = data.get::<Shared<Option<TaskRef>>>().get();
    let (Some(task), Some((a, b))) = (task, two_cpus()) else {
        return wait_for_stop();
    };
    let to = if PINNED.cpu.get() == a { b } else { a };
    let ret = set_cpus_allowed_ptr(task, &Cpumask::of(to));
    MOVER_DONE.store(if ret == 0 { 1 } else { 2 }, Ordering::SeqCst);
    wait_for_stop()
}

/// With its migration disabled a task stays; whoever changes its mask waits until it may go (T9).
fn waits_for_migrate_enable(test: &Kunit) {
    static TASK: Shared<Option<TaskRef>> = Shared::new(None);
    if two_cpus().is_none() {
        kunit_skip!(test, "one CPU only");
    }
    let pinned = kthread_run(holds_on, VoidPtr::NULL, format_args!("pinned"));
    KUNIT_ASSERT_TRUE!(test, pinned.is_ok());
    let Ok(pinned) = pinned else { return };
    KUNIT_EXPECT_TRUE!(test, until(|| PINNED.holds.load(Ordering::SeqCst)));
    let (cpu, nr_pinned) = (PINNED.cpu.get(), &cpu_rq(PINNED.cpu.get()).nr_pinned);
    KUNIT_EXPECT_EQ!(test, nr_pinned.get(), 1);
    TASK.set(Some(pinned));
    let mover = kthread_run(moves_it, VoidPtr::new(&TASK), format_args!("mover"));
    KUNIT_ASSERT_TRUE!(test, mover.is_ok());
    let Ok(mover) = mover else { return };
    // The mask is the new one, the task is where it was, and the mover waits.
    KUNIT_EXPECT_TRUE!(test, until(|| pinned.migration_pending.get().is_some()));
    KUNIT_EXPECT_EQ!(test, task_cpu(pinned), cpu);
    KUNIT_EXPECT_EQ!(test, MOVER_DONE.load(Ordering::SeqCst), 0);
    PINNED.let_go.store(true, Ordering::SeqCst);
    KUNIT_EXPECT_TRUE!(test, until(|| MOVER_DONE.load(Ordering::SeqCst) == 1));
    KUNIT_EXPECT_TRUE!(test, until(|| PINNED.after.get() != u32::MAX));
    KUNIT_EXPECT_EQ!(test, PINNED.cpu.get(), cpu);
    KUNIT_EXPECT_TRUE!(test, pinned.cpus_mask.get().test(PINNED.after.get()));
    KUNIT_EXPECT_EQ!(test, nr_pinned.get(), 0);
    kthread_stop(mover);
    kthread_stop(pinned);
}

kunit_test_suite!(
/// The suite.
suite = "affinity": [
    errors,
    getaffinity,
    keeps_the_users_mask,
    moves_itself,
    moves_a_running_task,
    moves_queued_tasks,
    leaves_a_sleeping_task_where_it_is,
    waits_for_migrate_enable,
]);
