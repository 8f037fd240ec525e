//! Exceptions. Every one in the kernel is fatal: there is no user mode and nothing to fix up.
//!
//! Linux: arch/x86/kernel/traps.c, mm/fault.c, v6.8. **Kept** the messages' words.
#![expect(unsafe_code, reason = "called from assembly by name; reads cr2")]

use crate::arch::x86::include::asm::ptrace::PtRegs;
use crate::arch::x86::kernel::dumpstack;
use crate::kernel::panic;
use crate::pr_emerg;
use core::arch::asm;

const NAMES: [&str; 20] = [
    "divide error",
    "debug",
    "NMI",
    "int3",
    "overflow",
    "bounds",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor segment overrun",
    "invalid TSS",
    "segment not present",
    "stack segment",
    "general protection fault",
    "page fault",
    "spurious interrupt",
    "coprocessor error",
    "alignment check",
    "machine check",
    "simd coprocessor error",
];

/// Linux installs the remaining gates here; all exception gates stand since `idt_setup_early_handler`.
pub fn trap_init() {}

/// Every exception, on its own stack; `regs.orig_ax` is the error code.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn exc_common(regs: &PtRegs, trapnr: u32) -> ! {
    panic::begin_oops();
    let name = NAMES
        .get(trapnr as usize)
        .copied()
        .unwrap_or("unknown exception");
    if trapnr == 14 {
        page_fault_oops(regs, read_cr2());
    } else {
        pr_emerg!("{name}: {:04x} [#1] PREEMPT SMP", regs.orig_ax);
    }
    dumpstack::show_regs(regs);
    if trapnr == 14 {
        panic::panic(format_args!("Fatal exception"))
    }
    panic::panic(format_args!("Fatal exception: {name}"))
}

fn page_fault_oops(regs: &PtRegs, address: u64) {
    let (present, write, fetch) = (regs.orig_ax & 1, regs.orig_ax & 2, regs.orig_ax & 16);
    if address < 4096 {
        pr_emerg!("BUG: kernel NULL pointer dereference, address: {address:016x}");
    } else if crate::mm::vmalloc::is_guard_page(address) {
        pr_emerg!("BUG: TASK stack guard page was hit at {address:016x}");
    } else {
        pr_emerg!("BUG: unable to handle page fault for address: {address:016x}");
    }
    let access = match (fetch != 0, write != 0) {
        (true, _) => "instruction fetch",
        (_, true) => "write access",
        _ => "read access",
    };
    let why = if present != 0 {
        "permissions violation"
    } else {
        "not-present page"
    };
    pr_emerg!("#PF: supervisor {access} in kernel mode");
    pr_emerg!("#PF: error_code({:#06x}) - {why}", regs.orig_ax);
    pr_emerg!("Oops: {:04x} [#1] PREEMPT SMP", regs.orig_ax);
}

fn read_cr2() -> u64 {
    let address;
    // SAFETY: reads a control register.
    unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}
