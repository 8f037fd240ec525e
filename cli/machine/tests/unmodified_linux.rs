//! An unmodified Linux as the guest: Debian's stock cloud kernel with `cli/tests/linux/init`, which moves
//! shells with taskset, forks, pipes, and takes CPU 1 off and on.
//!
//! `scripts/linux-guest.sh` fetches it; where it is already there, that takes no time.

use std::path::{Path, PathBuf};
use std::process::Command;

use trace::krec::{EndOfRun, InputRow, OutcomeRow, Recording, hex};

#[path = "support/guest.rs"]
mod support;

use support::guest;

/// The exit codes of `cli/machine/src/exit.rs`.
const DONE: i32 = 0;
const BAD_INPUT: i32 = 2;
const GUEST_FAILED: i32 = 3;

/// Runs the executable, which must exit with `code`; gives what it wrote to standard error.
#[track_caller]
fn run(args: &[&str], code: i32) -> String {
    run_printing(args, code).1
}

/// The same; gives what it printed and what it wrote to standard error.
#[track_caller]
fn run_printing(args: &[&str], code: i32) -> (String, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_kreplay-machine"))
        .args(args)
        .output()
        .expect("the executable is there");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(code), "{args:?}\n{said}");
    assert!(!said.contains("panicked"), "{args:?}\n{said}");
    (String::from_utf8_lossy(&ran.stdout).into_owned(), said)
}

/// What was said must contain every part.
#[track_caller]
fn complains(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the tests use plain names")
}

/// A path in the folder of these tests, with nothing there.
fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("linux");
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    let path = folder.join(name);
    let _ = std::fs::remove_file(&path);
    path
}

/// The file with the names of the guest's functions.
fn names() -> PathBuf {
    guest().kernel.with_file_name("vmlinux")
}

/// `kreplay record` of the guest, which must exit with `code`; gives what it wrote to standard error.
#[track_caller]
fn record(cpus: u32, more: &[&str], output: &Path, code: i32) -> String {
    let (kernel, initrd) = (text(&guest().kernel), text(&guest().initrd));
    let cpus = cpus.to_string();
    let mut args = vec!["record", "--smp", &cpus, "--kernel", kernel];
    args.extend(["--initrd", initrd, "-o", text(output)]);
    args.extend(more);
    run(&args, code)
}

/// Records the guest with its functions probed; the recording.
#[track_caller]
fn probed(cpus: u32, name: &str) -> PathBuf {
    let path = file(name);
    record(cpus, &["--debug", text(&names())], &path, DONE);
    path
}

/// The console as text, and the end of the run.
fn console(path: &Path) -> (String, EndOfRun) {
    let recording = Recording::open(path).unwrap_or_else(|e| panic!("{e}"));
    let bytes: Vec<u8> = recording
        .console()
        .iter()
        .flat_map(|line| line.bytes.clone())
        .collect();
    let end = recording.end().expect("a whole recording").clone();
    assert_eq!(bytes.len() as u64, end.console_bytes);
    (String::from_utf8_lossy(&bytes).into_owned(), end)
}

/// What a kernel says when something is wrong with it, or with the machine below it.
const COMPLAINTS: [&str; 14] = [
    "BUG",
    "WARN",
    "stall",
    "lockup",
    "LOCKUP",
    "Oops",
    "Call Trace",
    "Kernel panic",
    "unchecked MSR access",
    "general protection fault",
    "segfault",
    "nobody cared",
    "blocked for more than",
    "FAILED",
];

fn complaints(console: &str) -> Vec<&str> {
    console
        .lines()
        .filter(|line| COMPLAINTS.iter().any(|word| line.contains(word)))
        .collect()
}

