//! QEMU as the witness: it boots the same kernel image by another way in (PVH), measures its clocks itself,
//! and schedules its CPUs in another order; and comes to the same threads, with the same bindings,
//! classes and priorities, and to the same counts.
//!
//! What depends on who runs when is not compared: pids, workers that a pool makes on demand
//! (`kworker/0:1`, `kworker/u4:1`; the first of each pool are compared), the masks that `affinity` rotates,
//! and counts such as switches and moves. What `stopstorm` prints as `counts:` is compared whole: requests by
//! kind, refusals, and functions that stoppers ran.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::support::{Ran, code, file, finish, kreplay, long, root, text};

const SIZES: [u32; 4] = [1, 2, 4, 8];

/// A line of the kernel's table of tasks, without the pid.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Task {
    comm: String,
    /// class, prio, policy, nice, real-time priority and flags.
    parameters: Vec<String>,
    cpus: Option<String>,
}

/// The built-in kernel as a file.
fn image() -> &'static PathBuf {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let image = file("witness.vmlinux");
        kreplay(["image", "info", "-o", text(&image)]).expect(code::DONE);
        image
    })
}

fn under_qemu(cpus: u32, workload: &str, append: &str) -> Ran {
    qemu("single", cpus, workload, append)
}

/// `threads`: whether QEMU's CPUs take turns (`single`) or are really parallel (`multi`).
fn qemu(threads: &str, cpus: u32, workload: &str, append: &str) -> Ran {
    let line = format!("workload={workload} {append}");
    finish(
        Command::new(root().join("scripts/witness.sh"))
            .args(["--image", text(image()), "--append", &line])
            .args(["--cpus", &cpus.to_string(), "--threads", threads]),
    )
    .expect(code::DONE)
}

fn under_kreplay(cpus: u32, workload: &str, append: &str) -> Ran {
    let path = file(&format!("witness-{workload}-{cpus}.krec"));
    let ran = kreplay([
        "record",
        "--console",
        "--workload",
        workload,
        "--smp",
        &cpus.to_string(),
        "--append",
        append,
        "-o",
        text(&path),
    ]);
    ran.expect(code::DONE)
}

/// Whether a pool makes it when its workers are busy: all but `kworker/0:0`, `kworker/0:0H`, `kworker/u4:0`.
fn is_on_demand(comm: &str) -> bool {
    let number = comm
        .strip_prefix("kworker/")
        .and_then(|rest| rest.split_once(':'));
    number.is_some_and(|(_, number)| number.trim_end_matches('H') != "0")
}

/// The tasks of the table; `rotating`: of these (by the beginning of the name) the mask is not compared.
fn tasks(ran: &Ran, rotating: &[&str]) -> BTreeSet<Task> {
    let mut found = BTreeSet::new();
    for line in ran.stdout.lines() {
        let Some((_, row)) = line.split_once("] task: comm=") else {
            continue;
        };
        let (comm, rest) = row.trim_end().split_once(" pid=").expect("a name");
        let (_, rest) = rest.split_once(' ').expect("a pid");
        let (parameters, cpus) = rest.split_once(" cpus=").expect("a mask");
        if is_on_demand(comm) {
            continue;
        }
        let fixed = !rotating.iter().any(|start| comm.starts_with(start));
        let new = found.insert(Task {
            comm: comm.to_owned(),
            parameters: parameters.split(' ').map(str::to_owned).collect(),
            cpus: fixed.then(|| cpus.to_owned()),
        });
        assert!(new, "{comm} is there twice\n{ran}");
    }
    found
}

/// The one line of the console that has this in it, from there on.
fn line_with<'a>(ran: &'a Ran, what: &str) -> &'a str {
    let mut lines = ran.stdout.lines().filter_map(|line| {
        let at = line.find(what)?;
        Some(line[at..].trim_end())
    });
    let first = lines
        .next()
        .unwrap_or_else(|| panic!("no line with `{what}`\n{ran}"));
    assert_eq!(lines.next(), None, "{ran}");
    first
}

