//! Groups of tasks that share the CPUs by weight.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `sched_create_group` to `sched_move_task`.
//! Kept: creation in two steps (memory, then its place in the tree), the move of a task by taking it out
//! and putting it back, shares and idle groups (`fair/group.rs`). Left out: the cgroup file system and
//! autogroups: kernel code calls these functions, as the files' handlers do there. Differs:
//! `sched_move_task` is told the group, which Linux reads from the task's css; a group's memory is recycled
//! and never freed, so a reader that comes late finds an old group and not none.
//! Locks: `task_group_lock` for the tree of groups, inside a runqueue's lock.

extern crate alloc;

use super::queue::{dequeue_task, enqueue_task};
use super::schedule::{put_prev_task, set_next_task};
use super::tick::resched_curr;
use crate::fence::shared::Shared;
use crate::include::linux::list::{
    INIT_LIST_HEAD, list_add, list_add_tail, list_del_init, list_empty,
};
use crate::include::linux::sched::{TaskRef, task_cpu};
use crate::include::linux::spinlock::RawSpinlock;
use crate::kernel::sched::fair::group::{
    alloc_fair_sched_group, online_fair_sched_group, unregister_fair_sched_group,
};
use crate::kernel::sched::sched::{
    DEQUEUE_MOVE, DEQUEUE_NOCLOCK, DEQUEUE_SAVE, RqFlags, TaskGroup, root_task_group, same_tg,
    set_task_rq, task_current, task_on_rq_queued, task_rq_lock, task_rq_unlock, update_rq_clock,
};
use crate::{WARN_ON_ONCE, intrusive_adapter};
use alloc::boxed::Box;

intrusive_adapter!(
    /// Groups by their link in the list of all groups.
    pub TaskGroupsLink = TaskGroup { list: ListHead });

intrusive_adapter!(
    /// Groups by their link among the children of the group above.
    pub SiblingsLink = TaskGroup { siblings: ListHead });

/// Protects the tree and the list of groups.
static task_group_lock: RawSpinlock = RawSpinlock::new();
/// The list of all groups.
static task_groups: crate::include::linux::list::ListHead =
    crate::include::linux::list::ListHead::new();
/// Slots of groups that are gone: (task_group_lock).
static free_groups: Shared<Option<&'static TaskGroup>> = Shared::new(None);

/// Calls `f` for every group, the root group included.
pub fn for_each_task_group(mut f: impl FnMut(&'static TaskGroup)) {
    let _guard = task_group_lock.lock_irqsave();
    for tg in TaskGroupsLink::iter(&task_groups) {
        f(tg);
    }
}

/// Walks over the groups at and below `from`: `down` on the way down, `up` on the way back.
pub fn walk_tg_tree_from(
    from: &'static TaskGroup,
    down: &mut dyn FnMut(&'static TaskGroup),
    up: &mut dyn FnMut(&'static TaskGroup),
) {
    let _guard = task_group_lock.lock_irqsave();
    walk(from, down, up);
}

fn walk(
    tg: &'static TaskGroup,
    down: &mut dyn FnMut(&'static TaskGroup),
    up: &mut dyn FnMut(&'static TaskGroup),
) {
    down(tg);
    for child in SiblingsLink::iter(&tg.children) {
        walk(child, down, up);
    }
    up(tg);
}

/// The root group is the first of all.
pub fn init_root_task_group() {
    let _guard = task_group_lock.lock_irqsave();
    list_add(&root_task_group.list, &task_groups);
    INIT_LIST_HEAD(&root_task_group.children);
    INIT_LIST_HEAD(&root_task_group.siblings);
}

/// Makes a group below another. It has no place in the tree yet and can have no tasks.
pub fn sched_create_group(parent: &'static TaskGroup) -> &'static TaskGroup {
    let slot = {
        let _guard = task_group_lock.lock_irqsave();
        let slot = free_groups.get();
        if let Some(slot) = slot {
            free_groups.set(slot.free_next.replace(None));
        }
        slot
    };
    let tg = slot.unwrap_or_else(|| Box::leak(Box::new(TaskGroup::new())));
    alloc_fair_sched_group(tg, parent);
    tg
}

/// Gives a new group its place: from now on tasks may move to it.
pub fn sched_online_group(tg: &'static TaskGroup, parent: &'static TaskGroup) {
    {
        let _guard = task_group_lock.lock_irqsave();
        list_add_tail(&tg.list, &task_groups);
        tg.parent.set(Some(parent));
        INIT_LIST_HEAD(&tg.children);
        list_add(&tg.siblings, &parent.children);
    }
    online_fair_sched_group(tg);
}

/// Takes a group without tasks and without groups below out of the tree.
pub fn sched_release_group(tg: &'static TaskGroup) {
    let _guard = task_group_lock.lock_irqsave();
    WARN_ON_ONCE!(!list_empty(&tg.children));
    list_del_init(&tg.list);
    list_del_init(&tg.siblings);
}

/// Ends a group that `sched_release_group` took out.
pub fn sched_destroy_group(tg: &'static TaskGroup) {
    unregister_fair_sched_group(tg);
    let _guard = task_group_lock.lock_irqsave();
    tg.load_avg.store(0, core::sync::atomic::Ordering::Relaxed);
    tg.free_next.set(free_groups.replace(Some(tg)));
}

fn sched_change_group(tsk: TaskRef, group: &'static TaskGroup) {
    tsk.sched_task_group.set(Some(group));
    match tsk.class().task_change_group {
        Some(task_change_group) => task_change_group(tsk),
        None => set_task_rq(tsk, task_cpu(tsk)),
    }
}

/// Moves a task to a group. It may be queued or running: then it is taken out and put back.
pub fn sched_move_task(tsk: TaskRef, group: &'static TaskGroup) {
    let queue_flags = DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK;
    let mut rf = RqFlags::new();
    let rq = task_rq_lock(tsk, &mut rf);
    if !tsk
        .sched_task_group
        .get()
        .is_some_and(|old| same_tg(old, group))
    {
        update_rq_clock(rq);
        let running = task_current(rq, tsk);
        let queued = task_on_rq_queued(tsk);
        if queued {
            dequeue_task(rq, tsk, queue_flags);
        }
        if running {
            put_prev_task(rq, tsk);
        }
        sched_change_group(tsk, group);
        if queued {
            enqueue_task(rq, tsk, queue_flags);
        }
        if running {
            set_next_task(rq, tsk);
            // Its new place may be behind others.
            resched_curr(rq);
        }
    }
    task_rq_unlock(rq, tsk, &rf);
}
