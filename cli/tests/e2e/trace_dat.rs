//! `export trace.dat`, as trace-cmd sees it: every event, every field, every time; and what an export leaves
//! behind when it cannot be finished.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use analyze::causal::walk;
use analyze::names;
use analyze::source::{Recorded, Source};
use trace::event::{Addr, Event, FieldValue};

use super::support::{code, command, file, finish, folder, kreplay, open, recording, text};

fn trace_cmd(args: &[&str]) -> String {
    let mut trace_cmd = Command::new("trace-cmd");
    trace_cmd.args(args).current_dir(folder());
    let ran = finish(&mut trace_cmd).expect(code::DONE);
    assert!(
        !ran.stderr.contains("error") && !ran.stderr.contains("warning"),
        "{ran}"
    );
    ran.stdout
}

fn export(krec: &Path, name: &str) -> PathBuf {
    let dat = file(name);
    kreplay(["export", "trace.dat", text(krec), "-o", text(&dat)]).expect(code::DONE);
    dat
}

/// A line of `trace-cmd report -R -t`.
#[derive(PartialEq, Eq, Debug)]
struct Line {
    task: String,
    cpu: u32,
    time_ns: u64,
    event: String,
    fields: Vec<(String, String)>,
}

/// `          <idle>-0     [001]     0.000675169: ipi_send_cpu:          cpu=0 callsite=f+0x425 ...`
fn line(text: &str) -> Line {
    let (task, rest) = text.split_once(" [").unwrap_or_else(|| panic!("{text}"));
    let (cpu, rest) = rest.split_once(']').unwrap();
    let mut words = rest.split_whitespace();
    let time = words.next().unwrap().trim_end_matches(':');
    let (seconds, ns) = time.split_once('.').unwrap();
    assert_eq!(ns.len(), 9, "{text}");
    let event = words.next().unwrap().trim_end_matches(':').to_owned();
    let mut rest: String = words.collect::<Vec<_>>().join(" ");
    if event.starts_with("cpuhp_") {
        // Numbers of a fixed width.
        rest = rest.replace("= ", "=");
    }
    let fields = rest.split_whitespace().map(|word| {
        let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{text}"));
        (name.to_owned(), value.to_owned())
    });
    Line {
        task: task.trim().to_owned(),
        cpu: cpu.parse().unwrap(),
        time_ns: seconds.parse::<u64>().unwrap() * 1_000_000_000 + ns.parse::<u64>().unwrap(),
        event,
        fields: fields.collect(),
    }
}

/// What the line of an event must be.
fn expected(
    source: &dyn Source,
    event: &Event,
    time_ns: u64,
    comms: &BTreeMap<i32, String>,
) -> Line {
    let schema = event.data.schema();
    let mut fields = Vec::new();
    let mut names = schema.fields.iter();
    event.data.visit(&mut |value| {
        let field = names.next().unwrap();
        let is_code = ["fn", "fun", "caller", "callsite", "callback"].contains(&field.name);
        let text = match value {
            // trace-cmd writes numbers as the event's print fmt says.
            FieldValue::Int(v) if field.name == "target_cpu" => format!("{v:03}"),
            FieldValue::Uint(v) if schema.name.starts_with("cpuhp:") => format!("{v:04}"),
            FieldValue::Int(v) => v.to_string(),
            FieldValue::Uint(v) if field.name.ends_with("mask") => format!("{v:#x}"),
            FieldValue::Uint(v) => v.to_string(),
            FieldValue::Addr(Addr(0)) => "0x0".to_owned(),
            FieldValue::Addr(v) if !is_code => v.to_string(),
            // `%pS` adds the offset, also of 0.
            FieldValue::Addr(v) if schema.name.starts_with("ipi:") => {
                let name = names::address(source, v).unwrap();
                if name.contains('+') {
                    name
                } else {
                    name + "+0x0"
                }
            }
            FieldValue::Addr(v) => names::address(source, v).unwrap(),
            FieldValue::Comm(v) => v.to_text(),
        };
        fields.push((field.name.to_owned(), text));
    });
    let comm = comms.get(&event.pid).map_or("<idle>", String::as_str);
    Line {
        task: format!("{comm}-{}", event.pid),
        cpu: event.cpu,
        time_ns,
        event: schema.name.split_once(':').unwrap().1.to_owned(),
        fields,
    }
}

