//! The kernel's halves of the system calls about scheduling: what they refuse, in which order, and what they
//! store. There are no user processes: kernel threads call them.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `SYSCALL_DEFINEn(sched_*)`, `nice`, `user_check_sched_setscheduler`,
//! `sched_copy_attr`. Kept: every check and error in Linux's order, sizes of `sched_attr` from other versions,
//! who may do what. Left out: -EFAULT for user pointers (there are none; a missing one is `None`), security
//! modules, cpusets, name spaces. Differs: a structure in user memory is a slice of bytes.
//! Locks: those of what they call.

use super::affinity::{sched_getaffinity, sched_setaffinity};
use super::params::{
    SCHED_FLAG_ALL, SCHED_FLAG_KEEP_PARAMS, SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_RESET_ON_FORK,
    SCHED_FLAG_UTIL_CLAMP, SETPARAM_POLICY, SchedAttr, SchedParam, dl_policy, fair_policy,
    idle_policy, rt_policy, sched_setattr, sched_setscheduler, set_user_nice, task_has_dl_policy,
    task_has_idle_policy, task_has_rt_policy, task_nice,
};
use super::schedule::do_sched_yield;
use crate::arch::x86::include::asm::current::current;
use crate::include::linux::cpumask::{Cpumask, nr_cpu_ids};
use crate::include::linux::cred::{
    CAP_SYS_NICE, RLIMIT_NICE, RLIMIT_RTPRIO, capable, task_rlimit, uid_eq,
};
use crate::include::linux::errno::{E2BIG, EFAULT, EINVAL, EPERM, ESRCH};
use crate::include::linux::jiffies::HZ;
use crate::include::linux::ktime::NSEC_PER_SEC;
use crate::include::linux::sched::prio::{MAX_NICE, MIN_NICE, NICE_WIDTH};
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::{
    SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RESET_ON_FORK,
    SCHED_RR, TaskRef,
};
use crate::kernel::pid::find_task_by_pid;
use crate::kernel::sched::deadline::params::__getparam_dl;
use crate::kernel::sched::sched::{RqFlags, task_rq_lock, task_rq_unlock};
use core::sync::atomic::Ordering;

/// Size of the first version of `sched_attr`.
pub const SCHED_ATTR_SIZE_VER0: usize = 48;
/// Size of the second, with bounds of utilisation: the kernel's.
pub const SCHED_ATTR_SIZE_VER1: usize = 56;
const PAGE_SIZE: usize = 4096;

/// The task of a number with a reference; 0 is the current one.
pub(crate) fn find_get_task(pid: i32) -> Option<TaskRef> {
    if pid == 0 {
        return Some(get_task_struct(current()));
    }
    find_task_by_pid(pid).map(get_task_struct)
}

/// Runs `f` on the task of a number; -ESRCH if there is none.
fn with_task(pid: i32, f: impl FnOnce(TaskRef) -> i32) -> i32 {
    let Some(p) = find_get_task(pid) else {
        return -ESRCH;
    };
    let ret = f(p);
    put_task_struct(p);
    ret
}

/// Whether the current task is of the same user as `p`.
pub(crate) fn check_same_owner(p: TaskRef) -> bool {
    let euid = current().cred.euid.get();
    uid_eq(euid, p.cred.euid.get()) || uid_eq(euid, p.cred.uid.get())
}

/// Whether a task may have this nice value by its limit, which counts from 1 (nice 19) to 40 (nice -20).
fn is_nice_reduction(p: TaskRef, nice: i32) -> bool {
    let nice_rlim = (MAX_NICE - nice + 1) as u64;
    nice_rlim <= task_rlimit(p, RLIMIT_NICE)
}

/// Whether the current task may give `p` this nice value.
pub(crate) fn can_nice(p: TaskRef, nice: i32) -> bool {
    is_nice_reduction(p, nice) || capable(CAP_SYS_NICE)
}

/// Whether the current task may do this to `p` without being privileged.
fn unprivileged_may(p: TaskRef, attr: &SchedAttr, policy: u32, reset_on_fork: bool) -> bool {
    if fair_policy(policy)
        && attr.sched_nice < task_nice(p)
        && !is_nice_reduction(p, attr.sched_nice)
    {
        return false;
    }
    if rt_policy(policy) {
        let rlim_rtprio = task_rlimit(p, RLIMIT_RTPRIO);
        // No real-time policy at all without a limit; and no priority above both limit and the present one.
        if policy != p.policy.get() && rlim_rtprio == 0 {
            return false;
        }
        if attr.sched_priority > p.rt_priority.get() && u64::from(attr.sched_priority) > rlim_rtprio
        {
            return false;
        }
    }
    // Deadline tasks come before everything else: there is no limit that would allow that.
    if dl_policy(policy) {
        return false;
    }
    // SCHED_IDLE is like a nice value of 20: leaving it takes what the nice value would take.
    if task_has_idle_policy(p) && !idle_policy(policy) && !is_nice_reduction(p, task_nice(p)) {
        return false;
    }
    check_same_owner(p) && (p.sched_reset_on_fork.get() == 0 || reset_on_fork)
}

