//! Per-thread CPU state, and small instructions.
//!
//! Linux: arch/x86/include/asm/processor.h, v6.8. **Kept** `thread_struct.sp`.
//! **Left out** segments, debug registers, the FPU: kernel threads keep no FP state across a switch, which
//! is an ordinary call (every xmm register is caller-saved, MXCSR and the x87 control word are constants).
use super::irqflags::{local_irq_disable, native_halt};
use super::smp::raw_smp_processor_id;
use crate::fence::shared::Shared;
use core::sync::atomic::{AtomicU32, Ordering};

/// What `__switch_to_asm` saves of a thread that is not running.
#[doc(alias = "thread_struct")]
#[repr(C)]
pub struct ThreadStruct {
    /// Stack pointer: at an `InactiveTaskFrame` while the thread is switched out.
    pub sp: Shared<u64>,
    /// Address of the last fault.
    pub cr2: Shared<u64>,
}

impl ThreadStruct {
    /// State of a thread that never ran.
    pub const fn new() -> Self {
        Self {
            sp: Shared::new(0),
            cr2: Shared::new(0),
        }
    }
}

/// No CPU panics.
pub const PANIC_CPU_INVALID: u32 = u32::MAX;

/// The CPU that panics. Linux stops a CPU that spins with interrupts off by an NMI; here whoever spins looks.
pub static panic_cpu: AtomicU32 = AtomicU32::new(PANIC_CPU_INVALID);

/// Tells the CPU that this is a spin loop (`pause`). Does not return once another CPU has panicked: what this
/// CPU waits for may never come.
#[inline(always)]
pub fn cpu_relax() {
    core::hint::spin_loop();
    if panic_cpu.load(Ordering::Relaxed) != PANIC_CPU_INVALID {
        stop_if_another_panics();
    }
}

#[cold]
fn stop_if_another_panics() {
    if panic_cpu.load(Ordering::Relaxed) != raw_smp_processor_id() {
        local_irq_disable();
        loop {
            native_halt();
        }
    }
}
