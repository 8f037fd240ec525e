//! Snapshots of small guests: going on from one is going on, in place or in another machine; they
//! are the same however written pages are found; and a broken file is an error.

mod guests;

use emu::{Cycles, ErrorKind, Machine, MachineConfig, Outcome, PolicyKind, Snapshot, Tracking};
use guests::{Log, Logger, counting, interrupts, machine_with, processors};

const SEEDED: PolicyKind = PolicyKind::Random { seed: 42 };

fn config(vcpus: u32, policy: PolicyKind) -> MachineConfig {
    MachineConfig {
        vcpus,
        ram_bytes: 64 << 20,
        policy,
        ..MachineConfig::default()
    }
}

/// Everything that can be seen of the rest of a run.
#[derive(PartialEq, Debug)]
struct Rest {
    log: Log,
    digest: [u8; 32],
    summary: emu::MachineSummary,
    longest: Cycles,
}

fn finish(machine: &mut Machine) -> Rest {
    let mut log = Logger::new(|_, _, _| {});
    assert_eq!(machine.run(&mut log, None).unwrap(), Outcome::PowerOff);
    Rest {
        log: log.log,
        digest: machine.digest(),
        summary: machine.summary(),
        longest: machine.longest_stretch(),
    }
}

fn run_to(machine: &mut Machine, time: u64) -> Outcome {
    let mut log = Logger::new(|_, _, _| {});
    machine.run(&mut log, Some(Cycles(time))).unwrap()
}

fn through_a_file(snapshot: &Snapshot) -> Snapshot {
    let mut file = Vec::new();
    snapshot.write(&mut file).unwrap();
    let read = Snapshot::read(&file).unwrap();
    assert!(read == *snapshot);
    read
}

/// Guests and their CPUs. `processors` brings its other CPUs up within its first few thousand cycles.
const GUESTS: [(&[u8], u32); 3] = [
    (counting::CODE, 1),
    (interrupts::CODE, 2),
    (processors::CODE, 4),
];

#[test]
fn the_rest_of_a_run_is_the_same_from_a_snapshot() {
    for policy in [PolicyKind::RoundRobin, SEEDED] {
        for (code, vcpus) in GUESTS {
            let config = config(vcpus, policy);
            let mut whole = machine_with(code, &config);
            let end = {
                finish(&mut whole);
                whole.now().0
            };
            for part in 0..10 {
                // Most of the instants lie early, where the other CPUs start.
                let time = match part {
                    0..6 => 700 * part,
                    _ => end * (part - 5) / 5,
                };
                let mut machine = machine_with(code, &config);
                run_to(&mut machine, time);
                let snapshot = machine.snapshot().unwrap();
                let rest = finish(&mut machine);
                let what = format!("{vcpus} CPUs, {policy:?}, at {time} of {end}");

                let mut fresh = Machine::from_snapshot(&through_a_file(&snapshot)).unwrap();
                assert_eq!(fresh.now(), snapshot.now());
                assert!(fresh.snapshot().unwrap() == snapshot, "{what}");
                assert_eq!(finish(&mut fresh), rest, "{what}");
                // Back in time, in the machine that has run to its end.
                machine.restore(&snapshot).unwrap();
                assert_eq!(finish(&mut machine), rest, "back in time: {what}");
            }
        }
    }
}

#[test]
fn looking_changes_nothing() {
    for (code, vcpus) in GUESTS {
        let config = config(vcpus, SEEDED);
        let whole = finish(&mut machine_with(code, &config)).digest;
        let mut machine = machine_with(code, &config);
        let mut time = 0;
        while run_to(&mut machine, time) == Outcome::UntilReached {
            machine.snapshot().unwrap();
            time += 2_300;
        }
        assert_eq!(machine.digest(), whole);
    }
}

#[test]
fn written_pages_give_the_snapshots_that_comparing_gives() {
    for (code, vcpus) in GUESTS {
        let config = config(vcpus, PolicyKind::RoundRobin);
        let mut tracked = machine_with(code, &config);
        let mut compared = machine_with(code, &config);
        compared.track_by_comparison();
        let mut time = 0;
        loop {
            let outcome = run_to(&mut tracked, time);
            assert_eq!(outcome, run_to(&mut compared, time));
            let (a, b) = (tracked.snapshot().unwrap(), compared.snapshot().unwrap());
            assert!(a == b, "at {time}");
            // And a machine of which no snapshot was taken before.
            let mut fresh = machine_with(code, &config);
            run_to(&mut fresh, time);
            assert!(fresh.snapshot().unwrap() == a, "in full, at {time}");
            if outcome == Outcome::PowerOff {
                break;
            }
            time += 9_100;
        }
        assert_eq!(compared.tracking(), Some(Tracking::Comparison));
        assert_eq!(tracked.digest(), compared.digest());
        // Either is right, for its host; which it was is worth knowing when a test fails.
        println!("this host: {:?}", tracked.tracking());
        assert_ne!(tracked.tracking(), None);
    }
}

#[test]
fn every_instruction_is_still_counted_after_going_back() {
    let config = config(4, SEEDED);
    let mut machine = machine_with(processors::CODE, &config);
    machine.verify_counts().unwrap();
    run_to(&mut machine, 5_000);
    let snapshot = machine.snapshot().unwrap();
    let rest = finish(&mut machine);
    machine.restore(&snapshot).unwrap();
    let again = finish(&mut machine);
    assert_eq!((again.log, again.digest), (rest.log, rest.digest));
    let mut fresh = Machine::from_snapshot(&snapshot).unwrap();
    fresh.verify_counts().unwrap();
    assert_eq!(finish(&mut fresh).digest, rest.digest);
}

#[test]
fn a_changed_file_is_an_error() {
    let mut machine = machine_with(processors::CODE, &config(4, SEEDED));
    run_to(&mut machine, 5_000);
    let mut file = Vec::new();
    machine.snapshot().unwrap().write(&mut file).unwrap();
    let refused = |bytes: &[u8]| {
        let error = Snapshot::read(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadSnapshot);
        error.message().to_owned()
    };
    for len in [0, 7, 8, 23, 24, 55, 56, file.len() - 1] {
        refused(&file[..len]);
    }
    for at in (0..file.len()).step_by(97) {
        let mut changed = file.clone();
        changed[at] ^= 0x10;
        refused(&changed);
    }
    let mut newer = file.clone();
    newer[8] = 200;
    assert!(refused(&newer).contains("format 200"));
    refused(b"\x7fELF and so on, which is long enough to hold a digest and more than that");
}

#[test]
fn a_snapshot_of_another_machine_is_refused_and_nothing_changes() {
    let mut machine = machine_with(processors::CODE, &config(4, SEEDED));
    run_to(&mut machine, 5_000);
    let digest = machine.digest();
    let mut other = machine_with(processors::CODE, &config(4, PolicyKind::RoundRobin));
    let snapshot = other.snapshot().unwrap();
    let error = machine.restore(&snapshot).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadSnapshot);
    assert!(error.message().contains("RoundRobin"), "{error}");
    assert_eq!(machine.digest(), digest);
}
