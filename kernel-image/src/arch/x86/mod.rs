//! x86_64: entry, descriptors, APIC, start of the secondary CPUs.
#[cfg(feature = "image")]
mod assembly;
pub mod include;
pub mod kernel;
pub mod lib;
