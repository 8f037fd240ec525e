//! The scheduler's part when a CPU comes or goes.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `sched_cpu_activate` to `sched_cpu_dying`, `balance_push*`,
//! `balance_hotplug_wait`, `set_rq_online`. Kept: a CPU that goes is taken off the active ones, then every
//! switch on it hands the task it would run to the stopper, which moves it away, until nothing is left but
//! the CPU's own threads; that nobody is left is checked with all CPUs stopped. Left out: NUMA, core
//! scheduling; cpusets: the domains are built anew at once. Differs: nothing else.
//! Locks: the runqueue's; `pi_lock` outside it; the stopper's with neither held.

use super::affinity::{__migrate_task, select_fallback_rq};
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::smpboot::cpu_smt_mask;
use crate::fence::percpu::PerCpu;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{NR_CPUS, cpu_dying, set_cpu_active};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::rcuwait::{rcuwait_active, rcuwait_wait_event, rcuwait_wake_up};
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::{TASK_UNINTERRUPTIBLE, TaskRef, TaskStruct, TasksLink};
use crate::include::linux::spinlock::{raw_spin_lock_irq, raw_spin_unlock_irq};
use crate::include::linux::stop_machine::{CpuStopWork, stop_one_cpu_nowait};
use crate::init::init_task::init_task;
use crate::kernel::kreplay::counters::{count, kreplay_counters};
use crate::kernel::kthread::kthread_is_per_cpu;
use crate::kernel::rcu::tree::synchronize_rcu;
use crate::kernel::sched::core::init::sched_smp_initialized;
use crate::kernel::sched::deadline::params::dl_bw_check_overflow;
use crate::kernel::sched::fair::balance::domains::update_max_interval;
use crate::kernel::sched::fair::balance::nohz::nohz_balance_exit_idle;
use crate::kernel::sched::loadavg::{calc_load_migrate, calc_load_update};
use crate::kernel::sched::sched::{
    BalanceCallback, RqFlags, RqRef, SCHED_CLASSES, cpu_of, cpu_rq, is_migration_disabled,
    raw_spin_rq_lock, raw_spin_rq_unlock, rq_lock_irqsave, rq_unlock_irqrestore, same_rq,
    task_on_rq_queued, task_rq, this_rq, update_rq_clock,
};
use crate::kernel::sched::topology::partition_sched_domains;
use crate::{BUG_ON, WARN, WARN_ON_ONCE, pr_warn};
use core::sync::atomic::{AtomicI32, Ordering};

/// The work that moves a task off this CPU. One is enough: the stopper takes it off its list before
/// the next task can run here.
static push_work: PerCpu<CpuStopWork> = PerCpu::new([const { CpuStopWork::new() }; NR_CPUS]);

/// Whether tasks are on this CPU that may not leave it now.
fn rq_has_pinned_tasks(rq: RqRef) -> bool {
    rq.nr_pinned.get() != 0
}

/// The stopper moves the task that was running, wherever it may go.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn __balance_push_cpu_stop(arg: VoidPtr) -> i32 {
    let p: TaskRef = arg.get::<TaskStruct>();
    let mut rq = this_rq();
    raw_spin_lock_irq(&p.pi_lock);
    raw_spin_rq_lock(rq);
    update_rq_clock(rq);
    if same_rq(task_rq(p), rq) && task_on_rq_queued(p) {
        let cpu = select_fallback_rq(cpu_of(rq) as i32, p);
        rq = __migrate_task(rq, p, cpu as u32);
    }
    raw_spin_rq_unlock(rq);
    raw_spin_unlock_irq(&p.pi_lock);
    put_task_struct(p);
    0
}

