//! The events of an unmodified Linux, found by probes on its functions, against what that kernel says of
//! itself: its counters of switches, moves and forks, its threads, and the order of its stoppers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use trace::event::{Addr, Event, EventData};
use trace::krec::Recording;

mod common {
    use std::path::Path;
    use std::process::{Command, Output};

    /// The root of the repository.
    pub fn root() -> &'static Path {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.ancestors().nth(2).expect("cli/machine is in the root")
    }

    /// Runs a command that must succeed; what it printed.
    #[track_caller]
    pub fn run(command: &mut Command) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = command
            .output()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let (out, said) = (
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr),
        );
        assert!(status.success(), "{command:?}: {status}\n{out}\n{said}");
        out.into_owned()
    }
}

use common::{root, run};

/// The folder with Debian's kernel; fetched if it is not there.
fn guest() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let script = root().join("scripts/linux-guest.sh");
        PathBuf::from(run(Command::new(script).current_dir(root())).trim())
    })
}

/// Records Debian's kernel with the script `counters`; `debug` says whether its functions are probed.
/// Gives the recording and what was printed.
fn record(cpus: u32, debug: bool) -> (PathBuf, String) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let initrd = folder.join(format!("counters-{cpus}-{debug}.cpio"));
    let output = folder.join(format!("counters-{cpus}-{debug}.krec"));
    let mut python = Command::new("python3");
    python.arg(root().join("scripts/initramfs.py"));
    python.arg(guest().join("busybox"));
    python.arg(root().join("cli/tests/linux/counters"));
    run(python.arg(&initrd));
    let mut machine = Command::new(env!("CARGO_BIN_EXE_kreplay-machine"));
    machine
        .arg("record")
        .arg("--kernel")
        .arg(guest().join("vmlinuz"));
    machine.arg("--initrd").arg(&initrd);
    if debug {
        machine.arg("--debug").arg(guest().join("vmlinux"));
    }
    machine
        .args(["--smp", &cpus.to_string(), "-o"])
        .arg(&output);
    (output, run(&mut machine))
}

/// The recording that most tests look at, and what was printed when it was made.
fn recording() -> &'static (PathBuf, String) {
    static MADE: OnceLock<(PathBuf, String)> = OnceLock::new();
    MADE.get_or_init(|| record(2, true))
}

fn open(path: &Path) -> Recording {
    Recording::open(path).unwrap_or_else(|e| panic!("{e}"))
}

/// The line of the guest that begins with `word` after "counters: ": when it was written, and the rest.
fn said(recording: &Recording, word: &str) -> (u64, String) {
    let mark = format!("counters: {word}");
    let found = recording.console().iter().find_map(|line| {
        let text = String::from_utf8_lossy(&line.bytes);
        let (_, rest) = text.split_once(&mark)?;
        Some((line.cycles, rest.trim().to_owned()))
    });
    found.unwrap_or_else(|| panic!("the guest never said `{mark}`"))
}

fn number(recording: &Recording, word: &str) -> u64 {
    let (_, text) = said(recording, word);
    text.parse().unwrap_or_else(|_| panic!("{word}: {text}"))
}

fn count(events: &[Event], which: impl Fn(&EventData) -> bool) -> u64 {
    events.iter().filter(|event| which(&event.data)).count() as u64
}

