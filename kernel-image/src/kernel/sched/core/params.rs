//! What a task is worth: weights, nice, and the stop task's place above all.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `sched_prio_to_weight`, `set_load_weight`, `set_user_nice`,
//! `__sched_setscheduler`, `sched_setattr` and its relatives, `sched_set_stop_task`. Kept: the tables, the
//! checks in their order, the dequeue-change-enqueue around a change, who goes to the head of a list.
//! Left out: uclamp (-EOPNOTSUPP, as Linux built without), priority inheritance, security modules, cpusets.
//! Differs: nothing else. The system calls' kernel halves are in `syscalls`.
//! Locks: `pi_lock` and the runqueue's lock.

use super::balance_callback::{balance_callbacks, splice_balance_callbacks};
use super::queue::{dequeue_task, enqueue_task};
use super::schedule::{put_prev_task, set_next_task};
use super::syscalls::user_check_sched_setscheduler;
use crate::WARN_ON_ONCE;
use crate::include::linux::errno::{EBUSY, EINVAL, EOPNOTSUPP, EPERM};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::sched::deadline::dl_task;
use crate::include::linux::sched::prio::{
    DEFAULT_PRIO, MAX_DL_PRIO, MAX_NICE, MAX_RT_PRIO, MIN_NICE, NICE_TO_PRIO, NICE_WIDTH,
    PRIO_TO_NICE, dl_prio, rt_prio,
};
use crate::include::linux::sched::{
    SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RESET_ON_FORK,
    SCHED_RR, TaskRef, same_task,
};
use crate::kernel::sched::deadline::bandwidth::dl_bandwidth_enabled;
use crate::kernel::sched::deadline::dl_sched_class;
use crate::kernel::sched::deadline::params::{
    __checkparam_dl, __setparam_dl, dl_param_changed, sched_dl_overflow,
};
use crate::kernel::sched::fair::{fair_sched_class, reweight_task};
use crate::kernel::sched::rt::rt_sched_class;
use crate::kernel::sched::sched::{
    DEQUEUE_MOVE, DEQUEUE_NOCLOCK, DEQUEUE_SAVE, ENQUEUE_HEAD, ENQUEUE_NOCLOCK, ENQUEUE_RESTORE,
    RqFlags, RqRef, SchedClass, WEIGHT_IDLEPRIO, WMULT_IDLEPRIO, cpu_rq, same_class, scale_load,
    task_current, task_on_rq_queued, task_rq_lock, task_rq_unlock, update_rq_clock,
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

/// What a task is to be scheduled by.
#[doc(alias = "sched_attr")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedAttr {
    /// `SCHED_*`; negative: the one it has.
    pub sched_policy: i32,
    /// `SCHED_FLAG_*`.
    pub sched_flags: u64,
    /// For the fair policies.
    pub sched_nice: i32,
    /// For the real-time policies: 1 to 99, 99 the highest; 0 for all others.
    pub sched_priority: u32,
    /// For SCHED_DEADLINE: run time per period, ns.
    pub sched_runtime: u64,
    /// For SCHED_DEADLINE: when it must have been given, ns after the period's begin.
    pub sched_deadline: u64,
    /// For SCHED_DEADLINE: the period, ns; 0: the deadline.
    pub sched_period: u64,
}

/// The parameter of the older calls.
#[doc(alias = "sched_param")]
#[derive(Clone, Copy, Debug, Default)]
pub struct SchedParam {
    /// As `SchedAttr::sched_priority`.
    pub sched_priority: u32,
}

/// Children start with an ordinary policy.
pub const SCHED_FLAG_RESET_ON_FORK: u64 = 0x01;
/// A deadline task may use what others leave.
pub const SCHED_FLAG_RECLAIM: u64 = 0x02;
/// It wants to be told when it has overrun its run time.
pub const SCHED_FLAG_DL_OVERRUN: u64 = 0x04;
/// Keep the policy.
pub const SCHED_FLAG_KEEP_POLICY: u64 = 0x08;
/// Keep nice, priority and times.
pub const SCHED_FLAG_KEEP_PARAMS: u64 = 0x10;
/// Bounds of utilisation: not built in.
pub const SCHED_FLAG_UTIL_CLAMP: u64 = 0x60;
/// All flags there are.
pub const SCHED_FLAG_ALL: u64 = 0x7f;

