//! The threads of a boot on two CPUs, beside the table that this kernel re-creates: one that was printed by a
//! Linux 6.8 under QEMU (`ps` after the boot). What that table says for certain must be here: names, numbers,
//! classes, priorities and CPUs. What depended on the moment there has rules instead: order within each who asked,
//! names, numbers of workers, gaps only where a thread has ended. Threads of devices that this machine lacks are
//! not here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use trace::events::EventData;

use super::reports::{number, rows};
use super::support::{code, file, kreplay, open, text};

/// On either CPU.
const ALL: u64 = 0b11;
const CPU0: u64 = 0b01;
const CPU1: u64 = 0b10;

/// Number, name, class, priority, CPUs. Rows 8 and 10 of the table are not certain: see `workers`.
const CERTAIN: [(i64, &str, &str, u64, u64); 22] = [
    (1, "init", "fair", 120, ALL),
    (2, "kthreadd", "fair", 120, ALL),
    (3, "pool_workqueue_", "fair", 120, ALL),
    (4, "kworker/R-rcu_g", "fair", 100, ALL),
    (5, "kworker/R-rcu_p", "fair", 100, ALL),
    (6, "kworker/R-slub_", "fair", 100, ALL),
    (7, "kworker/R-netns", "fair", 100, ALL),
    (9, "kworker/0:0H", "fair", 100, CPU0),
    (11, "kworker/u4:0", "fair", 120, ALL),
    (12, "kworker/R-mm_pe", "fair", 100, ALL),
    (13, "rcu_tasks_kthre", "fair", 120, ALL),
    (14, "rcu_tasks_rude_", "fair", 120, ALL),
    (15, "rcu_tasks_trace", "fair", 120, ALL),
    (16, "ksoftirqd/0", "fair", 120, CPU0),
    (17, "rcu_preempt", "fair", 120, ALL),
    (18, "migration/0", "stop", 0, CPU0),
    (19, "cpuhp/0", "fair", 120, CPU0),
    (20, "cpuhp/1", "fair", 120, CPU1),
    (21, "migration/1", "stop", 0, CPU1),
    (22, "ksoftirqd/1", "fair", 120, CPU1),
    (23, "kworker/1:0", "fair", 120, CPU1),
    (24, "kworker/1:0H", "fair", 100, CPU1),
];

/// After those, in this order, with workers in between.
const LATER: [(&str, u64); 4] = [
    ("oom_reaper", 120),
    ("kworker/R-write", 100),
    ("kcompactd0", 120),
    ("kswapd0", 120),
];

/// Threads of the table that need what this machine does not have: they are not faked.
const ABSENT: [&str; 10] = [
    "kdevtmpfs",
    "kworker/R-inet_",
    "kworker/R-kbloc",
    "kworker/R-ata_s",
    "kworker/R-acpi_",
    "kworker/R-ttm",
    "kworker/R-scsi_",
    "kworker/R-mld",
    "kworker/R-ipv6_",
    "kworker/R-ext4-",
];

struct Boot {
    /// By number; idle tasks are not in it.
    tasks: BTreeMap<i64, Value>,
    idle: Vec<Value>,
    /// Numbers of children in the order they were forked, and of tasks that ended.
    forked: Vec<i64>,
    ended: BTreeSet<i64>,
}

/// Boots to the idle system on two CPUs.
fn boot(name: &str, more: &[&str]) -> Boot {
    let path = file(&format!("{name}.krec"));
    let mut args = vec!["record", "--workload", "idle", "--smp", "2"];
    args.extend(more);
    args.extend(["-o", text(&path)]);
    kreplay(args).expect(code::DONE);
    let ran = kreplay(["ps", "--format", "json", text(&path)]).expect(code::DONE);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}\n{ran}"));
    let (mut tasks, mut idle) = (BTreeMap::new(), Vec::new());
    for row in rows(&report, "tasks") {
        match number(row, "pid") {
            0 => idle.push(row.clone()),
            pid => {
                let before = tasks.insert(pid as i64, row.clone());
                assert!(before.is_none(), "two tasks have the number {pid}");
            }
        }
    }
    let (mut forked, mut ended) = (Vec::new(), BTreeSet::new());
    for event in open(&path).load_events().unwrap() {
        match event.data {
            EventData::SchedProcessFork(fork) => forked.push(i64::from(fork.child_pid)),
            EventData::SchedProcessExit(exit) => {
                ended.insert(i64::from(exit.pid));
            }
            _ => {}
        }
    }
    Boot {
        tasks,
        idle,
        forked,
        ended,
    }
}

fn comm(row: &Value) -> &str {
    row["comm"].as_str().expect("a task has a name")
}

/// Checks one row.
#[track_caller]
fn is_like(row: &Value, name: &str, class: &str, prio: u64, cpus: u64) {
    assert_eq!(comm(row), name, "{row}");
    assert_eq!(row["class"].as_str(), Some(class), "{row}");
    assert_eq!(number(row, "prio"), prio, "{row}");
    assert_eq!(number(row, "cpus_mask"), cpus, "{row}");
}

