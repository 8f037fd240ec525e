//! The local APIC of each CPU and its timer as a clock event device.
//!
//! Linux: arch/x86/kernel/apic/apic.c, apic_flat_64.c, v6.8. **Kept** the names, xAPIC mode with physical
//! destinations, the timer's set-up. **Differs** the timer divides by one (Linux: 16), so that an expiry is
//! exact to the cycle. **Left out** x2APIC, LVTs besides timer and error, the IOAPIC.
#![expect(unsafe_code, reason = "memory-mapped registers")]

use crate::arch::x86::include::asm::apicdef::*;
use crate::arch::x86::include::asm::fixmap::FIX_APIC_BASE;
use crate::arch::x86::include::asm::irq_vectors::*;
use crate::arch::x86::include::asm::msr::rdtsc_ordered;
use crate::arch::x86::include::asm::ptrace::PtRegs;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::irq::{irqentry_enter, irqentry_exit};
use crate::arch::x86::kernel::tsc::{lapic_timer_khz, tsc_khz, udelay};
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::clockchips::*;
use crate::include::linux::cpumask::{NR_CPUS, set_cpu_possible, set_cpu_present};
use crate::include::linux::interrupt::{irq_enter, irq_exit};
use crate::include::linux::jiffies::HZ;
use crate::include::trace::events::irq_vectors::{trace_local_timer_entry, trace_local_timer_exit};
use crate::kernel::time::clockevents::clockevents_config_and_register;
use crate::{pr_info, pr_warn};
use core::arch::asm;

/// APIC id of every CPU, all ones when there is none; head_64.S looks a starting CPU up here.
#[unsafe(no_mangle)]
pub static cpuid_to_apicid: [Shared<u32>; NR_CPUS] = [const { Shared::new(!0) }; NR_CPUS];
static nr_logical_cpuids: Shared<u32> = Shared::new(0);

static lapic_events: PerCpu<ClockEventDevice> =
    PerCpu::new([const { ClockEventDevice::new() }; NR_CPUS]);

/// Reads a register of this CPU's APIC.
pub fn apic_read(reg: u32) -> u32 {
    let value: u32;
    // SAFETY: the page is mapped at FIX_APIC_BASE from `init_apic_mappings` on; registers reach no memory. A
    // plain `mov`, as Linux has it: a machine need not emulate more on its registers.
    unsafe {
        asm!("mov {:e}, [{}]", out(reg) value, in(reg) FIX_APIC_BASE + u64::from(reg),
            options(nostack, preserves_flags));
    }
    value
}

/// Writes a register of this CPU's APIC.
pub fn apic_write(reg: u32, value: u32) {
    // SAFETY: as in `apic_read`.
    unsafe {
        asm!("mov [{}], {:e}", in(reg) FIX_APIC_BASE + u64::from(reg), in(reg) value,
            options(nostack, preserves_flags));
    }
}

/// Ends the interrupt in service.
pub fn apic_eoi() {
    apic_write(APIC_EOI, 0);
}

/// A local APIC from the MADT: the next CPU number is its.
pub fn generic_processor_info(apicid: u32) {
    let cpu = nr_logical_cpuids.get();
    if cpu as usize >= NR_CPUS {
        pr_warn!("APIC: NR_CPUS limit of {NR_CPUS} reached. Processor {apicid} ignored.");
        return;
    }
    cpuid_to_apicid[cpu as usize].set(apicid);
    nr_logical_cpuids.inc();
    set_cpu_possible(cpu, true);
    set_cpu_present(cpu, true);
}

/// Number of CPUs the MADT named.
pub fn num_processors() -> u32 {
    nr_logical_cpuids.get()
}

/// Maps the registers.
pub fn init_apic_mappings(physical: u64) {
    crate::mm::init::set_fixmap_nocache(FIX_APIC_BASE, physical);
}

/// Enables this CPU's APIC and masks what it does not use.
pub fn setup_local_APIC() {
    apic_write(APIC_DFR, APIC_DFR_FLAT);
    apic_write(APIC_TASKPRI, 0x10);
    apic_write(
        APIC_SPIV,
        APIC_SPIV_APIC_ENABLED | u32::from(SPURIOUS_APIC_VECTOR),
    );
    apic_write(APIC_LVT0, APIC_LVT_MASKED);
    apic_write(APIC_LVT1, APIC_LVT_MASKED);
    apic_write(APIC_LVTT, APIC_LVT_MASKED | u32::from(LOCAL_TIMER_VECTOR));
    apic_write(APIC_ESR, 0);
    apic_write(APIC_LVTERR, u32::from(ERROR_APIC_VECTOR));
}

/// Masks everything that this CPU's APIC could raise by itself.
pub fn clear_local_APIC() {
    apic_write(APIC_LVTERR, APIC_LVT_MASKED | u32::from(ERROR_APIC_VECTOR));
    apic_write(APIC_LVTT, APIC_LVT_MASKED | u32::from(LOCAL_TIMER_VECTOR));
    apic_write(APIC_TMICT, 0);
    apic_write(APIC_LVT0, APIC_LVT_MASKED);
    apic_write(APIC_LVT1, APIC_LVT_MASKED);
}

