//! The interrupt descriptor table: one for all CPUs.
//!
//! Linux: arch/x86/kernel/idt.c, v6.8. **Kept** the set-up functions' names. **Differs** every gate is an
//! interrupt gate on an IST stack (see entry_64.S).
#![expect(unsafe_code, reason = "addresses of assembly stubs; lidt")]

use crate::arch::x86::include::asm::desc::{
    DescPtr, GateDesc, IST_INDEX_DF, IST_INDEX_EXC, IST_INDEX_IRQ, IST_INDEX_NMI,
};
use crate::arch::x86::include::asm::irq_vectors::*;
use core::arch::asm;
use core::cell::UnsafeCell;

macro_rules! stubs {
    ($($name:ident)*) => { unsafe extern "C" { $(safe fn $name();)* } };
}
stubs! {
    asm_exc_divide_error asm_exc_debug asm_exc_nmi asm_exc_int3 asm_exc_overflow asm_exc_bounds
    asm_exc_invalid_op asm_exc_device_not_available asm_exc_double_fault asm_exc_coproc_segment_overrun
    asm_exc_invalid_tss asm_exc_segment_not_present asm_exc_stack_segment asm_exc_general_protection
    asm_exc_page_fault asm_exc_spurious_interrupt_bug asm_exc_coprocessor_error
    asm_exc_alignment_check asm_exc_machine_check asm_exc_simd_coprocessor_error
    asm_sysvec_apic_timer_interrupt asm_sysvec_reschedule_ipi asm_sysvec_call_function
    asm_sysvec_call_function_single asm_sysvec_irq_work asm_sysvec_reboot asm_sysvec_error_interrupt
    asm_sysvec_spurious_apic_interrupt asm_common_interrupt
}

const EXCEPTIONS: [(u8, extern "C" fn()); 20] = [
    (0, asm_exc_divide_error),
    (1, asm_exc_debug),
    (2, asm_exc_nmi),
    (3, asm_exc_int3),
    (4, asm_exc_overflow),
    (5, asm_exc_bounds),
    (6, asm_exc_invalid_op),
    (7, asm_exc_device_not_available),
    (8, asm_exc_double_fault),
    (9, asm_exc_coproc_segment_overrun),
    (10, asm_exc_invalid_tss),
    (11, asm_exc_segment_not_present),
    (12, asm_exc_stack_segment),
    (13, asm_exc_general_protection),
    (14, asm_exc_page_fault),
    (15, asm_exc_spurious_interrupt_bug),
    (16, asm_exc_coprocessor_error),
    (17, asm_exc_alignment_check),
    (18, asm_exc_machine_check),
    (19, asm_exc_simd_coprocessor_error),
];

const APIC_IDTS: [(u8, extern "C" fn()); 8] = [
    (LOCAL_TIMER_VECTOR, asm_sysvec_apic_timer_interrupt),
    (RESCHEDULE_VECTOR, asm_sysvec_reschedule_ipi),
    (CALL_FUNCTION_VECTOR, asm_sysvec_call_function),
    (CALL_FUNCTION_SINGLE_VECTOR, asm_sysvec_call_function_single),
    (REBOOT_VECTOR, asm_sysvec_reboot),
    (IRQ_WORK_VECTOR, asm_sysvec_irq_work),
    (ERROR_APIC_VECTOR, asm_sysvec_error_interrupt),
    (SPURIOUS_APIC_VECTOR, asm_sysvec_spurious_apic_interrupt),
];

#[repr(C, align(4096))]
struct IdtTable(UnsafeCell<[GateDesc; 256]>);
// SAFETY: written by the boot CPU alone, before any other CPU runs; read by the hardware.
unsafe impl Sync for IdtTable {}

static idt_table: IdtTable = IdtTable(UnsafeCell::new([GateDesc::EMPTY; 256]));

fn set_gate(vector: u8, handler: extern "C" fn(), ist: u8) {
    // SAFETY: see `IdtTable`; the index is below 256.
    unsafe {
        (*idt_table.0.get())[usize::from(vector)] =
            GateDesc::interrupt(handler as *const () as u64, ist);
    }
}

/// Installs the exception gates, before anything can fault.
pub fn idt_setup_early_handler() {
    for (vector, handler) in EXCEPTIONS {
        let ist = match vector {
            2 => IST_INDEX_NMI,
            8 => IST_INDEX_DF,
            _ => IST_INDEX_EXC,
        };
        set_gate(vector, handler, ist);
    }
    load_current_idt();
}

/// Installs the gates of interrupts.
pub fn idt_setup_apic_and_irq_gates() {
    for vector in FIRST_EXTERNAL_VECTOR..=u8::MAX {
        set_gate(vector, asm_common_interrupt, IST_INDEX_IRQ);
    }
    for (vector, handler) in APIC_IDTS {
        set_gate(vector, handler, IST_INDEX_IRQ);
    }
}

/// Points this CPU at the table.
pub fn load_current_idt() {
    let descriptor = DescPtr {
        size: 256 * 16 - 1,
        address: idt_table.0.get() as u64,
    };
    // SAFETY: the table is static and its gates lead to the stubs of entry_64.S.
    unsafe { asm!("lidt [{}]", in(reg) &descriptor, options(nostack, readonly)) };
}
