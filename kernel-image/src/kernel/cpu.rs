//! Bringing CPUs up, state by state.
//!
//! Linux: `kernel/cpu.c` (v6.8). Kept: the states' order and who runs them (the boot CPU up to
//! `CPUHP_BRINGUP_CPU`, the new CPU with interrupts off up to `CPUHP_AP_ONLINE`, then cpuhp/N one state a
//! loop), the parallel start of all CPUs, the hand-shake of boot and new CPU. Left out: going down,
//! dynamic states, roll-back (a CPU that fails to come up stops the boot with a message). Differs:
//! nothing else.
//! Locks: `cpu_add_remove_lock` outside everything, then `cpu_hotplug_lock`.

use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::smpboot::native_kick_ap;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpuhotplug::*;
use crate::include::linux::cpumask::{
    NR_CPUS, cpu_online, cpu_present_mask, set_cpu_active, set_cpu_online, set_cpu_possible,
    set_cpu_present,
};
use crate::include::linux::errno::{EINVAL, EIO, ENOMEM};
use crate::include::linux::irqflags::irqs_disabled;
use crate::include::linux::ktime::{NSEC_PER_MSEC, NSEC_PER_SEC};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::percpu_rwsem::PercpuRwSemaphore;
use crate::include::linux::sched::{TaskRef, smp_mb};
use crate::include::linux::smpboot::SmpHotplugThread;
use crate::include::linux::stop_machine::stop_machine_unpark;
use crate::init::main::{SystemStates, system_state};
use crate::kernel::kthread::kthread_unpark;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::completion::{complete, wait_for_completion};
use crate::kernel::sched::core::{sched_cpu_activate, sched_cpu_starting, wake_up_process};
use crate::kernel::smp::smpcfd_prepare_cpu;
use crate::kernel::smpboot::{
    idle_thread_get, smpboot_create_threads, smpboot_register_percpu_thread, smpboot_unpark_threads,
};
use crate::kernel::time::hrtimer::hrtimers_prepare_cpu;
use crate::kernel::time::timer::sleep::usleep_range;
use crate::kernel::time::timer::timers_prepare_cpu;
use crate::kernel::workqueue::{workqueue_online_cpu, workqueue_prepare_cpu};
use crate::{BUG_ON, WARN_ON, WARN_ON_ONCE, pr_err};
use core::sync::atomic::{AtomicU32, Ordering};

/// How far a starting CPU and the boot CPU have got with each other.
mod sync_state {
    /// Nothing yet.
    pub const DEAD: u32 = 0;
    /// Started by the boot CPU.
    pub const KICKED: u32 = 1;
    /// The new CPU runs.
    pub const ALIVE: u32 = 5;
    /// The boot CPU lets it go on.
    pub const SHOULD_ONLINE: u32 = 6;
    /// It idles.
    pub const ONLINE: u32 = 7;
}

/// A CPU's way up.
#[doc(alias = "cpuhp_cpu_state")]
struct CpuhpCpuState {
    state: Shared<CpuhpState>,
    target: Shared<CpuhpState>,
    thread: Shared<Option<TaskRef>>,
    should_run: Shared<bool>,
    result: Shared<i32>,
    ap_sync_state: AtomicU32,
    done_up: Completion,
}

static cpuhp_state: PerCpu<CpuhpCpuState> = PerCpu::new(
    [const {
        CpuhpCpuState {
            state: Shared::new(CPUHP_OFFLINE),
            target: Shared::new(CPUHP_OFFLINE),
            thread: Shared::new(None),
            should_run: Shared::new(false),
            result: Shared::new(0),
            ap_sync_state: AtomicU32::new(sync_state::DEAD),
            done_up: Completion::new(),
        }
    }; NR_CPUS],
);
static cpu_add_remove_lock: Mutex = Mutex::new();
/// Written while a CPU comes; read by who needs the set of online CPUs to stay.
static cpu_hotplug_lock: PercpuRwSemaphore = PercpuRwSemaphore::new();

/// From now on no CPU comes or goes.
///
/// # Context
/// May sleep.
pub fn cpus_read_lock() {
    cpu_hotplug_lock.down_read();
}

/// CPUs may come and go again.
pub fn cpus_read_unlock() {
    cpu_hotplug_lock.up_read();
}

fn cpus_write_lock() {
    cpu_hotplug_lock.down_write();
}

fn cpus_write_unlock() {
    cpu_hotplug_lock.up_write();
}

/// Complains if nobody holds the set of online CPUs, once there is more than the boot CPU's thread.
pub fn lockdep_assert_cpus_held() {
    if system_state.load(Ordering::Relaxed) >= SystemStates::Running as u32 {
        WARN_ON_ONCE!(!cpu_hotplug_lock.is_held());
    }
}

/// A state's name and what is done to enter it.
#[doc(alias = "cpuhp_step")]
struct CpuhpStep {
    state: CpuhpState,
    name: &'static str,
    startup: fn(u32) -> i32,
}

const fn step(state: CpuhpState, name: &'static str, startup: fn(u32) -> i32) -> CpuhpStep {
    CpuhpStep {
        state,
        name,
        startup,
    }
}

