//! Sending interprocessor interrupts through the xAPIC's command register.
//!
//! Linux: arch/x86/kernel/apic/ipi.c, v6.8. **Differs** masks are sent one destination at a time (Linux uses
//! logical clusters or, when the mask is everyone, the all-but-self shorthand, which is kept).
use super::apic::{apic_read, apic_write, cpuid_to_apicid};
use crate::arch::x86::include::asm::apicdef::*;
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::include::linux::cpumask::{Cpumask, cpu_online_mask};
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};

fn wait_icr_idle() {
    while apic_read(APIC_ICR) & APIC_ICR_BUSY != 0 {
        cpu_relax();
    }
}

/// Sends the command `low` to the APIC `dest`.
pub fn apic_icr_write(low: u32, dest: u32) {
    apic_write(APIC_ICR2, dest << 24);
    apic_write(APIC_ICR, low);
}

/// Sends `vector` to one CPU.
pub fn default_send_IPI_single(cpu: u32, vector: u8) {
    let flags = local_irq_save();
    wait_icr_idle();
    apic_icr_write(
        APIC_DM_FIXED | u32::from(vector),
        cpuid_to_apicid[cpu as usize].get(),
    );
    local_irq_restore(flags);
}

/// Sends `vector` to this CPU, and waits until it is on its way.
pub fn default_send_IPI_self(vector: u8) {
    let flags = local_irq_save();
    wait_icr_idle();
    apic_write(APIC_ICR, APIC_DEST_SELF | APIC_DM_FIXED | u32::from(vector));
    wait_icr_idle();
    local_irq_restore(flags);
}

/// Sends `vector` to every CPU of `mask` but this one.
pub fn default_send_IPI_mask_allbutself(mask: Cpumask, vector: u8) {
    let others = mask.without(raw_smp_processor_id());
    if others == cpu_online_mask().without(raw_smp_processor_id()) && others.weight() > 1 {
        default_send_IPI_allbutself(vector);
        return;
    }
    for cpu in others.iter() {
        default_send_IPI_single(cpu, vector);
    }
}

/// Sends `vector` to every APIC but this one.
pub fn default_send_IPI_allbutself(vector: u8) {
    let flags = local_irq_save();
    wait_icr_idle();
    apic_write(
        APIC_ICR,
        APIC_DEST_ALLBUT | APIC_DM_FIXED | u32::from(vector),
    );
    local_irq_restore(flags);
}

/// Resets the APIC `apicid` (INIT), then releases the line.
pub fn send_init_sequence(apicid: u32) {
    wait_icr_idle();
    apic_icr_write(APIC_INT_LEVELTRIG | APIC_INT_ASSERT | APIC_DM_INIT, apicid);
    crate::arch::x86::kernel::tsc::udelay(10);
    wait_icr_idle();
    apic_icr_write(APIC_INT_LEVELTRIG | APIC_DM_INIT, apicid);
}

/// Starts the APIC `apicid` in real mode at the page `start >> 12`.
pub fn send_startup(apicid: u32, start: u64) {
    wait_icr_idle();
    apic_icr_write(APIC_DM_STARTUP | (start >> 12) as u32, apicid);
}
