//! Bugs planted on purpose: kernels built with one each, and the checker, or the kernel's own assertion, that
//! names it. The same runs of the kernel without them are clean (`model.rs`).

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use trace::check;
use trace::krec::Recording;

use super::model::states;
use super::support::{code, file, kreplay, open, root, text};

/// A kernel with a feature; built one after the other, in one folder.
fn kernel(bug: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one = BUILDING.lock().expect("no build panics");
    let built = kreplay_image::build_with(&root().join("kernel-image"), &file("planted"), &[bug]);
    let built = built.unwrap_or_else(|e| panic!("{bug}: {e}"));
    let image = file(&format!("{bug}.vmlinux"));
    std::fs::copy(built.elf, &image).unwrap();
    image
}

/// A run of a kernel with a bug; it need not end well, but it ends.
fn record(bug: &str, image: &Path, workload: &str, append: &str, seed: u64) -> PathBuf {
    let path = file(&format!("{bug}-{seed}.krec"));
    let seeded = seed.to_string();
    let ran = kreplay([
        "record",
        "--kernel",
        text(image),
        "--workload",
        workload,
        "--append",
        append,
        "--smp",
        "4",
        "--policy",
        "random",
        "--seed",
        &seeded,
        "--until",
        "60ms",
        "-o",
        text(&path),
    ]);
    assert!(
        matches!(ran.code, Some(code::DONE | code::GUEST_FAILED)),
        "{ran}"
    );
    path
}

/// What the checkers say of a recording's events.
fn of_events(path: &Path) -> Vec<String> {
    let recording: Recording = open(path);
    let found = check::all(&recording.load_events().unwrap());
    found.iter().map(|it| it.to_string()).collect()
}

/// What they say of the kernel's structures at instants of it.
fn of_states(path: &Path) -> Vec<String> {
    let count = open(path).load_events().unwrap().len() as u64;
    let at: Vec<String> = (5..=40)
        .map(|n| format!("@{}", n * (count - 1) / 41))
        .collect();
    let found = states(path, &at)
        .into_iter()
        .flat_map(|state| check::state::all(&state));
    found.map(|it| it.to_string()).collect()
}

/// Runs until the rule `named` is broken, which must be soon.
fn is_caught(bug: &str, workload: &str, append: &str, look: fn(&Path) -> Vec<String>, named: &str) {
    let image = kernel(bug);
    let mut all = Vec::new();
    for seed in 1..=8 {
        let path = record(bug, &image, workload, append, seed);
        let found = look(&path);
        if found.iter().any(|what| what.starts_with(named)) {
            return;
        }
        all.extend(found);
    }
    panic!("{bug}: no {named:?} in {all:#?}");
}

#[test]
fn a_dropped_reschedule_is_named() {
    let named = "P11 a higher task asks for the scheduler";
    is_caught(
        "bug_dropped_resched",
        "affinity",
        "affinity.moves=40",
        of_states,
        named,
    );
}

#[test]
fn a_stale_look_at_on_rq_is_named() {
    let named = "T14 a wake-up enqueues";
    is_caught(
        "bug_stale_on_rq",
        "hackbench",
        "hackbench.loops=20",
        of_events,
        named,
    );
}

#[test]
fn two_stop_requests_that_cross_are_named() {
    let named = "S4 requests do not cross";
    is_caught(
        "bug_abba_stop",
        "stopstorm",
        // Many who stop two CPUs, and nobody who keeps them from it.
        "stopstorm.rounds=200 stopstorm.stormers=8 stopstorm.hogs=1 stopstorm.rts=0",
        of_events,
        named,
    );
}