fn same_tasks(cpus: u32, qemu: &Ran, ours: &Ran, rotating: &[&str]) -> BTreeSet<Task> {
    let (there, here) = (tasks(qemu, rotating), tasks(ours, rotating));
    let only_there: Vec<_> = there.difference(&here).collect();
    let only_here: Vec<_> = here.difference(&there).collect();
    assert!(
        only_there.is_empty() && only_here.is_empty(),
        "{cpus} CPUs: only under QEMU {only_there:#?}, only here {only_here:#?}"
    );
    here
}

/// The threads that Linux has for each CPU, with their bindings and classes.
fn has_linuxs_threads(cpus: u32, tasks: &BTreeSet<Task>) {
    for cpu in 0..cpus {
        let mask = format!("{:#x}", 1u64 << cpu);
        for (name, class, prio) in [
            (format!("swapper/{cpu}"), "class=idle", "prio=120"),
            (format!("migration/{cpu}"), "class=stop", "prio=0"),
            (format!("ksoftirqd/{cpu}"), "class=fair", "prio=120"),
            (format!("cpuhp/{cpu}"), "class=fair", "prio=120"),
            (format!("kworker/{cpu}:0"), "class=fair", "prio=120"),
            (format!("kworker/{cpu}:0H"), "class=fair", "prio=100"),
        ] {
            let task = tasks.iter().find(|task| task.comm == name);
            let task = task.unwrap_or_else(|| panic!("{cpus} CPUs: no {name} in {tasks:#?}"));
            assert_eq!(task.parameters[..2], [class, prio], "{task:?}");
            assert_eq!(task.cpus.as_deref(), Some(mask.as_str()), "{task:?}");
        }
    }
}

#[test]
fn qemu_comes_to_the_same_threads_and_counts_after_a_storm_of_stoppers() {
    let append = "kreplay.tasks=1 stopstorm.rounds=28 stopstorm.patience_ms=0";
    for cpus in SIZES {
        let qemu = under_qemu(cpus, "stopstorm", append);
        let ours = under_kreplay(cpus, "stopstorm", append);
        let tasks = same_tasks(cpus, &qemu, &ours, &[]);
        has_linuxs_threads(cpus, &tasks);
        let storms = tasks.iter().filter(|task| task.comm.starts_with("storm/"));
        assert_eq!(storms.count() as u32, cpus.max(2));
        let counts = line_with(&ours, "stopstorm: counts:");
        assert_eq!(line_with(&qemu, "stopstorm: counts:"), counts);
        for ran in [&qemu, &ours] {
            line_with(ran, "stopstorm: done, all counts agree");
        }
    }
}

#[test]
fn qemu_comes_to_the_same_threads_after_moving_tasks_around() {
    let append = "kreplay.tasks=1 affinity.moves=20 affinity.limit_ms=0";
    let rotating = [
        "hog/", "mover/", "pinner/", "roamer/", "shifter/", "sleeper/", "waker/", "yielder/",
    ];
    for cpus in SIZES {
        let qemu = under_qemu(cpus, "affinity", append);
        let ours = under_kreplay(cpus, "affinity", append);
        let tasks = same_tasks(cpus, &qemu, &ours, &rotating);
        has_linuxs_threads(cpus, &tasks);
        for ran in [&qemu, &ours] {
            line_with(ran, "affinity: done, all counts agree");
        }
    }
}

/// Two CPUs that are really parallel meet in ways that no schedule of ours has; the kernel's own checks watch.
#[test]
fn two_parallel_cpus_of_qemu_break_nothing() {
    let rounds = if long() { 50 } else { 2 };
    for _ in 0..rounds {
        for (workload, append) in [
            ("stopstorm", "stopstorm.rounds=28 stopstorm.patience_ms=0"),
            ("hackbench", "hackbench.loops=20"),
            ("forkexec", "forkexec.families=20"),
            ("rcutorture", "rcutorture.updates=20"),
            ("hotplug", "hotplug.cycles=2 hotplug.pairs=2 hotplug.hogs=2"),
        ] {
            // The script looks for warnings, panics and the power-off.
            qemu("multi", 2, workload, append);
        }
    }
}
