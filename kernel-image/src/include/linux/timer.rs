//! Low-resolution timers, counted in jiffies.
//!
//! Linux: include/linux/timer.h, v6.8. **Kept** the flags and the function names.
use crate::fence::shared::Shared;
use crate::include::linux::list::ListHead;
pub use crate::kernel::time::timer::{
    add_timer, add_timer_on, del_timer, del_timer_sync, mod_timer, mod_timer_pending, timer_delete,
    timer_delete_sync, timer_pending, timer_reduce, timer_setup, timer_shutdown,
    timer_shutdown_sync, try_to_del_timer_sync,
};

/// CPU of the base a timer is on.
pub const TIMER_CPUMASK: u32 = 0x0003_ffff;
/// Between two bases.
pub const TIMER_MIGRATING: u32 = 0x0004_0000;
/// What says which base a timer is on.
pub const TIMER_BASEMASK: u32 = TIMER_CPUMASK | TIMER_MIGRATING;
/// Does not end an idle CPU's sleep: it waits for the next interrupt that does.
pub const TIMER_DEFERRABLE: u32 = 0x0008_0000;
/// Stays on the CPU that adds it.
pub const TIMER_PINNED: u32 = 0x0010_0000;
/// Runs with interrupts off.
pub const TIMER_IRQSAFE: u32 = 0x0020_0000;
/// What `timer_setup` takes.
pub const TIMER_INIT_FLAGS: u32 = TIMER_DEFERRABLE | TIMER_PINNED | TIMER_IRQSAFE;
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
    /// Callback, in softirq; None once it is shut down.
    pub function: Shared<Option<fn(&'static TimerList)>>,
    /// `TIMER_*`, the CPU and the bucket.
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
