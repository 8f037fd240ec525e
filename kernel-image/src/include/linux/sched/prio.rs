//! Priorities and niceness. Linux: `include/linux/sched/prio.h` (v6.8).
//!
//! Kept: all of it that the scheduler uses. Left out: conversions for rlimits. Differs: nothing.

/// The nicest value that takes the most of a CPU.
pub const MIN_NICE: i32 = -20;
/// The value that takes the least.
pub const MAX_NICE: i32 = 19;
/// How many nice values there are.
pub const NICE_WIDTH: i32 = MAX_NICE - MIN_NICE + 1;
/// Priorities below this are real-time.
pub const MAX_RT_PRIO: i32 = 100;
/// Priorities below this are deadline.
pub const MAX_DL_PRIO: i32 = 0;
/// One more than the lowest priority.
pub const MAX_PRIO: i32 = MAX_RT_PRIO + NICE_WIDTH;
/// The priority of nice 0.
pub const DEFAULT_PRIO: i32 = MAX_RT_PRIO + NICE_WIDTH / 2;

const _: () = assert!(MAX_PRIO == 140 && DEFAULT_PRIO == 120);

/// The static priority of a nice value.
pub const fn NICE_TO_PRIO(nice: i32) -> i32 {
    nice + DEFAULT_PRIO
}

/// The nice value of a static priority.
pub const fn PRIO_TO_NICE(prio: i32) -> i32 {
    prio - DEFAULT_PRIO
}

/// Whether a priority belongs to the deadline class.
pub const fn dl_prio(prio: i32) -> bool {
    prio < MAX_DL_PRIO
}

/// Whether a priority belongs to the real-time class or above.
pub const fn rt_prio(prio: i32) -> bool {
    prio < MAX_RT_PRIO
}
