//! From the first assembly to `start_kernel`.
//!
//! Linux: arch/x86/kernel/head64.c, v6.8. **Kept** the entry's name and its early steps. **Left out** early
//! page fault handling (memory is mapped before), microcode, the copy of boot_params as a structure.
#![expect(unsafe_code, reason = "entered from assembly by name")]

use crate::arch::x86::kernel::{idt, setup};
use crate::init::init_task::init_task;

/// Entered from `startup_64` with the physical address of boot_params, on the boot stack, interrupts off.
///
/// # Safety
/// Called once, by head_64.S.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn x86_64_start_kernel(real_mode_data: u64) -> ! {
    crate::arch::x86::kernel::smpboot::set_boot_current(&init_task);
    super::process::cpu_init_boot();
    idt::idt_setup_early_handler();
    setup::copy_bootdata(real_mode_data);
    crate::init::main::start_kernel()
}