#[test]
fn the_kernels_counters_are_those_of_the_events() {
    let recording = open(&recording().0);
    let events = recording.load_events().unwrap();
    let pid = number(&recording, "pid") as i32;
    for line in recording.console() {
        assert!(!String::from_utf8_lossy(&line.bytes).contains("FAILED"));
    }
    // Of a stopped task, to the last one.
    let switches = count(
        &events,
        |data| matches!(data, EventData::SchedSwitch(e) if e.prev_pid == pid),
    );
    let stopped = said(&recording, "pid").0;
    let before_kill: Vec<Event> = events
        .iter()
        .filter(|e| e.cycles < stopped)
        .copied()
        .collect();
    let until_stopped = count(
        &before_kill,
        |data| matches!(data, EventData::SchedSwitch(e) if e.prev_pid == pid),
    );
    assert!(switches >= until_stopped);
    assert_eq!(number(&recording, "nr_switches"), until_stopped);
    let moves = count(
        &before_kill,
        |data| matches!(data, EventData::SchedMigrateTask(e) if e.pid == pid),
    );
    assert_eq!(number(&recording, "se.nr_migrations"), moves);
    assert!(moves >= 5, "{moves}");
    // Of the whole machine, between two lines of the guest.
    let (from, to) = (said(&recording, "before").0, said(&recording, "after").0);
    let until = |end: u64, which: fn(&EventData) -> bool| {
        events
            .iter()
            .filter(|e| e.cycles < end && which(&e.data))
            .count() as u64
    };
    let is_switch: fn(&EventData) -> bool = |data| matches!(data, EventData::SchedSwitch(_));
    let context = number(&recording, "ctxt");
    let (low, high) = (until(from, is_switch), until(to, is_switch));
    assert!(
        (low..=high).contains(&context),
        "{low} <= {context} <= {high}"
    );
    assert!(high - low < 200, "{low}..{high} proves nothing");
    let is_fork: fn(&EventData) -> bool = |data| matches!(data, EventData::SchedProcessFork(_));
    let forks = number(&recording, "processes");
    let (low, high) = (until(from, is_fork), until(to, is_fork));
    // The idle tasks of the other CPUs are copied too, and not by kernel_clone.
    let idle = u64::from(recording.manifest().cpus) - 1;
    assert!(
        (low + idle..=high + idle).contains(&forks),
        "{low} <= {forks} - {idle} <= {high}"
    );
}

#[test]
fn every_taskset_of_a_running_shell_sends_its_stopper() {
    let recording = open(&recording().0);
    let events = recording.load_events().unwrap();
    let pid = number(&recording, "pid") as i32;
    let mut sent = 0;
    for (index, event) in events.iter().enumerate() {
        let EventData::MoveAffinityEntry(entry) = event.data else {
            continue;
        };
        let stays = entry.new_mask.0 >> entry.task_cpu & 1 != 0;
        if entry.pid != pid || entry.on_cpu == 0 || stays {
            continue;
        }
        sent += 1;
        let rest = &events[index..];
        let moved = rest
            .iter()
            .find(|e| matches!(e.data, EventData::SchedMigrateTask(m) if m.pid == pid))
            .expect("it was moved");
        assert_eq!(
            moved.comm.to_text(),
            format!("migration/{}", entry.task_cpu)
        );
        let names: Vec<&str> = recording
            .stack(moved.stack.expect("a move has its stack"))
            .iter()
            .filter_map(|addr| recording.symbol(*addr))
            .flat_map(|symbol| symbol.functions())
            .collect();
        for function in [
            "set_task_cpu",
            "move_queued_task",
            "migration_cpu_stop",
            "kthread",
        ] {
            assert!(names.contains(&function), "no {function} in {names:?}");
        }
        assert_eq!(names.last(), Some(&"ret_from_fork"));
    }
    assert!(sent >= 4, "{sent} running shells were moved");
}

#[test]
fn works_start_in_the_order_they_were_queued_and_every_kind_of_event_is_there() {
    let recording = open(&recording().0);
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for event in recording.load_events().unwrap() {
        *kinds.entry(event.data.schema().name).or_default() += 1;
    }
    for kind in [
        "sched:sched_switch",
        "sched:sched_waking",
        "sched:sched_wakeup",
        "sched:sched_wakeup_new",
        "sched:sched_migrate_task",
        "sched:sched_process_fork",
        "sched:sched_process_exit",
        "ipi:ipi_send_cpu",
        "irq_vectors:local_timer_entry",
        "irq_vectors:reschedule_entry",
        "irq_vectors:call_function_single_entry",
        "stop:work_queue",
        "stop:work_start",
        "stop:work_done",
        "stop:complete",
        "move:affinity_entry",
        "move:enqueued",
        "probe:scheduler_tick",
    ] {
        assert!(kinds.contains_key(kind), "no {kind} in {kinds:?}");
    }
    assert_eq!(kinds["stop:work_queue"], kinds["stop:work_start"]);
    assert_eq!(kinds["stop:work_start"], kinds["stop:work_done"]);
    assert_eq!(
        kinds["sched:sched_process_fork"],
        kinds["sched:sched_wakeup_new"]
    );
    // What cannot be found is said, in the recording too.
    let missing = &recording.end().unwrap().missing;
    assert!(
        missing.len() == 1 && missing[0].starts_with("stop:machine_state"),
        "{missing:?}"
    );
}

