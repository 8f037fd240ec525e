//! System calls that belong nowhere else: a task's nice value, given from outside.
//!
//! Linux: `kernel/sys.c` (v6.8): `setpriority`, `getpriority`. Kept: both for one task and for all tasks of a
//! user, their errors. Left out: process groups (kernel threads have none), all other calls of the file.
//! Differs: a kernel thread calls them.
//! Locks: those of `set_user_nice`.

use crate::arch::x86::include::asm::current::current;
use crate::include::linux::cred::{CAP_SYS_NICE, capable, uid_eq};
use crate::include::linux::errno::{EACCES, EINVAL, EPERM, ESRCH};
use crate::include::linux::sched::prio::{MAX_NICE, MIN_NICE};
use crate::include::linux::sched::task::put_task_struct;
use crate::include::linux::sched::{TaskRef, TasksLink};
use crate::init::init_task::init_task;
use crate::kernel::fork::tasklist_lock;
use crate::kernel::sched::core::params::{set_user_nice, task_nice};
use crate::kernel::sched::core::syscalls::{can_nice, find_get_task};

/// One task, by its number.
pub const PRIO_PROCESS: i32 = 0;
/// All tasks of a user.
pub const PRIO_USER: i32 = 2;

/// Whether the current task may change the nice value of `p` at all.
fn set_one_prio_perm(p: TaskRef) -> bool {
    let (cred, pcred) = (&current().cred, &p.cred);
    uid_eq(pcred.uid.get(), cred.euid.get())
        || uid_eq(pcred.euid.get(), cred.euid.get())
        || capable(CAP_SYS_NICE)
}

fn set_one_prio(p: TaskRef, niceval: i32, error: i32) -> i32 {
    if !set_one_prio_perm(p) {
        return -EPERM;
    }
    if niceval < task_nice(p) && !can_nice(p, niceval) {
        return -EACCES;
    }
    set_user_nice(p, niceval);
    // One that was found makes up for none found so far, but not for another's error.
    if error == -ESRCH { 0 } else { error }
}

/// `setpriority(2)`.
pub fn sys_setpriority(which: i32, who: i32, niceval: i32) -> i32 {
    let niceval = niceval.clamp(MIN_NICE, MAX_NICE);
    let mut error = -ESRCH;
    match which {
        PRIO_PROCESS => {
            if let Some(p) = find_get_task(who) {
                error = set_one_prio(p, niceval, error);
                put_task_struct(p);
            }
        }
        PRIO_USER => {
            let uid = user_of(who);
            let _guard = tasklist_lock.lock();
            for p in TasksLink::iter(&init_task.tasks) {
                if uid_eq(p.cred.uid.get(), uid) {
                    error = set_one_prio(p, niceval, error);
                }
            }
        }
        _ => return -EINVAL,
    }
    error
}

/// `getpriority(2)`: 20 - nice, from 1 to 40, so that it is no error; the best of several tasks.
pub fn sys_getpriority(which: i32, who: i32) -> i32 {
    let rlimit = |p: TaskRef| MAX_NICE - task_nice(p) + 1;
    match which {
        PRIO_PROCESS => find_get_task(who).map_or(-ESRCH, |p| {
            let nice = rlimit(p);
            put_task_struct(p);
            nice
        }),
        PRIO_USER => {
            let uid = user_of(who);
            let _guard = tasklist_lock.lock();
            TasksLink::iter(&init_task.tasks)
                .filter(|p| uid_eq(p.cred.uid.get(), uid))
                .map(rlimit)
                .max()
                .unwrap_or(-ESRCH)
        }
        _ => -EINVAL,
    }
}

/// The user of a number; 0 is the current task's.
fn user_of(who: i32) -> u32 {
    match who {
        0 => current().cred.uid.get(),
        who => who as u32,
    }
}
