//! The requests that a stormer of `stopstorm` makes, one kind after the other, and what it expects of each.

use super::works::{Buffer, Order, Step, buffers, ordered, queue};
use super::{SIZES, VICTIMS, fail, set_mask};
use crate::arch::x86::include::asm::current::current;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{
    Cpumask, NR_CPUS, cpu_online_mask, cpu_possible_mask, nr_cpu_ids, num_online_cpus,
};
use crate::include::linux::errno::{EAGAIN, EIO, ENOENT};
use crate::include::linux::sched::{TaskRef, task_cpu};
use crate::include::linux::stop_machine::{
    stop_machine, stop_machine_cpuslocked, stop_one_cpu, stop_one_cpu_nowait, stop_two_cpus,
    try_stop_cpus,
};
use crate::kernel::cpu::{cpus_read_lock, cpus_read_unlock};
use crate::kernel::kreplay::common::{next_cpu, nth_cpu};
use crate::kernel::kreplay::counters::count;
use crate::kernel::stop_machine::stop_cpus;
use crate::kernel::time::timer::sleep::usleep_range;
use crate::stack_pinned;
use core::sync::atomic::{AtomicU64, Ordering};

/// Requests by kind, and what they ask for.
pub struct Made {
    pub requests: AtomicU64,
    /// `stop_one_cpu`.
    pub one: AtomicU64,
    /// `stop_one_cpu_nowait`.
    pub nowait: AtomicU64,
    /// `stop_cpus`.
    pub many: AtomicU64,
    /// `try_stop_cpus`, until it is not busy.
    pub tried: AtomicU64,
    /// `stop_two_cpus`.
    pub two: AtomicU64,
    /// `stop_machine`.
    pub machine: AtomicU64,
    /// `stop_machine_cpuslocked`.
    pub cpuslocked: AtomicU64,
    /// Moves of tasks to the CPU after theirs.
    pub moves: AtomicU64,
    /// Requests to a CPU that is offline.
    pub refused: AtomicU64,
    /// Works that queue works.
    pub nested: AtomicU64,
    /// Works that fail.
    pub failed: AtomicU64,
    /// Functions that these run, and works that they queue.
    pub functions: AtomicU64,
    pub works: AtomicU64,
    /// Times that `try_stop_cpus` was busy.
    pub again: AtomicU64,
}

pub static MADE: Made = Made {
    requests: AtomicU64::new(0),
    one: AtomicU64::new(0),
    nowait: AtomicU64::new(0),
    many: AtomicU64::new(0),
    tried: AtomicU64::new(0),
    two: AtomicU64::new(0),
    machine: AtomicU64::new(0),
    cpuslocked: AtomicU64::new(0),
    moves: AtomicU64::new(0),
    refused: AtomicU64::new(0),
    nested: AtomicU64::new(0),
    failed: AtomicU64::new(0),
    functions: AtomicU64::new(0),
    works: AtomicU64::new(0),
    again: AtomicU64::new(0),
};

/// Counts what a request queues and runs, before it is made.
fn asks(kind: &'static AtomicU64, works: u32, functions: u32) {
    count(kind);
    MADE.works.fetch_add(u64::from(works), Ordering::Relaxed);
    MADE.functions
        .fetch_add(u64::from(functions), Ordering::Relaxed);
}

fn expect(what: &str, found: i32, wanted: i32) {
    if found != wanted {
        fail(format_args!("{what} returned {found}, not {wanted}"));
    }
}

fn expect_ran(what: &str, order: &Order, wanted: Cpumask) {
    let ran = order.has_run_on();
    if ran != wanted {
        fail(format_args!(
            "{what} ran on {:#x}, not on {:#x}",
            ran.as_u64(),
            wanted.as_u64()
        ));
    }
}

/// Kinds of requests in a round.
pub const KINDS: u64 = 14;