/// A policy of the fair class.
pub fn fair_policy(policy: u32) -> bool {
    matches!(policy, SCHED_NORMAL | SCHED_BATCH)
}

/// The policy of tasks that run when nothing else does: of the fair class too.
pub fn idle_policy(policy: u32) -> bool {
    policy == SCHED_IDLE
}

/// A policy of the real-time class.
pub fn rt_policy(policy: u32) -> bool {
    matches!(policy, SCHED_FIFO | SCHED_RR)
}

/// The policy of the deadline class.
pub fn dl_policy(policy: u32) -> bool {
    policy == SCHED_DEADLINE
}

fn valid_policy(policy: u32) -> bool {
    idle_policy(policy) || fair_policy(policy) || rt_policy(policy) || dl_policy(policy)
}

/// Whether a task runs when nothing else does.
pub fn task_has_idle_policy(p: TaskRef) -> bool {
    idle_policy(p.policy.get())
}

/// Whether a task has a policy of the real-time class.
pub fn task_has_rt_policy(p: TaskRef) -> bool {
    rt_policy(p.policy.get())
}

/// Whether a task has that of the deadline class.
pub fn task_has_dl_policy(p: TaskRef) -> bool {
    dl_policy(p.policy.get())
}

/// The kernel's priority of a policy with its parameters.
fn __normal_prio(policy: u32, rt_prio: u32, nice: i32) -> i32 {
    if dl_policy(policy) {
        MAX_DL_PRIO - 1
    } else if rt_policy(policy) {
        MAX_RT_PRIO - 1 - rt_prio as i32
    } else {
        NICE_TO_PRIO(nice)
    }
}

fn __setscheduler_params(p: TaskRef, policy: u32, attr: &SchedAttr) {
    p.policy.set(policy);
    if dl_policy(policy) {
        __setparam_dl(p, attr);
    } else if fair_policy(policy) {
        p.static_prio.set(NICE_TO_PRIO(attr.sched_nice));
    }
    // Zero for all but the real-time policies: the checks see to it.
    p.rt_priority.set(attr.sched_priority);
    p.normal_prio.set(__normal_prio(
        policy,
        attr.sched_priority,
        PRIO_TO_NICE(p.static_prio.get()),
    ));
    set_load_weight(p, true);
}

fn __setscheduler_prio(p: TaskRef, prio: i32) {
    p.sched_class.set(Some(if dl_prio(prio) {
        &dl_sched_class
    } else if rt_prio(prio) {
        &rt_sched_class
    } else {
        &fair_sched_class
    }));
    p.prio.set(prio);
}

/// Tells the class that a task has come to it, or that its priority changed.
fn check_class_changed(rq: RqRef, p: TaskRef, prev_class: &SchedClass, oldprio: i32) {
    if !same_class(prev_class, p.class()) {
        if let Some(switched_from) = prev_class.switched_from {
            switched_from(rq, p);
        }
        (p.class().switched_to)(rq, p);
    } else if oldprio != p.prio.get() || dl_task(p) {
        (p.class().prio_changed)(rq, p, oldprio);
    }
}

/// What can be refused without looking at the task.
fn check_attr(policy: u32, attr: &SchedAttr) -> Result<(), i32> {
    if !valid_policy(policy) || attr.sched_flags & !SCHED_FLAG_ALL != 0 {
        return Err(-EINVAL);
    }
    if attr.sched_priority > MAX_RT_PRIO as u32 - 1 {
        return Err(-EINVAL);
    }
    if dl_policy(policy) && !__checkparam_dl(attr)
        || rt_policy(policy) != (attr.sched_priority != 0)
    {
        return Err(-EINVAL);
    }
    Ok(())
}