/// Every state with something to do, in order.
static cpuhp_hp_states: [CpuhpStep; 12] = [
    step(
        CPUHP_CREATE_THREADS,
        "threads:prepare",
        smpboot_create_threads,
    ),
    step(
        CPUHP_WORKQUEUE_PREP,
        "workqueue:prepare",
        workqueue_prepare_cpu,
    ),
    step(
        CPUHP_HRTIMERS_PREPARE,
        "hrtimers:prepare",
        hrtimers_prepare_cpu,
    ),
    step(CPUHP_SMPCFD_PREPARE, "smpcfd:prepare", smpcfd_prepare_cpu),
    step(CPUHP_TIMERS_PREPARE, "timers:prepare", timers_prepare_cpu),
    step(CPUHP_BP_KICK_AP, "cpu:kick_ap", cpuhp_kick_ap_alive),
    step(CPUHP_BRINGUP_CPU, "cpu:bringup", cpuhp_bringup_ap),
    step(
        CPUHP_AP_CACHECTRL_STARTING,
        "x86/cachectrl:starting",
        crate::kernel::kreplay::stopstorm::inactive::cpu_starting,
    ),
    step(
        CPUHP_AP_SCHED_STARTING,
        "sched:starting",
        sched_cpu_starting,
    ),
    step(
        CPUHP_AP_SMPBOOT_THREADS,
        "smpboot/threads:online",
        smpboot_unpark_threads,
    ),
    step(
        CPUHP_AP_WORKQUEUE_ONLINE,
        "workqueue:online",
        workqueue_online_cpu,
    ),
    step(CPUHP_AP_ACTIVE, "sched:active", sched_cpu_activate),
];

/// The first step above `state` and not above `target`.
fn cpuhp_next_step(state: CpuhpState, target: CpuhpState) -> Option<&'static CpuhpStep> {
    cpuhp_hp_states
        .iter()
        .find(|step| step.state > state && step.state <= target)
}

/// Runs a step. The state is changed before its callback, as Linux does going up.
fn cpuhp_invoke_callback(cpu: u32, st: &CpuhpCpuState, step: &CpuhpStep) -> i32 {
    st.state.set(step.state);
    let ret = (step.startup)(cpu);
    if ret != 0 {
        pr_err!(
            "CPU{cpu}: hotplug state {} ({}) failed: {ret}",
            step.state,
            step.name
        );
    }
    ret
}

/// Runs all steps up to `target` on this CPU.
fn cpuhp_up_callbacks(cpu: u32, st: &CpuhpCpuState, target: CpuhpState) -> i32 {
    while let Some(step) = cpuhp_next_step(st.state.get(), target) {
        let ret = cpuhp_invoke_callback(cpu, st, step);
        if ret != 0 {
            return ret;
        }
    }
    if st.state.get() < target {
        st.state.set(target);
    }
    0
}

fn cpuhp_ap_update_sync_state(st: &CpuhpCpuState, state: u32) {
    st.ap_sync_state.store(state, Ordering::SeqCst);
}

/// The new CPU says that it lives and waits until it may go on. Interrupts are off.
pub fn cpuhp_ap_sync_alive() {
    let st = cpuhp_state.per_cpu(raw_smp_processor_id());
    cpuhp_ap_update_sync_state(st, sync_state::ALIVE);
    while st.ap_sync_state.load(Ordering::Acquire) != sync_state::SHOULD_ONLINE {
        cpu_relax();
    }
}

/// The boot CPU waits for the new CPU and lets it go on.
fn cpuhp_bp_sync_alive(st: &CpuhpCpuState) -> bool {
    let start = sched_clock();
    while st.ap_sync_state.load(Ordering::Acquire) != sync_state::ALIVE {
        let waited = sched_clock().wrapping_sub(start) as i64;
        if waited > 10 * NSEC_PER_SEC {
            return false;
        }
        if waited < NSEC_PER_MSEC {
            cpu_relax();
        } else {
            usleep_range(1000, 2000);
        }
    }
    cpuhp_ap_update_sync_state(st, sync_state::SHOULD_ONLINE);
    true
}

fn cpuhp_kick_ap_alive(cpu: u32) -> i32 {
    let st = cpuhp_state.per_cpu(cpu);
    let Some(idle) = idle_thread_get(cpu) else {
        return -ENOMEM;
    };
    cpuhp_ap_update_sync_state(st, sync_state::KICKED);
    native_kick_ap(cpu, idle)
}

fn cpuhp_bringup_ap(cpu: u32) -> i32 {
    let st = cpuhp_state.per_cpu(cpu);
    if !cpuhp_bp_sync_alive(st) {
        pr_err!("CPU{cpu} failed to report alive state");
        return -EIO;
    }
    bringup_wait_for_ap_online(cpu, st)
}

/// Waits until the new CPU idles, then lets its cpuhp thread do the rest.
fn bringup_wait_for_ap_online(cpu: u32, st: &'static CpuhpCpuState) -> i32 {
    wait_for_completion(&st.done_up);
    if WARN_ON_ONCE!(!cpu_online(cpu)) {
        return -EINVAL;
    }
    let Some(thread) = st.thread.get() else {
        return -EINVAL;
    };
    kthread_unpark(thread);
    if st.target.get() <= CPUHP_AP_ONLINE_IDLE {
        return 0;
    }
    __cpuhp_kick_ap(st);
    st.result.get()
}

