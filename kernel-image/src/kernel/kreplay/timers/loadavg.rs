//! The load averages: what they are after each reading, with so many tasks that count, and with none.
//!
//! Every five seconds each CPU's tasks are counted, and ten ticks later the averages take a step. Which step follows
//! from the averages before and from how many tasks there were, to the last digit. Somebody else who ran just when
//! there was a count may be among them; he is not there in most readings.

use super::{fail, start, thread_on};
use crate::fence::void::VoidPtr;
use crate::include::linux::jiffies::{HZ, jiffies, time_before};
use crate::include::linux::kthread::{kthread_should_stop, kthread_stop};
use crate::include::linux::sched::{
    __set_current_state, TASK_RUNNING, TASK_UNINTERRUPTIBLE, set_current_state,
};
use crate::kernel::kreplay::common::{compute, nth_cpu, wait_for_stop};
use crate::kernel::kreplay::workload_param;
use crate::kernel::sched::core::schedule;
use crate::kernel::sched::loadavg::{
    EXP_1, EXP_5, EXP_15, FIXED_1, LOAD_FREQ, calc_load, calc_load_update, get_avenrun,
};
use crate::kernel::time::timer::sleep::usleep_range_idle;
use crate::pr_info;
use core::sync::atomic::Ordering;

const MOST_TASKS: u64 = 16;
/// From the count of a CPU's tasks to the step of the averages, in ticks.
const UNTIL_STEP: u64 = 10;

/// Sleeps uninterruptibly until it is stopped: load.
extern "C" fn sleeper(_data: VoidPtr) -> i32 {
    loop {
        set_current_state(TASK_UNINTERRUPTIBLE);
        if kthread_should_stop() {
            __set_current_state(TASK_RUNNING);
            return 0;
        }
        schedule();
    }
}

/// Is runnable all the time.
extern "C" fn hog(_data: VoidPtr) -> i32 {
    while !kthread_should_stop() {
        compute(1000, 1);
    }
    wait_for_stop()
}

/// Is runnable whenever tasks are counted: nobody looks in between, and an idle CPU costs the emulator nothing.
extern "C" fn punctual(_data: VoidPtr) -> i32 {
    while !kthread_should_stop() {
        let count = calc_load_update.load(Ordering::SeqCst);
        if time_before(jiffies(), count - 3) {
            // This sleep is no load.
            usleep_range_idle(4000, 8000);
        } else {
            while time_before(jiffies(), count + UNTIL_STEP) && !kthread_should_stop() {
                compute(1000, 1);
            }
            usleep_range_idle(50_000, 50_000);
        }
    }
    wait_for_stop()
}

/// For so many seconds tasks that count, then as long none.
pub(super) fn run(seconds: u64) {
    let tasks = workload_param("timers.tasks", 2, 1..=MOST_TASKS);
    let (what, thread): (_, extern "C" fn(VoidPtr) -> i32) =
        match workload_param("timers.hogs", 0, 0..=2) {
            0 => ("sleepers", sleeper),
            1 => ("hogs", hog),
            _ => ("punctual hogs", punctual),
        };
    let readings = seconds * HZ / LOAD_FREQ;
    // Beginning right after a reading, with whatever it was.
    next_reading();
    let begin = get_avenrun(0, 0);
    let mut hired = [None; MOST_TASKS as usize];
    for (n, slot) in (0..tasks).zip(&mut hired) {
        let task = thread_on(nth_cpu(n), thread, VoidPtr::NULL, "load");
        start(task);
        *slot = Some(task);
    }
    let with_others = follow(what, readings, tasks);
    let reached = get_avenrun(0, 0);
    for task in hired.into_iter().flatten() {
        kthread_stop(task);
    }
    let with_others = with_others + follow("nobody", readings, 0);
    // Others ran a few times at most: that is what most readings say of the averages.
    if with_others * 4 > readings * 2 {
        fail(format_args!(
            "others are in {with_others} of {} readings",
            2 * readings
        ));
    }
    pr_info!(
        "timers: load of {tasks} {what} in {readings} readings: {begin:?} -> {reached:?} -> {:?} of {FIXED_1}, \
         others in {with_others}",
        get_avenrun(0, 0)
    );
}

/// Waits until the averages have taken a step.
fn next_reading() {
    let next = calc_load_update.load(Ordering::SeqCst);
    while calc_load_update.load(Ordering::SeqCst) == next {
        usleep_range_idle(100_000, 100_000);
    }
}

/// Compares each of so many readings with the formula. Returns in how many there was somebody else.
fn follow(what: &str, readings: u64, tasks: u64) -> u64 {
    let mut with_others = 0;
    for reading in 0..readings {
        let before = get_avenrun(0, 0);
        next_reading();
        let found = get_avenrun(0, 0);
        let of = |tasks: u64| {
            let step = |i, exp| calc_load(before[i], exp, tasks * FIXED_1);
            [step(0, EXP_1), step(1, EXP_5), step(2, EXP_15)]
        };
        match (tasks..=tasks + 2).find(|&tasks| found == of(tasks)) {
            Some(counted) => with_others += u64::from(counted != tasks),
            None => fail(format_args!(
                "{tasks} {what}, reading {reading}: load {before:?} becomes {found:?}, not {:?}",
                of(tasks)
            )),
        }
    }
    with_others
}
