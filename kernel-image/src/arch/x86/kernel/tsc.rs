//! The time stamp counter as the machine's clock.
//!
//! Linux: arch/x86/kernel/tsc.c, v6.8. **Kept** the frequency from CPUID leaf 0x15, `native_sched_clock`,
//! loops_per_jiffy from the frequency. **Left out** calibration against other clocks, the watchdog.
use crate::arch::x86::include::asm::msr::{cpuid, rdtsc_ordered};
use crate::fence::shared::Shared;
use crate::include::linux::jiffies::HZ;
use crate::pr_info;

/// Kilohertz of the counter; 0 before `tsc_early_init`.
pub static tsc_khz: Shared<u32> = Shared::new(0);
/// Kilohertz of the core crystal, which drives the local APIC timer.
pub static lapic_timer_khz: Shared<u32> = Shared::new(0);
/// Delay loops a tick.
pub static loops_per_jiffy: Shared<u64> = Shared::new(4096);

static cyc2ns_mult: Shared<u64> = Shared::new(0);
const CYC2NS_SHIFT: u32 = 32;

/// Reads the frequencies from CPUID.
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
    let known = tsc != 0;
    if !known {
        (tsc, crystal) = (1_000_000, 1_000_000);
    }
    tsc_khz.set(tsc);
    lapic_timer_khz.set(crystal);
    // ns = cycles * 10^6 / kHz, as a multiplication by a 32.32 fixed-point number.
    cyc2ns_mult.set((1_000_000u64 << CYC2NS_SHIFT) / u64::from(tsc));
    let (mhz, rest) = (tsc / 1000, tsc % 1000);
    if known {
        pr_info!("tsc: Detected {mhz}.{rest:03} MHz TSC");
    } else {
        pr_info!("tsc: Frequency unknown, {mhz}.{rest:03} MHz assumed");
    }
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
