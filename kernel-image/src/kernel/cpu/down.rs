//! A CPU goes: the controlling CPU's side and its own.
//!
//! Linux: `kernel/cpu.c` (v6.8): `cpu_down`, `_cpu_down`, `takedown_cpu`, `take_cpu_down`,
//! `cpuhp_report_idle_dead`, `cpu_hotplug_disable`. Kept: every step and error, the work that makes another CPU
//! than the one that goes do it, the way back. Left out: suspend, SMT, interrupts' descriptors. Differs:
//! every CPU is a housekeeping one. Locks: see `kernel/cpu.rs`.
//!
//! CPU 0 is refused one floor higher, as in v6.8 (`remove_cpu`: -EPERM, its device cannot go offline);
//! here it is refused like any CPU if it is the last one online (-EBUSY).

use super::up::{cpu_up, cpuhp_ap_update_sync_state, cpuhp_wait_for_sync_state, sync_state};
use super::{
    __cpuhp_kick_ap, CpuhpCpuState, complete_ap_thread, cpu_maps_update_begin,
    cpu_maps_update_done, cpuhp_invoke_callback_range, cpuhp_invoke_callback_range_nofail,
    cpuhp_kick_ap_work, cpuhp_reset_state, cpuhp_set_state, cpuhp_state, cpus_write_lock,
    cpus_write_unlock, states, wait_for_ap_thread,
};
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::smpboot::{arch_cpuhp_cleanup_dead_cpu, native_cpu_disable};
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpuhotplug::*;
use crate::include::linux::cpumask::{
    Cpumask, cpu_online, cpu_online_mask, cpu_present, num_online_cpus,
};
use crate::include::linux::errno::{EBUSY, EINVAL};
use crate::include::linux::mm_types::init_mm;
use crate::include::linux::stop_machine::{stop_machine_cpuslocked, stop_machine_park};
use crate::kernel::cpu::Ordering;
use crate::kernel::fork::{mmdrop_lazy_tlb, mmgrab_lazy_tlb};
use crate::kernel::kthread::{kthread_park, kthread_unpark};
use crate::kernel::rcu::tree::{rcutree_migrate_callbacks, rcutree_report_cpu_dead};
use crate::kernel::smp::smp_call_function_single;
use crate::kernel::smpboot::idle_thread_get;
use crate::kernel::time::tick_common::{tick_cleanup_dead_cpu, tick_handover_do_timer};
use crate::kernel::workqueue::work_on_cpu;
use crate::{BUG_ON, WARN, WARN_ON, pr_debug, pr_err, stack_pinned};

/// How many forbid that CPUs come and go. Under `cpu_add_remove_lock`.
static cpu_hotplug_disabled: Shared<i32> = Shared::new(0);

pub(super) fn is_disabled() -> bool {
    cpu_hotplug_disabled.get() != 0
}

/// No CPU comes or goes until `cpu_hotplug_enable`: whoever tries gets -EBUSY.
///
/// # Context
/// May sleep.
pub fn cpu_hotplug_disable() {
    cpu_maps_update_begin();
    cpu_hotplug_disabled.inc();
    cpu_maps_update_done();
}

/// Takes one `cpu_hotplug_disable` back.
pub fn cpu_hotplug_enable() {
    cpu_maps_update_begin();
    if !WARN!(!is_disabled(), "Unbalanced cpu hotplug enable\n") {
        cpu_hotplug_disabled.dec();
    }
    cpu_maps_update_done();
}

pub(super) fn state_name(state: CpuhpState) -> &'static str {
    states::cpuhp_get_step(state).name()
}

/// The last thing that runs on the CPU: by its stopper, all others stopped, interrupts off.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn take_cpu_down(_param: VoidPtr) -> i32 {
    let cpu = raw_smp_processor_id();
    let st = cpuhp_state.per_cpu(cpu);
    let target = st.target.get().max(CPUHP_AP_OFFLINE);
    // Not online from here on, and no interrupt of another CPU reaches it.
    let err = native_cpu_disable();
    if err < 0 {
        return err;
    }
    WARN_ON!(st.state.get() != CPUHP_TEARDOWN_CPU - 1);
    cpuhp_invoke_callback_range_nofail(false, cpu, st, target);
    tick_handover_do_timer();
    // The stopper parks itself when it has no more works.
    stop_machine_park(cpu);
    0
}

