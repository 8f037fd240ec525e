//! The CMOS clock.
//!
//! Linux: arch/x86/kernel/rtc.c, v6.8. **Kept** `mach_get_cmos_time`. **Left out** the century register, the
//! wait for the update flag (this machine's clock stands still), setting the clock.
#![expect(unsafe_code, reason = "port access")]

use crate::arch::x86::include::asm::io::{inb, outb};
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};

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
pub fn mach_get_cmos_time() -> i64 {
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
