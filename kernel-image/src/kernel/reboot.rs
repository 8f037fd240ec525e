//! The end of the machine.
//!
//! Linux: kernel/reboot.c, v6.8. **Kept** `kernel_power_off`, its message. **Left out** notifiers, restart.
use crate::arch::x86::kernel::reboot::{native_machine_power_off, stop_this_cpu};
use crate::pr_emerg;

/// Switches the machine off; halts for ever where that is not possible.
///
/// # Context
/// A thread; the other CPUs are stopped wherever they are.
#[inline(never)]
pub fn kernel_power_off() -> ! {
    pr_emerg!("reboot: Power down");
    crate::include::linux::irqflags::local_irq_disable();
    native_machine_power_off();
    stop_this_cpu()
}
