//! The tick count.
//!
//! Linux: include/linux/jiffies.h, v6.8. **Kept** the start five minutes before the wrap of 32 bits.
use crate::include::linux::ktime::NSEC_PER_SEC;
pub use crate::kernel::time::jiffies::jiffies;

/// Ticks a second.
pub const HZ: u64 = 250;
/// Nanoseconds of one tick.
pub const TICK_NSEC: i64 = NSEC_PER_SEC / HZ as i64;
/// The value `jiffies` starts at.
pub const INITIAL_JIFFIES: u64 = (-300i32 * HZ as i32) as u32 as u64;
/// Longest timeout in jiffies.
pub const MAX_JIFFY_OFFSET: u64 = (i64::MAX as u64 >> 1) - 1;

/// Whether `a` is later than `b`, the count wrapping.
pub fn time_after(a: u64, b: u64) -> bool {
    (b.wrapping_sub(a) as i64) < 0
}

/// Whether `a` is earlier than `b`.
pub fn time_before(a: u64, b: u64) -> bool {
    time_after(b, a)
}

/// Whether `a` is `b` or later.
pub fn time_after_eq(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) >= 0
}

/// Whether `a` is `b` or earlier.
pub fn time_before_eq(a: u64, b: u64) -> bool {
    time_after_eq(b, a)
}

/// Milliseconds to ticks, rounded up.
pub const fn msecs_to_jiffies(ms: u64) -> u64 {
    ms.saturating_mul(HZ).div_ceil(1000)
}

/// Microseconds to ticks, rounded up.
pub const fn usecs_to_jiffies(us: u64) -> u64 {
    us.saturating_mul(HZ).div_ceil(1_000_000)
}

/// Ticks to milliseconds.
pub const fn jiffies_to_msecs(j: u64) -> u64 {
    j * 1000 / HZ
}
