//! The legacy interrupt controllers: masked.
//!
//! Linux: arch/x86/kernel/i8259.c, v6.8. **Kept** `mask_8259A`. **Left out** everything else: the local APIC does
//! all that this kernel needs, and hardware-reduced machines have no 8259.
#![expect(unsafe_code, reason = "port output")]

use crate::arch::x86::include::asm::io::outb;
use crate::arch::x86::kernel::acpi::acpi_gbl_reduced_hardware;

const PIC_MASTER_IMR: u16 = 0x21;
const PIC_SLAVE_IMR: u16 = 0xa1;

/// Keeps both controllers from interrupting; firmware may have left them open.
pub fn mask_8259A() {
    if acpi_gbl_reduced_hardware.get() {
        return;
    }
    // SAFETY: the mask registers of the controllers that a machine with legacy hardware has.
    unsafe {
        outb(0xff, PIC_MASTER_IMR);
        outb(0xff, PIC_SLAVE_IMR);
    }
}
