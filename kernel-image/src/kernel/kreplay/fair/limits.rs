//! Limits of groups: 20 ms of each 100 ms, whoever else wants to run, over all CPUs.

use super::share::Queue;
use super::{Stage, entity, fail, hog, make_group, sleeper};
use crate::include::linux::cpumask::{Cpumask, num_online_cpus};
use crate::include::linux::errno::EINVAL;
use crate::kernel::kreplay::common::nth_cpu;
use crate::kernel::sched::core::{sched_move_task, set_cpus_allowed_ptr};
use crate::kernel::sched::fair::bandwidth::{RUNTIME_INF, tg_set_cfs_bandwidth};
use crate::kernel::sched::sched::{
    RqFlags, TaskGroup, cpu_rq, root_task_group, rq_lock_irqsave, rq_unlock_irqrestore,
};
use crate::kernel::time::timer::sleep::usleep_range;
use crate::pr_info;

const MS: u64 = 1_000_000;
const PERIOD: u64 = 100 * MS;
const QUOTA: u64 = 20 * MS;

fn limit(tg: &'static TaskGroup, quota: u64, burst: u64) {
    if tg_set_cfs_bandwidth(tg, PERIOD, quota, burst) != 0 {
        fail(format_args!("a limit was refused"));
    }
}

/// What a group received: not more and not less than its quota, up to the period that the window cuts.
fn check_quota(what: &str, received: u64, ms: u64) {
    let right = ms * MS / (PERIOD / MS) * (QUOTA / MS);
    pr_info!("fair: {what}: {} ms of {ms}", received / MS);
    // A tick may pass before a queue without run time is noticed; the next period pays for it.
    if received.abs_diff(right) > QUOTA + 8 * MS {
        fail(format_args!("{what}: {received} ns is not {right} ns"));
    }
}

/// Plays all.
pub(super) fn limits(ms: u64) {
    let refused = [
        tg_set_cfs_bandwidth(&root_task_group, PERIOD, QUOTA, 0),
        tg_set_cfs_bandwidth(&root_task_group, 10 * PERIOD + 1, QUOTA, 0),
    ];
    if refused != [-EINVAL; 2] {
        fail(format_args!("a wrong limit was taken: {refused:?}"));
    }
    alone_and_in_company(ms);
    over_cpus(ms);
    while_things_change();
}

fn alone_and_in_company(ms: u64) {
    let mut stage = Stage::open();
    let limited = make_group(&root_task_group, 1024);
    let inner = make_group(limited, 1024);
    let wrong = [
        tg_set_cfs_bandwidth(limited, MS / 2, QUOTA, 0),
        tg_set_cfs_bandwidth(limited, PERIOD, MS / 2, 0),
        tg_set_cfs_bandwidth(limited, PERIOD, QUOTA, QUOTA + 1),
    ];
    if wrong != [-EINVAL; 3] {
        fail(format_args!("a wrong limit was taken: {wrong:?}"));
    }
    limit(limited, QUOTA, 0);
    let task = stage.enter(hog, 0);
    sched_move_task(task, limited);
    usleep_range(150_000, 150_000);
    check_quota("limited and alone", stage.watch(ms)[0], ms);
    sched_move_task(task, inner);
    check_quota("limited from above", stage.watch(ms)[0], ms);
    let other = stage.enter(hog, 0);
    usleep_range(100_000, 100_000);
    let received = stage.watch(ms);
    check_quota("limited beside another", received[0], ms);
    if received[0] + received[1] < ms * MS / 100 * 98 {
        fail(format_args!("the other did not get the rest"));
    }
    let stats = &limited.cfs_bandwidth;
    pr_info!(
        "fair: {} periods, {} with queues throttled for {} ms",
        stats.nr_periods.get(),
        stats.nr_throttled.get(),
        stats.throttled_time.get() / MS
    );
    // The limit goes while the group is out of run time.
    limit(limited, RUNTIME_INF, 0);
    let (outside, between) = (entity(limited, stage.cpu), entity(inner, stage.cpu));
    let root = [(outside, 1024), (&other.se, 1024)];
    let levels = [(between, 1024), (&task.se, 1024)];
    let among = |group, entities| Queue { group, entities };
    let queues = [
        among(None, &root[..]),
        among(Some(outside), &levels[..1]),
        among(Some(between), &levels[1..]),
    ];
    stage.compare_on("without the limit", 400, &[1, 1], &queues);
    stage.close();
    super::end_group(inner);
    super::end_group(limited);
}

/// One pool for all CPUs.
fn over_cpus(ms: u64) {
    if num_online_cpus() < 2 {
        return;
    }
    let mut stage = Stage::open();
    let limited = make_group(&root_task_group, 1024);
    limit(limited, QUOTA, 0);
    for cpu in 0..2 {
        let task = stage.enter(hog, 0);
        if set_cpus_allowed_ptr(task, &Cpumask::of(nth_cpu(cpu))) != 0 {
            fail(format_args!("a hog cannot be bound"));
        }
        sched_move_task(task, limited);
    }
    usleep_range(150_000, 150_000);
    let received = stage.watch(ms);
    check_quota("limited on two CPUs", received[0] + received[1], ms);
    stage.close();
    super::end_group(limited);
}

/// Tasks come, go and sleep, limits come and go, while queues are throttled.
fn while_things_change() {
    let mut stage = Stage::open();
    let tasks = [
        stage.enter(hog, 0),
        stage.enter(sleeper, 0),
        stage.enter(sleeper, 5),
        stage.enter(hog, -5),
    ];
    let outer = make_group(&root_task_group, 1024);
    let inner = make_group(outer, 2048);
    let rounds = 40;
    for round in 0..rounds {
        // A millisecond in each of 5 ms: throttled most of the time.
        let quota = if round % 3 == 2 { RUNTIME_INF } else { MS };
        for tg in [outer, inner] {
            let burst = if quota == RUNTIME_INF {
                0
            } else {
                MS * (round % 2)
            };
            if tg_set_cfs_bandwidth(tg, 5 * MS, quota, burst) != 0 {
                fail(format_args!("a limit was refused"));
            }
        }
        for (n, task) in tasks.into_iter().enumerate() {
            let tg = match (n as u64 + round) % 3 {
                0 => outer,
                1 => inner,
                _ => &root_task_group,
            };
            sched_move_task(task, tg);
            usleep_range(700 + 130 * (round % 11), 0);
        }
    }
    limit(outer, RUNTIME_INF, 0);
    limit(inner, RUNTIME_INF, 0);
    for task in tasks {
        sched_move_task(task, &root_task_group);
    }
    usleep_range(10_000, 10_000);
    let rq = cpu_rq(stage.cpu);
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    let counts = [
        rq.cfs.h_nr_running.get(),
        rq.nr_running.get(),
        outer.cfs_rq_on(stage.cpu).h_nr_running.get(),
        inner.cfs_rq_on(stage.cpu).h_nr_running.get(),
        outer.cfs_rq_on(stage.cpu).throttle_count.get() as u32,
        inner.cfs_rq_on(stage.cpu).throttle_count.get() as u32,
    ];
    rq_unlock_irqrestore(rq, &rf);
    // Two hogs, and whoever is awake beside them.
    if !(2..=5).contains(&counts[0]) || counts[1] < counts[0] || counts[2..] != [0; 4] {
        fail(format_args!("after {rounds} rounds of limits: {counts:?}"));
    }
    pr_info!("fair: {} moves through limited groups", 4 * rounds);
    stage.close();
    super::end_group(inner);
    super::end_group(outer);
}