/// The events in the order of their causal times, none at the time of another; and the latest names of tasks.
fn stamped(source: &dyn Source) -> (Vec<(u64, Event)>, BTreeMap<i32, String>) {
    let mut events = Vec::new();
    walk(source, &mut |event| {
        events.push((event.time_ns, *event.event));
        Ok(())
    })
    .unwrap();
    let mut comms = BTreeMap::new();
    for (_, event) in &events {
        let mut fields = Vec::new();
        event.data.visit(&mut |value| fields.push(value));
        let mut call = |pid: &FieldValue, comm: &FieldValue| {
            if let (FieldValue::Int(pid), FieldValue::Comm(comm)) = (pid, comm)
                && *pid != 0
            {
                comms.insert(*pid as i32, comm.to_text());
            }
        };
        call(
            &FieldValue::Int(event.pid.into()),
            &FieldValue::Comm(event.comm),
        );
        match event.data.schema().name {
            "sched:sched_switch" => {
                call(&fields[1], &fields[0]);
                call(&fields[5], &fields[4]);
            }
            "sched:sched_process_fork" => call(&fields[3], &fields[2]),
            name if name.starts_with("sched:") && name != "sched:sched_process_exit" => {
                call(&fields[1], &fields[0]);
            }
            _ => {}
        }
    }
    events.sort_by_key(|(time_ns, event)| (*time_ns, event.seq));
    let mut last = None;
    for (time_ns, _) in &mut events {
        *time_ns = last.map_or(*time_ns, |last: u64| (*time_ns).max(last + 1));
        last = Some(*time_ns);
    }
    (events, comms)
}

#[test]
fn trace_cmd_reads_every_field_of_every_event() {
    let storm = file("storm-trace-cmd.krec");
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
    for (krec, cpus) in [(recording(2), 2), (recording(8), 8), (storm, 4)] {
        let dat = export(&krec, &format!("trace-{cpus}.dat"));
        let report = trace_cmd(&["report", "-R", "-t", "-i", text(&dat)]);
        let opened = open(&krec);
        let source = Recorded::new(&opened).unwrap();
        let (events, comms) = stamped(&source);
        let mut lines = report.lines();
        assert_eq!(lines.next(), Some(format!("cpus={cpus}").as_str()));
        for (time_ns, event) in &events {
            let found = line(lines.next().expect("a line for every event"));
            assert_eq!(
                found,
                expected(&source, event, *time_ns, &comms),
                "event {}",
                event.seq
            );
        }
        assert_eq!(lines.next(), None, "no line that is no event");
        assert!(events.len() > 10_000);
    }
}

#[test]
fn trace_cmd_parses_every_print_fmt_and_loses_nothing() {
    let dat = export(&recording(4), "print.dat");
    let events = open(&recording(4)).event_count();
    for args in [
        // Without its plug-ins: as the print fmt says.
        &["report", "-N", "-t", "-i", text(&dat)][..],
        // With them, with latency flags.
        &["report", "-l", "-i", text(&dat)],
    ] {
        let report = trace_cmd(args);
        assert!(!report.contains("FAILED TO PARSE"), "{args:?}");
        assert!(
            !report.contains("LOST") && !report.contains("MISSED"),
            "{args:?}"
        );
        assert_eq!(report.lines().count() as u64, events + 1, "{args:?}");
    }
    let flags = trace_cmd(&["report", "-l", "-i", text(&dat)]);
    let entry = flags
        .lines()
        .find(|l| l.contains("reschedule_entry"))
        .unwrap();
    assert!(
        entry.contains("X.h"),
        "an interrupt's handler is one: {entry}"
    );
    let state = trace_cmd(&["report", "-N", "-t", "-i", text(&dat)]);
    let preempted = state.lines().find(|l| l.contains("prev_state=R+ ==>"));
    assert!(preempted.is_some(), "a preempted task is runnable");
    // trace-cmd's own table of what the file holds.
    let events = trace_cmd(&["report", "--events", "-i", text(&dat)]);
    for name in [
        "name: sched_switch",
        "name: work_queue",
        "name: enqueued",
        "name: ipi_send_cpu",
    ] {
        assert!(events.contains(name), "{name}");
    }
}

