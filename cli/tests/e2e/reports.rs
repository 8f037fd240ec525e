//! The reports on real recordings: their identities, and what the raw events say about their rows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use trace::event::Event;
use trace::events::EventData;

use super::support::{code, kreplay, opened, recording, text};

const SIZES: [u32; 3] = [2, 4, 8];

/// The causes of definitions.md section 2, a closed set.
pub const CAUSES: [&str; 17] = [
    "affinity",
    "migrate-enable",
    "exec",
    "fork",
    "wake",
    "balance-periodic",
    "balance-newidle",
    "balance-nohz",
    "balance-active",
    "rt-push",
    "rt-pull",
    "dl-push",
    "dl-pull",
    "numa-move",
    "numa-swap",
    "hotplug",
    "fallback",
];

/// A report as JSON.
pub fn json(report: &str, cpus: u32) -> Value {
    let ran = kreplay([
        "analyze",
        report,
        "--format",
        "json",
        text(&recording(cpus)),
    ]);
    let ran = ran.expect(code::DONE);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}\n{ran}"))
}

pub fn rows<'a>(report: &'a Value, table: &str) -> &'a Vec<Value> {
    report[table]
        .as_array()
        .unwrap_or_else(|| panic!("no table {table}"))
}

pub fn number(row: &Value, column: &str) -> u64 {
    row[column]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {column} in {row}"))
}

#[test]
fn every_identity_that_a_report_checks_holds() {
    for cpus in SIZES {
        for report in ["migration", "stopper"] {
            let report = json(report, cpus);
            let checks = rows(&report, "checks");
            assert!(checks.len() >= 2, "{checks:?}");
            for check in checks {
                assert_eq!(check["holds"], true, "{cpus} CPUs: {check}");
            }
            assert_eq!(report["recording"]["complete"], true);
        }
    }
}

#[test]
fn the_phases_of_every_move_sum_to_its_total_and_every_cause_is_known() {
    for cpus in SIZES {
        let report = json("migration", cpus);
        let moves = rows(&report, "moves");
        assert!(moves.len() >= 1000, "{cpus} CPUs: {} rows", moves.len());
        for row in moves {
            let phases = [
                "off_src_ns",
                "stop_wait_ns",
                "stop_run_ns",
                "enq_dst_ns",
                "ipi_ns",
                "first_run_ns",
            ];
            let sum: u64 = phases.iter().map(|phase| number(row, phase)).sum();
            assert_eq!(sum, number(row, "total_ns"), "{cpus} CPUs: {row}");
            assert_eq!(
                number(row, "end_ns") - number(row, "time_ns"),
                sum,
                "{cpus} CPUs: {row}"
            );
            let cause = row["cause"].as_str().unwrap();
            assert!(CAUSES.contains(&cause), "{cpus} CPUs: {row}");
            assert!(
                number(row, "begin_seq") <= number(row, "migrate_seq"),
                "{row}"
            );
            assert!(
                number(row, "migrate_seq") <= number(row, "end_seq"),
                "{row}"
            );
        }
    }
}

#[test]
fn every_migrate_event_is_one_row_and_no_row_is_made_up() {
    for cpus in SIZES {
        let report = json("migration", cpus);
        let told: Vec<u64> = rows(&report, "moves")
            .iter()
            .filter(|row| row["kind"] == "move")
            .map(|row| number(row, "migrate_seq"))
            .collect();
        let happened: Vec<u64> = events(cpus)
            .filter(
                |e| matches!(e.data, EventData::SchedMigrateTask(m) if m.orig_cpu != m.dest_cpu),
            )
            .map(|e| e.seq)
            .collect();
        assert_eq!(told, happened, "{cpus} CPUs");
    }
}

/// The migrate events that moved a task which was running when the stopper came for it: the stopper was
/// switched in over it, and then started a work about it.
fn moves_of_running_tasks(cpus: u32) -> BTreeSet<u64> {
    // By CPU: the task that the stopper preempted, and whether it has started a work about it.
    let mut caught: BTreeMap<u32, (i32, bool)> = BTreeMap::new();
    let mut moves = BTreeSet::new();
    for event in events(cpus) {
        match event.data {
            EventData::SchedSwitch(s) => {
                caught.remove(&event.cpu);
                let stopper = s.next_comm.to_text() == format!("migration/{}", event.cpu);
                if stopper && matches!(s.prev_state, 0 | 0x100) && s.prev_pid != 0 {
                    caught.insert(event.cpu, (s.prev_pid, false));
                }
            }
            EventData::StopWorkStart(work) => {
                if let Some(victim) = caught.get_mut(&event.cpu) {
                    victim.1 |= work.task_pid == victim.0;
                }
            }
            EventData::SchedMigrateTask(m) if caught.get(&event.cpu) == Some(&(m.pid, true)) => {
                caught.remove(&event.cpu);
                moves.insert(event.seq);
            }
            _ => {}
        }
    }
    moves
}

fn events(cpus: u32) -> impl Iterator<Item = Event> {
    opened(cpus).load_events().unwrap().into_iter()
}

