//! The workload `schbench`: message threads and workers; how long does a worker take from its wake-up until
//! it runs, and how long for a whole request?
//!
//! As in the program of that name, a worker puts itself on its message thread's list, wakes it and sleeps;
//! the message thread takes the list and wakes everybody on it, noting the time. A worker that runs again
//! computes, sleeping a little in between as if it waited for a network, and comes back. Percentiles are
//! printed in schbench's shape, in microseconds; its histogram is kept too: 256 steps a power of two.
//!
//! Parameters: `schbench.message_threads=` (default 2), `schbench.threads=` (workers of each, default: one a
//! CPU, at least 2), `schbench.runtime_ms=` (default 100), `schbench.sleep_us=` (default 100),
//! `schbench.operations=` (computations of about 10 us in a request, default 5).

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::num_online_cpus;
use crate::include::linux::kthread::kthread_run;
use crate::include::linux::llist::{LlistHead, LlistNode, llist_add, llist_del_all, llist_empty};
use crate::include::linux::sched::{
    __set_current_state, TASK_RUNNING, TASK_UNINTERRUPTIBLE, TaskRef, set_current_state,
};
use crate::intrusive_adapter;
use crate::kernel::kreplay::common::{Crew, compute};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::core::{schedule, wake_up_process};
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const MAX_MESSAGE_THREADS: usize = 8;
const MAX_WORKERS: usize = 64;

/// A flag that one thread waits for and another posts: schbench's futex.
struct Futex {
    posted: AtomicBool,
    owner: Shared<Option<TaskRef>>,
}

impl Futex {
    const fn new() -> Futex {
        Futex {
            posted: AtomicBool::new(false),
            owner: Shared::new(None),
        }
    }

    fn post(&self) {
        if !self.posted.swap(true, Ordering::SeqCst)
            && let Some(owner) = self.owner.get()
        {
            wake_up_process(owner);
        }
    }

    /// Sleeps until it is posted; it is not posted afterwards.
    fn wait(&self) {
        loop {
            set_current_state(TASK_UNINTERRUPTIBLE);
            if self.posted.swap(false, Ordering::SeqCst) {
                break;
            }
            schedule();
        }
        __set_current_state(TASK_RUNNING);
    }
}

struct MessageThread {
    futex: Futex,
    /// Workers that wait to be woken.
    list: LlistHead,
}

static MESSAGE_THREADS: [MessageThread; MAX_MESSAGE_THREADS] = [const {
    MessageThread {
        futex: Futex::new(),
        list: LlistHead::new(),
    }
}; MAX_MESSAGE_THREADS];

struct WorkerThread {
    futex: Futex,
    messenger: Shared<Option<&'static MessageThread>>,
    /// Its place in the messenger's list.
    next: LlistNode,
    /// When it was woken, ns.
    wake_time: Shared<u64>,
    requests: AtomicU64,
}

intrusive_adapter!(
    /// Workers by their link in a list.
    WorkerLink = WorkerThread { next: LlistNode });

static WORKERS: [[WorkerThread; MAX_WORKERS]; MAX_MESSAGE_THREADS] = [const {
    [const {
        WorkerThread {
            futex: Futex::new(),
            messenger: Shared::new(None),
            next: LlistNode::new(),
            wake_time: Shared::new(0),
            requests: AtomicU64::new(0),
        }
    }; MAX_WORKERS]
}; MAX_MESSAGE_THREADS];

static STOPPING: AtomicBool = AtomicBool::new(false);
static WORKERS_CREW: Crew = Crew::new();
static MESSENGERS_CREW: Crew = Crew::new();
static sleep_us: Shared<u64> = Shared::new(0);
static nr_operations: Shared<u64> = Shared::new(0);

const PLAT_BITS: u32 = 8;
const PLAT_VAL: usize = 1 << PLAT_BITS;
const PLAT_GROUP_NR: usize = 19;
const PLAT_NR: usize = PLAT_GROUP_NR * PLAT_VAL;

/// Times in microseconds: exact up to 255, then 256 steps a power of two.
struct Stats {
    plat: [AtomicU64; PLAT_NR],
    nr_samples: AtomicU64,
    max: AtomicU64,
    min: AtomicU64,
}

