//! Low-resolution timers, counted in jiffies.
//!
//! Linux: include/linux/timer.h, v6.8. **Kept** the flags in use and the function names.
use crate::fence::shared::Shared;
use crate::include::linux::list::ListHead;
pub use crate::kernel::time::timer::{add_timer, del_timer, mod_timer, timer_pending, timer_setup};

/// CPU of the base a timer is on.
pub const TIMER_CPUMASK: u32 = 0x0003_ffff;
/// Runs with interrupts off.
pub const TIMER_IRQSAFE: u32 = 0x0020_0000;
/// Stays on the CPU that adds it.
pub const TIMER_PINNED: u32 = 0x0010_0000;
/// First bit of the wheel index.
pub const TIMER_ARRAYSHIFT: u32 = 22;
/// Bits of the wheel index.
pub const TIMER_ARRAYMASK: u32 = 0xffc0_0000;

/// A timer. Static, or lent out by a stack frame that deletes it before it ends.
#[doc(alias = "timer_list")]
#[repr(C)]
pub struct TimerList {
    /// Link in a bucket; guarded by the base's lock.
    pub entry: ListHead,
    /// Expiry in jiffies.
    pub expires: Shared<u64>,
    /// Callback, in softirq.
    pub function: Shared<Option<fn(&'static TimerList)>>,
    /// `TIMER_*` and the CPU.
    pub flags: Shared<u32>,
}

impl TimerList {
    /// A timer without a callback.
    pub const fn new() -> Self {
        Self {
            entry: ListHead::new(),
            expires: Shared::new(0),
            function: Shared::new(None),
            flags: Shared::new(0),
        }
    }
}
