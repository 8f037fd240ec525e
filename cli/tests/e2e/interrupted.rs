//! Ctrl-C and kill -9 while recording: what is written by then is readable.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use trace::krec::{Completeness, OutcomeRow};

use super::support::{code, command, file, kreplay, open, ran, text};

/// A scenario that would go on for many minutes.
fn endless(path: &Path) -> Child {
    let more = "affinity.moves=100000000";
    command([
        "record",
        "--until",
        "end",
        "--append",
        more,
        "-o",
        text(path),
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap()
}

/// Waits until the recording holds more than the image and the first events.
fn wait_for_events(path: &Path) {
    let start = Instant::now();
    let mut last = 0;
    let mut growths = 0;
    while growths < 5 {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "{} does not grow",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(100));
        let size = path.metadata().map_or(0, |m| m.len());
        growths += i32::from(size > last && last > 0);
        last = size;
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn ctrl_c_leaves_a_complete_file_and_exits_130() {
    let path = file("ctrl-c.krec");
    let child = endless(&path);
    wait_for_events(&path);
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    ran(&Command::new("record"), output)
        .expect(code::CTRL_C)
        .complains(&["interrupted"]);
    let recording = open(&path);
    assert_eq!(recording.completeness(), Completeness::Complete);
    assert_eq!(recording.end().unwrap().outcome, OutcomeRow::Interrupted);
    assert!(!recording.tasks().is_empty());
    kreplay(["analyze", "migration", text(&path)]).expect(code::DONE);
    kreplay(["ps", text(&path)]).expect(code::DONE);
}

#[test]
fn kill_9_leaves_a_file_that_is_good_up_to_its_last_whole_frame() {
    let path = file("killed.krec");
    let mut child = endless(&path);
    wait_for_events(&path);
    signal(&child, "-KILL");
    assert_eq!(child.wait().unwrap().code(), None);
    let recording = open(&path);
    assert!(matches!(
        recording.completeness(),
        Completeness::Truncated { .. }
    ));
    let events = recording.load_events().unwrap();
    assert!(events.len() > 1000, "{} events", events.len());
    assert!(events.iter().zip(0..).all(|(event, seq)| event.seq == seq));
    kreplay(["analyze", "migration", text(&path)])
        .expect(code::DONE)
        .complains(&["incomplete"]);
    kreplay(["analyze", "stopper", text(&path)])
        .expect(code::DONE)
        .complains(&["incomplete"]);
}
