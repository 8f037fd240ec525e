//! CPUs coming and going, state by state.
//!
//! Linux: `kernel/cpu.c` (v6.8), here a file and a folder: `states` (the table, callbacks that come and go
//! at run time), `up`, `down`, this file (locks, the machine that walks the states, cpuhp/N).
//! Kept: the states' order and who runs them (the controlling CPU up to `CPUHP_BRINGUP_CPU` and in
//! `CPUHP_TEARDOWN_CPU`, the CPU itself with interrupts off up to `CPUHP_AP_ONLINE`, then cpuhp/N one
//! state a loop), roll-back after an error, injected failures, the hand-shake of both CPUs, the parallel
//! start at boot. Left out: states with several instances, SMT control, suspend's freezing, sysfs but for
//! what `drivers/base/cpu.rs` has. Differs: nothing else.
//! Locks: `cpu_add_remove_lock` outside everything, then `cpu_hotplug_lock`, then `cpuhp_state_mutex`.

pub mod down;
mod states;
mod up;

use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpuhotplug::*;
use crate::include::linux::cpumask::{
    NR_CPUS, cpu_dying, cpu_online, set_cpu_active, set_cpu_dying, set_cpu_online,
    set_cpu_possible, set_cpu_present,
};
use crate::include::linux::errno::EAGAIN;
use crate::include::linux::irqflags::{local_irq_disable, local_irq_enable};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::percpu_rwsem::PercpuRwSemaphore;
use crate::include::linux::sched::{TaskRef, smp_mb};
use crate::include::linux::smpboot::SmpHotplugThread;
use crate::include::trace::events::cpuhp::{trace_cpuhp_enter, trace_cpuhp_exit};
use crate::init::main::{SystemStates, system_state};
use crate::kernel::kthread::kthread_unpark;
use crate::kernel::sched::completion::{complete, wait_for_completion};
use crate::kernel::sched::core::wake_up_process;
use crate::kernel::smpboot::smpboot_register_percpu_thread;
use crate::{BUG_ON, WARN_ON_ONCE, pr_warn};
use core::sync::atomic::{AtomicU32, Ordering};
use states::{cpuhp_get_step, cpuhp_is_ap_state, cpuhp_is_atomic_state, cpuhp_step_empty};

pub use down::{cpu_down, cpu_hotplug_disable, cpu_hotplug_enable, cpuhp_report_idle_dead};
pub use states::{
    cpuhp_remove_state, cpuhp_remove_state_nocalls, cpuhp_setup_state, cpuhp_setup_state_nocalls,
    write_cpuhp_fail,
};
pub use up::{
    bringup_nonboot_cpus, cpu_up, cpuhp_ap_sync_alive, cpuhp_online_idle, notify_cpu_starting,
};

/// What is to be done to enter a state, or to leave it: 0 or an error.
pub type CpuhpCallback = fn(u32) -> i32;

/// A CPU's way up or down. Fields: written by the controlling CPU while the other waits for it, or the
/// other way round; the completions order them.
#[doc(alias = "cpuhp_cpu_state")]
struct CpuhpCpuState {
    /// Where it is. Going up the state whose callback runs, going down the one below.
    state: Shared<CpuhpState>,
    /// Where it goes.
    target: Shared<CpuhpState>,
    /// A state that shall fail once (`CPUHP_INVALID`: none).
    fail: Shared<CpuhpState>,
    /// cpuhp/N.
    thread: Shared<Option<TaskRef>>,
    /// It has something to do.
    should_run: Shared<bool>,
    /// An error has turned the direction round.
    rollback: Shared<bool>,
    /// It shall run one callback only, that of `cb_state`.
    single: Shared<bool>,
    /// Up, or down.
    bringup: Shared<bool>,
    cb_state: Shared<CpuhpState>,
    result: Shared<i32>,
    ap_sync_state: AtomicU32,
    done_up: Completion,
    done_down: Completion,
}

static cpuhp_state: PerCpu<CpuhpCpuState> = PerCpu::new(
    [const {
        CpuhpCpuState {
            state: Shared::new(CPUHP_OFFLINE),
            target: Shared::new(CPUHP_OFFLINE),
            fail: Shared::new(CPUHP_INVALID),
            thread: Shared::new(None),
            should_run: Shared::new(false),
            rollback: Shared::new(false),
            single: Shared::new(false),
            bringup: Shared::new(false),
            cb_state: Shared::new(CPUHP_OFFLINE),
            result: Shared::new(0),
            ap_sync_state: AtomicU32::new(up::sync_state::DEAD),
            done_up: Completion::new(),
            done_down: Completion::new(),
        }
    }; NR_CPUS],
);
/// One operation at a time.
static cpu_add_remove_lock: Mutex = Mutex::new();
/// Written while a CPU comes or goes; read by who needs the set of online CPUs to stay.
static cpu_hotplug_lock: PercpuRwSemaphore = PercpuRwSemaphore::new();

