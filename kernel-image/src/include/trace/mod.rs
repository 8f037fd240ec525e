//! include/trace: the events of the kernel.
pub mod events;
