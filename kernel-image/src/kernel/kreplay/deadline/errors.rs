//! What the scheduling system calls refuse, and in which order: by pid 1, as root, as root without its
//! capability, and as another user.

use super::{IDLE, PLAYERS, dismiss, enter, fail, task_of, times};
use crate::arch::x86::include::asm::current::current;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, cpu_possible_mask, num_active_cpus};
use crate::include::linux::cred::{CAP_FULL_SET, CAP_SYS_NICE, RLIMIT_NICE, RLIMIT_RTPRIO};
use crate::include::linux::errno::*;
use crate::include::linux::sched::task::CLONE_FS;
use crate::include::linux::sched::{
    SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RESET_ON_FORK,
    SCHED_RR,
};
use crate::kernel::fork::kernel_thread;
use crate::kernel::sched::core::params::{SCHED_FLAG_RESET_ON_FORK, SchedAttr, set_user_nice};
use crate::kernel::sched::core::syscalls::*;
use crate::kernel::sched::core::{
    SchedParam, sched_setaffinity, sched_setattr, sched_setattr_nocheck,
    sched_setscheduler_nocheck, set_cpus_allowed_ptr,
};
use crate::kernel::sched::sched::cpu_rq;
use crate::kernel::sys::{PRIO_PROCESS, PRIO_USER, sys_getpriority, sys_setpriority};
use crate::pr_info;
use core::sync::atomic::{AtomicU64, Ordering};

static CHECKS: AtomicU64 = AtomicU64::new(0);

fn check(what: &str, found: i32, right: i32) {
    if found != right {
        fail(format_args!("{what}: {found} is not {right}"));
    }
    CHECKS.fetch_add(1, Ordering::Relaxed);
}

/// A `sched_attr` as it lies in a caller's memory.
fn bytes(size: u32, attr: &SchedAttr) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..4].copy_from_slice(&size.to_le_bytes());
    bytes[4..8].copy_from_slice(&attr.sched_policy.to_le_bytes());
    bytes[8..16].copy_from_slice(&attr.sched_flags.to_le_bytes());
    bytes[16..20].copy_from_slice(&attr.sched_nice.to_le_bytes());
    bytes[20..24].copy_from_slice(&attr.sched_priority.to_le_bytes());
    bytes[24..32].copy_from_slice(&attr.sched_runtime.to_le_bytes());
    bytes[32..40].copy_from_slice(&attr.sched_deadline.to_le_bytes());
    bytes[40..48].copy_from_slice(&attr.sched_period.to_le_bytes());
    bytes
}

const NOBODY: i32 = 30_000;

fn param(sched_priority: u32) -> SchedParam {
    SchedParam { sched_priority }
}

pub(super) fn run() {
    let me = enter(0, &IDLE, 0, 0);
    let task = task_of(me);
    let pid = task.pid.get();
    set_scheduler(pid);
    set_attr(pid);
    affinity(pid);
    the_rest(pid);
    sched_setscheduler_nocheck(task, SCHED_NORMAL, &param(0));
    permissions(pid);
    sched_setscheduler_nocheck(task, SCHED_NORMAL, &param(0));
    deadlines(pid);
    dismiss(&PLAYERS[..1]);
    pr_info!(
        "deadline: {} answers of system calls checked",
        CHECKS.load(Ordering::Relaxed)
    );
}

fn set_scheduler(pid: i32) {
    let set = |pid, policy, priority| sys_sched_setscheduler(pid, policy, Some(&param(priority)));
    let fifo = SCHED_FIFO as i32;
    check("a negative policy", set(pid, -1, 0), -EINVAL);
    check("before a missing task", set(NOBODY, -1, 0), -EINVAL);
    check("a negative number", set(-1, fifo, 1), -EINVAL);
    check(
        "no parameter",
        sys_sched_setscheduler(pid, fifo, None),
        -EINVAL,
    );
    check("no task", set(NOBODY, fifo, 1), -ESRCH);
    check("no task before a wrong policy", set(NOBODY, 4, 1), -ESRCH);
    check("an unknown policy", set(pid, 4, 0), -EINVAL);
    check("FIFO 0", set(pid, fifo, 0), -EINVAL);
    check("FIFO 100", set(pid, fifo, 100), -EINVAL);
    check("BATCH 1", set(pid, SCHED_BATCH as i32, 1), -EINVAL);
    check(
        "deadline without times",
        set(pid, SCHED_DEADLINE as i32, 0),
        -EINVAL,
    );
    check("FIFO 1", set(pid, fifo, 1), 0);
    check(
        "set the parameter",
        sys_sched_setparam(pid, Some(&param(7))),
        0,
    );
    let mut found = param(0);
    check("get it", sys_sched_getparam(pid, Some(&mut found)), 0);
    check("what it is", found.sched_priority as i32, 7);
    check("get nothing", sys_sched_getparam(pid, None), -EINVAL);
    check(
        "a parameter out of range",
        sys_sched_setparam(pid, Some(&param(0))),
        -EINVAL,
    );
    check("the policy", sys_sched_getscheduler(pid), fifo);
    check("nobody's policy", sys_sched_getscheduler(NOBODY), -ESRCH);
    check(
        "a negative one's policy",
        sys_sched_getscheduler(-1),
        -EINVAL,
    );
    let reset = (SCHED_RR | SCHED_RESET_ON_FORK) as i32;
    check("with reset on fork", set(pid, reset, 3), 0);
    check("told with the policy", sys_sched_getscheduler(pid), reset);
    check("without", set(pid, SCHED_RR as i32, 3), 0);
}