#[test]
fn looking_changes_nothing() {
    let digest = |printed: &str| {
        let line = printed.lines().find(|line| line.ends_with("(machine)"));
        line.expect("record prints it").to_owned()
    };
    let plain = record(2, false).1;
    assert_eq!(digest(&recording().1), digest(&plain));
}

/// What `kreplay calls` counts: how often a function was entered, and how often below another.
fn entries(path: &Path, from: &str, to: &str) -> (u64, u64) {
    let mut machine = Command::new(env!("CARGO_BIN_EXE_kreplay-machine"));
    machine
        .args(["calls", "--from", from, "--to", to])
        .arg(path);
    let printed = run(&mut machine);
    let line = printed.lines().last().expect("it prints a count");
    let words: Vec<&str> = line.split(' ').collect();
    let [
        name,
        "was",
        "entered",
        all,
        "times,",
        below,
        "of",
        "them",
        "below",
        outer,
    ] = words[..]
    else {
        panic!("{printed}");
    };
    assert_eq!((name, outer), (to, from));
    (all.parse().unwrap(), below.parse().unwrap())
}

#[test]
fn functions_are_entered_as_often_as_the_events_say() {
    let path = &recording().0;
    let recording = open(path);
    let events = recording.load_events().unwrap();
    let works = |function: &str| {
        let is = |func: Addr| recording.symbol(func).is_some_and(|s| s.name == function);
        let started = count(
            &events,
            |data| matches!(data, EventData::StopWorkStart(e) if is(e.func)),
        );
        let done = count(
            &events,
            |data| matches!(data, EventData::StopWorkDone(e) if is(e.func)),
        );
        assert_eq!(started, done, "each {function} returns");
        started
    };
    // The run is executed again for each, with that one function probed.
    let [schedule, queue, migration, multi] = std::thread::scope(|scope| {
        [
            ("kthread", "__schedule"),
            ("__x64_sys_sched_setaffinity", "cpu_stop_queue_work"),
            ("cpu_stopper_thread", "migration_cpu_stop"),
            ("cpu_stopper_thread", "multi_cpu_stop"),
        ]
        .map(|(from, to)| scope.spawn(move || entries(path, from, to)))
        .map(|thread| thread.join().expect("its count is taken"))
    });
    // Stoppers, and nobody else, run the works.
    let started = ["migration_cpu_stop", "multi_cpu_stop"].map(works);
    assert_eq!([migration, multi], started.map(|n| (n, n)));
    assert!(started.iter().all(|n| *n > 0), "{started:?}");
    let queued = count(&events, |data| matches!(data, EventData::StopWorkQueue(_)));
    assert_eq!(queue.0, queued);
    // A task that runs where it no longer may is moved by one work; taskset asked for most of these.
    let moved = count(
        &events,
        |data| matches!(data, EventData::MoveAffinityEntry(e) if e.on_cpu != 0 && e.new_mask.0 >> e.task_cpu & 1 == 0),
    );
    assert_eq!(migration.0, moved);
    assert!((4..=moved).contains(&queue.1), "{queue:?} {moved}");
    // Only __schedule switches, at most once each time; often it finds nobody else.
    let switches = count(&events, |data| matches!(data, EventData::SchedSwitch(_)));
    assert!(switches > 100, "{switches} prove nothing");
    assert!(schedule.0 >= switches, "{schedule:?} {switches}");
    assert!((1..schedule.0).contains(&schedule.1), "{schedule:?}");
}
