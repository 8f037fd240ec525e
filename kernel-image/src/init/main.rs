//! From the architecture's hand-over to the workload: `start_kernel`, `rest_init`, `kernel_init`.
//!
//! Linux: `init/main.c` (v6.8). Kept: the order of every call whose room exists here, the two first
//! tasks, the initcall levels with their checks, `system_state`. Left out: the rooms this kernel lacks
//! (memory beyond the heap, files, security, cgroups). Differs: instead of an init program a workload
//! runs as pid 1, and the machine is powered off when it returns.

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::acpi::acpi_early_init;
use crate::arch::x86::kernel::irq::{early_irq_init, init_IRQ};
use crate::arch::x86::kernel::setup::{
    arch_cpu_finalize_init, setup_arch, setup_nr_cpu_ids, setup_per_cpu_areas,
};
use crate::arch::x86::kernel::smpboot::{smp_prepare_boot_cpu, smp_prepare_cpus};
use crate::arch::x86::kernel::time::{late_time_init, time_init};
use crate::arch::x86::kernel::traps::trap_init;
use crate::arch::x86::kernel::tsc::calibrate_delay;
use crate::fence::void::VoidPtr;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpuhotplug::CPUHP_ONLINE;
use crate::include::linux::cpumask::{Cpumask, nr_cpu_ids};
use crate::include::linux::irqflags::{irqs_disabled, local_irq_disable, local_irq_enable};
use crate::include::linux::preempt::{preempt_count, preempt_count_set};
use crate::include::linux::rcupdate::{
    rcu_end_inkernel_boot, rcu_init, rcu_init_tasks_generic, rcu_scheduler_starting,
};
use crate::include::linux::sched::PF_NO_SETAFFINITY;
use crate::include::linux::sched::task::{CLONE_FILES, CLONE_FS};
use crate::init::init_task::init_task_early;
use crate::kernel::cpu::{boot_cpu_hotplug_init, boot_cpu_init};
use crate::kernel::fork::{fork_init, kernel_thread, user_mode_thread};
use crate::kernel::kreplay::run_workload;
use crate::kernel::kthread::{kthreadd, kthreadd_task};
use crate::kernel::params::{param, saved_command_line};
use crate::kernel::pid::{find_task_by_pid, pid_idr_init, set_pid_max};
use crate::kernel::printk::printk::{console_init, printk_early_params};
use crate::kernel::rcu::update::rcu_set_runtime_mode;
use crate::kernel::reboot::kernel_power_off;
use crate::kernel::sched::clock::{sched_clock, sched_clock_init};
use crate::kernel::sched::completion::{complete, wait_for_completion};
use crate::kernel::sched::core::{
    sched_init, sched_init_smp, schedule_preempt_disabled, set_cpus_allowed_ptr,
};
use crate::kernel::sched::idle::cpu_startup_entry;
use crate::kernel::smp::{call_function_init, smp_init};
use crate::kernel::softirq::softirq_init;
use crate::kernel::time::hrtimer::hrtimers_init;
use crate::kernel::time::tick_common::tick_init;
use crate::kernel::time::timekeeping::timekeeping_init;
use crate::kernel::time::timer::init_timers;
use crate::kernel::workqueue::{workqueue_init, workqueue_init_early, workqueue_init_topology};
use crate::mm::init::{free_initmem, mm_core_init};
use crate::mm::slub::kmem_cache_init_late;
use crate::mm::vmstat::init_mm_internals;
use crate::net::core::net_namespace::net_ns_init;
use crate::{WARN, pr_notice};
use core::sync::atomic::{AtomicU32, Ordering};

/// How far the system has come.
#[doc(alias = "system_states")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u32)]
pub enum SystemStates {
    /// Until the scheduler's first switch.
    Booting = 0,
    /// Tasks are switched.
    Scheduling = 1,
    /// Start-up memory goes.
    FreeingInitmem = 2,
    /// Complete.
    Running = 3,
    /// About to halt.
    Halt = 4,
    /// About to power off.
    PowerOff = 5,
}

/// `SystemStates`, as a number.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static system_state: AtomicU32 = AtomicU32::new(SystemStates::Booting as u32);

/// Moves the system on.
pub fn set_system_state(state: SystemStates) {
    system_state.store(state as u32, Ordering::Release);
}

static kthreadd_done: Completion = Completion::new();

/// The kernel's first function that knows no architecture.
///
/// # Context
/// The boot CPU on `init_task`'s stack, interrupts off.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn start_kernel() -> ! {
    init_task_early();
    local_irq_disable();
    boot_cpu_init();
    pr_notice!("{}", crate::init::version::linux_banner);
    setup_arch();
    setup_nr_cpu_ids();
    setup_per_cpu_areas();
    smp_prepare_boot_cpu();
    boot_cpu_hotplug_init();
    pr_notice!("Kernel command line: {}", saved_command_line());
    printk_early_params();
    trap_init();
    mm_core_init();
    // Before any interrupt: the tick will call into the scheduler.
    sched_init();
    if WARN!(
        !irqs_disabled(),
        "Interrupts were enabled *very* early, fixing it\n"
    ) {
        local_irq_disable();
    }
    workqueue_init_early();
    rcu_init();
    early_irq_init();
    init_IRQ();
    tick_init();
    init_timers();
    hrtimers_init();
    softirq_init();
    timekeeping_init();
    time_init();
    call_function_init();
    local_irq_enable();
    kmem_cache_init_late();
    console_init();
    acpi_early_init();
    late_time_init();
    sched_clock_init();
    calibrate_delay();
    arch_cpu_finalize_init();
    pid_idr_init();
    fork_init();
    net_ns_init();
    rest_init()
}

