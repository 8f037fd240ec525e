//! What the built-in kernel's workloads show: every cause that it has for a move, moves by active balance with
//! a stopper's phases, a small idle boot, shares by weight and limit, machines of several shapes, load
//! averages, CPUs that go and come a hundred times under hackbench.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use trace::check;
use trace::event::Event;
use trace::events::EventData;
use trace::krec::{OutcomeRow, Recording};

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
    checked(machine, workload, cpus, append, until);
}

fn checked(
    machine: &[&str],
    workload: &str,
    cpus: u32,
    append: &str,
    until: &str,
) -> (Recording, Vec<Event>) {
    let path = file(&format!("long-{workload}-{cpus}.krec"));
    let smp = cpus.to_string();
    let mut line = vec!["record", "--no-image", "--workload", workload];
    line.extend(["--smp", &smp, "--append", append, "--until", until]);
    line.extend(["-o", text(&path)]);
    line.extend(machine);
    kreplay(line).expect(code::DONE);
    let recording = open(&path);
    std::fs::remove_file(&path).expect("the recording was just written");
    let end = recording.end().expect("it is whole");
    assert_eq!(end.outcome, OutcomeRow::PowerOff, "{workload}");
    let events = recording.load_events().unwrap();
    let found = check::whole(&events);
    assert!(found.is_empty(), "{workload}, {cpus} CPUs: {}", found[0]);
    let unsettled = check::unsettled(&events);
    let lost = check::state::lost(recording.tasks(), &unsettled);
    assert!(lost.is_empty(), "{workload}, {cpus} CPUs: {}", lost[0]);
    let outside = check::tasks_in_mask(recording.tasks(), &unsettled);
    assert!(outside.is_empty(), "{workload}, {cpus} CPUs: {outside:?}");
    (recording, events)
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

/// One reading of the load averages over 1, 5 and 15 minutes, by v6.8's formula: fixed point with 11 digits.
fn next_reading(averages: [u64; 3], tasks: u64) -> [u64; 3] {
    let active = tasks << 11;
    let exps = [1884, 2014, 2037];
    std::array::from_fn(|i| {
        let sum = averages[i] * exps[i] + active * (2048 - exps[i]);
        if active >= averages[i] {
            sum.div_ceil(2048)
        } else {
            sum / 2048
        }
    })
}

/// Forty seconds of tasks that count, and forty of none. The workload compares every reading with the formula; what
/// it reached is compared with what follows from the beginning, and with the exponential function.
#[test]
fn load_averages_are_linuxs_to_the_last_digit() {
    load_averages(2, "timers.tasks=3", 3);
    load_averages(2, "timers.tasks=3 timers.hogs=2", 3);
    if long() {
        load_averages(4, "timers.tasks=9 timers.hogs=2", 9);
        load_averages(1, "timers.tasks=2 timers.hogs=1", 2);
    }
}

fn load_averages(cpus: u32, append: &str, tasks: u64) {
    let append = format!("timers.load=40 timers.levels=1 timers.rounds=1 {append}");
    let (recording, _) = checked(&[], "timers", cpus, &append, "1000s");
    let lines = recording.console().iter();
    let console: Vec<_> = lines.map(|it| String::from_utf8_lossy(&it.bytes)).collect();
    let said = console.iter().find(|line| line.contains("timers: load of"));
    let said = said.unwrap_or_else(|| panic!("{append}: {console:?}"));
    let averages = said.split(['[', ']']).filter_map(|part| {
        let numbers: Option<Vec<u64>> = part.split(", ").map(|it| it.parse().ok()).collect();
        <[u64; 3]>::try_from(numbers?).ok()
    });
    let [begin, reached, end] = averages.collect::<Vec<_>>().try_into().expect(said);
    let with_others: u64 = said.trim().rsplit_once(' ').unwrap().1.parse().expect(said);

    // A reading every 5 seconds and a tick.
    const READINGS: i32 = 40 * 250 / 1251;
    let full = (0..READINGS).fold(begin, |averages, _| next_reading(averages, tasks));
    let empty = (0..READINGS).fold(full, |averages, _| next_reading(averages, 0));
    for i in 0..3 {
        // Two others at most in a reading, each of whom is in it as our tasks are.
        let others = 2 * with_others * (next_reading([0; 3], 1)[i] + 1);
        for (found, right) in [(reached[i], full[i]), (end[i], empty[i])] {
            assert!((right..=right + others).contains(&found), "{said}: {right}");
        }
        // The decay of 5 seconds out of 1, 5 and 15 minutes.
        let minutes = [1.0, 5.0, 15.0][i];
        let left = (-5.0 * f64::from(READINGS) / 60.0 / minutes).exp();
        let exact = begin[i] as f64 * left + tasks as f64 * 2048.0 * (1.0 - left);
        let error = full[i] as f64 - exact;
        // A step rounds up by less than one, and its constant is off by half of one of 2048 at most.
        let allowed = f64::from(READINGS) * (1.0 + tasks as f64 / 2.0);
        assert!(error.abs() <= allowed, "{said}: {exact}");
    }
}

#[test]
fn cpus_go_and_come() {
    runs("hotplug", 3, "hotplug.cycles=2", "1000s");
    if long() {
        runs("hotplug", 2, "hotplug.cycles=100", "1000s");
    }
}

/// Every CPU but the first goes and comes a hundred times while hackbench runs over and over (each time it
/// checks that all messages have come and all its threads get to their end).
fn a_hundred_cycles_under_hackbench(cpus: u32, append: &str) {
    const CYCLES: u64 = 100;
    let append = format!("hotplug.load=hackbench hotplug.cycles={CYCLES} {append}");
    let (recording, events) = checked(&[], "hotplug", cpus, &append, "1000s");

    let name = format!("{cpus} CPUs, {append}");
    let counters = &recording.end().expect("it is whole").counters;
    let works = ["queued", "started", "done"].map(|what| counters[&format!("stop_works_{what}")]);
    assert_eq!(works, [works[0]; 3], "{name}: {counters:?}");
    assert_eq!(works, works_seen(&events), "{name}");
    assert!(works[0] > CYCLES, "{name}: {works:?}");

    let cycles = Cycles::of(&events);
    for (cpu, steps) in (1..cpus).map(|cpu| (cpu, cycles.steps.get(&cpu))) {
        assert_eq!(steps, Some(&[CYCLES; 2]), "{name}: CPU {cpu} off and on");
    }
    assert_eq!(cycles.steps.len() as u32, cpus - 1, "{name}");
    assert_eq!(cycles.without_hackbench, 0, "{name}: it did not run");
    // 2 groups of 8 senders and 8 receivers, whole every time, and none of them is left.
    assert!(cycles.ended > 0, "{name}");
    assert_eq!(cycles.ended % 32, 0, "{name}");
    let left = recording
        .tasks()
        .iter()
        .find(|task| is_hackbenchs(&task.comm));
    assert_eq!(left, None, "{name}");
}

fn is_hackbenchs(comm: &str) -> bool {
    comm.starts_with("sender/") || comm.starts_with("receiver/")
}

/// Stopper works queued, started and done.
fn works_seen(events: &[Event]) -> [u64; 3] {
    let mut seen = [0; 3];
    for event in events {
        match event.data {
            EventData::StopWorkQueue(_) => seen[0] += 1,
            EventData::StopWorkStart(_) => seen[1] += 1,
            EventData::StopWorkDone(_) => seen[2] += 1,
            _ => {}
        }
    }
    seen
}

/// What happened since hackbench began: the attempts that shall fail come before.
#[derive(Default)]
struct Cycles {
    /// How often each CPU was off, and on again.
    steps: BTreeMap<u32, [u64; 2]>,
    /// Steps since whose predecessor no thread of hackbench was switched to.
    without_hackbench: u64,
    /// Threads of hackbench that ended.
    ended: u64,
}

impl Cycles {
    fn of(events: &[Event]) -> Cycles {
        /// `CPUHP_BRINGUP_CPU` and `CPUHP_TEARDOWN_CPU`.
        const BRINGUP: i32 = 87;
        const TEARDOWN: i32 = 142;
        let begins = |event: &Event| matches!(&event.data, EventData::SchedWaking(it) if it.comm.to_text() == "hackbench/0");
        let mut cycles = Cycles::default();
        let mut switched_to = 0;
        for event in events.iter().skip_while(|event| !begins(event)) {
            match &event.data {
                EventData::CpuhpExit(it) => {
                    let step = match (it.idx, it.state >= it.idx) {
                        (TEARDOWN, false) => 0,
                        (BRINGUP, true) => 1,
                        _ => continue,
                    };
                    assert_eq!(it.ret, 0, "{it:?}");
                    cycles.steps.entry(it.cpu).or_default()[step] += 1;
                    cycles.without_hackbench += u64::from(switched_to == 0);
                    switched_to = 0;
                }
                EventData::SchedSwitch(it) => {
                    switched_to += u64::from(is_hackbenchs(&it.next_comm.to_text()));
                }
                EventData::SchedProcessExit(it) => {
                    cycles.ended += u64::from(is_hackbenchs(&it.comm.to_text()));
                }
                _ => {}
            }
        }
        cycles
    }
}

/// Grace periods are expedited, and everybody is waited for after every tenth step only: the cycles follow each
/// other fast enough for a test, and hackbench need not be slowed down.
const FAST: &str = "hotplug.expedited=1 hotplug.look=10";

#[test]
fn no_task_is_lost_in_100_cycles_under_hackbench_on_2_cpus() {
    a_hundred_cycles_under_hackbench(2, FAST);
    if long() {
        a_hundred_cycles_under_hackbench(2, "");
    }
}

#[test]
fn no_task_is_lost_in_100_cycles_under_hackbench_on_4_cpus() {
    if long() {
        a_hundred_cycles_under_hackbench(4, FAST);
    }
}

#[test]
fn no_task_is_lost_in_100_cycles_under_hackbench_on_8_cpus() {
    if long() {
        a_hundred_cycles_under_hackbench(8, FAST);
    }
}
