//! The `vmlinux` binary: links the kernel crate into the bootable image.
//!
//! Entry is `phys_startup_64` (arch/x86/kernel/head_64.S, named by the linker script); the panic
//! handler is the one thing that must live in the binary crate.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

#[panic_handler]
fn rust_panic(info: &PanicInfo<'_>) -> ! {
    kernel_image::kernel::panic::rust_panic(info)
}
