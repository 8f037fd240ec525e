//! Time in signed nanoseconds.
//!
//! Linux: include/linux/ktime.h, time64.h, v6.8.

/// Nanoseconds on some clock.
#[doc(alias = "ktime_t")]
pub type Ktime = i64;

/// Nanoseconds in a second.
pub const NSEC_PER_SEC: i64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const NSEC_PER_MSEC: i64 = 1_000_000;
/// Nanoseconds in a microsecond.
pub const NSEC_PER_USEC: i64 = 1_000;
/// Microseconds in a second.
pub const USEC_PER_SEC: i64 = 1_000_000;
/// The latest time there is: "never".
pub const KTIME_MAX: Ktime = i64::MAX;

/// Sum that stops at [`KTIME_MAX`].
pub fn ktime_add_safe(lhs: Ktime, rhs: Ktime) -> Ktime {
    lhs.saturating_add(rhs)
}
