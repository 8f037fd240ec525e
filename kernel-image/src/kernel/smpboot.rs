//! Threads that exist once on every CPU, and the idle tasks of CPUs that are not up yet.
//!
//! Linux: `kernel/smpboot.c` (v6.8). Kept: the thread's loop with its states, creation (bound, parked),
//! registration at the head of the list, unparking in list order, parking in the other, unregistering.
//! Left out: nothing. Differs: what a thread knows of itself is used again, not freed.
//! Locks: the hotplug lock, then `smpboot_threads_lock`; `free_tds_lock`, a leaf.

extern crate alloc;

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{NR_CPUS, cpu_online, cpu_online_mask, cpu_possible_mask};
use crate::include::linux::list::{ListHead, links_reverse, list_add, list_del, list_del_init};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::preempt::{preempt_disable, preempt_enable, preempt_enable_no_resched};
use crate::include::linux::sched::task::get_task_struct;
use crate::include::linux::sched::{
    __set_current_state, TASK_INTERRUPTIBLE, TASK_PARKED, TASK_RUNNING, TaskRef, set_current_state,
};
use crate::include::linux::smpboot::{HotplugThreadLink, SmpHotplugThread};
use crate::include::linux::spinlock::RawSpinlock;
use crate::kernel::cpu::{cpus_read_lock, cpus_read_unlock};
use crate::kernel::fork::fork_idle;
use crate::kernel::kthread::{
    kthread_create_on_cpu, kthread_park, kthread_parkme, kthread_set_per_cpu, kthread_should_park,
    kthread_should_stop, kthread_stop_put, kthread_unpark,
};
use crate::kernel::sched::core::{schedule, wait_task_inactive};
use crate::{BUG_ON, WARN_ON, intrusive_adapter, pr_err};
use alloc::boxed::Box;

static idle_threads: PerCpu<Shared<Option<TaskRef>>> =
    PerCpu::new([const { Shared::new(None) }; NR_CPUS]);
static hotplug_threads: ListHead = ListHead::new();
static smpboot_threads_lock: Mutex = Mutex::new();

/// The idle task of a CPU.
pub fn idle_thread_get(cpu: u32) -> Option<TaskRef> {
    idle_threads.per_cpu(cpu).get()
}

/// The boot task is the boot CPU's idle task.
pub fn idle_thread_set_boot_cpu() {
    idle_threads
        .per_cpu(raw_smp_processor_id())
        .set(Some(current()));
}

