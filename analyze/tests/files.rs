//! What goes through files: a recording read back, its task table, and the Parquet tables as a reader
//! of Parquet sees them.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use analyze::report::{Format, Options};
use analyze::source::{Recorded, Source};
use analyze::{migration, parquet, tasks};
use polars::prelude::*;
use support::*;
use trace::event::EventData;
use trace::krec::{EndOfRun, ImageId, Manifest, OutcomeRow, Recording, TaskRow, Writer};

/// A folder of a test's own, removed when the test has passed.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("analyze-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn manifest() -> Manifest {
    Manifest {
        kreplay: "0.1.0".into(),
        image: ImageId {
            build_id: None,
            sha256: "11".repeat(32),
            size: 1,
            embedded: false,
        },
        files: Default::default(),
        command_line: "workload=affinity".into(),
        cpus: 2,
        topology: None,
        ram_bytes: 256 << 20,
        quantum: 1_000,
        ipi_latency: 2_000,
        cycles_per_second: 1_000_000_000,
        policy: "random".into(),
        seed: Some(7),
        workload: "affinity".into(),
        until: None,
        cost_model: 1,
    }
}

fn end() -> EndOfRun {
    EndOfRun {
        outcome: OutcomeRow::PowerOff,
        cycles: 16_000,
        cpu_cycles: vec![16_000, 16_000],
        cpu_insns: vec![15_000, 11_000],
        events: 0,
        stream_sha256: String::new(),
        machine_digest: "ab".repeat(32),
        longest_stretch: 25,
        late_ipis: 0,
        counters: BTreeMap::from([
            ("stop_works_queued".to_owned(), 1),
            ("stop_works_started".to_owned(), 1),
            ("stop_works_done".to_owned(), 1),
        ]),
        machine: BTreeMap::new(),
        console_bytes: 0,
        missing: Vec::new(),
    }
}

/// The worked example as a recording, whole or without its end.
fn recording(whole: bool) -> Recording {
    let trace = worked_example();
    let mut writer = Writer::new(Vec::new(), Path::new("hand.krec"), &manifest()).expect("a Vec");
    for event in trace.events() {
        let mut event = event.expect("hand-written");
        if let Some(stack) = event.stack {
            let addrs = trace.stack(stack).to_vec();
            for addr in &addrs {
                let symbol = trace.symbol(*addr).expect("every frame has a name");
                writer.symbol(*addr, symbol).expect("a Vec");
            }
            event.stack = Some(writer.stack(&addrs));
        }
        if let EventData::StopWorkQueue(e) = &event.data {
            let symbol = trace.symbol(e.func).expect("a function");
            writer.symbol(e.func, symbol).expect("a Vec");
        }
        writer.event(&event).expect("a Vec");
    }
    writer.flush().expect("a Vec");
    if whole {
        let task = TaskRow {
            addr: 0xffff_8880_014f_9c00,
            pid: 12,
            comm: "migration/0".into(),
            cpu: 0,
            state: 'S',
            on_cpu: false,
            on_rq: 0,
            class: "stop".into(),
            prio: 0,
            cpus_mask: 1,
        };
        writer.tasks(&[task]).expect("a Vec");
    }
    let (_, mut bytes) = writer.finish(end()).expect("a Vec");
    if !whole {
        bytes.truncate(bytes.len() - 1);
    }
    Recording::from_bytes(Path::new("hand.krec"), bytes).expect("a recording")
}

#[test]
fn a_recording_gives_what_the_hand_written_trace_gives() {
    let recording = recording(true);
    let source = Recorded::new(&recording).expect("good");
    let from_file = migration::analyze(&source).expect("good");
    let by_hand = migration::analyze(&worked_example()).expect("good");
    assert_eq!(from_file.moves, by_hand.moves);
    let info = source.info();
    assert_eq!(info.policy, "random seed 7");
    assert_eq!(info.outcome.as_deref(), Some("power off"));
    assert!(info.guest_works.is_some_and(|works| works.done == 1));
    assert_eq!(info.longest_stretch, Some(25));
}

#[test]
fn a_recording_without_its_end_says_so_and_is_analysed() {
    let recording = recording(false);
    let source = Recorded::new(&recording).expect("good");
    let report = migration::analyze(&source).expect("good");
    assert_eq!(report.moves.len(), 1);
    assert!(
        report
            .footer
            .truncated
            .as_ref()
            .is_some_and(|cut| cut.contains("event 16"))
    );
    assert_eq!(report.footer.stream_sha256.len(), 64);
    let mut out = Vec::new();
    let report = tasks::report(&source).expect("good");
    report
        .render(Format::Text, &Options::default(), &mut out)
        .expect("a Vec");
    assert!(String::from_utf8_lossy(&out).contains("no task table"));
}

#[test]
fn the_task_table() {
    let recording = recording(true);
    let report = tasks::report(&Recorded::new(&recording).expect("good")).expect("good");
    let mut out = Vec::new();
    report
        .render(Format::Text, &Options::default(), &mut out)
        .expect("a Vec");
    let text = String::from_utf8(out).expect("text");
    let words: Vec<Vec<&str>> = text
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert!(
        words.contains(&vec![
            "TASK", "PID", "COMM", "CPU", "STATE", "CLASS", "PRIO"
        ]),
        "{text}"
    );
    let row = vec![
        "0xffff8880014f9c00",
        "12",
        "migration/0",
        "0",
        "S",
        "stop",
        "0",
    ];
    assert!(words.contains(&row), "{text}");
}

