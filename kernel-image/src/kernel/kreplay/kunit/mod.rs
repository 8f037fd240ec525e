//! The workload `kunit`: tests that run inside the kernel, and the suites of the scheduler and of what
//! stands on it. The suites of `lib/` are where Linux has them; `lib/kunit/executor.rs` lists all.
//!
//! Output is KTAP. A failed case ends the run in a panic. Parameter: `kunit.filter=suite.case`, patterns
//! of `*` and `?`.

pub mod affinity;
pub mod bandwidth;
pub mod classes;
pub mod completion;
pub mod fair;
pub mod fork;
pub mod hotplug;
pub mod kthread;
pub mod mutex;
pub mod stats;
pub mod stop_machine;
pub mod timers;
pub mod topology;
pub mod wait;
pub mod wakeup;
pub mod workqueue;

use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::kunit::test::Kunit;
use crate::include::linux::cpumask::{Cpumask, cpu_online_mask};
use crate::include::linux::kthread::{kthread_create, kthread_should_stop};
use crate::include::linux::sched::{__set_current_state, TASK_RUNNING, TaskRef, set_current_state};
use crate::kernel::kreplay::common::compute;
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::sched::core::{
    schedule, set_cpus_allowed_ptr, wait_task_inactive, wake_up_process,
};
use crate::kernel::time::timer::sleep::usleep_range;
use core::sync::atomic::{AtomicU64, Ordering};

/// Runs it, as pid 1.
pub fn run() {
    let total = crate::lib::kunit::executor::kunit_run_all_tests();
    show_tasks();
    if total.failed > 0 || total.total() == 0 {
        crate::kernel::panic::panic(format_args!(
            "kunit: {} of {} tests failed",
            total.failed,
            total.total()
        ));
    }
}

/// A thread for a test to watch: asleep in a state of the test's choice, or busy; it counts its rounds
/// and ends when it is stopped.
pub struct Subject {
    /// The state it sleeps in; `TASK_RUNNING`: it computes instead.
    state: u32,
    /// How often it was woken, or how many rounds it has computed.
    pub rounds: AtomicU64,
    /// Where it was in its last round.
    pub cpu: Shared<u32>,
}

impl Subject {
    /// One that sleeps in `state`, or computes.
    pub const fn new(state: u32) -> Subject {
        Subject {
            state,
            rounds: AtomicU64::new(0),
            cpu: Shared::new(u32::MAX),
        }
    }

    /// Its rounds so far.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::SeqCst)
    }

    /// Creates its thread, which may run on the CPUs of `mask`, and lets it come to its first sleep.
    pub fn start(&'static self, test: &Kunit, mask: Cpumask) -> Option<TaskRef> {
        let name = format_args!("subject");
        let task = match kthread_create(subject, VoidPtr::new(self), name) {
            Ok(task) => task,
            Err(error) => {
                crate::KUNIT_FAIL!(test, "no thread: error {error}");
                return None;
            }
        };
        let ret = set_cpus_allowed_ptr(task, &mask);
        if ret != 0 {
            crate::KUNIT_FAIL!(test, "the subject cannot have the mask {mask:?}: {ret}");
        }
        wake_up_process(task);
        if self.state == TASK_RUNNING {
            until(|| self.rounds() > 0);
        } else if !until(|| task.__state.get() == self.state)
            || !wait_task_inactive(task, self.state)
        {
            crate::KUNIT_FAIL!(test, "the subject has not gone to sleep");
        }
        Some(task)
    }
}

extern "C" fn subject(data: VoidPtr) -> i32 {
    let me = data.get::<Subject>();
    loop {
        if me.state == TASK_RUNNING {
            compute(50, 1);
        } else {
            set_current_state(me.state);
        }
        if kthread_should_stop() {
            __set_current_state(TASK_RUNNING);
            return 0;
        }
        if me.state != TASK_RUNNING {
            schedule();
        }
        me.cpu.set(raw_smp_processor_id());
        me.rounds.fetch_add(1, Ordering::SeqCst);
    }
}

/// Waits, a second at most, until a condition holds; says whether it does.
pub fn until(condition: impl Fn() -> bool) -> bool {
    for _ in 0..50_000 {
        if condition() {
            return true;
        }
        usleep_range(20, 20);
    }
    condition()
}

/// Two online CPUs, if there are two.
pub fn two_cpus() -> Option<(u32, u32)> {
    let mut online = cpu_online_mask().iter();
    Some((online.next()?, online.next()?))
}
