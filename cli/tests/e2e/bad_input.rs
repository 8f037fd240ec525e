//! Bad input of every kind: the documented exit code, a message with the cause, never a panic.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use super::support::{code, command, file, finish, kreplay, open, recording, text};
use trace::krec::Completeness;

/// Every command that reads a recording.
fn readers(path: &str) -> Vec<Vec<String>> {
    let out = text(&file("bad-input-out")).to_owned();
    let picture = text(&file("bad-input-out.svg")).to_owned();
    [
        vec!["analyze", "migration", path],
        vec!["analyze", "stopper", path],
        vec!["analyze", "latency", path],
        vec!["analyze", "timehist", path],
        vec!["analyze", "map", path],
        vec!["analyze", "runqlat", path],
        vec!["analyze", "classes", path],
        vec!["analyze", "boot", path],
        vec!["analyze", "stop-machine", path],
        vec!["plot", "timeline", path, "-o", &picture],
        vec!["plot", "migration", path, "-o", &picture],
        vec!["plot", "matrix", path, "-o", &picture],
        vec!["plot", "latency", path, "-o", &picture],
        vec!["plot", "boot", path, "-o", &picture],
        vec!["plot", "stop-machine", path, "-o", &picture],
        vec!["ps", path],
        vec!["runq", path],
        vec!["diff", path, path],
        vec!["export", "perfetto", path, "-o", &out],
        vec!["export", "trace.dat", path, "-o", &out],
        vec!["export", "parquet", path, "-o", &out],
        vec!["calls", "--to", "set_task_rq_fair", path],
    ]
    .into_iter()
    .map(|args| args.into_iter().map(str::to_owned).collect())
    .collect()
}