/// Takes a CPU down that only has its stopper and its cpuhp thread left.
pub(super) fn takedown_cpu(cpu: u32) -> i32 {
    let st = cpuhp_state.per_cpu(cpu);
    let thread = st.thread.get();
    if let Some(thread) = thread {
        kthread_park(thread);
    }
    let err = stop_machine_cpuslocked(take_cpu_down, VoidPtr::NULL, Some(&Cpumask::of(cpu)));
    if err != 0 {
        // It stays: its thread shall run the way back.
        if let Some(thread) = thread {
            kthread_unpark(thread);
        }
        return err;
    }
    BUG_ON!(cpu_online(cpu));
    // Its idle task has taken over and says so on its way out.
    wait_for_ap_thread(st, false);
    BUG_ON!(st.state.get() != CPUHP_AP_IDLE_DEAD);
    cpuhp_bp_sync_dead(cpu);
    tick_cleanup_dead_cpu(cpu);
    // Callbacks of RCU that it left are another one's now.
    rcutree_migrate_callbacks(cpu);
    0
}

fn cpuhp_bp_sync_dead(cpu: u32) {
    let at = &cpuhp_state.per_cpu(cpu).ap_sync_state;
    let mut sync = at.load(Ordering::SeqCst);
    // It may have said that it is dead: that stays.
    while sync != sync_state::DEAD {
        let die = sync_state::SHOULD_DIE;
        match at.compare_exchange(sync, die, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => break,
            Err(now) => sync = now,
        }
    }
    if cpuhp_wait_for_sync_state(cpu, sync_state::DEAD, sync_state::DEAD) {
        arch_cpuhp_cleanup_dead_cpu(cpu);
    } else {
        pr_err!("CPU{cpu} failed to report dead state");
    }
}

/// The idle task of the CPU gives back the memory map it borrowed last.
pub(super) fn finish_cpu(cpu: u32) -> i32 {
    if let Some(idle) = idle_thread_get(cpu)
        && let Some(mm) = idle.active_mm.replace(Some(&init_mm))
    {
        mmgrab_lazy_tlb(&init_mm);
        mmdrop_lazy_tlb(mm);
    }
    0
}

fn cpuhp_complete_idle_dead(cpu: u64) {
    complete_ap_thread(cpuhp_state.per_cpu(cpu as u32), false);
}

/// The idle task of a CPU that is offline stops for good. Interrupts are off.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn cpuhp_report_idle_dead() {
    let cpu = raw_smp_processor_id();
    let st = cpuhp_state.per_cpu(cpu);
    BUG_ON!(st.state.get() != CPUHP_AP_OFFLINE);
    rcutree_report_cpu_dead();
    st.state.set(CPUHP_AP_IDLE_DEAD);
    // RCU counts on this CPU no more, and it may wake nobody, so another one completes it.
    smp_call_function_single(
        cpu_online_mask().first(),
        cpuhp_complete_idle_dead,
        u64::from(cpu),
        false,
    );
}

/// The dead CPU's last word: after it, it may be started again.
pub fn cpuhp_ap_report_dead() {
    cpuhp_ap_update_sync_state(sync_state::DEAD);
}

/// The controlling CPU's states, and back if one fails.
fn cpuhp_down_callbacks(cpu: u32, st: &'static CpuhpCpuState, target: CpuhpState) -> i32 {
    let prev_state = st.state.get();
    let ret = cpuhp_invoke_callback_range(false, cpu, st, target);
    if ret != 0 {
        pr_debug!(
            "CPU DOWN failed ({ret}) CPU {cpu} state {} ({})",
            state_name(st.state.get()),
            st.state.get()
        );
        cpuhp_reset_state(cpu, st, prev_state);
        if st.state.get() < prev_state {
            WARN_ON!(cpuhp_invoke_callback_range(true, cpu, st, prev_state) != 0);
        }
    }
    ret
}

