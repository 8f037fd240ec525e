//! The local APIC: registers, timer, interprocessor interrupts.
pub mod apic;
pub mod ipi;
