//! arch/x86/kernel: boot, traps, APIC, secondary CPUs, context switch.
pub mod acpi;
pub mod apic;
pub mod dumpstack;
pub mod early_printk;
pub mod head64;
pub mod idt;
pub mod irq;
pub mod process;
pub mod process_64;
pub mod reboot;
pub mod rtc;
pub mod setup;
pub mod smp;
pub mod smpboot;
pub mod time;
pub mod traps;
pub mod tsc;
