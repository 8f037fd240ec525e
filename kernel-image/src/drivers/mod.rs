//! drivers: only what the tests of the machine need.
pub mod misc;
