//! The scheduler's view of time.
//!
//! Linux: `kernel/sched/clock.c` (v6.8) with a stable clock. Kept: `sched_clock_cpu` as the one entry.
//! Left out: the filter for unstable clocks. Differs: the time stamp counters of emulated CPUs may be a
//! window apart, which `update_rq_clock` tolerates as it does on hardware.

pub use crate::arch::x86::kernel::tsc::sched_clock;

/// Nanoseconds since boot as the scheduler counts them on a CPU.
pub fn sched_clock_cpu(_cpu: u32) -> u64 {
    sched_clock()
}

/// The counter was usable from the start.
pub fn sched_clock_init() {}
