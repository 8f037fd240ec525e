//! What time it is.
//!
//! Linux: kernel/time/timekeeping.c, clocksource.c, v6.8. **Kept** `ktime_get` and its family for four clocks, the
//! wall clock read once from the CMOS, the longest sleep that timekeeping allows. **Differs** the TSC is the only
//! clock source and never adjusted, so every clock is one multiplication and an offset. **Left out** NTP, setting
//! the clock, suspend.
use crate::arch::x86::kernel::rtc::mach_get_cmos_time;
use crate::arch::x86::kernel::tsc::native_sched_clock;
use crate::fence::shared::Shared;
use crate::include::linux::ktime::{Ktime, NSEC_PER_SEC};

/// Real time minus monotonic time.
static offs_real: Shared<Ktime> = Shared::new(0);
/// Time since boot minus monotonic time: the time asleep, and there is none.
static offs_boot: Shared<Ktime> = Shared::new(0);
/// Atomic minus real time, s: nobody has told the kernel.
static tai_offset: Shared<i64> = Shared::new(0);

/// Nanoseconds since the machine started.
#[inline(always)]
pub fn ktime_get() -> Ktime {
    native_sched_clock() as Ktime
}

/// The same from the unadjusted counter: nothing adjusts it.
pub fn ktime_get_raw() -> Ktime {
    ktime_get()
}

/// Nanoseconds since 1970.
pub fn ktime_get_real() -> Ktime {
    ktime_get() + offs_real.get()
}

/// Nanoseconds since boot, time asleep included.
pub fn ktime_get_boottime() -> Ktime {
    ktime_get() + offs_boot.get()
}

/// Nanoseconds of atomic time.
pub fn ktime_get_clocktai() -> Ktime {
    ktime_get() + ktime_offs_tai()
}

/// Seconds since the machine started.
pub fn ktime_get_seconds() -> i64 {
    ktime_get() / NSEC_PER_SEC
}

/// Seconds since 1970.
pub fn ktime_get_real_seconds() -> i64 {
    ktime_get_real() / NSEC_PER_SEC
}

/// When the system booted, on the wall clock.
pub fn getboottime64() -> Ktime {
    offs_real.get() - offs_boot.get()
}

/// Offset of the real-time clock.
pub fn ktime_offs_real() -> Ktime {
    offs_real.get()
}

/// Offset of the boot-time clock.
pub fn ktime_offs_boot() -> Ktime {
    offs_boot.get()
}

/// Offset of the atomic clock.
pub fn ktime_offs_tai() -> Ktime {
    offs_real.get() + tai_offset.get() * NSEC_PER_SEC
}

/// How long nobody need look at the clock. Linux scales the TSC for ten minutes and keeps an eighth back; the
/// multiplication here does not overflow for years, but a sleep that Linux would not make is none.
pub fn timekeeping_max_deferment() -> Ktime {
    600 * NSEC_PER_SEC * 7 / 8
}

/// Sets the wall clock from the CMOS.
pub fn timekeeping_init() {
    offs_real.set(mach_get_cmos_time() * NSEC_PER_SEC - ktime_get());
}
