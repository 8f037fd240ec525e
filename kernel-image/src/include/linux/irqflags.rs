//! Interrupts on and off.
//!
//! Linux: include/linux/irqflags.h, v6.8.
pub use crate::arch::x86::include::asm::irqflags::{
    irqs_disabled, irqs_disabled_flags, local_irq_disable, local_irq_enable, local_irq_restore,
    local_irq_save, local_save_flags, native_halt, native_safe_halt,
};
