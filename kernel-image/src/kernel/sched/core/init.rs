//! Start-up of the scheduler.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `sched_init`, `init_idle`, `sched_init_smp`. Kept: every possible CPU's
//! runqueue set up in Linux's order, the balance_push callback on every CPU that is not active, root domains. Left out: PSI, uclamp.
//! Differs: nothing else.
//! Locks: a runqueue's lock while its idle task is set.

use super::affinity::{AffinityContext, set_cpus_allowed_common, set_cpus_allowed_ptr};
use super::group::init_root_task_group;
use super::hotplug::{balance_push_callback, balance_push_set};
use super::params::set_load_weight;
use super::preempt_dynamic::preempt_dynamic_init;
use crate::BUG_ON;
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::include::linux::cpumask::{Cpumask, cpu_active_mask, cpu_possible_mask};
use crate::include::linux::jiffies::jiffies;
use crate::include::linux::list::INIT_LIST_HEAD;
use crate::include::linux::sched::{CommBuf, PF_KTHREAD, PF_NO_SETAFFINITY, TASK_RUNNING, TaskRef};
use crate::kernel::kthread::{kthread_set_per_cpu, set_kthread_struct};
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::deadline::init_dl_rq;
use crate::kernel::sched::fair::balance::nohz::nohz_csd_func;
use crate::kernel::sched::fair::bandwidth::{__cfsb_csd_unthrottle, init_cfs_bandwidth};
use crate::kernel::sched::fair::capacity::{arch_scale_cpu_capacity, init_cpu_capacity};
use crate::kernel::sched::fair::group::init_tg_cfs_entry;
use crate::kernel::sched::fair::{init_cfs_rq, init_sched_fair_class};
use crate::kernel::sched::idle::idle_sched_class;
use crate::kernel::sched::loadavg::{LOAD_FREQ, calc_load_update};
use crate::kernel::sched::rt::{init_rt_bandwidth, init_rt_rq};
use crate::kernel::sched::sched::{
    __set_task_cpu, NICE_0_LOAD, RqRef, SCHED_CLASSES, SYSCTL_SCHED_MIGRATION_COST,
    TASK_ON_RQ_QUEUED, cpu_rq, raw_spin_rq_lock, raw_spin_rq_unlock, root_task_group,
    sched_class_above,
};
use crate::kernel::sched::stats::init_schedstats;
use crate::kernel::sched::topology::{
    def_root_domain, init_defrootdomain, rq_attach_root, sched_init_domains,
};
use crate::kernel::smpboot::idle_thread_set_boot_cpu;
use core::sync::atomic::{AtomicBool, Ordering};

/// The scheduler works.
pub static scheduler_running: AtomicBool = AtomicBool::new(false);
/// All CPUs that come up at boot have come up.
pub static sched_smp_initialized: AtomicBool = AtomicBool::new(false);

/// Sets up every possible CPU's runqueue and makes the boot task the idle task of this CPU.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sched_init() {
    for pair in SCHED_CLASSES.windows(2) {
        BUG_ON!(!sched_class_above(pair[0], pair[1]));
    }
    root_task_group.shares.set(NICE_0_LOAD);
    init_cfs_bandwidth(&root_task_group.cfs_bandwidth);
    init_rt_bandwidth();
    init_defrootdomain();
    init_cpu_capacity();
    init_root_task_group();

    for cpu in cpu_possible_mask().iter() {
        init_rq(cpu_rq(cpu), cpu);
    }

    let init = current();
    set_load_weight(init, false);
    set_kthread_struct(init);
    init_idle(init, raw_smp_processor_id());
    calc_load_update.store(jiffies() + LOAD_FREQ, Ordering::SeqCst);
    idle_thread_set_boot_cpu();
    // The boot CPU is active: nothing shall be pushed off it.
    balance_push_set(raw_smp_processor_id(), false);
    init_sched_fair_class();
    init_schedstats();
    preempt_dynamic_init();
    scheduler_running.store(true, Ordering::Release);
}

fn init_rq(rq: RqRef, cpu: u32) {
    rq.nr_running.set(0);
    rq.calc_load_active.set(0);
    rq.calc_load_update.set(jiffies() + LOAD_FREQ);
    init_cfs_rq(&rq.cfs);
    init_rt_rq(&rq.rt);
    init_dl_rq(&rq.dl);
    // The root group's queue of a CPU is the runqueue's own.
    init_tg_cfs_entry(&root_task_group, &rq.cfs, None, rq, cpu, None);
    INIT_LIST_HEAD(&rq.leaf_cfs_rq_list);
    rq.cpu_capacity.set(arch_scale_cpu_capacity(cpu));
    rq.balance_callback.set(Some(&balance_push_callback));
    rq.active_balance.set(0);
    rq.next_balance.set(jiffies());
    rq.push_cpu.set(0);
    rq.cpu.set(cpu as i32);
    rq.online.set(0);
    INIT_LIST_HEAD(&rq.cfsb_csd_list);
    rq.cfsb_csd.func.set(Some(__cfsb_csd_unthrottle));
    rq.cfsb_csd.info.set(u64::from(cpu));
    rq.idle_stamp.set(0);
    rq.avg_idle.set(2 * SYSCTL_SCHED_MIGRATION_COST);
    rq.max_idle_balance_cost.set(SYSCTL_SCHED_MIGRATION_COST);
    INIT_LIST_HEAD(&rq.cfs_tasks);
    // The boot CPU is active already and comes online in this.
    rq_attach_root(rq, &def_root_domain);
    rq.nr_iowait.store(0, Ordering::Relaxed);
    rq.nohz_csd.func.set(Some(nohz_csd_func));
    rq.nohz_csd.info.set(u64::from(cpu));
}

/// Makes a task the idle task of a CPU.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn init_idle(idle: TaskRef, cpu: u32) {
    let rq = cpu_rq(cpu);
    let guard = idle.pi_lock.lock_irqsave();
    raw_spin_rq_lock(rq);
    idle.__state.set(TASK_RUNNING);
    idle.se.exec_start.set(sched_clock());
    idle.flags.or(PF_KTHREAD | PF_NO_SETAFFINITY);
    kthread_set_per_cpu(idle, Some(cpu));
    set_cpus_allowed_common(
        idle,
        &AffinityContext {
            new_mask: &Cpumask::of(cpu),
            user_mask: None,
            flags: 0,
        },
    );
    __set_task_cpu(idle, cpu);
    rq.idle.set(Some(idle));
    rq.curr.set(Some(idle));
    idle.on_rq.set(TASK_ON_RQ_QUEUED);
    idle.on_cpu.store(1, Ordering::Relaxed);
    raw_spin_rq_unlock(rq);
    drop(guard);
    // The CPU's preempt_count starts at 1 (`INIT_PREEMPT_COUNT`): the idle task is not preempted.
    idle.sched_class.set(Some(&idle_sched_class));
    idle.set_comm(&CommBuf::format(format_args!("swapper/{cpu}")));
}

/// The CPUs of the boot are there: tasks may spread over them.
pub fn sched_init_smp() {
    let init = current();
    sched_init_domains(cpu_active_mask());
    // CPUs that come later, too.
    BUG_ON!(set_cpus_allowed_ptr(init, &cpu_possible_mask()) < 0);
    init.flags.and_not(PF_NO_SETAFFINITY);
    crate::kernel::sched::fair::sched_init_granularity();
    sched_smp_initialized.store(true, Ordering::Release);
}