/// No CPU shall begin to come or go until `cpu_maps_update_done`.
fn cpu_maps_update_begin() {
    cpu_add_remove_lock.lock();
}

fn cpu_maps_update_done() {
    cpu_add_remove_lock.unlock();
}

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

/// The state a CPU is in, for tests and reports.
pub fn cpuhp_state_of(cpu: u32) -> CpuhpState {
    cpuhp_state.per_cpu(cpu).state.get()
}

fn wait_for_ap_thread(st: &'static CpuhpCpuState, bringup: bool) {
    wait_for_completion(if bringup { &st.done_up } else { &st.done_down });
}

fn complete_ap_thread(st: &'static CpuhpCpuState, bringup: bool) {
    complete(if bringup { &st.done_up } else { &st.done_down });
}

/// Runs the callback of a state for one direction.
fn cpuhp_invoke_callback(cpu: u32, state: CpuhpState, bringup: bool) -> i32 {
    let st = cpuhp_state.per_cpu(cpu);
    if st.fail.get() == state {
        st.fail.set(CPUHP_INVALID);
        return -EAGAIN;
    }
    let Some(cb) = cpuhp_get_step(state).callback(bringup) else {
        WARN_ON_ONCE!(true);
        return 0;
    };
    trace_cpuhp_enter(cpu, st.target.get(), state, cb);
    let ret = cb(cpu);
    trace_cpuhp_exit(cpu, st.state.get(), state, ret);
    ret
}

/// Turns a CPU towards a target; returns where it is.
fn cpuhp_set_state(cpu: u32, st: &CpuhpCpuState, target: CpuhpState) -> CpuhpState {
    let prev_state = st.state.get();
    let bringup = prev_state < target;
    st.rollback.set(false);
    st.target.set(target);
    st.single.set(false);
    st.bringup.set(bringup);
    if cpu_dying(cpu) == bringup {
        set_cpu_dying(cpu, !bringup);
    }
    prev_state
}

/// Turns a CPU round after an error, towards where it came from.
fn cpuhp_reset_state(cpu: u32, st: &CpuhpCpuState, prev_state: CpuhpState) {
    let bringup = !st.bringup.get();
    st.target.set(prev_state);
    // A second error on the way back changes nothing more.
    if st.rollback.get() {
        return;
    }
    st.rollback.set(true);
    // The state that failed was not reached: the way back begins before it.
    st.state.add(if bringup { 1 } else { -1 });
    st.bringup.set(bringup);
    if cpu_dying(cpu) == bringup {
        set_cpu_dying(cpu, !bringup);
    }
}

/// Moves the CPU by one state that has a callback for this direction; which one, or none if the target
/// is reached first.
fn cpuhp_next_state(bringup: bool, st: &CpuhpCpuState, target: CpuhpState) -> Option<CpuhpState> {
    loop {
        let state = st.state.get();
        let step = if bringup {
            if state >= target {
                return None;
            }
            st.state.set(state + 1);
            state + 1
        } else {
            if state <= target {
                return None;
            }
            st.state.set(state - 1);
            state
        };
        if !cpuhp_step_empty(bringup, cpuhp_get_step(step)) {
            return Some(step);
        }
    }
}

fn __cpuhp_invoke_callback_range(
    bringup: bool,
    cpu: u32,
    st: &CpuhpCpuState,
    target: CpuhpState,
    nofail: bool,
) -> i32 {
    let mut ret = 0;
    while let Some(state) = cpuhp_next_state(bringup, st, target) {
        let err = cpuhp_invoke_callback(cpu, state, bringup);
        if err == 0 {
            continue;
        }
        if !nofail {
            return err;
        }
        pr_warn!(
            "CPU {cpu} {} state {} ({}) failed ({err})",
            if bringup { "UP" } else { "DOWN" },
            cpuhp_get_step(st.state.get()).name(),
            st.state.get()
        );
        ret = -1;
    }
    ret
}

/// Walks a CPU to a target; ends at the first error.
fn cpuhp_invoke_callback_range(
    bringup: bool,
    cpu: u32,
    st: &CpuhpCpuState,
    target: CpuhpState,
) -> i32 {
    __cpuhp_invoke_callback_range(bringup, cpu, st, target, false)
}

