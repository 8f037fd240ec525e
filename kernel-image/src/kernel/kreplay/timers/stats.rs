//! What is counted of a task that waits for its CPU, sleeps, and sleeps for I/O.

use super::{fail, start, thread_on};
use crate::fence::void::VoidPtr;
use crate::include::linux::jiffies::{TICK_NSEC, jiffies_to_msecs};
use crate::include::linux::kthread::kthread_stop;
use crate::include::linux::ktime::{NSEC_PER_MSEC, NSEC_PER_USEC};
use crate::include::linux::sched::{TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE, set_current_state};
use crate::kernel::kreplay::common::wait_for_stop;
use crate::kernel::sched::core::schedule::io_schedule_timeout;
use crate::kernel::sched::core::{nr_iowait, nr_iowait_cpu, schedule, wake_up_process};
use crate::kernel::sched::stats::schedstat_enabled;
use crate::kernel::time::tick_sched::get_cpu_iowait_time_ns;
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::time::timer::sleep::{msleep, usleep_range};
use crate::pr_info;
use core::sync::atomic::{AtomicBool, Ordering};

/// Ticks of its sleep for I/O.
const IO_TICKS: u64 = 10;

static GO: AtomicBool = AtomicBool::new(false);

/// Sleeps until it is woken, then for I/O.
extern "C" fn subject(_data: VoidPtr) -> i32 {
    while !GO.load(Ordering::SeqCst) {
        set_current_state(TASK_INTERRUPTIBLE);
        if !GO.load(Ordering::SeqCst) {
            schedule();
        }
    }
    set_current_state(TASK_UNINTERRUPTIBLE);
    io_schedule_timeout(IO_TICKS);
    wait_for_stop()
}

fn within(what: &str, found: u64, least: i64, most: i64) {
    if (found as i64) < least || found as i64 > most {
        fail(format_args!("{what}: {found} ns are not {least} to {most}"));
    }
}

pub(super) fn run() {
    let task = thread_on(0, subject, VoidPtr::NULL, "subject");
    start(task);
    msleep(20);
    let info = &task.sched_info;
    let (ran, delay) = (info.pcount.get(), info.run_delay.get());
    let iowait = get_cpu_iowait_time_ns(0);
    // It is awake and we are in its way, for five milliseconds.
    GO.store(true, Ordering::SeqCst);
    let until = ktime_get() + 5 * NSEC_PER_MSEC;
    wake_up_process(task);
    while ktime_get() < until {
        core::hint::spin_loop();
    }
    // It runs as soon as we sleep, up to its sleep for I/O.
    usleep_range(6000, 6000);
    let waiting = (nr_iowait(), nr_iowait_cpu(0));
    msleep(jiffies_to_msecs(IO_TICKS) + 20);
    let five = 5 * NSEC_PER_MSEC;
    within(
        "run_delay",
        info.run_delay.get() - delay,
        five - 20 * NSEC_PER_USEC,
        five + NSEC_PER_MSEC,
    );
    if info.pcount.get() - ran != 2 || info.last_queued.get() != 0 {
        fail(format_args!("it ran {} times", info.pcount.get() - ran));
    }
    if waiting != (1, 1) || (nr_iowait(), nr_iowait_cpu(0)) != (0, 0) {
        fail(format_args!("{waiting:?} waited for I/O"));
    }
    let io = IO_TICKS as i64 * TICK_NSEC;
    let slack = 3 * TICK_NSEC;
    // Less the time in which we ran.
    let iowait = (get_cpu_iowait_time_ns(0) - iowait) as u64;
    within("the CPU's wait for I/O", iowait, io - slack, io + slack);
    let stats = &task.stats;
    if schedstat_enabled() {
        within(
            "wait_max",
            stats.wait_max.get(),
            five - 20 * NSEC_PER_USEC,
            five + NSEC_PER_MSEC,
        );
        within(
            "sleep_max",
            stats.sleep_max.get(),
            10 * NSEC_PER_MSEC,
            60 * NSEC_PER_MSEC,
        );
        within(
            "block_max",
            stats.block_max.get(),
            io - TICK_NSEC,
            io + slack,
        );
        within(
            "iowait_sum",
            stats.iowait_sum.get(),
            io - TICK_NSEC,
            io + slack,
        );
        let sums = stats.sum_sleep_runtime.get() - stats.sum_block_runtime.get();
        within(
            "the sum of sleeps",
            sums,
            10 * NSEC_PER_MSEC,
            60 * NSEC_PER_MSEC,
        );
        if stats.iowait_count.get() != 1 || stats.nr_wakeups.get() < 3 {
            fail(format_args!("{} wake-ups", stats.nr_wakeups.get()));
        }
    } else if stats.nr_wakeups.get() + stats.wait_count.get() + stats.iowait_count.get() != 0 {
        fail(format_args!("statistics are counted though they are off"));
    }
    kthread_stop(task);
    pr_info!(
        "timers: a task waited {} ns for its CPU, {iowait} ns for I/O; schedstats {}",
        info.run_delay.get() - delay,
        if schedstat_enabled() { "on" } else { "off" }
    );
}
