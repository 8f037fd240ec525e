//! `export perfetto`, as Perfetto's own trace_processor sees it: what it computes from our file equals what
//! the recording and our reports say, to the nanosecond.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use analyze::causal::walk;
use analyze::source::Recorded;
use serde_json::Value;
use trace::event::{Event, EventData};
use trace::krec::Recording;

use super::support::{code, file, finish, kreplay, open, python_script, recording, root, text};

/// The folder of the engine, which `need_trace_readers` of scripts/lib.sh prepares.
fn engine() -> PathBuf {
    let chosen = std::env::var_os("KREPLAY_TRACE_PROCESSOR").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("trace_processor");
    let engine = chosen.unwrap_or(usual);
    assert!(
        engine.join("trace_processor.wasm").exists(),
        "{} has no trace_processor.wasm: scripts/test.sh fetches it (need_trace_readers in scripts/lib.sh)",
        engine.display()
    );
    engine
}

/// Asks trace_processor; gives the rows of each answer.
fn ask(trace: &Path, queries: &[&str]) -> Vec<Vec<Vec<Value>>> {
    let mut node = Command::new("node");
    node.arg(root().join("cli/tests/node/trace_processor.mjs"));
    node.arg(engine()).arg(trace).args(queries);
    let ran = finish(&mut node).expect(code::DONE);
    let answers: Vec<Vec<Vec<Value>>> = ran
        .stdout
        .lines()
        .map(|line| {
            let answer: Value = serde_json::from_str(line).unwrap();
            serde_json::from_value(answer["rows"].clone()).unwrap()
        })
        .collect();
    assert_eq!(answers.len(), queries.len(), "{ran}");
    answers
}

/// Rows of names and numbers.
fn table(rows: &[Vec<Value>]) -> Vec<(String, Vec<i64>)> {
    let row = |row: &Vec<Value>| {
        let name = row[0].as_str().unwrap_or_default().to_owned();
        (
            name,
            row[1..].iter().map(|v| v.as_i64().unwrap_or(0)).collect(),
        )
    };
    rows.iter().map(row).collect()
}

/// A recording, its export, and its events in the order of their causal times.
struct Exported {
    krec: PathBuf,
    trace: PathBuf,
    recording: Recording,
    events: Vec<(u64, Event)>,
}

fn exported(krec: PathBuf) -> Exported {
    let trace = krec.with_extension("pftrace");
    let said = kreplay(["export", "perfetto", text(&krec), "-o", text(&trace)]).expect(code::DONE);
    let recording = open(&krec);
    let mut events = Vec::new();
    walk(&Recorded::new(&recording).unwrap(), &mut |event| {
        events.push((event.time_ns, *event.event));
        Ok(())
    })
    .unwrap();
    events.sort_by_key(|(time_ns, event)| (*time_ns, event.seq));
    assert!(
        said.stdout.contains(&format!(": {} events", events.len())),
        "{said}"
    );
    Exported {
        krec,
        trace,
        recording,
        events,
    }
}

/// The runs that every comparison is made on.
fn all() -> Vec<Exported> {
    let storm = file("storm-perfetto.krec");
    kreplay([
        "record",
        "--workload",
        "stopstorm",
        "--smp",
        "4",
        "-o",
        text(&storm),
    ])
    .expect(code::DONE);
    let mut all: Vec<Exported> = [2, 8].map(|cpus| exported(copy(cpus))).into();
    all.push(exported(storm));
    all
}

/// A copy under a name of its own, so that tests side by side write different files.
fn copy(cpus: u32) -> PathBuf {
    let path = file(&format!("perfetto-{cpus}.krec"));
    fs::copy(recording(cpus), &path).unwrap();
    path
}

impl Exported {
    fn report(&self, name: &str) -> Value {
        let ran = kreplay(["analyze", name, "--format", "json", text(&self.krec)]);
        serde_json::from_str(&ran.expect(code::DONE).stdout).unwrap()
    }

    fn ask(&self, queries: &[&str]) -> Vec<Vec<Vec<Value>>> {
        ask(&self.trace, queries)
    }
}

#[test]
fn trace_processor_computes_what_the_reports_say() {
    for run in all() {
        every_event_is_there(&run);
        every_stretch_of_a_task_on_a_cpu_is_there(&run);
        threads_wait_as_long_as_they_do(&run);
        stopper_slices_are_the_report(&run);
        moves_and_arrows_are_the_report(&run);
        stop_machine_and_interrupts_take_as_long(&run);
        runqueues_end_as_the_kernel_says(&run);
        python_script(
            "perfetto_schema.py",
            &[text(&run.trace), &run.events.len().to_string()],
        );
    }
}

