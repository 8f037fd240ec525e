//! Two runqueues' locks at once, always the lower CPU's first.
//!
//! Linux: `kernel/sched/sched.h`, `core.c` (v6.8): `double_rq_lock`, `double_lock_balance` with CONFIG_PREEMPTION,
//! which PREEMPT_DYNAMIC has. Kept: both with their order. Left out: core scheduling's shared lock. Differs: nothing.
//! Locks: interrupts are off.

use super::{RqRef, cpu_of, raw_spin_rq_lock, raw_spin_rq_unlock, same_rq};

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

/// Takes another runqueue's lock beside the one that is held, which is released meanwhile: whatever it protects
/// may have changed. A preemptible kernel does that always, so that whoever spins for the held lock gets its turn.
/// True: it was released.
pub fn double_lock_balance(this_rq: RqRef, busiest: RqRef) -> bool {
    raw_spin_rq_unlock(this_rq);
    double_rq_lock(this_rq, busiest);
    true
}

/// Releases the other one.
pub fn double_unlock_balance(_this_rq: RqRef, busiest: RqRef) {
    raw_spin_rq_unlock(busiest);
}
