//! The tick counter.
//!
//! Linux: kernel/time/jiffies.c, timekeeping.c (do_timer), v6.8.
//! **Locks** `jiffies_lock`: one writer at a time; readers take the word as it is, or with `jiffies_seq` the word and
//! the time it was counted at.
#![expect(unsafe_code, reason = "symbol name jiffies_64")]

use crate::include::linux::jiffies::INITIAL_JIFFIES;
use crate::include::linux::spinlock::RawSpinlock;
use crate::kernel::sched::loadavg::calc_global_load;
use core::sync::atomic::{AtomicU64, Ordering};

/// Ticks since five minutes before the 32-bit wrap.
#[unsafe(no_mangle)]
pub static jiffies_64: AtomicU64 = AtomicU64::new(INITIAL_JIFFIES);

/// Orders those who advance the count.
pub static jiffies_lock: RawSpinlock = RawSpinlock::new();
/// Odd while the count and its time are being changed.
pub static jiffies_seq: AtomicU64 = AtomicU64::new(0);

/// The count right now.
#[inline(always)]
pub fn jiffies() -> u64 {
    jiffies_64.load(Ordering::Relaxed)
}

/// Time went on by `ticks`.
///
/// # Context
/// `jiffies_lock` held, interrupts off.
pub fn do_timer(ticks: u64) {
    jiffies_64.fetch_add(ticks, Ordering::Relaxed);
    calc_global_load();
}