fn every_event_is_there(run: &Exported) {
    let answers = run.ask(&[
        "SELECT name, value FROM stats WHERE value > 0 AND severity != 'info'",
        "SELECT name, count(*), min(ts), max(ts) FROM ftrace_event GROUP BY 1 ORDER BY 1",
        "SELECT extract_arg(arg_set_id, 'fn'), extract_arg(arg_set_id, 'task_pid'), \
         extract_arg(arg_set_id, 'work'), cpu, ts, t.tid FROM ftrace_event JOIN thread t USING (utid) \
         WHERE ftrace_event.name = 'stop:work_done' \
         ORDER BY ts, cpu",
    ]);
    assert_eq!(
        answers[0],
        Vec::<Vec<Value>>::new(),
        "trace_processor complains"
    );
    let mut counted: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (time_ns, event) in &run.events {
        let name = event.data.schema().name;
        let ours = name.starts_with("stop:") || name.starts_with("move:");
        let short = name.split_once(':').unwrap().1;
        let name = if ours { name } else { short };
        let time = *time_ns as i64;
        let row = counted
            .entry(name.to_owned())
            .or_insert(vec![0, time, time]);
        (row[0], row[2]) = (row[0] + 1, time);
    }
    let counted: Vec<_> = counted.into_iter().collect();
    assert_eq!(table(&answers[1]), counted);
    let source = Recorded::new(&run.recording).unwrap();
    let mut done: Vec<_> = run
        .events
        .iter()
        .filter_map(|(time_ns, event)| match &event.data {
            EventData::StopWorkDone(e) => Some((
                analyze::names::function(&source, e.func),
                vec![
                    e.task_pid.into(),
                    e.work.0 as i64,
                    event.cpu.into(),
                    *time_ns as i64,
                    event.pid.into(),
                ],
            )),
            _ => None,
        })
        .collect();
    done.sort_by_key(|(_, numbers)| (numbers[3], numbers[2]));
    assert_eq!(table(&answers[2]), done);
}

fn every_stretch_of_a_task_on_a_cpu_is_there(run: &Exported) {
    let mut expected: Vec<(String, Vec<i64>)> = Vec::new();
    let mut open: BTreeMap<u32, usize> = BTreeMap::new();
    for (time_ns, event) in &run.events {
        if let EventData::SchedSwitch(e) = &event.data {
            let time = *time_ns as i64;
            if let Some(last) = open.get(&event.cpu) {
                let (state, row) = &mut expected[*last];
                row[1] = time - row[0];
                *state = letter(e.prev_state).to_owned();
            }
            open.insert(event.cpu, expected.len());
            let numbers = [
                time,
                -1,
                event.cpu.into(),
                e.next_pid.into(),
                e.next_prio.into(),
            ];
            expected.push((String::new(), numbers.to_vec()));
        }
    }
    expected.sort_by_key(|(_, row)| (row[0], row[2]));
    let found = run.ask(&[
        "SELECT s.end_state, s.ts, s.dur, s.cpu, t.tid, s.priority FROM sched s JOIN thread t USING (utid) \
         ORDER BY s.ts, s.cpu",
    ]);
    let found = table(&found[0]);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "{}", run.trace.display());
    }
    assert!(expected.len() > 1000);
}

/// A state as Perfetto writes it.
fn letter(prev_state: i64) -> &'static str {
    match prev_state {
        0 => "R",
        0x100 => "R+",
        1 => "S",
        2 => "D",
        4 => "T",
        8 => "t",
        0x10 => "X",
        0x20 => "Z",
        0x40 => "P",
        0x80 => "I",
        other => panic!("state {other:#x}"),
    }
}

/// What a task does, since when.
enum Does {
    Runs(u64),
    Waits(u64),
    Sleeps,
}

