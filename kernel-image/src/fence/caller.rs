//! The return address of the function that asks (`_RET_IP_`).
#![expect(unsafe_code, reason = "reads the caller's frame")]

/// Where the function that calls this returns to. That function must have a frame of its own
/// (`#[inline(never)]`); every function has, because the image is built with frame pointers.
#[inline(always)]
pub fn return_address() -> u64 {
    let address: u64;
    // SAFETY: with frame pointers rbp points at the saved rbp of the function this is inlined into,
    // and the word above it is that function's return address.
    unsafe {
        core::arch::asm!("mov {}, [rbp + 8]", out(reg) address,
            options(nostack, preserves_flags, readonly));
    }
    address
}