fn __cpuhp_kick_ap(st: &'static CpuhpCpuState) {
    st.result.set(0);
    // The thread looks at the target after it has seen the flag.
    smp_mb();
    st.should_run.set(true);
    if let Some(thread) = st.thread.get() {
        wake_up_process(thread);
    }
    wait_for_completion(&st.done_up);
}

/// The new CPU's own part, before it is online. Interrupts are off.
pub fn notify_cpu_starting(cpu: u32) {
    let st = cpuhp_state.per_cpu(cpu);
    BUG_ON!(!irqs_disabled());
    let target = st.target.get().min(CPUHP_AP_ONLINE);
    // None of these may fail.
    WARN_ON_ONCE!(cpuhp_up_callbacks(cpu, st, target) != 0);
}

/// The new CPU has reached its idle loop: its stopper takes works, and the boot CPU hears of it.
pub fn cpuhp_online_idle(state: CpuhpState) {
    if state != CPUHP_AP_ONLINE_IDLE {
        return;
    }
    let cpu = raw_smp_processor_id();
    let st = cpuhp_state.per_cpu(cpu);
    cpuhp_ap_update_sync_state(st, sync_state::ONLINE);
    // Before the CPU can be moved to: whoever moves a task here may need to move it away again.
    stop_machine_unpark(cpu);
    st.state.set(CPUHP_AP_ONLINE_IDLE);
    complete(&st.done_up);
}

fn cpuhp_should_run(cpu: u32) -> bool {
    cpuhp_state.per_cpu(cpu).should_run.get()
}

/// cpuhp/N: one step a call.
extern "C" fn cpuhp_thread_fun(cpu: u32) {
    let st = cpuhp_state.per_cpu(cpu);
    smp_mb();
    if WARN_ON_ONCE!(!st.should_run.get()) {
        return;
    }
    let target = st.target.get();
    match cpuhp_next_step(st.state.get(), target) {
        Some(step) => st.result.set(cpuhp_invoke_callback(cpu, st, step)),
        None => st.state.set(target),
    }
    if st.result.get() != 0 || st.state.get() >= target {
        st.should_run.set(false);
        complete(&st.done_up);
    }
}

fn cpuhp_create(cpu: u32) {
    cpuhp_state.per_cpu(cpu).done_up.reinit();
}

fn cpuhp_store(cpu: u32) -> &'static Shared<Option<TaskRef>> {
    &cpuhp_state.per_cpu(cpu).thread
}

static cpuhp_threads: SmpHotplugThread = SmpHotplugThread {
    store: cpuhp_store,
    create: Some(cpuhp_create),
    thread_should_run: cpuhp_should_run,
    thread_fn: cpuhp_thread_fun,
    thread_comm: "cpuhp",
    selfparking: true,
    ..SmpHotplugThread::EMPTY
};

/// Makes the cpuhp thread of this CPU; the others' come with their CPUs.
pub fn cpuhp_threads_init() {
    BUG_ON!(smpboot_register_percpu_thread(&cpuhp_threads) != 0);
    if let Some(thread) = cpuhp_state.this_cpu().thread.get() {
        kthread_unpark(thread);
    }
}

/// The boot CPU is there.
pub fn boot_cpu_init() {
    let cpu = raw_smp_processor_id();
    set_cpu_online(cpu, true);
    set_cpu_active(cpu, true);
    set_cpu_present(cpu, true);
    set_cpu_possible(cpu, true);
}

/// The boot CPU has passed all states.
pub fn boot_cpu_hotplug_init() {
    let st = cpuhp_state.this_cpu();
    st.ap_sync_state
        .store(sync_state::ONLINE, Ordering::Relaxed);
    st.state.set(CPUHP_ONLINE);
    st.target.set(CPUHP_ONLINE);
}

fn cpu_up(cpu: u32, target: CpuhpState) -> i32 {
    let st = cpuhp_state.per_cpu(cpu);
    if st.state.get() >= target {
        return 0;
    }
    cpus_write_lock();
    st.target.set(target);
    // The boot CPU's own steps end where the new CPU takes over.
    let ret = cpuhp_up_callbacks(cpu, st, target.min(CPUHP_BRINGUP_CPU));
    cpus_write_unlock();
    ret
}

/// Brings present CPUs up, `max_cpus` with the boot CPU at most: first all are started, then each is
/// completed.
///
/// # Context
/// May sleep.
pub fn bringup_nonboot_cpus(max_cpus: u32) {
    cpu_add_remove_lock.lock();
    for target in [CPUHP_BP_KICK_AP, CPUHP_ONLINE] {
        for cpu in cpu_present_mask().iter().take(max_cpus as usize) {
            if !cpu_online(cpu) {
                WARN_ON!(cpu_up(cpu, target) != 0);
            }
        }
    }
    cpu_add_remove_lock.unlock();
}
