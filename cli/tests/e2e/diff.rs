//! `kreplay diff`: same, differs, cannot compare.

use std::fs;

use super::support::{code, file, kreplay, recording, text};

#[test]
fn a_recording_is_the_same_as_its_copy() {
    let copy = file("copy.krec");
    fs::copy(recording(2), &copy).unwrap();
    let ran = kreplay(["diff", text(&recording(2)), text(&copy)]).expect(code::DONE);
    assert!(ran.stdout.contains("same"), "{ran}");
}

#[test]
fn another_seed_differs_from_its_first_divergence_on() {
    let run = |seed: &str| {
        let path = file(&format!("diff-seed-{seed}.krec"));
        kreplay([
            "record",
            "--policy",
            "random",
            "--seed",
            seed,
            "--until",
            "100ms",
            "-o",
            text(&path),
        ])
        .expect(code::DONE);
        path
    };
    let (a, b) = (run("1"), run("2"));
    let ran = kreplay(["diff", text(&a), text(&b)]).expect(code::DIFFERS);
    let again = kreplay(["diff", text(&a), text(&b)]).expect(code::DIFFERS);
    assert_eq!(ran.stdout, again.stdout, "the same bytes every time");
    // The first difference with both sides' stacks and runqueues, then the metrics.
    for part in [
        "first difference",
        "@",
        "runqueue",
        "cpu0",
        "migration_total_p99",
    ] {
        assert!(
            ran.stdout.to_lowercase().contains(part),
            "no `{part}`\n{ran}"
        );
    }
}

#[test]
fn what_is_not_the_same_machine_cannot_be_compared() {
    let ran = kreplay(["diff", text(&recording(2)), text(&recording(4))]).expect(code::BAD_INPUT);
    let said = ran.stdout.clone() + &ran.stderr;
    assert!(
        said.contains('2') && said.contains('4') && said.to_lowercase().contains("cpu"),
        "{ran}"
    );
}
