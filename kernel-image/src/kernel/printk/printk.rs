//! Messages: levels, time stamps, the ring that keeps them, the serial console.
//!
//! Linux: kernel/printk/printk.c and printk_ringbuffer.c, v6.8. **Kept** levels and `console_loglevel` (`quiet`,
//! `loglevel=`, `ignore_loglevel`), records with sequence number and time, the line prefix `[seconds.micros]`, the
//! console that prints what it has not printed yet, `console_lock` which holds it off, deferred messages.
//! **Left out** `/dev/kmsg`, continued lines, several consoles, rate limits. **Differs** the ring is under a lock
//! instead of lockless; whoever holds that prints.
//! **Locks** `log_owner`, interrupts off; a leaf that any context may take.
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::early_printk::serial_putc;
use crate::arch::x86::kernel::tsc::native_sched_clock;
use crate::fence::shared::Shared;
use crate::include::linux::irq_work::IrqWork;
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};
use crate::include::linux::mutex::Mutex;
use crate::kernel::irq_work::irq_work_queue;
use crate::kernel::params::param;
use core::fmt::{Arguments, Write};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// Level of a message without one.
pub const MESSAGE_LOGLEVEL_DEFAULT: i32 = 4;
/// Messages below this level are printed.
pub const CONSOLE_LOGLEVEL_DEFAULT: i32 = 7;
/// The same with `quiet`.
pub const CONSOLE_LOGLEVEL_QUIET: i32 = 4;
/// The least it can be.
pub const CONSOLE_LOGLEVEL_MIN: i32 = 1;
/// In a panic everything is printed.
const CONSOLE_LOGLEVEL_MOTORMOUTH: i32 = 15;

/// Messages below this level are printed.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static console_loglevel: AtomicI32 = AtomicI32::new(CONSOLE_LOGLEVEL_DEFAULT);
static ignore_loglevel: AtomicBool = AtomicBool::new(false);

const NOBODY: u32 = u32::MAX;
/// The CPU that has the ring and the console: not a spinlock, because a panic must get through on the CPU that
/// holds it.
static log_owner: AtomicU32 = AtomicU32::new(NOBODY);
/// The CPU that panics: it does not wait for the ring's owner.
static oops_in_progress: AtomicU32 = AtomicU32::new(NOBODY);

/// Bytes of text that are kept.
const LOG_BUF_LEN: usize = 1 << 16;
/// Messages that are kept.
const NR_DESCS: usize = 1 << 10;

/// What is known of a message.
#[doc(alias = "printk_info")]
#[repr(C)]
struct PrintkInfo {
    /// Its number.
    seq: Shared<u64>,
    /// When, ns.
    ts_nsec: Shared<u64>,
    /// Where its text begins, counted from the first byte ever.
    begin: Shared<u64>,
    /// Bytes of it.
    text_len: Shared<u32>,
    /// How urgent.
    level: Shared<i32>,
}

/// The messages. Fields: under `log_owner`.
#[doc(alias = "printk_ringbuffer")]
#[repr(C)]
struct PrintkRingbuffer {
    infos: [PrintkInfo; NR_DESCS],
    text: [Shared<u8>; LOG_BUF_LEN],
    /// Number of the next message.
    next_seq: Shared<u64>,
    /// Bytes ever written.
    head: Shared<u64>,
    /// Somebody is writing a message.
    writing: Shared<bool>,
    /// The next message that the console prints.
    console_seq: Shared<u64>,
    /// A task keeps the console to itself.
    console_locked: Shared<bool>,
}

/// The messages.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
static prb: PrintkRingbuffer = PrintkRingbuffer {
    infos: [const {
        PrintkInfo {
            seq: Shared::new(0),
            ts_nsec: Shared::new(0),
            begin: Shared::new(0),
            text_len: Shared::new(0),
            level: Shared::new(0),
        }
    }; NR_DESCS],
    text: [const { Shared::new(0) }; LOG_BUF_LEN],
    next_seq: Shared::new(0),
    head: Shared::new(0),
    writing: Shared::new(false),
    console_seq: Shared::new(0),
    console_locked: Shared::new(false),
};

