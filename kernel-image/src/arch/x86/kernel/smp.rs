//! Interprocessor interrupts: who sends them, what they do on arrival.
//!
//! Linux: arch/x86/kernel/smp.c, kernel/smp.c and include/linux/smp.h (the tracepoints at the senders), v6.8.
#![expect(unsafe_code, reason = "called from assembly by name")]

use crate::WARN;
use crate::arch::x86::include::asm::irq_vectors::*;
use crate::arch::x86::include::asm::ptrace::PtRegs;
use crate::arch::x86::kernel::apic::apic::apic_eoi;
use crate::arch::x86::kernel::apic::ipi::*;
use crate::arch::x86::kernel::irq::{irqentry_enter, irqentry_exit};
use crate::fence::caller::return_address;
use crate::include::linux::cpumask::{Cpumask, cpu_online, cpu_online_mask, num_online_cpus};
use crate::include::linux::interrupt::{irq_enter, irq_exit};
use crate::include::trace::events::ipi::trace_ipi_send_cpu;
use crate::include::trace::events::irq_vectors::*;
use core::sync::atomic::{AtomicBool, Ordering};

static stopping: AtomicBool = AtomicBool::new(false);

/// Asks `cpu` to look at its need-resched flag.
///
/// # Context
/// Any; `cpu` is online.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn smp_send_reschedule(cpu: u32) {
    trace_ipi_send_cpu(cpu, return_address(), 0);
    arch_smp_send_reschedule(cpu);
}

/// The machine's part of [`smp_send_reschedule`].
pub fn arch_smp_send_reschedule(cpu: u32) {
    if WARN!(
        !cpu_online(cpu),
        "sched: Unexpected reschedule of offline CPU#{cpu}!"
    ) {
        return;
    }
    default_send_IPI_single(cpu, RESCHEDULE_VECTOR);
}

/// Asks `cpu` to look at its call queue.
pub fn arch_send_call_function_single_ipi(cpu: u32) {
    default_send_IPI_single(cpu, CALL_FUNCTION_SINGLE_VECTOR);
}

/// Asks the CPUs of `mask` to look at their call queues.
pub fn arch_send_call_function_ipi_mask(mask: Cpumask) {
    default_send_IPI_mask_allbutself(mask, CALL_FUNCTION_VECTOR);
}

/// Stops every other CPU for ever; the caller is going to panic or to power off.
pub fn native_stop_other_cpus() {
    if stopping.swap(true, Ordering::SeqCst) || num_online_cpus() <= 1 {
        return;
    }
    default_send_IPI_mask_allbutself(cpu_online_mask(), REBOOT_VECTOR);
}

/// A reschedule IPI: the flag is folded in; the exit of the interrupt does the rest.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sysvec_reschedule_ipi(regs: &PtRegs) {
    let state = irqentry_enter(regs);
    apic_eoi();
    trace_reschedule_entry(RESCHEDULE_VECTOR);
    crate::kernel::sched::core::scheduler_ipi();
    trace_reschedule_exit(RESCHEDULE_VECTOR);
    irqentry_exit(regs, state);
}

/// A call queued by `smp_call_function_many`.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sysvec_call_function(regs: &PtRegs) {
    let state = irqentry_enter(regs);
    irq_enter();
    apic_eoi();
    trace_call_function_entry(CALL_FUNCTION_VECTOR);
    crate::kernel::smp::generic_smp_call_function_single_interrupt();
    trace_call_function_exit(CALL_FUNCTION_VECTOR);
    irq_exit();
    irqentry_exit(regs, state);
}

/// A call or a wake-up queued for this CPU alone.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sysvec_call_function_single(regs: &PtRegs) {
    let state = irqentry_enter(regs);
    irq_enter();
    apic_eoi();
    trace_call_function_single_entry(CALL_FUNCTION_SINGLE_VECTOR);
    crate::kernel::smp::generic_smp_call_function_single_interrupt();
    trace_call_function_single_exit(CALL_FUNCTION_SINGLE_VECTOR);
    irq_exit();
    irqentry_exit(regs, state);
}

/// Asks this CPU for an interrupt in which its irq_works run.
pub fn arch_irq_work_raise() {
    default_send_IPI_self(IRQ_WORK_VECTOR);
}

/// This CPU asked itself to run its irq_works.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sysvec_irq_work(regs: &PtRegs) {
    let state = irqentry_enter(regs);
    irq_enter();
    apic_eoi();
    trace_irq_work_entry(IRQ_WORK_VECTOR);
    crate::kernel::irq_work::irq_work_run();
    trace_irq_work_exit(IRQ_WORK_VECTOR);
    irq_exit();
    irqentry_exit(regs, state);
}

/// Another CPU panics or powers off.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn sysvec_reboot(_: &PtRegs) {
    apic_eoi();
    super::reboot::stop_this_cpu()
}
