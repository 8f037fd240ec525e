//! Balance callbacks: work that a class leaves to be done when the runqueue's lock may be dropped.
//!
//! Linux: `kernel/sched/sched.h` (v6.8): `struct balance_callback`, `queue_balance_callback`. Kept: both.
//! Left out: nothing. Differs: an element that is the first of the list is not queued again either (Linux
//! would run it twice). The runs are in `core/balance_callback.rs`.
//! Locks: the runqueue's lock.

use super::RqRef;
use crate::fence::shared::Shared;
use crate::kernel::sched::core::hotplug::balance_push_callback;

/// One function to run. Classes have one of each kind for every CPU.
#[doc(alias = "balance_callback")]
#[repr(C)]
pub struct BalanceCallback {
    /// The one to run after this.
    pub next: Shared<Option<&'static BalanceCallback>>,
    /// The function; it may release the lock and take it again.
    pub func: Shared<Option<fn(RqRef)>>,
}

impl BalanceCallback {
    /// One with nothing to run.
    pub const fn new() -> BalanceCallback {
        BalanceCallback {
            next: Shared::new(None),
            func: Shared::new(None),
        }
    }

    /// One with its function.
    pub const fn with(func: fn(RqRef)) -> BalanceCallback {
        BalanceCallback {
            next: Shared::new(None),
            func: Shared::new(Some(func)),
        }
    }

    /// Whether two are the same.
    pub fn is(&self, other: &BalanceCallback) -> bool {
        core::ptr::eq(self, other)
    }
}

/// Leaves a function to be run at the end of this section of the runqueue's lock.
///
/// Not on a CPU that is not active: there `balance_push` is installed, and nothing is to be pushed or
/// pulled beside it.
pub fn queue_balance_callback(rq: RqRef, head: &'static BalanceCallback, func: fn(RqRef)) {
    let first = rq.balance_callback.get();
    if head.next.get().is_some()
        || first.is_some_and(|first| first.is(&balance_push_callback) || first.is(head))
    {
        return;
    }
    head.func.set(Some(func));
    head.next.set(first);
    rq.balance_callback.set(Some(head));
}
