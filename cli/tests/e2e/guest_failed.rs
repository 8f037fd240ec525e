//! A guest that fails: exit 3, an error in the kernel's own names, and a recording up to that point.

use trace::krec::{Completeness, OutcomeRow};

use super::support::{code, file, kreplay, open, text};

#[test]
fn a_panic_is_told_with_place_time_and_last_blocks_and_leaves_a_recording() {
    // With --kernel the front end does not know the workloads; the kernel panics over this one.
    let image = file("built-in.vmlinux");
    kreplay(["image", "info", "-o", text(&image)]).expect(code::DONE);
    let path = file("panic.krec");
    let ran = kreplay([
        "record",
        "--kernel",
        text(&image),
        "--workload",
        "nonsense",
        "--console",
        "-o",
        text(&path),
    ])
    .expect(code::GUEST_FAILED)
    .complains(&[
        "the guest failed: Kernel panic - not syncing: unknown workload",
        "vCPU",
        "virtual time",
        "last blocks",
        ".rs:",
        "+0x",
    ]);
    assert!(ran.stdout.contains("Kernel panic - not syncing"), "{ran}");
    assert!(ran.stdout.contains("nonsense"), "{ran}");

    let recording = open(&path);
    assert_eq!(recording.completeness(), Completeness::Complete);
    let OutcomeRow::GuestFailed { error } = &recording.end().unwrap().outcome else {
        panic!("{:?}", recording.end().unwrap().outcome);
    };
    assert!(ran.stderr.contains(error.lines().next().unwrap()), "{ran}");
    let console: Vec<u8> = recording
        .console()
        .iter()
        .flat_map(|l| l.bytes.clone())
        .collect();
    assert!(String::from_utf8_lossy(&console).contains("Kernel panic - not syncing"));
    kreplay(["ps", text(&path)]).expect(code::DONE);
}

#[test]
fn the_console_shows_the_boot_and_the_end() {
    let path = file("console.krec");
    let args = [
        "record",
        "--workload",
        "idle",
        "--console",
        "-o",
        text(&path),
    ];
    let ran = kreplay(args).expect(code::DONE);
    assert!(
        ran.stdout.contains("Linux version") || ran.stdout.contains("workload=idle"),
        "{ran}"
    );
    let recorded: Vec<u8> = open(&path)
        .console()
        .iter()
        .flat_map(|line| line.bytes.clone())
        .collect();
    assert!(
        ran.stdout.starts_with(&*String::from_utf8_lossy(&recorded)),
        "{ran}"
    );
}
