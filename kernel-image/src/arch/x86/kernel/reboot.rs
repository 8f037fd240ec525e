//! Stopping the machine and its other CPUs.
//!
//! Linux: arch/x86/kernel/reboot.c, drivers/acpi/sleep.c (acpi_power_off), v6.8.
#![expect(unsafe_code, reason = "port output")]

use crate::arch::x86::include::asm::io::outb;
use crate::arch::x86::include::asm::irqflags::{local_irq_disable, native_halt};
use crate::arch::x86::kernel::acpi::{sleep_control, sleep_type_s5};

/// SLP_EN of the sleep control register (ACPI 6.5, 4.8.3.7): SLP_TYP stands in bits 4..2.
const SLP_EN: u8 = 0x20;

/// Enters S5 through the hardware-reduced sleep control register. Returns when the machine has none.
pub fn native_machine_power_off() {
    super::smp::native_stop_other_cpus();
    let port = sleep_control.get();
    if port != 0 && sleep_type_s5.get() != 0xff {
        // SAFETY: the port comes from the FADT; writing it ends the machine.
        unsafe { outb(sleep_type_s5.get() << 2 | SLP_EN, port) };
    }
}

/// This CPU never does anything again.
pub fn stop_this_cpu() -> ! {
    local_irq_disable();
    loop {
        native_halt();
    }
}
