//! Deadline tasks between CPUs: where one wakes, who is pushed, who is pulled.
//!
//! Linux: `kernel/sched/deadline.c` (v6.8): `select_task_rq_dl`, `find_later_rq`, `push_dl_task`,
//! `pull_dl_task`, `task_woken_dl`. Kept: all of it, near CPUs first.
//! Left out: capacities. Differs: nothing else.
//! Locks: the runqueue's lock; a push or pull takes another runqueue's beside it and may release its own
//! meanwhile.

use super::dl_entity_preempt;
use crate::WARN_ON_ONCE;
use crate::fence::percpu::PerCpu;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::rbtree::{
    RB_CLEAR_NODE, RB_EMPTY_NODE, RB_EMPTY_ROOT, rb_add_cached, rb_erase_cached, rb_first_cached,
    rb_next,
};
use crate::include::linux::sched::deadline::{dl_task, dl_time_before};
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::{
    PushableDlTasksLink, TaskRef, same_task, smp_mb, task_cpu, test_tsk_need_resched,
};
use crate::include::linux::stop_machine::stop_one_cpu_nowait;
use crate::kernel::kreplay::counters::{count, kreplay_counters};
use crate::kernel::sched::core::push::{get_push_task, push_cpu_stop};
use crate::kernel::sched::core::{activate_task, deactivate_task, resched_curr, set_task_cpu};
use crate::kernel::sched::cpudeadline::cpudl_find;
use crate::kernel::sched::sched::{
    BalanceCallback, RqRef, WF_TTWU, cpu_of, cpu_rq, double_lock_balance, double_unlock_balance,
    is_migration_disabled, queue_balance_callback, raw_spin_rq_lock, raw_spin_rq_unlock, same_rq,
    task_on_cpu, task_on_rq_queued, task_rq,
};
use crate::kernel::sched::topology::nearest_cpu;
use core::sync::atomic::Ordering;

/// How often a push looks for a CPU that stays as good as it looked.
const DL_MAX_TRIES: u32 = 3;

static dl_push_head: PerCpu<BalanceCallback> =
    PerCpu::new([const { BalanceCallback::new() }; NR_CPUS]);
static dl_pull_head: PerCpu<BalanceCallback> =
    PerCpu::new([const { BalanceCallback::new() }; NR_CPUS]);

fn dl_overloaded(rq: RqRef) -> bool {
    rq.rd().dlo_count.load(Ordering::Relaxed) != 0
}

/// The CPU has tasks to push.
pub(super) fn dl_set_overload(rq: RqRef) {
    if rq.online.get() == 0 {
        return;
    }
    rq.rd().dlo_mask.set_cpu(cpu_of(rq));
    // The mask before the count: who sees the count finds the CPU.
    smp_mb();
    rq.rd().dlo_count.fetch_add(1, Ordering::SeqCst);
}

/// It has none left.
pub(super) fn dl_clear_overload(rq: RqRef) {
    if rq.online.get() == 0 {
        return;
    }
    rq.rd().dlo_count.fetch_sub(1, Ordering::SeqCst);
    rq.rd().dlo_mask.clear_cpu(cpu_of(rq));
}

/// Whether tasks wait here that could run elsewhere.
pub(super) fn has_pushable_dl_tasks(rq: RqRef) -> bool {
    !RB_EMPTY_ROOT(&rq.dl.pushable_dl_tasks_root.rb_root)
}

/// The task waits here and could run elsewhere.
pub(super) fn enqueue_pushable_dl_task(rq: RqRef, p: TaskRef) {
    WARN_ON_ONCE!(!RB_EMPTY_NODE(&p.pushable_dl_tasks));
    let deadline = |node| PushableDlTasksLink::entry(node).dl.deadline.get();
    let leftmost = rb_add_cached(
        &p.pushable_dl_tasks,
        &rq.dl.pushable_dl_tasks_root,
        |a, b| dl_time_before(deadline(a), deadline(b)),
    );
    if leftmost.is_some() {
        rq.dl.earliest_dl.next.set(p.dl.deadline.get());
    }
    if rq.dl.overloaded.get() == 0 {
        dl_set_overload(rq);
        rq.dl.overloaded.set(1);
    }
}

