//! The table of suites, and which of them run. Linux: `lib/kunit/executor.c` (v6.8).
//!
//! Kept: `kunit.filter_glob=suite.case`. Left out: attribute filters, listing. Differs: Linux runs what is
//! built in on every boot; here it is the workload `kunit`, and a failed case ends in a panic, so that a run
//! with one is a failed run; `kunit.filter=` is the short form of the same parameter.

use super::test::{KunitResultStats, kunit_run_suite, print_stats};
use crate::include::kunit::test::KunitSuite;
use crate::kernel::kreplay::kunit as ours;
use crate::kernel::params::param;
use crate::pr_info;

const NR_SUITES: usize = 20;

/// Every suite.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static kunit_suites: [&KunitSuite; NR_SUITES] = [
    &crate::lib::list_test::list_test_module,
    &crate::lib::llist_kunit::llist_test_module,
    &crate::lib::rbtree_test::rbtree_test_module,
    &crate::lib::cpumask_kunit::test_cpumask_suite,
    &ours::wakeup::suite,
    &ours::completion::suite,
    &ours::wait::suite,
    &ours::kthread::suite,
    &ours::stop_machine::suite,
    &ours::affinity::suite,
    &ours::fair::suite,
    &ours::bandwidth::suite,
    &ours::classes::suite,
    &ours::stats::suite,
    &ours::hotplug::suite,
    &ours::timers::suite,
    &ours::mutex::suite,
    &ours::workqueue::suite,
    &ours::fork::suite,
    &ours::topology::suite,
];

/// Longest name and filter.
const MAX: usize = 64;

/// Whether a text matches a pattern of `*`, `?` and plain characters (`lib/glob.c`).
pub fn glob_match(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|skip| glob_match(rest, &text[skip..])),
        (Some((b'?', pattern)), Some((_, text))) => glob_match(pattern, text),
        (Some((a, pattern)), Some((b, text))) => a == b && glob_match(pattern, text),
        _ => false,
    }
}

/// `suite` or `suite.case`, each a pattern.
struct Filter {
    text: [u8; MAX],
    len: usize,
}

impl Filter {
    fn from_command_line() -> Filter {
        let mut filter = Filter {
            text: [0; MAX],
            len: 0,
        };
        if let Some(text) = param("kunit.filter_glob").or(param("kunit.filter")) {
            for (to, byte) in filter.text.iter_mut().zip(text.bytes()) {
                *to = byte;
                filter.len += 1;
            }
        }
        filter
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        let text = &self.text[..self.len];
        match text.iter().position(|&byte| byte == b'.') {
            Some(dot) => (&text[..dot], &text[dot + 1..]),
            None => (text, b""),
        }
    }
}

fn matches(pattern: &[u8], name: &str) -> bool {
    pattern.is_empty() || glob_match(pattern, name.as_bytes())
}

/// Runs every suite that the command line wants; how many cases ended how.
pub fn kunit_run_all_tests() -> KunitResultStats {
    let filter = Filter::from_command_line();
    let (suite_glob, case_glob) = filter.parts();
    let wanted = || {
        kunit_suites.iter().filter(|suite| {
            matches(suite_glob, suite.name)
                && suite
                    .test_cases
                    .iter()
                    .any(|case| matches(case_glob, case.name))
        })
    };
    pr_info!("KTAP version 1");
    pr_info!("1..{}", wanted().count());
    let mut total = KunitResultStats::default();
    for (index, suite) in wanted().enumerate() {
        let stats = kunit_run_suite(suite, index + 1, |case| matches(case_glob, case.name));
        total.accumulate(stats);
    }
    print_stats("Totals", total);
    total
}