/// Makes the idle tasks of all other possible CPUs.
pub fn idle_threads_init() {
    let boot_cpu = raw_smp_processor_id();
    for cpu in cpu_possible_mask().iter().filter(|&cpu| cpu != boot_cpu) {
        let cell = idle_threads.per_cpu(cpu);
        if cell.get().is_none() {
            let idle = fork_idle(cpu);
            if idle.is_none() {
                pr_err!("SMP: fork_idle() failed for CPU {cpu}");
            }
            cell.set(idle);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum HpThreadStatus {
    None = 0,
    Active = 1,
    Parked = 2,
}

/// What a per-CPU thread knows of itself. Written before the thread exists, the status by itself.
#[doc(alias = "smpboot_thread_data")]
struct SmpbootThreadData {
    cpu: Shared<u32>,
    status: Shared<HpThreadStatus>,
    ht: Shared<Option<&'static SmpHotplugThread>>,
    /// In the list of those that are free.
    free: ListHead,
}

intrusive_adapter!(
    /// Free ones by their link.
    FreeLink = SmpbootThreadData { free: ListHead });

/// What ended threads have given back for the next ones.
static free_tds: ListHead = ListHead::new();
static free_tds_lock: RawSpinlock = RawSpinlock::new();

fn alloc_td(cpu: u32, ht: &'static SmpHotplugThread) -> &'static SmpbootThreadData {
    let used = {
        let _guard = free_tds_lock.lock_irqsave();
        let used = FreeLink::first(&free_tds);
        if let Some(td) = used {
            list_del_init(&td.free);
        }
        used
    };
    let td = used.unwrap_or_else(|| {
        Box::leak(Box::new(SmpbootThreadData {
            cpu: Shared::new(0),
            status: Shared::new(HpThreadStatus::None),
            ht: Shared::new(None),
            free: ListHead::new(),
        }))
    });
    td.cpu.set(cpu);
    td.status.set(HpThreadStatus::None);
    td.ht.set(Some(ht));
    td
}

fn free_td(td: &'static SmpbootThreadData) {
    let _guard = free_tds_lock.lock_irqsave();
    list_add(&td.free, &free_tds);
}

/// The loop of every per-CPU thread: one thing at a time, then all questions again.
extern "C" fn smpboot_thread_fn(data: VoidPtr) -> i32 {
    let td = data.get::<SmpbootThreadData>();
    let cpu = td.cpu.get();
    let ht = td.ht.get().expect("a thread of some kind");
    loop {
        set_current_state(TASK_INTERRUPTIBLE);
        preempt_disable();
        if kthread_should_stop() {
            __set_current_state(TASK_RUNNING);
            preempt_enable();
            if let (Some(cleanup), true) = (ht.cleanup, td.status.get() != HpThreadStatus::None) {
                cleanup(cpu, cpu_online(cpu));
            }
            free_td(td);
            return 0;
        }
        if kthread_should_park() {
            __set_current_state(TASK_RUNNING);
            preempt_enable();
            if let (Some(park), HpThreadStatus::Active) = (ht.park, td.status.get()) {
                BUG_ON!(cpu != raw_smp_processor_id());
                park(cpu);
                td.status.set(HpThreadStatus::Parked);
            }
            kthread_parkme();
            // Parked on another CPU or not: from here on it runs where it belongs.
            continue;
        }
        BUG_ON!(cpu != raw_smp_processor_id());
        match td.status.get() {
            HpThreadStatus::None => {
                __set_current_state(TASK_RUNNING);
                preempt_enable();
                if let Some(setup) = ht.setup {
                    setup(cpu);
                }
                td.status.set(HpThreadStatus::Active);
                continue;
            }
            HpThreadStatus::Parked => {
                __set_current_state(TASK_RUNNING);
                preempt_enable();
                if let Some(unpark) = ht.unpark {
                    unpark(cpu);
                }
                td.status.set(HpThreadStatus::Active);
                continue;
            }
            HpThreadStatus::Active => {}
        }
        if (ht.thread_should_run)(cpu) {
            __set_current_state(TASK_RUNNING);
            preempt_enable();
            (ht.thread_fn)(cpu);
        } else {
            preempt_enable_no_resched();
            schedule();
        }
    }
}

fn __smpboot_create_thread(ht: &'static SmpHotplugThread, cpu: u32) -> i32 {
    let store = (ht.store)(cpu);
    if store.get().is_some() {
        return 0;
    }
    let td = alloc_td(cpu, ht);
    let tsk = match kthread_create_on_cpu(smpboot_thread_fn, VoidPtr::new(td), cpu, ht.thread_comm)
    {
        Ok(tsk) => tsk,
        Err(error) => {
            free_td(td);
            return error;
        }
    };
    kthread_set_per_cpu(tsk, Some(cpu));
    // It runs as far as its first question, and parks there.
    kthread_park(tsk);
    store.set(Some(get_task_struct(tsk)));
    if let Some(create) = ht.create {
        // Its class may change under nobody's feet: it is parked, and off every queue.
        if !WARN_ON!(!wait_task_inactive(tsk, TASK_PARKED)) {
            create(cpu);
        }
    }
    0
}

/// The kinds of threads, newest first.
fn kinds() -> impl Iterator<Item = &'static SmpHotplugThread> {
    HotplugThreadLink::iter(&hotplug_threads)
}

/// Makes all threads of a CPU that comes up, parked.
pub fn smpboot_create_threads(cpu: u32) -> i32 {
    smpboot_threads_lock.lock();
    let ret = kinds()
        .map(|cur| __smpboot_create_thread(cur, cpu))
        .find(|&ret| ret != 0);
    smpboot_threads_lock.unlock();
    ret.unwrap_or(0)
}

/// Asks a thread to stand aside, unless it sees to that itself.
fn smpboot_park_thread(ht: &SmpHotplugThread, cpu: u32) {
    if let (Some(tsk), false) = ((ht.store)(cpu).get(), ht.selfparking) {
        kthread_park(tsk);
    }
}

/// All threads of a CPU that goes down stand aside, the oldest kind first.
pub fn smpboot_park_threads(cpu: u32) -> i32 {
    smpboot_threads_lock.lock();
    for cur in links_reverse(&hotplug_threads).map(HotplugThreadLink::entry) {
        smpboot_park_thread(cur, cpu);
    }
    smpboot_threads_lock.unlock();
    0
}

/// Ends a kind's threads, those of CPUs that are offline (they are parked) as well.
fn smpboot_destroy_threads(ht: &SmpHotplugThread) {
    for cpu in cpu_possible_mask().iter() {
        let store = (ht.store)(cpu);
        if let Some(tsk) = store.get() {
            kthread_stop_put(tsk);
            store.set(None);
        }
    }
}

/// Takes a kind of thread back: its threads end.
///
/// # Context
/// May sleep.
pub fn smpboot_unregister_percpu_thread(plug_thread: &'static SmpHotplugThread) {
    cpus_read_lock();
    smpboot_threads_lock.lock();
    list_del(&plug_thread.list);
    smpboot_destroy_threads(plug_thread);
    smpboot_threads_lock.unlock();
    cpus_read_unlock();
}

fn smpboot_unpark_thread(ht: &SmpHotplugThread, cpu: u32) {
    if let (Some(tsk), false) = ((ht.store)(cpu).get(), ht.selfparking) {
        kthread_unpark(tsk);
    }
}

/// Lets all threads of a CPU run that do not wait for their owner.
pub fn smpboot_unpark_threads(cpu: u32) -> i32 {
    smpboot_threads_lock.lock();
    for cur in kinds() {
        smpboot_unpark_thread(cur, cpu);
    }
    smpboot_threads_lock.unlock();
    0
}

/// Adds a kind of thread and makes it on every CPU that is online; the others make it when they come
/// up.
///
/// # Context
/// May sleep.
pub fn smpboot_register_percpu_thread(plug_thread: &'static SmpHotplugThread) -> i32 {
    cpus_read_lock();
    smpboot_threads_lock.lock();
    let mut ret = 0;
    for cpu in cpu_online_mask().iter() {
        ret = __smpboot_create_thread(plug_thread, cpu);
        if ret != 0 {
            smpboot_destroy_threads(plug_thread);
            break;
        }
        smpboot_unpark_thread(plug_thread, cpu);
    }
    if ret == 0 {
        list_add(&plug_thread.list, &hotplug_threads);
    }
    smpboot_threads_lock.unlock();
    cpus_read_unlock();
    ret
}
