//! What a task is worth: weights, nice, and the stop task's place above all.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `sched_prio_to_weight`, `set_load_weight`, `set_user_nice`,
//! `sched_setscheduler_nocheck`, `sched_set_stop_task`. Kept: the tables, the dequeue-change-enqueue around
//! a change. Left out: permissions (no user processes), policies other than the fair class's (real-time and
//! deadline come later: -EINVAL).
//! Differs: nothing else. Locks: `pi_lock` and the runqueue's lock.

use super::queue::{dequeue_task, enqueue_task};
use super::schedule::{put_prev_task, set_next_task};
use crate::include::linux::errno::EINVAL;
use crate::include::linux::sched::prio::{
    DEFAULT_PRIO, MAX_NICE, MAX_RT_PRIO, MIN_NICE, NICE_TO_PRIO, NICE_WIDTH, PRIO_TO_NICE,
};
use crate::include::linux::sched::{SCHED_BATCH, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, TaskRef};
use crate::kernel::sched::fair::{fair_sched_class, reweight_task};
use crate::kernel::sched::rt::rt_sched_class;
use crate::kernel::sched::sched::{
    DEQUEUE_MOVE, DEQUEUE_NOCLOCK, DEQUEUE_SAVE, ENQUEUE_MOVE, ENQUEUE_NOCLOCK, ENQUEUE_RESTORE,
    RqFlags, WEIGHT_IDLEPRIO, WMULT_IDLEPRIO, cpu_rq, same_class, scale_load, task_current,
    task_on_rq_queued, task_rq_lock, task_rq_unlock, update_rq_clock,
};
use crate::kernel::sched::stop_task::stop_sched_class;

/// Weight of each nice value, -20 first: one step is about a quarter more or less.
pub static sched_prio_to_weight: [u32; NICE_WIDTH as usize] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904,
    3906, 3121, 2501, 1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87,
    70, 56, 45, 36, 29, 23, 18, 15,
];

/// 2^32 / weight of each nice value, so that a division becomes a multiplication.
pub static sched_prio_to_wmult: [u32; NICE_WIDTH as usize] = [
    48388, 59856, 76040, 92818, 118348, 147320, 184698, 229616, 287308, 360437, 449829, 563644,
    704093, 875809, 1099582, 1376151, 1717300, 2157191, 2708050, 3363326, 4194304, 5237765,
    6557202, 8165337, 10153587, 12820798, 15790321, 19976592, 24970740, 31350126, 39045157,
    49367440, 61356676, 76695844, 95443717, 119304647, 148102320, 186737708, 238609294, 286331153,
];

/// Sets the task's weight from its static priority. `update_load`: it may be queued.
pub fn set_load_weight(p: TaskRef, update_load: bool) {
    if p.policy.get() == SCHED_IDLE {
        p.se.load.weight.set(scale_load(WEIGHT_IDLEPRIO));
        p.se.load.inv_weight.set(WMULT_IDLEPRIO);
        return;
    }
    let index = (p.static_prio.get() - MAX_RT_PRIO) as usize;
    if update_load && same_class(p.class(), &fair_sched_class) {
        reweight_task(p, index);
        return;
    }
    p.se.load
        .weight
        .set(scale_load(u64::from(sched_prio_to_weight[index])));
    p.se.load.inv_weight.set(sched_prio_to_wmult[index]);
}

/// Gives a task a nice value.
pub fn set_user_nice(p: TaskRef, nice: i32) {
    if task_nice(p) == nice || !(MIN_NICE..=MAX_NICE).contains(&nice) {
        return;
    }
    let mut rf = RqFlags::new();
    let rq = task_rq_lock(p, &mut rf);
    update_rq_clock(rq);
    p.static_prio.set(NICE_TO_PRIO(nice));
    if !same_class(p.class(), &fair_sched_class) {
        // Takes effect when the task becomes an ordinary one.
        task_rq_unlock(rq, p, &rf);
        return;
    }
    let queued = task_on_rq_queued(p);
    let running = task_current(rq, p);
    if queued {
        dequeue_task(rq, p, DEQUEUE_SAVE | DEQUEUE_NOCLOCK);
    }
    if running {
        put_prev_task(rq, p);
    }
    set_load_weight(p, true);
    let old_prio = p.prio.get();
    p.normal_prio.set(p.static_prio.get());
    p.prio.set(p.static_prio.get());
    if queued {
        enqueue_task(rq, p, ENQUEUE_RESTORE | ENQUEUE_NOCLOCK);
    }
    if running {
        set_next_task(rq, p);
    }
    (p.class().prio_changed)(rq, p, old_prio);
    task_rq_unlock(rq, p, &rf);
}

/// Gives a task one of the fair class's policies.
///
/// # Returns
/// 0, or -EINVAL for another policy and for a stop task.
pub fn sched_setscheduler_nocheck(p: TaskRef, policy: u32) -> i32 {
    if !matches!(policy, SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE) {
        return -EINVAL;
    }
    let mut rf = RqFlags::new();
    let rq = task_rq_lock(p, &mut rf);
    update_rq_clock(rq);
    if !same_class(p.class(), &fair_sched_class) {
        task_rq_unlock(rq, p, &rf);
        return -EINVAL;
    }
    if p.policy.get() != policy {
        let queued = task_on_rq_queued(p);
        let running = task_current(rq, p);
        if queued {
            dequeue_task(rq, p, DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK);
        }
        if running {
            put_prev_task(rq, p);
        }
        p.policy.set(policy);
        set_load_weight(p, true);
        if queued {
            enqueue_task(rq, p, ENQUEUE_RESTORE | ENQUEUE_MOVE | ENQUEUE_NOCLOCK);
        }
        if running {
            set_next_task(rq, p);
        }
        (p.class().prio_changed)(rq, p, p.prio.get());
    }
    task_rq_unlock(rq, p, &rf);
    0
}

/// A task's nice value.
pub fn task_nice(p: TaskRef) -> i32 {
    PRIO_TO_NICE(p.static_prio.get())
}

/// Makes a parked thread the stop task of a CPU. User space sees a FIFO task of priority 99; the
/// class above all others is not a policy.
pub fn sched_set_stop_task(cpu: u32, stop: TaskRef) {
    let rq = cpu_rq(cpu);
    let old_stop = rq.stop.get();
    stop.policy.set(SCHED_FIFO);
    stop.rt_priority.set(99);
    stop.prio.set(0);
    stop.normal_prio.set(0);
    stop.sched_class.set(Some(&stop_sched_class));
    rq.stop.set(Some(stop));
    if let Some(old_stop) = old_stop {
        old_stop.sched_class.set(Some(&rt_sched_class));
    }
}

const _: () = assert!(sched_prio_to_weight[(DEFAULT_PRIO - MAX_RT_PRIO) as usize] == 1024);
