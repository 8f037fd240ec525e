//! Numbers of grace periods. Linux: `kernel/rcu/rcu.h` (v6.8).
//!
//! Kept: sequence numbers with two low bits for the state, their comparisons across a wrap. Left out:
//! debug-objects hooks, callback dumps, the torture tests' doors. Differs: nothing.
//!
//! A number is even in its low bits (0) while nothing runs and has state 1 (or more) during a grace period;
//! its upper bits count the completed ones.

use crate::fence::shared::Shared;
use crate::include::linux::sched::smp_mb;

/// Bits of the state.
pub const RCU_SEQ_CTR_SHIFT: u32 = 2;
/// Mask of the state.
pub const RCU_SEQ_STATE_MASK: u64 = (1 << RCU_SEQ_CTR_SHIFT) - 1;

/// How many have been completed.
pub const fn rcu_seq_ctr(s: u64) -> u64 {
    s >> RCU_SEQ_CTR_SHIFT
}

/// The state of the current one, 0 for none.
pub const fn rcu_seq_state(s: u64) -> u64 {
    s & RCU_SEQ_STATE_MASK
}

/// One begins.
pub fn rcu_seq_start(sp: &Shared<u64>) {
    sp.set(sp.get().wrapping_add(1));
    // What the grace period looks at is looked at after the number says that it runs.
    smp_mb();
}

/// The number that the current one ends with.
pub const fn rcu_seq_endval(s: u64) -> u64 {
    (s | RCU_SEQ_STATE_MASK).wrapping_add(1)
}

/// It ends.
pub fn rcu_seq_end(sp: &Shared<u64>) {
    smp_mb();
    sp.set(rcu_seq_endval(sp.get()));
}

/// The number after a full grace period from now on: the one that runs, if any, began too early to count.
pub fn rcu_seq_snap(sp: &Shared<u64>) -> u64 {
    let s = sp.get().wrapping_add(2 * RCU_SEQ_STATE_MASK + 1) & !RCU_SEQ_STATE_MASK;
    smp_mb();
    s
}

/// The number now.
pub fn rcu_seq_current(sp: &Shared<u64>) -> u64 {
    sp.get()
}

/// Whether the grace period that ends with `s` has begun.
pub fn rcu_seq_started(sp: &Shared<u64>, s: u64) -> bool {
    ULONG_CMP_LT(s.wrapping_sub(1) & !RCU_SEQ_STATE_MASK, sp.get())
}

/// Whether the number `s` has been reached.
pub fn rcu_seq_done(sp: &Shared<u64>, s: u64) -> bool {
    ULONG_CMP_GE(sp.get(), s)
}

/// Whether a grace period was completed between the two numbers.
pub fn rcu_seq_completed_gp(old: u64, new: u64) -> bool {
    ULONG_CMP_LT(old, new & !RCU_SEQ_STATE_MASK)
}

/// Whether one was begun between them.
pub fn rcu_seq_new_gp(old: u64, new: u64) -> bool {
    ULONG_CMP_LT(
        old.wrapping_add(RCU_SEQ_STATE_MASK) & !RCU_SEQ_STATE_MASK,
        new,
    )
}

/// `a >= b`, the numbers wrapping.
pub const fn ULONG_CMP_GE(a: u64, b: u64) -> bool {
    u64::MAX / 2 >= a.wrapping_sub(b)
}

/// `a < b`, the numbers wrapping.
pub const fn ULONG_CMP_LT(a: u64, b: u64) -> bool {
    u64::MAX / 2 < a.wrapping_sub(b)
}
