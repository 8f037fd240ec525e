//! Model-specific registers and the time stamp counter.
//!
//! Linux: arch/x86/include/asm/msr.h and msr-index.h, v6.8. **Kept** the registers in use.
#![expect(unsafe_code, reason = "rdmsr, wrmsr, rdtsc, cpuid")]

use core::arch::asm;

/// Extended feature enables: LME, LMA, NXE.
pub const MSR_EFER: u32 = 0xc000_0080;
/// Base of the GS segment: this CPU's `pcpu_hot`.
pub const MSR_GS_BASE: u32 = 0xc000_0101;
/// Local APIC base and global enable.
pub const MSR_IA32_APICBASE: u32 = 0x1b;

/// Reads a model-specific register.
///
/// # Safety
/// The register exists on this machine.
#[inline(always)]
pub unsafe fn rdmsr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller names an existing register.
    unsafe {
        asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high, options(nomem, nostack))
    };
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// The register exists and the kernel stays sound with the new value.
#[inline(always)]
pub unsafe fn wrmsr(msr: u32, value: u64) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack));
    }
}

/// Reads the time stamp counter, not before earlier loads are done.
#[inline(always)]
pub fn rdtsc_ordered() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a counter.
    unsafe { asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nomem, nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// The four registers that CPUID returns for a leaf: eax, ebx, ecx, edx.
pub fn cpuid(leaf: u32) -> [u32; 4] {
    let answer = core::arch::x86_64::__cpuid(leaf);
    [answer.eax, answer.ebx, answer.ecx, answer.edx]
}

/// The same for a sub-leaf.
pub fn cpuid_count(leaf: u32, subleaf: u32) -> [u32; 4] {
    let answer = core::arch::x86_64::__cpuid_count(leaf, subleaf);
    [answer.eax, answer.ebx, answer.ecx, answer.edx]
}
