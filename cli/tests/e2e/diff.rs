//! `kreplay diff`: same, differs, cannot compare.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use trace::event::Event;

use super::model::states;
use super::support::{code, command, file, finish, kreplay, open, recording, text};

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
    for side in ["A: @", "B: @"] {
        let stack = stack_of(&ran.stdout, side);
        let names: BTreeSet<&str> = stack
            .iter()
            .filter_map(|line| Some(line.trim().split_once("+0x")?.0))
            .collect();
        assert!(names.len() >= 2, "{side} {stack:?}\n{ran}");
        let has_line = |line: &&str| line.contains(" (") && line.contains(".rs:");
        assert!(stack.iter().any(has_line), "{side} {stack:?}\n{ran}");
    }
    // Without the emulator there is a line that says so, and the rest of the answer.
    let missing = file("no-machine");
    let without =
        finish(command(["diff", text(&a), text(&b)]).env("KREPLAY_MACHINE", text(&missing)))
            .expect(code::DIFFERS);
    let differ = first_difference(&without.stdout);
    if differ.contains("no stack is recorded for this event") {
        let without = without.complains(&["no stack of event @", "no-machine is not there"]);
        for line in without.stderr.lines() {
            assert!(
                line.starts_with("kreplay: no stack of event @"),
                "{without}"
            );
        }
    }
}

/// Everything that is said about the first difference.
fn first_difference(text: &str) -> &str {
    let (_, rest) = text.split_once("first difference: ").unwrap_or_default();
    rest.split_once("\n\n").map_or(rest, |(first, _)| first)
}

/// The lines between the event of one side and its runqueues.
fn stack_of<'t>(text: &'t str, side: &str) -> Vec<&'t str> {
    first_difference(text)
        .lines()
        .skip_while(|line| !line.starts_with(side))
        .skip(1)
        .take_while(|line| line.starts_with("     "))
        .collect()
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

/// What `diff` shows where no stack was recorded is read as the recorded ones were: of every kind of event
/// that has one, the first and the last are compared.
#[test]
fn a_stack_that_is_read_again_is_the_recorded_one() {
    let krec = recording(2);
    let whole = open(&krec);
    let events = whole.load_events().unwrap();
    let mut chosen: BTreeMap<&str, [&Event; 2]> = BTreeMap::new();
    for event in events.iter().filter(|event| event.stack.is_some()) {
        let [_, last] = chosen
            .entry(event.data.schema().name)
            .or_insert([event, event]);
        *last = event;
    }
    assert!(chosen.len() >= 4, "{:?}", chosen.keys());
    let chosen: Vec<&Event> = chosen.into_values().flatten().collect();
    let at: Vec<String> = chosen.iter().map(|e| format!("@{}", e.seq)).collect();
    for (event, state) in chosen.into_iter().zip(states(&krec, &at)) {
        let recorded = whole.stack(event.stack.unwrap());
        let read: Vec<u64> = state.stack.iter().map(|frame| frame.addr).collect();
        let wanted: Vec<u64> = recorded.iter().map(|addr| addr.0).collect();
        assert_eq!(read, wanted, "{event:?}");
        for (frame, addr) in state.stack.iter().zip(recorded) {
            assert_eq!(frame.symbol.as_ref(), whole.symbol(*addr), "{event:?}");
        }
    }
}
