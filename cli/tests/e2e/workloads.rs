//! What the built-in kernel's workloads show: every cause that it has for a move, moves by active balance with
//! a stopper's phases, a small idle boot, shares by weight and limit, machines of several shapes, CPUs that go
//! and come a hundred times.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use trace::check;
use trace::krec::OutcomeRow;

use super::reports::{CAUSES, number, rows};
use super::support::{code, file, kreplay, long, open, text};

/// Records a workload on so many CPUs; gives the migration report.
fn moves(workload: &str, cpus: u32, append: &str) -> Value {
    let path = file(&format!("workload-{workload}-{cpus}.krec"));
    let smp = cpus.to_string();
    let mut line = vec!["record", "--no-image", "--workload", workload];
    line.extend(["--smp", &smp, "-o", text(&path)]);
    if !append.is_empty() {
        line.extend(["--append", append]);
    }
    kreplay(line).expect(code::DONE);
    let report = ["analyze", "migration", "--format", "json", text(&path)];
    let ran = kreplay(report).expect(code::DONE);
    std::fs::remove_file(&path).expect("the recording was just written");
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}\n{ran}"));
    for check in rows(&report, "checks") {
        assert_eq!(check["holds"], true, "{workload}, {cpus} CPUs: {check}");
    }
    report
}

#[test]
fn every_cause_occurs_in_some_workload_and_has_a_name() {
    let mut found: BTreeMap<String, &str> = BTreeMap::new();
    let mut pushed_by_balance = 0;
    for (workload, append) in [
        ("affinity", ""),
        ("balance", ""),
        ("rt", ""),
        ("deadline", "deadline.periods=2"),
        ("hotplug", "hotplug.cycles=1"),
    ] {
        let report = moves(workload, 4, append);
        for row in rows(&report, "moves") {
            let cause = row["cause"].as_str().expect("a cause").to_owned();
            assert!(CAUSES.contains(&cause.as_str()), "{workload}: {row}");
            found.entry(cause).or_insert(workload);
            if row["cause"] == "balance-active" {
                pushed_by_balance += u32::from(workload == "balance");
                assert_eq!(row["path"], "stopper", "{row}");
                // Its stopper had to come and to run for it.
                assert!(number(row, "stop_run_ns") > 0, "{row}");
                assert!(row["work_queue_seq"].is_u64(), "{row}");
            }
        }
    }
    let missing: BTreeSet<&str> = CAUSES
        .into_iter()
        .filter(|cause| !found.contains_key(*cause))
        .collect();
    assert!(missing.is_empty(), "{missing:?} do not occur: {found:?}");
    assert!(pushed_by_balance > 0, "no active balance in `balance`");
}

#[test]
fn the_boot_to_the_idle_system_takes_less_than_60_million_instructions() {
    let path = file("idle-boot.krec");
    let record = ["record", "--workload", "idle", "--smp", "2", "-o"];
    kreplay(record.into_iter().chain([text(&path)])).expect(code::DONE);
    let end = open(&path).end().expect("it is whole").clone();
    let insns: u64 = end.cpu_insns.iter().sum();
    assert!(insns < 60_000_000, "{insns}");
}

/// The workload checks itself, and a broken rule is a panic; and what must hold of any run holds of this one.
fn runs(workload: &str, cpus: u32, append: &str, until: &str) {
    runs_on(&[], workload, cpus, append, until);
}

fn runs_on(machine: &[&str], workload: &str, cpus: u32, append: &str, until: &str) {
    let path = file(&format!("long-{workload}-{cpus}.krec"));
    let smp = cpus.to_string();
    let mut line = vec!["record", "--no-image", "--workload", workload];
    line.extend(["--smp", &smp, "--append", append, "--until", until]);
    line.extend(["-o", text(&path)]);
    line.extend(machine);
    kreplay(line).expect(code::DONE);
    let recording = open(&path);
    let end = recording.end().expect("it is whole");
    assert_eq!(end.outcome, OutcomeRow::PowerOff, "{workload}");
    let found = check::whole(&recording.load_events().unwrap());
    assert!(found.is_empty(), "{workload}, {cpus} CPUs: {}", found[0]);
    std::fs::remove_file(&path).expect("the recording was just written");
}

#[test]
fn shares_follow_weights() {
    runs("fair", 3, "fair.ms=1500", "60s");
    // Nice 0 and nice 5 beside each other for ten seconds: what each got, from the console.
    let path = file("long-shares.krec");
    let line = ["record", "--no-image", "--workload", "fair", "--console"];
    let rest = [
        "--append",
        "fair.ms=10000",
        "--until",
        "11s",
        "-o",
        text(&path),
    ];
    let ran = kreplay(line.into_iter().chain(rest)).expect(code::DONE);
    std::fs::remove_file(&path).expect("the recording was just written");
    let words = "fair: nice 0 against nice 5: ";
    let said = ran.stdout.lines().find_map(|line| line.split_once(words));
    let (_, said) = said.unwrap_or_else(|| panic!("no {words}\n{ran}"));
    let (got, _) = said.split_once(" ms for 1024 : 335").expect(said);
    let (nice_0, nice_5) = got.split_once(" : ").expect(got);
    let [nice_0, nice_5]: [f64; 2] = [nice_0, nice_5].map(|ms| ms.parse().expect(got));
    assert!((nice_0 + nice_5 - 10_000.0).abs() < 20.0, "{got}");
    let ratio = nice_0 / nice_5 / (1024.0 / 335.0);
    assert!(
        (ratio - 1.0).abs() < 0.02,
        "{got}: {ratio} of what weights say"
    );
}

/// Groups that may run for so long a period and no longer. (Which tasks are throttled no event tells: that
/// nobody waits beside an idle CPU cannot be asked of this one.)
#[test]
fn shares_follow_limits() {
    let path = file("limits.krec");
    let line = ["record", "--no-image", "--workload", "fair", "--console"];
    let rest = [
        "--append",
        "fair.limits=1 fair.quick=1",
        "--until",
        "60s",
        "-o",
        text(&path),
    ];
    let ran = kreplay(line.into_iter().chain(rest)).expect(code::DONE);
    for words in [
        "fair: limited and alone: 199 ms of 1000",
        "fair: all numbers are as they should be",
    ] {
        assert!(ran.stdout.contains(words), "no {words}\n{ran}");
    }
    assert_eq!(open(&path).end().unwrap().outcome, OutcomeRow::PowerOff);
}

/// Threads of a core, cores of a package, packages; and a CPU of half the others' capacity: what is balanced
/// with what follows the machine.
#[test]
fn balance_follows_the_shape_of_the_machine() {
    let packages = ["--topology", "packages=2,cores=2,threads=2"];
    runs_on(&packages, "balance", 8, "", "60s");
    let cores = ["--topology", "cores=4,threads=2"];
    runs_on(&cores, "balance", 8, "balance.rounds=1", "60s");
    runs("balance", 4, "cpu_capacity.1=512", "60s");
}

#[test]
fn cpus_go_and_come() {
    runs("hotplug", 3, "hotplug.cycles=2", "1000s");
    let sizes = if long() { &[2, 4, 8][..] } else { &[2] };
    for cpus in sizes {
        runs("hotplug", *cpus, "hotplug.cycles=100", "1000s");
    }
}
