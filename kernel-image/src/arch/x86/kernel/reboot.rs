//! Stopping the machine and its other CPUs.
//!
//! Linux: arch/x86/kernel/reboot.c, drivers/acpi/sleep.c (acpi_power_off), v6.8.
#![expect(unsafe_code, reason = "port output")]

use crate::arch::x86::include::asm::io::{outb, outw};
use crate::arch::x86::include::asm::irqflags::{local_irq_disable, native_halt};
use crate::arch::x86::kernel::acpi::{pm1a_control, sleep_control, sleep_type_s5};

/// SLP_EN of the sleep control register (ACPI 6.5, 4.8.3.7): SLP_TYP stands in bits 4..2.
const SLP_EN: u8 = 0x20;

/// SLP_EN of PM1a_CNT (ACPI 6.5, 4.8.3.2.1): SLP_TYP stands in bits 12..10.
const PM1_SLP_EN: u16 = 1 << 13;

/// Enters S5 through the sleep control register, or PM1a_CNT. Returns when the machine has neither.
pub fn native_machine_power_off() {
    super::smp::native_stop_other_cpus();
    let port = sleep_control.get();
    if port != 0 && sleep_type_s5.get() != 0xff {
        // SAFETY: the port comes from the FADT; writing it ends the machine.
        unsafe { outb(sleep_type_s5.get() << 2 | SLP_EN, port) };
    }
    let port = pm1a_control.get();
    if port != 0 && sleep_type_s5.get() != 0xff {
        // SAFETY: as above.
        unsafe { outw(u16::from(sleep_type_s5.get()) << 10 | PM1_SLP_EN, port) };
    }
}

/// This CPU never does anything again.
pub fn stop_this_cpu() -> ! {
    local_irq_disable();
    loop {
        native_halt();
    }
}