/// Running, and runnable but not running: from waking or preemption to switch-in. (Of a new task
/// trace_processor knows nothing before its first switch-in.)
fn threads_wait_as_long_as_they_do(run: &Exported) {
    let mut tasks: BTreeMap<i32, Does> = BTreeMap::new();
    let mut sums: BTreeMap<i32, [i64; 3]> = BTreeMap::new();
    for (time_ns, event) in &run.events {
        match &event.data {
            EventData::SchedWaking(e) => wake(&mut tasks, e.pid, *time_ns),
            EventData::SchedSwitch(e) => {
                for (pid, comes) in [(e.prev_pid, false), (e.next_pid, true)] {
                    let sum = sums.entry(pid).or_default();
                    match tasks.get(&pid) {
                        Some(Does::Runs(since)) => {
                            sum[0] += 1;
                            sum[1] += (time_ns - since) as i64;
                        }
                        Some(Does::Waits(since)) => {
                            sum[2] += (time_ns - since) as i64;
                        }
                        Some(Does::Sleeps) | None => {}
                    }
                    let runnable = matches!(e.prev_state, 0 | 0x100);
                    let now = match (comes, runnable) {
                        (true, _) => Does::Runs(*time_ns),
                        (false, true) => Does::Waits(*time_ns),
                        (false, false) => Does::Sleeps,
                    };
                    tasks.insert(pid, now);
                }
            }
            _ => {}
        }
    }
    sums.remove(&0);
    let found = run.ask(&[
        "SELECT '', t.tid, sum(state = 'Running'), sum(iif(state = 'Running', dur, 0)), \
         sum(iif(state != 'Running', dur, 0)) \
         FROM thread_state JOIN thread t USING (utid) \
         WHERE state IN ('Running', 'R', 'R+') AND dur >= 0 AND t.tid != 0 GROUP BY t.tid ORDER BY t.tid",
    ]);
    let expected: Vec<_> = sums
        .into_iter()
        .filter(|(_, sum)| *sum != [0; 3])
        .map(|(pid, sum)| (String::new(), [&[pid.into()], &sum[..]].concat()))
        .collect();
    assert_eq!(table(&found[0]), expected);
}

fn wake(tasks: &mut BTreeMap<i32, Does>, pid: i32, time_ns: u64) {
    if !matches!(tasks.get(&pid), Some(Does::Runs(_) | Does::Waits(_))) {
        tasks.insert(pid, Does::Waits(time_ns));
    }
}

/// The numbers of a report's row, in this order; null is 0.
fn numbers(row: &Value, columns: &[&str]) -> Vec<i64> {
    let number = |column: &&str| row[*column].as_i64().unwrap_or(0);
    columns.iter().map(number).collect()
}

fn rows<'a>(report: &'a Value, table: &str) -> &'a Vec<Value> {
    report[table]
        .as_array()
        .unwrap_or_else(|| panic!("no table {table}"))
}

/// Rows with a name from one column and numbers from others.
fn named(rows: &[Value], name: &str, columns: &[&str]) -> Vec<(String, Vec<i64>)> {
    let row = |row: &Value| {
        let name = row[name].as_str().unwrap_or_default().to_owned();
        (name, numbers(row, columns))
    };
    let mut named: Vec<_> = rows.iter().map(row).collect();
    named.sort();
    named
}

fn stopper_slices_are_the_report(run: &Exported) {
    let report = run.report("stopper");
    let arg = |name: &str| format!("extract_arg(s.arg_set_id, 'debug.{name}')");
    let runs = format!(
        "SELECT s.name, {}, substr(t.name, 9), s.dur, {}, {}, {} FROM slice s JOIN track t ON s.track_id = t.id \
         WHERE s.category = 'stop.run' ORDER BY 1, 2",
        arg("event"),
        arg("queue_to_wake_ns"),
        arg("victim_lost_ns"),
        arg("share_ns"),
    );
    let answers = run.ask(&[
        &runs,
        "SELECT category, count(*), sum(dur) FROM slice WHERE category GLOB 'stop.[rwo]*' \
         GROUP BY 1 ORDER BY 1",
        "SELECT DISTINCT t.name, -1 FROM slice s JOIN track t ON s.track_id = t.id \
         WHERE s.category = 'stop.run' AND t.name NOT GLOB 'stopper/[0-9]*'",
        "SELECT '', count(*), sum(s.dur), sum(p.dur) FROM slice s JOIN slice p ON p.id = s.parent_id \
         WHERE s.category = 'stop.run' AND p.category = 'stop.work' AND p.ts <= s.ts",
    ]);
    let works = rows(&report, "stopper_works");
    let columns = [
        "work_queue_seq",
        "cpu",
        "run_ns",
        "queue_to_wake_ns",
        "victim_lost_ns",
        "share_ns",
    ];
    let mut found = table(&answers[0]);
    for ((_, numbers), row) in found.iter_mut().zip(&answers[0]) {
        numbers[1] = row[2].as_str().unwrap().parse().unwrap();
    }
    found.sort();
    assert_eq!(found, named(works, "fn", &columns));

    let sum = |rows: &[Value], column| {
        rows.iter()
            .map(|row| numbers(row, &[column])[0])
            .sum::<i64>()
    };
    let overhead = rows(&report, "overhead");
    let count = |rows: &[Value]| rows.len() as i64;
    let shares = sum(works, "share_ns");
    let expected = [
        (
            "stop.overhead",
            [count(overhead), sum(overhead, "overhead_ns")],
        ),
        ("stop.run", [count(works), sum(works, "run_ns")]),
        ("stop.work", [count(works), shares]),
    ];
    let expected = expected.map(|(name, numbers)| (name.to_owned(), numbers.to_vec()));
    assert_eq!(table(&answers[1]), expected);
    assert_eq!(answers[2], Vec::<Vec<Value>>::new());
    let inside = vec![count(works), sum(works, "run_ns"), shares];
    assert_eq!(table(&answers[3]), [(String::new(), inside)]);
    // Both together are the time that the stoppers were on a CPU.
    let occupancy = sum(rows(&report, "balance"), "occupancy_ns");
    assert_eq!(shares + sum(overhead, "overhead_ns"), occupancy);
    assert!(works.len() > 500);
}