static WAKEUP: Stats = Stats::new();
static REQUEST: Stats = Stats::new();

impl Stats {
    const fn new() -> Stats {
        Stats {
            plat: [const { AtomicU64::new(0) }; PLAT_NR],
            nr_samples: AtomicU64::new(0),
            max: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
        }
    }

    fn add_lat(&self, us: u64) {
        self.max.fetch_max(us, Ordering::Relaxed);
        self.min.fetch_min(us, Ordering::Relaxed);
        self.plat[plat_val_to_idx(us)].fetch_add(1, Ordering::Relaxed);
        self.nr_samples.fetch_add(1, Ordering::Relaxed);
    }

    fn show_latencies(&self, label: &str, runtime_ms: u64) {
        let total = self.nr_samples.load(Ordering::Relaxed);
        pr_info!(
            "{label} Latencies percentiles (usec) runtime {}.{:03} (s) ({total} total samples)",
            runtime_ms / 1000,
            runtime_ms % 1000
        );
        let mut shown = 0;
        for (permille, mark) in [(500, ' '), (900, ' '), (990, '*'), (999, ' ')] {
            let (value, passed) = self.percentile(permille);
            pr_info!(
                "\t{mark} {}.{}th: {value:<10} ({} samples)",
                permille / 10,
                permille % 10,
                passed - shown
            );
            shown = passed;
        }
        let max = self.max.load(Ordering::Relaxed);
        let min = self.min.load(Ordering::Relaxed).min(max);
        pr_info!("\t  min={min}, max={max}");
    }

    /// The value that so many of a thousand samples do not exceed, and how many do not exceed it.
    fn percentile(&self, permille: u64) -> (u64, u64) {
        let total = self.nr_samples.load(Ordering::Relaxed);
        let mut passed = 0;
        for (index, count) in self.plat.iter().enumerate() {
            passed += count.load(Ordering::Relaxed);
            if passed > 0 && passed * 1000 >= total * permille {
                return (plat_idx_to_val(index), passed);
            }
        }
        (0, passed)
    }
}

/// The histogram's step of a value.
fn plat_val_to_idx(val: u64) -> usize {
    let msb = val.checked_ilog2().unwrap_or(0);
    if msb <= PLAT_BITS {
        return val as usize;
    }
    let error_bits = msb - PLAT_BITS;
    let base = (error_bits as usize + 1) << PLAT_BITS;
    let offset = (PLAT_VAL - 1) & (val >> error_bits) as usize;
    (base + offset).min(PLAT_NR - 1)
}

/// The value in the middle of a step.
fn plat_idx_to_val(idx: usize) -> u64 {
    if idx < PLAT_VAL << 1 {
        return idx as u64;
    }
    let error_bits = (idx >> PLAT_BITS) - 1;
    let base = 1u64 << (error_bits as u32 + PLAT_BITS);
    let step = 1u64 << error_bits;
    base + (idx % PLAT_VAL) as u64 * step + step / 2
}

/// Runs it, as pid 1.
pub fn run() {
    let messengers = workload_param(
        "schbench.message_threads",
        2,
        1..=MAX_MESSAGE_THREADS as u64,
    );
    let per_cpu = u64::from(num_online_cpus()).clamp(2, MAX_WORKERS as u64);
    let workers = workload_param("schbench.threads", per_cpu, 1..=MAX_WORKERS as u64);
    let runtime_ms = workload_param("schbench.runtime_ms", 100, 1..=1_000_000);
    sleep_us.set(workload_param("schbench.sleep_us", 100, 1..=1_000_000));
    nr_operations.set(workload_param("schbench.operations", 5, 0..=1_000_000));
    pr_info!("schbench: {messengers} message threads, {workers} workers each");

    let start = sched_clock();
    for m in 0..messengers as usize {
        let messenger = &MESSAGE_THREADS[m];
        let task = hire(
            message_thread,
            VoidPtr::new(messenger),
            &MESSENGERS_CREW,
            format_args!("schbench-msg/{m}"),
        );
        messenger.futex.owner.set(Some(task));
        for (index, worker) in WORKERS[m][..workers as usize].iter().enumerate() {
            worker.messenger.set(Some(messenger));
            hire(
                worker_thread,
                VoidPtr::new(worker),
                &WORKERS_CREW,
                format_args!("schbench/{m}.{index}"),
            );
        }
    }
    usleep_range(runtime_ms * 1000, runtime_ms * 1000);
    show_tasks();
    STOPPING.store(true, Ordering::SeqCst);
    // The workers first: they are woken for the last time by the messengers.
    WORKERS_CREW.wait_until_gone();
    for messenger in &MESSAGE_THREADS[..messengers as usize] {
        messenger.futex.post();
    }
    MESSENGERS_CREW.wait_until_gone();
    report((sched_clock() - start) / 1_000_000);
}

