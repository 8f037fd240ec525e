//! Runs suites of tests. Linux: `lib/kunit/test.c`, `try-catch.c` (v6.8).
//!
//! Kept: the output (KTAP, line by line as KUnit prints it), a thread of its own for every case, the
//! timeout. Left out: parameters, the log in debugfs, statistics levels. Differs: a case that is not done
//! in time ends the kernel, because its thread cannot be taken away from what it waits for.

use crate::fence::void::VoidPtr;
use crate::include::kunit::test::{Kunit, KunitCase, KunitStatus, KunitSuite};
use crate::include::linux::completion::Completion;
use crate::include::linux::kthread::kthread_run;
use crate::kernel::sched::completion::{complete, try_wait_for_completion};
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;

/// A case has this long, us of virtual time.
const TIMEOUT_US: u64 = 60_000_000;
const POLL_US: u64 = 50;

static TEST: Kunit = Kunit::new();
static DONE: Completion = Completion::new();

/// How many cases ended how.
#[derive(Clone, Copy, Default)]
#[doc(alias = "kunit_result_stats")]
pub struct KunitResultStats {
    /// Passed.
    pub passed: u32,
    /// Failed.
    pub failed: u32,
    /// Skipped.
    pub skipped: u32,
}

impl KunitResultStats {
    /// All of them.
    pub fn total(&self) -> u32 {
        self.passed + self.failed + self.skipped
    }

    fn update(&mut self, status: KunitStatus) {
        match status {
            KunitStatus::Success => self.passed += 1,
            KunitStatus::Failure => self.failed += 1,
            KunitStatus::Skipped => self.skipped += 1,
        }
    }

    /// Adds another suite's.
    pub fn accumulate(&mut self, other: KunitResultStats) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    fn status(&self) -> KunitStatus {
        if self.failed > 0 {
            KunitStatus::Failure
        } else if self.passed > 0 || self.skipped == 0 {
            KunitStatus::Success
        } else {
            KunitStatus::Skipped
        }
    }
}

extern "C" fn kunit_generic_run_threadfn_adapter(data: VoidPtr) -> i32 {
    (data.get::<KunitCase>().run_case)(&TEST);
    complete(&DONE);
    0
}

/// Runs a case in a thread of its own, and waits for it.
fn kunit_try_catch_run(case: &'static KunitCase) {
    let name = format_args!("kunit_try_catch_thread");
    let adapter = kunit_generic_run_threadfn_adapter;
    if let Err(error) = kthread_run(adapter, VoidPtr::new(case), name) {
        crate::KUNIT_FAIL!(TEST, "no thread for the case: error {error}");
        return;
    }
    let mut left = TIMEOUT_US;
    while !try_wait_for_completion(&DONE) {
        if left < POLL_US {
            crate::kernel::panic::panic(format_args!("kunit: {}: try timed out", case.name));
        }
        left -= POLL_US;
        usleep_range(POLL_US, POLL_US);
    }
}

fn kunit_print_ok_not_ok(indent: &str, status: KunitStatus, number: usize, description: &str) {
    let ok = if status == KunitStatus::Failure {
        "not ok"
    } else {
        "ok"
    };
    if status == KunitStatus::Skipped {
        pr_info!(
            "{indent}{ok} {number} {description} # SKIP {}",
            TEST.reason()
        );
    } else {
        pr_info!("{indent}{ok} {number} {description}");
    }
}

/// Runs those cases of a suite that `wanted` names; the suite is the `number`-th of the run.
pub fn kunit_run_suite(
    suite: &'static KunitSuite,
    number: usize,
    wanted: impl Fn(&KunitCase) -> bool,
) -> KunitResultStats {
    let cases = || suite.test_cases.iter().filter(|case| wanted(case));
    pr_info!("    KTAP version 1");
    pr_info!("    # Subtest: {}", suite.name);
    pr_info!("    1..{}", cases().count());
    let mut stats = KunitResultStats::default();
    for (index, case) in cases().enumerate() {
        TEST.reset();
        kunit_try_catch_run(case);
        stats.update(TEST.status());
        kunit_print_ok_not_ok("    ", TEST.status(), index + 1, case.name);
    }
    print_stats(suite.name, stats);
    TEST.reset();
    kunit_print_ok_not_ok("", stats.status(), number, suite.name);
    stats
}

/// Prints the sums of one suite, or of all.
pub fn print_stats(of: &str, stats: KunitResultStats) {
    pr_info!(
        "# {of}: pass:{} fail:{} skip:{} total:{}",
        stats.passed,
        stats.failed,
        stats.skipped,
        stats.total()
    );
}