/// What a worker's name says: its pool, its number in it, whether it is urgent.
fn worker(name: &str) -> Option<(String, u64, bool)> {
    let rest = name.strip_prefix("kworker/")?;
    let (pool, id) = rest.split_once(':')?;
    let (id, urgent) = match id.strip_suffix('H') {
        Some(id) => (id, true),
        None => (id, false),
    };
    Some((pool.to_owned(), id.parse().ok()?, urgent))
}

fn the_table_is_kept(boot: &Boot) {
    for (pid, name, class, prio, cpus) in CERTAIN {
        let row = boot.tasks.get(&pid);
        let row = row.unwrap_or_else(|| panic!("no task {pid}, which is {name}"));
        is_like(row, name, class, prio, cpus);
    }
    let mut names: Vec<&str> = boot.idle.iter().map(comm).collect();
    names.sort_unstable();
    assert_eq!(names, ["swapper/0", "swapper/1"]);
    // In the order in which mm's initcalls make them.
    let mut last = 24;
    for (name, prio) in LATER {
        let found = boot.tasks.iter().find(|(_, row)| comm(row) == name);
        let (&pid, row) = found.unwrap_or_else(|| panic!("no {name}"));
        is_like(row, name, "fair", prio, ALL);
        assert!(pid > last, "{name} has the number {pid}, after {last}");
        last = pid;
    }
    for name in ABSENT {
        let found = boot.tasks.values().find(|row| comm(row) == name);
        assert!(found.is_none(), "{name} is there, and nothing for it to do");
    }
}

/// Every worker is named after its pool and bound like it; a pool's numbers are its own, given from 0 on.
fn workers_follow_their_pools(boot: &Boot) {
    let mut pools: BTreeMap<(String, bool), BTreeSet<u64>> = BTreeMap::new();
    for row in boot.tasks.values() {
        let name = comm(row);
        if !name.starts_with("kworker/") || name.starts_with("kworker/R-") {
            continue;
        }
        let (pool, id, urgent) = worker(name).unwrap_or_else(|| panic!("a worker named {name}"));
        let (cpus, prio) = match pool.as_str() {
            "0" => (CPU0, if urgent { 100 } else { 120 }),
            "1" => (CPU1, if urgent { 100 } else { 120 }),
            // Two pools for each of two CPUs have the numbers 0 to 3.
            "u4" => (ALL, 120),
            _ => panic!("a worker of an unknown pool: {row}"),
        };
        is_like(row, name, "fair", prio, cpus);
        let fresh = pools.entry((pool, urgent)).or_default().insert(id);
        assert!(fresh, "two workers are named {name}");
    }
    for (pool, ids) in &pools {
        // None is culled before 300 s: the numbers have no gaps.
        assert_eq!(ids.last().copied(), Some(ids.len() as u64 - 1), "{pool:?}");
    }
    assert_eq!(pools.len(), 5, "{pools:?}");
    // The first worker found work, and nobody else to do it: it made the second.
    assert!(pools[&("0".to_owned(), false)].contains(&1), "{pools:?}");
}

/// Numbers rise as threads are asked for; one that is missing at the end was a thread that ended.
fn numbers_have_no_holes(boot: &Boot) {
    assert!(boot.forked.is_sorted(), "{:?}", boot.forked);
    let last = *boot.forked.last().expect("somebody was forked");
    for pid in 1..=last {
        let (here, gone) = (boot.tasks.contains_key(&pid), boot.ended.contains(&pid));
        assert!(here != gone, "number {pid}: there {here}, ended {gone}");
    }
}

#[test]
fn two_cpus_boot_the_threads_of_linux() {
    let boot = boot("threads", &[]);
    the_table_is_kept(&boot);
    workers_follow_their_pools(&boot);
    numbers_have_no_holes(&boot);
}

/// Another schedule may change who comes first where two race, and nothing else.
#[test]
fn so_they_do_under_random_schedules() {
    for seed in ["1", "2", "3"] {
        let more = ["--policy", "random", "--seed", seed];
        let boot = boot(&format!("threads-random-{seed}"), &more);
        workers_follow_their_pools(&boot);
        numbers_have_no_holes(&boot);
        // The rescuers of one loop, and the threads of each CPU, in their order.
        for order in [
            &[
                "kworker/R-rcu_g",
                "kworker/R-rcu_p",
                "kworker/R-slub_",
                "kworker/R-netns",
            ][..],
            &[
                "kworker/0:0",
                "kworker/0:0H",
                "kworker/u4:0",
                "kworker/R-mm_pe",
            ],
            &[
                "rcu_tasks_kthre",
                "rcu_tasks_rude_",
                "rcu_tasks_trace",
                "ksoftirqd/0",
            ],
            &["ksoftirqd/0", "rcu_preempt", "migration/0", "cpuhp/0"],
            &[
                "cpuhp/1",
                "migration/1",
                "ksoftirqd/1",
                "kworker/1:0",
                "kworker/1:0H",
            ],
            &["oom_reaper", "kworker/R-write", "kcompactd0", "kswapd0"],
        ] {
            let pids: Vec<i64> = order
                .iter()
                .map(|&name| {
                    let found = boot.tasks.iter().find(|(_, row)| comm(row) == name);
                    *found.unwrap_or_else(|| panic!("no {name}")).0
                })
                .collect();
            assert!(pids.is_sorted(), "{order:?} have the numbers {pids:?}");
        }
    }
}
