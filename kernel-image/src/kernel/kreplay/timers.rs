//! The workload `timers`: the rules of timers, ticks, sleeps and preemption, played and checked. A broken one is a
//! panic.
//!
//! - `wheel`: wheel timers are never early and at most a granule late; deferrable ones wait for a tick; one started
//!   on a sleeping CPU wakes it.
//! - `precise`: hrtimers of every clock, hard and soft, in order and on time; sleeps keep their bounds.
//! - `cancel`: whoever cancels a timer whose callback runs on another CPU waits for it.
//! - `idle`: the tick of an idle CPU stops (with `nohz=off` it does not), ticks are accounted.
//! - `loadavg`: with `timers.load=`, the averages after each reading, to the last digit.
//! - `stats`: what `sched_info` and, with `schedstats=enable`, the statistics say of a task that waited and slept.
//! - `preempt`: where a task that wakes preempts a thread of the kernel, in each mode of `preempt=`.
//!
//! Parameters: `timers.levels` (default 3, up to 9) how many levels of the wheel, each eight times as long as the one
//! before; `timers.rounds` (200) of cancelling; `timers.load` (0) seconds of load average, of `timers.tasks` (2) that
//! sleep uninterruptibly, or with `timers.hogs=1` of hogs, or with `timers.hogs=2` of hogs that are runnable whenever
//! somebody counts and asleep in between; `timers.slack_us` (2000) how late an interrupt may be, for machines that a
//! busy host holds up. More than 10 virtual seconds take `--until`.

mod cancel;
mod idle;
mod loadavg;
mod precise;
mod preempt;
mod stats;
mod wheel;

use crate::arch::x86::include::asm::current::current;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, cpu_active_mask};
use crate::include::linux::kthread::kthread_create;
use crate::include::linux::sched::{SCHED_FIFO, TaskRef, task_cpu};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::sched::core::{
    SchedParam, sched_set_normal, sched_setscheduler_nocheck, set_cpus_allowed_ptr, wake_up_process,
};
use crate::kernel::time::timer::sleep::msleep;
use crate::pr_info;

/// Runs it, as pid 1, on CPU 0.
pub fn run() {
    let levels = workload_param("timers.levels", 3, 1..=9);
    let rounds = workload_param("timers.rounds", 200, 0..=1_000_000);
    let load = workload_param("timers.load", 0, 0..=3600);
    let me = current();
    bind(me, 0);
    // Nothing shall come between a timer and what we see of it.
    fifo(me, 50);
    // The boot is over within the first tick: high resolution comes with the second.
    msleep(20);
    preempt::run();
    precise::run();
    idle::run();
    stats::run();
    wheel::run(levels as u32);
    cancel::run(rounds);
    sched_set_normal(me, 0);
    if load > 0 {
        loadavg::run(load);
    }
    show_tasks();
    if set_cpus_allowed_ptr(me, &cpu_active_mask()) != 0 {
        fail(format_args!("pid 1 cannot be let go"));
    }
    pr_info!("timers: all rules kept");
}

/// Binds a task to a CPU; the task itself goes there at once.
fn bind(task: TaskRef, cpu: u32) {
    if set_cpus_allowed_ptr(task, &Cpumask::of(cpu)) != 0 {
        fail(format_args!("{task:?} cannot be bound to cpu{cpu}"));
    }
    if core::ptr::eq(task, current()) && task_cpu(task) != cpu {
        fail(format_args!("{task:?} is not on cpu{cpu}"));
    }
}

fn fifo(task: TaskRef, sched_priority: u32) {
    let ret = sched_setscheduler_nocheck(task, SCHED_FIFO, &SchedParam { sched_priority });
    if ret != 0 {
        fail(format_args!("{task:?} cannot be FIFO: {ret}"));
    }
}

/// A thread bound to a CPU; it has not run yet.
fn thread_on(cpu: u32, r#fn: extern "C" fn(VoidPtr) -> i32, data: VoidPtr, name: &str) -> TaskRef {
    match kthread_create(r#fn, data, format_args!("{name}/{cpu}")) {
        Ok(task) => {
            bind(task, cpu);
            task
        }
        Err(error) => fail(format_args!("no thread {name}: {error}")),
    }
}

fn start(task: TaskRef) {
    wake_up_process(task);
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("timers: {why}"))
}