#[test]
fn trace_cmd_makes_version_7_of_it() {
    let dat = export(&recording(2), "six.dat");
    let seven = file("seven.dat");
    trace_cmd(&[
        "convert",
        "-i",
        text(&dat),
        "-o",
        text(&seven),
        "--file-version",
        "7",
        "--compression",
        "zstd",
    ]);
    let [six, seven_text] =
        [&dat, &seven].map(|path| trace_cmd(&["report", "-R", "-t", "-i", text(path)]));
    assert!(six == seven_text);
    assert!(fs::metadata(&seven).unwrap().len() * 3 < fs::metadata(&dat).unwrap().len());
}

/// The names of the files in a folder.
fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_full_disk_leaves_no_export() {
    let krec = recording(2);
    for format in ["perfetto", "trace.dat", "parquet"] {
        let folder = file(&format!("full-{format}"));
        fs::create_dir_all(&folder).unwrap();
        let out = folder.join("out");
        let mut inner = command(["export", format, text(&krec), "-o", text(&out)]);
        let program = inner.get_program().to_owned();
        let args: Vec<_> = inner.get_args().map(ToOwned::to_owned).collect();
        // Files of at most 64 KiB; SIGXFSZ ignored, so that a write fails as on a full disk.
        let script = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
        let mut outer = Command::new("bash");
        outer.args(["-c", script, "bash"]).arg(program).args(args);
        inner.stdin(std::process::Stdio::null());
        finish(&mut outer)
            .expect(code::BAD_INPUT)
            .complains(&["out", "File too large"]);
        let left = if format == "parquet" {
            names_in(&out)
        } else {
            names_in(&folder)
        };
        assert_eq!(left, Vec::<String>::new(), "{format}");
    }
    for format in ["perfetto", "trace.dat"] {
        kreplay(["export", format, text(&krec), "-o", "no/such/folder/out"])
            .expect(code::BAD_INPUT)
            .complains(&["no/such/folder/out", "No such file"]);
    }
    kreplay(["export", "perfetto", text(&krec), "-o", "/dev/full"])
        .expect(code::BAD_INPUT)
        .complains(&["/dev/full", "No space left"]);
    assert!(Path::new("/dev/full").exists());
}

#[test]
fn an_export_that_fails_keeps_what_was_there() {
    let whole = fs::read(recording(2)).unwrap();
    let folder = file("export-fails");
    fs::create_dir_all(&folder).unwrap();
    let (krec, out) = (folder.join("in.krec"), folder.join("out"));
    let mut damaged = whole.clone();
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    fs::write(&krec, &damaged).unwrap();
    fs::write(&out, "before").unwrap();
    for format in ["perfetto", "trace.dat"] {
        let args = ["export", format, text(&krec), "-o"];
        kreplay(args.iter().copied().chain([text(&out)]))
            .expect(code::BAD_INPUT)
            .complains(&["in.krec"]);
        kreplay(args.iter().copied().chain([text(&folder)]))
            .expect(code::BAD_INPUT)
            .complains(&[]);
        kreplay(args.iter().copied().chain([text(&krec)]))
            .expect(code::BAD_INPUT)
            .complains(&["is the recording", "-o"]);
    }
    assert_eq!(fs::read(&out).unwrap(), b"before");
    assert_eq!(names_in(&folder), ["in.krec", "out"]);
    // A recording that was cut short is exported up to where it is whole, and that is said.
    fs::write(&krec, &whole[..whole.len() * 9 / 10]).unwrap();
    for format in ["perfetto", "trace.dat"] {
        let ran = kreplay(["export", format, text(&krec), "-o", text(&out)])
            .expect(code::DONE)
            .complains(&["incomplete"]);
        let events = open(&krec).event_count();
        assert!(ran.stdout.contains(&format!(": {events} events")), "{ran}");
    }
    assert_eq!(
        trace_cmd(&["report", "-t", "-i", text(&out)])
            .lines()
            .count() as u64,
        open(&krec).event_count() + 1
    );
}