fn set_attr(pid: i32) {
    let rr = SchedAttr {
        sched_policy: SCHED_RR as i32,
        sched_priority: 5,
        ..SchedAttr::default()
    };
    let set = |pid, bytes: &mut [u8]| sys_sched_setattr(pid, Some(bytes), 0);
    check(
        "flags",
        sys_sched_setattr(pid, Some(&mut bytes(48, &rr)), 1),
        -EINVAL,
    );
    check("no attributes", sys_sched_setattr(pid, None, 0), -EINVAL);
    check("a negative number", set(-1, &mut bytes(48, &rr)), -EINVAL);
    check("a size of 0", set(pid, &mut bytes(0, &rr)), 0);
    let mut small = bytes(47, &rr);
    check("too small", set(pid, &mut small), -E2BIG);
    check("the right size is told", i32::from(small[0]), 56);
    check("too large", set(pid, &mut bytes(4097, &rr)), -E2BIG);
    check(
        "a later version with zeroes",
        set(pid, &mut bytes(64, &rr)),
        0,
    );
    let mut later = bytes(64, &rr);
    later[60] = 1;
    check("a later version with more", set(pid, &mut later), -E2BIG);
    check("no task", set(NOBODY, &mut bytes(48, &rr)), -ESRCH);
    check(
        "the size before the task",
        set(NOBODY, &mut bytes(40, &rr)),
        -E2BIG,
    );
    let with = |sched_flags| bytes(48, &SchedAttr { sched_flags, ..rr });
    check("bounds in the old size", set(pid, &mut with(0x20)), -EINVAL);
    let mut clamp = with(0x20);
    clamp[0] = 56;
    check("bounds", set(pid, &mut clamp), -EOPNOTSUPP);
    check("an unknown flag", set(pid, &mut with(1 << 30)), -EINVAL);
    check("a flag of nobody", set(pid, &mut with(0x80)), -EINVAL);
    // The policy is kept, the priority not.
    let keep = SchedAttr {
        sched_policy: SCHED_NORMAL as i32,
        sched_flags: 0x08,
        ..rr
    };
    check("keep the policy", set(pid, &mut bytes(48, &keep)), 0);
    check("it is kept", sys_sched_getscheduler(pid), SCHED_RR as i32);
    let negative = SchedAttr {
        sched_policy: -1,
        ..rr
    };
    check(
        "a negative policy",
        set(pid, &mut bytes(48, &negative)),
        -EINVAL,
    );
    let mut found = [0; 56];
    check("get", sys_sched_getattr(pid, Some(&mut found), 0), 0);
    check("its size", i32::from(found[0]), 56);
    check("its policy", i32::from(found[4]), SCHED_RR as i32);
    check("its priority", i32::from(found[20]), 5);
    check(
        "get with flags",
        sys_sched_getattr(pid, Some(&mut found), 1),
        -EINVAL,
    );
    check(
        "get too little",
        sys_sched_getattr(pid, Some(&mut found[..47]), 0),
        -EINVAL,
    );
    check(
        "get nobody",
        sys_sched_getattr(NOBODY, Some(&mut found), 0),
        -ESRCH,
    );
    let nice = SchedAttr {
        sched_nice: -100,
        ..SchedAttr::default()
    };
    check(
        "a nice value out of range",
        set(pid, &mut bytes(48, &nice)),
        0,
    );
    check("is the lowest", sys_getpriority(PRIO_PROCESS, pid), 40);
}

