//! drivers/base: what devices have in common; here, that CPUs are devices.
pub mod cpu;