/// The same where nothing may fail.
fn cpuhp_invoke_callback_range_nofail(
    bringup: bool,
    cpu: u32,
    st: &CpuhpCpuState,
    target: CpuhpState,
) {
    __cpuhp_invoke_callback_range(bringup, cpu, st, target, true);
}

/// Lets cpuhp/N do its part and waits for it.
fn __cpuhp_kick_ap(st: &'static CpuhpCpuState) {
    if !st.single.get() && st.state.get() == st.target.get() {
        return;
    }
    st.result.set(0);
    // The thread looks at the target after it has seen the flag.
    smp_mb();
    st.should_run.set(true);
    if let Some(thread) = st.thread.get() {
        wake_up_process(thread);
    }
    wait_for_ap_thread(st, st.bringup.get());
}

/// The same, and back again if it failed.
fn cpuhp_kick_ap(cpu: u32, st: &'static CpuhpCpuState, target: CpuhpState) -> i32 {
    let prev_state = cpuhp_set_state(cpu, st, target);
    __cpuhp_kick_ap(st);
    let ret = st.result.get();
    if ret != 0 {
        cpuhp_reset_state(cpu, st, prev_state);
        __cpuhp_kick_ap(st);
    }
    ret
}

fn cpuhp_kick_ap_work(cpu: u32) -> i32 {
    let st = cpuhp_state.per_cpu(cpu);
    let prev_state = st.state.get();
    trace_cpuhp_enter(cpu, st.target.get(), prev_state, cpuhp_kick_ap_work);
    let ret = cpuhp_kick_ap(cpu, st, st.target.get());
    trace_cpuhp_exit(cpu, st.state.get(), prev_state, ret);
    ret
}

fn cpuhp_should_run(cpu: u32) -> bool {
    cpuhp_state.per_cpu(cpu).should_run.get()
}

/// cpuhp/N: one step a call, so that it stays open to be parked, stopped and preempted between two.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn cpuhp_thread_fun(cpu: u32) {
    let st = cpuhp_state.per_cpu(cpu);
    let bringup = st.bringup.get();
    // Pairs with the kick: what it wrote before the flag is seen now.
    smp_mb();
    if WARN_ON_ONCE!(!st.should_run.get()) {
        return;
    }
    let next = if st.single.get() {
        st.should_run.set(false);
        Some(st.cb_state.get())
    } else {
        let next = cpuhp_next_state(bringup, st, st.target.get());
        st.should_run.set(next.is_some());
        next
    };
    if let Some(state) = next {
        st.result.set(cpuhp_run_step(cpu, state, bringup));
        if st.result.get() != 0 {
            // A way back that fails leads nowhere.
            WARN_ON_ONCE!(st.rollback.get());
            st.should_run.set(false);
        }
    }
    if !st.should_run.get() {
        complete_ap_thread(st, bringup);
    }
}

fn cpuhp_run_step(cpu: u32, state: CpuhpState, bringup: bool) -> i32 {
    WARN_ON_ONCE!(!cpuhp_is_ap_state(state));
    if !cpuhp_is_atomic_state(state) {
        return cpuhp_invoke_callback(cpu, state, bringup);
    }
    // A callback that is added later for a state that the CPU has passed.
    local_irq_disable();
    let ret = cpuhp_invoke_callback(cpu, state, bringup);
    local_irq_enable();
    WARN_ON_ONCE!(ret != 0);
    ret
}

/// Runs one callback of a CPU that is up already, on that CPU.
fn cpuhp_invoke_ap_callback(cpu: u32, state: CpuhpState, bringup: bool) -> i32 {
    let st = cpuhp_state.per_cpu(cpu);
    if !cpu_online(cpu) {
        return 0;
    }
    if st.thread.get().is_none() {
        return cpuhp_invoke_callback(cpu, state, bringup);
    }
    st.rollback.set(false);
    st.bringup.set(bringup);
    st.cb_state.set(state);
    st.single.set(true);
    __cpuhp_kick_ap(st);
    st.result.get()
}

fn cpuhp_create(cpu: u32) {
    let st = cpuhp_state.per_cpu(cpu);
    st.done_up.reinit();
    st.done_down.reinit();
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
        .store(up::sync_state::ONLINE, Ordering::Relaxed);
    st.state.set(CPUHP_ONLINE);
    st.target.set(CPUHP_ONLINE);
}