fn moves_and_arrows_are_the_report(run: &Exported) {
    let report = run.report("migration");
    let moves = rows(&report, "moves");
    let phases = [
        "migrate_seq",
        "src_cpu",
        "dst_cpu",
        "off_src_ns",
        "stop_wait_ns",
        "stop_run_ns",
        "enq_dst_ns",
        "ipi_ns",
        "first_run_ns",
    ];
    let args: Vec<String> = phases
        .iter()
        .map(|name| name.replace("migrate_seq", "event"))
        .map(|name| format!("extract_arg(s.arg_set_id, 'debug.{name}')"))
        .collect();
    let slices = format!(
        "SELECT extract_arg(s.arg_set_id, 'debug.cause'), t.tid, s.ts, s.dur, {} FROM slice s \
         JOIN thread_track k ON s.track_id = k.id JOIN thread t USING (utid) WHERE s.category = 'move'",
        args.join(", ")
    );
    let answers = run.ask(&[
        &slices,
        "SELECT a.category || ' ' || b.category, count(*), sum(b.ts - a.ts) \
         FROM flow f JOIN slice a ON f.slice_out = a.id JOIN slice b ON f.slice_in = b.id GROUP BY 1 ORDER BY 1",
        "SELECT '', count(*) FROM slice WHERE category = 'move' AND depth > 0",
    ]);
    let mut found = table(&answers[0]);
    found.sort();
    let columns = [&["tid", "time_ns", "total_ns"][..], &phases].concat();
    assert_eq!(found, named(moves, "cause", &columns));
    assert_eq!(table(&answers[2]), [(String::new(), vec![0])]);

    let times: BTreeMap<u64, u64> = run.events.iter().map(|(ns, e)| (e.seq, *ns)).collect();
    let time = |row: &Value, column: &str| times[&row[column].as_u64().unwrap()] as i64;
    let mut expected: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    let mut arrow = |kind, from, to| {
        let sum = expected.entry(kind).or_insert(vec![0, 0]);
        (sum[0], sum[1]) = (sum[0] + 1, sum[1] + to - from);
    };
    for row in moves.iter().filter(|row| row["ended"] == "ran") {
        let (kind, from) = match row["path"] == "stopper" {
            true => ("stop.run move.first_run", "work_start_seq"),
            false => ("move.migrate move.first_run", "migrate_seq"),
        };
        arrow(kind, time(row, from), time(row, "end_seq"));
    }
    for work in rows(&run.report("stopper"), "stopper_works") {
        let (from, to) = (time(work, "work_queue_seq"), time(work, "work_start_seq"));
        arrow("stop.queue stop.run", from, to);
    }
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect();
    assert_eq!(expected.len(), 3, "{expected:?}");
    assert_eq!(table(&answers[1]), expected);
}

