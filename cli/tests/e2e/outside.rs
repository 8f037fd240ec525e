//! Witnesses from outside: programs that we did not write read our files, and compute the same.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;

use super::support::{code, file, kreplay, python_script, recording, text};

/// The tables of a recording, exported once per CPU count; other tests wait for that.
fn tables(cpus: u32) -> std::path::PathBuf {
    static EXPORTED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
    let folder = file(&format!("tables-{cpus}"));
    let krec = recording(cpus);
    let mut exported = EXPORTED.lock().expect("no test panics in here");
    if exported.insert(cpus) {
        kreplay(["export", "parquet", text(&krec), "-o", text(&folder)]).expect(code::DONE);
    }
    folder
}

#[test]
fn sql_over_the_parquet_recomputes_the_migration_totals() {
    for cpus in [2, 4, 8] {
        let folder = tables(cpus);
        let report = file(&format!("migration-{cpus}.json"));
        let ran = kreplay([
            "analyze",
            "migration",
            "--format",
            "json",
            text(&recording(cpus)),
        ]);
        fs::write(&report, ran.expect(code::DONE).stdout).unwrap();
        python_script("migration_sql.py", &[text(&folder), text(&report)]);
    }
}

/// The report as JSON, in a file of its own.
fn report(name: &str, cpus: u32, args: &[&str]) -> std::path::PathBuf {
    let path = file(&format!("{name}-{cpus}.json"));
    let mut line = vec!["analyze"];
    line.extend(args);
    let krec = recording(cpus);
    line.extend(["--format", "json", text(&krec)]);
    fs::write(&path, kreplay(line).expect(code::DONE).stdout).unwrap();
    path
}

#[test]
fn python_recomputes_stop_machine_and_the_guarantee() {
    for cpus in [2, 4, 8] {
        let folder = tables(cpus);
        let machine = report("stop-machine", cpus, &["stop-machine"]);
        let longest = report(
            "guarantee",
            cpus,
            &["stopper", "--guarantee", "--top", "100"],
        );
        let run = super::support::opened(cpus);
        let latency = run.manifest().ipi_latency.to_string();
        let stretch = run.end().expect("it is whole").longest_stretch.to_string();
        python_script(
            "stop_machine.py",
            &[
                text(&folder),
                text(&machine),
                text(&longest),
                &latency,
                &stretch,
            ],
        );
    }
}

#[test]
fn python_recomputes_every_stopper_row_and_every_cause() {
    for cpus in [2, 4, 8] {
        let folder = tables(cpus);
        let works = report("stopper", cpus, &["stopper"]);
        let moves = report("moves", cpus, &["migration"]);
        python_script(
            "stopper_rows.py",
            &[text(&folder), text(&works), text(&moves)],
        );
    }
}

#[test]
fn duckdb_polars_and_pandas_read_every_table_alike() {
    let folder = tables(2);
    python_script("read_tables.py", &[text(&folder)]);
    // The same by a flag.
    let flag = file("tables-by-flag");
    kreplay(["export", "--parquet", text(&flag), text(&recording(2))]).expect(code::DONE);
    let names = |folder| {
        let entries = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name());
        entries.collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&flag), names(&folder));
}

#[test]
fn the_notebook_runs_and_says_what_the_report_says() {
    python_script(
        "run_notebook.py",
        &[
            text(&super::support::root().join("notebooks/00_tour.ipynb")),
            env!("CARGO_BIN_EXE_kreplay"),
            text(&file("notebook")),
        ],
    );
}
