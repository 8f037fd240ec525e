//! The reports that people know from perf and BCC: perf prints the same lines for the same events, and
//! sums that share nothing with our code are equal to the nanosecond.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use serde_json::Value;

use super::reports::{number, rows};
use super::support::{Ran, code, command, file, kreplay, opened, python_script, recording, text};

/// `analyze` of a shared recording.
fn analyze(arguments: &[&str], cpus: u32) -> Ran {
    let krec = recording(cpus);
    let words = ["analyze"].iter().chain(arguments).copied();
    kreplay(words.chain([text(&krec)])).expect(code::DONE)
}

fn json(arguments: &[&str], cpus: u32) -> Value {
    let arguments: Vec<&str> = arguments
        .iter()
        .chain(&["--format", "json"])
        .copied()
        .collect();
    let ran = analyze(&arguments, cpus);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}\n{ran}"))
}

/// The exported tables of a recording; a folder for each test, because tests run side by side.
fn tables(name: &str, cpus: u32) -> PathBuf {
    let folder = file(&format!("{name}-tables-{cpus}"));
    kreplay([
        "export",
        "parquet",
        text(&recording(cpus)),
        "-o",
        text(&folder),
    ])
    .expect(code::DONE);
    folder
}

/// perf, which scripts/test.sh installs where it is missing.
fn perf() -> String {
    let perf = std::env::var("KREPLAY_PERF").unwrap_or_else(|_| "perf".to_owned());
    let there = std::process::Command::new(&perf).arg("--version").output();
    assert!(
        there.is_ok_and(|ran| ran.status.success()),
        "{perf} does not run: scripts/test.sh installs it (need_perf in scripts/lib.sh)"
    );
    perf
}

#[test]
fn perf_prints_the_same_latency_timehist_and_map() {
    for cpus in [2, 4, 8] {
        let ran = python_script(
            "perf_sched.py",
            &[
                env!("CARGO_BIN_EXE_kreplay"),
                &perf(),
                text(&tables("perf", cpus)),
                text(&recording(cpus)),
                text(&file(&format!("perf-{cpus}.data"))),
            ],
        );
        assert!(ran.stdout.contains("lines are the same"), "{ran}");
    }
}

#[test]
fn sums_over_the_exported_events_are_equal_to_the_nanosecond() {
    for cpus in [2, 4, 8] {
        let reports: [&[&str]; 4] = [
            &["latency", "-p"],
            &["timehist", "-MwS"],
            &["runqlat"],
            &["classes"],
        ];
        let written = reports.map(|arguments| {
            let path = file(&format!("sums-{}-{cpus}.json", arguments[0]));
            let arguments = [arguments, &["--format", "json"]].concat();
            fs::write(&path, analyze(&arguments, cpus).stdout).unwrap();
            path
        });
        let folder = tables("sums", cpus);
        let [latency, timehist, runqlat, classes] = written.each_ref().map(|path| text(path));
        let ran = python_script(
            "sched_sums.py",
            &[text(&folder), latency, timehist, runqlat, classes],
        );
        assert!(ran.stdout.contains("equal to the nanosecond"), "{ran}");
    }
}

#[test]
fn the_three_footers_of_perf_are_there_with_zeros_and_their_proofs() {
    let ran = analyze(&["latency"], 2);
    let events = opened(2).event_count();
    for line in [
        "  INFO: 0.000% unordered timestamps (0 out of ",
        &format!("  INFO: 0.000% lost events (0 out of {events}, in 0 chunks)"),
        "  INFO: 0.000% context switch bugs (0 out of ",
        "# check holds: no unordered timestamps",
        "# check holds: no lost events",
        "# check holds: no context switch bugs",
    ] {
        assert!(ran.stdout.contains(line), "no `{line}`\n{ran}");
    }
}

