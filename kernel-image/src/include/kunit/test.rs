//! Tests that run inside the kernel. Linux: `include/kunit/test.h` (v6.8).
//!
//! Kept: suites of cases, expectations that record a failure and go on, assertions that end the case, the
//! names of both. Left out: parameters, resources, mocks, attributes, debugfs. Differs: an assertion
//! returns from the case instead of ending its thread, so what the case has on its stack is left in order;
//! suites are listed in one table (`kunit_suites`) instead of a linker section.

use crate::fence::shared::Shared;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

/// How a case ends.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum KunitStatus {
    /// Every expectation was met.
    Success = 0,
    /// One was not.
    Failure = 1,
    /// It cannot be run here.
    Skipped = 2,
}

/// One case: a function, and its name.
#[doc(alias = "kunit_case")]
pub struct KunitCase {
    /// The name, as its function's.
    pub name: &'static str,
    /// The function.
    pub run_case: fn(&Kunit),
}

/// A suite of cases.
#[doc(alias = "kunit_suite")]
pub struct KunitSuite {
    /// The name.
    pub name: &'static str,
    /// The cases.
    pub test_cases: &'static [KunitCase],
}

/// The case that runs.
#[doc(alias = "kunit")]
pub struct Kunit {
    status: AtomicU32,
    /// Why it was skipped.
    reason: Shared<Option<&'static &'static str>>,
}

impl Kunit {
    /// Nothing has been expected yet.
    pub const fn new() -> Kunit {
        Kunit {
            status: AtomicU32::new(KunitStatus::Success as u32),
            reason: Shared::new(None),
        }
    }

    /// Ready for the next case.
    pub fn reset(&self) {
        self.status
            .store(KunitStatus::Success as u32, Ordering::SeqCst);
        self.reason.set(None);
    }

    /// How it stands.
    pub fn status(&self) -> KunitStatus {
        match self.status.load(Ordering::SeqCst) {
            0 => KunitStatus::Success,
            2 => KunitStatus::Skipped,
            _ => KunitStatus::Failure,
        }
    }

    /// Why it was skipped.
    pub fn reason(&self) -> &'static str {
        self.reason.get().copied().unwrap_or("")
    }

    /// The case cannot be run here. The caller returns.
    pub fn mark_skipped(&self, reason: &'static &'static str) {
        self.reason.set(Some(reason));
        self.status
            .store(KunitStatus::Skipped as u32, Ordering::SeqCst);
    }

    /// Says that an expectation was not met.
    pub fn fail(&self, file: &str, line: u32, kind: &str, what: fmt::Arguments<'_>) {
        self.status
            .store(KunitStatus::Failure as u32, Ordering::SeqCst);
        crate::pr_err!("    # {kind} FAILED at {file}:{line}\n    {what}");
    }
}

/// Names a suite: `kunit_test_suite!(list_test_module = "list-kunit-test": [list_test_list_init, …]);`
#[macro_export]
macro_rules! kunit_test_suite {
    ($(#[$doc:meta])* $suite:ident = $name:literal: [$($case:ident),* $(,)?]) => {
        $(#[$doc])*
        pub static $suite: $crate::include::kunit::test::KunitSuite =
            $crate::include::kunit::test::KunitSuite {
                name: $name,
                test_cases: &[$($crate::include::kunit::test::KunitCase {
                    name: stringify!($case),
                    run_case: $case,
                }),*],
            };
    };
}

/// Compares; yields whether the comparison holds, and records it if it does not.
#[macro_export]
macro_rules! kunit_binary {
    ($kind:literal, $test:expr, $left:expr, $op:tt, $right:expr) => {{
        let (left, right) = ($left, $right);
        let holds = left $op right;
        if !holds {
            $test.fail(file!(), line!(), $kind, core::format_args!(
                "Expected {} {} {}, but\n        {} == {left:?}\n        {} == {right:?}",
                stringify!($left), stringify!($op), stringify!($right),
                stringify!($left), stringify!($right)
            ));
        }
        holds
    }};
}

/// Expects a condition.
#[macro_export]
macro_rules! KUNIT_EXPECT_TRUE {
    ($test:expr, $cond:expr) => {{
        let holds: bool = $cond;
        if !holds {
            $test.fail(
                file!(),
                line!(),
                "EXPECTATION",
                core::format_args!("Expected {} to be true, but is false", stringify!($cond)),
            );
        }
    }};
}
/// Expects a condition not to hold.
#[macro_export]
macro_rules! KUNIT_EXPECT_FALSE {
    ($test:expr, $cond:expr) => {{
        let holds: bool = $cond;
        if holds {
            $test.fail(
                file!(),
                line!(),
                "EXPECTATION",
                core::format_args!("Expected {} to be false, but is true", stringify!($cond)),
            );
        }
    }};
}
/// Expects two values to be equal.
#[macro_export]
macro_rules! KUNIT_EXPECT_EQ {
    ($test:expr, $left:expr, $right:expr) => {
        let _ = $crate::kunit_binary!("EXPECTATION", $test, $left, ==, $right);
    };
}
/// Expects two values to differ.
#[macro_export]
macro_rules! KUNIT_EXPECT_NE {
    ($test:expr, $left:expr, $right:expr) => {
        let _ = $crate::kunit_binary!("EXPECTATION", $test, $left, !=, $right);
    };
}
/// Expects `left < right`.
#[macro_export]
macro_rules! KUNIT_EXPECT_LT {
    ($test:expr, $left:expr, $right:expr) => {
        let _ = $crate::kunit_binary!("EXPECTATION", $test, $left, <, $right);
    };
}
/// Expects `left <= right`.
#[macro_export]
macro_rules! KUNIT_EXPECT_LE {
    ($test:expr, $left:expr, $right:expr) => {
        let _ = $crate::kunit_binary!("EXPECTATION", $test, $left, <=, $right);
    };
}
/// Expects `left > right`.
#[macro_export]
macro_rules! KUNIT_EXPECT_GT {
    ($test:expr, $left:expr, $right:expr) => {
        let _ = $crate::kunit_binary!("EXPECTATION", $test, $left, >, $right);
    };
}
/// Expects `left >= right`.
#[macro_export]
macro_rules! KUNIT_EXPECT_GE {
    ($test:expr, $left:expr, $right:expr) => {
        let _ = $crate::kunit_binary!("EXPECTATION", $test, $left, >=, $right);
    };
}
/// Ends the case unless two values are equal.
#[macro_export]
macro_rules! KUNIT_ASSERT_EQ {
    ($test:expr, $left:expr, $right:expr) => {
        if !$crate::kunit_binary!("ASSERTION", $test, $left, ==, $right) {
            return;
        }
    };
}
/// Ends the case unless a condition holds.
#[macro_export]
macro_rules! KUNIT_ASSERT_TRUE {
    ($test:expr, $cond:expr) => {
        if !$cond {
            $test.fail(
                file!(),
                line!(),
                "ASSERTION",
                core::format_args!("Expected {} to be true, but is false", stringify!($cond)),
            );
            return;
        }
    };
}
/// Says unconditionally that the case has failed.
#[macro_export]
macro_rules! KUNIT_FAIL {
    ($test:expr, $($fmt:tt)+) => {
        $test.fail(file!(), line!(), "EXPECTATION", core::format_args!($($fmt)+))
    };
}
/// Ends the case as one that cannot be run here.
#[macro_export]
macro_rules! kunit_skip {
    ($test:expr, $reason:literal) => {{
        $test.mark_skipped(&$reason);
        return;
    }};
}