/// It does not any more.
pub(super) fn dequeue_pushable_dl_task(rq: RqRef, p: TaskRef) {
    if RB_EMPTY_NODE(&p.pushable_dl_tasks) {
        return;
    }
    let root = &rq.dl.pushable_dl_tasks_root;
    if let Some(first) = rb_erase_cached(&p.pushable_dl_tasks, root) {
        let first = PushableDlTasksLink::entry(first);
        rq.dl.earliest_dl.next.set(first.dl.deadline.get());
    }
    RB_CLEAR_NODE(&p.pushable_dl_tasks);
    if !has_pushable_dl_tasks(rq) && rq.dl.overloaded.get() != 0 {
        dl_clear_overload(rq);
        rq.dl.overloaded.set(0);
    }
}

/// Pushes what can be pushed, once the lock may be released.
pub(super) fn deadline_queue_push_tasks(rq: RqRef) {
    if has_pushable_dl_tasks(rq) {
        queue_balance_callback(rq, dl_push_head.per_cpu(cpu_of(rq)), push_dl_tasks);
    }
}

/// Pulls, once the lock may be released.
pub(super) fn deadline_queue_pull_task(rq: RqRef) {
    queue_balance_callback(rq, dl_pull_head.per_cpu(cpu_of(rq)), pull_dl_task);
}

/// Whether the task would run at once on that runqueue.
fn dl_task_is_earliest_deadline(p: TaskRef, rq: RqRef) -> bool {
    rq.dl.dl_nr_running.get() == 0
        || dl_time_before(p.dl.deadline.get(), rq.dl.earliest_dl.curr.get())
}

/// Where a task wakes: where it was, unless it would have to wait there and could run elsewhere.
pub(super) fn select_task_rq_dl(p: TaskRef, cpu: i32, flags: i32) -> i32 {
    if flags & WF_TTWU == 0 {
        return cpu;
    }
    let wait = p.nr_cpus_allowed.get() > 1
        && cpu_rq(cpu as u32).curr.get().is_some_and(|curr| {
            dl_task(curr) && (curr.nr_cpus_allowed.get() < 2 || !dl_entity_preempt(&p.dl, &curr.dl))
        });
    if !wait {
        return cpu;
    }
    match find_later_rq(p) {
        Some(target) if dl_task_is_earliest_deadline(p, cpu_rq(target)) => target as i32,
        _ => cpu,
    }
}

/// A CPU that runs no deadline task, or the one with the latest deadline if the task's is earlier.
fn find_later_rq(task: TaskRef) -> Option<u32> {
    if task.nr_cpus_allowed.get() == 1 {
        return None;
    }
    let cpu = task_cpu(task);
    let later_mask = cpudl_find(&task_rq(task).rd().cpudl, task)?;
    // Its own is the warmest.
    if later_mask.test(cpu) {
        return Some(cpu);
    }
    nearest_cpu(later_mask, cpu)
}

/// Finds a runqueue for the task and locks it; the task's own may be released meanwhile, and then it is
/// looked at again whether the task still waits there.
pub(super) fn find_lock_later_rq(task: TaskRef, rq: RqRef) -> Option<RqRef> {
    for _ in 0..DL_MAX_TRIES {
        let cpu = find_later_rq(task).filter(|&cpu| cpu != cpu_of(rq))?;
        let later_rq = cpu_rq(cpu);
        if !dl_task_is_earliest_deadline(task, later_rq) {
            // What we know is old, and a new search would only find the same.
            return None;
        }
        if double_lock_balance(rq, later_rq) {
            let gone = !same_rq(task_rq(task), rq)
                || !task.cpus_mask.get().test(cpu)
                || task_on_cpu(task)
                || !dl_task(task)
                || is_migration_disabled(task)
                || !task_on_rq_queued(task);
            if gone {
                double_unlock_balance(rq, later_rq);
                return None;
            }
        }
        if dl_task_is_earliest_deadline(task, later_rq) {
            return Some(later_rq);
        }
        double_unlock_balance(rq, later_rq);
    }
    None
}

fn pick_next_pushable_dl_task(rq: RqRef) -> Option<TaskRef> {
    let p = PushableDlTasksLink::entry(rb_first_cached(&rq.dl.pushable_dl_tasks_root)?);
    WARN_ON_ONCE!(cpu_of(rq) != task_cpu(p));
    WARN_ON_ONCE!(same_task(rq.current(), p));
    WARN_ON_ONCE!(p.nr_cpus_allowed.get() <= 1);
    WARN_ON_ONCE!(!task_on_rq_queued(p));
    WARN_ON_ONCE!(!dl_task(p));
    Some(p)
}