#[test]
fn the_reports_count_the_same_delays_and_the_same_time() {
    for cpus in [1, 2, 8] {
        let latency = json(&["latency", "-p"], cpus);
        let tasks = rows(&latency, "latency");
        let sum = |key: &str| tasks.iter().map(|row| number(row, key)).sum::<u64>();
        for style in ["bcc", "bpftrace"] {
            for by in [&[][..], &["-P"], &["--per-cpu"]] {
                let arguments = [&["runqlat", "--style", style][..], by].concat();
                let runqlat = json(&arguments, cpus);
                let counted = rows(&runqlat, "runqlat")
                    .iter()
                    .map(|row| number(row, "count"));
                assert_eq!(counted.sum::<u64>(), sum("count"), "{arguments:?}");
                let total = rows(&runqlat, "delays")
                    .iter()
                    .map(|row| number(row, "total_ns"));
                assert_eq!(total.sum::<u64>(), sum("total_delay_ns"), "{arguments:?}");
            }
        }
        let classes = json(&["classes"], cpus);
        let end = opened(cpus).end().unwrap().clone();
        for row in rows(&classes, "classes")
            .iter()
            .filter(|row| row["cpu"] != "all")
        {
            assert_eq!(number(row, "wall_ns"), end.cycles, "{cpus} CPUs: {row}");
        }
        // A CPU's part of the delays is what a filter by CPU shows.
        let per_cpu = json(&["runqlat", "--per-cpu"], cpus);
        for cpu in rows(&per_cpu, "delays") {
            let at = number(cpu, "key").to_string();
            let one = json(&["latency", "-p", "-C", &at], cpus);
            let count = rows(&one, "latency").iter().map(|row| number(row, "count"));
            assert_eq!(
                count.sum::<u64>(),
                number(cpu, "count"),
                "CPU {at} of {cpus}"
            );
        }
    }
}

#[test]
fn timehist_shows_what_its_filters_leave() {
    let all = json(&["timehist", "-Mw"], 2);
    let all = rows(&all, "timehist");
    let times: Vec<u64> = all.iter().map(|row| number(row, "time_ns")).collect();
    assert!(times.is_sorted(), "rows come by time");
    let kinds = |kind: &str| all.iter().filter(|row| row["kind"] == kind).count();
    assert!(kinds("switch") > 1000 && kinds("wakeup") > 1000 && kinds("migrate") > 1000);

    let shown = |arguments: &[&str]| rows(&json(arguments, 2), "timehist").to_vec();
    let only: Vec<Value> = all.iter().filter(|row| row["cpu"] == 1).cloned().collect();
    assert_eq!(shown(&["timehist", "-Mw", "-C", "1"]), only);

    let hog = all.iter().find(|row| row["comm"] == "hog/0").unwrap()["tid"].clone();
    let of_hog = |row: &&Value| row["tid"] == hog || row["other_tid"] == hog;
    let only: Vec<Value> = all.iter().filter(of_hog).cloned().collect();
    for option in ["-p", "-t"] {
        let found = shown(&["timehist", "-Mw", option, &hog.to_string()]);
        assert_eq!(found, only);
    }

    let inside = |row: &&Value| (20_000_000..=21_000_000).contains(&number(row, "time_ns"));
    let window = shown(&["timehist", "-Mw", "--time", "20ms,0.021"]);
    let wakes: Vec<&Value> = all
        .iter()
        .filter(inside)
        .filter(|r| r["kind"] != "switch")
        .collect();
    let found: Vec<&Value> = window
        .iter()
        .filter(|row| row["kind"] != "switch")
        .collect();
    assert_eq!(found, wakes);
    // Of each CPU the switches inside, and the stretch that the end of the window cuts.
    let switches = all
        .iter()
        .filter(inside)
        .filter(|row| row["kind"] == "switch")
        .count();
    let found = window.iter().filter(|row| row["kind"] == "switch");
    assert_eq!(found.clone().count(), switches + 2);
    for cpu in [0, 1] {
        let run: u64 = found
            .clone()
            .filter(|row| row["cpu"] == cpu)
            .map(|row| number(row, "run_ns"))
            .sum();
        assert_eq!(run, 1_000_000, "CPU {cpu} does something all the time");
    }
}

#[test]
fn a_row_of_map_shows_every_cpu_and_a_name_filter_only_its_tasks() {
    let krec = recording(4);
    let lines = analyze(&["map"], 4).stdout;
    let rows: Vec<&str> = lines
        .lines()
        .filter(|line| line.contains(" secs"))
        .collect();
    assert!(rows.len() > 1000);
    for row in &rows {
        // Two spaces, four columns of four characters.
        let columns = &row[2..18];
        assert_eq!(columns.matches('*').count(), 1, "{row}");
    }
    assert!(rows.iter().any(|row| row.contains("=> migration/3:")));
    let exact = analyze(&["map", "--task-name", "hog/0"], 4).stdout;
    let fuzzy = analyze(&["map", "--task-name", "hog", "--fuzzy-name"], 4).stdout;
    let named = |text: &str| text.lines().filter(|l| l.contains(" => ")).count();
    assert_eq!(named(&exact), 1, "{exact}");
    assert!(named(&fuzzy) >= 2);
    assert!(exact.contains("*- "), "it leaves a CPU");
    assert!(!exact.contains('\x1b'), "no colour when piped");
    let colored = kreplay([
        "analyze",
        "map",
        "--color-pids",
        "1",
        "--color-cpus",
        "0",
        text(&krec),
    ]);
    assert!(!colored.expect(code::DONE).stdout.contains('\x1b'));
    kreplay(["analyze", "map", "--cpus", "9", text(&krec)])
        .expect(code::BAD_INPUT)
        .complains(&["CPU 9", "0 to 3"]);
    kreplay(["analyze", "map", "--fuzzy-name", text(&krec)])
        .expect(code::BAD_INPUT)
        .complains(&["--task-name"]);
}

