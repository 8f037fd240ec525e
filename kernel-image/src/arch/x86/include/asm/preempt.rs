//! The per-CPU preemption count.
//!
//! Linux: arch/x86/include/asm/preempt.h, v6.8. **Kept** the count per CPU and not per task, the inverted
//! need-resched in bit 31, so that "may preempt and should" is one comparison with zero.
#![expect(unsafe_code, reason = "gs-relative single-instruction updates")]

use super::current::PcpuHot;
use core::arch::asm;
use core::mem::offset_of;

/// Set while *no* reschedule is needed.
pub const PREEMPT_NEED_RESCHED: u32 = 0x8000_0000;

const OFF: usize = offset_of!(PcpuHot, preempt_count);

/// The count with the need-resched bit, as it lies in memory.
#[inline(always)]
fn raw_preempt_count() -> u32 {
    let count: u32;
    // SAFETY: GS points at this CPU's `pcpu_hot`; one load.
    unsafe {
        asm!("mov {:e}, gs:[{off}]", out(reg) count, off = const OFF,
            options(nostack, preserves_flags, readonly));
    }
    count
}

/// The count without the need-resched bit.
#[inline(always)]
pub fn preempt_count() -> u32 {
    raw_preempt_count() & !PREEMPT_NEED_RESCHED
}

/// Sets the count and keeps the need-resched bit.
///
/// # Context
/// Interrupts off, or a thread that cannot migrate.
#[inline(always)]
pub fn preempt_count_set(count: u32) {
    let new = raw_preempt_count() & PREEMPT_NEED_RESCHED | count & !PREEMPT_NEED_RESCHED;
    // SAFETY: one store to this CPU's word.
    unsafe {
        asm!("mov gs:[{off}], {:e}", in(reg) new, off = const OFF, options(nostack, preserves_flags));
    }
}

/// Folds the need-resched flag in: the next count of zero preempts.
#[inline(always)]
pub fn set_preempt_need_resched() {
    // SAFETY: one instruction, so no interrupt on this CPU can split it.
    unsafe {
        asm!("and dword ptr gs:[{off}], 0x7fffffff", off = const OFF, options(nostack));
    }
}

/// Takes the need-resched flag out again.
#[inline(always)]
pub fn clear_preempt_need_resched() {
    // SAFETY: one instruction, so no interrupt on this CPU can split it.
    unsafe {
        asm!("or dword ptr gs:[{off}], 0x80000000", off = const OFF, options(nostack));
    }
}

/// Whether the need-resched flag is folded in.
#[inline(always)]
pub fn test_preempt_need_resched() -> bool {
    raw_preempt_count() & PREEMPT_NEED_RESCHED == 0
}

/// Adds to the count.
#[inline(always)]
pub fn __preempt_count_add(n: u32) {
    // SAFETY: one instruction; also a compiler barrier, which is what orders the section after it.
    unsafe { asm!("add dword ptr gs:[{off}], {:e}", in(reg) n, off = const OFF, options(nostack)) };
}

/// Subtracts from the count.
#[inline(always)]
pub fn __preempt_count_sub(n: u32) {
    // SAFETY: one instruction; also a compiler barrier.
    unsafe { asm!("sub dword ptr gs:[{off}], {:e}", in(reg) n, off = const OFF, options(nostack)) };
}

/// Subtracts one and says whether preemption is now due.
#[inline(always)]
pub fn __preempt_count_dec_and_test() -> bool {
    let zero: u8;
    // SAFETY: one instruction decides; also a compiler barrier.
    unsafe {
        asm!("sub dword ptr gs:[{off}], 1", "sete {}", out(reg_byte) zero, off = const OFF,
            options(nostack));
    }
    zero != 0
}

/// Whether the count allows preemption and `offset` is all that is held, with need-resched folded in.
#[inline(always)]
pub fn should_resched(offset: u32) -> bool {
    raw_preempt_count() == offset
}
