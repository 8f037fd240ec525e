//! The storm of stoppers: what every recording must hold ([`invariants`](super::invariants)) on
//! `stopstorm`, under round robin and under random schedules, and what is a promise of `stop_machine` alone.

use std::collections::{BTreeMap, BTreeSet};

use trace::event::{Addr, Event};
use trace::events::{EventData, StopMachineState};

use super::invariants::{self, Run};
use super::reports::{number, rows};
use super::support::{code, file, kreplay, long, open, text};

const SIZES: [u32; 4] = [2, 4, 8, 16];
/// `enum multi_stop_state`.
const PREPARE: u32 = 1;
const DISABLE_IRQ: u32 = 2;
const RUN: u32 = 3;
const EXIT: u32 = 4;
/// Steps of a state.
const ENTER: u32 = 0;
const ACK: u32 = 1;

/// Records a storm; without a seed under round robin.
fn storm(cpus: u32, seed: Option<u64>) -> Run {
    let name = match seed {
        None => format!("storm on {cpus} CPUs"),
        Some(seed) => format!("storm on {cpus} CPUs, seed {seed}"),
    };
    let path = file(&format!("{}.krec", name.replace([' ', ','], "-")));
    let mut args = vec!["record", "--workload", "stopstorm", "--no-image"];
    let (smp, seeded) = (cpus.to_string(), seed.map(|seed| seed.to_string()));
    args.extend(["--smp", &smp]);
    args.extend(["--append", "stopstorm.rounds=56"]);
    if let Some(seed) = &seeded {
        args.extend(["--policy", "random", "--seed", seed]);
    }
    args.extend(["-o", text(&path)]);
    kreplay(args).expect(code::DONE);
    let recording = open(&path);
    // Fifty of them would fill the disk.
    std::fs::remove_file(&path).expect("the recording was just written");
    Run::new(name, cpus, recording)
}

/// Every scheduling that is tried on a number of CPUs.
fn each(cpus: u32, check: impl Fn(&Run)) {
    let seeds = if long() { 1..=50 } else { 1..=2 };
    check(&storm(cpus, None));
    for seed in seeds {
        check(&storm(cpus, Some(seed)));
    }
}

fn holds_all(cpus: u32) {
    each(cpus, |run| {
        invariants::all(run);
        lock_step(run);
        victims(run);
        counts(run);
    });
}

#[test]
fn a_storm_on_2_cpus_holds_every_invariant() {
    holds_all(2);
}

#[test]
fn a_storm_on_4_cpus_holds_every_invariant() {
    holds_all(4);
}

#[test]
fn a_storm_on_8_cpus_holds_every_invariant() {
    holds_all(8);
}

#[test]
fn a_storm_on_16_cpus_holds_every_invariant() {
    holds_all(16);
}

/// A request in lock step: who takes part, and how far each has got.
#[derive(Default)]
struct Machine {
    /// By CPU: the last state and step.
    at: BTreeMap<u32, (u32, u32)>,
    /// CPUs that have acknowledged each state.
    acked: BTreeMap<u32, BTreeSet<u32>>,
    entered: BTreeMap<u32, BTreeSet<u32>>,
    active: BTreeSet<u32>,
}

impl Machine {
    fn follow(&mut self, name: &str, event: &Event, s: &StopMachineState) {
        let next = match self.at.get(&s.cpu) {
            None => (PREPARE, ENTER),
            Some((state, ENTER)) => (*state, ACK),
            Some((state, _)) => (state + 1, ENTER),
        };
        assert_eq!((s.state, s.step), next, "{name}: {event:?}");
        self.at.insert(s.cpu, next);
        if s.active == 1 {
            self.active.insert(s.cpu);
        }
        if s.step == ENTER {
            assert!(
                s.polls > 0,
                "{name}: a state seen without a look: {event:?}"
            );
            // The state opened when all had acknowledged the one before: so nobody turns interrupts off
            // before all are here, nor runs the function before all have, nor leaves before all functions ended.
            let before = self.acked.get(&(s.state - 1)).map_or(0, BTreeSet::len);
            if s.state > PREPARE {
                assert_eq!(before, self.entered[&PREPARE].len(), "{name}: {event:?}");
            }
            self.entered.entry(s.state).or_default().insert(s.cpu);
        } else {
            self.acked.entry(s.state).or_default().insert(s.cpu);
        }
    }

    fn is_over(&self) -> bool {
        self.at.values().all(|at| *at == (EXIT, ACK))
    }
}

