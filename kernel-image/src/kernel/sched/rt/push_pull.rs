//! Real-time tasks between CPUs: where one wakes, who is pushed, who is pulled.
//!
//! Linux: `kernel/sched/rt.c` (v6.8): `select_task_rq_rt`, `find_lowest_rq`, `push_rt_task`, `pull_rt_task`,
//! the `RT_PUSH_IPI` walk, `task_woken_rt`. Kept: all of it, both ways of pulling, near CPUs first.
//! Left out: capacities.
//! Differs: nothing else.
//! Locks: the runqueue's lock; a push or pull takes another runqueue's beside it and may release its own
//! meanwhile, so it is only done where that is allowed (balance callbacks, after a wake-up, `balance_rt`).

use crate::fence::percpu::PerCpu;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{NR_CPUS, nr_cpu_ids};
use crate::include::linux::irq_work::{IrqWork, irq_work_queue_on};
use crate::include::linux::plist::{
    PlistNodeLink, plist_add, plist_del, plist_first, plist_head_empty, plist_node_init,
};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::sched::prio::MAX_RT_PRIO;
use crate::include::linux::sched::rt::rt_task;
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::{
    PushableTasksLink, TaskRef, same_task, smp_mb, task_cpu, test_tsk_need_resched,
};
use crate::include::linux::spinlock::{raw_spin_lock, raw_spin_unlock};
use crate::include::linux::stop_machine::stop_one_cpu_nowait;
use crate::kernel::kreplay::counters::{count, kreplay_counters};
use crate::kernel::sched::core::push::{get_push_task, push_cpu_stop};
use crate::kernel::sched::core::{activate_task, deactivate_task, resched_curr, set_task_cpu};
use crate::kernel::sched::cpupri::cpupri_find;
use crate::kernel::sched::features::{SchedFeat, sched_feat};
use crate::kernel::sched::rt::rt_sched_class;
use crate::kernel::sched::sched::{
    BalanceCallback, RdRef, RootDomain, RqRef, WF_FORK, WF_TTWU, cpu_of, cpu_rq,
    double_lock_balance, double_unlock_balance, is_migration_disabled, queue_balance_callback,
    raw_spin_rq_lock, raw_spin_rq_unlock, same_class, same_rq, task_on_cpu, task_on_rq_queued,
    task_rq, this_rq,
};
use crate::kernel::sched::topology::{nearest_cpu, sched_get_rd, sched_put_rd};
use crate::{WARN_ON_ONCE, container_of};
use core::sync::atomic::Ordering;

/// How often a push looks for a CPU that stays as good as it looked.
const RT_MAX_TRIES: u32 = 3;

static rt_push_head: PerCpu<BalanceCallback> =
    PerCpu::new([const { BalanceCallback::new() }; NR_CPUS]);
static rt_pull_head: PerCpu<BalanceCallback> =
    PerCpu::new([const { BalanceCallback::new() }; NR_CPUS]);

fn rt_overloaded(rq: RqRef) -> i32 {
    rq.rd().rto_count.load(Ordering::Relaxed)
}

/// The CPU has tasks to push.
pub(super) fn rt_set_overload(rq: RqRef) {
    if rq.online.get() == 0 {
        return;
    }
    rq.rd().rto_mask.set_cpu(cpu_of(rq));
    // The mask before the count: who sees the count finds the CPU.
    smp_mb();
    rq.rd().rto_count.fetch_add(1, Ordering::SeqCst);
}

/// It has none left.
pub(super) fn rt_clear_overload(rq: RqRef) {
    if rq.online.get() == 0 {
        return;
    }
    rq.rd().rto_count.fetch_sub(1, Ordering::SeqCst);
    rq.rd().rto_mask.clear_cpu(cpu_of(rq));
}

fn has_pushable_tasks(rq: RqRef) -> bool {
    !plist_head_empty(&rq.rt.pushable_tasks)
}

/// The task waits here and could run elsewhere.
pub(super) fn enqueue_pushable_task(rq: RqRef, p: TaskRef) {
    plist_del(&p.pushable_tasks, &rq.rt.pushable_tasks);
    plist_node_init(&p.pushable_tasks, p.prio.get());
    plist_add(&p.pushable_tasks, &rq.rt.pushable_tasks);
    let next = &rq.rt.highest_prio.next;
    if p.prio.get() < next.get() {
        next.set(p.prio.get());
    }
    if rq.rt.overloaded.get() == 0 {
        rt_set_overload(rq);
        rq.rt.overloaded.set(1);
    }
}

