//! A CPU comes: the controlling CPU's side and its own.
//!
//! Linux: `kernel/cpu.c` (v6.8): `cpu_up`, `bringup_nonboot_cpus`, `cpuhp_bringup_ap`,
//! `notify_cpu_starting`, `cpuhp_online_idle`, the `cpuhp_ap_sync` states. Kept: the hand-shake with its time
//! limit, the parallel start (`cpuhp.parallel=0` turns it off), the way back after an error. Left out: SMT's
//! part, memory nodes. Differs: nothing else. Locks: see `kernel/cpu.rs`.

use super::{
    CpuhpCpuState, complete_ap_thread, cpu_maps_update_begin, cpu_maps_update_done,
    cpuhp_invoke_callback_range, cpuhp_invoke_callback_range_nofail, cpuhp_kick_ap,
    cpuhp_kick_ap_work, cpuhp_reset_state, cpuhp_set_state, cpuhp_state, cpus_write_lock,
    cpus_write_unlock, down, wait_for_ap_thread,
};
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::cpu::topology::topology_is_primary_thread;
use crate::arch::x86::kernel::smpboot::native_kick_ap;
use crate::include::linux::cpuhotplug::*;
use crate::include::linux::cpumask::{
    Cpumask, cpu_online, cpu_possible, cpu_present, cpu_present_mask, num_online_cpus,
};
use crate::include::linux::errno::{EAGAIN, EBUSY, ECANCELED, EINVAL, EIO, ENOMEM};
use crate::include::linux::irqflags::irqs_disabled;
use crate::include::linux::ktime::{NSEC_PER_MSEC, NSEC_PER_SEC};
use crate::include::linux::stop_machine::stop_machine_unpark;
use crate::kernel::kthread::kthread_unpark;
use crate::kernel::params::param;
use crate::kernel::rcu::tree::rcutree_report_cpu_starting;
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::smpboot::idle_thread_get;
use crate::kernel::time::timer::sleep::usleep_range;
use crate::{BUG_ON, WARN_ON, WARN_ON_ONCE, pr_debug, pr_err};
use core::sync::atomic::Ordering;

/// How far a CPU and the one that controls it have got with each other (`cpuhp_sync_state`).
pub(super) mod sync_state {
    /// Off, or it has never run.
    pub const DEAD: u32 = 0;
    /// Started by the controlling CPU.
    pub const KICKED: u32 = 1;
    /// The controlling CPU waits for its end.
    pub const SHOULD_DIE: u32 = 2;
    /// It runs.
    pub const ALIVE: u32 = 3;
    /// The controlling CPU lets it go on.
    pub const SHOULD_ONLINE: u32 = 4;
    /// It idles.
    pub const ONLINE: u32 = 5;
}

pub(super) fn cpuhp_ap_update_sync_state(state: u32) {
    let st = cpuhp_state.per_cpu(raw_smp_processor_id());
    st.ap_sync_state.store(state, Ordering::SeqCst);
}

