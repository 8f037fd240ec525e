//! The preemption count and the points where a kernel thread may be preempted.
//!
//! Linux: include/linux/preempt.h, v6.8, with CONFIG_PREEMPT_DYNAMIC.
//! **Kept** the bit layout: 8 bits preemption, 8 softirq, 4 hardirq, 4 NMI.
pub use crate::arch::x86::include::asm::preempt::{
    __preempt_count_add, __preempt_count_dec_and_test, __preempt_count_sub, PREEMPT_NEED_RESCHED,
    clear_preempt_need_resched, preempt_count, preempt_count_set, set_preempt_need_resched,
    should_resched, test_preempt_need_resched,
};
use crate::include::linux::irqflags::irqs_disabled;

/// First bit of the softirq depth.
pub const SOFTIRQ_SHIFT: u32 = 8;
/// First bit of the hardirq depth.
pub const HARDIRQ_SHIFT: u32 = 16;
/// First bit of the NMI depth.
pub const NMI_SHIFT: u32 = 20;
/// Bits of the preemption depth.
pub const PREEMPT_MASK: u32 = 0xff;
/// Bits of the softirq depth.
pub const SOFTIRQ_MASK: u32 = 0xff << SOFTIRQ_SHIFT;
/// Bits of the hardirq depth.
pub const HARDIRQ_MASK: u32 = 0xf << HARDIRQ_SHIFT;
/// Bits of the NMI depth.
pub const NMI_MASK: u32 = 0xf << NMI_SHIFT;
/// One level of preemption disabling.
pub const PREEMPT_OFFSET: u32 = 1;
/// Serving softirqs.
pub const SOFTIRQ_OFFSET: u32 = 1 << SOFTIRQ_SHIFT;
/// One `local_bh_disable`.
pub const SOFTIRQ_DISABLE_OFFSET: u32 = 2 * SOFTIRQ_OFFSET;
/// One hard interrupt.
pub const HARDIRQ_OFFSET: u32 = 1 << HARDIRQ_SHIFT;
/// The count a CPU boots with: its idle thread is not preemptible, and nothing needs a reschedule.
pub const INIT_PREEMPT_COUNT: u32 = PREEMPT_NEED_RESCHED | PREEMPT_OFFSET;
/// The count a new task starts with: it is born inside `__schedule`, two levels deep.
pub const FORK_PREEMPT_COUNT: u32 = 2 * PREEMPT_OFFSET;

/// Depth of hard interrupts.
pub fn hardirq_count() -> u32 {
    preempt_count() & HARDIRQ_MASK
}
/// Depth of softirqs and of bottom-half disabling.
pub fn softirq_count() -> u32 {
    preempt_count() & SOFTIRQ_MASK
}
/// In a hard interrupt.
pub fn in_hardirq() -> bool {
    hardirq_count() != 0
}
/// In or excluding softirqs.
pub fn in_softirq() -> bool {
    softirq_count() != 0
}
/// Running a softirq handler right now.
pub fn in_serving_softirq() -> bool {
    softirq_count() & SOFTIRQ_OFFSET != 0
}
/// In any kind of interrupt, or excluding softirqs.
pub fn in_interrupt() -> bool {
    preempt_count() & (NMI_MASK | HARDIRQ_MASK | SOFTIRQ_MASK) != 0
}
/// In thread context.
pub fn in_task() -> bool {
    preempt_count() & (NMI_MASK | HARDIRQ_MASK | SOFTIRQ_OFFSET) == 0
}
/// May not sleep here.
pub fn in_atomic() -> bool {
    preempt_count() != 0
}
/// May be preempted here.
pub fn preemptible() -> bool {
    preempt_count() == 0 && !irqs_disabled()
}

/// One more reason not to be preempted.
#[inline(always)]
pub fn preempt_disable() {
    __preempt_count_add(PREEMPT_OFFSET);
}

/// One reason less; preempts if that was the last one and a reschedule is due.
#[inline(always)]
pub fn preempt_enable() {
    if __preempt_count_dec_and_test() {
        crate::kernel::sched::core::preempt_dynamic::dynamic_preempt_schedule();
    }
}

/// One reason less, never preempts: the caller is about to schedule anyway.
#[inline(always)]
pub fn preempt_enable_no_resched() {
    __preempt_count_sub(PREEMPT_OFFSET);
}

/// Adds `n` to the count.
#[inline(always)]
pub fn preempt_count_add(n: u32) {
    __preempt_count_add(n);
}

/// Subtracts `n` from the count.
#[inline(always)]
pub fn preempt_count_sub(n: u32) {
    __preempt_count_sub(n);
}

/// Preempts now if that is allowed and due.
pub fn preempt_check_resched() {
    if should_resched(0) {
        crate::kernel::sched::core::preempt_dynamic::dynamic_preempt_schedule();
    }
}
