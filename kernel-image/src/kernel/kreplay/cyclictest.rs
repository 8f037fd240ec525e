//! The workload `cyclictest`: how late real-time threads wake up, as the program of that name measures it.
//!
//! One thread a CPU of the highest priority sleeps until the next multiple of its interval and looks at the
//! clock. An ordinary task that never sleeps keeps each CPU busy. At the end every thread prints its line;
//! a wake-up before its time, a period that was missed, or a thread that left its CPU is a panic.
//!
//! Parameters: `cyclictest.priority` (99), `cyclictest.interval` in us (1000), `cyclictest.distance` in us (500):
//! by how much the interval of each thread is longer than that of the one before, `cyclictest.loops` (1000),
//! `cyclictest.hogs` (1): whether CPUs are kept busy.

use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, NR_CPUS, cpu_active_mask};
use crate::include::linux::hrtimer::HRTIMER_MODE_ABS;
use crate::include::linux::kthread::{kthread_create, kthread_stop};
use crate::include::linux::sched::{SCHED_FIFO, TASK_UNINTERRUPTIBLE, TaskRef, set_current_state};
use crate::kernel::kreplay::common::{compute, wait_for_stop};
use crate::kernel::kreplay::table::show_tasks;
use crate::kernel::kreplay::workload_param;
use crate::kernel::sched::core::{
    SchedParam, sched_setscheduler_nocheck, set_cpus_allowed_ptr, wake_up_process,
};
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::time::timer::sleep::{msleep, schedule_hrtimeout_range};
use crate::pr_info;
use core::sync::atomic::{AtomicBool, Ordering};

/// What a thread has measured, ns.
struct ThreadStat {
    cpu: Shared<u32>,
    interval: Shared<i64>,
    loops: Shared<u64>,
    cycles: Shared<u64>,
    min: Shared<i64>,
    act: Shared<i64>,
    sum: Shared<i64>,
    max: Shared<i64>,
    done: AtomicBool,
    task: Shared<Option<TaskRef>>,
}

static STATS: [ThreadStat; NR_CPUS] = [const {
    ThreadStat {
        cpu: Shared::new(0),
        interval: Shared::new(0),
        loops: Shared::new(0),
        cycles: Shared::new(0),
        min: Shared::new(i64::MAX),
        act: Shared::new(0),
        sum: Shared::new(0),
        max: Shared::new(0),
        done: AtomicBool::new(false),
        task: Shared::new(None),
    }
}; NR_CPUS];
static HOGS: [Shared<Option<TaskRef>>; NR_CPUS] = [const { Shared::new(None) }; NR_CPUS];
static STOP: AtomicBool = AtomicBool::new(false);

/// The measuring thread (`timerthread` there).
extern "C" fn timerthread(data: VoidPtr) -> i32 {
    let stat = data.get::<ThreadStat>();
    let interval = stat.interval.get();
    let mut next = ktime_get() + interval;
    for _ in 0..stat.loops.get() {
        set_current_state(TASK_UNINTERRUPTIBLE);
        schedule_hrtimeout_range(Some(next), 0, HRTIMER_MODE_ABS);
        let now = ktime_get();
        let diff = now - next;
        if diff < 0 || diff >= interval || raw_smp_processor_id() != stat.cpu.get() {
            fail(format_args!(
                "T:{} woke {diff} ns after its time on CPU {}",
                stat.cpu.get(),
                raw_smp_processor_id()
            ));
        }
        stat.min.set(stat.min.get().min(diff));
        stat.max.set(stat.max.get().max(diff));
        stat.act.set(diff);
        stat.sum.add(diff);
        stat.cycles.inc();
        next += interval;
    }
    stat.done.store(true, Ordering::Release);
    wait_for_stop()
}

extern "C" fn hog(_: VoidPtr) -> i32 {
    while !STOP.load(Ordering::Relaxed) {
        compute(1000, 1);
    }
    wait_for_stop()
}

fn start(
    thread: extern "C" fn(VoidPtr) -> i32,
    data: VoidPtr,
    cpu: u32,
    name: core::fmt::Arguments<'_>,
) -> TaskRef {
    let task = match kthread_create(thread, data, name) {
        Ok(task) => task,
        Err(error) => fail(format_args!("no thread: {error}")),
    };
    if set_cpus_allowed_ptr(task, &Cpumask::of(cpu)) != 0 {
        fail(format_args!("cannot bind to CPU {cpu}"));
    }
    task
}

/// Runs it, as pid 1.
pub fn run() {
    let priority = workload_param("cyclictest.priority", 99, 1..=99) as u32;
    let interval = workload_param("cyclictest.interval", 1000, 50..=1_000_000);
    let distance = workload_param("cyclictest.distance", 500, 0..=1_000_000);
    let loops = workload_param("cyclictest.loops", 1000, 1..=10_000_000);
    let hogs = workload_param("cyclictest.hogs", 1, 0..=1) == 1;
    for (index, cpu) in cpu_active_mask().iter().enumerate() {
        if hogs {
            let task = start(hog, VoidPtr::NULL, cpu, format_args!("hog/{cpu}"));
            HOGS[cpu as usize].set(Some(task));
            wake_up_process(task);
        }
        let stat = &STATS[index];
        stat.cpu.set(cpu);
        stat.interval
            .set((interval + index as u64 * distance) as i64 * 1000);
        stat.loops.set(loops);
        let name = format_args!("cyclictest/{cpu}");
        let task = start(timerthread, VoidPtr::new(stat), cpu, name);
        let param = SchedParam {
            sched_priority: priority,
        };
        if sched_setscheduler_nocheck(task, SCHED_FIFO, &param) != 0 {
            fail(format_args!("no priority {priority}"));
        }
        stat.task.set(Some(task));
    }
    let threads = cpu_active_mask().weight() as usize;
    for stat in &STATS[..threads] {
        if let Some(task) = stat.task.get() {
            wake_up_process(task);
        }
    }
    while STATS[..threads]
        .iter()
        .any(|stat| !stat.done.load(Ordering::Acquire))
    {
        msleep(10);
    }
    show_tasks();
    for (index, stat) in STATS[..threads].iter().enumerate() {
        report(index, stat, priority);
    }
    STOP.store(true, Ordering::Relaxed);
    for task in HOGS
        .iter()
        .chain(STATS.iter().map(|stat| &stat.task))
        .filter_map(|task| task.replace(None))
    {
        kthread_stop(task);
    }
}

/// The line of a thread, in us as there.
fn report(index: usize, stat: &ThreadStat, priority: u32) {
    let us = |ns: i64| ns / 1000;
    let cycles = stat.cycles.get();
    pr_info!(
        "T:{index:2} ({:5}) P:{priority:2} I:{} C:{cycles:7} Min:{:7} Act:{:5} Avg:{:5} Max:{:8}",
        stat.task.get().map_or(0, |task| task.pid.get()),
        us(stat.interval.get()),
        us(stat.min.get()),
        us(stat.act.get()),
        us(stat.sum.get() / cycles.max(1) as i64),
        us(stat.max.get()),
    );
}

fn fail(why: core::fmt::Arguments<'_>) -> ! {
    crate::kernel::panic::panic(format_args!("cyclictest: {why}"))
}
