//! Types that everybody needs. Linux: `include/linux/types.h` (v6.8).
//!
//! Kept: the callback head. Left out: the integer names, which are Rust's own; list heads are in `list.rs`.

use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;

/// What a callback is called with: the head inside the object that it is for.
pub type RcuCallback = fn(&'static RcuHead);

/// A call that waits for its time: for a grace period's end. Lives in the object that the call is about.
#[doc(alias = "callback_head")]
#[doc(alias = "rcu_head")]
#[repr(C)]
pub struct RcuHead {
    /// The next one of its list: under the list's lock.
    pub next: Shared<Option<&'static RcuHead>>,
    /// What to call; none while it waits for nothing.
    pub func: Shared<Option<RcuCallback>>,
}

impl RcuHead {
    /// Waits for nothing.
    pub const fn new() -> RcuHead {
        RcuHead {
            next: Shared::new(None),
            func: Shared::new(None),
        }
    }
}

impl StackObject for RcuHead {
    fn quiescent(&self) -> bool {
        self.func.get().is_none()
    }
}
