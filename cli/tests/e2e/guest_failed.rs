//! A guest that fails: exit 3, an error in the kernel's own names, and a recording up to that point.

use std::collections::BTreeSet;

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
        // With a second CPU, which the panic stops, either may be the last to halt.
        let ran = crash(way, "1").expect(code::GUEST_FAILED);
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

/// On which vCPU a kernel panicked is what its own registers' dump says, wherever that was; the vCPU that
/// halted last is another matter.
#[test]
fn a_panic_is_told_of_the_cpu_that_it_came_from() {
    let mut last = BTreeSet::new();
    for seed in 1..=8 {
        let path = file("lkdtm-where.krec");
        let seed = seed.to_string();
        let mut line = vec!["record", "--workload", "lkdtm", "--no-image", "--console"];
        line.extend(["--append", "lkdtm.cpoint_type=PANIC", "--smp", "4"]);
        line.extend(["--policy", "random", "--seed", &seed, "-o", text(&path)]);
        let ran = kreplay(line).expect(code::GUEST_FAILED);
        let (_, dump) = ran
            .stdout
            .split_once(" syncing: dumptest")
            .expect("a panic");
        let (_, cpu) = dump.split_once("CPU: ").expect("a dump of its registers");
        let (cpu, _) = cpu.split_once(' ').expect("a number");
        let (_, end) = ran.stderr.split_once("then: ").expect("what came of it");
        let (_, end) = end.split_once("on vCPU ").expect("a vCPU");
        last.insert(end.split_once(' ').expect("a number").0.to_owned());
        let said = format!("dumptest\n  on vCPU {cpu}, virtual time ");
        ran.complains(&[&said]);
    }
    assert!(last.len() > 1, "always the last to halt: {last:?}");
}

/// `WARNING` lets the kernel live, and says so.
fn crash_or_not(way: &str) -> Ran {
    let ran = survived(way, "");
    assert!(ran.stdout.contains("did not end the kernel"), "{ran}");
    ran
}

/// Lets the kernel warn; with further parameters.
fn survived(way: &str, append: &str) -> Ran {
    let path = file(&format!("lkdtm-lives-{way}.krec"));
    let append = format!("lkdtm.cpoint_type={way} {append}");
    let line = [
        "record",
        "--workload",
        "lkdtm",
        "--append",
        &append,
        "--console",
        "-o",
    ];
    kreplay(line.into_iter().chain([text(&path)])).expect(code::DONE)
}

/// `name+0x10/0x20`, a place within a function.
fn is_in(place: &str, name: &str) -> bool {
    let numbers = place.strip_prefix(name).and_then(|it| it.strip_prefix('+'));
    let Some((offset, size)) = numbers.and_then(|it| it.split_once('/')) else {
        return false;
    };
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    number(offset)
        .zip(number(size))
        .is_some_and(|(offset, size)| offset < size)
}

#[test]
fn a_warning_from_inside_a_stopper_names_the_work_and_who_asked() {
    let ran = crash_or_not("WARNING_STOPPER");
    let lines = || ran.stdout.lines().map(str::trim_end);
    let after = |mark: &str| -> Vec<String> {
        lines()
            .filter_map(|line| Some(line.split_once(mark)?.1.to_owned()))
            .collect()
    };
    // Two warnings, one of them from a stopper; its line stands between who runs and the calls.
    assert_eq!(after("] WARNING: ").len(), 2, "{ran}");
    let [stopper] = &after("] Stopper: ")[..] else {
        panic!("{ran}");
    };
    let (work, caller) = stopper.split_once(" <- ").unwrap();
    assert!(
        work.starts_with("warns_in_a_stopper+0x0/") && is_in(work, "warns_in_a_stopper"),
        "{ran}"
    );
    assert!(is_in(caller, "warning_stopper"), "{ran}");
    let at = lines()
        .position(|line| line.contains("] Stopper: "))
        .unwrap();
    let near: Vec<&str> = lines().skip(at - 1).take(3).collect();
    assert!(near[0].contains(" Comm: migration/"), "{near:?}");
    assert!(near[2].ends_with("] Call Trace:"), "{near:?}");
    let calls = after("]  ");
    for name in ["warns_in_a_stopper", "cpu_stopper_thread", "kthread"] {
        assert!(calls.iter().any(|call| is_in(call, name)), "{name}\n{ran}");
    }
    // The level is that of the dump: what the console does not show of the one it does not show of the other.
    for (level, shown) in [(4, false), (5, true)] {
        let ran = survived("WARNING_STOPPER", &format!("loglevel={level}"));
        for word in ["] WARNING: ", "] Stopper: ", "] Call Trace:"] {
            assert_eq!(ran.stdout.contains(word), shown, "{level}: {word}\n{ran}");
        }
    }
}

#[test]
fn the_idle_class_warns_once_when_it_is_asked_for_work_and_says_yes() {
    let ran = crash_or_not("BALANCE_IDLE");
    let warning = "at src/kernel/sched/idle.rs:";
    assert_eq!(ran.stdout.matches("] WARNING: ").count(), 1, "{ran}");
    assert!(ran.stdout.contains(warning), "{ran}");
    assert!(
        ran.stdout.contains("the idle class says [true, true]"),
        "{ran}"
    );
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
