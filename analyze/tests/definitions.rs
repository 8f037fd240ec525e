//! `--define`: every column of every report has a unit and a sentence, and no sentence is of no column.

mod support;

use analyze::report::{Format, Options, Report, Streamed};
use analyze::timehist::{Extent, Timehist};
use analyze::{boot, classes, latency, map, migration, runqlat, stopmachine, stopper, timehist};
use serde_json::Value;
use support::*;

fn all() -> Vec<Report> {
    let trace = worked_example();
    let streamed = |report: &dyn Streamed| {
        let mut rest = report.run(&mut |_| Ok(())).expect("good");
        rest.tables.insert(0, report.table());
        rest
    };
    let with_summary = timehist::Options {
        extent: Extent::RowsAndSummary,
        ..timehist::Options::default()
    };
    vec![
        migration::analyze(&trace).expect("good").report(),
        stopper::analyze(&trace).expect("good").report(),
        stopper::guarantee::analyze(&trace, 5)
            .expect("good")
            .report(),
        stopmachine::analyze(&trace).expect("good").report(),
        latency::analyze(&trace, &latency::Options::default())
            .expect("good")
            .report(),
        runqlat::analyze(&trace, &runqlat::Options::default())
            .expect("good")
            .report(),
        classes::analyze(&trace).expect("good").report(),
        boot::analyze(&trace).expect("good").report(),
        streamed(&Timehist::new(&trace, with_summary)),
        streamed(&map::Map::new(&trace, map::Options::default())),
    ]
}

fn defined(report: &Report, format: Format, options: &Options) -> String {
    let mut out = Vec::new();
    report
        .define(format, options, &mut out)
        .expect("a Vec takes all");
    String::from_utf8(out).expect("text")
}

#[test]
fn every_column_of_every_report_has_a_sentence() {
    for report in all() {
        let text = defined(&report, Format::Json, &Options::default());
        let json: Value = serde_json::from_str(&text).expect("JSON");
        for table in &report.tables {
            let of = format!("{}, {}", report.title, table.name);
            let about = &json[table.name];
            assert_eq!(about["title"], table.title.as_str(), "{of}");
            assert!(
                about["sentence"].as_str().is_some_and(|s| s.ends_with('.')),
                "{of}"
            );
            let columns = about["columns"].as_array().expect("columns");
            let names: Vec<&str> = columns
                .iter()
                .filter_map(|c| c["column"].as_str())
                .collect();
            let expected = table.shown(false).into_iter().map(|i| table.columns[i].key);
            assert_eq!(names, expected.collect::<Vec<_>>(), "{of}");
            for column in columns {
                let sentence = column["sentence"].as_str().unwrap_or("");
                assert!(sentence.ends_with('.'), "{of}: {column}");
                assert_ne!(column["unit"], "", "{of}: {column}");
            }
            for (name, _) in table.docs {
                let there = *name == "table" || table.columns.iter().any(|c| c.key == *name);
                assert!(there, "{of}: {name} is no column");
            }
        }
    }
}

#[test]
fn in_text_a_screen_has_room_and_there_are_no_rows() {
    for report in all() {
        let text = defined(&report, Format::Text, &Options::default());
        assert!(text.lines().all(|line| line.len() <= 120), "{text}");
        assert!(!text.contains("hog"), "{text}");
    }
}

#[test]
fn one_table_can_be_asked_for() {
    let report = migration::analyze(&worked_example())
        .expect("good")
        .report();
    let only = |name: &str| Options {
        table: Some(name.to_owned()),
        ..Options::default()
    };
    let csv = defined(&report, Format::Csv, &only("phases"));
    assert!(
        csv.starts_with("table,column,in_text,unit,sentence\nphases,phase,phase,words,"),
        "{csv}"
    );
    let mut out = Vec::new();
    let error = report.define(Format::Text, &only("none"), &mut out);
    assert!(error.is_err_and(|e| e.to_string().contains("phases")));
}