/// Runs at the end of every switch on a CPU that is not active. On the way down it has the task that
/// would run now moved away, unless it belongs to this CPU. The runqueue's lock is held.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn balance_push(rq: RqRef) {
    let push_task = rq.current();
    // It stays until the CPU is active, however often the list of callbacks is taken.
    rq.balance_callback.set(Some(&balance_push_callback));
    if !cpu_dying(cpu_of(rq)) || !same_rq(rq, this_rq()) {
        return;
    }
    // Both the hotplug thread and the stopper are needed to go down.
    if kthread_is_per_cpu(push_task) || is_migration_disabled(push_task) {
        // Nothing is left: the hotplug thread may be waiting for that. It is of this CPU, so it does
        // not run at the same time.
        if rq.nr_running.get() == 0 && !rq_has_pinned_tasks(rq) && rcuwait_active(&rq.hotplug_wait)
        {
            raw_spin_rq_unlock(rq);
            rcuwait_wake_up(&rq.hotplug_wait);
            raw_spin_rq_lock(rq);
        }
        return;
    }
    get_task_struct(push_task);
    // The stopper's wake-up takes this lock. Preemption and interrupts are off, so nothing else runs here.
    preempt_disable();
    raw_spin_rq_unlock(rq);
    if stop_one_cpu_nowait(
        cpu_of(rq),
        __balance_push_cpu_stop,
        VoidPtr::new(push_task),
        push_work.per_cpu(cpu_of(rq)),
    ) {
        count(&kreplay_counters.balance_stop_works);
    }
    preempt_enable();
    // The need to reschedule is set now, and the next pick is the stopper.
    raw_spin_rq_lock(rq);
}

/// What a CPU has as its balance callback whenever it is not active.
pub(crate) static balance_push_callback: BalanceCallback =
    BalanceCallback::with(|rq| balance_push(rq));

/// Whether that callback is set.
fn balance_push_is_set(rq: RqRef) -> bool {
    rq.balance_callback
        .get()
        .is_some_and(|set| core::ptr::eq(set, &balance_push_callback))
}

/// Installs the callback, or removes it.
pub(super) fn balance_push_set(cpu: u32, on: bool) {
    let rq = cpu_rq(cpu);
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    if on {
        WARN_ON_ONCE!(rq.balance_callback.get().is_some());
        rq.balance_callback.set(Some(&balance_push_callback));
    } else if balance_push_is_set(rq) {
        rq.balance_callback.set(None);
    }
    rq_unlock_irqrestore(rq, &rf);
}

/// The hotplug thread waits until it is the only one on its CPU.
fn balance_hotplug_wait() {
    let rq = this_rq();
    rcuwait_wait_event(
        &rq.hotplug_wait,
        || rq.nr_running.get() == 1 && !rq_has_pinned_tasks(rq),
        TASK_UNINTERRUPTIBLE,
    );
}

/// The runqueue takes part in its root domain. Its lock is held.
pub fn set_rq_online(rq: RqRef) {
    if rq.online.get() != 0 {
        return;
    }
    rq.rd().online.set_cpu(cpu_of(rq));
    rq.online.set(1);
    for class in SCHED_CLASSES {
        if let Some(rq_online) = class.rq_online {
            rq_online(rq);
        }
    }
}

/// It takes part no longer. Its lock is held.
pub fn set_rq_offline(rq: RqRef) {
    if rq.online.get() == 0 {
        return;
    }
    update_rq_clock(rq);
    for class in SCHED_CLASSES {
        if let Some(rq_offline) = class.rq_offline {
            rq_offline(rq);
        }
    }
    rq.rd().online.clear_cpu(cpu_of(rq));
    rq.online.set(0);
}

/// CPUs that are up and whose core has two of them (a static key in Linux).
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static sched_smt_present: AtomicI32 = AtomicI32::new(0);

/// Whether a core has several CPUs.
pub fn sched_smt_active() -> bool {
    sched_smt_present.load(Ordering::Relaxed) > 0
}

/// A CPU starts: its own work, with interrupts off.
pub fn sched_cpu_starting(cpu: u32) -> i32 {
    // It takes part in the load average from the next reading on.
    cpu_rq(cpu)
        .calc_load_update
        .set(calc_load_update.load(Ordering::SeqCst));
    update_max_interval();
    0
}