/// Takes a CPU down to a state, from another CPU. `cpu_add_remove_lock` is held.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn _cpu_down(cpu: u32, target: CpuhpState) -> i32 {
    if num_online_cpus() == 1 {
        return -EBUSY;
    }
    if !cpu_present(cpu) {
        return -EINVAL;
    }
    cpus_write_lock();
    let ret = cpu_down_locked(cpu, target);
    cpus_write_unlock();
    ret
}

fn cpu_down_locked(cpu: u32, target: CpuhpState) -> i32 {
    let st = cpuhp_state.per_cpu(cpu);
    let prev_state = cpuhp_set_state(cpu, st, target);
    // First its own thread's part, down to where it has nothing left but its stopper.
    if st.state.get() > CPUHP_TEARDOWN_CPU {
        st.target.set(target.max(CPUHP_TEARDOWN_CPU));
        let ret = cpuhp_kick_ap_work(cpu);
        if ret != 0 || st.state.get() > CPUHP_TEARDOWN_CPU {
            return ret;
        }
        st.target.set(target);
    }
    let ret = cpuhp_down_callbacks(cpu, st, target);
    if ret != 0 && st.state.get() < prev_state {
        if st.state.get() == CPUHP_TEARDOWN_CPU {
            cpuhp_reset_state(cpu, st, prev_state);
            __cpuhp_kick_ap(st);
        } else {
            WARN!(true, "DEAD callback error for CPU{cpu}");
        }
    }
    ret
}

/// What `work_on_cpu` carries.
struct CpuDownWork {
    cpu: u32,
    target: CpuhpState,
}

impl StackObject for CpuDownWork {
    fn quiescent(&self) -> bool {
        // `work_on_cpu` has waited for its one reader.
        true
    }
}

fn __cpu_down_maps_locked(work: VoidPtr) -> i64 {
    let work = work.get::<CpuDownWork>();
    i64::from(_cpu_down(work.cpu, work.target))
}

fn cpu_down_maps_locked(cpu: u32, target: CpuhpState) -> i32 {
    if is_disabled() {
        return -EBUSY;
    }
    stack_pinned!(let work = CpuDownWork { cpu, target });
    // Not by the CPU that goes, and one stays in any case.
    match cpu_online_mask().iter().find(|&other| other != cpu) {
        Some(other) => work_on_cpu(other, __cpu_down_maps_locked, VoidPtr::new(work)) as i32,
        None => -EBUSY,
    }
}

/// Takes a CPU down to a state.
///
/// # Context
/// May sleep.
/// # Returns
/// 0, -EBUSY for the last CPU or while that is forbidden, -EINVAL for one that is not there, or the first
/// error: then the CPU is where it was.
pub fn cpu_down(cpu: u32, target: CpuhpState) -> i32 {
    cpu_maps_update_begin();
    let err = cpu_down_maps_locked(cpu, target);
    cpu_maps_update_done();
    err
}

/// Takes a CPU to a state, up or down; in Linux a file of each CPU in sysfs.
///
/// # Context
/// May sleep.
/// # Returns
/// As `cpu_up` and `cpu_down`; -EINVAL for a state that has no name or that a CPU may not stay in.
pub fn target_store(cpu: u32, target: CpuhpState) -> i32 {
    if !(CPUHP_OFFLINE..=CPUHP_ONLINE).contains(&target) || !states::cpuhp_may_stop(target) {
        return -EINVAL;
    }
    let st = cpuhp_state.per_cpu(cpu);
    let at = st.state.get();
    if at < target {
        cpu_up(cpu, target)
    } else if at > target {
        cpu_down(cpu, target)
    } else {
        st.target.set(target);
        0
    }
}
