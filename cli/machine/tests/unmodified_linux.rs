//! An unmodified Linux as the guest: Debian's stock cloud kernel with `cli/tests/linux/init`, which moves
//! shells with taskset, forks, pipes, and takes CPU 1 off and on.
//!
//! `scripts/linux-guest.sh` fetches it; where it is already there, that takes no time.

use std::path::{Path, PathBuf};
use std::process::Command;

use trace::krec::{EndOfRun, OutcomeRow, Recording};

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
    let ran = Command::new(env!("CARGO_BIN_EXE_kreplay-machine"))
        .args(args)
        .output()
        .expect("the executable is there");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(code), "{args:?}\n{said}");
    assert!(!said.contains("panicked"), "{args:?}\n{said}");
    said
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

/// Records it twice and looks at what came out.
fn boots(cpus: u32, online: [&str; 2]) {
    let paths = [1, 2].map(|n| file(&format!("linux-{cpus}-{n}.krec")));
    for path in &paths {
        record(cpus, &[], path, DONE);
    }
    let [(console, end), again] = paths.map(|path| console(&path));
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

    // The same run: state of the machine, every clock, every count of an interrupt, every byte.
    assert_eq!(again, (console, end), "the second run is the first one");
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
fn debians_kernel_boots_on_four_cpus_and_takes_one_off_and_on() {
    boots(4, ["0,2-3", "0-3"]);
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
