//! The model checker over every workload: what must hold of any run (linux-facts, section 6), under round
//! robin and under random schedules, on 1 to 8 CPUs, from the events and from the kernel's own structures at
//! instants of the run.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use trace::check;
use trace::check::state::switches;
use trace::krec::{OutcomeRow, Recording};
use trace::state::State;

use super::support::{code, file, finish, kreplay, long, open, text};

/// A workload, in a form that is short and still does all it does.
struct Workload {
    name: &'static str,
    append: &'static str,
}

const fn workload(name: &'static str, append: &'static str) -> Workload {
    Workload { name, append }
}

/// The workloads; one that the kernel has and that is not here fails a test below.
const WORKLOADS: &[Workload] = &[
    workload("affinity", "affinity.moves=40"),
    workload("balance", "balance.rounds=1 balance.ms=10"),
    workload("cyclictest", "cyclictest.loops=20"),
    workload("deadline", "deadline.periods=2 deadline.hogs=1"),
    workload("fair", "fair.ms=200 fair.quick=1"),
    workload("forkexec", "forkexec.families=6"),
    workload("hackbench", "hackbench.loops=8"),
    workload("hotplug", "hotplug.cycles=1 hotplug.pairs=2 hotplug.hogs=2"),
    workload("idle", "idle.ms=5"),
    workload("rcutorture", "rcutorture.updates=8"),
    workload("rt", ""),
    workload("schbench", "schbench.runtime_ms=6"),
    workload("stopstorm", "stopstorm.rounds=14"),
    workload("timers", "timers.rounds=20 timers.levels=1"),
];
/// `lkdtm` crashes on purpose, and `kunit` has tests of its own.
const ELSEWHERE: [&str; 2] = ["kunit", "lkdtm"];

/// A run that is checked.
struct Run {
    name: String,
    path: PathBuf,
    recording: Recording,
}

/// Records a workload under round robin.
fn in_turn(workload: &Workload, cpus: u32) -> Run {
    let path = file(&format!("model-{}-{cpus}.krec", workload.name));
    let smp = cpus.to_string();
    let mut args = vec!["record", "--no-image", "--workload", workload.name];
    args.extend([
        "--append",
        workload.append,
        "--smp",
        &smp,
        "-o",
        text(&path),
    ]);
    kreplay(args).expect(code::DONE);
    run(format!("{} on {cpus} CPUs", workload.name), path)
}

/// Records a workload under random schedules, one a seed; they come one after the other.
fn at_random(
    workload: &Workload,
    cpus: u32,
    seeds: RangeInclusive<u64>,
) -> impl Iterator<Item = Run> {
    let folder = file(&format!("model-{}-{cpus}", workload.name));
    std::fs::create_dir_all(&folder).expect("a folder for recordings");
    let [smp, first, last] =
        [u64::from(cpus), *seeds.start(), *seeds.end()].map(|number| number.to_string());
    let mut command = machine();
    command.args(["sweep", "--first", &first, "--last", &last, "--smp", &smp]);
    command.args(["--workload", workload.name, "--append", workload.append]);
    finish(command.args(["-o", text(&folder)])).expect(code::DONE);
    let name = format!("{} on {cpus} CPUs", workload.name);
    seeds.map(move |seed| {
        let path = folder.join(format!("seed-{seed}.krec"));
        run(format!("{name}, seed {seed}"), path)
    })
}

fn run(name: String, path: PathBuf) -> Run {
    let recording = open(&path);
    Run {
        name,
        path,
        recording,
    }
}

fn machine() -> Command {
    let kreplay = Path::new(env!("CARGO_BIN_EXE_kreplay"));
    Command::new(kreplay.with_file_name("kreplay-machine"))
}

/// The states at many instants, by executing the recording again once.
pub fn states(krec: &Path, at: &[String]) -> Vec<State> {
    let mut command = machine();
    command.arg("state").arg(krec);
    for at in at {
        command.arg("--at").arg(at);
    }
    let ran = finish(&mut command).expect(code::DONE);
    let states = ran.stdout.lines().map(State::from_line);
    states.collect::<Result<_, _>>().unwrap()
}

/// So many events, spread over the part of the run in which the scheduler is set up.
fn instants(events: u64, count: u64, seed: u64) -> Vec<u64> {
    let first = events / 10;
    let step = (events - first) / count;
    (0..count)
        // Not the same phase of every step: runs have rhythms.
        .map(|n| first + n * step + (n * 7 + seed * 13) % step.max(1))
        .map(|seq| seq.min(events - 1))
        .collect()
}