fn stop_machine_and_interrupts_take_as_long(run: &Exported) {
    let mut expected: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut states: BTreeMap<u32, (u64, usize)> = BTreeMap::new();
    let mut entered: BTreeMap<u32, u64> = BTreeMap::new();
    for (time_ns, event) in &run.events {
        let mut add = |name: &str, since: u64| {
            let sum = expected.entry(name.to_owned()).or_insert(vec![0, 0]);
            (sum[0], sum[1]) = (sum[0] + 1, sum[1] + (time_ns - since) as i64);
        };
        if let EventData::StopMachineState(e) = &event.data {
            let exit_is_done = e.state == 4 && e.step == 1;
            if (e.step == 0 || exit_is_done)
                && let Some((since, state)) = states.remove(&event.cpu)
            {
                let names = ["NONE", "PREPARE", "DISABLE_IRQ", "RUN", "EXIT"];
                add(names[state], since);
            }
            if e.step == 0 {
                states.insert(event.cpu, (*time_ns, e.state as usize));
            }
        } else if let Some(name) = event.data.schema().name.strip_prefix("irq_vectors:") {
            match name.strip_suffix("_exit") {
                None => drop(entered.insert(event.cpu, *time_ns)),
                Some("local_timer") => add("IRQ (LocalTimer)", entered[&event.cpu]),
                Some(name) => add(name, entered[&event.cpu]),
            }
        }
    }
    let expected: Vec<_> = expected.into_iter().collect();
    assert!(expected.len() >= 6, "{expected:?}");
    let found = run.ask(&[
        "SELECT name, count(*), sum(dur) FROM slice WHERE category IN ('stop.machine', 'irq', 'irq_vectors') \
         AND dur >= 0 GROUP BY 1 ORDER BY 1",
    ]);
    assert_eq!(table(&found[0]), expected);
}

/// The last value of each counter is what the kernel's memory holds at the end.
fn runqueues_end_as_the_kernel_says(run: &Exported) {
    let mut expected: BTreeMap<String, Vec<i64>> = (0..run.recording.manifest().cpus)
        .map(|cpu| (format!("nr_running/{cpu}"), vec![0, 0]))
        .collect();
    for task in run.recording.tasks() {
        if task.on_rq == 1 && task.pid != 0 {
            expected
                .get_mut(&format!("nr_running/{}", task.cpu))
                .unwrap()[1] += 1;
        }
    }
    let found = run.ask(&[
        "SELECT t.name, min(c.value) < 0, (SELECT cast(value AS int) FROM counter d \
         WHERE d.track_id = t.id ORDER BY ts DESC, id DESC LIMIT 1) \
         FROM counter c JOIN track t ON c.track_id = t.id WHERE t.name GLOB 'nr_running/*' GROUP BY t.name ORDER BY t.name",
    ]);
    let expected: Vec<_> = expected.into_iter().collect();
    assert_eq!(table(&found[0]), expected);
}

#[test]
fn the_same_recording_gives_the_same_trace() {
    let (first, second) = (file("same-1.pftrace"), file("same-2.pftrace"));
    for path in [&first, &second] {
        kreplay(["export", "perfetto", text(&recording(2)), "-o", text(path)]).expect(code::DONE);
    }
    assert!(fs::read(first).unwrap() == fs::read(second).unwrap());
}

/// The check can fail: a trace whose one event is a nanosecond later, or missing, has other numbers.
#[test]
fn trace_processor_notices_a_nanosecond() {
    let run = exported(copy(4));
    let sql = "SELECT '', count(*), sum(dur) FROM sched WHERE dur >= 0";
    let whole = table(&run.ask(&[sql])[0]);
    let mut bytes = fs::read(&run.trace).unwrap();
    // The switch-out of the last slice of a CPU: its time is a varint after the key 08 of FtraceEvent.
    let (time_ns, _) = *run
        .events
        .iter()
        .rfind(|(_, e)| matches!(e.data, EventData::SchedSwitch(_)))
        .unwrap();
    let stamp = |ns: u64| {
        let mut varint = vec![0x08];
        let mut rest = ns;
        while rest > 0x7f {
            varint.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        varint.push(rest as u8);
        varint
    };
    let (old, new) = (stamp(time_ns), stamp(time_ns ^ 1));
    let at = bytes.windows(old.len()).rposition(|w| w == old).unwrap();
    bytes[at..at + new.len()].copy_from_slice(&new);
    let changed = file("changed.pftrace");
    fs::write(&changed, bytes).unwrap();
    assert_ne!(table(&ask(&changed, &[sql])[0]), whole);
}
