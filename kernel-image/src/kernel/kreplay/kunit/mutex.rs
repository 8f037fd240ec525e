//! Tests of the mutex: one holder at a time, and everybody gets it.

use super::until;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpumask::num_online_cpus;
use crate::include::linux::kthread::kthread_run;
use crate::include::linux::mutex::Mutex;
use crate::kernel::kreplay::common::{Crew, compute};
use crate::kernel::sched::core::r#yield;
use crate::kernel::time::timer::sleep::usleep_range;
use crate::{
    KUNIT_ASSERT_TRUE, KUNIT_EXPECT_EQ, KUNIT_EXPECT_FALSE, KUNIT_EXPECT_TRUE, kunit_test_suite,
};
use core::sync::atomic::{AtomicU64, Ordering};

fn trylock(test: &Kunit) {
    static LOCK: Mutex = Mutex::new();
    KUNIT_EXPECT_TRUE!(test, LOCK.trylock());
    KUNIT_EXPECT_FALSE!(test, LOCK.trylock());
    LOCK.unlock();
    KUNIT_EXPECT_TRUE!(test, LOCK.trylock());
    LOCK.unlock();
}

const ROUNDS: u64 = 60;
static LOCK: Mutex = Mutex::new();
/// Not atomic: only the lock keeps it right.
static SUM: Shared<u64> = Shared::new(0);
static INSIDE: AtomicU64 = AtomicU64::new(0);
static CROWD: AtomicU64 = AtomicU64::new(0);
static CREW: Crew = Crew::new();

extern "C" fn adds(data: VoidPtr) -> i32 {
    let number = data.get::<u64>();
    for round in 0..ROUNDS {
        LOCK.lock();
        if INSIDE.fetch_add(1, Ordering::SeqCst) != 0 {
            CROWD.fetch_add(1, Ordering::SeqCst);
        }
        let sum = SUM.get();
        match (round + number) % 3 {
            0 => compute(100, round),
            1 => {
                r#yield();
                0
            }
            _ => {
                usleep_range(5, 5);
                0
            }
        };
        SUM.set(sum + 1);
        INSIDE.fetch_sub(1, Ordering::SeqCst);
        LOCK.unlock();
    }
    CREW.leaves();
    0
}

/// Holders compute, give way and sleep; nobody else gets in, and all come to their turns.
fn excludes(test: &Kunit) {
    static NUMBERS: [u64; 6] = [0, 1, 2, 3, 4, 5];
    let threads = (num_online_cpus() as usize + 1).clamp(3, NUMBERS.len());
    for number in &NUMBERS[..threads] {
        CREW.joins();
        let thread = kthread_run(adds, VoidPtr::new(number), format_args!("adds/{number}"));
        KUNIT_ASSERT_TRUE!(test, thread.is_ok());
    }
    CREW.wait_until_gone();
    KUNIT_EXPECT_EQ!(test, SUM.get(), threads as u64 * ROUNDS);
    KUNIT_EXPECT_EQ!(test, CROWD.load(Ordering::SeqCst), 0);
    KUNIT_EXPECT_TRUE!(test, LOCK.trylock());
    LOCK.unlock();
}

static HELD: Mutex = Mutex::new();
static GOT_IT: AtomicU64 = AtomicU64::new(0);

extern "C" fn wants_it(_: VoidPtr) -> i32 {
    HELD.lock();
    GOT_IT.store(1, Ordering::SeqCst);
    HELD.unlock();
    0
}

/// A waiter stays outside as long as the mutex is held, and gets it afterwards.
fn hands_over(test: &Kunit) {
    HELD.lock();
    let thread = kthread_run(wants_it, VoidPtr::NULL, format_args!("wants"));
    KUNIT_ASSERT_TRUE!(test, thread.is_ok());
    usleep_range(300, 300);
    KUNIT_EXPECT_EQ!(test, GOT_IT.load(Ordering::SeqCst), 0);
    HELD.unlock();
    KUNIT_EXPECT_TRUE!(test, until(|| GOT_IT.load(Ordering::SeqCst) == 1));
}

kunit_test_suite!(
    /// The suite.
    suite = "mutex": [trylock, excludes, hands_over]);