fn affinity(pid: i32) {
    let task = task_of(&PLAYERS[0]);
    check("nobody's mask", sys_sched_setaffinity(NOBODY, &[1]), -ESRCH);
    check("a negative one's", sys_sched_setaffinity(-1, &[1]), -ESRCH);
    check("no CPU", sys_sched_setaffinity(pid, &[0]), -EINVAL);
    check("one byte", sys_sched_setaffinity(pid, &[1]), 0);
    let mut mask = [0; 16];
    check("get", sys_sched_getaffinity(pid, &mut mask), 8);
    check("CPU 0", i32::from(mask[0]), 1);
    check(
        "half a word",
        sys_sched_getaffinity(pid, &mut mask[..4]),
        -EINVAL,
    );
    check(
        "get nobody's",
        sys_sched_getaffinity(NOBODY, &mut mask),
        -ESRCH,
    );
    let all = cpu_possible_mask();
    if let Some(stop) = cpu_rq(0).stop.get() {
        // Bound for good, and that comes before whose it is.
        unprivileged(1000, || {
            check("a fixed mask", sched_setaffinity(stop, &all), -EINVAL);
        });
    }
    check("back to all", sched_setaffinity(task, &all), 0);
}

fn the_rest(pid: i32) {
    for (policy, max, min) in [
        (SCHED_FIFO, 99, 1),
        (SCHED_RR, 99, 1),
        (SCHED_NORMAL, 0, 0),
        (SCHED_BATCH, 0, 0),
        (SCHED_IDLE, 0, 0),
        (SCHED_DEADLINE, 0, 0),
        (4, -EINVAL, -EINVAL),
    ] {
        check(
            "highest priority",
            sys_sched_get_priority_max(policy as i32),
            max,
        );
        check(
            "lowest priority",
            sys_sched_get_priority_min(policy as i32),
            min,
        );
    }
    let task = task_of(&PLAYERS[0]);
    let mut turn = 0;
    let mut interval = |policy: u32, priority, right: u64| {
        sched_setscheduler_nocheck(task, policy, &param(priority));
        check("interval", sys_sched_rr_get_interval(pid, &mut turn), 0);
        check("its length", (turn / 1000) as i32, (right / 1000) as i32);
    };
    interval(SCHED_RR, 1, 100_000_000);
    interval(SCHED_FIFO, 1, 0);
    interval(SCHED_NORMAL, 0, 0);
    check(
        "nobody's",
        sys_sched_rr_get_interval(NOBODY, &mut turn),
        -ESRCH,
    );
    check(
        "a negative one's",
        sys_sched_rr_get_interval(-1, &mut turn),
        -EINVAL,
    );
    check("yield", sys_sched_yield(), 0);
    check("which", sys_setpriority(3, pid, 0), -EINVAL);
    check("nobody", sys_setpriority(PRIO_PROCESS, NOBODY, 0), -ESRCH);
    check("nice 3", sys_setpriority(PRIO_PROCESS, pid, 3), 0);
    check("nice 3 is 17", sys_getpriority(PRIO_PROCESS, pid), 17);
    check("no such user", sys_setpriority(PRIO_USER, 4711, 3), -ESRCH);
}

/// Gives up the capability and becomes another user for as long as `f` takes.
fn unprivileged(euid: u32, f: impl FnOnce()) {
    let cred = &current().cred;
    cred.cap_effective.set(CAP_FULL_SET & !(1 << CAP_SYS_NICE));
    cred.euid.set(euid);
    f();
    cred.euid.set(0);
    cred.cap_effective.set(CAP_FULL_SET);
}