/// Records it twice and looks at what came out. The second time its functions are probed, which must
/// change nothing; gives that recording.
fn boots(cpus: u32, online: [&str; 2]) -> PathBuf {
    let plain = file(&format!("linux-{cpus}.krec"));
    record(cpus, &[], &plain, DONE);
    let probed = probed(cpus, &format!("linux-{cpus}-probed.krec"));
    let [(console, end), (again, end_again)] = [&plain, &probed].map(|path| console(path));
    assert_eq!(complaints(&console), [""; 0], "{console}");
    assert_eq!(end.outcome, OutcomeRow::PowerOff, "{console}");
    assert!(
        console.starts_with("[    0.000000] Linux version 6.1."),
        "{console}"
    );

    let mut said: Vec<String> = console
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix("witness: "))
        .map(str::to_owned)
        .collect();
    let release = said[0].split(' ').nth(1).unwrap_or("none").to_owned();
    if cpus > 1 {
        // Where it went from CPU 1 is the scheduler's choice.
        let went = said[3].pop().and_then(|digit| digit.to_digit(10));
        assert!(went.is_some_and(|to| to != 1 && to < cpus), "{said:?}");
    }
    let mut expected = vec![
        format!("Linux {release} with {cpus} CPUs"),
        "moved shells 8 times, each was seen where it was sent".to_owned(),
        // Eight times the numbers from 1 to 200.
        "pipes summed up to 160800".to_owned(),
    ];
    if cpus > 1 {
        let [off, on] = online;
        expected.push(format!("CPU 1 off, online {off}, its shell on CPU "));
        expected.push(format!("CPU 1 on, online {on}, its shell on CPU 1"));
        assert!(
            console.contains("smpboot: CPU 1 is now offline"),
            "{console}"
        );
    }
    expected.push("done".to_owned());
    assert_eq!(said, expected, "{console}");

    // The same run: state of the machine, every clock, every count of an interrupt, every byte. Only the
    // probed one has events.
    assert_eq!((end.events, end.missing.len()), (0, 0));
    assert!(end_again.events > 1000, "{}", end_again.events);
    assert_ne!(end_again.stream_sha256, end.stream_sha256);
    let without_events = EndOfRun {
        events: 0,
        stream_sha256: end.stream_sha256.clone(),
        missing: Vec::new(),
        ..end_again
    };
    assert_eq!((again, without_events), (console, end), "the same run");
    probed
}

#[test]
fn debians_kernel_boots_on_one_cpu_and_does_the_same_twice() {
    boots(1, ["", ""]);
}

#[test]
fn debians_kernel_boots_on_two_cpus_and_takes_one_off_and_on() {
    boots(2, ["0", "0-1"]);
}

#[test]
fn debians_kernel_boots_on_four_cpus_takes_one_off_and_on_and_has_the_same_events_twice() {
    let paths = [
        boots(4, ["0,2-3", "0-3"]),
        probed(4, "linux-4-probed-again.krec"),
    ];
    // What is recorded of the kernel's functions is the same twice. The hashes are of what is in the
    // files, and not only those written down at the end.
    let [(hash, end), again] = paths.map(|path| {
        let recording = Recording::open(&path).unwrap_or_else(|e| panic!("{e}"));
        let hash = hex(recording.stream_sha256().unwrap());
        (hash, recording.end().expect("a whole recording").clone())
    });
    assert_eq!(hash, end.stream_sha256);
    assert_eq!(again, (hash, end));
}

/// What is typed to a shell that has booted by then. Its answers are no part of it, so the terminal's
/// echo is none of them.
const TYPED: &str = "\
# The numbers, a line that a program asks for, the end.
1s echo sum $((6 * 7))\\n
1.2s read -r word; echo \"got <$word>\"\\n
1.4s two\\x20words\\n
1.6s poweroff -f\\n
";

