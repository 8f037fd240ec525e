//! The workload `forkexec`: storms of births and ends of kernel threads, nested, with every pid accounted for.
//!
//! A storm is a thread that grows one family after the other: its children are forked one by one, each has
//! children of its own down to `forkexec.depth=`, `forkexec.children=` at a time, computes a little, waits for
//! its children to end, and ends. As a shell's child would, one calls `sched_exec` and takes another name
//! before it works; every third one is born by `user_mode_thread`, so it is no kthread.
//!
//! At the end: every pid that a fork returned was born once, belonged to the thread that says so, was higher
//! than its parent's, and belongs to nobody any more.
//!
//! Parameters: `forkexec.storms=` (default: one a CPU, at least 2), `forkexec.families=` (each storm grows,
//! default 200), `forkexec.depth=` (default 3), `forkexec.children=` (of a thread, default 2),
//! `forkexec.turns=` (of arithmetic, default 500).

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpumask::{NR_CPUS, num_online_cpus};
use crate::include::linux::kthread::kthread_run;
use crate::include::linux::sched::task::{CLONE_FILES, CLONE_FS};
use crate::include::linux::sched::{CommBuf, PF_KTHREAD};
use crate::kernel::exit::do_exit;
use crate::kernel::fork::{kernel_thread, total_forks, user_mode_thread};
use crate::kernel::kreplay::common::{Crew, compute};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::pid::{PID_MAX_DEFAULT, find_task_by_pid};
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::completion::{complete, wait_for_completion};
use crate::kernel::sched::core::sched_exec;
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;
use core::sync::atomic::{AtomicU64, Ordering};

const MAX_STORMS: usize = NR_CPUS;
/// Threads of one family at most.
const MAX_FAMILY: usize = 160;

/// A thread's place in its family: its children are `children * index + 1` and those after it.
struct Place {
    storm: Shared<u64>,
    index: Shared<u64>,
    depth: Shared<u64>,
    /// What the fork returned to the parent, and who the child says it is.
    pid: Shared<i32>,
    own_pid: Shared<i32>,
    /// The parent's.
    ppid: Shared<i32>,
    kthread: Shared<u8>,
    gone: Completion,
}

static FAMILIES: [[Place; MAX_FAMILY]; MAX_STORMS] = [const {
    [const {
        Place {
            storm: Shared::new(0),
            index: Shared::new(0),
            depth: Shared::new(0),
            pid: Shared::new(0),
            own_pid: Shared::new(0),
            ppid: Shared::new(0),
            kthread: Shared::new(0),
            gone: Completion::new(),
        }
    }; MAX_FAMILY]
}; MAX_STORMS];

/// One bit a pid that was born here.
static BORN: [AtomicU64; PID_MAX_DEFAULT as usize / 64] =
    [const { AtomicU64::new(0) }; PID_MAX_DEFAULT as usize / 64];
static BIRTHS: AtomicU64 = AtomicU64::new(0);
static MISTAKES: AtomicU64 = AtomicU64::new(0);
static CREW: Crew = Crew::new();
static nr_families: Shared<u64> = Shared::new(0);
static max_depth: Shared<u64> = Shared::new(0);
static nr_children: Shared<u64> = Shared::new(0);
static nr_turns: Shared<u64> = Shared::new(0);

/// Runs it, as pid 1.
pub fn run() {
    let per_cpu = u64::from(num_online_cpus()).clamp(2, 4);
    let storms = workload_param("forkexec.storms", per_cpu, 1..=MAX_STORMS as u64);
    let families = workload_param("forkexec.families", 200, 1..=10_000);
    let depth = workload_param("forkexec.depth", 3, 1..=7);
    let children = workload_param("forkexec.children", 2, 1..=12);
    nr_families.set(families);
    max_depth.set(depth);
    nr_children.set(children);
    nr_turns.set(workload_param("forkexec.turns", 500, 0..=1_000_000));
    let family: u64 = (0..=depth as u32).map(|level| children.pow(level)).sum();
    // The storm is a family's root; all others are born in it.
    let births = storms * families * (family - 1);
    if family > MAX_FAMILY as u64 || births > PID_MAX_DEFAULT as u64 * 9 / 10 {
        fail(format_args!(
            "families of {family}, {births} births: too many"
        ));
    }
    pr_info!("forkexec: {storms} storms of {families} families of {family} threads");

    let forks_before = total_forks.load(Ordering::SeqCst);
    let start = sched_clock();
    for index in 0..storms {
        let root = &FAMILIES[index as usize][0];
        root.storm.set(index);
        CREW.joins();
        if let Err(error) = kthread_run(storm, VoidPtr::new(root), format_args!("storm/{index}")) {
            fail(format_args!("no thread storm/{index}: {error}"));
        }
    }
    show_tasks();
    CREW.wait_until_gone();
    let elapsed = sched_clock() - start;
    check_pids(births);
    let forks = total_forks.load(Ordering::SeqCst) - forks_before;
    if forks < births + storms {
        fail(format_args!(
            "{births} births, but the kernel counts {forks} forks"
        ));
    }
    pr_info!("forkexec: {births} births and ends, every pid accounted for");
    pr_info!(
        "forkexec: {} us, {} ns a birth",
        elapsed / 1000,
        elapsed / births
    );
}

