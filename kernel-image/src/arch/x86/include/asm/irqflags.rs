//! The interrupt flag.
//!
//! Linux: arch/x86/include/asm/irqflags.h, v6.8. **Kept** the names.
#![expect(unsafe_code, reason = "cli, sti, hlt, pushf")]

use core::arch::asm;

/// The interrupt-enable bit of RFLAGS.
pub const X86_EFLAGS_IF: u64 = 1 << 9;

/// Reads RFLAGS.
#[inline(always)]
pub fn local_save_flags() -> u64 {
    let flags;
    // SAFETY: pushes and pops one word of this stack; the red zone is off in this crate.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags, options(preserves_flags)) };
    flags
}

/// Turns interrupts off.
#[inline(always)]
pub fn local_irq_disable() {
    // SAFETY: changes only IF; also a compiler barrier.
    unsafe { asm!("cli", options(nostack)) };
}

/// Turns interrupts on.
#[inline(always)]
pub fn local_irq_enable() {
    // SAFETY: changes only IF; the IDT is installed before any caller runs; also a compiler barrier.
    unsafe { asm!("sti", options(nostack)) };
}

/// Turns interrupts off and returns the flags from before.
#[inline(always)]
#[must_use]
pub fn local_irq_save() -> u64 {
    let flags = local_save_flags();
    local_irq_disable();
    flags
}

/// Restores the interrupt flag that [`local_irq_save`] saw.
#[inline(always)]
pub fn local_irq_restore(flags: u64) {
    if flags & X86_EFLAGS_IF != 0 {
        local_irq_enable();
    }
}

/// Whether interrupts are off.
#[inline(always)]
pub fn irqs_disabled() -> bool {
    local_save_flags() & X86_EFLAGS_IF == 0
}

/// Whether the saved `flags` have interrupts off.
#[inline(always)]
pub fn irqs_disabled_flags(flags: u64) -> bool {
    flags & X86_EFLAGS_IF == 0
}

/// Turns interrupts on and halts until one comes; the STI shadow closes the gap between the two.
#[inline(always)]
pub fn native_safe_halt() {
    // SAFETY: as `local_irq_enable`; HLT resumes after the next interrupt.
    unsafe { asm!("sti", "hlt", options(nostack)) };
}

/// Halts with the interrupt flag as it is.
#[inline(always)]
pub fn native_halt() {
    // SAFETY: resumes after the next interrupt, or never when interrupts are off, as the caller wants.
    unsafe { asm!("hlt", options(nostack)) };
}