#[test]
fn a_running_task_is_moved_by_a_stopper_whose_work_has_a_row() {
    for cpus in SIZES {
        let running = moves_of_running_tasks(cpus);
        assert!(running.len() >= 1000, "{cpus} CPUs: {}", running.len());
        let migration = json("migration", cpus);
        let stopper = json("stopper", cpus);
        let works: BTreeSet<u64> = rows(&stopper, "stopper_works")
            .iter()
            .filter_map(|row| row["work_start_seq"].as_u64())
            .collect();
        let mut found = 0;
        for row in rows(&migration, "moves") {
            if row["kind"] != "move" || !running.contains(&number(row, "migrate_seq")) {
                continue;
            }
            assert_eq!(row["path"], "stopper", "{cpus} CPUs: {row}");
            assert!(
                works.contains(&number(row, "work_start_seq")),
                "{cpus} CPUs: {row}"
            );
            found += 1;
        }
        assert_eq!(found, running.len(), "{cpus} CPUs");
    }
}

#[test]
fn csv_text_and_json_tell_the_same_rows() {
    let krec = recording(2);
    for (report, table) in [("migration", "moves"), ("stopper", "stopper_works")] {
        let all = json(report, 2);
        let count = rows(&all, table).len();
        let csv = kreplay(["analyze", report, "--format", "csv", text(&krec)]).expect(code::DONE);
        let mut lines = csv.stdout.lines();
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        assert_eq!(lines.count(), count, "{report}");
        for column in rows(&all, table)[0].as_object().unwrap().keys() {
            assert!(
                header.contains(&column.as_str()),
                "{report}: {column} of {header:?}"
            );
        }
        let few = kreplay(["analyze", report, "--rows", "3", text(&krec)]).expect(code::DONE);
        let many = kreplay(["analyze", report, "--rows", "all", text(&krec)]).expect(code::DONE);
        assert!(
            many.stdout.lines().count() >= few.stdout.lines().count() + count / 2,
            "{report}"
        );
        assert!(
            few.stdout.contains(&recording_hash()),
            "the hash is in every footer\n{few}"
        );
        assert!(!few.stdout.contains('\x1b'), "no colour when piped");
        kreplay(["analyze", report, "--table", "nonsense", text(&krec)])
            .expect(code::BAD_INPUT)
            .complains(&["nonsense", table]);
    }
}

fn recording_hash() -> String {
    opened(2).end().unwrap().stream_sha256.clone()
}

#[test]
fn ps_shows_the_tasks_of_the_end_in_every_format() {
    let krec = recording(4);
    let shown = kreplay(["ps", text(&krec)]).expect(code::DONE);
    let head = shown
        .stdout
        .lines()
        .find(|line| line.contains("COMM"))
        .expect("a header");
    let head: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(
        &head[..7],
        ["TASK", "PID", "COMM", "CPU", "STATE", "CLASS", "PRIO"]
    );
    let recording = opened(4);
    let tasks = recording.tasks();
    for task in tasks {
        let address = format!("{:#018x}", task.addr);
        let line = shown
            .stdout
            .lines()
            .find(|line| line.contains(&address))
            .expect(&address);
        for part in [task.comm.as_str(), &task.pid.to_string(), &task.class] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    let csv = kreplay(["ps", "--format", "csv", text(&krec)]).expect(code::DONE);
    assert_eq!(csv.stdout.lines().count(), tasks.len() + 1);
    let json = kreplay(["ps", "--format", "json", text(&krec)]).expect(code::DONE);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(rows(&json, "tasks").len(), tasks.len());
    assert!(
        rows(&json, "tasks")
            .iter()
            .any(|row| row["comm"] == "migration/3")
    );
}

#[test]
fn calls_show_how_the_boot_reached_the_scheduler() {
    let krec = recording(2);
    let ran = kreplay([
        "calls",
        "--from",
        "start_kernel",
        "--to",
        "set_task_rq_fair",
        text(&krec),
    ])
    .expect(code::DONE);
    // The hierarchy of the seed, each with the file that Linux has it in.
    let mut at = 0;
    for (function, file) in [
        ("start_kernel", "init/main"),
        ("rest_init", "init/main"),
        ("user_mode_thread", "kernel/fork"),
        ("kernel_clone", "kernel/fork"),
        ("wake_up_new_task", "kernel/sched/core"),
        ("__set_task_cpu", "kernel/sched/sched"),
        ("set_task_rq", "kernel/sched/sched"),
        ("set_task_rq_fair", "kernel/sched/fair"),
    ] {
        let line = ran.stdout[at..]
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("- {function}()")))
            .unwrap_or_else(|| panic!("no {function} after byte {at}\n{ran}"));
        assert!(line.contains(&format!("// in {file}")), "{line}");
        assert!(line.contains(" at line "), "{line}");
        at += ran.stdout[at..].find(line).unwrap() + line.len();
    }
    kreplay(["calls", "--to", "set_task_rq_fare", text(&krec)])
        .expect(code::BAD_INPUT)
        .complains(&["set_task_rq_fare", "set_task_rq"]);
}