/// The new CPU says that it lives and waits until it may go on. Interrupts are off.
pub fn cpuhp_ap_sync_alive() {
    let st = cpuhp_state.per_cpu(raw_smp_processor_id());
    // Linux stores. But a CPU that hung here from an attempt before, and is started anew, may have been seen
    // alive just before the start took effect: then it may go on already, and must not say ALIVE once more.
    let at = st.ap_sync_state.load(Ordering::Acquire);
    if at != sync_state::SHOULD_ONLINE {
        let _ = st.ap_sync_state.compare_exchange(
            at,
            sync_state::ALIVE,
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
    }
    while st.ap_sync_state.load(Ordering::Acquire) != sync_state::SHOULD_ONLINE {
        cpu_relax();
    }
}

/// Waits for a state and moves the CPU on to the next one.
///
/// # Returns
/// False after 10 s.
pub(super) fn cpuhp_wait_for_sync_state(cpu: u32, state: u32, next_state: u32) -> bool {
    let at = &cpuhp_state.per_cpu(cpu).ap_sync_state;
    let start = sched_clock();
    loop {
        if at
            .compare_exchange(state, next_state, Ordering::SeqCst, Ordering::Acquire)
            .is_ok()
        {
            return true;
        }
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
}

/// Whether the CPU is in a state to be started from.
fn cpuhp_can_boot_ap(cpu: u32) -> bool {
    let at = &cpuhp_state.per_cpu(cpu).ap_sync_state;
    let mut sync = at.load(Ordering::SeqCst);
    // Kicked or alive: an earlier start was not finished, another may help.
    while matches!(
        sync,
        sync_state::DEAD | sync_state::KICKED | sync_state::ALIVE
    ) {
        match at.compare_exchange(sync, sync_state::KICKED, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return true,
            Err(now) => sync = now,
        }
    }
    false
}

/// Starts the CPU; whether it lives is seen later.
pub(super) fn cpuhp_kick_ap_alive(cpu: u32) -> i32 {
    if !cpuhp_can_boot_ap(cpu) {
        return -EAGAIN;
    }
    match idle_thread_get(cpu) {
        Some(idle) => native_kick_ap(cpu, idle),
        None => -ENOMEM,
    }
}

/// Waits for the CPU, lets it go on, and then lets its cpuhp thread do the rest.
pub(super) fn cpuhp_bringup_ap(cpu: u32) -> i32 {
    let st = cpuhp_state.per_cpu(cpu);
    if !cpuhp_wait_for_sync_state(cpu, sync_state::ALIVE, sync_state::SHOULD_ONLINE) {
        pr_err!("CPU{cpu} failed to report alive state");
        return -EIO;
    }
    let ret = bringup_wait_for_ap_online(cpu, st);
    if ret != 0 || st.target.get() <= CPUHP_AP_ONLINE_IDLE {
        return ret;
    }
    cpuhp_kick_ap(cpu, st, st.target.get())
}

fn bringup_wait_for_ap_online(cpu: u32, st: &'static CpuhpCpuState) -> i32 {
    // It idles.
    wait_for_ap_thread(st, true);
    if WARN_ON_ONCE!(!cpu_online(cpu)) {
        return -ECANCELED;
    }
    match st.thread.get() {
        Some(thread) => {
            kthread_unpark(thread);
            0
        }
        None => -ECANCELED,
    }
}

/// The new CPU's own part, before it is online. Interrupts are off.
pub fn notify_cpu_starting(cpu: u32) {
    let st = cpuhp_state.per_cpu(cpu);
    BUG_ON!(!irqs_disabled());
    let target = st.target.get().min(CPUHP_AP_ONLINE);
    // The architecture may have done that, where it needed RCU before.
    rcutree_report_cpu_starting(cpu);
    cpuhp_invoke_callback_range_nofail(true, cpu, st, target);
}

/// The new CPU has reached its idle loop: its stopper takes works, and the controlling CPU hears of it.
pub fn cpuhp_online_idle(state: CpuhpState) {
    // The boot CPU comes here too, and nobody waits for it.
    if state != CPUHP_AP_ONLINE_IDLE {
        return;
    }
    let cpu = raw_smp_processor_id();
    let st = cpuhp_state.per_cpu(cpu);
    cpuhp_ap_update_sync_state(sync_state::ONLINE);
    // Before the CPU can be moved to: whoever moves a task here may need to move it away again.
    stop_machine_unpark(cpu);
    st.state.set(CPUHP_AP_ONLINE_IDLE);
    complete_ap_thread(st, true);
}

/// The controlling CPU's states, and all of them back if one fails.
fn cpuhp_up_callbacks(cpu: u32, st: &'static CpuhpCpuState, target: CpuhpState) -> i32 {
    let prev_state = st.state.get();
    let ret = cpuhp_invoke_callback_range(true, cpu, st, target);
    if ret != 0 {
        pr_debug!(
            "CPU UP failed ({ret}) CPU {cpu} state {} ({})",
            down::state_name(st.state.get()),
            st.state.get()
        );
        cpuhp_reset_state(cpu, st, prev_state);
        WARN_ON!(cpuhp_invoke_callback_range(false, cpu, st, prev_state) != 0);
    }
    ret
}

/// Brings a CPU up to a state. `cpu_add_remove_lock` is held.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn _cpu_up(cpu: u32, target: CpuhpState) -> i32 {
    let st = cpuhp_state.per_cpu(cpu);
    cpus_write_lock();
    let ret = cpu_up_locked(cpu, st, target);
    cpus_write_unlock();
    ret
}

fn cpu_up_locked(cpu: u32, st: &'static CpuhpCpuState, target: CpuhpState) -> i32 {
    if !cpu_present(cpu) {
        return -EINVAL;
    }
    // Somebody else may have brought it up already.
    if st.state.get() >= target {
        return 0;
    }
    if st.state.get() == CPUHP_OFFLINE && idle_thread_get(cpu).is_none() {
        return -ENOMEM;
    }
    cpuhp_set_state(cpu, st, target);
    // It was left half up: its thread does the rest.
    if st.state.get() > CPUHP_BRINGUP_CPU {
        let ret = cpuhp_kick_ap_work(cpu);
        if ret != 0 {
            return ret;
        }
    }
    // The controlling CPU's own states end where the new CPU takes over.
    cpuhp_up_callbacks(cpu, st, target.min(CPUHP_BRINGUP_CPU))
}

/// Brings a CPU up to a state.
///
/// # Context
/// May sleep.
/// # Returns
/// 0 (also when it is there already), -EINVAL for a CPU that is not there, -EBUSY while that is forbidden,
/// or the first error: then the CPU is where it was.
pub fn cpu_up(cpu: u32, target: CpuhpState) -> i32 {
    if !cpu_possible(cpu) {
        pr_err!("can't online cpu {cpu} because it is not configured as may-hotadd at boot time");
        return -EINVAL;
    }
    cpu_maps_update_begin();
    let err = if down::is_disabled() {
        -EBUSY
    } else {
        _cpu_up(cpu, target)
    };
    cpu_maps_update_done();
    err
}

fn cpuhp_bringup_mask(mask: Cpumask, ncpus: u32, target: CpuhpState) {
    for cpu in mask.iter().take(ncpus as usize) {
        let st = cpuhp_state.per_cpu(cpu);
        if cpu_up(cpu, target) != 0 {
            // The way back may have ended where the parallel start had brought the CPU.
            WARN_ON!(cpuhp_invoke_callback_range(false, cpu, st, CPUHP_OFFLINE) != 0);
        }
    }
}

fn parallel_bringup() -> bool {
    param("cpuhp.parallel").is_none_or(|text| text.as_u64() != Some(0) && !text.is("off"))
}

/// Brings present CPUs up, `max_cpus` with the boot CPU at most. (v6.8 does not look for 0; 6.10 does.)
///
/// # Context
/// May sleep.
pub fn bringup_nonboot_cpus(max_cpus: u32) {
    if max_cpus == 0 {
        return;
    }
    if parallel_bringup() && cpuhp_bringup_cpus_parallel(max_cpus) {
        return;
    }
    cpuhp_bringup_mask(cpu_present_mask(), max_cpus, CPUHP_ONLINE);
}

/// First all are started, then each is completed; of cores with several threads the first threads before the
/// others, as x86 needs it for microcode. True: all are done.
fn cpuhp_bringup_cpus_parallel(mut ncpus: u32) -> bool {
    let mut mask = cpu_present_mask();
    let firsts = mask.iter().filter(|&cpu| topology_is_primary_thread(cpu));
    let firsts = firsts.fold(Cpumask::EMPTY, Cpumask::with);
    if firsts != mask {
        cpuhp_bringup_mask(firsts, ncpus, CPUHP_BP_KICK_AP);
        cpuhp_bringup_mask(firsts, ncpus, CPUHP_ONLINE);
        ncpus = ncpus.saturating_sub(num_online_cpus());
        if ncpus == 0 {
            return true;
        }
        mask = mask.andnot(firsts);
    }
    cpuhp_bringup_mask(mask, ncpus, CPUHP_BP_KICK_AP);
    cpuhp_bringup_mask(mask, ncpus, CPUHP_ONLINE);
    true
}