/// A CPU is complete: tasks may be moved to it.
pub fn sched_cpu_activate(cpu: u32) -> i32 {
    let rq = cpu_rq(cpu);
    balance_push_set(cpu, false);
    // The core has its second CPU.
    if cpu_smt_mask(cpu).weight() == 2 {
        sched_smt_present.fetch_add(1, Ordering::Relaxed);
    }
    set_cpu_active(cpu, true);
    if sched_smp_initialized.load(Ordering::Acquire) {
        cpuset_cpu_active();
    }
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    BUG_ON!(!rq.rd().span.get().test(cpu));
    set_rq_online(rq);
    rq_unlock_irqrestore(rq, &rf);
    0
}

/// A CPU is about to go: no task comes to it any more, and those that are there leave. Runs in cpuhp/N.
pub fn sched_cpu_deactivate(cpu: u32) -> i32 {
    let rq = cpu_rq(cpu);
    nohz_balance_exit_idle(rq);
    set_cpu_active(cpu, false);
    balance_push_set(cpu, true);
    // Whoever still takes the CPU for active has its preemption off: wait for all of them.
    synchronize_rcu();
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    BUG_ON!(!rq.rd().span.get().test(cpu));
    set_rq_offline(rq);
    rq_unlock_irqrestore(rq, &rf);
    if cpu_smt_mask(cpu).weight() == 2 {
        sched_smt_present.fetch_sub(1, Ordering::Relaxed);
    }
    if !sched_smp_initialized.load(Ordering::Acquire) {
        return 0;
    }
    let ret = cpuset_cpu_inactive(cpu);
    if ret != 0 {
        // Half of it is undone, as in v6.8: tasks come here again, but the runqueue stays offline for its root
        // domain, and the core uncounted, until the CPU has gone and come back (or, the runqueue, until the
        // domains are built anew). Linux mended that in 6.11.
        balance_push_set(cpu, false);
        set_cpu_active(cpu, true);
    }
    ret
}

/// A CPU is active that the domains do not have: builds them anew.
fn cpuset_cpu_active() {
    partition_sched_domains();
}

/// A CPU of the domains is active no longer: builds them without it, unless the CPUs that are left could
/// not keep what was promised to deadline tasks.
fn cpuset_cpu_inactive(cpu: u32) -> i32 {
    let ret = dl_bw_check_overflow(cpu);
    if ret == 0 {
        partition_sched_domains();
    }
    ret
}

/// The hotplug thread waits until all tasks have left.
pub fn sched_cpu_wait_empty(_cpu: u32) -> i32 {
    balance_hotplug_wait();
    0
}

/// Prints who is on a runqueue that should be empty. Its lock is held.
fn dump_rq_tasks(rq: RqRef) {
    let cpu = cpu_of(rq);
    pr_warn!("CPU{cpu} enqueued tasks ({} total):", rq.nr_running.get());
    for p in TasksLink::iter(&init_task.tasks) {
        if same_rq(task_rq(p), rq) && task_on_rq_queued(p) {
            pr_warn!("\tpid: {}, name: {}", p.pid.get(), p.comm_str());
        }
    }
}

/// The last look, with all CPUs stopped: nobody is here but the stopper.
pub fn sched_cpu_dying(cpu: u32) -> i32 {
    let rq = cpu_rq(cpu);
    WARN_ON_ONCE!(cpu != raw_smp_processor_id());
    let mut rf = RqFlags::new();
    rq_lock_irqsave(rq, &mut rf);
    if rq.nr_running.get() != 1 || rq_has_pinned_tasks(rq) {
        WARN!(true, "Dying CPU not properly vacated!");
        dump_rq_tasks(rq);
    }
    rq_unlock_irqrestore(rq, &rf);
    calc_load_migrate(rq);
    update_max_interval();
    0
}