/// Makes the first two tasks and becomes the idle task.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rest_init() -> ! {
    rcu_scheduler_starting();
    // Before kthreadd, so that it gets pid 1; it waits until kthreadd is there.
    let pid = user_mode_thread(kernel_init, VoidPtr::NULL, CLONE_FS);
    let tsk = find_task_by_pid(pid).expect("no pid 1");
    // It stays on the boot CPU until all CPUs are up.
    tsk.flags.or(PF_NO_SETAFFINITY);
    set_cpus_allowed_ptr(tsk, &Cpumask::of(raw_smp_processor_id()));

    let pid = kernel_thread(kthreadd, VoidPtr::NULL, None, CLONE_FS | CLONE_FILES);
    kthreadd_task.set(find_task_by_pid(pid));
    set_system_state(SystemStates::Scheduling);
    complete(&kthreadd_done);
    // The first switch.
    schedule_preempt_disabled();
    cpu_startup_entry(CPUHP_ONLINE)
}

/// pid 1.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn kernel_init(_unused: VoidPtr) -> i32 {
    wait_for_completion(&kthreadd_done);
    kernel_init_freeable();
    set_system_state(SystemStates::FreeingInitmem);
    free_initmem();
    set_system_state(SystemStates::Running);
    rcu_end_inkernel_boot();
    do_sysctl_args();
    run_workload();
    set_system_state(SystemStates::PowerOff);
    kernel_power_off()
}

#[inline(never)]
fn kernel_init_freeable() {
    smp_prepare_cpus(nr_cpu_ids.load(Ordering::Relaxed));
    workqueue_init();
    init_mm_internals();
    rcu_init_tasks_generic();
    do_pre_smp_initcalls();
    smp_init();
    sched_init_smp();
    workqueue_init_topology();
    do_basic_setup();
}

/// Parameters of the form `sysctl.kernel.pid_max=`.
fn do_sysctl_args() {
    if let Some(text) = param("sysctl.kernel.pid_max")
        && text
            .as_u64()
            .is_none_or(|max| set_pid_max(max.min(i32::MAX as u64) as i32) != 0)
    {
        crate::pr_err!("Setting sysctl args: error setting sysctl kernel.pid_max={text}");
    }
}

/// One step of the start-up.
struct Initcall {
    name: &'static str,
    call: fn() -> i32,
}

macro_rules! initcalls {
    ($($call:expr => $name:literal,)*) => {
        &[$(Initcall { name: $name, call: || $call() }),*]
    };
}

/// Before the other CPUs, in link order of the files they are in.
static early_initcalls: &[Initcall] = initcalls! {
    crate::kernel::softirq::spawn_ksoftirqd => "spawn_ksoftirqd",
    crate::kernel::rcu::tree::rcu_spawn_gp_kthread => "rcu_spawn_gp_kthread",
    crate::kernel::stop_machine::cpu_stop_init => "cpu_stop_init",
};

/// The levels and what is done at them, in link order: kernel, mm, fs, drivers, net.
static initcall_levels: [(&str, &[Initcall]); 8] = [
    ("pure", initcalls! {}),
    ("core", initcalls! {}),
    (
        "postcore",
        initcalls! {
            crate::mm::page_alloc::init_per_zone_wmark_min => "init_per_zone_wmark_min",
        },
    ),
    ("arch", initcalls! {}),
    (
        "subsys",
        initcalls! {
            crate::drivers::base::cpu::topology_init => "topology_init",
            crate::mm::oom_kill::oom_init => "oom_init",
            crate::mm::backing_dev::default_bdi_init => "default_bdi_init",
            crate::mm::compaction::kcompactd_init => "kcompactd_init",
        },
    ),
    ("fs", initcalls! {}),
    (
        "device",
        initcalls! {
            crate::mm::vmscan::kswapd_init => "kswapd_init",
        },
    ),
    ("late", initcalls! {}),
];

/// Runs one step; a step must leave preemption and interrupts as it found them.
fn do_one_initcall(initcall: &Initcall) -> i32 {
    let count = preempt_count();
    let debug = param("initcall_debug").is_some();
    if debug {
        crate::pr_info!("calling  {} @ {}", initcall.name, current().pid.get());
    }
    let start = sched_clock();
    let ret = (initcall.call)();
    if debug {
        crate::pr_info!(
            "initcall {} returned {ret} after {} usecs",
            initcall.name,
            sched_clock().wrapping_sub(start) / 1000
        );
    }
    if WARN!(
        preempt_count() != count,
        "initcall {} returned with preemption imbalance\n",
        initcall.name
    ) {
        preempt_count_set(count);
    }
    if WARN!(
        irqs_disabled(),
        "initcall {} returned with disabled interrupts\n",
        initcall.name
    ) {
        local_irq_enable();
    }
    ret
}

fn do_pre_smp_initcalls() {
    for initcall in early_initcalls {
        do_one_initcall(initcall);
    }
}

fn do_initcalls() {
    for (_level, calls) in &initcall_levels {
        for initcall in *calls {
            do_one_initcall(initcall);
        }
    }
}

/// All CPUs are up and the scheduler knows them: everything else starts.
fn do_basic_setup() {
    // A core initcall in Linux, which has no other before it that matters.
    rcu_set_runtime_mode();
    do_initcalls();
}