/// It does not any more.
pub(super) fn dequeue_pushable_task(rq: RqRef, p: TaskRef) {
    plist_del(&p.pushable_tasks, &rq.rt.pushable_tasks);
    match plist_first(&rq.rt.pushable_tasks) {
        Some(first) => rq.rt.highest_prio.next.set(first.prio.get()),
        None => {
            rq.rt.highest_prio.next.set(MAX_RT_PRIO - 1);
            if rq.rt.overloaded.get() != 0 {
                rt_clear_overload(rq);
                rq.rt.overloaded.set(0);
            }
        }
    }
}

/// Pushes what can be pushed, once the lock may be released.
pub(super) fn rt_queue_push_tasks(rq: RqRef) {
    if has_pushable_tasks(rq) {
        queue_balance_callback(rq, rt_push_head.per_cpu(cpu_of(rq)), push_rt_tasks);
    }
}

/// Pulls, once the lock may be released.
pub(super) fn rt_queue_pull_task(rq: RqRef) {
    queue_balance_callback(rq, rt_pull_head.per_cpu(cpu_of(rq)), pull_rt_task);
}

/// Where a task wakes: where it was, unless it would have to wait there and another CPU runs something less
/// important. Called without the runqueue's lock: what it sees may be old, and a push puts it right.
pub(super) fn select_task_rq_rt(p: TaskRef, cpu: i32, flags: i32) -> i32 {
    if flags & (WF_TTWU | WF_FORK) == 0 {
        return cpu;
    }
    // A running task that stays where it is, or is no less important, would keep it waiting. One that is
    // less important is preempted, and then pushed, for its cache is cold by then anyway.
    let wait = cpu_rq(cpu as u32).curr.get().is_some_and(|curr| {
        rt_task(curr) && (curr.nr_cpus_allowed.get() < 2 || curr.prio.get() <= p.prio.get())
    });
    if !wait {
        return cpu;
    }
    match find_lowest_rq(p) {
        Some(target) if p.prio.get() < cpu_rq(target).rt.highest_prio.curr.get() => target as i32,
        _ => cpu,
    }
}

/// A CPU that runs the least important of all, less than the task, and that the task may use.
fn find_lowest_rq(task: TaskRef) -> Option<u32> {
    if task.nr_cpus_allowed.get() == 1 {
        return None;
    }
    let cpu = task_cpu(task);
    let lowest_mask = cpupri_find(&task_rq(task).rd().cpupri, task)?;
    // Its own is the warmest.
    if lowest_mask.test(cpu) {
        return Some(cpu);
    }
    nearest_cpu(lowest_mask, cpu)
}

fn pick_next_pushable_task(rq: RqRef) -> Option<TaskRef> {
    let p = PushableTasksLink::entry(plist_first(&rq.rt.pushable_tasks)?);
    WARN_ON_ONCE!(cpu_of(rq) != task_cpu(p));
    WARN_ON_ONCE!(same_task(rq.current(), p));
    WARN_ON_ONCE!(p.nr_cpus_allowed.get() <= 1);
    WARN_ON_ONCE!(!task_on_rq_queued(p));
    WARN_ON_ONCE!(!rt_task(p));
    Some(p)
}

/// The most important task that waits here and may run on `cpu`.
fn pick_highest_pushable_task(rq: RqRef, cpu: u32) -> Option<TaskRef> {
    PlistNodeLink::iter(&rq.rt.pushable_tasks.node_list)
        .map(PushableTasksLink::entry)
        .find(|p| !task_on_cpu(p) && p.cpus_mask.get().test(cpu))
}

