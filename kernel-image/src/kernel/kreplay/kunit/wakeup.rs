//! Tests of wake-ups: who is woken, out of which state, onto which CPU, and that none is lost.

use super::{Subject, until};
use crate::arch::x86::include::asm::current::current;
use crate::fence::void::VoidPtr;
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpumask::{Cpumask, cpu_online_mask, cpu_possible_mask};
use crate::include::linux::kthread::{kthread_run, kthread_stop};
use crate::include::linux::sched::wake_q::WakeQHead;
use crate::include::linux::sched::{
    __set_current_state, TASK_INTERRUPTIBLE, TASK_RUNNING, TASK_UNINTERRUPTIBLE, set_current_state,
    task_cpu,
};
use crate::kernel::sched::core::{
    schedule, set_cpus_allowed_ptr, wait_task_inactive, wake_q_add, wake_up_process, wake_up_q,
    wake_up_state,
};
use crate::{
    KUNIT_ASSERT_TRUE, KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_TRUE, kunit_test_suite,
};
use core::sync::atomic::{AtomicU64, Ordering};

fn wakes_a_sleeper(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    for round in 1..=20 {
        KUNIT_EXPECT_TRUE!(test, wake_up_process(task));
        KUNIT_EXPECT_TRUE!(test, until(|| SUBJECT.rounds() == round));
        KUNIT_EXPECT_TRUE!(test, wait_task_inactive(task, TASK_INTERRUPTIBLE));
    }
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// Only a state that the waker asks for.
fn matches_states(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_UNINTERRUPTIBLE);
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    KUNIT_EXPECT_FALSE!(test, wake_up_state(task, TASK_INTERRUPTIBLE));
    KUNIT_EXPECT_EQ!(test, SUBJECT.rounds(), 0);
    KUNIT_EXPECT_EQ!(test, task.__state.get(), TASK_UNINTERRUPTIBLE);
    KUNIT_EXPECT_TRUE!(test, wake_up_state(task, TASK_UNINTERRUPTIBLE));
    KUNIT_EXPECT_TRUE!(test, until(|| SUBJECT.rounds() == 1));
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

fn leaves_a_running_task_alone(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_RUNNING);
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    KUNIT_EXPECT_FALSE!(test, wake_up_process(task));
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// A task that wakes itself does not sleep.
fn wakes_itself(test: &Kunit) {
    set_current_state(TASK_INTERRUPTIBLE);
    KUNIT_EXPECT_FALSE!(test, wake_up_state(current(), TASK_UNINTERRUPTIBLE));
    KUNIT_EXPECT_TRUE!(test, wake_up_process(current()));
    KUNIT_EXPECT_EQ!(test, current().__state.get(), TASK_RUNNING);
    // Nobody would wake us from here on.
    schedule();
    KUNIT_EXPECT_FALSE!(test, wake_up_process(current()));
}

/// A sleeper's mask changes; its next wake-up takes it there (T8).
fn goes_where_it_may(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    for (cpu, round) in cpu_online_mask().iter().zip(1..) {
        KUNIT_EXPECT_EQ!(test, set_cpus_allowed_ptr(task, &Cpumask::of(cpu)), 0);
        KUNIT_EXPECT_TRUE!(test, wake_up_process(task));
        KUNIT_EXPECT_TRUE!(test, until(|| SUBJECT.rounds() == round));
        KUNIT_EXPECT_EQ!(test, SUBJECT.cpu.get(), cpu);
        KUNIT_EXPECT_TRUE!(test, wait_task_inactive(task, TASK_INTERRUPTIBLE));
        KUNIT_EXPECT_EQ!(test, task_cpu(task), cpu);
    }
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// A task is on one list of wake-ups at most, and is woken by it once.
fn wake_q_wakes_once(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_UNINTERRUPTIBLE);
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    let mut wake_q = WakeQHead::new();
    let mut other = WakeQHead::new();
    wake_q_add(&mut wake_q, task);
    wake_q_add(&mut wake_q, task);
    wake_q_add(&mut other, task);
    wake_up_q(&mut other);
    KUNIT_EXPECT_EQ!(test, SUBJECT.rounds(), 0);
    wake_up_q(&mut wake_q);
    KUNIT_EXPECT_TRUE!(test, until(|| SUBJECT.rounds() == 1));
    KUNIT_EXPECT_TRUE!(test, wait_task_inactive(task, TASK_UNINTERRUPTIBLE));
    // It may be noted again.
    wake_q_add(&mut other, task);
    wake_up_q(&mut other);
    KUNIT_EXPECT_TRUE!(test, until(|| SUBJECT.rounds() == 2));
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

/// Off its CPU and out of its queue, or in another state.
fn waits_for_inactivity(test: &Kunit) {
    static SUBJECT: Subject = Subject::new(TASK_INTERRUPTIBLE);
    let Some(task) = SUBJECT.start(test, cpu_possible_mask()) else {
        return;
    };
    KUNIT_EXPECT_FALSE!(test, wait_task_inactive(task, TASK_UNINTERRUPTIBLE));
    for round in 1..=20 {
        wake_up_process(task);
        // On its way through its round: it must come to rest before this returns.
        KUNIT_EXPECT_TRUE!(test, until(|| SUBJECT.rounds() == round));
        KUNIT_EXPECT_TRUE!(test, wait_task_inactive(task, TASK_INTERRUPTIBLE));
        KUNIT_EXPECT_EQ!(test, task.on_rq.get(), 0);
        KUNIT_EXPECT_EQ!(test, task.on_cpu.load(Ordering::SeqCst), 0);
    }
    KUNIT_EXPECT_EQ!(test, kthread_stop(task), 0);
}

const MESSAGES: u64 = 300;
static SENT: AtomicU64 = AtomicU64::new(0);
static SEEN: AtomicU64 = AtomicU64::new(0);

extern "C" fn reader(_: VoidPtr) -> i32 {
    while SEEN.load(Ordering::Relaxed) < MESSAGES {
        // State, barrier, condition: whoever writes the condition first and then looks at the state
        // finds one of the two.
        set_current_state(TASK_UNINTERRUPTIBLE);
        if SENT.load(Ordering::SeqCst) == SEEN.load(Ordering::SeqCst) {
            schedule();
        }
        __set_current_state(TASK_RUNNING);
        SEEN.store(SENT.load(Ordering::SeqCst), Ordering::SeqCst);
    }
    0
}

/// Condition, then wake-up, against state, then condition: no message goes unseen (T15).
fn loses_no_wakeup(test: &Kunit) {
    let thread = kthread_run(reader, VoidPtr::NULL, format_args!("reader"));
    KUNIT_ASSERT_TRUE!(test, thread.is_ok());
    let Ok(thread) = thread else { return };
    for message in 1..=MESSAGES {
        SENT.store(message, Ordering::SeqCst);
        // After its last message the reader ends: its task is nobody's to wake then.
        if message == MESSAGES || SEEN.load(Ordering::SeqCst) < message {
            wake_up_process(thread);
        }
        if message < MESSAGES {
            let mut turns = 0u64;
            while SEEN.load(Ordering::SeqCst) < message {
                turns += 1;
                if turns > 2_000 && !until(|| SEEN.load(Ordering::SeqCst) >= message) {
                    crate::KUNIT_FAIL!(test, "message {message} was not seen");
                    return;
                }
                crate::kernel::kreplay::common::compute(10, turns);
            }
        }
    }
    KUNIT_EXPECT_TRUE!(test, until(|| SEEN.load(Ordering::SeqCst) == MESSAGES));
}

kunit_test_suite!(
/// The suite.
suite = "sched_wakeup": [
    wakes_a_sleeper,
    matches_states,
    leaves_a_running_task_alone,
    wakes_itself,
    goes_where_it_may,
    wake_q_wakes_once,
    waits_for_inactivity,
    loses_no_wakeup,
]);
