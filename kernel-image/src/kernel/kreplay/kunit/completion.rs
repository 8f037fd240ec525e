//! Tests of completions.

extern crate alloc;

use super::until;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::kunit::test::Kunit;
use crate::include::linux::completion::Completion;
use crate::include::linux::kthread::kthread_run;
use crate::include::linux::sched::TASK_UNINTERRUPTIBLE;
use crate::kernel::sched::completion::{
    complete, complete_all, completion_done, try_wait_for_completion, wait_for_completion,
};
use crate::kernel::sched::core::wait_task_inactive;
use crate::{
    KUNIT_ASSERT_TRUE, KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_TRUE, kunit_test_suite,
};
use core::sync::atomic::{AtomicU64, Ordering};

/// As often as it was done it can be waited for, without a sleep.
fn counts(test: &Kunit) {
    static DONE: Completion = Completion::new();
    KUNIT_EXPECT_FALSE!(test, completion_done(&DONE));
    KUNIT_EXPECT_FALSE!(test, try_wait_for_completion(&DONE));
    (0..3).for_each(|_| complete(&DONE));
    wait_for_completion(&DONE);
    wait_for_completion(&DONE);
    KUNIT_EXPECT_TRUE!(test, completion_done(&DONE));
    KUNIT_EXPECT_TRUE!(test, try_wait_for_completion(&DONE));
    KUNIT_EXPECT_FALSE!(test, try_wait_for_completion(&DONE));
}

fn stays_done_after_complete_all(test: &Kunit) {
    static DONE: Completion = Completion::new();
    complete_all(&DONE);
    (0..3).for_each(|_| wait_for_completion(&DONE));
    complete(&DONE);
    KUNIT_EXPECT_EQ!(test, DONE.done.get(), u32::MAX);
    KUNIT_EXPECT_TRUE!(test, try_wait_for_completion(&DONE));
    DONE.reinit();
    KUNIT_EXPECT_FALSE!(test, completion_done(&DONE));
}

const WAITERS: u64 = 4;

struct Waiter {
    number: u64,
    done: &'static Completion,
    order: &'static Order,
}

/// Who came out, in which order.
struct Order {
    len: AtomicU64,
    numbers: [Shared<u64>; WAITERS as usize],
}

impl Order {
    const fn new() -> Order {
        Order {
            len: AtomicU64::new(0),
            numbers: [const { Shared::new(0) }; WAITERS as usize],
        }
    }

    fn len(&self) -> u64 {
        self.len.load(Ordering::SeqCst)
    }
}

extern "C" fn waiter(data: VoidPtr) -> i32 {
    let me = data.get::<Waiter>();
    wait_for_completion(me.done);
    let at = me.order.len.load(Ordering::SeqCst);
    me.order.numbers[at as usize % WAITERS as usize].set(me.number);
    me.order.len.store(at + 1, Ordering::SeqCst);
    0
}

/// Starts waiters one after the other, each asleep before the next comes.
fn start_waiters(test: &Kunit, done: &'static Completion, order: &'static Order) {
    for number in 0..WAITERS {
        let me: &'static Waiter = alloc::boxed::Box::leak(alloc::boxed::Box::new(Waiter {
            number,
            done,
            order,
        }));
        let thread = kthread_run(waiter, VoidPtr::new(me), format_args!("waiter/{number}"));
        KUNIT_ASSERT_TRUE!(test, thread.is_ok());
        if let Ok(thread) = thread {
            let asleep = until(|| thread.__state.get() == TASK_UNINTERRUPTIBLE);
            KUNIT_EXPECT_TRUE!(test, asleep);
            KUNIT_EXPECT_TRUE!(test, wait_task_inactive(thread, TASK_UNINTERRUPTIBLE));
        }
    }
}

/// Each `complete` lets one go, the first that came first.
fn releases_in_order(test: &Kunit) {
    static DONE: Completion = Completion::new();
    static ORDER: Order = Order::new();
    start_waiters(test, &DONE, &ORDER);
    for number in 0..WAITERS {
        KUNIT_EXPECT_EQ!(test, ORDER.len(), number);
        complete(&DONE);
        KUNIT_EXPECT_TRUE!(test, until(|| ORDER.len() == number + 1));
        KUNIT_EXPECT_EQ!(test, ORDER.numbers[number as usize].get(), number);
    }
    KUNIT_EXPECT_FALSE!(test, completion_done(&DONE));
}

static FREED: AtomicU64 = AtomicU64::new(0);
static EVERYBODY: Completion = Completion::new();

extern "C" fn freed(_: VoidPtr) -> i32 {
    wait_for_completion(&EVERYBODY);
    FREED.fetch_add(1, Ordering::SeqCst);
    0
}

fn complete_all_releases_everybody(test: &Kunit) {
    for number in 0..WAITERS {
        let thread = kthread_run(freed, VoidPtr::NULL, format_args!("waiter/{number}"));
        KUNIT_ASSERT_TRUE!(test, thread.is_ok());
    }
    KUNIT_EXPECT_EQ!(test, FREED.load(Ordering::SeqCst), 0);
    complete_all(&EVERYBODY);
    KUNIT_EXPECT_TRUE!(test, until(|| FREED.load(Ordering::SeqCst) == WAITERS));
}

kunit_test_suite!(
/// The suite.
suite = "completion": [
    counts,
    stays_done_after_complete_all,
    releases_in_order,
    complete_all_releases_everybody,
]);
