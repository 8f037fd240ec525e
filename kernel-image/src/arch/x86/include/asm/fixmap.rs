//! Addresses known at compile time.
//!
//! Linux: arch/x86/include/asm/fixmap.h, v6.8. **Kept** one entry: the local APIC.

/// The local APIC's registers, not cached, not executable.
pub const FIX_APIC_BASE: u64 = 0xffff_ffff_ff5f_d000;