/// Whether the task already is what is asked for.
fn unchanged(p: TaskRef, policy: u32, attr: &SchedAttr) -> bool {
    policy == p.policy.get()
        && !(fair_policy(policy) && attr.sched_nice != task_nice(p))
        && !(rt_policy(policy) && attr.sched_priority != p.rt_priority.get())
        && !(dl_policy(policy) && dl_param_changed(p, attr))
}

/// Whether the task may use its whole root domain: a user's deadline task must, because admission is for
/// all of it.
fn may_have_deadlines(rq: RqRef, p: TaskRef) -> bool {
    let rd = rq.rd();
    rd.span.get().subset(p.allowed()) && rd.dl_bw.bw.get() != 0
}

/// Gives a task a policy and its parameters. `user`: on behalf of the current task, which must be allowed to.
///
/// # Returns
/// 0; -EINVAL for an unknown policy or flag, a priority out of range, a real-time policy without a
/// priority or another one with it, impossible times, and for a stop task; -EPERM if the current task must
/// not, or if a deadline task could not use its whole root domain; -EOPNOTSUPP for bounds of utilisation;
/// -EBUSY if its deadlines could not be promised.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn __sched_setscheduler(p: TaskRef, attr: &SchedAttr, user: bool) -> i32 {
    // Whoever keeps the policy must find it unchanged once the task is locked.
    let mut kept = None;
    loop {
        let (policy, reset_on_fork) = if attr.sched_policy < 0 {
            let policy = p.policy.get();
            kept = Some(policy);
            (policy, p.sched_reset_on_fork.get())
        } else {
            let reset = attr.sched_flags & SCHED_FLAG_RESET_ON_FORK != 0;
            (attr.sched_policy as u32, u32::from(reset))
        };
        if let Err(error) = check_attr(policy, attr) {
            return error;
        }
        if user {
            let error = user_check_sched_setscheduler(p, attr, policy, reset_on_fork != 0);
            if error != 0 {
                return error;
            }
        }
        if attr.sched_flags & SCHED_FLAG_UTIL_CLAMP != 0 {
            return -EOPNOTSUPP;
        }
        let mut rf = RqFlags::new();
        let rq = task_rq_lock(p, &mut rf);
        update_rq_clock(rq);
        let ret = if rq.stop.get().is_some_and(|stop| same_task(stop, p)) {
            Some(-EINVAL)
        } else if unchanged(p, policy, attr) {
            p.sched_reset_on_fork.set(reset_on_fork);
            Some(0)
        } else if user && dl_bandwidth_enabled() && dl_policy(policy) && !may_have_deadlines(rq, p)
        {
            Some(-EPERM)
        } else if kept.is_some_and(|kept| kept != p.policy.get()) {
            None
        } else if (dl_policy(policy) || dl_task(p)) && sched_dl_overflow(p, policy, attr) != 0 {
            Some(-EBUSY)
        } else {
            p.sched_reset_on_fork.set(reset_on_fork);
            change_params(rq, p, policy, attr);
            Some(0)
        };
        // With the task's lock released, so that a push or pull can take others.
        let callbacks = splice_balance_callbacks(rq);
        preempt_disable();
        task_rq_unlock(rq, p, &rf);
        balance_callbacks(rq, callbacks);
        preempt_enable();
        if let Some(ret) = ret {
            return ret;
        }
    }
}

/// Takes the task out, changes it, and puts it back. Both locks are held.
fn change_params(rq: RqRef, p: TaskRef, policy: u32, attr: &SchedAttr) {
    let oldprio = p.prio.get();
    let newprio = __normal_prio(policy, attr.sched_priority, attr.sched_nice);
    let mut queue_flags = DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK;
    if newprio == oldprio {
        queue_flags &= !DEQUEUE_MOVE;
    }
    let queued = task_on_rq_queued(p);
    let running = task_current(rq, p);
    if queued {
        dequeue_task(rq, p, queue_flags);
    }
    if running {
        put_prev_task(rq, p);
    }
    let prev_class = p.class();
    if attr.sched_flags & SCHED_FLAG_KEEP_PARAMS == 0 {
        __setscheduler_params(p, policy, attr);
        __setscheduler_prio(p, newprio);
    }
    if queued {
        // Who has become less important is the first among its new equals, not the last.
        if oldprio < p.prio.get() {
            queue_flags |= ENQUEUE_HEAD;
        }
        enqueue_task(rq, p, queue_flags);
    }
    if running {
        set_next_task(rq, p);
    }
    check_class_changed(rq, p, prev_class, oldprio);
}