/// One request.
pub fn make(stormer: u64, round: u64) {
    count(&MADE.requests);
    let turn = round / KINDS;
    let cpu = nth_cpu(3 * round + stormer);
    let cpus = u64::from(num_online_cpus());
    match (round + 5 * stormer) % KINDS {
        0 => one(cpu),
        1 => nowait(stormer, cpu),
        2 => many(window(stormer + round, 1 + (7 * turn + stormer) % cpus)),
        3 => tried(window(stormer + round, 1 + (5 * turn + stormer) % cpus)),
        kind @ (4 | 5) if cpus > 1 => {
            // Neighbours choose the same pair, in turned order.
            let a = nth_cpu(turn + stormer / 2);
            let b = nth_cpu(turn + stormer / 2 + 1 + turn % (cpus - 1));
            if (stormer + kind).is_multiple_of(2) {
                two(a, b);
            } else {
                two(b, a);
            }
        }
        6 => machine(None),
        7 => machine(Some(match turn % 2 {
            0 => cpu_online_mask(),
            _ => window(turn + stormer, 1 + turn % cpus),
        })),
        8 => cpuslocked(cpu),
        9 => move_task(victim(stormer + 3 * turn, 0)),
        10 => move_task(victim(stormer + turn, SIZES.hogs.get())),
        11 => move_task(Some(current())),
        12 => refused(stormer, round, cpu),
        13 if turn.is_multiple_of(2) => nested(stormer, cpu),
        13 => failed(turn / 2 + stormer, cpu),
        _ => one(cpu),
    }
}

/// So many online CPUs from the n-th on, in a circle.
fn window(n: u64, len: u64) -> Cpumask {
    (0..len).fold(Cpumask::EMPTY, |mask, at| mask.with(nth_cpu(n + at)))
}

fn one(cpu: u32) {
    asks(&MADE.one, 1, 1);
    stack_pinned!(let order = Order::new(Step::Free));
    let ret = stop_one_cpu(cpu, ordered, VoidPtr::new(order));
    expect("stop_one_cpu", ret, 0);
    expect_ran("stop_one_cpu", order, Cpumask::of(cpu));
}

/// Waits until a buffer's last work runs.
fn wait_until_free(buffer: &'static Buffer) {
    while buffer.busy.load(Ordering::Acquire) {
        usleep_range(5, 10);
    }
}

fn nowait(stormer: u64, cpu: u32) {
    asks(&MADE.nowait, 1, 1);
    let [buffer, _, _] = buffers(stormer);
    wait_until_free(buffer);
    queue(cpu, buffer);
}

fn many(cpus: Cpumask) {
    asks(&MADE.many, cpus.weight(), cpus.weight());
    stack_pinned!(let order = Order::new(Step::Free));
    let ret = stop_cpus(&cpus, ordered, VoidPtr::new(order));
    expect("stop_cpus", ret, 0);
    expect_ran("stop_cpus", order, cpus);
}

fn try_until_done(cpus: &Cpumask, order: &'static Order) -> i32 {
    loop {
        match try_stop_cpus(cpus, ordered, VoidPtr::new(order)) {
            ret if ret == -EAGAIN => count(&MADE.again),
            ret => return ret,
        }
        usleep_range(25, 50);
    }
}

fn tried(cpus: Cpumask) {
    asks(&MADE.tried, cpus.weight(), cpus.weight());
    stack_pinned!(let order = Order::new(Step::Free));
    expect("try_stop_cpus", try_until_done(&cpus, order), 0);
    expect_ran("try_stop_cpus", order, cpus);
}

fn two(a: u32, b: u32) {
    asks(&MADE.two, 2, 1);
    stack_pinned!(let order = Order::new(Step::Two));
    let ret = stop_two_cpus(a, b, ordered, VoidPtr::new(order));
    expect("stop_two_cpus", ret, 0);
    expect_ran("stop_two_cpus", order, Cpumask::of(a));
}

/// Who runs the function of a `stop_machine`.
fn active(cpus: Option<Cpumask>) -> Cpumask {
    cpus.unwrap_or_else(|| Cpumask::of(cpu_online_mask().first()))
}

fn machine(cpus: Option<Cpumask>) {
    asks(&MADE.machine, num_online_cpus(), active(cpus).weight());
    stack_pinned!(let order = Order::new(Step::All));
    let ret = stop_machine(ordered, VoidPtr::new(order), cpus.as_ref());
    expect("stop_machine", ret, 0);
    expect_ran("stop_machine", order, active(cpus));
}

/// Two in a row with the hotplug lock held once, as somebody who changes what a CPU that comes would see.
fn cpuslocked(cpu: u32) {
    let cpus = Cpumask::of(cpu);
    asks(&MADE.cpuslocked, 2 * num_online_cpus(), 2);
    cpus_read_lock();
    for _ in 0..2 {
        stack_pinned!(let order = Order::new(Step::All));
        let ret = stop_machine_cpuslocked(ordered, VoidPtr::new(order), Some(&cpus));
        expect("stop_machine_cpuslocked", ret, 0);
        expect_ran("stop_machine_cpuslocked", order, cpus);
    }
    cpus_read_unlock();
}

