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
    RT_PUSH_IPI = 0,
}

/// What is on.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static sysctl_sched_features: Shared<u32> = Shared::new(1 << SchedFeat::RT_PUSH_IPI as u32);

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