fn hire(
    part: extern "C" fn(VoidPtr) -> i32,
    data: VoidPtr,
    crew: &'static Crew,
    name: core::fmt::Arguments<'_>,
) -> TaskRef {
    crew.joins();
    match kthread_run(part, data, name) {
        Ok(task) => task,
        Err(error) => fail(format_args!("no thread {name}: {error}")),
    }
}

/// Wakes everybody on the list.
fn xlist_wake_all(me: &'static MessageThread) {
    let mut at = llist_del_all(&me.list);
    while let Some(node) = at {
        // Read before the post: the worker may put itself on the list again at once.
        at = node.next.get();
        let worker = WorkerLink::entry(node);
        worker.wake_time.set(sched_clock());
        worker.futex.post();
    }
}

extern "C" fn message_thread(data: VoidPtr) -> i32 {
    let me = data.get::<MessageThread>();
    me.futex.owner.set(Some(current()));
    while !STOPPING.load(Ordering::SeqCst) || !WORKERS_CREW.are_gone() {
        xlist_wake_all(me);
        me.futex.wait();
    }
    if !llist_empty(&me.list) {
        fail(format_args!("a worker is on the list after it has gone"));
    }
    MESSENGERS_CREW.leaves();
    0
}

/// Asks the message thread for a wake-up and sleeps until it comes.
#[inline(never)]
fn msg_and_wait(me: &'static WorkerThread, messenger: &'static MessageThread) {
    llist_add(&me.next, &messenger.list);
    messenger.futex.post();
    me.futex.wait();
    WAKEUP.add_lat((sched_clock() - me.wake_time.get()) / 1000);
}

extern "C" fn worker_thread(data: VoidPtr) -> i32 {
    let me = data.get::<WorkerThread>();
    me.futex.owner.set(Some(current()));
    let Some(messenger) = me.messenger.get() else {
        fail(format_args!("a worker without a message thread"));
    };
    while !STOPPING.load(Ordering::SeqCst) {
        msg_and_wait(me, messenger);
        let start = sched_clock();
        usleep_range(sleep_us.get(), sleep_us.get());
        for operation in 0..nr_operations.get() {
            compute(1000, operation);
        }
        REQUEST.add_lat((sched_clock() - start) / 1000);
        me.requests.fetch_add(1, Ordering::Relaxed);
    }
    WORKERS_CREW.leaves();
    0
}

fn report(runtime_ms: u64) {
    let wakeups = WAKEUP.nr_samples.load(Ordering::Relaxed);
    let requests = REQUEST.nr_samples.load(Ordering::Relaxed);
    let counted: u64 = WORKERS
        .iter()
        .flatten()
        .map(|worker| worker.requests.load(Ordering::Relaxed))
        .sum();
    if wakeups != requests || requests != counted {
        fail(format_args!(
            "{wakeups} wake-ups, {requests} requests, {counted} counted by the workers"
        ));
    }
    WAKEUP.show_latencies("Wakeup", runtime_ms);
    REQUEST.show_latencies("Request", runtime_ms);
    let hundredths = requests * 100_000 / runtime_ms.max(1);
    pr_info!("average rps: {}.{:02}", hundredths / 100, hundredths % 100);
    pr_info!("schbench: {requests} requests, each woken once");
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("schbench: {why}"))
}
