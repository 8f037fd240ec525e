//! Making queues and ending them.
//!
//! Linux: `kernel/workqueue.c` (v6.8): `alloc_workqueue`, `destroy_workqueue`, shares and their release,
//! rescuers, `workqueue_set_max_active`.
//! Kept: the order of shares, first worker and rescuer; a share put away by `pool_workqueue_release`.
//! Differs: queues and shares are recycled.
//! Locks: `wq_pool_mutex`, the queue's mutex, a pool's lock.

extern crate alloc;

use super::pool::{
    WorkerPool, alloc_worker, cpu_worker_pools, free_worker, get_unbound_pool, put_unbound_pool,
    wq_mayday_lock,
};
use super::worker::rescuer_thread;
use super::{
    PoolWorkqueue, PwqLink, PwqOfRelease, WorkqueueStruct, WqLink, flush, free_pwqs,
    free_workqueues, put_pwq_unlocked, pwq_activate_first_inactive, workqueues, wq_online,
    wq_pool_mutex,
};
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{NR_CPUS, cpu_possible_mask};
use crate::include::linux::kthread::KthreadWork;
use crate::include::linux::list::{
    INIT_LIST_HEAD, list_add, list_add_tail, list_del_init, list_empty,
};
use crate::include::linux::workqueue::*;
use crate::kernel::cpu::{cpus_read_lock, cpus_read_unlock};
use crate::kernel::kthread::{kthread_bind_mask, kthread_create, kthread_stop};
use crate::kernel::sched::core::wake_up_process;
use crate::{WARN, WARN_ON, pr_err};
use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::Ordering;

fn alloc_pwq(wq: &'static WorkqueueStruct, pool: &'static WorkerPool) -> &'static PoolWorkqueue {
    let pwq: &'static PoolWorkqueue = match PwqLink::first(&free_pwqs) {
        Some(pwq) => {
            list_del_init(&pwq.pwqs_node);
            pwq
        }
        None => Box::leak(Box::new(PoolWorkqueue::new())),
    };
    pwq.pool.set(Some(pool));
    pwq.wq.set(Some(wq));
    pwq.flush_color.set(-1);
    for cell in &pwq.nr_in_flight {
        cell.set(0);
    }
    pwq.nr_active.set(0);
    pwq.max_active.set(0);
    for list in [&pwq.inactive_works, &pwq.pwqs_node, &pwq.mayday_node] {
        INIT_LIST_HEAD(list);
    }
    pwq.refcnt.set(1);
    pwq
}

/// A share of a pool with these attributes. `wq_pool_mutex` is held.
pub(super) fn alloc_unbound_pwq(
    wq: &'static WorkqueueStruct,
    attrs: &WorkqueueAttrs,
) -> Option<&'static PoolWorkqueue> {
    let pool = get_unbound_pool(attrs)?;
    Some(alloc_pwq(wq, pool))
}

/// Adds a share to its queue, once. The queue's mutex is held.
pub(super) fn link_pwq(pwq: &'static PoolWorkqueue) {
    if !list_empty(&pwq.pwqs_node) {
        return;
    }
    let wq = pwq.wq();
    pwq.work_color.set(wq.work_color.get());
    pwq_adjust_max_active(pwq);
    list_add(&pwq.pwqs_node, &wq.pwqs);
}

/// Takes over the queue's limit. The queue's mutex is held.
fn pwq_adjust_max_active(pwq: &'static PoolWorkqueue) {
    let wq = pwq.wq();
    let pool = pwq.pool();
    let _guard = pool.lock.lock_irqsave();
    pwq.max_active.set(wq.saved_max_active.get());
    while !list_empty(&pwq.inactive_works) && pwq.nr_active.get() < pwq.max_active.get() {
        pwq_activate_first_inactive(pwq);
    }
    pool.kick_pool();
}

/// The last reference to a share is gone. In the thread `pool_workqueue_release`.
pub(super) fn pwq_release_workfn(work: &'static KthreadWork) {
    let pwq = PwqOfRelease::entry(work);
    let (wq, pool) = (pwq.wq(), pwq.pool());
    let mut is_last = false;
    if !list_empty(&pwq.pwqs_node) {
        wq.mutex.lock();
        list_del_init(&pwq.pwqs_node);
        is_last = list_empty(&wq.pwqs);
        wq.mutex.unlock();
    }
    wq_pool_mutex.lock();
    if wq.flags.get() & WQ_UNBOUND != 0 {
        put_unbound_pool(pool);
    }
    list_add(&pwq.pwqs_node, &free_pwqs);
    // The queue is off every list: nobody refers to it.
    if is_last {
        list_add(&wq.list, &free_workqueues);
    }
    wq_pool_mutex.unlock();
}

