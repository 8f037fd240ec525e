//! The threads of a boot on two CPUs, beside the table that this kernel re-creates: one that was printed by a
//! Linux 6.8 under QEMU (`ps` after the boot). What that table says for certain must be here: names, numbers,
//! classes, priorities and CPUs; and, of the machine that printed it, the flags, policies and real-time
//! priorities of its tasks, which the kernel's own table has on the console. What depended on the moment there has rules instead: order within each who asked,
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

/// `PF_KTHREAD`, `PF_NOFREEZE`, `PF_FORKNOEXEC`: what kthreadd hands down.
const THREAD: u64 = 0x20_8040;
/// And `PF_NO_SETAFFINITY`: `kthread_bind`.
const BOUND: u64 = 0x420_8040;
/// And `PF_WQ_WORKER`. Rescuers are bound too, to all CPUs.
const WORKER: u64 = 0x420_8060;
/// Without `PF_NOFREEZE`: `set_freezable`.
const FREEZABLE: u64 = 0x20_0040;
/// Without it, with `PF_MEMALLOC` and `PF_KSWAPD`.
const KSWAPD: u64 = 0x22_0840;
/// `PF_RANDOMIZE` and `PF_SUPERPRIV`, after the exec.
const INIT: u64 = 0x40_0100;
/// `PF_KTHREAD`, `PF_IDLE`, `PF_NO_SETAFFINITY`: the first task of all, which nobody forked.
const IDLE: u64 = 0x420_0002;
/// The others were forked, and `copy_process` sets `PF_FORKNOEXEC`.
const FORKED_IDLE: u64 = IDLE | 0x40;

/// Number, name, class, priority, CPUs, flags. Rows 8 and 10 of the table are not certain: see
/// `workers_follow_their_pools`.
const CERTAIN: [(i64, &str, &str, u64, u64, u64); 22] = [
    (1, "init", "fair", 120, ALL, INIT),
    (2, "kthreadd", "fair", 120, ALL, THREAD),
    (3, "pool_workqueue_", "fair", 120, ALL, THREAD),
    (4, "kworker/R-rcu_g", "fair", 100, ALL, WORKER),
    (5, "kworker/R-rcu_p", "fair", 100, ALL, WORKER),
    (6, "kworker/R-slub_", "fair", 100, ALL, WORKER),
    (7, "kworker/R-netns", "fair", 100, ALL, WORKER),
    (9, "kworker/0:0H", "fair", 100, CPU0, WORKER),
    (11, "kworker/u4:0", "fair", 120, ALL, WORKER),
    (12, "kworker/R-mm_pe", "fair", 100, ALL, WORKER),
    (13, "rcu_tasks_kthre", "fair", 120, ALL, THREAD),
    (14, "rcu_tasks_rude_", "fair", 120, ALL, THREAD),
    (15, "rcu_tasks_trace", "fair", 120, ALL, THREAD),
    (16, "ksoftirqd/0", "fair", 120, CPU0, BOUND),
    (17, "rcu_preempt", "fair", 120, ALL, THREAD),
    (18, "migration/0", "stop", 0, CPU0, BOUND),
    (19, "cpuhp/0", "fair", 120, CPU0, BOUND),
    (20, "cpuhp/1", "fair", 120, CPU1, BOUND),
    (21, "migration/1", "stop", 0, CPU1, BOUND),
    (22, "ksoftirqd/1", "fair", 120, CPU1, BOUND),
    (23, "kworker/1:0", "fair", 120, CPU1, WORKER),
    (24, "kworker/1:0H", "fair", 100, CPU1, WORKER),
];

/// After those, in this order, with workers in between: name, priority, flags.
const LATER: [(&str, u64, u64); 4] = [
    ("oom_reaper", 120, FREEZABLE),
    ("kworker/R-write", 100, WORKER),
    ("kcompactd0", 120, FREEZABLE),
    ("kswapd0", 120, KSWAPD),
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
    /// What the kernel's own table says, by number and name.
    lines: BTreeMap<(i64, String), Line>,
    /// Numbers of children in the order they were forked, and of tasks that ended.
    forked: Vec<i64>,
    ended: BTreeSet<i64>,
}

/// A line of the kernel's own table: what is in it, by key.
struct Line(BTreeMap<String, String>);

impl Line {
    fn parse(row: &str) -> Line {
        let values = row.split(' ').map(|word| {
            let (key, value) = word.split_once('=').unwrap_or_else(|| panic!("{row}"));
            (key.to_owned(), value.to_owned())
        });
        Line(values.collect())
    }

