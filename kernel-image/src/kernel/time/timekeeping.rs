//! What time it is.
//!
//! Linux: kernel/time/timekeeping.c, clocksource.c, v6.8. **Kept** `ktime_get`, `ktime_get_real`, the wall
//! clock read once from the CMOS. **Differs** the TSC is the only clock source and never adjusted, so both
//! clocks are one multiplication. **Left out** NTP, suspend.
use crate::arch::x86::kernel::rtc::mach_get_cmos_time;
use crate::arch::x86::kernel::tsc::native_sched_clock;
use crate::fence::shared::Shared;
use crate::include::linux::ktime::{Ktime, NSEC_PER_SEC};

/// Real time minus monotonic time.
static offs_real: Shared<Ktime> = Shared::new(0);

/// Nanoseconds since the machine started.
#[inline(always)]
pub fn ktime_get() -> Ktime {
    native_sched_clock() as Ktime
}

/// Nanoseconds since 1970.
pub fn ktime_get_real() -> Ktime {
    ktime_get() + offs_real.get()
}

/// Offset of the real-time clock.
pub fn ktime_offs_real() -> Ktime {
    offs_real.get()
}

/// Sets the wall clock from the CMOS.
pub fn timekeeping_init() {
    offs_real.set(mach_get_cmos_time() * NSEC_PER_SEC - ktime_get());
}
