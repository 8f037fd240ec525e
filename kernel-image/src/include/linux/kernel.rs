//! Promises that a function makes about itself.
//!
//! Linux: include/linux/kernel.h, v6.8, with CONFIG_DEBUG_ATOMIC_SLEEP. **Kept** `might_sleep`.
use crate::kernel::sched::core::preempt_dynamic::{__might_sleep, might_resched};
use core::panic::Location;

/// The function may sleep: a place for voluntary preemption, and a check that sleeping is allowed here.
#[track_caller]
#[inline(always)]
pub fn might_sleep() {
    let at = Location::caller();
    __might_sleep(at.file(), at.line());
    might_resched();
}
