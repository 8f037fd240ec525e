//! The stages of the start-up, and CPUs that come and go.
//!
//! Linux: `kernel/workqueue.c` (v6.8): `workqueue_init_early`, `workqueue_init`, `workqueue_init_topology`,
//! `workqueue_prepare_cpu`, `workqueue_online_cpu`, `workqueue_offline_cpu`.
//! Locks: `wq_pool_mutex`, then `wq_pool_attach_mutex`.

use super::alloc::{alloc_workqueue, init_rescuer};
use super::attrs::{init_pods, init_system_pod, pod_of, wq_update_pod};
use super::pool::{
    cpu_worker_pools, create_worker, pools, rebind_workers, restore_unbound_workers_cpumask,
    unbind_workers, wq_pool_attach_mutex, wq_unbound_cpumask,
};
use super::{
    SystemWq, WqLink, free_pwqs, free_workqueues, online, pool, pwq_release_worker,
    system_freezable_power_efficient_wq, system_freezable_wq, system_highpri_wq, system_long_wq,
    system_power_efficient_wq, system_unbound_wq, system_wq, workqueues,
    wq_cpu_intensive_thresh_us, wq_pool_mutex,
};
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::tsc::loops_per_jiffy;
use crate::include::linux::cpumask::{cpu_online_mask, cpu_possible_mask};
use crate::include::linux::errno::ENOMEM;
use crate::include::linux::jiffies::HZ;
use crate::include::linux::list::INIT_LIST_HEAD;
use crate::include::linux::workqueue::*;
use crate::kernel::kthread::kthread_create_worker;
use crate::kernel::params::param;
use crate::{BUG_ON, WARN, WARN_ON};
use core::sync::atomic::Ordering;

/// First stage: pools and queues exist, nothing is executed yet.
pub fn workqueue_init_early() {
    for list in [&workqueues, &free_workqueues, &free_pwqs] {
        INIT_LIST_HEAD(list);
    }
    wq_unbound_cpumask.set(cpu_possible_mask());
    init_system_pod();
    for cpu in cpu_possible_mask().iter() {
        for (pool, nice) in cpu_worker_pools.per_cpu(cpu).iter().zip([0, -20]) {
            pool.init_cpu(cpu, nice);
        }
    }
    let queues: [(&SystemWq, &str, u32); 7] = [
        (&system_wq, "events", 0),
        (&system_highpri_wq, "events_highpri", WQ_HIGHPRI),
        (&system_long_wq, "events_long", 0),
        (&system_unbound_wq, "events_unbound", WQ_UNBOUND),
        (&system_freezable_wq, "events_freezable", WQ_FREEZABLE),
        (
            &system_power_efficient_wq,
            "events_power_efficient",
            WQ_POWER_EFFICIENT,
        ),
        (
            &system_freezable_power_efficient_wq,
            "events_freezable_power_efficient",
            WQ_FREEZABLE | WQ_POWER_EFFICIENT,
        ),
    ];
    for (slot, name, flags) in queues {
        let max_active = if flags & WQ_UNBOUND != 0 {
            WQ_MAX_ACTIVE
        } else {
            0
        };
        let wq = alloc_workqueue(name, flags, max_active);
        BUG_ON!(wq.is_none());
        slot.0.set(wq);
    }
}

/// From when on a work counts as one that uses the CPU for long: 10 ms, more on a slow CPU.
fn wq_cpu_intensive_thresh_init() {
    if let Some(us) = param("workqueue.cpu_intensive_thresh_us").and_then(|text| text.as_u64()) {
        wq_cpu_intensive_thresh_us.set(us);
        return;
    }
    let bogo = (loops_per_jiffy.get() / 500_000 * HZ).max(1);
    let thresh = 10_000u64;
    if bogo < 4000 {
        wq_cpu_intensive_thresh_us.set((thresh * 4000 / bogo).min(1_000_000));
    }
}

/// Second stage: there are kernel threads now, so queues get their rescuers and pools their first workers.
pub fn workqueue_init() {
    let release = kthread_create_worker(format_args!("pool_workqueue_release"));
    BUG_ON!(release.is_err());
    pwq_release_worker.set(release.ok());
    wq_cpu_intensive_thresh_init();
    wq_pool_mutex.lock();
    for wq in WqLink::iter(&workqueues) {
        WARN!(
            init_rescuer(wq) != 0,
            "workqueue: failed to create early rescuer for {}\n",
            wq.name()
        );
    }
    wq_pool_mutex.unlock();
    for cpu in cpu_online_mask().iter() {
        for pool in cpu_worker_pools.per_cpu(cpu) {
            pool.flags.and_not(pool::POOL_DISASSOCIATED);
            BUG_ON!(create_worker(pool).is_none());
        }
    }
    for pool in pools().filter(|pool| pool.cpu.get() < 0) {
        BUG_ON!(create_worker(pool).is_none());
    }
    online.store(true, Ordering::Release);
}

/// Third stage: the topology is known. Unbound queues get their pods; where one cache serves all CPUs these are
/// what they had.
pub fn workqueue_init_topology() {
    init_pods();
    wq_pool_mutex.lock();
    for wq in WqLink::iter(&workqueues) {
        for cpu in cpu_online_mask().iter() {
            wq_update_pod(wq, cpu, cpu, true);
        }
    }
    wq_pool_mutex.unlock();
}

/// A CPU comes up: its pools get workers, which run elsewhere until it is there.
pub fn workqueue_prepare_cpu(cpu: u32) -> i32 {
    for pool in cpu_worker_pools.per_cpu(cpu) {
        if pool.nr_workers.get() == 0 && create_worker(pool).is_none() {
            return -ENOMEM;
        }
    }
    0
}

/// Says to all unbound queues that a CPU came or goes. `wq_pool_mutex` is held.
fn update_pods(cpu: u32, up: bool) {
    for wq in WqLink::iter(&workqueues) {
        if wq.flags.get() & WQ_UNBOUND == 0 {
            continue;
        }
        let attrs = wq.unbound_attrs.get();
        for sharing in pod_of(&attrs, cpu).iter() {
            wq_update_pod(wq, sharing, cpu, up);
        }
    }
}

/// A CPU is up: its workers belong to it. Runs on that CPU, in cpuhp/N.
pub fn workqueue_online_cpu(cpu: u32) -> i32 {
    wq_pool_mutex.lock();
    for pool in pools() {
        wq_pool_attach_mutex.lock();
        if pool.cpu.get() == cpu as i32 {
            rebind_workers(pool);
        } else if pool.cpu.get() < 0 {
            restore_unbound_workers_cpumask(pool, cpu);
        }
        wq_pool_attach_mutex.unlock();
    }
    update_pods(cpu, true);
    wq_pool_mutex.unlock();
    0
}

/// A CPU goes: its workers become unbound. Runs on that CPU, in cpuhp/N.
pub fn workqueue_offline_cpu(cpu: u32) -> i32 {
    if WARN_ON!(cpu != raw_smp_processor_id()) {
        return -1;
    }
    unbind_workers(cpu);
    wq_pool_mutex.lock();
    update_pods(cpu, false);
    wq_pool_mutex.unlock();
    0
}
