//! CPUs coming and going. Linux: `include/linux/cpu.h` (v6.8); the functions are in `kernel/cpu.rs` and
//! `drivers/base/cpu.rs`.

pub use crate::drivers::base::cpu::{add_cpu, remove_cpu};
pub use crate::kernel::cpu::{
    bringup_nonboot_cpus, cpu_down, cpu_hotplug_disable, cpu_hotplug_enable, cpu_up,
    cpus_read_lock, cpus_read_unlock, lockdep_assert_cpus_held, notify_cpu_starting,
};
