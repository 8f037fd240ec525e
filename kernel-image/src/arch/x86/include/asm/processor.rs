//! Per-thread CPU state, and small instructions.
//!
//! Linux: arch/x86/include/asm/processor.h, v6.8. **Kept** `thread_struct.sp`.
//! **Left out** segments, debug registers, the FPU: kernel threads keep no FP state across a switch, which
//! is an ordinary call (every xmm register is caller-saved, MXCSR and the x87 control word are constants).
use crate::fence::shared::Shared;

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

/// Tells the CPU that this is a spin loop (`pause`).
#[inline(always)]
pub fn cpu_relax() {
    core::hint::spin_loop();
}