/// Appends to the ring.
struct RingWriter;

impl Write for RingWriter {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            prb.text[prb.head.get() as usize % LOG_BUF_LEN].set(byte);
            prb.head.inc();
        }
        Ok(())
    }
}

/// Adds the prefix at the start of each line, and prints.
struct Console {
    ts_nsec: u64,
    at_line_start: bool,
}

impl Console {
    fn put(&mut self, byte: u8) {
        if core::mem::take(&mut self.at_line_start) {
            let _ = write!(
                Raw,
                "[{:5}.{:06}] ",
                self.ts_nsec / 1_000_000_000,
                self.ts_nsec % 1_000_000_000 / 1000
            );
        }
        put(byte);
        self.at_line_start = byte == b'\n';
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().for_each(|byte| self.put(byte));
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

/// Whether the console does not print messages of a level.
fn suppress_message_printing(level: i32) -> bool {
    level >= console_loglevel.load(Ordering::Relaxed) && !ignore_loglevel.load(Ordering::Relaxed)
}

/// Keeps a message. The ring is ours.
fn vprintk_store(level: i32, message: Arguments<'_>) {
    let begin = prb.head.get();
    prb.writing.set(true);
    let _ = RingWriter.write_fmt(message);
    prb.writing.set(false);
    let len = prb.head.get() - begin;
    let seq = prb.next_seq.get();
    let info = &prb.infos[seq as usize % NR_DESCS];
    info.seq.set(seq);
    info.ts_nsec.set(native_sched_clock());
    info.begin.set(begin);
    // What is longer than the ring has lost its beginning, and more.
    info.text_len.set(len.min(LOG_BUF_LEN as u64) as u32);
    info.level.set(level);
    prb.next_seq.set(seq + 1);
}

/// The message of a number, if it and all of its text are still there.
fn prb_read_valid(seq: u64) -> Option<&'static PrintkInfo> {
    let info = &prb.infos[seq as usize % NR_DESCS];
    let kept = info.begin.get() + LOG_BUF_LEN as u64 >= prb.head.get();
    (seq < prb.next_seq.get() && info.seq.get() == seq && kept).then_some(info)
}

/// Prints all messages that the console has not printed yet. The ring is ours.
fn console_flush_all() {
    let mut dropped = 0u64;
    while prb.console_seq.get() < prb.next_seq.get() {
        let seq = prb.console_seq.get();
        prb.console_seq.set(seq + 1);
        let Some(info) = prb_read_valid(seq) else {
            dropped += 1;
            continue;
        };
        if dropped != 0 {
            let _ = writeln!(Raw, "** {dropped} printk messages dropped **");
            dropped = 0;
        }
        if suppress_message_printing(info.level.get()) {
            continue;
        }
        let mut console = Console {
            ts_nsec: info.ts_nsec.get(),
            at_line_start: true,
        };
        for at in info.begin.get()..info.begin.get() + u64::from(info.text_len.get()) {
            console.put(prb.text[at as usize % LOG_BUF_LEN].get());
        }
        if !console.at_line_start {
            put(b'\n');
        }
    }
}

/// Makes the ring ours; false if it is already. Interrupts are off.
fn log_lock(cpu: u32) -> bool {
    if log_owner.load(Ordering::Relaxed) == cpu {
        return false;
    }
    while log_owner
        .compare_exchange_weak(NOBODY, cpu, Ordering::Acquire, Ordering::Relaxed)
        .is_err()
    {
        if oops_in_progress.load(Ordering::Relaxed) == cpu {
            // Whoever held it may have been stopped with it.
            log_owner.store(cpu, Ordering::Relaxed);
            return true;
        }
        cpu_relax();
    }
    true
}

fn log_unlock() {
    log_owner.store(NOBODY, Ordering::Release);
}

/// Keeps one message and prints it, unless the console is held off or the level is too low.
///
/// # Context
/// Any, with any lock held.
pub fn vprintk_emit(level: i32, message: Arguments<'_>) {
    emit(level, message, true);
}

/// Keeps one message; the console prints it a little later, from an interrupt. For those who hold a runqueue's
/// lock or the like.
///
/// # Context
/// Any, with any lock held.
pub fn vprintk_deferred(level: i32, message: Arguments<'_>) {
    emit(level, message, false);
    defer_console_output();
}

fn emit(level: i32, message: Arguments<'_>, print: bool) {
    let flags = local_irq_save();
    let cpu = raw_smp_processor_id();
    let panicking = oops_in_progress.load(Ordering::Relaxed) == cpu;
    if log_lock(cpu) {
        if panicking {
            prb.writing.set(false);
        }
        vprintk_store(level, message);
        if panicking || (print && !prb.console_locked.get()) {
            console_flush_all();
        }
        log_unlock();
    } else if prb.writing.get() {
        // In the middle of another message, which has to be whole: past the ring.
        let mut console = Console {
            ts_nsec: native_sched_clock(),
            at_line_start: true,
        };
        let _ = console.write_fmt(message);
        if !console.at_line_start {
            put(b'\n');
        }
    } else {
        // Whoever prints on this CPU just now prints it too.
        vprintk_store(level, message);
    }
    local_irq_restore(flags);
}

static wake_up_klogd_work: IrqWork = IrqWork::new(flush_from_interrupt);

fn flush_from_interrupt(_work: &'static IrqWork) {
    console_trylock_and_flush();
}

/// Has the console print from an interrupt what it has not printed yet.
pub fn defer_console_output() {
    irq_work_queue(&wake_up_klogd_work);
}

fn console_trylock_and_flush() {
    let flags = local_irq_save();
    if log_lock(raw_smp_processor_id()) {
        if !prb.console_locked.get() {
            console_flush_all();
        }
        log_unlock();
    }
    local_irq_restore(flags);
}

static console_sem: Mutex = Mutex::new();

fn set_console_locked(locked: bool) {
    let flags = local_irq_save();
    if log_lock(raw_smp_processor_id()) {
        if !locked {
            console_flush_all();
        }
        prb.console_locked.set(locked);
        log_unlock();
    }
    local_irq_restore(flags);
}

/// Keeps the console to the caller: messages are kept meanwhile and not printed.
///
/// # Context
/// May sleep.
pub fn console_lock() {
    console_sem.lock();
    set_console_locked(true);
}

/// Gives the console back, and prints what came meanwhile.
pub fn console_unlock() {
    set_console_locked(false);
    console_sem.unlock();
}

/// Number of the next message, and number of the next one that the console prints.
pub fn printk_seq() -> (u64, u64) {
    (prb.next_seq.get(), prb.console_seq.get())
}

/// From here on `cpu` does not wait for the ring's owner, and everything is printed.
pub fn bust_spinlocks(cpu: u32) {
    oops_in_progress.store(cpu, Ordering::SeqCst);
    console_loglevel.fetch_max(CONSOLE_LOGLEVEL_MOTORMOUTH, Ordering::Relaxed);
}

/// The parameters that say what is printed; early ones in Linux.
pub fn printk_early_params() {
    if param("quiet").is_some() {
        console_loglevel.store(CONSOLE_LOGLEVEL_QUIET, Ordering::Relaxed);
    }
    if let Some(level) = param("loglevel").and_then(|text| text.as_u64()) {
        let level = (level.min(i32::MAX as u64) as i32).max(CONSOLE_LOGLEVEL_MIN);
        console_loglevel.store(level, Ordering::Relaxed);
    }
    if param("ignore_loglevel").is_some() {
        ignore_loglevel.store(true, Ordering::Relaxed);
        crate::pr_info!("debug: ignoring loglevel setting.");
    }
}

/// Linux registers the consoles here; the serial port is on since the first line.
pub fn console_init() {
    crate::pr_info!("printk: console [ttyS0] enabled");
}
