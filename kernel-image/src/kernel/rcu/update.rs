//! What all kinds of RCU share: how far the start-up is, whether to hurry, waiting by callback.
//!
//! Linux: `kernel/rcu/update.c` (v6.8). Kept: the phases of the scheduler, hurry until the boot is over,
//! `wait_rcu_gp`. Left out: lockdep, debug objects, `rcupdate.rcu_normal` and the like.

use crate::WARN_ON;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::completion::Completion;
use crate::include::linux::cpumask::{cpu_possible_mask, num_online_cpus};
use crate::include::linux::rcupdate::{
    RCU_SCHEDULER_INACTIVE, RCU_SCHEDULER_INIT, RCU_SCHEDULER_RUNNING,
};
use crate::include::linux::types::{RcuCallback, RcuHead};
use crate::kernel::params::param;
use crate::kernel::sched::completion::{complete, wait_for_completion};
use crate::kernel::sched::sched::cpu_rq;
use crate::{intrusive_adapter, stack_pinned};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// `RCU_SCHEDULER_*`.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static rcu_scheduler_active: AtomicU32 = AtomicU32::new(RCU_SCHEDULER_INACTIVE);
/// Reasons to hurry; the boot is one.
static rcu_expedited_nesting: AtomicI32 = AtomicI32::new(1);
static rcu_boot_ended: AtomicBool = AtomicBool::new(false);

/// Whether who waits for a grace period shall have one in a hurry.
pub fn rcu_gp_is_expedited() -> bool {
    rcu_expedited_nesting.load(Ordering::Relaxed) > 0
}

/// One more reason to hurry.
pub fn rcu_expedite_gp() {
    rcu_expedited_nesting.fetch_add(1, Ordering::SeqCst);
}

/// One less.
pub fn rcu_unexpedite_gp() {
    rcu_expedited_nesting.fetch_sub(1, Ordering::SeqCst);
}

/// The boot is over: no more hurry.
pub fn rcu_end_inkernel_boot() {
    rcu_unexpedite_gp();
    rcu_boot_ended.store(true, Ordering::Release);
}

/// Whether it is.
pub fn rcu_inkernel_boot_has_ended() -> bool {
    rcu_boot_ended.load(Ordering::Acquire)
}

/// The first switch is near: from now on waiting means waiting.
///
/// # Context
/// The boot task, alone.
pub fn rcu_scheduler_starting() {
    WARN_ON!(num_online_cpus() != 1);
    let switches: u64 = cpu_possible_mask()
        .iter()
        .map(|cpu| cpu_rq(cpu).nr_switches.get())
        .sum();
    WARN_ON!(switches > 0);
    rcu_scheduler_active.store(RCU_SCHEDULER_INIT, Ordering::Release);
}

/// All of RCU's threads are there. A core initcall.
pub fn rcu_set_runtime_mode() -> i32 {
    rcu_scheduler_active.store(RCU_SCHEDULER_RUNNING, Ordering::Release);
    0
}

/// Seconds after which a grace period is complained about.
static rcu_cpu_stall_timeout: Shared<u64> = Shared::new(21);

/// The same, for who asks.
pub fn rcu_stall_timeout() -> u64 {
    rcu_cpu_stall_timeout.get()
}

/// Reads `rcupdate.rcu_cpu_stall_timeout=`, in seconds.
pub fn rcu_update_params() {
    if let Some(seconds) = param("rcupdate.rcu_cpu_stall_timeout").and_then(|text| text.as_u64()) {
        rcu_cpu_stall_timeout.set(seconds.clamp(3, 300));
    }
}

/// A callback that wakes who queued it; on its stack.
#[doc(alias = "rcu_synchronize")]
pub struct RcuSynchronize {
    head: RcuHead,
    completion: Completion,
}

impl StackObject for RcuSynchronize {
    fn quiescent(&self) -> bool {
        self.head.quiescent() && self.completion.quiescent()
    }
}

intrusive_adapter!(
    /// Waits by their callback.
    RcuSynchronizeOfHead = RcuSynchronize { head: RcuHead });

/// The grace period is over: wakes who waits.
fn wakeme_after_rcu(head: &'static RcuHead) {
    complete(&RcuSynchronizeOfHead::entry(head).completion);
}

/// Waits for a grace period of the kind that `crf` queues for.
///
/// # Context
/// May sleep.
pub fn wait_rcu_gp<F>(crf: F)
where
    F: FnOnce(&'static RcuHead, RcuCallback),
{
    stack_pinned!(let rcu = RcuSynchronize { head: RcuHead::new(), completion: Completion::new() });
    crf(&rcu.head, wakeme_after_rcu);
    wait_for_completion(&rcu.completion);
}