#[test]
fn boot_tells_the_milestones_and_every_creation() {
    for cpus in [1, 4] {
        let boot = json(&["boot"], cpus);
        let milestones = rows(&boot, "milestones");
        let at = |what: &str| {
            let found = milestones.iter().find(|row| row["what"] == what);
            number(
                found.unwrap_or_else(|| panic!("no {what}: {milestones:?}")),
                "time_ns",
            )
        };
        let order = [
            "start_kernel",
            "setup_arch",
            "sched_init",
            "rest_init",
            "kernel_init",
        ];
        assert!(order.map(at).is_sorted(), "{cpus} CPUs");
        for cpu in 0..cpus {
            let first = format!("first event of CPU {cpu}");
            assert!(
                milestones.iter().any(|row| row["what"] == first.as_str()),
                "{first}"
            );
        }
        assert!(milestones.iter().any(|row| row["kind"] == "console"));
        let forks = opened(cpus)
            .load_events()
            .unwrap()
            .into_iter()
            .filter(|e| matches!(e.data, trace::events::EventData::SchedProcessFork(_)));
        let created = rows(&boot, "threads");
        assert_eq!(created.len(), forks.count());
        for row in created {
            let chain = row["chain"]
                .as_str()
                .unwrap_or_else(|| panic!("no chain: {row}"));
            assert!(chain.contains("kernel_clone"), "{row}");
        }
        let init = &created[0];
        assert!(
            init["chain"]
                .as_str()
                .unwrap()
                .contains("start_kernel > rest_init"),
            "{init}"
        );
    }
}

/// What each report says, when asked for a table that it has not, must be in its `--help`.
#[test]
fn every_help_names_the_tables() {
    let krec = recording(2);
    for report in [
        &["migration"][..],
        &["stopper"],
        &["stop-machine"],
        &["latency"],
        &["timehist", "-S"],
        &["map"],
        &["runqlat"],
        &["classes"],
        &["boot"],
    ] {
        let words = [&["analyze"], report, &["--table", "nonsense", text(&krec)]].concat();
        let ran = kreplay(&words).expect(code::BAD_INPUT);
        assert_eq!(ran.stdout, "", "nothing is printed before the error");
        let (_, known) = ran
            .stderr
            .split_once("it has ")
            .expect("the tables are named");
        let help = kreplay(["analyze", report[0], "--help"])
            .expect(code::DONE)
            .stdout;
        let line = help
            .lines()
            .find(|line| line.starts_with("Tables: "))
            .unwrap_or_else(|| panic!("{report:?} names no tables\n{help}"));
        for table in known.trim().split(", ") {
            assert!(
                line.contains(table),
                "{report:?}: {table} is not in: {line}"
            );
        }
    }
}

#[test]
fn an_output_that_is_full_and_a_folder_are_told_once() {
    let krec = recording(2);
    for report in ["migration", "timehist", "latency"] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = finish_to(&["analyze", report, text(&krec)], full);
        let ran = ran
            .expect(code::BAD_INPUT)
            .complains(&["standard output", "No space left"]);
        assert_eq!(ran.stderr.matches("No space left").count(), 1, "{ran}");
    }
    let ran = kreplay(["analyze", "latency", "."])
        .expect(code::BAD_INPUT)
        .complains(&["directory"]);
    assert_eq!(ran.stderr.matches("os error").count(), 1, "{ran}");
}

/// Runs a command whose standard output is that file.
fn finish_to(words: &[&str], stdout: fs::File) -> Ran {
    let mut command = command(words);
    command.stdout(stdout);
    finish_as(&mut command)
}

/// As `finish`, which would take standard output for itself.
fn finish_as(command: &mut std::process::Command) -> Ran {
    let child = command
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    super::support::ran(command, child.wait_with_output().unwrap())
}
