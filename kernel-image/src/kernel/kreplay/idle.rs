//! The workload `idle`: a bare boot, some quiet milliseconds, the end. `idle.ms=` says how many.

use crate::kernel::params::param_u64;
use crate::kernel::time::timer::sleep::msleep;
use crate::pr_info;

/// Sleeps, as pid 1.
pub fn run() {
    let ms = param_u64("idle.ms").unwrap_or(20);
    msleep(ms);
    pr_info!("idle: {ms} ms passed");
}