/// The states of every request in lock step: each participant goes through all, all go together, inside
/// their works, and without an interrupt from DISABLE_IRQ on.
fn lock_step(run: &Run) {
    let name = &run.name;
    let mut requests: BTreeMap<Addr, Machine> = BTreeMap::new();
    // By CPU: the work's function, its request, whether interrupts are off.
    let mut inside: BTreeMap<u32, Addr> = BTreeMap::new();
    let mut irqs_off: BTreeSet<u32> = BTreeSet::new();
    let mut sizes: BTreeMap<usize, u64> = BTreeMap::new();
    for event in &run.events {
        match &event.data {
            EventData::StopWorkStart(work) => {
                inside.insert(event.cpu, work.func);
            }
            EventData::StopWorkDone(_) => {
                inside.remove(&event.cpu);
                assert!(!irqs_off.contains(&event.cpu), "{name}: {event:?}");
            }
            EventData::StopMachineState(s) => {
                assert_eq!(s.cpu, event.cpu, "{name}: {event:?}");
                assert!(inside.contains_key(&s.cpu), "{name}: {event:?}");
                let request = requests.entry(s.msdata).or_default();
                request.follow(name, event, s);
                match (s.state, s.step) {
                    (DISABLE_IRQ, ACK) => drop(irqs_off.insert(s.cpu)),
                    // Seen once more after they are on again.
                    (EXIT, ENTER) => drop(irqs_off.remove(&s.cpu)),
                    (RUN, ACK) => assert!(irqs_off.contains(&s.cpu), "{name}: {event:?}"),
                    _ => {}
                }
                if request.is_over() && request.at.len() == request.entered[&PREPARE].len() {
                    let all = request.acked[&PREPARE].len();
                    assert!(!request.active.is_empty(), "{name}: {event:?}");
                    *sizes.entry(all).or_default() += 1;
                    requests.remove(&s.msdata);
                }
            }
            EventData::LocalTimerEntry(_)
            | EventData::RescheduleEntry(_)
            | EventData::CallFunctionEntry(_)
            | EventData::CallFunctionSingleEntry(_)
            | EventData::SchedSwitch(_) => {
                assert!(
                    !irqs_off.contains(&event.cpu),
                    "{name}: while interrupts are off: {event:?}"
                );
            }
            _ => {}
        }
    }
    assert!(
        requests.is_empty(),
        "{name}: not over: {:?}",
        requests.keys()
    );
    // stop_two_cpus and stop_machine, and nothing in between.
    let known: BTreeSet<usize> = [2, run.cpus as usize].into();
    assert_eq!(
        sizes.keys().copied().collect::<BTreeSet<_>>(),
        known,
        "{name}"
    );
    assert!(sizes.values().all(|count| *count >= 8), "{name}: {sizes:?}");
}

/// Stoppers preempt fair and real-time tasks.
fn victims(run: &Run) {
    let (mut fair, mut rt) = (0, 0);
    for event in &run.events {
        let EventData::SchedSwitch(s) = event.data else {
            continue;
        };
        let stopper = s.next_comm.to_text().starts_with("migration/");
        if !stopper || s.prev_state != 0x100 {
            continue;
        }
        let name = s.prev_comm.to_text();
        if name.starts_with("rt/") {
            // 99 minus 10, 30, 50 or 70.
            assert!(matches!(s.prev_prio, 29 | 49 | 69 | 89), "{s:?}");
            rt += 1;
        } else {
            assert!(s.prev_prio >= 100, "{s:?}");
            fair += 1;
        }
    }
    assert!(
        fair >= 20 && rt >= 5,
        "{}: {fair} and {rt} victims",
        run.name
    );
}

/// What the guest counted of its requests does not depend on the schedule.
fn counts(run: &Run) {
    let console: Vec<u8> = run
        .recording
        .console()
        .iter()
        .flat_map(|line| line.bytes.clone())
        .collect();
    let console = String::from_utf8_lossy(&console);
    let counts = console
        .lines()
        .find(|line| line.contains("stopstorm: counts:"))
        .unwrap_or_else(|| panic!("{}: {console}", run.name));
    let stormers = run.cpus;
    for (kind, each) in [
        ("requests", 56),
        ("one", 4),
        ("nowait", 4),
        ("many", 4),
        ("try", 4),
        ("two", 8),
        ("machine", 8),
        ("cpuslocked", 4),
        ("moves", 12),
        ("refused", 4),
        ("nested", 2),
        ("failed", 2),
    ] {
        let count = format!(" {kind}={} ", each * stormers);
        assert!(
            counts.contains(&count),
            "{}: no{count}in {counts}",
            run.name
        );
    }
    assert!(console.contains("stopstorm: done, all counts agree"));
}

#[test]
fn the_reports_of_a_storm_keep_their_identities() {
    for cpus in SIZES {
        let path = file(&format!("storm-reports-{cpus}.krec"));
        let smp = cpus.to_string();
        kreplay([
            "record",
            "--workload",
            "stopstorm",
            "--smp",
            &smp,
            "-o",
            text(&path),
        ])
        .expect(code::DONE);
        for (report, table) in [("migration", "moves"), ("stopper", "stopper_works")] {
            let ran = kreplay(["analyze", report, "--format", "json", text(&path)]);
            let ran = ran.expect(code::DONE);
            let json = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}\n{ran}"));
            for check in rows(&json, "checks") {
                assert_eq!(check["holds"], true, "{cpus} CPUs: {check}");
            }
            let rows = rows(&json, table);
            assert!(rows.len() >= 50, "{cpus} CPUs: {} {table}", rows.len());
            if table == "moves" {
                for row in rows {
                    let phases = [
                        "off_src",
                        "stop_wait",
                        "stop_run",
                        "enq_dst",
                        "ipi",
                        "first_run",
                    ];
                    let sum: u64 = phases
                        .iter()
                        .map(|phase| number(row, &format!("{phase}_ns")))
                        .sum();
                    assert_eq!(sum, number(row, "total_ns"), "{cpus} CPUs: {row}");
                }
            } else {
                let rt = rows.iter().filter(|row| {
                    let victim = row["victim_comm"].as_str();
                    victim.is_some_and(|victim| victim.starts_with("rt/"))
                });
                assert!(rt.count() >= 50, "{cpus} CPUs: real-time victims");
            }
        }
    }
}

