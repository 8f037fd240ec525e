//! arch/x86/include: the architecture's primitives.
pub mod asm;