/// A victim by number: the hogs are the first, the real-time tasks come after them.
fn victim(n: u64, first: u64) -> Option<TaskRef> {
    let count = if first == 0 {
        SIZES.hogs.get()
    } else {
        SIZES.rts.get()
    };
    let index = (first + n % count.max(1)) as usize;
    VICTIMS[index].task.get()
}

/// Moves a task to the CPU after its own; if it runs, by its stopper.
fn move_task(task: Option<TaskRef>) {
    asks(&MADE.moves, 0, 0);
    if let Some(task) = task {
        bind(task, Cpumask::of(next_cpu(task_cpu(task))));
    }
}

/// Gives a thread of the workload a mask.
pub fn bind(task: TaskRef, mask: Cpumask) {
    set_mask(task, &mask);
}

/// A CPU whose stopper takes no work: one that did not come up; or the number after the last possible
/// one, whose stopper (they are an array) has never been enabled. None with 64 CPUs online.
fn offline_cpu() -> Option<u32> {
    let offline = cpu_possible_mask().andnot(cpu_online_mask()).first();
    let beyond = nr_cpu_ids.load(Ordering::Relaxed);
    [offline, beyond]
        .into_iter()
        .find(|&cpu| cpu < NR_CPUS as u32)
}

fn refused(stormer: u64, round: u64, cpu: u32) {
    let Some(offline) = offline_cpu() else {
        return one(cpu);
    };
    let mixed = window(stormer + round, 1 + round % u64::from(num_online_cpus()));
    let kind = (round / KINDS + stormer) % 7;
    let taken = if kind == 5 { mixed.weight() } else { 0 };
    asks(&MADE.refused, taken, taken);
    stack_pinned!(let order = Order::new(Step::Free));
    let arg = VoidPtr::new(order);
    let ret = match kind {
        0 => stop_one_cpu(offline, ordered, arg),
        1 => {
            let [buffer, _, _] = buffers(stormer);
            wait_until_free(buffer);
            let queued = stop_one_cpu_nowait(offline, ordered, arg, &buffer.work);
            if queued { 0 } else { -ENOENT }
        }
        2 => stop_two_cpus(cpu, offline, ordered, arg),
        3 => stop_two_cpus(offline, cpu, ordered, arg),
        4 => stop_cpus(&Cpumask::of(offline), ordered, arg),
        // Who is there runs it; nobody waits for who is not.
        5 => stop_cpus(&mixed.with(offline), ordered, arg),
        _ => try_until_done(&Cpumask::of(offline), order),
    };
    expect(
        "a request to an offline CPU",
        ret,
        if taken == 0 { -ENOENT } else { 0 },
    );
    let ran = if taken == 0 { Cpumask::EMPTY } else { mixed };
    expect_ran("a request to an offline CPU", order, ran);
}

/// A work that queues two more, on its own CPU and on the next.
fn nested(stormer: u64, cpu: u32) {
    asks(&MADE.nested, 3, 3);
    let [_, here, there] = buffers(stormer);
    wait_until_free(here);
    wait_until_free(there);
    stack_pinned!(let order = Order {
        nested: Some([(cpu, here), (next_cpu(cpu), there)]),
        ..Order::new(Step::Free)
    });
    let ret = stop_one_cpu(cpu, ordered, VoidPtr::new(order));
    expect("stop_one_cpu", ret, 0);
    expect_ran("stop_one_cpu", order, Cpumask::of(cpu));
}

/// The error of one function is what the requester gets.
fn failed(kind: u64, cpu: u32) {
    let online = cpu_online_mask();
    let step = match kind % 3 {
        2 => Step::All,
        _ => Step::Free,
    };
    let cpus = match kind % 3 {
        0 => Cpumask::of(cpu),
        _ => online,
    };
    asks(&MADE.failed, cpus.weight(), cpus.weight());
    stack_pinned!(let order = Order {
        error: -EIO,
        error_cpu: cpu,
        ..Order::new(step)
    });
    let arg = VoidPtr::new(order);
    let ret = match kind % 3 {
        0 => stop_one_cpu(cpu, ordered, arg),
        1 => stop_cpus(&online, ordered, arg),
        _ => stop_machine(ordered, arg, Some(&online)),
    };
    expect("a request whose function fails", ret, -EIO);
    expect_ran("a request whose function fails", order, cpus);
}
