//! Which clocks this machine has.
//!
//! Linux: arch/x86/kernel/time.c, v6.8. **Left out** the PIT and the HPET: hardware-reduced ACPI has neither.
use crate::arch::x86::kernel::apic::apic;

/// Linux defers to `late_time_init`.
pub fn time_init() {}

/// The boot CPU's APIC and its timer. From here interrupts come.
pub fn late_time_init() {
    apic::setup_local_APIC();
    apic::setup_boot_APIC_clock();
}
