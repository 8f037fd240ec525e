//! Messages with a time stamp, to the serial console.
//!
//! Linux: kernel/printk/printk.c, v6.8. **Kept** the line prefix `[seconds.micros]`, whole lines at a time.
//! **Differs** printing is synchronous: no ring buffer, no console thread, no levels.
//! **Locks** `console_lock`, interrupts off; a leaf that any context may take.
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::early_printk::serial_putc;
use crate::arch::x86::kernel::tsc::native_sched_clock;
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};
use core::fmt::{Arguments, Write};
use core::sync::atomic::{AtomicU32, Ordering};

const NOBODY: u32 = u32::MAX;
/// The CPU that prints: not a spinlock, because a panic must get through on the CPU that holds it.
static console_owner: AtomicU32 = AtomicU32::new(NOBODY);
/// The CPU that panics: it does not wait for the console.
static oops_in_progress: AtomicU32 = AtomicU32::new(NOBODY);

/// Adds the prefix at the start of each line.
struct Console {
    at_line_start: bool,
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            if core::mem::take(&mut self.at_line_start) {
                let now = native_sched_clock();
                let _ = write!(
                    Raw,
                    "[{:5}.{:06}] ",
                    now / 1_000_000_000,
                    now % 1_000_000_000 / 1000
                );
            }
            put(byte);
            self.at_line_start = byte == b'\n';
        }
        Ok(())
    }
}

/// Bytes as they are.
struct Raw;

impl Write for Raw {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().for_each(put);
        Ok(())
    }
}

fn put(byte: u8) {
    if byte == b'\n' {
        serial_putc(b'\r');
    }
    serial_putc(byte);
}

/// Prints one message; ends its line when the message does not.
///
/// # Context
/// Any, with any lock held.
pub fn vprintk(message: Arguments<'_>) {
    let flags = local_irq_save();
    let cpu = raw_smp_processor_id();
    let nested = console_owner.load(Ordering::Relaxed) == cpu;
    if !nested {
        lock(cpu);
    }
    let mut console = Console {
        at_line_start: true,
    };
    let _ = console.write_fmt(message);
    if !console.at_line_start {
        put(b'\n');
    }
    if !nested {
        console_owner.store(NOBODY, Ordering::Release);
    }
    local_irq_restore(flags);
}

fn lock(cpu: u32) {
    while console_owner
        .compare_exchange_weak(NOBODY, cpu, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
    {
        if oops_in_progress.load(Ordering::Relaxed) == cpu {
            // Whoever held the console may have been stopped with it.
            console_owner.store(cpu, Ordering::Relaxed);
            return;
        }
        cpu_relax();
    }
}

/// From here on `cpu` does not wait for the console's owner.
pub fn bust_spinlocks(cpu: u32) {
    oops_in_progress.store(cpu, Ordering::SeqCst);
}

/// Linux registers the consoles here; the serial port is on since the first line.
pub fn console_init() {
    crate::pr_info!("printk: console [ttyS0] enabled");
}
