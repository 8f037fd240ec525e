//! A guest that fails: exit 3, an error in the kernel's own names, and a recording up to that point.

use trace::krec::{Completeness, OutcomeRow};

use super::support::{Ran, code, file, kreplay, open, text};

/// Lets the kernel crash in one of LKDTM's ways.
fn crash(way: &str, cpus: &str) -> Ran {
    let path = file(&format!("lkdtm-{way}.krec"));
    let append = format!("lkdtm.cpoint_type={way}");
    let line = [
        "record",
        "--workload",
        "lkdtm",
        "--append",
        &append,
        "--smp",
        cpus,
        "--console",
    ];
    let ran = kreplay(line.into_iter().chain(["--no-image", "-o", text(&path)]));
    assert!(!ran.stdout.contains("did not end the kernel"), "{ran}");
    assert_eq!(open(&path).completeness(), Completeness::Complete, "{way}");
    ran
}

/// Data, stacks and read-only data are not executed, code and read-only data are not written, a stack ends in
/// a page that is not there: what the guest's processor says of it is on the console, and where on our side.
#[test]
fn what_page_rights_forbid_ends_in_an_oops() {
    let write = "permissions violation";
    for (way, words) in [
        ("EXEC_DATA", ["Oops: 0011", "instruction fetch", write]),
        ("EXEC_STACK", ["Oops: 0011", "instruction fetch", write]),
        ("EXEC_RODATA", ["Oops: 0011", "instruction fetch", write]),
        ("WRITE_RO", ["Oops: 0003", "write access", write]),
        ("WRITE_KERN", ["Oops: 0003", "write access", write]),
        (
            "ACCESS_NULL",
            ["Oops: 0000", "NULL pointer dereference", "read access"],
        ),
        (
            "EXHAUST_STACK",
            ["Oops: 0002", "stack guard page was hit", "not-present"],
        ),
        (
            "STACK_GUARD_PAGE_LEADING",
            ["Oops: 0002", "stack guard page was hit", "not-present"],
        ),
    ] {
        let ran = crash(way, "2").expect(code::GUEST_FAILED);
        for word in words
            .into_iter()
            .chain(["Call Trace:", "RAX: ", "Kernel panic - not syncing"])
        {
            assert!(ran.stdout.contains(word), "{way}: no {word}\n{ran}");
        }
        ran.complains(&[
            "the guest failed",
            "on vCPU 0 at panic+0x",
            ".rs:",
            "virtual time",
        ]);
    }
}

#[test]
fn a_warning_goes_on_and_what_the_kernel_calls_a_bug_does_not() {
    let ran = crash_or_not("WARNING");
    for word in [
        "WARNING: CPU: 0",
        "src/drivers/misc/lkdtm.rs",
        "Call Trace:",
    ] {
        assert!(ran.stdout.contains(word), "{word}\n{ran}");
    }
    for (way, word) in [
        ("PANIC", "Kernel panic - not syncing: dumptest"),
        (
            "PANIC_STOP_IRQOFF",
            "Kernel panic - not syncing: panic stop irqoff test",
        ),
        ("BUG", "kernel BUG at src/drivers/misc/lkdtm.rs"),
        ("EXCEPTION", "invalid opcode"),
    ] {
        let ran = crash(way, "2").expect(code::GUEST_FAILED);
        assert!(ran.stdout.contains(word), "{way}: no {word}\n{ran}");
        ran.complains(&[
            "the guest failed: Kernel panic - not syncing",
            "last blocks executed",
        ]);
    }
}

/// `WARNING` lets the kernel live, and says so.
fn crash_or_not(way: &str) -> Ran {
    let path = file("lkdtm-lives.krec");
    let append = format!("lkdtm.cpoint_type={way}");
    let line = [
        "record",
        "--workload",
        "lkdtm",
        "--append",
        &append,
        "--console",
        "-o",
    ];
    let ran = kreplay(line.into_iter().chain([text(&path)])).expect(code::DONE);
    assert!(ran.stdout.contains("did not end the kernel"), "{ran}");
    ran
}

#[test]
fn a_triple_fault_and_a_hang_are_told_with_their_place() {
    crash("TRIPLE_FAULT", "2")
        .expect(code::GUEST_FAILED)
        .complains(&[
            "the guest failed: triple fault: vector 6 at 0x",
            "double fault could not be delivered",
            "vCPU 0",
            "triple_fault+0x",
            "lkdtm.rs:",
            "virtual time",
            "registers",
        ]);
    crash("HARDLOCKUP", "1")
        .expect(code::GUEST_FAILED)
        .complains(&[
            "the guest hangs: no task switch, console byte or HLT since",
            "on vCPU 0 at lkdtm_HARDLOCKUP+0x",
            "lkdtm.rs:",
            "virtual time 2.00",
            "last blocks executed",
        ]);
}

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