#[test]
fn a_kernel_that_is_no_elf_file() {
    let path = file("no-elf");
    fs::write(&path, "#!/bin/sh\necho not a kernel\n").unwrap();
    kreplay(["record", "--kernel", text(&path), "-o", "no-elf.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["no-elf", "ELF"]);
    fs::write(&path, b"").unwrap();
    kreplay(["record", "--kernel", text(&path), "-o", "no-elf.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["no-elf", "ELF"]);
    kreplay(["record", "--kernel", "nowhere/vmlinux", "-o", "no-elf.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["nowhere/vmlinux", "No such file"]);
    kreplay(["record", "--kernel", ".", "-o", "no-elf.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["directory"]);
}

#[test]
fn a_kernel_for_a_process_or_another_machine() {
    // Our own executable is an ELF file with DWARF, but it is no kernel.
    let me = std::env::current_exe().unwrap();
    kreplay(["record", "--kernel", text(&me), "-o", "process.krec"])
        .expect(code::BAD_INPUT)
        .complains(&[
            &format!("cannot boot {}", text(&me)),
            "an ELF file that is no static executable",
            "vmlinux",
        ]);
    let image = built_in_image();
    let mut other = image.clone();
    other[18] = 0xb7; // e_machine: AArch64
    let path = file("aarch64");
    fs::write(&path, other).unwrap();
    kreplay(["record", "--kernel", text(&path), "-o", "aarch64.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["aarch64"]);
    fs::write(&path, &image[..image.len() / 2]).unwrap();
    kreplay(["record", "--kernel", text(&path), "-o", "half.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["aarch64"]);
}

#[test]
fn a_kernel_without_dwarf() {
    let path = file("stripped");
    fs::write(&path, without_dwarf(built_in_image())).unwrap();
    kreplay(["record", "--kernel", text(&path), "-o", "stripped.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["stripped", "DWARF"]);
}

#[test]
fn numbers_of_cpus_that_there_are_not() {
    for smp in ["0", "65", "4294967295"] {
        kreplay(["record", "--smp", smp, "-o", "smp.krec"])
            .expect(code::BAD_INPUT)
            .complains(&[smp, "64"]);
    }
    for smp in ["-1", "two", "4294967296"] {
        kreplay(["record", "--smp", smp, "-o", "smp.krec"])
            .expect(code::BAD_INPUT)
            .complains(&[smp]);
    }
    assert!(
        !file("smp.krec").exists(),
        "nothing is written for a scenario that cannot be"
    );
}

#[test]
fn topologies_that_cannot_be() {
    let refused = |args: &[&str], words: &[&str]| {
        let all = ["record", "-o", "topology.krec"].iter().chain(args);
        kreplay(all).expect(code::BAD_INPUT).complains(words);
    };
    let shape = |shape: &str, words: &[&str]| refused(&["--topology", shape], words);
    let example = "write it as packages=2,cores=2,threads=2,nodes=2";
    for number in ["0", "-1", "two", "", "4294967296"] {
        let no_number = format!("`{number}` is no number of packages");
        let given = format!("packages={number},cores=2");
        shape(&given, &["--topology", &no_number, example]);
    }
    shape("cores=2,nodes=0", &["`0` is no number of nodes"]);
    shape("cores", &["`cores` has no number", example]);
    shape("", &["`` has no number", example]);
    shape("cores=2,", &["`` has no number", example]);
    shape("sockets=2", &["there is no level `sockets`", example]);
    shape("cores=2,cores=2", &["`cores` is given twice"]);
    // More CPUs than there can be, also where their number does not fit 32 bits.
    shape("packages=5,cores=13", &["65 vCPUs", "1 to 64"]);
    shape("packages=65536,cores=65536", &["vCPUs", "1 to 64"]);
    let uneven = "2 packages cannot be shared out evenly among 3 nodes";
    shape("packages=2,nodes=3", &[uneven]);
    refused(
        &["--smp", "3", "--topology", "packages=2"],
        &["--smp 3", "--topology packages=2", "which has 2 CPUs"],
    );
    assert!(
        !file("topology.krec").exists(),
        "nothing is written for a machine that cannot be"
    );
}

#[test]
fn settings_that_cannot_be() {
    kreplay(["record", "--mem", "1", "-o", "mem.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["64 MiB"]);
    kreplay(["record", "--mem", "4294967295", "-o", "mem.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["3 GiB"]);
    kreplay(["record", "--quantum", "0", "-o", "q.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["quantum"]);
    kreplay(["record", "--until", "soon", "-o", "u.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["soon", "12.5ms"]);
    kreplay(["record", "--policy", "fair", "-o", "p.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["round-robin", "random"]);
    let long = "x".repeat(5000);
    kreplay(["record", "--append", &long, "-o", "a.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["command line"]);
}

#[test]
fn an_unknown_workload_is_named_with_the_known_ones() {
    kreplay(["record", "--workload", "afinity", "-o", "workload.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["afinity", "affinity", "idle"]);
    assert!(!file("workload.krec").exists());
}

#[test]
fn a_seed_that_the_policy_ignores_is_warned_about() {
    let args = [
        "record",
        "--workload",
        "idle",
        "--until",
        "5ms",
        "--seed",
        "7",
        "-o",
        "seed.krec",
    ];
    kreplay(args)
        .expect(code::DONE)
        .complains(&["warning", "seed", "round-robin"]);
    let quiet = kreplay(args.iter().copied().chain(["--policy", "random"])).expect(code::DONE);
    assert!(!quiet.stderr.contains("warning"), "{quiet}");
}

#[test]
fn an_output_that_cannot_be_written() {
    kreplay(["record", "-o", "/proc/boot.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["/proc/boot.krec"]);
    kreplay(["record", "-o", "no/such/folder/boot.krec"])
        .expect(code::BAD_INPUT)
        .complains(&["no/such/folder/boot.krec", "No such file"]);
    kreplay(["record", "-o", "."])
        .expect(code::BAD_INPUT)
        .complains(&["directory"]);
    let good = recording(2);
    kreplay([
        "plot",
        "timeline",
        text(&good),
        "-o",
        "no/such/folder/x.svg",
    ])
    .expect(code::BAD_INPUT)
    .complains(&["no/such/folder/x.svg"]);
    let in_the_way = file("in-the-way");
    fs::write(&in_the_way, "a file").unwrap();
    kreplay(["export", "parquet", text(&good), "-o", text(&in_the_way)])
        .expect(code::BAD_INPUT)
        .complains(&["in-the-way"]);
}

#[test]
fn what_is_no_recording() {
    let path = file("no-recording");
    for bytes in [&b""[..], b"PAR1", b"\x89KREC\r\n\x1a", &[0; 4096]] {
        fs::write(&path, bytes).unwrap();
        for args in readers(text(&path)) {
            kreplay(&args)
                .expect(code::BAD_INPUT)
                .complains(&["no-recording"]);
        }
    }
    for args in readers("nowhere.krec") {
        kreplay(&args)
            .expect(code::BAD_INPUT)
            .complains(&["nowhere.krec"]);
    }
}

#[test]
fn a_truncated_recording_is_read_up_to_its_last_whole_frame() {
    let whole = fs::read(recording(2)).unwrap();
    let events = open(&recording(2)).event_count();
    let path = file("truncated.krec");
    for percent in [10, 50, 90, 99] {
        fs::write(&path, &whole[..whole.len() * percent / 100]).unwrap();
        let report = kreplay(["analyze", "migration", text(&path)]);
        assert!(
            report.stderr.contains("incomplete") || report.code == Some(2),
            "{report}"
        );
        if percent < 90 {
            // The task table is one of the last frames.
            kreplay(["ps", text(&path)])
                .expect(code::BAD_INPUT)
                .complains(&["truncated.krec", "task table"]);
        }
        assert!(open(&path).event_count() < events);
        assert_ne!(open(&path).completeness(), Completeness::Complete);
    }
    // Without its end frame alone, everything but the end is there.
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(open(&path).event_count(), events);
    kreplay(["analyze", "migration", text(&path)])
        .expect(code::DONE)
        .complains(&["incomplete"]);
}

#[test]
fn a_changed_bit_is_never_read_as_data() {
    let whole = fs::read(recording(2)).unwrap();
    let path = file("flipped.krec");
    let steps = 40;
    for step in 0..steps {
        let mut bytes = whole.clone();
        let at = whole.len() * step / steps + step % 7;
        bytes[at] ^= 1 << (step % 8);
        fs::write(&path, &bytes).unwrap();
        kreplay(["analyze", "migration", text(&path)])
            .expect(code::BAD_INPUT)
            .complains(&["flipped.krec"]);
    }
    for args in readers(text(&path)) {
        kreplay(&args)
            .expect(code::BAD_INPUT)
            .complains(&["flipped.krec"]);
    }
}

#[test]
fn a_recording_of_a_newer_version_is_refused_politely() {
    let mut bytes = fs::read(recording(2)).unwrap();
    bytes[8..12].copy_from_slice(&99u32.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    let path = file("newer.krec");
    fs::write(&path, bytes).unwrap();
    for args in readers(text(&path)) {
        kreplay(&args)
            .expect(code::BAD_INPUT)
            .complains(&["newer.krec", "99", "newer"]);
    }
}

#[test]
fn a_full_disk_leaves_a_readable_file() {
    let path = file("full.krec");
    // RLIMIT_FSIZE in blocks of 1,024 bytes; SIGXFSZ ignored, so that the write fails as on a full disk.
    // Most of the recording fits, image included, and its end does not.
    let limit = fs::metadata(recording(2)).unwrap().len() / 1024 - 40;
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$@\"");
    let mut inner = command(["record", "-o", text(&path)]);
    let program = inner.get_program().to_owned();
    let args: Vec<_> = inner.get_args().map(ToOwned::to_owned).collect();
    let mut outer = std::process::Command::new("bash");
    outer
        .args(["-c", &script, "bash"])
        .arg(program)
        .args(args)
        .current_dir(super::support::folder());
    inner.stdin(Stdio::null());
    finish(&mut outer)
        .expect(code::BAD_INPUT)
        .complains(&["full.krec", "File too large"]);
    let left = open(&path);
    assert_ne!(left.completeness(), Completeness::Complete);
    assert!(
        left.event_count() > 0,
        "events before the disk was full are kept"
    );
    assert!(
        left.load_events()
            .unwrap()
            .windows(2)
            .all(|w| w[1].seq == w[0].seq + 1)
    );
}

#[test]
fn a_device_that_is_full_is_an_error_too() {
    kreplay(["record", "-o", "/dev/full"])
        .expect(code::BAD_INPUT)
        .complains(&["/dev/full", "No space left"]);
    let good = recording(2);
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut report = command(["analyze", "migration", text(&good)]);
    let output = report.stdout(full).stderr(Stdio::piped()).output().unwrap();
    super::support::ran(&report, output)
        .expect(code::BAD_INPUT)
        .complains(&["No space left"]);
}

#[test]
fn an_input_is_never_overwritten() {
    let kernel = file("not-to-be-lost.vmlinux");
    kreplay(["image", "info", "-o", text(&kernel)]).expect(code::DONE);
    let before = fs::read(&kernel).unwrap();
    kreplay(["record", "--kernel", text(&kernel), "-o", text(&kernel)])
        .expect(code::BAD_INPUT)
        .complains(&["is the kernel to boot", "-o"]);
    assert!(fs::read(&kernel).unwrap() == before);

    let script = file("not-to-be-lost.typed");
    let before = b"1ms ls\\n\n";
    fs::write(&script, before).unwrap();
    // By another name too.
    let link = file("not-to-be-lost.link");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(&script, &link).unwrap();
    for output in [&script, &link] {
        kreplay(["record", "--input", text(&script), "-o", text(output)])
            .expect(code::BAD_INPUT)
            .complains(&["is what is to be typed", "-o"]);
    }
    assert!(fs::read(&script).unwrap() == before);

    let shown = file("not-to-be-lost.krec");
    fs::copy(recording(2), &shown).unwrap();
    let before = fs::read(&shown).unwrap();
    for picture in ["timeline", "migration"] {
        kreplay(["plot", picture, text(&shown), "-o", text(&shown)])
            .expect(code::BAD_INPUT)
            .complains(&["is the recording", "-o"]);
    }
    assert!(fs::read(&shown).unwrap() == before);
}

#[test]
fn calls_need_no_image_in_the_recording_of_the_built_in_kernel() {
    let path = file("no-image.krec");
    kreplay(["record", "--no-image", "--until", "1ms", "-o", text(&path)]).expect(code::DONE);
    let ran = kreplay(["calls", "--to", "set_task_rq_fair", text(&path)]).expect(code::DONE);
    assert!(ran.stdout.contains("sched_init()"), "{ran}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let good = recording(2);
    for args in [
        vec!["analyze", "migration", text(&good)],
        vec!["analyze", "migration", text(&good), "--format", "csv"],
        vec!["analyze", "stopper", text(&good), "--format", "json"],
        vec!["ps", text(&good)],
        vec!["calls", "--to", "set_task_rq_fair", text(&good)],
        vec!["record", "--console", "-o", "pipe.krec"],
    ] {
        let mut line = command(&args);
        let mut child = line
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 16];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        super::support::ran(&line, output)
            .expect(code::DONE)
            .complains(&[]);
    }
}

/// The image inside a recording.
pub fn built_in_image() -> Vec<u8> {
    open(&recording(2))
        .image()
        .unwrap()
        .expect("a default recording embeds its image")
}

/// The file with its `.debug_*` sections renamed, which is what their absence looks like.
fn without_dwarf(mut image: Vec<u8>) -> Vec<u8> {
    let needle = b".debug_";
    let mut at = 0;
    let mut renamed = 0;
    while let Some(found) = image[at..].windows(needle.len()).position(|w| w == needle) {
        at += found;
        image[at..at + needle.len()].copy_from_slice(b".gone__");
        renamed += 1;
    }
    assert!(renamed > 3, "the built-in image has DWARF");
    image
}
