//! `sched:*`, as `include/trace/events/sched.h` of Linux v6.8.

use super::events;
use crate::event::Comm;

events! {
    /// `__schedule`, only when next differs from prev, under the rq lock, before the registers switch.
    SchedSwitch = 1, "sched:sched_switch" {
        /// Name of the task that leaves.
        prev_comm: Comm = "prev_comm",
        /// Its pid.
        prev_pid: i32 = "prev_pid",
        /// Its kernel priority, 0 highest, 120 is nice 0.
        prev_prio: i32 = "prev_prio",
        /// Its state: 0 R, 0x100 R+ (preempted), else the highest of `state & 0x7f`, or 0x80 idle.
        prev_state: i64 = "prev_state",
        /// Name of the task that comes.
        next_comm: Comm = "next_comm",
        /// Its pid.
        next_pid: i32 = "next_pid",
        /// Its kernel priority.
        next_prio: i32 = "next_prio",
    }
    /// `try_to_wake_up` after the state matched, in the waker's context.
    SchedWaking = 2, "sched:sched_waking" {
        /// Name of the task being woken.
        comm: Comm = "comm",
        /// Its pid.
        pid: i32 = "pid",
        /// Its kernel priority.
        prio: i32 = "prio",
        /// Its CPU before a new one is selected.
        target_cpu: i32 = "target_cpu",
    }
    /// The task's state has just become running, on the waker or on the target CPU.
    SchedWakeup = 3, "sched:sched_wakeup" {
        /// Name of the woken task.
        comm: Comm = "comm",
        /// Its pid.
        pid: i32 = "pid",
        /// Its kernel priority.
        prio: i32 = "prio",
        /// The CPU it is queued on.
        target_cpu: i32 = "target_cpu",
    }
    /// `wake_up_new_task`, after the first activation of a new task.
    SchedWakeupNew = 4, "sched:sched_wakeup_new" {
        /// Name of the new task.
        comm: Comm = "comm",
        /// Its pid.
        pid: i32 = "pid",
        /// Its kernel priority.
        prio: i32 = "prio",
        /// The CPU it is queued on.
        target_cpu: i32 = "target_cpu",
    }
    /// `set_task_cpu`, before the task's CPU changes; a fork's placement emits none.
    SchedMigrateTask = 5, "sched:sched_migrate_task" {
        /// Name of the task that moves.
        comm: Comm = "comm",
        /// Its pid.
        pid: i32 = "pid",
        /// Its kernel priority.
        prio: i32 = "prio",
        /// The CPU it leaves.
        orig_cpu: i32 = "orig_cpu",
        /// The CPU it goes to.
        dest_cpu: i32 = "dest_cpu",
    }
    /// `kernel_clone`, after `copy_process`.
    SchedProcessFork = 6, "sched:sched_process_fork" {
        /// Name of the parent.
        parent_comm: Comm = "parent_comm",
        /// Its pid.
        parent_pid: i32 = "parent_pid",
        /// Name of the child.
        child_comm: Comm = "child_comm",
        /// Its pid.
        child_pid: i32 = "child_pid",
    }
    /// `do_exit`.
    SchedProcessExit = 7, "sched:sched_process_exit" {
        /// Name of the task that ends.
        comm: Comm = "comm",
        /// Its pid.
        pid: i32 = "pid",
        /// Its kernel priority.
        prio: i32 = "prio",
    }
}
