//! Witnesses from outside: programs that we did not write read our files, and compute the same.

use std::fs;

use super::support::{code, file, kreplay, python_script, recording, text};

/// The tables of a recording, exported once per CPU count.
fn tables(cpus: u32) -> std::path::PathBuf {
    let folder = file(&format!("tables-{cpus}"));
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

#[test]
fn duckdb_polars_and_pandas_read_every_table_alike() {
    let folder = tables(2);
    python_script("read_tables.py", &[text(&folder)]);
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
