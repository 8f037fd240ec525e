//! Numbers of tasks. Linux: `kernel/pid.c` (v6.8).
//!
//! Kept: numbers rise from 1, the start-up message, finding a task by number. Left out: name spaces,
//! reuse after the wrap: a run of this kernel makes far fewer than `pid_max` tasks. Differs: a look-up
//! walks the list of tasks.

use crate::include::linux::errno::EAGAIN;
use crate::include::linux::sched::{TaskRef, TasksLink};
use crate::init::init_task::init_task;
use crate::kernel::fork::tasklist_lock;
use crate::pr_info;
use core::sync::atomic::{AtomicI32, Ordering};

/// One more than the highest number.
pub const PID_MAX_DEFAULT: i32 = 32768;
/// Numbers below this are not given twice.
const RESERVED_PIDS: i32 = 300;

static next_pid: AtomicI32 = AtomicI32::new(1);

/// The start-up message.
pub fn pid_idr_init() {
    pr_info!(
        "pid_max: default: {} minimum: {}",
        PID_MAX_DEFAULT,
        RESERVED_PIDS + 1
    );
}

/// The next number.
pub fn alloc_pid() -> Result<i32, i32> {
    let pid = next_pid.fetch_add(1, Ordering::Relaxed);
    if pid < PID_MAX_DEFAULT {
        Ok(pid)
    } else {
        Err(-EAGAIN)
    }
}

/// The task of a number. Idle tasks have none.
pub fn find_task_by_pid(pid: i32) -> Option<TaskRef> {
    let _guard = tasklist_lock.lock();
    TasksLink::iter(&init_task.tasks).find(|task| task.pid.get() == pid)
}
