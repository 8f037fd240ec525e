//! kernel/printk: the kernel's messages.
pub mod printk;
