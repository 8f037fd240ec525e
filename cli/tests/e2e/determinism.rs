//! Same input, same run; and no observer effect.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::support::{code, command, file, finish, kreplay, long, open, recording, text};

/// Keeps the other core busy while `work` runs.
fn with_a_loaded_core<T>(work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut n: u64 = 0;
            while !stop.load(Ordering::Relaxed) {
                n = std::hint::black_box(n.wrapping_mul(6364136223846793005).wrapping_add(1));
            }
        });
        let done = work();
        stop.store(true, Ordering::Relaxed);
        done
    })
}

#[test]
fn ten_runs_are_one_run_with_the_other_core_loaded_and_a_thousand_more_probes() {
    let ran = with_a_loaded_core(|| kreplay(["verify", "--runs", "10", "--probes", "1000"]))
        .expect(code::DONE);
    let end = open(&recording(2)).end().unwrap().clone();
    assert!(ran.stdout.contains(&end.stream_sha256), "{ran}");
    assert!(ran.stdout.contains(&end.machine_digest), "{ran}");
    assert_eq!(
        ran.stdout.matches(&end.stream_sha256).count(),
        10,
        "one line a run\n{ran}"
    );
    let hits = hits_of_extra_probes(&ran.stdout, 1000);
    assert_eq!(hits.len(), 9, "every run but the first has them\n{ran}");
    assert!(hits.iter().all(|hits| *hits > 10_000), "{hits:?}");
}

/// How often so many extra probes were hit, in each run that had them.
fn hits_of_extra_probes(printed: &str, probes: u32) -> Vec<u64> {
    let words = format!("with {probes} more probes inside blocks, hit ");
    let rest = printed
        .lines()
        .filter_map(|line| line.trim().strip_prefix(&words));
    let hits = rest.map(|rest| rest.trim_end_matches(" times").parse());
    hits.collect::<Result<_, _>>()
        .unwrap_or_else(|e| panic!("{e}\n{printed}"))
}

#[test]
fn the_file_is_the_same_bytes_from_another_folder_environment_and_time() {
    let again = file("again");
    fs::create_dir_all(&again).unwrap();
    let mut other = command(["record", "-o", "other name.krec"]);
    other
        .current_dir(&again)
        .env("TZ", "Asia/Kathmandu")
        .env("LANG", "tr_TR.UTF-8");
    other.env("A_LONG_VARIABLE", "x".repeat(10_000));
    finish(&mut other).expect(code::DONE);
    let (a, b) = (
        fs::read(recording(2)).unwrap(),
        fs::read(again.join("other name.krec")).unwrap(),
    );
    assert!(a == b, "{} and {} bytes", a.len(), b.len());
}

#[test]
fn the_seed_chooses_the_run() {
    let run = |seed: &str, name: &str| {
        let path = file(name);
        kreplay([
            "record",
            "--policy",
            "random",
            "--seed",
            seed,
            "--until",
            "60ms",
            "--no-image",
            "-o",
            text(&path),
        ])
        .expect(code::DONE);
        open(&path).end().unwrap().clone()
    };
    let (one, same, other) = (
        run("1", "s1.krec"),
        run("1", "s1b.krec"),
        run("2", "s2.krec"),
    );
    assert_eq!(one, same);
    assert_ne!(one.stream_sha256, other.stream_sha256);
}

#[test]
fn every_cpu_count_repeats() {
    for cpus in [1, 4, 8] {
        let ran = kreplay(["verify", "--smp", &cpus.to_string(), "--probes", "1000"]);
        let ran = ran.expect(code::DONE);
        let end = open(&recording(cpus)).end().unwrap().clone();
        assert!(
            ran.stdout.contains(&end.stream_sha256),
            "{cpus} CPUs\n{ran}"
        );
        let hits = hits_of_extra_probes(&ran.stdout, 1000);
        assert!(
            !hits.is_empty() && hits.iter().all(|hits| *hits > 1000),
            "{ran}"
        );
    }
    // With --long: every number of CPUs under the other policy, with many seeds.
    if !long() {
        return;
    }
    for (cpus, seed) in (1..=16u32).flat_map(|cpus| (1..=5u32).map(move |seed| (cpus, seed))) {
        let (cpus, seed) = (cpus.to_string(), seed.to_string());
        let policy = ["--policy", "random", "--seed", &seed, "--smp", &cpus];
        kreplay(["verify", "--probes", "1000"].into_iter().chain(policy)).expect(code::DONE);
    }
}
