//! `boot:*`: ours. Where the kernel is on its way from the first instruction to the first program.

use super::events;
use crate::event::Addr;

/// The functions whose entries are milestones, in the order in which Linux calls them. A kernel that has
/// not all of them, or that has had some of them inlined, has fewer milestones. `run_workload` is what the
/// built-in kernel has in place of `run_init_process`.
pub const MILESTONES: [&str; 25] = [
    "x86_64_start_kernel",
    "start_kernel",
    "setup_arch",
    "mm_core_init",
    "sched_init",
    "workqueue_init_early",
    "init_IRQ",
    "timekeeping_init",
    "console_init",
    "late_time_init",
    "calibrate_delay",
    "arch_cpu_finalize_init",
    "rest_init",
    "kernel_init",
    "kthreadd",
    "kernel_init_freeable",
    "workqueue_init",
    "smp_init",
    "bringup_nonboot_cpus",
    "start_secondary",
    "cpu_startup_entry",
    "free_initmem",
    "run_init_process",
    "run_workload",
    "kernel_power_off",
];

events! {
    /// Ours: entry of one of the functions that the boot is told by.
    BootMilestone = 27, "boot:milestone" {
        /// The function.
        func: Addr = "fn",
    }
}
