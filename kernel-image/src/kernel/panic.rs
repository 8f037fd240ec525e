//! The end of the kernel's patience: panic, BUG, WARN.
//!
//! Linux: kernel/panic.c, lib/bug.c, v6.8. **Kept** the messages, one CPU panics and stops the others.
//! **Left out** notifiers, crash dumps, reboot after a time.
use crate::arch::x86::include::asm::current::pcpu_hot;
use crate::arch::x86::include::asm::processor::{PANIC_CPU_INVALID, panic_cpu};
pub use crate::arch::x86::kernel::dumpstack::dump_stack;
use crate::arch::x86::kernel::dumpstack::show_current_regs;
use crate::arch::x86::kernel::{reboot::stop_this_cpu, smp::native_stop_other_cpus};
use crate::fence::caller::return_address;
use crate::include::linux::irqflags::local_irq_disable;
use crate::include::linux::smp::raw_smp_processor_id;
use crate::kernel::kallsyms::sprint_symbol;
use crate::kernel::printk::printk::bust_spinlocks;
use crate::{pr_emerg, pr_warn};
use core::fmt::Arguments;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

static panic_depth: AtomicU32 = AtomicU32::new(0);

/// Makes this CPU the one that panics; any other that comes here stops.
fn claim() {
    local_irq_disable();
    let cpu = raw_smp_processor_id();
    let won =
        panic_cpu.compare_exchange(PANIC_CPU_INVALID, cpu, Ordering::SeqCst, Ordering::SeqCst);
    if won.is_err_and(|owner| owner != cpu) {
        stop_this_cpu();
    }
    bust_spinlocks(cpu);
}

/// An exception is about to be reported.
pub fn begin_oops() {
    claim();
    // A fault while a fault is reported: say nothing more.
    if panic_depth.fetch_add(1, Ordering::SeqCst) > 2 {
        stop_this_cpu();
    }
}

/// Prints why, registers and callers, stops every CPU. Halts with interrupts off for ever.
#[inline(never)]
pub fn panic(message: Arguments<'_>) -> ! {
    claim();
    let first = panic_depth.fetch_add(1, Ordering::SeqCst) == 0;
    pr_emerg!("Kernel panic - not syncing: {message}");
    if first {
        show_current_regs();
    }
    native_stop_other_cpus();
    pr_emerg!("---[ end Kernel panic - not syncing: {message} ]---");
    stop_this_cpu()
}

/// A Rust panic: an index out of range, an `expect`, an `assert!`.
pub fn rust_panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(at) => panic(format_args!("{} at {at}", info.message())),
        None => panic(format_args!("{}", info.message())),
    }
}

/// `BUG!()`.
#[inline(never)]
#[cold]
pub fn bug(file: &str, line: u32) -> ! {
    claim();
    pr_emerg!("------------[ cut here ]------------");
    pr_emerg!("kernel BUG at {file}:{line}!");
    panic(format_args!("Fatal exception"))
}

/// `WARN_ON!` and its relatives: says so and goes on.
#[inline(never)]
#[cold]
pub fn warn_slowpath_fmt(file: &str, line: u32, message: Option<Arguments<'_>>) {
    let caller = return_address();
    pr_warn!("------------[ cut here ]------------");
    if let Some(message) = message {
        pr_warn!("{message}");
    }
    // Before there is a task it is nobody's.
    let pid = pcpu_hot.this_cpu().current_task.get();
    pr_warn!(
        "WARNING: CPU: {} PID: {} at {file}:{line} {}",
        raw_smp_processor_id(),
        pid.map_or(0, |task| task.pid.get()),
        sprint_symbol(caller)
    );
    dump_stack();
    pr_warn!("---[ end trace 0000000000000000 ]---");
}
