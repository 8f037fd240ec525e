//! Architectures: x86 only.
pub mod x86;