/// The task with the earliest deadline that waits here and may run on `cpu`.
fn pick_earliest_pushable_dl_task(rq: RqRef, cpu: u32) -> Option<TaskRef> {
    let mut node = rb_first_cached(&rq.dl.pushable_dl_tasks_root);
    while let Some(at) = node {
        let p = PushableDlTasksLink::entry(at);
        if !task_on_cpu(p) && p.cpus_mask.get().test(cpu) {
            return Some(p);
        }
        node = rb_next(at);
    }
    None
}

/// Pushes the task with the earliest deadline that waits here to a CPU where it would run. True if there
/// may be more to push.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn push_dl_task(rq: RqRef) -> bool {
    let Some(mut next_task) = pick_next_pushable_dl_task(rq) else {
        return false;
    };
    loop {
        // It came in since curr was picked, and curr can move instead: curr is pushed in the switch.
        let curr = rq.current();
        let next_here = dl_task(curr)
            && dl_time_before(next_task.dl.deadline.get(), curr.dl.deadline.get())
            && curr.nr_cpus_allowed.get() > 1;
        if next_here {
            resched_curr(rq);
            return false;
        }
        if is_migration_disabled(next_task) || WARN_ON_ONCE!(same_task(next_task, curr)) {
            return false;
        }
        get_task_struct(next_task);
        if let Some(later_rq) = find_lock_later_rq(next_task, rq) {
            deactivate_task(rq, next_task, 0);
            set_task_cpu(next_task, cpu_of(later_rq));
            activate_task(later_rq, next_task, 0);
            resched_curr(later_rq);
            double_unlock_balance(rq, later_rq);
            put_task_struct(next_task);
            return true;
        }
        // The lock may have been released: if another task is the next now, try that one. If it is the same,
        // there is no place for it; whoever gets one will pull.
        let task = pick_next_pushable_dl_task(rq);
        put_task_struct(next_task);
        match task {
            Some(task) if !same_task(task, next_task) => next_task = task,
            _ => return false,
        }
    }
}

/// Pushes until nothing more can be pushed.
fn push_dl_tasks(rq: RqRef) {
    while push_dl_task(rq) {}
}

/// This CPU has no deadline task left, or a later deadline than before: gets it an earlier one from
/// overloaded CPUs.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) fn pull_dl_task(this_rq: RqRef) {
    if !dl_overloaded(this_rq) {
        return;
    }
    // Pairs with `dl_set_overload`.
    smp_mb();
    let this_cpu = cpu_of(this_rq);
    let mut dmin = i64::MAX as u64;
    let mut resched = false;
    for cpu in this_rq.rd().dlo_mask.get().without(this_cpu).iter() {
        let src_rq = cpu_rq(cpu);
        // Read without its lock: if it is about to get an earlier one, that will be pushed.
        if this_rq.dl.dl_nr_running.get() != 0
            && dl_time_before(
                this_rq.dl.earliest_dl.curr.get(),
                src_rq.dl.earliest_dl.next.get(),
            )
        {
            continue;
        }
        double_lock_balance(this_rq, src_rq);
        let mut push_task = None;
        let p = (src_rq.dl.dl_nr_running.get() > 1)
            .then(|| pick_earliest_pushable_dl_task(src_rq, this_cpu))
            .flatten()
            .filter(|p| dl_time_before(p.dl.deadline.get(), dmin))
            .filter(|&p| dl_task_is_earliest_deadline(p, this_rq));
        if let Some(p) = p {
            WARN_ON_ONCE!(same_task(p, src_rq.current()));
            WARN_ON_ONCE!(!task_on_rq_queued(p));
            // If it is earlier than what runs there, it is about to be picked.
            if !dl_time_before(p.dl.deadline.get(), src_rq.current().dl.deadline.get()) {
                if is_migration_disabled(p) {
                    push_task = get_push_task(src_rq);
                } else {
                    deactivate_task(src_rq, p, 0);
                    set_task_cpu(p, this_cpu);
                    activate_task(this_rq, p, 0);
                    dmin = p.dl.deadline.get();
                    resched = true;
                }
                // There may be an earlier one elsewhere: go on.
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
pub(super) fn task_woken_dl(rq: RqRef, p: TaskRef) {
    let curr = rq.current();
    let push = !task_on_cpu(p)
        && !test_tsk_need_resched(curr)
        && p.nr_cpus_allowed.get() > 1
        && dl_task(curr)
        && (curr.nr_cpus_allowed.get() < 2 || !dl_entity_preempt(&p.dl, &curr.dl));
    if push {
        push_dl_tasks(rq);
    }
}