#[test]
fn a_storm_is_the_same_storm_again() {
    let append = "stopstorm.rounds=28";
    kreplay([
        "verify",
        "--workload",
        "stopstorm",
        "--smp",
        "8",
        "--append",
        append,
        "--runs",
        "3",
    ])
    .expect(code::DONE);
}

#[test]
fn a_cpu_that_did_not_come_up_takes_no_work() {
    let path = file("storm-maxcpus.krec");
    let ran = kreplay([
        "record",
        "--console",
        "--workload",
        "stopstorm",
        "--smp",
        "4",
        "--append",
        "maxcpus=3 stopstorm.rounds=98",
        "-o",
        text(&path),
    ]);
    let ran = ran.expect(code::DONE);
    assert!(ran.stdout.contains("3 CPUs online, 1 offline"), "{ran}");
    // 7 turns through 14 kinds: each kind of refusal once by each of 3 stormers.
    assert!(ran.stdout.contains(" refused=21 "), "{ran}");
    assert!(
        ran.stdout.contains("stopstorm: done, all counts agree"),
        "{ran}"
    );
}

#[test]
fn real_time_tasks_play_by_the_rules_of_fifo_and_rr() {
    let path = file("rt.krec");
    let ran = kreplay([
        "record",
        "--console",
        "--workload",
        "rt",
        "--append",
        "rt.throttle=1",
        "-o",
        text(&path),
    ]);
    let ran = ran.expect(code::DONE);
    for line in [
        "equals play in the order they came: ABC",
        "the highest first, ordinary ones last: HMLN",
        "who is preempted stays first: LHLM",
        "a yield goes to the end: ABABAB",
        "lowered to the head, raised to the tail: CABD",
        "round robin takes turns: ABAB",
        "sched: RT throttling activated",
        "rt: 11 scenes played, all as they should be",
    ] {
        assert!(ran.stdout.contains(line), "no `{line}`\n{ran}");
    }
    // The same from outside: who is picked has the highest priority of all that wait. Until the first change
    // of a waiting task's priority, of which no event tells.
    let recording = open(&path);
    let before = recording
        .console()
        .iter()
        .find(|line| String::from_utf8_lossy(&line.bytes).contains("not behind a lower one"))
        .map(|line| line.cycles)
        .expect("the scene before has been played");
    let run = Run::new("rt".to_owned(), 2, recording);
    let events: Vec<Event> = run
        .events
        .iter()
        .take_while(|event| event.cycles < before)
        .copied()
        .collect();
    assert!(events.len() > 500, "{}", events.len());
    invariants::class_order(&Run { events, ..run });
}

#[test]
fn a_cpu_on_its_way_up_stops_the_others_and_itself() {
    let path = file("storm-inactive.krec");
    let ran = kreplay([
        "record",
        "--console",
        "--workload",
        "stopstorm",
        "--smp",
        "4",
        "--append",
        "stopstorm.inactive=1 stopstorm.rounds=14",
        "-o",
        text(&path),
    ]);
    let ran = ran.expect(code::DONE);
    for cpu in 1..4 {
        let line = format!("cpu{cpu} met {} CPUs before it was active", cpu + 1);
        assert!(ran.stdout.contains(&line), "no `{line}`\n{ran}");
    }
    // On the CPU that comes the states lie outside any work: no stopper runs them there.
    let recording = open(&path);
    let mut met: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
    for event in recording.events() {
        let event = event.unwrap();
        if let EventData::StopMachineState(s) = event.data
            && event.comm.to_text().starts_with("swapper/")
        {
            met.entry(s.cpu).or_default().push((s.state, s.step));
        }
    }
    assert_eq!(met.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    for states in met.values() {
        let right: Vec<_> = (PREPARE..=EXIT)
            .flat_map(|state| [(state, ENTER), (state, ACK)])
            .collect();
        assert_eq!(*states, right);
    }
}

#[test]
fn sixty_four_cpus_boot_and_finish_the_affinity_workload() {
    let path = file("affinity-64.krec");
    let ran = kreplay([
        "record",
        "--console",
        "--no-image",
        "--smp",
        "64",
        "-o",
        text(&path),
    ]);
    let ran = ran.expect(code::DONE);
    assert!(ran.stdout.contains("affinity: 64 hogs on 64 CPUs"), "{ran}");
    assert!(
        ran.stdout.contains("affinity: done, all counts agree"),
        "{ran}"
    );
    let run = Run::new("64 CPUs".to_owned(), 64, open(&path));
    std::fs::remove_file(&path).expect("the recording was just written");
    invariants::all(&run);
}
