//! The host in the machine's place, for the tests that run there: what assembly and the linker script define
//! in the image. The linker wants these symbols as soon as a test's code can reach a panic or a lock that
//! sleeps; nothing here is ever called or read.
#![expect(
    unsafe_code,
    reason = "no_mangle: names that are the linker script's in the image"
)]

/// Code begins.
#[unsafe(no_mangle)]
pub static _stext: u8 = 0;
/// Code ends.
#[unsafe(no_mangle)]
pub static _etext: u8 = 0;
/// Data begins.
#[unsafe(no_mangle)]
pub static _sdata: u8 = 0;

/// A test has no second task to switch to.
#[unsafe(no_mangle)]
pub extern "C" fn __switch_to_asm() -> ! {
    panic!("a test on the host switched tasks")
}
