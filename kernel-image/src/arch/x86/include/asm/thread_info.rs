//! `ThreadInfo`: the flags of a task that entry code and the idle loop test.
//!
//! Linux: arch/x86/include/asm/thread_info.h, v6.8. **Kept** flags, status, cpu, the bit numbers.
//! **Left out** the user-mode work bits.
use crate::fence::shared::Shared;
use core::sync::atomic::AtomicU64;

/// Something must be told to user mode on return.
pub const TIF_NOTIFY_RESUME: u32 = 1;
/// A signal is pending.
pub const TIF_SIGPENDING: u32 = 2;
/// `schedule` must be called.
pub const TIF_NEED_RESCHED: u32 = 3;
/// Something is to be treated like a signal: for kernel threads, that they shall stop.
pub const TIF_NOTIFY_SIGNAL: u32 = 17;
/// The idle loop polls `TIF_NEED_RESCHED`: no IPI is needed.
pub const TIF_POLLING_NRFLAG: u32 = 21;
/// Mask of [`TIF_NEED_RESCHED`].
pub const _TIF_NEED_RESCHED: u64 = 1 << TIF_NEED_RESCHED;
/// Mask of [`TIF_POLLING_NRFLAG`].
pub const _TIF_POLLING_NRFLAG: u64 = 1 << TIF_POLLING_NRFLAG;

/// First member of every task.
#[doc(alias = "thread_info")]
#[repr(C)]
pub struct ThreadInfo {
    /// `TIF_*` bits, changed atomically by any CPU.
    pub flags: AtomicU64,
    /// System-call work bits; none without user mode.
    pub syscall_work: Shared<u64>,
    /// Status bits of the thread itself.
    pub status: Shared<u32>,
    /// The CPU this task is on; written under its runqueue's lock.
    pub cpu: Shared<u32>,
}

impl ThreadInfo {
    /// No flag set, CPU 0.
    pub const fn new() -> Self {
        Self {
            flags: AtomicU64::new(0),
            syscall_work: Shared::new(0),
            status: Shared::new(0),
            cpu: Shared::new(0),
        }
    }
}
