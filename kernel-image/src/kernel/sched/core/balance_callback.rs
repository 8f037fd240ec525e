//! Running what the classes left to be done when the runqueue's lock may be dropped.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `do_balance_callbacks`, `splice_balance_callbacks`,
//! `balance_callbacks`. Kept: all of it. Left out, differs: nothing.
//! Locks: the runqueue's lock; a function may release it and take it again.

use super::hotplug::balance_push_callback;
use crate::kernel::sched::sched::{
    BalanceCallback, RqFlags, RqRef, rq_lock_irqsave, rq_unlock_irqrestore,
};

/// Runs a list that has been taken off the runqueue.
fn do_balance_callbacks(rq: RqRef, mut head: Option<&'static BalanceCallback>) {
    while let Some(callback) = head {
        head = callback.next.replace(None);
        if let Some(func) = callback.func.get() {
            func(rq);
        }
    }
}

/// Takes the list. With `split` it will be run in another section of the lock: `balance_push` then stays,
/// because it must never be missing from a CPU that is not active.
fn __splice_balance_callbacks(rq: RqRef, split: bool) -> Option<&'static BalanceCallback> {
    let head = rq.balance_callback.get()?;
    if split && head.is(&balance_push_callback) {
        return None;
    }
    rq.balance_callback.set(None);
    Some(head)
}

/// Takes the list, to be run by `balance_callbacks` after other locks have been released.
pub(super) fn splice_balance_callbacks(rq: RqRef) -> Option<&'static BalanceCallback> {
    __splice_balance_callbacks(rq, true)
}

/// Runs what was left, with the runqueue's lock held.
pub(super) fn __balance_callbacks(rq: RqRef) {
    do_balance_callbacks(rq, __splice_balance_callbacks(rq, false));
}

/// Runs a list that `splice_balance_callbacks` took, without any lock held.
pub(super) fn balance_callbacks(rq: RqRef, head: Option<&'static BalanceCallback>) {
    if head.is_some() {
        let mut rf = RqFlags::new();
        rq_lock_irqsave(rq, &mut rf);
        do_balance_callbacks(rq, head);
        rq_unlock_irqrestore(rq, &rf);
    }
}