fn permissions(pid: i32) {
    let task = task_of(&PLAYERS[0]);
    let fifo = SCHED_FIFO as i32;
    let set = |policy: i32, priority| sys_sched_setscheduler(pid, policy, Some(&param(priority)));
    set_user_nice(task, 5);
    unprivileged(0, || {
        check("real time without a limit", set(fifo, 1), -EPERM);
        check("wrong before forbidden", set(fifo, 0), -EINVAL);
        check(
            "a better nice value",
            sys_setpriority(PRIO_PROCESS, pid, 0),
            -EACCES,
        );
        check(
            "a worse nice value",
            sys_setpriority(PRIO_PROCESS, pid, 6),
            0,
        );
        check("nice itself", sys_nice(-1), -EPERM);
        check(
            "deadlines",
            sched_setattr(task, &times(10, 100, 100)),
            -EPERM,
        );
        check("its own mask", sched_setaffinity(task, &Cpumask::of(0)), 0);
        check("all CPUs", sched_setaffinity(task, &cpu_possible_mask()), 0);
        check("idle", set(SCHED_IDLE as i32, 0), 0);
        check("back from idle", set(SCHED_NORMAL as i32, 0), -EPERM);
    });
    task.rlim[RLIMIT_NICE].set(20);
    task.rlim[RLIMIT_RTPRIO].set(10);
    unprivileged(0, || {
        check(
            "back from idle, with a limit",
            set(SCHED_NORMAL as i32, 0),
            0,
        );
        check(
            "nice 0 with a limit",
            sys_setpriority(PRIO_PROCESS, pid, 0),
            0,
        );
        check(
            "nice -1 beyond it",
            sys_setpriority(PRIO_PROCESS, pid, -1),
            -EACCES,
        );
        check("FIFO within the limit", set(fifo, 10), 0);
        check("FIFO beyond", set(fifo, 11), -EPERM);
    });
    sched_setscheduler_nocheck(task, SCHED_NORMAL | SCHED_RESET_ON_FORK, &param(0));
    unprivileged(0, || {
        check("reset on fork stays", set(SCHED_NORMAL as i32, 0), -EPERM);
    });
    unprivileged(1000, || {
        check("another user's policy", set(SCHED_BATCH as i32, 0), -EPERM);
        check(
            "another user's mask",
            sched_setaffinity(task, &Cpumask::of(0)),
            -EPERM,
        );
        check(
            "another user's nice",
            sys_setpriority(PRIO_PROCESS, pid, 9),
            -EPERM,
        );
    });
    task.cred.uid.set(1000);
    unprivileged(1000, || {
        check(
            "its user's mask",
            sched_setaffinity(task, &cpu_possible_mask()),
            0,
        );
        check("its user's nice", sys_setpriority(PRIO_USER, 1000, 9), 0);
    });
    task.cred.uid.set(0);
    task.rlim[RLIMIT_NICE].set(0);
    task.rlim[RLIMIT_RTPRIO].set(0);
}

extern "C" fn nothing(_: VoidPtr) -> i32 {
    0
}

fn deadlines(pid: i32) {
    let task = task_of(&PLAYERS[0]);
    let set = |runtime: u64, deadline: u64, period: u64| {
        sched_setattr(
            task,
            &SchedAttr {
                sched_policy: SCHED_DEADLINE as i32,
                sched_runtime: runtime,
                sched_deadline: deadline,
                sched_period: period,
                ..SchedAttr::default()
            },
        )
    };
    check("too short to count", set(1023, 1_000_000, 0), -EINVAL);
    check(
        "more than the deadline",
        set(2_000_000, 1_000_000, 0),
        -EINVAL,
    );
    check(
        "a deadline after the period",
        set(1_000_000, 3_000_000, 2_000_000),
        -EINVAL,
    );
    check("too short a period", set(10_000, 99_999, 0), -EINVAL);
    check("too long a period", set(10_000, 5_000_000_000, 0), -EINVAL);
    check("the top bit", set(10_000, 1 << 63, 0), -EINVAL);
    if num_active_cpus() > 1 {
        set_cpus_allowed_ptr(task, &Cpumask::of(0));
        check("bound to a CPU", set(10_000_000, 100_000_000, 0), -EPERM);
        set_cpus_allowed_ptr(task, &cpu_possible_mask());
    }
    check("a whole CPU and more", set(96_000_000, 100_000_000, 0), {
        if num_active_cpus() > 1 { 0 } else { -EBUSY }
    });
    check("10 of 100 ms", set(10_000_000, 100_000_000, 0), 0);
    check("again", set(10_000_000, 100_000_000, 0), 0);
    check(
        "the policy",
        sys_sched_getscheduler(pid),
        SCHED_DEADLINE as i32,
    );
    check("the prio", task.prio.get(), -1);
    if num_active_cpus() > 1 {
        check("to a CPU", sched_setaffinity(task, &Cpumask::of(0)), -EBUSY);
        check("to all", sched_setaffinity(task, &cpu_possible_mask()), 0);
    }
    let me = current();
    let attr = times(10, 100, 100);
    check("a deadline for the director", sched_setattr(me, &attr), 0);
    check(
        "no children",
        kernel_thread(nothing, VoidPtr::NULL, None, CLONE_FS),
        -EAGAIN,
    );
    let reset = SchedAttr {
        sched_flags: SCHED_FLAG_RESET_ON_FORK,
        ..attr
    };
    check(
        "but with reset on fork",
        sched_setattr_nocheck(me, &reset),
        0,
    );
    let child = kernel_thread(nothing, VoidPtr::NULL, None, CLONE_FS);
    check("a child", i32::from(child > 0), 1);
    check(
        "back",
        sched_setscheduler_nocheck(me, SCHED_FIFO, &param(50)),
        0,
    );
}