fn holds(run: &Run) {
    let name = &run.name;
    let end = run.recording.end().unwrap();
    assert_eq!(end.outcome, OutcomeRow::PowerOff, "{name}");
    let events = run.recording.load_events().unwrap();
    let found = check::whole(&events);
    assert!(
        found.is_empty(),
        "{name}: {} violations, first: {}",
        found.len(),
        found[0]
    );
    let unsettled = check::unsettled(&events);
    let lost = check::state::lost(run.recording.tasks(), &unsettled);
    assert!(lost.is_empty(), "{name}: {}", lost[0]);
    let outside = check::tasks_in_mask(run.recording.tasks(), &unsettled);
    assert!(outside.is_empty(), "{name}: {outside:?}");
}

/// Looks into the kernel at instants of the run, and at both ends of turns of tasks. Returns how many runqueues
/// were at rest.
fn states_hold(run: &Run, count: u64, seed: u64) -> usize {
    let name = &run.name;
    let events = run.recording.load_events().unwrap();
    let turns = switches::turns(&events, events.len() / 10 + seed as usize, count as usize);
    assert!(!turns.is_empty(), "{name}: nobody takes turns");
    let mut at = instants(events.len() as u64, count, seed);
    at.extend(turns.iter().flat_map(|turn| [turn.begin, turn.end]));
    at.sort_unstable();
    at.dedup();
    let spelled: Vec<String> = at.iter().map(|seq| format!("@{seq}")).collect();
    let states = states(&run.path, &spelled);
    let found = check::state::over_time(&events, &states);
    assert!(found.is_empty(), "{name}: {}", found[0]);
    let mut at_rest = 0;
    for (seq, state) in at.iter().zip(&states) {
        let mut found = check::state::all(state);
        found.extend(switches::context(&events[*seq as usize], state));
        assert!(found.is_empty(), "{name} at @{seq}: {}", found[0]);
        at_rest += state.cpus.iter().filter(|cpu| !cpu.locked).count();
    }
    let state = |seq| &states[at.binary_search(&seq).expect("it was asked for")];
    for turn in turns {
        let found = switches::turn(&events, turn, state(turn.begin), state(turn.end));
        assert!(found.is_empty(), "{name}, {turn:?}: {}", found[0]);
    }
    at_rest
}

/// Every workload on so many CPUs.
fn matrix(cpus: u32) {
    let (seeds, looked_into) = if long() { (200, 20) } else { (20, 2) };
    let mut at_rest = 0;
    let mut look = |run: &Run, seed: u64| {
        holds(run);
        if seed <= looked_into {
            at_rest += states_hold(run, 20, seed);
        }
        std::fs::remove_file(&run.path).expect("the recording was just written");
    };
    for workload in WORKLOADS {
        look(&in_turn(workload, cpus), 0);
        // Not too many on the disk at a time.
        for first in (1..=seeds).step_by(20) {
            for (run, seed) in at_random(workload, cpus, first..=first + 19).zip(first..) {
                look(&run, seed);
            }
        }
    }
    assert!(at_rest > 100, "{at_rest} runqueues were at rest");
}

#[test]
fn every_rule_holds_on_1_cpu() {
    matrix(1);
}

#[test]
fn every_rule_holds_on_2_cpus() {
    matrix(2);
}

#[test]
fn every_rule_holds_on_4_cpus() {
    matrix(4);
}

#[test]
fn every_rule_holds_on_8_cpus() {
    matrix(8);
}

/// What `sweep` records in one process is what `record` records in one of its own.
#[test]
fn a_sweep_records_what_single_runs_do() {
    let workload = workload("stopstorm", "stopstorm.rounds=14");
    let append = workload.append;
    for (swept, seed) in at_random(&workload, 2, 1..=3).zip(1..) {
        let path = file("model-single.krec");
        let seed: u64 = seed;
        let seeded = seed.to_string();
        let mut args = vec!["record", "--no-image", "--workload", "stopstorm"];
        args.extend(["--append", append, "--policy", "random", "--seed", &seeded]);
        kreplay(args.into_iter().chain(["-o", text(&path)])).expect(code::DONE);
        let bytes = |path| std::fs::read(path).expect("a recording");
        assert!(bytes(&swept.path) == bytes(&path), "seed {seed}");
    }
}

/// The front end says which workloads there are when it is asked for one that is not.
#[test]
fn every_workload_of_the_kernel_is_in_the_matrix() {
    let ran = kreplay(["record", "--workload", "nonsense", "-o", "never.krec"]);
    let ran = ran.expect(code::BAD_INPUT);
    let (_, list) = ran.stderr.trim().rsplit_once(" has ").expect(&ran.stderr);
    let known: Vec<&str> = list.split(", ").flat_map(|it| it.split(" and ")).collect();
    let ours = |name: &str| WORKLOADS.iter().any(|workload| workload.name == name);
    for workload in WORKLOADS {
        assert!(
            known.contains(&workload.name),
            "{} in {known:?}",
            workload.name
        );
    }
    let missing: Vec<&&str> = known
        .iter()
        .filter(|name| !ours(name) && !ELSEWHERE.contains(*name))
        .collect();
    assert!(missing.is_empty(), "not in the matrix: {missing:?}");
}
