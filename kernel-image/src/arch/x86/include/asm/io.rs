//! Port input and output.
//!
//! Linux: arch/x86/include/asm/io.h, v6.8. **Kept** the names.
#![expect(unsafe_code, reason = "in and out instructions")]

use core::arch::asm;

/// Writes a byte to `port`.
///
/// # Safety
/// The device behind the port does not break memory safety when written.
#[inline(always)]
pub unsafe fn outb(value: u8, port: u16) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags))
    };
}

/// Writes a word to `port`.
///
/// # Safety
/// The device behind the port does not break memory safety when written.
#[inline(always)]
pub unsafe fn outw(value: u16, port: u16) {
    // SAFETY: the caller's contract.
    unsafe {
        asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags))
    };
}

/// Reads a byte from `port`.
///
/// # Safety
/// Reading the device behind the port does not break memory safety.
#[inline(always)]
pub unsafe fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: the caller's contract.
    unsafe {
        asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags))
    };
    value
}
