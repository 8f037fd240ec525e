//! Switches of the scheduler's behaviour, as one word of bits.
//!
//! Linux: `kernel/sched/features.h`, `debug.c` (v6.8): `sysctl_sched_features`. Kept: the switches that code
//! here asks for, and that they can be changed while the system runs. Left out: the file in debugfs (no
//! file systems): a workload sets the bit. Differs: nothing.

use crate::fence::shared::Shared;

/// Bits of `sysctl_sched_features`.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum SchedFeat {
    /// Pull real-time tasks by asking the overloaded CPUs to push, one after the other, instead of taking
    /// all their locks from here.
    RT_PUSH_IPI,
    /// A fair entity that joins has the lag it had when it left; otherwise none.
    PLACE_LAG,
    /// A new fair entity's first request is half as long, so that it runs soon.
    PLACE_DEADLINE_INITIAL,
    /// A fair entity that was picked goes on until its request is served.
    RUN_TO_PARITY,
    /// The pick prefers who was asked for by a `yield_to` or woken last.
    NEXT_BUDDY,
    /// A fair task that wakes may preempt.
    WAKEUP_PREEMPTION,
    /// A load signal that joins a queue is first brought to the queue's time.
    ATTACH_AGE_LOAD,
    /// A sleeper's need is estimated from its past.
    UTIL_EST,
    /// Who is wanted next stays where its data is.
    CACHE_HOT_BUDDY,
    /// A woken task may be put into its new queue by that CPU.
    TTWU_QUEUE,
    /// The busier a cache's CPUs, the fewer of them a wake-up looks at.
    SIS_UTIL,
    /// A load balance leaves light tasks alone.
    LB_MIN,
    /// A woken task comes to the waker if its CPU idles.
    WA_IDLE,
    /// Or if it has less to do.
    WA_WEIGHT,
    /// By more than a little.
    WA_BIAS,
}

/// What is on.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static sysctl_sched_features: Shared<u32> = Shared::new(
    1 << SchedFeat::RT_PUSH_IPI as u32
        | 1 << SchedFeat::PLACE_LAG as u32
        | 1 << SchedFeat::PLACE_DEADLINE_INITIAL as u32
        | 1 << SchedFeat::RUN_TO_PARITY as u32
        | 1 << SchedFeat::WAKEUP_PREEMPTION as u32
        | 1 << SchedFeat::ATTACH_AGE_LOAD as u32
        | 1 << SchedFeat::UTIL_EST as u32
        | 1 << SchedFeat::CACHE_HOT_BUDDY as u32
        | 1 << SchedFeat::TTWU_QUEUE as u32
        | 1 << SchedFeat::SIS_UTIL as u32
        | 1 << SchedFeat::WA_IDLE as u32
        | 1 << SchedFeat::WA_WEIGHT as u32
        | 1 << SchedFeat::WA_BIAS as u32,
);

/// Whether a switch is on.
pub fn sched_feat(feature: SchedFeat) -> bool {
    sysctl_sched_features.get() & 1 << feature as u32 != 0
}

/// Turns a switch on or off, as a write to `sched/features` does.
pub fn sched_feat_set(feature: SchedFeat, on: bool) {
    let bit = 1 << feature as u32;
    if on {
        sysctl_sched_features.or(bit);
    } else {
        sysctl_sched_features.and_not(bit);
    }
}
