//! The tests inside the image: every case of every suite, under several schedules, on several numbers of
//! CPUs, read from the console as KTAP; and a case that fails is a failed run.

use super::support::{Ran, code, file, kreplay, long, root, text};

/// Boots the tests; `policy` is the scheduling of the virtual CPUs.
fn boot(cpus: u32, policy: &[&str], append: &str) -> Ran {
    let name = format!("kunit-{cpus}-{}.krec", policy.join("-").replace(' ', "-"));
    let path = file(&name);
    let smp = cpus.to_string();
    let mut args = vec!["record", "--console", "--no-image", "--workload", "kunit"];
    args.extend(["--smp", &smp, "-o", text(&path)]);
    args.extend(policy);
    if !append.is_empty() {
        args.extend(["--append", append]);
    }
    let ran = kreplay(args);
    let _ = std::fs::remove_file(&path);
    ran
}

/// The lines of the report, without the kernel's time stamps.
fn report(console: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = console
        .lines()
        .filter(|line| line.starts_with('['))
        .filter_map(|line| Some(line.trim_end().split_once("] ")?.1))
        .collect();
    let start = lines.iter().position(|line| *line == "KTAP version 1");
    lines.split_off(start.expect("the report begins with its version"))
}

/// What a report says: suites, and cases with their result.
#[derive(Default, Debug)]
struct Counts {
    suites: usize,
    passed: usize,
    skipped: Vec<String>,
}

/// Reads a report as the Kernel Test Anything Protocol has it: plans and numbers must fit, nothing failed.
fn read(lines: &[&str], what: &str) -> Counts {
    let mut counts = Counts::default();
    let (mut planned_suites, mut planned_cases, mut case) = (0, 0, 0);
    for line in lines {
        assert!(!line.trim_start().starts_with("not ok"), "{what}: {line}");
        let nested = line.starts_with("    ");
        if let Some(plan) = line.trim_start().strip_prefix("1..") {
            let plan: usize = plan.parse().unwrap();
            if nested {
                (planned_cases, case) = (plan, 0);
            } else {
                planned_suites = plan;
            }
        } else if let Some(result) = line.trim_start().strip_prefix("ok ") {
            let (number, name) = result.split_once(' ').unwrap();
            let number: usize = number.parse().unwrap();
            if nested {
                case += 1;
                assert_eq!(number, case, "{what}: {line}");
                match name.split_once(" # SKIP ") {
                    Some((name, _)) => counts.skipped.push(name.to_owned()),
                    None => counts.passed += 1,
                }
            } else {
                counts.suites += 1;
                assert_eq!(number, counts.suites, "{what}: {line}");
                assert_eq!(case, planned_cases, "{what}: cases before {line}");
            }
        }
    }
    assert_eq!(counts.suites, planned_suites, "{what}");
    counts
}

/// Every `kunit_test_suite!` of the sources: its cases.
fn cases_in_the_sources() -> usize {
    let mut folders = vec![root().join("kernel-image/src")];
    let mut cases = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            for suite in source.split("\nkunit_test_suite!(").skip(1) {
                let (_, list) = suite.split_once('[').unwrap();
                let (list, _) = list.split_once(']').unwrap();
                cases += list
                    .split(',')
                    .filter(|name| !name.trim().is_empty())
                    .count();
            }
        }
    }
    cases
}

fn all_pass(cpus: u32, policy: &[&str]) {
    let what = format!("{cpus} CPUs {policy:?}");
    let ran = boot(cpus, policy, "").expect(code::DONE);
    let counts = read(&report(&ran.stdout), &what);
    assert_eq!(
        counts.passed + counts.skipped.len(),
        cases_in_the_sources(),
        "{what}: every case of the sources has run"
    );
    // On one CPU there is nowhere to move to.
    assert!(cpus == 1 || counts.skipped.is_empty(), "{what}: {counts:?}");
    assert!(!ran.stdout.contains("WARNING"), "{what}\n{ran}");
}

#[test]
fn every_case_passes_under_round_robin() {
    for cpus in [1, 2, 3, 8] {
        all_pass(cpus, &[]);
    }
    // CPUs that are far from each other.
    all_pass(8, &["--topology", "packages=2,cores=2,threads=2"]);
}

#[test]
fn every_case_passes_under_random_schedules() {
    let seeds = if long() { 1..=40 } else { 1..=3 };
    for seed in seeds {
        let seed = seed.to_string();
        for cpus in if long() { vec![2, 3, 4, 8] } else { vec![2, 4] } {
            all_pass(cpus, &["--policy", "random", "--seed", &seed]);
        }
    }
}

#[test]
fn a_filter_chooses_suites_and_cases() {
    let ran = boot(2, &[], "kunit.filter=sched_*.wakes_*").expect(code::DONE);
    let lines = report(&ran.stdout);
    let counts = read(&lines, "filtered");
    assert_eq!((counts.suites, counts.passed), (1, 2), "{lines:?}");
    assert!(lines.contains(&"    # Subtest: sched_wakeup"), "{lines:?}");
    let none = boot(2, &[], "kunit.filter=nothing").expect(code::GUEST_FAILED);
    none.complains(&["kunit: 0 of 0 tests failed"]);
}
