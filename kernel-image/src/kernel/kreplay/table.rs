//! The table of all tasks on the console, for whoever compares two machines: printed towards the end of a
//! workload, with all its threads there, if the command line has `kreplay.tasks=1`.
//!
//! A line is `task: comm=<name> pid=<n> class=<class> prio=<n> policy=<policy> nice=<n> rt=<n> flags=<PF_* flags>
//! cpus=<mask>`, the idle tasks first, then all others by pid.

use crate::include::linux::cpumask::cpu_possible_mask;
use crate::include::linux::sched::{
    SCHED_BATCH, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RR, TaskRef, TasksLink,
};
use crate::init::init_task::init_task;
use crate::kernel::fork::tasklist_lock;
use crate::kernel::params::param;
use crate::kernel::sched::core::params::task_nice;
use crate::kernel::smpboot::idle_thread_get;
use crate::pr_info;

/// Names of the classes by rank.
static CLASSES: [&str; 5] = ["stop", "dl", "rt", "fair", "idle"];

fn policy_name(policy: u32) -> &'static str {
    match policy {
        SCHED_NORMAL => "NORMAL",
        SCHED_FIFO => "FIFO",
        SCHED_RR => "RR",
        SCHED_BATCH => "BATCH",
        SCHED_IDLE => "IDLE",
        _ => "?",
    }
}

fn show_task(p: TaskRef) {
    pr_info!(
        "task: comm={} pid={} class={} prio={} policy={} nice={} rt={} flags={:#x} cpus={:#x}",
        p.comm_str(),
        p.pid.get(),
        CLASSES[p.class().rank as usize],
        p.prio.get(),
        policy_name(p.policy.get()),
        task_nice(p),
        p.rt_priority.get(),
        p.flags.get(),
        p.cpus_mask.get().and(cpu_possible_mask()).as_u64()
    );
}

/// Prints the table, if it is wanted.
pub fn show_tasks() {
    if param("kreplay.tasks").and_then(|text| text.as_u64()) != Some(1) {
        return;
    }
    for cpu in cpu_possible_mask().iter() {
        if let Some(idle) = idle_thread_get(cpu) {
            show_task(idle);
        }
    }
    // Forks go on meanwhile: the lock is held for one step at a time, and pids only grow.
    let mut last = 0;
    loop {
        let next = {
            let _guard = tasklist_lock.lock();
            TasksLink::iter(&init_task.tasks)
                .filter(|task| task.pid.get() > last)
                .min_by_key(|task| task.pid.get())
        };
        let Some(task) = next else { return };
        last = task.pid.get();
        show_task(task);
    }
}
