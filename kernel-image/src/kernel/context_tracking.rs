//! Whether RCU watches a CPU. Linux: `kernel/context_tracking.c` and `include/linux/context_tracking_state.h`
//! (v6.8).
//!
//! Kept: a counter a CPU whose bit says "watched", and whose value changes with every change of that; the
//! depths of processes and interrupts around it; entry and exit of idle and of interrupts from idle. Left
//! out: user mode and its tracking. Differs: the state of user contexts has no bits.
//! Locks: none; its own CPU writes with interrupts off, any CPU reads.
//!
//! A CPU that idles reads nothing that RCU protects, so a grace period need not interrupt it: it looks at
//! the counter. An even number of changes later than a first look means that it idled in between.

use crate::WARN_ON_ONCE;
use crate::arch::x86::include::asm::current::current;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::NR_CPUS;
use crate::kernel::rcu::tree_plugin::rcu_preempt_deferred_qs;
use core::sync::atomic::{AtomicU32, Ordering};

/// Step of the counter; also its bit that is set while RCU watches.
pub const RCU_DYNTICKS_IDX: u32 = 4;
/// The interrupt depth of a CPU that is not idle: so large that interrupts never bring it to 0.
pub const DYNTICK_IRQ_NONIDLE: i64 = i64::MAX / 2 + 1;

/// One CPU's state.
#[doc(alias = "context_tracking")]
#[repr(C)]
pub struct ContextTracking {
    /// The counter.
    pub state: AtomicU32,
    /// Depth of processes: 0 in idle, else 1.
    pub dynticks_nesting: Shared<i64>,
    /// Depth of interrupts, twice counted unless the first one woke the CPU from idle.
    pub dynticks_nmi_nesting: Shared<i64>,
}

/// All CPUs' states.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static context_tracking: PerCpu<ContextTracking> = PerCpu::new(
    [const {
        ContextTracking {
            state: AtomicU32::new(RCU_DYNTICKS_IDX),
            dynticks_nesting: Shared::new(1),
            dynticks_nmi_nesting: Shared::new(DYNTICK_IRQ_NONIDLE),
        }
    }; NR_CPUS],
);

/// Changes the counter; orders everything before it and after it.
fn ct_state_inc(incby: u32) -> u32 {
    context_tracking
        .this_cpu()
        .state
        .fetch_add(incby, Ordering::SeqCst)
        .wrapping_add(incby)
}

/// RCU stops watching: what was read before is read before the counter says so.
fn ct_kernel_exit_state() {
    WARN_ON_ONCE!(ct_state_inc(RCU_DYNTICKS_IDX) & RCU_DYNTICKS_IDX != 0);
}

/// RCU watches again.
fn ct_kernel_enter_state() {
    WARN_ON_ONCE!(ct_state_inc(RCU_DYNTICKS_IDX) & RCU_DYNTICKS_IDX == 0);
}

/// Whether RCU does not watch this CPU.
fn rcu_dynticks_curr_cpu_in_eqs() -> bool {
    context_tracking.this_cpu().state.load(Ordering::Relaxed) & RCU_DYNTICKS_IDX == 0
}

/// Whether RCU watches this CPU: readers are allowed here.
pub fn rcu_is_watching() -> bool {
    !rcu_dynticks_curr_cpu_in_eqs()
}

/// The counter of a CPU, ordered against what the caller reads afterwards.
pub fn ct_dynticks_cpu_acquire(cpu: u32) -> u32 {
    core::sync::atomic::fence(Ordering::SeqCst);
    context_tracking.per_cpu(cpu).state.load(Ordering::Acquire)
}

/// The idle loop is about to halt.
///
/// # Context
/// The idle task, interrupts off.
pub fn ct_idle_enter() {
    let ct = context_tracking.this_cpu();
    ct.dynticks_nmi_nesting.set(0);
    WARN_ON_ONCE!(ct.dynticks_nesting.get() != 1);
    rcu_preempt_deferred_qs(current());
    ct_kernel_exit_state();
    ct.dynticks_nesting.set(0);
}

/// The halt is over.
///
/// # Context
/// The idle task, interrupts off.
pub fn ct_idle_exit() {
    let ct = context_tracking.this_cpu();
    WARN_ON_ONCE!(ct.dynticks_nesting.get() != 0);
    ct_kernel_enter_state();
    ct.dynticks_nesting.set(1);
    WARN_ON_ONCE!(ct.dynticks_nmi_nesting.get() != 0);
    ct.dynticks_nmi_nesting.set(DYNTICK_IRQ_NONIDLE);
}

/// An interrupt begins in the idle task.
pub fn ct_irq_enter() {
    let ct = context_tracking.this_cpu();
    let mut incby = 2;
    if rcu_dynticks_curr_cpu_in_eqs() {
        ct_kernel_enter_state();
        incby = 1;
    }
    ct.dynticks_nmi_nesting.add(incby);
}

/// It ends: the one that woke the CPU lets RCU stop watching again.
pub fn ct_irq_exit() {
    let ct = context_tracking.this_cpu();
    let nesting = ct.dynticks_nmi_nesting.get();
    WARN_ON_ONCE!(nesting <= 0 || rcu_dynticks_curr_cpu_in_eqs());
    if nesting != 1 {
        ct.dynticks_nmi_nesting.set(nesting - 2);
        return;
    }
    ct.dynticks_nmi_nesting.set(0);
    ct_kernel_exit_state();
}

/// Whether this interrupt, the first one, came while the CPU idled.
///
/// # Context
/// Hard interrupt.
pub fn rcu_is_cpu_rrupt_from_idle() -> bool {
    let ct = context_tracking.this_cpu();
    ct.dynticks_nmi_nesting.get() <= 1 && ct.dynticks_nesting.get() == 0
}

/// Two changes at once: as if the CPU had idled, for whoever compares counters.
///
/// # Context
/// Interrupts off, outside any reader.
pub fn ct_state_inc_momentary() {
    WARN_ON_ONCE!(ct_state_inc(2 * RCU_DYNTICKS_IDX) & RCU_DYNTICKS_IDX == 0);
}
