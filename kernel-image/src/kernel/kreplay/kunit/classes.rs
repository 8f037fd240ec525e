//! Tests of what the scheduling classes owe to the pick: `balance` says whether a task of the class, or of one above,
//! is there to be picked, and the idle class is not asked.
//!
//! The idle class's own hook warns: the crash test `BALANCE_IDLE` of lkdtm calls it.

use super::{Subject, until};
use crate::arch::x86::include::asm::current::current;
use crate::fence::void::VoidPtr;
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpumask::{Cpumask, cpu_online_mask, cpu_possible_mask};
use crate::include::linux::kthread::kthread_stop;
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::sched::{
    SCHED_DEADLINE, SCHED_FIFO, TASK_UNINTERRUPTIBLE, TaskRef, task_cpu,
};
use crate::include::linux::stop_machine::{CpuStopWork, stop_one_cpu_nowait};
use crate::kernel::sched::core::{
    SchedAttr, sched_setattr_nocheck, set_cpus_allowed_ptr, wake_up_process,
};
use crate::kernel::sched::sched::{
    RqFlags, SCHED_CLASSES, rq_lock_irqsave, rq_unlock_irqrestore, same_class, this_rq,
    update_rq_clock,
};
use crate::{KUNIT_EXPECT_EQ, KUNIT_EXPECT_TRUE, kunit_test_suite};
use core::sync::atomic::{AtomicU64, Ordering};

/// What each class above idle says of this CPU, from stop to fair, if the running task were put back now.
fn balance_says() -> [bool; 4] {
    let rq = this_rq();
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    update_rq_clock(rq);
    let says = core::array::from_fn(|at| (SCHED_CLASSES[at].balance)(rq, current()));
    rq_unlock_irqrestore(rq, &rf);
    says
}

/// Wakes a task on this CPU with preemption off, asks, and lets it run.
fn with_queued(task: TaskRef) -> [bool; 4] {
    preempt_disable();
    wake_up_process(task);
    let says = balance_says();
    preempt_enable();
    says
}

static STOPPED: AtomicU64 = AtomicU64::new(0);
static WORK: CpuStopWork = CpuStopWork::new();

extern "C" fn stops(_: VoidPtr) -> i32 {
    STOPPED.fetch_add(1, Ordering::SeqCst);
    0
}

/// Whoever is queued is seen by its class and by all below, and by none above.
fn balance_says_who_is_there(test: &Kunit) {
    static FIFO: Subject = Subject::new(TASK_UNINTERRUPTIBLE);
    static DEADLINE: Subject = Subject::new(TASK_UNINTERRUPTIBLE);
    let fifo = SchedAttr {
        sched_policy: SCHED_FIFO as i32,
        sched_priority: 1,
        ..SchedAttr::default()
    };
    let deadline = SchedAttr {
        sched_policy: SCHED_DEADLINE as i32,
        sched_runtime: 1_000_000,
        sched_deadline: 100_000_000,
        sched_period: 100_000_000,
        ..SchedAttr::default()
    };
    for (subject, attr, right) in [
        (&FIFO, &fifo, [false, false, true, true]),
        (&DEADLINE, &deadline, [false, true, true, true]),
    ] {
        let Some(task) = subject.start(test, cpu_possible_mask()) else {
            return;
        };
        KUNIT_EXPECT_EQ!(test, sched_setattr_nocheck(task, attr), 0);
        // Where it sleeps it is woken: nobody runs there but us.
        let here = Cpumask::of(task_cpu(task));
        KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(current(), &here), 0);
        // We run, so a fair task is there; nobody else is.
        KUNIT_EXPECT_EQ!(test, balance_says(), [false, false, false, true]);
        KUNIT_EXPECT_EQ!(test, with_queued(task), right);
        KUNIT_EXPECT_TRUE!(test, until(|| subject.rounds() == 1));
        KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
    }
    preempt_disable();
    stop_one_cpu_nowait(task_cpu(current()), stops, VoidPtr::NULL, &WORK);
    let says = balance_says();
    preempt_enable();
    KUNIT_EXPECT_EQ!(test, says, [true; 4]);
    KUNIT_EXPECT_TRUE!(test, until(|| STOPPED.load(Ordering::SeqCst) == 1));
    let anywhere = set_cpus_allowed_ptr(current(), &cpu_possible_mask());
    KUNIT_EXPECT_EQ!(test, anywhere, 0);
}

/// The idle class is the last, its task is no task of any other class, and it is not asked: a CPU that idles goes
/// through the pick with it as the task before, and a warning of its hook would fail this run.
fn idle_is_not_asked(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_UNINTERRUPTIBLE);
    let last = SCHED_CLASSES[SCHED_CLASSES.len() - 1];
    for cpu in cpu_online_mask().iter() {
        let idle = crate::kernel::sched::sched::cpu_rq(cpu).idle_task();
        KUNIT_EXPECT_TRUE!(test, same_class(idle.class(), last));
    }
    // From idle to a task and back, on every CPU.
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    for (cpu, round) in cpu_online_mask().iter().zip(1..) {
        KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &Cpumask::of(cpu)), 0);
        wake_up_process(task);
        KUNIT_EXPECT_TRUE!(test, until(|| SUBJECT.rounds() == round));
        KUNIT_EXPECT_TRUE!(
            test,
            until(|| task.__state.get() == TASK_UNINTERRUPTIBLE && task.on_rq.get() == 0)
        );
    }
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

kunit_test_suite!(
/// The suite.
suite = "sched_classes": [
    balance_says_who_is_there,
    idle_is_not_asked,
]);