fn __sched_setattr(p: TaskRef, attr: &SchedAttr, user: bool) -> i32 {
    __sched_setscheduler(p, attr, user)
}

/// Gives a task a policy and its parameters, if the current task may do that.
///
/// # Returns
/// As `__sched_setscheduler`.
pub fn sched_setattr(p: TaskRef, attr: &SchedAttr) -> i32 {
    __sched_setattr(p, attr, true)
}

/// The same without asking who does it.
///
/// # Returns
/// As `__sched_setscheduler`.
pub fn sched_setattr_nocheck(p: TaskRef, attr: &SchedAttr) -> i32 {
    __sched_setattr(p, attr, false)
}

/// The policy of whoever asks to keep it.
pub const SETPARAM_POLICY: i32 = -1;

fn _sched_setscheduler(p: TaskRef, policy: i32, param: &SchedParam, user: bool) -> i32 {
    let mut attr = SchedAttr {
        sched_policy: policy,
        sched_nice: PRIO_TO_NICE(p.static_prio.get()),
        sched_priority: param.sched_priority,
        ..SchedAttr::default()
    };
    if policy != SETPARAM_POLICY && policy as u32 & SCHED_RESET_ON_FORK != 0 {
        attr.sched_flags |= SCHED_FLAG_RESET_ON_FORK;
        attr.sched_policy = (policy as u32 & !SCHED_RESET_ON_FORK) as i32;
    }
    __sched_setscheduler(p, &attr, user)
}

/// Gives a task a policy and a priority, if the current task may do that; its nice value stays.
///
/// # Returns
/// As `__sched_setscheduler`.
pub fn sched_setscheduler(p: TaskRef, policy: i32, param: &SchedParam) -> i32 {
    _sched_setscheduler(p, policy, param, true)
}

/// The same without asking who does it.
///
/// # Returns
/// As `__sched_setscheduler`.
pub fn sched_setscheduler_nocheck(p: TaskRef, policy: u32, param: &SchedParam) -> i32 {
    _sched_setscheduler(p, policy as i32, param, false)
}

/// Makes a task SCHED_FIFO in the middle of the range: what a driver's thread should ask for.
pub fn sched_set_fifo(p: TaskRef) {
    let param = SchedParam {
        sched_priority: MAX_RT_PRIO as u32 / 2,
    };
    WARN_ON_ONCE!(sched_setscheduler_nocheck(p, SCHED_FIFO, &param) != 0);
}

/// Makes a task SCHED_FIFO just above the ordinary ones.
pub fn sched_set_fifo_low(p: TaskRef) {
    let param = SchedParam { sched_priority: 1 };
    WARN_ON_ONCE!(sched_setscheduler_nocheck(p, SCHED_FIFO, &param) != 0);
}

/// Makes a task an ordinary one.
pub fn sched_set_normal(p: TaskRef, nice: i32) {
    let attr = SchedAttr {
        sched_policy: SCHED_NORMAL as i32,
        sched_nice: nice,
        ..SchedAttr::default()
    };
    WARN_ON_ONCE!(sched_setattr_nocheck(p, &attr) != 0);
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
    let param = SchedParam {
        sched_priority: MAX_RT_PRIO as u32 - 1,
    };
    WARN_ON_ONCE!(sched_setscheduler_nocheck(stop, SCHED_FIFO, &param) != 0);
    // It is in no queue, so no class has to hear of it.
    stop.sched_class.set(Some(&stop_sched_class));
    rq.stop.set(Some(stop));
    if let Some(old_stop) = old_stop {
        old_stop.sched_class.set(Some(&rt_sched_class));
    }
}

const _: () = assert!(sched_prio_to_weight[(DEFAULT_PRIO - MAX_RT_PRIO) as usize] == 1024);