/// Finds a runqueue for the task and locks it; the task's own may be released meanwhile, and then it is
/// looked at again whether the task still waits there.
pub(super) fn find_lock_lowest_rq(task: TaskRef, rq: RqRef) -> Option<RqRef> {
    for _ in 0..RT_MAX_TRIES {
        let cpu = find_lowest_rq(task).filter(|&cpu| cpu != cpu_of(rq))?;
        let lowest_rq = cpu_rq(cpu);
        if lowest_rq.rt.highest_prio.curr.get() <= task.prio.get() {
            // What we know is old, and a new search would only find the same.
            return None;
        }
        if double_lock_balance(rq, lowest_rq) {
            let gone = !same_rq(task_rq(task), rq)
                || !task.cpus_mask.get().test(cpu)
                || task_on_cpu(task)
                || !rt_task(task)
                || is_migration_disabled(task)
                || !task_on_rq_queued(task);
            if gone {
                double_unlock_balance(rq, lowest_rq);
                return None;
            }
        }
        if lowest_rq.rt.highest_prio.curr.get() > task.prio.get() {
            return Some(lowest_rq);
        }
        double_unlock_balance(rq, lowest_rq);
    }
    None
}

/// Pushes the most important task that waits here to a CPU that runs something less important. `pull`:
/// another CPU asked. True if there may be more to push.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn push_rt_task(rq: RqRef, pull: bool) -> bool {
    if rq.rt.overloaded.get() == 0 {
        return false;
    }
    let Some(mut next_task) = pick_next_pushable_task(rq) else {
        return false;
    };
    loop {
        // It came in since curr was picked: no need to push, it is next here.
        if next_task.prio.get() < rq.current().prio.get() {
            resched_curr(rq);
            return false;
        }
        if is_migration_disabled(next_task) {
            if pull {
                push_current(rq);
            }
            return false;
        }
        if WARN_ON_ONCE!(same_task(next_task, rq.current())) {
            return false;
        }
        get_task_struct(next_task);
        if let Some(lowest_rq) = find_lock_lowest_rq(next_task, rq) {
            deactivate_task(rq, next_task, 0);
            set_task_cpu(next_task, cpu_of(lowest_rq));
            activate_task(lowest_rq, next_task, 0);
            resched_curr(lowest_rq);
            double_unlock_balance(rq, lowest_rq);
            put_task_struct(next_task);
            return true;
        }
        // The lock may have been released: if another task is the next now, try that one. If it is the same,
        // there is no place for it; whoever gets one will pull.
        let task = pick_next_pushable_task(rq);
        put_task_struct(next_task);
        match task {
            Some(task) if !same_task(task, next_task) => next_task = task,
            _ => return false,
        }
    }
}

/// The task that waits here cannot move, so the running one has to: the stopper pushes it. Inlined, so that
/// the stopper's caller is who wants the push.
#[inline(always)]
fn push_current(rq: RqRef) {
    if rq.push_busy.get() != 0 {
        return;
    }
    let curr = rq.current();
    // A stopper looks like a FIFO task of the highest priority, hence the class.
    if !same_class(curr.class(), &rt_sched_class) {
        return;
    }
    if find_lowest_rq(curr).is_none_or(|cpu| cpu == cpu_of(rq)) {
        return;
    }
    if let Some(push_task) = get_push_task(rq) {
        preempt_disable();
        raw_spin_rq_unlock(rq);
        let arg = VoidPtr::new(push_task);
        if stop_one_cpu_nowait(cpu_of(rq), push_cpu_stop, arg, &rq.push_work) {
            count(&kreplay_counters.balance_stop_works);
        }
        preempt_enable();
        raw_spin_rq_lock(rq);
    }
}

/// Pushes until nothing more can be pushed.
fn push_rt_tasks(rq: RqRef) {
    while push_rt_task(rq, false) {}
}

/// The next overloaded CPU of the walk; none: it has been round. The walk's lock is held.
///
/// Whoever wants to pull while a walk is under way does not start a second one but makes this one go round
/// once more.
fn rto_next_cpu(rd: RdRef) -> Option<u32> {
    loop {
        let from = rd.rto_cpu.get();
        let mask = rd.rto_mask.get();
        let cpu = if from < 0 {
            mask.first()
        } else {
            mask.next(from as u32)
        };
        rd.rto_cpu.set(cpu as i32);
        if cpu < nr_cpu_ids.load(Ordering::Relaxed) {
            return Some(cpu);
        }
        rd.rto_cpu.set(-1);
        let next = rd.rto_loop_next.load(Ordering::Acquire);
        if rd.rto_loop.get() == next {
            return None;
        }
        rd.rto_loop.set(next);
    }
}

