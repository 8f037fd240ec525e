//! Which interrupt vector means what.
//!
//! Linux: arch/x86/include/asm/irq_vectors.h, v6.8. **Kept** the numbers of the vectors in use.

/// First vector that an external interrupt may have; those below are exceptions.
pub const FIRST_EXTERNAL_VECTOR: u8 = 0x20;
/// Spurious local APIC interrupt.
pub const SPURIOUS_APIC_VECTOR: u8 = 0xff;
/// Local APIC error.
pub const ERROR_APIC_VECTOR: u8 = 0xfe;
/// Reschedule IPI.
pub const RESCHEDULE_VECTOR: u8 = 0xfd;
/// Function call IPI sent to several CPUs.
pub const CALL_FUNCTION_VECTOR: u8 = 0xfc;
/// Function call IPI sent to one CPU.
pub const CALL_FUNCTION_SINGLE_VECTOR: u8 = 0xfb;
/// Stops a CPU at panic or power-off.
pub const REBOOT_VECTOR: u8 = 0xf8;
/// Work that a CPU asked itself to do soon.
pub const IRQ_WORK_VECTOR: u8 = 0xf6;
/// The per-CPU timer.
pub const LOCAL_TIMER_VECTOR: u8 = 0xec;
