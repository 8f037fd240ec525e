//! Numbers of tasks. Linux: `kernel/pid.c` (v6.8).
//!
//! Kept: numbers rise from 1 to `pid_max` and then start again at 300; one that is taken is passed over, one that
//! was freed is not given again before the wrap; asking for a number; finding a task by its number. Left out:
//! name spaces. Differs: a look-up walks the list of tasks.
//! Locks: `pidmap_lock`, with interrupts off.

use crate::fence::shared::Shared;
use crate::include::linux::cpumask::num_possible_cpus;
use crate::include::linux::errno::{EAGAIN, EEXIST, EINVAL};
use crate::include::linux::sched::{TaskRef, TasksLink};
use crate::include::linux::spinlock::RawSpinlock;
use crate::init::init_task::init_task;
use crate::kernel::fork::tasklist_lock;
use crate::lib::idr::Ida;
use crate::pr_info;

/// One more than the highest number, unless there are many CPUs.
pub const PID_MAX_DEFAULT: i32 = 32768;
/// Numbers below this are not given twice.
const RESERVED_PIDS: i32 = 300;
/// Numbers there are at least, for each CPU.
const PIDS_PER_CPU_DEFAULT: i32 = 1024;
/// The least that may be asked for, for each CPU.
const PIDS_PER_CPU_MIN: i32 = 8;
/// Words of the bitmap: 1024 numbers for each of 64 CPUs.
const PIDMAP_WORDS: usize = 1024;

/// One more than the highest number.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static pid_max: Shared<i32> = Shared::new(PID_MAX_DEFAULT);
static pid_max_min: Shared<i32> = Shared::new(RESERVED_PIDS + 1);

static pidmap_lock: RawSpinlock = RawSpinlock::new();
static idr: Ida<PIDMAP_WORDS> = Ida::new();
/// The number given last.
static last_pid: Shared<i32> = Shared::new(0);

/// The limits, and the start-up message.
pub fn pid_idr_init() {
    let cpus = num_possible_cpus() as i32;
    pid_max.set(pid_max.get().max(PIDS_PER_CPU_DEFAULT * cpus));
    pid_max_min.set(pid_max_min.get().max(PIDS_PER_CPU_MIN * cpus));
    pr_info!(
        "pid_max: default: {} minimum: {}",
        pid_max.get(),
        pid_max_min.get()
    );
}

/// Sets the limit (`kernel.pid_max`).
///
/// # Returns
/// 0, or -EINVAL if it is out of range.
pub fn set_pid_max(max: i32) -> i32 {
    if !(pid_max_min.get()..=64 * PIDMAP_WORDS as i32).contains(&max) {
        return -EINVAL;
    }
    pid_max.set(max);
    0
}

/// The next number; or the one that is asked for.
pub fn alloc_pid(set_tid: i32) -> Result<i32, i32> {
    let _guard = pidmap_lock.lock_irqsave();
    let max = pid_max.get() as u32;
    if set_tid != 0 {
        if set_tid < 1 || set_tid as u32 >= max {
            return Err(-EINVAL);
        }
        return idr
            .alloc_range(set_tid as u32, set_tid as u32 + 1)
            .map(|id| id as i32)
            .ok_or(-EEXIST);
    }
    // Those that were there from the start are not given again, whoever has gone.
    let min = if last_pid.get() > RESERVED_PIDS {
        RESERVED_PIDS
    } else {
        1
    };
    let id = idr.alloc_cyclic(min as u32, max).ok_or(-EAGAIN)? as i32;
    last_pid.set(id);
    Ok(id)
}

/// The number may be given again, after all others.
pub fn free_pid(pid: i32) {
    if pid > 0 {
        let _guard = pidmap_lock.lock_irqsave();
        idr.free(pid as u32);
    }
}

/// The task of a number. Idle tasks have none.
pub fn find_task_by_pid(pid: i32) -> Option<TaskRef> {
    let _guard = tasklist_lock.lock();
    TasksLink::iter(&init_task.tasks).find(|task| task.pid.get() == pid)
}

/// The same: there is one name space.
pub fn find_task_by_vpid(vnr: i32) -> Option<TaskRef> {
    find_task_by_pid(vnr)
}
