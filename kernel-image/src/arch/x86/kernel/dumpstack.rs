//! Printing registers and the chain of calls.
//!
//! Linux: arch/x86/kernel/dumpstack.c, unwind_frame.c, lib/dump_stack.c, v6.8. **Kept** the register lines' shape,
//! callers by name, the level handed down (that of a message without one). **Left out** the names of the stacks,
//! callers that are only guessed.
#![expect(unsafe_code, reason = "walks frame pointers")]

use crate::arch::x86::include::asm::current::{current, pcpu_hot};
use crate::arch::x86::include::asm::desc::{__KERNEL_CS, __KERNEL_DS};
use crate::arch::x86::include::asm::page_types::{THREAD_SIZE, VMALLOC_END, VMALLOC_START};
use crate::arch::x86::include::asm::ptrace::PtRegs;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::kernel::kallsyms::{sprint_backtrace, sprint_symbol};
use crate::kernel::printk::printk::MESSAGE_LOGLEVEL_DEFAULT as KERN_DEFAULT;
use crate::kernel::stop_machine::print_stop_info;
use crate::lib::string::as_str;
use crate::printk;
use core::arch::asm;

unsafe extern "C" {
    static _stext: u8;
    static _etext: u8;
    static _sdata: u8;
    static _end: u8;
}

fn is_text(address: u64) -> bool {
    ((&raw const _stext) as u64..(&raw const _etext) as u64).contains(&address)
}

/// Whether 16 bytes at `address` can be read: stacks lie in the image's data or in the stack area.
fn on_a_stack(address: u64) -> bool {
    let image = (&raw const _sdata) as u64..(&raw const _end) as u64 - 16;
    address & 7 == 0
        && (image.contains(&address)
            || (VMALLOC_START..VMALLOC_END - 16).contains(&address)
                && crate::mm::vmalloc::is_mapped(address))
}

/// Prints who runs where, and what for if it is a stopper.
pub fn dump_stack_print_info(log_lvl: i32) {
    let hot = pcpu_hot.this_cpu();
    if hot.current_task.get().is_none() {
        printk!(
            log_lvl,
            "CPU: {} PID: 0 Comm: swapper Not tainted kreplay",
            raw_smp_processor_id()
        );
        return;
    }
    let p = current();
    let comm: [u8; 16] = core::array::from_fn(|n| p.comm[n].get());
    printk!(
        log_lvl,
        "CPU: {} PID: {} Comm: {} Not tainted kreplay",
        raw_smp_processor_id(),
        p.pid.get(),
        as_str(&comm),
    );
    print_stop_info(log_lvl, p);
}

/// Prints the registers of an interrupted context and its callers.
pub fn show_regs(regs: &PtRegs) {
    dump_stack_print_info(KERN_DEFAULT);
    printk!(
        KERN_DEFAULT,
        "RIP: {:04x}:{}",
        regs.cs & 0xffff,
        sprint_symbol(regs.ip)
    );
    printk!(
        KERN_DEFAULT,
        "RSP: {:04x}:{:016x} EFLAGS: {:08x} ORIG_RAX: {:016x}",
        regs.ss & 0xffff,
        regs.sp,
        regs.flags,
        regs.orig_ax
    );
    printk!(
        KERN_DEFAULT,
        "RAX: {:016x} RBX: {:016x} RCX: {:016x}",
        regs.ax,
        regs.bx,
        regs.cx
    );
    printk!(
        KERN_DEFAULT,
        "RDX: {:016x} RSI: {:016x} RDI: {:016x}",
        regs.dx,
        regs.si,
        regs.di
    );
    printk!(
        KERN_DEFAULT,
        "RBP: {:016x} R08: {:016x} R09: {:016x}",
        regs.bp,
        regs.r8,
        regs.r9
    );
    printk!(
        KERN_DEFAULT,
        "R10: {:016x} R11: {:016x} R12: {:016x}",
        regs.r10,
        regs.r11,
        regs.r12
    );
    printk!(
        KERN_DEFAULT,
        "R13: {:016x} R14: {:016x} R15: {:016x}",
        regs.r13,
        regs.r14,
        regs.r15
    );
    printk!(
        KERN_DEFAULT,
        "GS:  {:016x} CPU: {} preempt_count: {:x}",
        core::ptr::from_ref(pcpu_hot.this_cpu()) as u64,
        raw_smp_processor_id(),
        pcpu_hot.this_cpu().preempt_count.get()
    );
    printk!(KERN_DEFAULT, "Call Trace:");
    printk!(KERN_DEFAULT, " {}", sprint_symbol(regs.ip));
    walk(regs.bp);
}

/// Prints the callers of this function.
#[inline(never)]
pub fn dump_stack() {
    dump_stack_print_info(KERN_DEFAULT);
    let rbp: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack)) };
    printk!(KERN_DEFAULT, "Call Trace:");
    walk(rbp);
}

/// Prints the registers as they are here, and the callers: for a panic that no exception led to.
#[inline(never)]
pub fn show_current_regs() {
    let mut words = [0u64; 17];
    // SAFETY: stores registers into the array; the stack is used for the flags and left as it was.
    unsafe {
        asm!(
            "mov [{0}], r15", "mov [{0} + 8], r14", "mov [{0} + 16], r13", "mov [{0} + 24], r12",
            "mov [{0} + 32], rbp", "mov [{0} + 40], rbx", "mov [{0} + 48], r11", "mov [{0} + 56], r10",
            "mov [{0} + 64], r9", "mov [{0} + 72], r8", "mov [{0} + 80], rax", "mov [{0} + 88], rcx",
            "mov [{0} + 96], rdx", "mov [{0} + 104], rsi", "mov [{0} + 112], rdi",
            "mov [{0} + 120], rsp", "pushfq", "pop qword ptr [{0} + 128]",
            in(reg) &mut words,
        );
    }
    let [
        r15,
        r14,
        r13,
        r12,
        bp,
        bx,
        r11,
        r10,
        r9,
        r8,
        ax,
        cx,
        dx,
        si,
        di,
        sp,
        flags,
    ] = words;
    show_regs(&PtRegs {
        r15,
        r14,
        r13,
        r12,
        bp,
        bx,
        r11,
        r10,
        r9,
        r8,
        ax,
        cx,
        dx,
        si,
        di,
        orig_ax: !0,
        ip: show_current_regs as *const () as u64,
        cs: u64::from(__KERNEL_CS),
        flags,
        sp,
        ss: u64::from(__KERNEL_DS),
    });
}

/// Follows the frame pointers from `bp` for at most 64 frames.
fn walk(bp: u64) {
    let mut bp = bp;
    for _ in 0..64 {
        if !on_a_stack(bp) {
            break;
        }
        // SAFETY: just checked to lie in mapped stack memory.
        let [next, ip] = unsafe { (bp as *const [u64; 2]).read_volatile() };
        if !is_text(ip) {
            break;
        }
        printk!(KERN_DEFAULT, " {}", sprint_backtrace(ip));
        // Callers lie above; another stack (an exception's) may lie anywhere, but never below by less.
        if next <= bp && bp - next < THREAD_SIZE {
            break;
        }
        bp = next;
    }
}