fn read(dir: &Path, table: &str) -> DataFrame {
    let file = fs::File::open(dir.join(format!("{table}.parquet"))).expect(table);
    ParquetReader::new(file).finish().expect(table)
}

fn numbers(frame: &DataFrame, column: &str) -> Vec<Option<i64>> {
    frame
        .column(column)
        .expect(column)
        .i64()
        .expect(column)
        .iter()
        .collect()
}

#[test]
fn parquet_tables() {
    let folder = Folder::new("parquet");
    let recording = recording(true);
    let files =
        parquet::export(&Recorded::new(&recording).expect("good"), &folder.0).expect("written");
    // One for each kind, and stacks, tasks, moves, stopper_works.
    assert_eq!(files.len(), EventData::SCHEMAS.len() + 4);

    let switches = read(&folder.0, "sched_switch");
    assert_eq!(numbers(&switches, "seq"), [0, 1, 5, 7, 13, 15].map(Some));
    assert_eq!(numbers(&switches, "time_ns")[5], Some(15_900));
    assert_eq!(numbers(&switches, "insns")[5], Some(10_970));
    let queued = read(&folder.0, "stop_work_queue");
    let text = |column: &str| {
        queued
            .column(column)
            .expect(column)
            .str()
            .expect(column)
            .get(0)
    };
    assert_eq!(text("fn"), Some("migration_cpu_stop"));
    assert_eq!(
        (text("comm"), text("task_comm")),
        (Some("asker"), Some("hog/0"))
    );
    // No address is null, an object's address is a number.
    assert_eq!((text("done"), text("pending")), (None, Some("0x200")));
    assert_eq!(read(&folder.0, "sched_process_exit").height(), 0);

    let moves = read(&folder.0, "moves");
    let phases = [
        "off_src_ns",
        "stop_wait_ns",
        "stop_run_ns",
        "enq_dst_ns",
        "ipi_ns",
        "first_run_ns",
    ];
    let sum: i64 = phases.iter().filter_map(|p| numbers(&moves, p)[0]).sum();
    assert_eq!((sum, numbers(&moves, "total_ns")[0]), (5_400, Some(5_400)));
    assert_eq!(
        numbers(&read(&folder.0, "stopper_works"), "run_ns"),
        [Some(750)]
    );
    assert_eq!(read(&folder.0, "tasks").height(), 1);
    let stacks = read(&folder.0, "stacks");
    let functions = stacks
        .column("function")
        .expect("function")
        .str()
        .expect("text");
    assert_eq!(functions.get(0), Some("cpu_stop_queue_work"));
}

/// A column name means one type in every table, so that tables can be joined and put together.
#[test]
fn equal_names_have_equal_types() {
    let folder = Folder::new("types");
    let files = parquet::export_source(&worked_example(), &folder.0).expect("written");
    let mut types: BTreeMap<String, (DataType, PathBuf)> = BTreeMap::new();
    for file in files {
        let frame = ParquetReader::new(fs::File::open(&file).expect("there"))
            .finish()
            .expect("good");
        for (name, dtype) in frame.schema().iter() {
            let known = types
                .entry(name.to_string())
                .or_insert_with(|| (dtype.clone(), file.clone()));
            assert_eq!(
                &known.0,
                dtype,
                "{name} in {} and {}",
                known.1.display(),
                file.display()
            );
        }
    }
    assert_eq!(types["target_cpu"].0, DataType::Int64);
    assert_eq!(types["new_mask"].0, DataType::UInt64);
}

#[test]
fn the_same_bytes_every_time() {
    let (a, b) = (Folder::new("a"), Folder::new("b"));
    let files = parquet::export_source(&worked_example(), &a.0).expect("written");
    parquet::export_source(&worked_example(), &b.0).expect("written");
    for file in files {
        let other = b.0.join(file.file_name().expect("a name"));
        assert_eq!(
            fs::read(&file).ok(),
            fs::read(other).ok(),
            "{}",
            file.display()
        );
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let error = parquet::export_source(&worked_example(), Path::new("/dev/null/tables"))
        .expect_err("a file is no folder");
    assert!(
        error
            .to_string()
            .starts_with("cannot write /dev/null/tables: "),
        "{error}"
    );
}

/// Every column of every file is explained in that file, as is the table itself.
#[test]
fn parquet_columns_are_documented() {
    let folder = Folder::new("docs");
    let recording = recording(true);
    let files =
        parquet::export(&Recorded::new(&recording).expect("good"), &folder.0).expect("written");
    for path in files {
        let mut reader = ParquetReader::new(fs::File::open(&path).expect("written"));
        let metadata = reader.get_metadata().expect("a Parquet file").clone();
        let pairs = metadata.key_value_metadata().clone().unwrap_or_default();
        let explained = |name: &str| {
            let doc = pairs.iter().find(|pair| pair.key == name);
            doc.and_then(|pair| pair.value.as_ref())
                .is_some_and(|doc| doc.len() > 4)
        };
        assert!(explained("table") || explained("event"), "{path:?}");
        for column in reader.schema().expect("a schema").iter_names() {
            assert!(explained(column), "{path:?}: {column}");
        }
    }
}