extern "C" fn storm(data: VoidPtr) -> i32 {
    let root = data.get::<Place>();
    root.own_pid.set(current().pid.get());
    for _ in 0..nr_families.get() {
        grow(root);
    }
    CREW.leaves();
    0
}

/// Forks the children of a place, and waits for their end.
fn grow(place: &'static Place) {
    let family = &FAMILIES[place.storm.get() as usize];
    let first = (nr_children.get() * place.index.get() + 1) as usize;
    let children = &family[first..first + nr_children.get() as usize];
    for (nth, child) in children.iter().enumerate() {
        let index = (first + nth) as u64;
        child.storm.set(place.storm.get());
        child.index.set(index);
        child.depth.set(place.depth.get() + 1);
        child.ppid.set(current().pid.get());
        child.own_pid.set(0);
        child.gone.reinit();
        let as_kthread = index % 3 != 2;
        child.kthread.set(u8::from(as_kthread));
        let arg = VoidPtr::new(child);
        let pid = if as_kthread {
            kernel_thread(born, arg, None, CLONE_FS | CLONE_FILES)
        } else {
            user_mode_thread(born, arg, CLONE_FS)
        };
        if pid <= 0 {
            fail(format_args!("a fork returned {pid}"));
        }
        child.pid.set(pid);
    }
    for child in children {
        wait_for_completion(&child.gone);
        let (pid, own) = (child.pid.get(), child.own_pid.get());
        if pid != own || pid <= child.ppid.get() {
            mistake(format_args!(
                "a fork by {} returned {pid}, the child says it is {own}",
                child.ppid.get()
            ));
        }
    }
}

extern "C" fn born(data: VoidPtr) -> i32 {
    let me = data.get::<Place>();
    let task = current();
    let pid = task.pid.get();
    me.own_pid.set(pid);
    BIRTHS.fetch_add(1, Ordering::Relaxed);
    let bit = 1u64 << (pid % 64);
    if BORN[pid as usize / 64].fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        mistake(format_args!("pid {pid} was given twice"));
    }
    if (task.flags.get() & PF_KTHREAD != 0) != (me.kthread.get() == 1) {
        mistake(format_args!("pid {pid} is of the wrong kind"));
    }
    // What an exec does to a task: a better CPU, another name.
    sched_exec();
    task.set_comm(&CommBuf::format(format_args!(
        "child/{}.{}",
        me.storm.get(),
        me.index.get()
    )));
    compute(nr_turns.get() as u32, pid as u64);
    if me.depth.get() < max_depth.get() {
        grow(me);
    }
    complete(&me.gone);
    do_exit(0)
}

/// Counts the pids, and waits until all their tasks have left: a child's last act comes before its end.
fn check_pids(births: u64) {
    let marked: u64 = BORN
        .iter()
        .map(|word| u64::from(word.load(Ordering::Relaxed).count_ones()))
        .sum();
    let counted = BIRTHS.load(Ordering::Relaxed);
    if marked != births || counted != births || MISTAKES.load(Ordering::Relaxed) != 0 {
        fail(format_args!(
            "{births} births expected, {counted} counted, {marked} pids, {} mistakes",
            MISTAKES.load(Ordering::Relaxed)
        ));
    }
    for pid in 1..PID_MAX_DEFAULT {
        if BORN[pid as usize / 64].load(Ordering::Relaxed) >> (pid % 64) & 1 == 0 {
            continue;
        }
        let mut patience = 100;
        while find_task_by_pid(pid).is_some() {
            if patience == 0 {
                fail(format_args!("pid {pid} has not left"));
            }
            patience -= 1;
            usleep_range(100, 200);
        }
    }
}

fn mistake(what: core::fmt::Arguments<'_>) {
    MISTAKES.fetch_add(1, Ordering::Relaxed);
    crate::pr_err!("forkexec: {what}");
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("forkexec: {why}"))
}
