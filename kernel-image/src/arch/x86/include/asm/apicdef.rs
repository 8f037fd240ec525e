//! Local APIC register offsets and bits.
//!
//! Linux: arch/x86/include/asm/apicdef.h, v6.8. **Kept** the registers this kernel touches.

/// Physical address of the xAPIC register page.
pub const APIC_DEFAULT_PHYS_BASE: u64 = 0xfee0_0000;
/// Local APIC ID (bits 31..24).
pub const APIC_ID: u32 = 0x20;
/// Version and number of LVT entries.
pub const APIC_LVR: u32 = 0x30;
/// Task priority.
pub const APIC_TASKPRI: u32 = 0x80;
/// End of interrupt.
pub const APIC_EOI: u32 = 0xb0;
/// Logical destination.
pub const APIC_LDR: u32 = 0xd0;
/// Destination format; all ones is the flat model.
pub const APIC_DFR: u32 = 0xe0;
/// Flat model value of [`APIC_DFR`].
pub const APIC_DFR_FLAT: u32 = 0xffff_ffff;
/// Spurious vector and software enable.
pub const APIC_SPIV: u32 = 0xf0;
/// Software enable bit of [`APIC_SPIV`].
pub const APIC_SPIV_APIC_ENABLED: u32 = 1 << 8;
/// In-service bits, eight registers 0x10 apart.
pub const APIC_ISR: u32 = 0x100;
/// Error status.
pub const APIC_ESR: u32 = 0x280;
/// Interrupt command, low word: writing it sends.
pub const APIC_ICR: u32 = 0x300;
/// Interrupt command, high word: destination in bits 31..24.
pub const APIC_ICR2: u32 = 0x310;
/// Destination shorthand: self.
pub const APIC_DEST_SELF: u32 = 0x40000;
/// Destination shorthand: all but self.
pub const APIC_DEST_ALLBUT: u32 = 0xc0000;
/// Delivery status of [`APIC_ICR`].
pub const APIC_ICR_BUSY: u32 = 0x1000;
/// Level assert.
pub const APIC_INT_ASSERT: u32 = 0x4000;
/// Level trigger.
pub const APIC_INT_LEVELTRIG: u32 = 0x8000;
/// Delivery mode: fixed vector.
pub const APIC_DM_FIXED: u32 = 0x000;
/// Delivery mode: NMI.
pub const APIC_DM_NMI: u32 = 0x400;
/// Delivery mode: INIT.
pub const APIC_DM_INIT: u32 = 0x500;
/// Delivery mode: start-up.
pub const APIC_DM_STARTUP: u32 = 0x600;
/// Timer entry of the local vector table.
pub const APIC_LVTT: u32 = 0x320;
/// LINT0 entry.
pub const APIC_LVT0: u32 = 0x350;
/// LINT1 entry.
pub const APIC_LVT1: u32 = 0x360;
/// Error entry.
pub const APIC_LVTERR: u32 = 0x370;
/// Mask bit of every LVT entry.
pub const APIC_LVT_MASKED: u32 = 1 << 16;
/// Periodic bit of [`APIC_LVTT`].
pub const APIC_LVT_TIMER_PERIODIC: u32 = 1 << 17;
/// Initial count of the timer.
pub const APIC_TMICT: u32 = 0x380;
/// Current count of the timer.
pub const APIC_TMCCT: u32 = 0x390;
/// Divide configuration of the timer.
pub const APIC_TDCR: u32 = 0x3e0;
/// Divide by one.
pub const APIC_TDR_DIV_1: u32 = 0xb;
/// Divide by sixteen.
pub const APIC_TDR_DIV_16: u32 = 0x3;
