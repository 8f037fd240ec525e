//! What time it is.
//!
//! Linux: kernel/time/timekeeping.c, clocksource.c, v6.8. **Kept** `ktime_get`, `ktime_get_real`, the wall
//! clock read once from the CMOS. **Differs** the TSC is the only clock source and never adjusted, so both
//! clocks are one multiplication. **Left out** NTP, suspend.
#![expect(unsafe_code, reason = "port access to the CMOS")]

use crate::arch::x86::include::asm::io::{inb, outb};
use crate::arch::x86::kernel::tsc::native_sched_clock;
use crate::fence::shared::Shared;
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};
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

fn cmos_read(register: u8) -> u8 {
    let flags = local_irq_save();
    // SAFETY: the real-time clock's index and data ports reach no memory.
    let value = unsafe {
        outb(register, 0x70);
        inb(0x71)
    };
    local_irq_restore(flags);
    value
}

/// Seconds since 1970 by the real-time clock; 0 when it answers nonsense.
fn mach_get_cmos_time() -> i64 {
    let status_b = cmos_read(0x0b);
    let is_binary = status_b & 0x04 != 0;
    let read = |register| {
        let value = i64::from(cmos_read(register));
        if is_binary {
            value
        } else {
            (value >> 4) * 10 + (value & 15)
        }
    };
    let (sec, min, hour) = (read(0), read(2), read(4));
    let (day, month, year) = (read(7), read(8), 2000 + read(9));
    if sec > 59 || min > 59 || hour > 23 || !(1..=31).contains(&day) || !(1..=12).contains(&month) {
        return 0;
    }
    mktime64(year, month, day, hour, min, sec)
}

/// Seconds since 1970 of a date: the days by the usual rule with the year starting in March.
fn mktime64(year: i64, month: i64, day: i64, hour: i64, min: i64, sec: i64) -> i64 {
    let (y, m) = if month > 2 {
        (year, month - 2)
    } else {
        (year - 1, month + 10)
    };
    let days = y / 4 - y / 100 + y / 400 + 367 * m / 12 + day + y * 365 - 719_499;
    ((days * 24 + hour) * 60 + min) * 60 + sec
}

#[cfg(test)]
mod tests {
    use super::mktime64;

    #[test]
    fn dates() {
        assert_eq!(mktime64(1970, 1, 1, 0, 0, 0), 0);
        assert_eq!(mktime64(2000, 2, 29, 12, 0, 0), 951_825_600);
        assert_eq!(mktime64(2024, 3, 10, 22, 42, 17), 1_710_110_537);
        assert_eq!(mktime64(2038, 1, 19, 3, 14, 8), 1 << 31);
    }
}
