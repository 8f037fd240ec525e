//! CPUs coming up. Linux: `include/linux/cpu.h` (v6.8); the functions are in `kernel/cpu.rs`.

pub use crate::kernel::cpu::{bringup_nonboot_cpus, notify_cpu_starting};
