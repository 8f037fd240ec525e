//! The workload `hackbench`: groups of senders and receivers that pass messages over pipes.
//!
//! Every sender of a group writes `hackbench.loops=` messages to every receiver of its group, and a receiver
//! reads until it has all of them, as in the program of that name. Messages are numbered: one that is lost,
//! repeated or overtaken by a later one of the same sender is a panic.
//!
//! The workload `hotplug` with `hotplug.load=hackbench` has the same done, again and again, while CPUs go and come.
//!
//! Parameters: `hackbench.groups=` (default 2), `hackbench.fds=` (senders, and receivers, of a group,
//! default 8), `hackbench.loops=` (default 300).

use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::kthread::kthread_run;
use crate::include::linux::wait::WaitQueueHead;
use crate::kernel::kreplay::common::Crew;
use crate::kernel::kreplay::pipe::{MESSAGE_WORDS, Message, Pipe, pipe_read, pipe_write};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::wait::{wait_event, wake_up_all};
use crate::pr_info;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const MAX_GROUPS: usize = 16;
const MAX_FDS: usize = 20;
const MESSAGE_BYTES: usize = MESSAGE_WORDS * 8;

/// A sender and a receiver of a group.
struct Member {
    group: Shared<u64>,
    index: Shared<u64>,
    /// From all senders of the group to this receiver.
    pipe: Pipe,
    /// Messages this sender has written, messages this receiver has read.
    sent: AtomicU64,
    received: AtomicU64,
}

static GROUPS: [[Member; MAX_FDS]; MAX_GROUPS] = [const {
    [const {
        Member {
            group: Shared::new(0),
            index: Shared::new(0),
            pipe: Pipe::new(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }; MAX_FDS]
}; MAX_GROUPS];

static nr_groups: Shared<u64> = Shared::new(0);
static nr_fds: Shared<u64> = Shared::new(0);
static nr_loops: Shared<u64> = Shared::new(0);

/// Everybody starts when all are there.
static START: WaitQueueHead = WaitQueueHead::new();
static STARTED: AtomicBool = AtomicBool::new(false);
static CREW: Crew = Crew::new();
/// Messages of all the times it was done; the members count on too.
static DUE: Shared<u64> = Shared::new(0);

/// Reads how much there is to do, and says it.
pub fn prepare() {
    let groups = workload_param("hackbench.groups", 2, 1..=MAX_GROUPS as u64);
    let fds = workload_param("hackbench.fds", 8, 1..=MAX_FDS as u64);
    let loops = workload_param("hackbench.loops", 300, 1..=1_000_000_000);
    nr_groups.set(groups);
    nr_fds.set(fds);
    nr_loops.set(loops);
    pr_info!(
        "hackbench: {groups} groups of 2 x {fds} threads (== {} tasks)",
        groups * fds * 2
    );
    pr_info!("hackbench: each sender passes {loops} messages of {MESSAGE_BYTES} bytes to each");
}

/// Runs it, as pid 1.
pub fn run() {
    prepare();
    let us = bench(show_tasks) / 1000;
    pr_info!("hackbench: {} messages, all in order", DUE.get());
    pr_info!("hackbench: Time: {}.{:06}", us / 1_000_000, us % 1_000_000);
}

/// Does it once: makes the threads, lets them start together (`all_there` is called just before) and waits until
/// the last is about to end. By then every message must have come. Returns how long they took, in nanoseconds.
///
/// # Context
/// After [`prepare`]; may sleep; one caller at a time.
pub fn bench(all_there: fn()) -> u64 {
    let (groups, fds) = (nr_groups.get(), nr_fds.get());
    STARTED.store(false, Ordering::Release);
    for group in 0..groups {
        for index in 0..fds {
            let member = &GROUPS[group as usize][index as usize];
            member.group.set(group);
            member.index.set(index);
            hire("receiver", receiver, member);
        }
        for member in &GROUPS[group as usize][..fds as usize] {
            hire("sender", sender, member);
        }
    }
    CREW.wait_until_ready();
    all_there();
    let start = sched_clock();
    STARTED.store(true, Ordering::Release);
    wake_up_all(&START);
    CREW.wait_until_gone();
    let elapsed = sched_clock() - start;
    DUE.add(groups * fds * fds * nr_loops.get());
    let sent = count(|member| &member.sent);
    if sent != DUE.get() || received() != DUE.get() {
        fail(format_args!(
            "{} messages expected, {sent} sent, {} received",
            DUE.get(),
            received()
        ));
    }
    elapsed
}

/// Messages that have been read since boot.
pub fn received() -> u64 {
    count(|member| &member.received)
}

fn count(of: fn(&Member) -> &AtomicU64) -> u64 {
    let members = GROUPS.iter().flatten();
    members.map(|it| of(it).load(Ordering::Relaxed)).sum()
}

fn hire(name: &str, part: extern "C" fn(VoidPtr) -> i32, member: &'static Member) {
    let (group, index) = (member.group.get(), member.index.get());
    CREW.joins();
    let thread = format_args!("{name}/{group}.{index}");
    if let Err(error) = kthread_run(part, VoidPtr::new(member), thread) {
        fail(format_args!("no thread {name}/{group}.{index}: {error}"));
    }
}

fn wait_for_start() {
    CREW.is_ready();
    wait_event(&START, || STARTED.load(Ordering::Acquire));
}

extern "C" fn sender(data: VoidPtr) -> i32 {
    let me = data.get::<Member>();
    wait_for_start();
    let group = &GROUPS[me.group.get() as usize][..nr_fds.get() as usize];
    let mut message: Message = [me.index.get(); MESSAGE_WORDS];
    for number in 0..nr_loops.get() {
        message[1] = number;
        for receiver in group {
            pipe_write(&receiver.pipe, &message);
            me.sent.fetch_add(1, Ordering::Relaxed);
        }
    }
    CREW.leaves();
    0
}

extern "C" fn receiver(data: VoidPtr) -> i32 {
    let me = data.get::<Member>();
    wait_for_start();
    let mut next = [0; MAX_FDS];
    for _ in 0..nr_fds.get() * nr_loops.get() {
        let message = pipe_read(&me.pipe);
        let (from, number) = (message[0] as usize, message[1]);
        let whole = message[2..].iter().all(|&word| word == message[0]);
        if from >= MAX_FDS || number != next[from] || !whole {
            fail(format_args!(
                "receiver {}.{} expected message {:?} of sender {from}, got {number}",
                me.group.get(),
                me.index.get(),
                next.get(from)
            ));
        }
        next[from] += 1;
        me.received.fetch_add(1, Ordering::Relaxed);
    }
    CREW.leaves();
    0
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("hackbench: {why}"))
}