/// Asks the overloaded CPUs, one after the other, to push.
fn tell_cpu_to_push(rq: RqRef) {
    let rd = rq.rd();
    rd.rto_loop_next.fetch_add(1, Ordering::SeqCst);
    let started = rd
        .rto_loop_start
        .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
        .is_ok();
    if !started {
        return;
    }
    raw_spin_lock(&rd.rto_lock);
    // If a walk is under way it sees the new count.
    let cpu = if rd.rto_cpu.get() < 0 {
        rto_next_cpu(rd)
    } else {
        None
    };
    raw_spin_unlock(&rd.rto_lock);
    rd.rto_loop_start.store(0, Ordering::Release);
    if let Some(cpu) = cpu {
        // The root domain must stay until the walk is over.
        sched_get_rd(rd);
        irq_work_queue_on(&rd.rto_push_work, cpu);
    }
}

/// The walk's step on an overloaded CPU.
///
/// # Context
/// Hard interrupt.
pub fn rto_push_irq_work_func(work: &'static IrqWork) {
    let rd = container_of!(work, RootDomain, rto_push_work);
    let rq = this_rq();
    if has_pushable_tasks(rq) {
        raw_spin_rq_lock(rq);
        while push_rt_task(rq, true) {}
        raw_spin_rq_unlock(rq);
    }
    raw_spin_lock(&rd.rto_lock);
    let cpu = rto_next_cpu(rd);
    raw_spin_unlock(&rd.rto_lock);
    match cpu {
        Some(cpu) => {
            irq_work_queue_on(&rd.rto_push_work, cpu);
        }
        None => sched_put_rd(rd),
    }
}

/// This CPU runs something less important than before: gets it something better from overloaded CPUs.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) fn pull_rt_task(this_rq: RqRef) {
    let this_cpu = cpu_of(this_rq);
    let overloaded = rt_overloaded(this_rq);
    if overloaded == 0 {
        return;
    }
    // Pairs with `rt_set_overload`.
    smp_mb();
    let rd = this_rq.rd();
    if overloaded == 1 && rd.rto_mask.get().test(this_cpu) {
        return;
    }
    if sched_feat(SchedFeat::RT_PUSH_IPI) {
        tell_cpu_to_push(this_rq);
        return;
    }
    let mut resched = false;
    for cpu in rd.rto_mask.get().without(this_cpu).iter() {
        let src_rq = cpu_rq(cpu);
        // Read without its lock: if it is about to get a better one, that will be pushed.
        if src_rq.rt.highest_prio.next.get() >= this_rq.rt.highest_prio.curr.get() {
            continue;
        }
        double_lock_balance(this_rq, src_rq);
        let mut push_task = None;
        let p = pick_highest_pushable_task(src_rq, this_cpu)
            .filter(|p| p.prio.get() < this_rq.rt.highest_prio.curr.get());
        if let Some(p) = p {
            WARN_ON_ONCE!(same_task(p, src_rq.current()));
            WARN_ON_ONCE!(!task_on_rq_queued(p));
            // If it beats what runs there, it is about to be picked.
            if p.prio.get() >= src_rq.current().prio.get() {
                if is_migration_disabled(p) {
                    push_task = get_push_task(src_rq);
                } else {
                    deactivate_task(src_rq, p, 0);
                    set_task_cpu(p, this_cpu);
                    activate_task(this_rq, p, 0);
                    resched = true;
                }
                // There may be a better one elsewhere: go on.
            }
        }
        double_unlock_balance(this_rq, src_rq);
        if let Some(push_task) = push_task {
            preempt_disable();
            raw_spin_rq_unlock(this_rq);
            let arg = VoidPtr::new(push_task);
            if stop_one_cpu_nowait(cpu, push_cpu_stop, arg, &src_rq.push_work) {
                count(&kreplay_counters.balance_stop_works);
            }
            preempt_enable();
            raw_spin_rq_lock(this_rq);
        }
    }
    if resched {
        resched_curr(this_rq);
    }
}

/// A task woke up and does not run at once: perhaps it can run elsewhere.
pub(super) fn task_woken_rt(rq: RqRef, p: TaskRef) {
    let curr = rq.current();
    let push = !task_on_cpu(p)
        && !test_tsk_need_resched(curr)
        && p.nr_cpus_allowed.get() > 1
        && rt_task(curr)
        && (curr.nr_cpus_allowed.get() < 2 || curr.prio.get() <= p.prio.get());
    if push {
        push_rt_tasks(rq);
    }
}
