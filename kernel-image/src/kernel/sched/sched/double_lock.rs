//! Two runqueues' locks at once, always the lower CPU's first.
//!
//! Linux: `kernel/sched/sched.h`, `core.c` (v6.8): `double_rq_lock`, `double_lock_balance`. Kept: both with
//! their order. Left out: core scheduling's shared lock. Differs: nothing.
//! Locks: interrupts are off.

use super::{RqRef, cpu_of, raw_spin_rq_lock, raw_spin_rq_unlock, same_rq};
use crate::include::linux::spinlock::raw_spin_trylock;

/// Takes the locks of two runqueues; they may be one.
pub fn double_rq_lock(rq1: RqRef, rq2: RqRef) {
    let (first, second) = if cpu_of(rq1) <= cpu_of(rq2) {
        (rq1, rq2)
    } else {
        (rq2, rq1)
    };
    raw_spin_rq_lock(first);
    if !same_rq(first, second) {
        raw_spin_rq_lock(second);
    }
}

/// Releases both.
pub fn double_rq_unlock(rq1: RqRef, rq2: RqRef) {
    if !same_rq(rq1, rq2) {
        raw_spin_rq_unlock(rq2);
    }
    raw_spin_rq_unlock(rq1);
}

/// Takes another runqueue's lock beside the one that is held. True if the held one had to be released
/// meanwhile: whatever it protects may have changed.
pub fn double_lock_balance(this_rq: RqRef, busiest: RqRef) -> bool {
    if raw_spin_trylock(&busiest.__lock) {
        return false;
    }
    if cpu_of(this_rq) < cpu_of(busiest) {
        raw_spin_rq_lock(busiest);
        return false;
    }
    raw_spin_rq_unlock(this_rq);
    double_rq_lock(this_rq, busiest);
    true
}

/// Releases the other one.
pub fn double_unlock_balance(_this_rq: RqRef, busiest: RqRef) {
    raw_spin_rq_unlock(busiest);
}