/// Gives the queue its shares of pools.
fn alloc_and_link_pwqs(wq: &'static WorkqueueStruct) -> i32 {
    if wq.flags.get() & WQ_UNBOUND == 0 {
        let highpri = usize::from(wq.flags.get() & WQ_HIGHPRI != 0);
        for cpu in cpu_possible_mask().iter() {
            let pool = &cpu_worker_pools.per_cpu(cpu)[highpri];
            wq_pool_mutex.lock();
            let pwq = alloc_pwq(wq, pool);
            wq_pool_mutex.unlock();
            wq.cpu_pwq.per_cpu(cpu).set(Some(pwq));
            wq.mutex.lock();
            link_pwq(pwq);
            wq.mutex.unlock();
        }
        return 0;
    }
    let attrs = WorkqueueAttrs {
        nice: if wq.flags.get() & WQ_HIGHPRI != 0 {
            -20
        } else {
            0
        },
        ordered: wq.flags.get() & __WQ_ORDERED != 0,
        ..WorkqueueAttrs::new()
    };
    // No CPU may come meanwhile: each has its share.
    cpus_read_lock();
    let ret = apply_workqueue_attrs(wq, &attrs);
    cpus_read_unlock();
    let shares = PwqLink::iter(&wq.pwqs).count();
    WARN!(
        ret == 0 && attrs.ordered && shares != 1,
        "ordering guarantee broken for workqueue {}\n",
        wq.name()
    );
    ret
}

/// Makes the rescuer of a queue that needs one.
pub(super) fn init_rescuer(wq: &'static WorkqueueStruct) -> i32 {
    if wq.flags.get() & WQ_MEM_RECLAIM == 0 {
        return 0;
    }
    let rescuer = alloc_worker();
    rescuer.rescue_wq.set(Some(wq));
    let task = match kthread_create(
        rescuer_thread,
        VoidPtr::new(rescuer),
        format_args!("kworker/R-{}", wq.name()),
    ) {
        Ok(task) => task,
        Err(error) => {
            pr_err!(
                "workqueue: Failed to create a rescuer kthread for wq \"{}\": {error}",
                wq.name()
            );
            free_worker(rescuer);
            return error;
        }
    };
    rescuer.task.set(Some(task));
    wq.rescuer.set(Some(rescuer));
    kthread_bind_mask(task, &cpu_possible_mask());
    wake_up_process(task);
    0
}

fn wq_clamp_max_active(max_active: i32, name: impl fmt::Display) -> i32 {
    if !(1..=WQ_MAX_ACTIVE).contains(&max_active) {
        crate::pr_warn!(
            "workqueue: max_active {max_active} requested for {name} is out of range, clamping between 1 and {WQ_MAX_ACTIVE}"
        );
    }
    max_active.clamp(1, WQ_MAX_ACTIVE)
}

/// Makes a queue. `max_active` is how many of its works may be active on a CPU; 0 for the default.
///
/// # Context
/// May sleep once works are executed.
/// # Returns
/// None if there is no memory, or no thread.
#[inline(never)]
pub fn alloc_workqueue(
    name: &str,
    flags: u32,
    max_active: i32,
) -> Option<&'static WorkqueueStruct> {
    let mut flags = flags;
    // One at a time, wherever: in order. Users rely on it.
    if flags & WQ_UNBOUND != 0 && max_active == 1 {
        flags |= __WQ_ORDERED;
    }
    // wq_power_efficient is off, as on most machines: the flag changes nothing.
    wq_pool_mutex.lock();
    let used = WqLink::first(&free_workqueues);
    if let Some(wq) = used {
        list_del_init(&wq.list);
    }
    wq_pool_mutex.unlock();
    let wq: &'static WorkqueueStruct =
        used.unwrap_or_else(|| Box::leak(Box::new(WorkqueueStruct::new())));
    for (index, cell) in wq.name.iter().enumerate() {
        let byte = name
            .as_bytes()
            .get(index)
            .filter(|_| index < WQ_NAME_LEN - 1);
        cell.set(byte.copied().unwrap_or(0));
    }
    let max_active = if max_active == 0 {
        WQ_DFL_ACTIVE
    } else {
        max_active
    };
    wq.flags.set(flags);
    wq.saved_max_active
        .set(wq_clamp_max_active(max_active, name));
    wq.work_color.set(0);
    wq.flush_color.set(0);
    wq.nr_pwqs_to_flush.store(0, Ordering::Relaxed);
    wq.first_flusher.set(None);
    wq.rescuer.set(None);
    wq.nr_drainers.set(0);
    for list in [
        &wq.pwqs,
        &wq.list,
        &wq.flusher_queue,
        &wq.flusher_overflow,
        &wq.maydays,
    ] {
        INIT_LIST_HEAD(list);
    }
    if alloc_and_link_pwqs(wq) < 0 {
        return None;
    }
    if wq_online() && init_rescuer(wq) < 0 {
        destroy_workqueue(wq);
        return None;
    }
    wq_pool_mutex.lock();
    list_add_tail(&wq.list, &workqueues);
    wq_pool_mutex.unlock();
    Some(wq)
}

