//! The time stamp counter as the machine's clock.
//!
//! Linux: arch/x86/kernel/tsc.c, v6.8. **Kept** the frequency from CPUID leaf 0x15 or else against the PIT,
//! `native_sched_clock`, loops_per_jiffy from the frequency. **Left out** the HPET, the watchdog.
//! **Differs** the best of twelve short measurements instead of Linux's quick one and its check.
#![expect(unsafe_code, reason = "the PIT's ports")]

use crate::arch::x86::include::asm::io::{inb, outb};
use crate::arch::x86::include::asm::msr::{cpuid, rdtsc_ordered};
use crate::fence::shared::Shared;
use crate::include::linux::jiffies::HZ;
use crate::pr_info;

/// Kilohertz of the counter; 0 before `tsc_early_init`.
pub static tsc_khz: Shared<u32> = Shared::new(0);
/// Kilohertz of the core crystal, which drives the local APIC timer; 0 when CPUID does not tell.
pub static lapic_timer_khz: Shared<u32> = Shared::new(0);
/// Delay loops a tick.
pub static loops_per_jiffy: Shared<u64> = Shared::new(4096);

static cyc2ns_mult: Shared<u64> = Shared::new(0);
const CYC2NS_SHIFT: u32 = 32;

/// Hertz of the PIT.
const PIT_TICK_RATE: u64 = 1_193_182;
/// Length of a measurement, ms.
const CAL_MS: u64 = 5;
const CAL_LATCH: u16 = (PIT_TICK_RATE / (1000 / CAL_MS)) as u16;
/// How often the end of a measurement is looked for before the PIT is taken for absent.
const MAX_LOOPS: u32 = 10_000_000;

/// Counter ticks while the PIT's second channel counts down once; None without a PIT.
fn pit_calibrate_tsc() -> Option<u64> {
    // SAFETY: the ports of the PIT and of its second channel's gate, which reach no memory.
    unsafe {
        // Gate on, speaker off; binary, mode 0 (the output rises at zero), both bytes.
        outb(inb(0x61) & !0x02 | 0x01, 0x61);
        outb(0xb0, 0x43);
        outb(CAL_LATCH as u8, 0x42);
        outb((CAL_LATCH >> 8) as u8, 0x42);
        let start = rdtsc_ordered();
        for looked in 0..MAX_LOOPS {
            if inb(0x61) & 0x20 != 0 {
                // At once: nothing counts there.
                return (looked > 10).then(|| rdtsc_ordered() - start);
            }
        }
    }
    None
}

/// Kilohertz of the counter, measured. What disturbs a measurement makes it longer: the shortest counts.
fn native_calibrate_tsc() -> Option<u32> {
    let mut best: Option<u64> = None;
    for _ in 0..12 {
        let ticks = pit_calibrate_tsc()?;
        best = Some(best.map_or(ticks, |best| best.min(ticks)));
    }
    best.map(|ticks| (ticks / CAL_MS) as u32)
}

/// Finds the frequencies: CPUID knows them, or the PIT is the measure.
pub fn tsc_early_init() {
    let max_leaf = cpuid(0)[0];
    let (mut tsc, mut crystal) = (0, 0);
    if max_leaf >= 0x15 {
        let [denominator, numerator, hertz, _] = cpuid(0x15);
        if denominator != 0 && numerator != 0 && hertz != 0 {
            crystal = hertz / 1000;
            tsc = (u64::from(crystal) * u64::from(numerator) / u64::from(denominator)) as u32;
        }
    }
    let mut how = "Detected";
    if tsc == 0 {
        (tsc, how) = match native_calibrate_tsc() {
            Some(khz) if khz != 0 => (khz, "PIT calibration found"),
            _ => (1_000_000, "No PIT, assumed"),
        };
    }
    tsc_khz.set(tsc);
    lapic_timer_khz.set(crystal);
    // ns = cycles * 10^6 / kHz, as a multiplication by a 32.32 fixed-point number.
    cyc2ns_mult.set((1_000_000u64 << CYC2NS_SHIFT) / u64::from(tsc));
    let (mhz, rest) = (tsc / 1000, tsc % 1000);
    pr_info!("tsc: {how} {mhz}.{rest:03} MHz TSC");
}

/// Cycles to nanoseconds.
pub fn cycles_2_ns(cycles: u64) -> u64 {
    ((u128::from(cycles) * u128::from(cyc2ns_mult.get())) >> CYC2NS_SHIFT) as u64
}

/// Nanoseconds since the counter was zero; 0 before the frequency is known.
pub fn native_sched_clock() -> u64 {
    cycles_2_ns(rdtsc_ordered())
}

/// The scheduler's clock.
#[inline(always)]
pub fn sched_clock() -> u64 {
    native_sched_clock()
}

/// Sets the length of the delay loop from the frequency, without measuring.
pub fn calibrate_delay() {
    let lpj = u64::from(tsc_khz.get()) * 1000 / HZ;
    loops_per_jiffy.set(lpj);
    pr_info!(
        "Calibrating delay loop (skipped), value calculated using timer frequency.. \
         {}.{:02} BogoMIPS (lpj={lpj})",
        lpj / (500_000 / HZ),
        lpj / (5000 / HZ) % 100,
    );
}

/// Spins for `usecs` microseconds.
pub fn udelay(usecs: u64) {
    let until = native_sched_clock() + usecs * 1000;
    while native_sched_clock() < until {
        core::hint::spin_loop();
    }
}
