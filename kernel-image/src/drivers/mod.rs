//! drivers: what tests of the machine need, and CPUs as devices.
pub mod base;
pub mod misc;