/// Makes a queue that runs one work at a time, in the order they are queued.
pub fn alloc_ordered_workqueue(name: &str, flags: u32) -> Option<&'static WorkqueueStruct> {
    alloc_workqueue(
        name,
        WQ_UNBOUND | __WQ_ORDERED | __WQ_ORDERED_EXPLICIT | flags,
        1,
    )
}

/// Whether somebody uses a share of a queue that is about to go.
fn pwq_busy(wq: &WorkqueueStruct, pwq: &'static PoolWorkqueue) -> bool {
    let is_dfl = wq.dfl_pwq.get().is_some_and(|dfl| core::ptr::eq(dfl, pwq));
    pwq.nr_in_flight.iter().any(|cell| cell.get() != 0)
        || (!is_dfl && pwq.refcnt.get() > 1)
        || pwq.nr_active.get() != 0
        || !list_empty(&pwq.inactive_works)
}

/// Ends a queue: all its works are run first, and nobody may queue any more.
///
/// # Context
/// May sleep.
pub fn destroy_workqueue(wq: &'static WorkqueueStruct) {
    wq.mutex.lock();
    wq.flags.or(__WQ_DESTROYING);
    wq.mutex.unlock();
    flush::drain_workqueue(wq);

    // The rescuer first: it may still be on its way out of a pool.
    if let Some(rescuer) = wq.rescuer.get() {
        {
            let _guard = wq_mayday_lock.lock_irqsave();
            wq.rescuer.set(None);
        }
        if let Some(task) = rescuer.task.get() {
            kthread_stop(task);
        }
        free_worker(rescuer);
    }
    wq_pool_mutex.lock();
    wq.mutex.lock();
    let busy = PwqLink::iter(&wq.pwqs).any(|pwq| {
        let _guard = pwq.pool().lock.lock_irqsave();
        pwq_busy(wq, pwq)
    });
    if WARN!(busy, "destroy_workqueue: {} is busy\n", wq.name()) {
        wq.mutex.unlock();
        wq_pool_mutex.unlock();
        return;
    }
    wq.mutex.unlock();
    list_del_init(&wq.list);
    wq_pool_mutex.unlock();

    // The last share that goes takes the queue with it.
    let mut shares = [None; NR_CPUS + 1];
    for cpu in cpu_possible_mask().iter() {
        shares[cpu as usize] = wq.cpu_pwq.per_cpu(cpu).replace(None);
    }
    shares[NR_CPUS] = wq.dfl_pwq.replace(None);
    for pwq in shares.into_iter().flatten() {
        put_pwq_unlocked(pwq);
    }
}

/// Changes how many works of a queue may be active on a CPU.
///
/// # Context
/// May sleep.
pub fn workqueue_set_max_active(wq: &'static WorkqueueStruct, max_active: i32) {
    if WARN_ON!(wq.flags.get() & __WQ_ORDERED_EXPLICIT != 0) {
        return;
    }
    let max_active = wq_clamp_max_active(max_active, wq.name());
    wq.mutex.lock();
    wq.flags.and_not(__WQ_ORDERED);
    wq.saved_max_active.set(max_active);
    PwqLink::iter(&wq.pwqs).for_each(pwq_adjust_max_active);
    wq.mutex.unlock();
}