#[test]
fn what_is_typed_to_a_shell_is_in_the_journal_and_typed_again() {
    let script = file("typed");
    std::fs::write(&script, TYPED).unwrap();
    let shell = ["--append", "rdinit=/bin/sh", "--input", text(&script)];
    let plain = file("typed.krec");
    record(2, &shell, &plain, DONE);
    let (answers, end) = console(&plain);
    assert_eq!(end.outcome, OutcomeRow::PowerOff, "{answers}");
    for line in ["sum 42", "got <two words>"] {
        let found = answers.lines().filter(|l| l.trim_end() == line).count();
        assert_eq!(found, 1, "{line}: {answers}");
    }

    let journal = |path: &Path| {
        let recording = Recording::open(path).unwrap_or_else(|e| panic!("{e}"));
        recording.inputs().to_vec()
    };
    let typed: Vec<InputRow> = [
        (1_000, "echo sum $((6 * 7))\n"),
        (1_200, "read -r word; echo \"got <$word>\"\n"),
        (1_400, "two words\n"),
        (1_600, "poweroff -f\n"),
    ]
    .iter()
    .flat_map(|(ms, line)| {
        line.bytes().map(move |byte| InputRow {
            cycles: ms * 1_000_000,
            device: "serial0".to_owned(),
            byte,
        })
    })
    .collect();
    assert_eq!(journal(&plain), typed);

    // A second recording, probed: it says where the names are for the run that comes.
    let probed = file("typed-probed.krec");
    let vmlinux = names();
    let more = [&shell[..], &["--debug", text(&vmlinux)]].concat();
    record(2, &more, &probed, DONE);
    let (again, end_again) = console(&probed);
    assert_eq!(end_again.machine_digest, end.machine_digest);
    assert_eq!(again, answers);
    assert_eq!(journal(&probed), typed);

    // The run is executed again from the recording alone. Without the last line typed it would never
    // come here, and `calls` compares the machine's state at the end.
    std::fs::remove_file(&script).unwrap();
    let reached = ["--from", "do_syscall_64", "--to", "kernel_power_off"];
    let calls = [&["calls", text(&probed)][..], &reached].concat();
    let printed = run_printing(&calls, DONE).0;
    complains(
        &printed,
        &["kernel_power_off was entered 1 times, 1 of them below"],
    );
}

#[test]
fn what_a_linux_asks_for_in_vain_is_listed() {
    let path = file("lacks.krec");
    let (kernel, initrd) = (text(&guest().kernel), text(&guest().initrd));
    let args = [
        "record", "--smp", "1", "--kernel", kernel, "--initrd", initrd,
    ];
    // It asks while it boots.
    let args = [&args[..], &["--until", "300ms", "-o", text(&path)]].concat();
    let printed = run_printing(&args, DONE).0;
    let mut lines = printed.lines();
    let lacked = lines.find_map(|line| line.strip_prefix("not emulated: "));
    let lacked = lacked.unwrap_or_else(|| panic!("nothing is said to be lacking: {printed}"));
    complains(
        lacked,
        &[
            "MSR 0x0000003a (IA32_FEATURE_CONTROL) x ",
            "port 0x0cf8 (PCI configuration address) x ",
        ],
    );
    // The names and numbers are those of the recording.
    let machine = console(&path).1.machine;
    let counted = |prefix| {
        machine
            .keys()
            .filter(|name| name.starts_with(prefix))
            .count()
    };
    let listed = |prefix| {
        lacked
            .split(", ")
            .filter(|what| what.starts_with(prefix))
            .count()
    };
    assert_eq!(listed("MSR "), counted("unknown_msr_"));
    assert_eq!(listed("port "), counted("unknown_port_"));
}

#[test]
fn a_linux_that_panics_is_told_in_its_own_words() {
    let path = file("panic.krec");
    let none = ["--append", "rdinit=/none root=/dev/none"];
    let said = record(1, &none, &path, GUEST_FAILED);
    let panic = "Kernel panic - not syncing: VFS: Unable to mount root fs";
    complains(&said, &["the guest failed", panic]);
    assert!(console(&path).0.contains(panic));
}

#[test]
fn files_that_do_not_go_together_are_refused_before_anything_is_written() {
    let path = file("refused.krec");
    let ours = file("ours.vmlinux");
    run(&["info", "-o", text(&ours)], DONE);
    complains(
        &record(1, &["--debug", text(&ours)], &path, BAD_INPUT),
        &["is of another build than", "build-id", "-dbg"],
    );
    complains(
        &record(1, &["--workload", "idle"], &path, BAD_INPUT),
        &["--workload is for the built-in kernel", "--initrd"],
    );
    complains(
        &record(1, &["--mem", "64"], &path, BAD_INPUT),
        &["this kernel needs", "MiB", "the machine has 64"],
    );
    let cut = file("cut.vmlinuz");
    let bytes = std::fs::read(&guest().kernel).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    complains(
        &run(
            &["record", "--kernel", text(&cut), "-o", text(&path)],
            BAD_INPUT,
        ),
        &["cut.vmlinuz", "cut off"],
    );
    complains(
        &run(
            &["record", "--initrd", text(&cut), "-o", text(&path)],
            BAD_INPUT,
        ),
        &["--kernel"],
    );
    assert!(!path.exists());
}