/// Disables this CPU's APIC: interrupts that arrive are lost, INIT and the start-up interrupt are not.
pub fn apic_soft_disable() {
    clear_local_APIC();
    let value = apic_read(APIC_SPIV) & !APIC_SPIV_APIC_ENABLED;
    apic_write(APIC_SPIV, value);
}

fn __setup_APIC_LVTT(clocks: u32, oneshot: bool) {
    let mode = if oneshot { 0 } else { APIC_LVT_TIMER_PERIODIC };
    apic_write(APIC_LVTT, mode | u32::from(LOCAL_TIMER_VECTOR));
    apic_write(APIC_TDCR, APIC_TDR_DIV_1);
    if !oneshot {
        apic_write(APIC_TMICT, clocks);
    }
}

fn lapic_next_event(delta: u32, _: &'static ClockEventDevice) {
    apic_write(APIC_TMICT, delta);
}

fn lapic_timer_set_periodic(_: &'static ClockEventDevice) {
    __setup_APIC_LVTT((u64::from(lapic_timer_khz.get()) * 1000 / HZ) as u32, false);
}

fn lapic_timer_set_oneshot(_: &'static ClockEventDevice) {
    __setup_APIC_LVTT(0, true);
}

fn lapic_timer_shutdown(_: &'static ClockEventDevice) {
    apic_write(APIC_LVTT, APIC_LVT_MASKED | u32::from(LOCAL_TIMER_VECTOR));
    apic_write(APIC_TMICT, 0);
}

/// Registers this CPU's timer.
fn setup_APIC_timer() {
    let levt = lapic_events.this_cpu();
    levt.set_next_event.set(Some(lapic_next_event));
    levt.set_state_periodic.set(Some(lapic_timer_set_periodic));
    levt.set_state_oneshot.set(Some(lapic_timer_set_oneshot));
    levt.set_state_oneshot_stopped
        .set(Some(lapic_timer_shutdown));
    levt.set_state_shutdown.set(Some(lapic_timer_shutdown));
    levt.features
        .set(CLOCK_EVT_FEAT_PERIODIC | CLOCK_EVT_FEAT_ONESHOT);
    levt.cpu.set(raw_smp_processor_id());
    clockevents_config_and_register(levt, lapic_timer_khz.get(), 0xf, 0x7fff_ffff);
}

/// Measures the timer against the counter where CPUID has not told its frequency.
fn calibrate_APIC_clock() {
    if lapic_timer_khz.get() != 0 {
        return;
    }
    const CAL_US: u64 = 10_000;
    let mut best: Option<(u64, u64)> = None;
    for _ in 0..3 {
        apic_write(APIC_LVTT, APIC_LVT_MASKED | u32::from(LOCAL_TIMER_VECTOR));
        apic_write(APIC_TDCR, APIC_TDR_DIV_1);
        apic_write(APIC_TMICT, u32::MAX);
        let start = rdtsc_ordered();
        udelay(CAL_US);
        let ticks = u64::from(u32::MAX - apic_read(APIC_TMCCT));
        let cycles = rdtsc_ordered() - start;
        apic_write(APIC_TMICT, 0);
        // The shortest was disturbed least.
        if best.is_none_or(|(_, least)| cycles < least) {
            best = Some((ticks, cycles));
        }
    }
    if let Some((ticks, cycles)) = best {
        lapic_timer_khz.set((ticks * u64::from(tsc_khz.get()) / cycles.max(1)) as u32);
    }
}

/// The boot CPU's timer.
pub fn setup_boot_APIC_clock() {
    calibrate_APIC_clock();
    let khz = lapic_timer_khz.get();
    pr_info!("APIC timer: {}.{:03} MHz", khz / 1000, khz % 1000);
    setup_APIC_timer();
}

/// Another CPU's timer, on that CPU.
pub fn setup_secondary_APIC_clock() {
    setup_APIC_timer();
}

/// The timer interrupt.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sysvec_apic_timer_interrupt(regs: &PtRegs) {
    let state = irqentry_enter(regs);
    irq_enter();
    apic_eoi();
    trace_local_timer_entry(LOCAL_TIMER_VECTOR);
    local_apic_timer_interrupt();
    trace_local_timer_exit(LOCAL_TIMER_VECTOR);
    irq_exit();
    irqentry_exit(regs, state);
}

fn local_apic_timer_interrupt() {
    let levt = lapic_events.this_cpu();
    match levt.event_handler.get() {
        Some(handler) => handler(levt),
        None => {
            pr_warn!(
                "Spurious LAPIC timer interrupt on cpu {}",
                raw_smp_processor_id()
            );
            lapic_timer_shutdown(levt);
        }
    }
}

/// An interrupt that went away; needs no EOI.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sysvec_spurious_apic_interrupt(regs: &PtRegs) {
    let state = irqentry_enter(regs);
    pr_info!(
        "Spurious APIC interrupt on CPU#{}, should never happen.",
        raw_smp_processor_id()
    );
    irqentry_exit(regs, state);
}

/// The APIC saw an illegal vector or register.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sysvec_error_interrupt(regs: &PtRegs) {
    let state = irqentry_enter(regs);
    irq_enter();
    apic_write(APIC_ESR, 0);
    let status = apic_read(APIC_ESR);
    apic_eoi();
    pr_info!("APIC error on CPU{}: {status:02x}", raw_smp_processor_id());
    irq_exit();
    irqentry_exit(regs, state);
}