/// Whether the current task may give `p` these parameters.
///
/// # Returns
/// 0 or -EPERM.
pub(super) fn user_check_sched_setscheduler(
    p: TaskRef,
    attr: &SchedAttr,
    policy: u32,
    reset_on_fork: bool,
) -> i32 {
    if unprivileged_may(p, attr, policy, reset_on_fork) || capable(CAP_SYS_NICE) {
        0
    } else {
        -EPERM
    }
}

fn do_sched_setscheduler(pid: i32, policy: i32, param: Option<&SchedParam>) -> i32 {
    let Some(param) = param.filter(|_| pid >= 0) else {
        return -EINVAL;
    };
    with_task(pid, |p| sched_setscheduler(p, policy, param))
}

/// `sched_setscheduler(2)`.
pub fn sys_sched_setscheduler(pid: i32, policy: i32, param: Option<&SchedParam>) -> i32 {
    if policy < 0 {
        return -EINVAL;
    }
    do_sched_setscheduler(pid, policy, param)
}

/// `sched_setparam(2)`.
pub fn sys_sched_setparam(pid: i32, param: Option<&SchedParam>) -> i32 {
    do_sched_setscheduler(pid, SETPARAM_POLICY, param)
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Reads a `sched_attr` of any version. One from a later version is fine as long as what we do not know is
/// zero; else our size is written into it.
fn sched_copy_attr(uattr: &mut [u8]) -> Result<SchedAttr, i32> {
    if uattr.len() < 4 {
        return Err(-EFAULT);
    }
    let size = match word32(uattr, 0) as usize {
        0 => SCHED_ATTR_SIZE_VER0,
        size => size,
    };
    let wrong_size = if !(SCHED_ATTR_SIZE_VER0..=PAGE_SIZE).contains(&size) {
        true
    } else if uattr.len() < size {
        return Err(-EFAULT);
    } else {
        size > SCHED_ATTR_SIZE_VER1
            && uattr[SCHED_ATTR_SIZE_VER1..size]
                .iter()
                .any(|&byte| byte != 0)
    };
    if wrong_size {
        uattr[..4].copy_from_slice(&(SCHED_ATTR_SIZE_VER1 as u32).to_le_bytes());
        return Err(-E2BIG);
    }
    let attr = SchedAttr {
        sched_policy: word32(uattr, 4) as i32,
        sched_flags: word64(uattr, 8),
        // Too large a value is as good as the largest.
        sched_nice: (word32(uattr, 16) as i32).clamp(MIN_NICE, MAX_NICE),
        sched_priority: word32(uattr, 20),
        sched_runtime: word64(uattr, 24),
        sched_deadline: word64(uattr, 32),
        sched_period: word64(uattr, 40),
    };
    if attr.sched_flags & SCHED_FLAG_UTIL_CLAMP != 0 && size < SCHED_ATTR_SIZE_VER1 {
        return Err(-EINVAL);
    }
    Ok(attr)
}

fn get_params(p: TaskRef, attr: &mut SchedAttr) {
    if task_has_dl_policy(p) {
        __getparam_dl(p, attr);
    } else if task_has_rt_policy(p) {
        attr.sched_priority = p.rt_priority.get();
    } else {
        attr.sched_nice = task_nice(p);
    }
}

/// `sched_setattr(2)`.
pub fn sys_sched_setattr(pid: i32, uattr: Option<&mut [u8]>, flags: u32) -> i32 {
    let Some(uattr) = uattr.filter(|_| pid >= 0 && flags == 0) else {
        return -EINVAL;
    };
    let mut attr = match sched_copy_attr(uattr) {
        Ok(attr) => attr,
        Err(error) => return error,
    };
    if attr.sched_policy < 0 {
        return -EINVAL;
    }
    if attr.sched_flags & SCHED_FLAG_KEEP_POLICY != 0 {
        attr.sched_policy = SETPARAM_POLICY;
    }
    with_task(pid, |p| {
        if attr.sched_flags & SCHED_FLAG_KEEP_PARAMS != 0 {
            get_params(p, &mut attr);
        }
        sched_setattr(p, &attr)
    })
}

/// `sched_getattr(2)`: `uattr` is as long as the caller says.
pub fn sys_sched_getattr(pid: i32, uattr: Option<&mut [u8]>, flags: u32) -> i32 {
    let fits = |uattr: &&mut [u8]| {
        pid >= 0 && flags == 0 && (SCHED_ATTR_SIZE_VER0..=PAGE_SIZE).contains(&uattr.len())
    };
    let Some(uattr) = uattr.filter(fits) else {
        return -EINVAL;
    };
    with_task(pid, |p| {
        let mut kattr = SchedAttr {
            sched_policy: p.policy.get() as i32,
            ..SchedAttr::default()
        };
        if p.sched_reset_on_fork.get() != 0 {
            kattr.sched_flags |= SCHED_FLAG_RESET_ON_FORK;
        }
        get_params(p, &mut kattr);
        kattr.sched_flags &= SCHED_FLAG_ALL;
        let size = uattr.len().min(SCHED_ATTR_SIZE_VER1);
        uattr[..size].fill(0);
        uattr[..4].copy_from_slice(&(size as u32).to_le_bytes());
        uattr[4..8].copy_from_slice(&kattr.sched_policy.to_le_bytes());
        uattr[8..16].copy_from_slice(&kattr.sched_flags.to_le_bytes());
        uattr[16..20].copy_from_slice(&kattr.sched_nice.to_le_bytes());
        uattr[20..24].copy_from_slice(&kattr.sched_priority.to_le_bytes());
        uattr[24..32].copy_from_slice(&kattr.sched_runtime.to_le_bytes());
        uattr[32..40].copy_from_slice(&kattr.sched_deadline.to_le_bytes());
        uattr[40..48].copy_from_slice(&kattr.sched_period.to_le_bytes());
        0
    })
}

/// `sched_getscheduler(2)`.
pub fn sys_sched_getscheduler(pid: i32) -> i32 {
    if pid < 0 {
        return -EINVAL;
    }
    with_task(pid, |p| {
        let reset = if p.sched_reset_on_fork.get() != 0 {
            SCHED_RESET_ON_FORK
        } else {
            0
        };
        (p.policy.get() | reset) as i32
    })
}

/// `sched_getparam(2)`.
pub fn sys_sched_getparam(pid: i32, param: Option<&mut SchedParam>) -> i32 {
    let Some(param) = param.filter(|_| pid >= 0) else {
        return -EINVAL;
    };
    with_task(pid, |p| {
        param.sched_priority = if task_has_rt_policy(p) {
            p.rt_priority.get()
        } else {
            0
        };
        0
    })
}

/// `sched_setaffinity(2)`: a short mask is filled up with zeroes, a long one cut. A negative number is that of
/// no task.
pub fn sys_sched_setaffinity(pid: i32, mask: &[u8]) -> i32 {
    let mut word = [0; 8];
    let len = mask.len().min(word.len());
    word[..len].copy_from_slice(&mask[..len]);
    let new_mask = Cpumask::from_bits(u64::from_le_bytes(word));
    with_task(pid, |p| sched_setaffinity(p, &new_mask))
}

/// `sched_getaffinity(2)`.
///
/// # Returns
/// How many bytes were written.
pub fn sys_sched_getaffinity(pid: i32, mask: &mut [u8]) -> i32 {
    let word = size_of::<u64>();
    if (mask.len() * 8) < nr_cpu_ids.load(Ordering::Relaxed) as usize
        || !mask.len().is_multiple_of(word)
    {
        return -EINVAL;
    }
    with_task(pid, |p| {
        let bytes = sched_getaffinity(p).as_u64().to_le_bytes();
        let len = mask.len().min(word);
        mask[..len].copy_from_slice(&bytes[..len]);
        len as i32
    })
}

/// `sched_yield(2)`.
pub fn sys_sched_yield() -> i32 {
    do_sched_yield();
    0
}

/// `sched_get_priority_max(2)`.
pub fn sys_sched_get_priority_max(policy: i32) -> i32 {
    priority_of(policy, 99)
}

/// `sched_get_priority_min(2)`.
pub fn sys_sched_get_priority_min(policy: i32) -> i32 {
    priority_of(policy, 1)
}

fn priority_of(policy: i32, real_time: i32) -> i32 {
    const NONE: [u32; 4] = [SCHED_DEADLINE, SCHED_NORMAL, SCHED_BATCH, SCHED_IDLE];
    match policy as u32 {
        SCHED_FIFO | SCHED_RR => real_time,
        other if NONE.contains(&other) => 0,
        _ => -EINVAL,
    }
}

/// `sched_rr_get_interval(2)`: the length of a task's turn in ns, a whole number of ticks.
pub fn sys_sched_rr_get_interval(pid: i32, interval: &mut u64) -> i32 {
    if pid < 0 {
        return -EINVAL;
    }
    with_task(pid, |p| {
        let mut rf = RqFlags::new();
        let rq = task_rq_lock(p, &mut rf);
        let ticks = p.class().get_rr_interval.map_or(0, |get| get(rq, p));
        task_rq_unlock(rq, p, &rf);
        *interval = u64::from(ticks) * (NSEC_PER_SEC as u64 / HZ);
        0
    })
}

/// `nice(2)`.
pub fn sys_nice(increment: i32) -> i32 {
    let increment = increment.clamp(-NICE_WIDTH, NICE_WIDTH);
    let nice = (task_nice(current()) + increment).clamp(MIN_NICE, MAX_NICE);
    if increment < 0 && !can_nice(current(), nice) {
        return -EPERM;
    }
    set_user_nice(current(), nice);
    0
}
