//! The workload `idle`: a bare boot, some quiet milliseconds, the end. `idle.ms=` says how many.

use super::table::show_tasks;
use super::workload_param;
use crate::kernel::time::timer::sleep::msleep;
use crate::pr_info;

/// Sleeps, as pid 1.
pub fn run() {
    let ms = workload_param("idle.ms", 20, 0..=1_000_000);
    msleep(ms);
    show_tasks();
    pr_info!("idle: {ms} ms passed");
}
