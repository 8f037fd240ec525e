//! This CPU's number.
//!
//! Linux: arch/x86/include/asm/smp.h, v6.8.
#![expect(unsafe_code, reason = "gs-relative load")]

use super::current::PcpuHot;
use core::arch::asm;
use core::mem::offset_of;

/// The number of the CPU that runs this; stale as soon as the thread may migrate.
#[inline(always)]
pub fn raw_smp_processor_id() -> u32 {
    let cpu: u32;
    // SAFETY: GS points at this CPU's `pcpu_hot` from the first instruction of Rust code on.
    unsafe {
        asm!("mov {:e}, gs:[{off}]", out(reg) cpu, off = const offset_of!(PcpuHot, cpu_number),
            options(nostack, preserves_flags, readonly));
    }
    cpu
}