    fn text(&self, key: &str) -> &str {
        let value = self.0.get(key);
        value.unwrap_or_else(|| panic!("no {key} in {:?}", self.0))
    }

    fn number(&self, key: &str) -> i64 {
        let text = self.text(key);
        let number = match text.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        number.unwrap_or_else(|e| panic!("{key}={text}: {e}"))
    }
}

/// The kernel's own table, from the console.
fn lines(console: &str) -> BTreeMap<(i64, String), Line> {
    let mut lines = BTreeMap::new();
    for line in console.lines() {
        let Some((_, row)) = line.split_once("] task: ") else {
            continue;
        };
        let line = Line::parse(row.trim_end());
        let name = (line.number("pid"), line.text("comm").to_owned());
        let before = lines.insert(name, line);
        assert!(before.is_none(), "it is there twice: {row}");
    }
    lines
}

/// Boots to the idle system on two CPUs.
fn boot(name: &str, more: &[&str]) -> Boot {
    let path = file(&format!("{name}.krec"));
    let mut args = vec!["record", "--workload", "idle", "--smp", "2"];
    args.extend(["--append", "kreplay.tasks=1", "--console"]);
    args.extend(more);
    args.extend(["-o", text(&path)]);
    let ran = kreplay(args).expect(code::DONE);
    let lines = lines(&ran.stdout);
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
        lines,
        forked,
        ended,
    }
}

fn comm(row: &Value) -> &str {
    row["comm"].as_str().expect("a task has a name")
}

/// What a task is to be like.
struct Like<'a> {
    name: &'a str,
    class: &'a str,
    prio: u64,
    cpus: u64,
    flags: u64,
}

/// Checks a task: what the recording has of it, and what the kernel itself says of it.
#[track_caller]
fn is_like(boot: &Boot, row: &Value, like: &Like) {
    assert_eq!(comm(row), like.name, "{row}");
    assert_eq!(row["class"].as_str(), Some(like.class), "{row}");
    assert_eq!(number(row, "prio"), like.prio, "{row}");
    assert_eq!(number(row, "cpus_mask"), like.cpus, "{row}");

    let pid = number(row, "pid") as i64;
    let line = boot.lines.get(&(pid, like.name.to_owned()));
    let line = line.unwrap_or_else(|| panic!("the kernel does not list {row}"));
    let Line(all) = line;
    assert_eq!(line.text("class"), like.class, "{all:?}");
    assert_eq!(line.number("prio"), like.prio as i64, "{all:?}");
    assert_eq!(line.number("cpus"), like.cpus as i64, "{all:?}");
    let (flags, wanted) = (line.number("flags"), like.flags);
    assert!(
        flags == wanted as i64,
        "{flags:#x}, not {wanted:#x}: {all:?}"
    );
    // To user space a stopper is a real-time task like any other, of the highest priority.
    let (policy, rt, nice) = match like.class {
        "stop" => ("FIFO", 99, 0),
        _ => ("NORMAL", 0, like.prio as i64 - 120),
    };
    assert_eq!(line.text("policy"), policy, "{all:?}");
    assert_eq!(line.number("rt"), rt, "{all:?}");
    assert_eq!(line.number("nice"), nice, "{all:?}");
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
    for (pid, name, class, prio, cpus, flags) in CERTAIN {
        let row = boot.tasks.get(&pid);
        let row = row.unwrap_or_else(|| panic!("no task {pid}, which is {name}"));
        let like = Like {
            name,
            class,
            prio,
            cpus,
            flags,
        };
        is_like(boot, row, &like);
    }
    assert_eq!(boot.idle.len(), 2, "{:?}", boot.idle);
    for (name, cpus, flags) in [("swapper/0", CPU0, IDLE), ("swapper/1", CPU1, FORKED_IDLE)] {
        let row = boot.idle.iter().find(|row| comm(row) == name);
        let row = row.unwrap_or_else(|| panic!("no {name}"));
        let like = Like {
            name,
            class: "idle",
            prio: 120,
            cpus,
            flags,
        };
        is_like(boot, row, &like);
    }
    // In the order in which mm's initcalls make them.
    let mut last = 24;
    for (name, prio, flags) in LATER {
        let found = boot.tasks.iter().find(|(_, row)| comm(row) == name);
        let (&pid, row) = found.unwrap_or_else(|| panic!("no {name}"));
        let like = Like {
            name,
            class: "fair",
            prio,
            cpus: ALL,
            flags,
        };
        is_like(boot, row, &like);
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
        let like = Like {
            name,
            class: "fair",
            prio,
            cpus,
            flags: WORKER,
        };
        is_like(boot, row, &like);
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
