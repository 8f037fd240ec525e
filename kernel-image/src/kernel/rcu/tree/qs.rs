//! Quiescent states, on their way from a CPU up to the root; grace periods' numbers, on their way down.
//!
//! Linux: `kernel/rcu/tree.c` (v6.8): `rcu_start_this_gp` to `note_gp_changes`, `rcu_report_qs_*`. Kept: all
//! of it. Left out: traces.
//! Locks: a node's lock; a function that takes `flags` is entered with it held and releases it.

use super::gp::rcu_gp_kthread_wake;
use super::rcu_gp_in_progress;
use super::types::{RCU_GP_FLAG_FQS, RCU_GP_FLAG_INIT, RdpRef, RnpRef, rcu_get_root, rcu_state};
use crate::WARN_ON_ONCE;
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};
use crate::include::linux::jiffies::jiffies;
use crate::include::linux::spinlock::{
    raw_spin_lock, raw_spin_lock_irqsave, raw_spin_trylock, raw_spin_unlock,
    raw_spin_unlock_irqrestore,
};
use crate::kernel::rcu::rcu::{
    ULONG_CMP_GE, ULONG_CMP_LT, rcu_seq_completed_gp, rcu_seq_new_gp, rcu_seq_snap,
    rcu_seq_started, rcu_seq_state,
};
use crate::kernel::rcu::tree_plugin::rcu_preempt_blocked_readers_cgp;
use core::sync::atomic::Ordering;

/// Asks for the grace period that ends with `gp_seq_req`: notes it from the leaf up to the root, or as far
/// as somebody has noted it already.
///
/// # Context
/// The leaf's lock is held; on the way up each node's is taken on top of it.
/// # Returns
/// Whether `rcu_preempt` must be woken.
fn rcu_start_this_gp(rnp_start: RnpRef, rdp: RdpRef, gp_seq_req: u64) -> bool {
    let mut rnp = rnp_start;
    let mut ret = false;
    loop {
        let above = !core::ptr::eq(rnp, rnp_start);
        if above {
            raw_spin_lock(&rnp.lock);
        }
        let runs = rcu_seq_state(rnp.gp_seq.get()) != 0;
        // Asked for already; or one runs above and will reach the leaf, whose mark its end then sees.
        if ULONG_CMP_GE(rnp.gp_seq_needed.get(), gp_seq_req)
            || rcu_seq_started(&rnp.gp_seq, gp_seq_req)
            || above && runs
        {
            break;
        }
        rnp.gp_seq_needed.set(gp_seq_req);
        if runs {
            // Its end looks at this node.
            break;
        }
        if let Some(parent) = rnp.parent.get() {
            if above {
                raw_spin_unlock(&rnp.lock);
            }
            rnp = parent;
            continue;
        }
        if !rcu_gp_in_progress() {
            rcu_state
                .gp_flags
                .fetch_or(RCU_GP_FLAG_INIT, Ordering::SeqCst);
            rcu_state.gp_req_activity.set(jiffies());
            ret = rcu_state.gp_kthread.get().is_some();
        }
        break;
    }
    // A later request is known down here too, for the next ones to stop early.
    if ULONG_CMP_LT(gp_seq_req, rnp.gp_seq_needed.get()) {
        rnp_start.gp_seq_needed.set(rnp.gp_seq_needed.get());
        rdp.gp_seq_needed.set(rnp.gp_seq_needed.get());
    }
    if !core::ptr::eq(rnp, rnp_start) {
        raw_spin_unlock(&rnp.lock);
    }
    ret
}

/// Forgets requests that the grace period which just ended has served; true if more are wanted.
pub fn rcu_future_gp_cleanup(rnp: RnpRef) -> bool {
    let needmore = ULONG_CMP_LT(rnp.gp_seq.get(), rnp.gp_seq_needed.get());
    if !needmore {
        rnp.gp_seq_needed.set(rnp.gp_seq.get());
    }
    needmore
}

/// Gives this CPU's waiting callbacks the earliest number they may have, and asks for it.
///
/// # Context
/// The leaf's lock is held.
/// # Returns
/// Whether `rcu_preempt` must be woken.
pub fn rcu_accelerate_cbs(rnp: RnpRef, rdp: RdpRef) -> bool {
    if !rdp.cblist.pend_cbs() {
        return false;
    }
    let gp_seq_req = rcu_seq_snap(&rcu_state.gp_seq);
    rdp.cblist.accelerate(gp_seq_req) && rcu_start_this_gp(rnp, rdp, gp_seq_req)
}

/// The same without the lock: skips it if the number is known to be asked for already.
pub fn rcu_accelerate_cbs_unlocked(rnp: RnpRef, rdp: RdpRef) {
    let c = rcu_seq_snap(&rcu_state.gp_seq);
    if ULONG_CMP_GE(rdp.gp_seq_needed.get(), c) {
        // Only the assignment is missing.
        rdp.cblist.accelerate(c);
        return;
    }
    raw_spin_lock(&rnp.lock);
    let needwake = rcu_accelerate_cbs(rnp, rdp);
    raw_spin_unlock(&rnp.lock);
    if needwake {
        rcu_gp_kthread_wake();
    }
}

/// Moves callbacks whose grace period is over to the done segment, and gives the rest numbers.
pub fn rcu_advance_cbs(rnp: RnpRef, rdp: RdpRef) -> bool {
    if !rdp.cblist.pend_cbs() {
        return false;
    }
    rdp.cblist.advance(rnp.gp_seq.get());
    rcu_accelerate_cbs(rnp, rdp)
}

/// This CPU notices what its leaf knows: that a grace period ended, that one began.
///
/// # Context
/// The leaf's lock is held.
/// # Returns
/// Whether `rcu_preempt` must be woken.
pub fn __note_gp_changes(rnp: RnpRef, rdp: RdpRef) -> bool {
    if rdp.gp_seq.get() == rnp.gp_seq.get() {
        return false;
    }
    let ret;
    if rcu_seq_completed_gp(rdp.gp_seq.get(), rnp.gp_seq.get()) {
        ret = rcu_advance_cbs(rnp, rdp);
        rdp.core_needs_qs.set(false);
    } else {
        ret = rcu_accelerate_cbs(rnp, rdp);
        if rdp.core_needs_qs.get() {
            rdp.core_needs_qs
                .set(rnp.qsmask.get() & rdp.grpmask.get() != 0);
        }
    }
    if rcu_seq_new_gp(rdp.gp_seq.get(), rnp.gp_seq.get()) {
        // Whatever this CPU has passed before counts for nothing now.
        let need_qs = rnp.qsmask.get() & rdp.grpmask.get() != 0;
        rdp.cpu_no_qs.norm.set(need_qs);
        rdp.core_needs_qs.set(need_qs);
        rdp.ticks_this_gp.set(0);
    }
    rdp.gp_seq.set(rnp.gp_seq.get());
    if ULONG_CMP_LT(rdp.gp_seq_needed.get(), rnp.gp_seq_needed.get()) {
        rdp.gp_seq_needed.set(rnp.gp_seq_needed.get());
    }
    ret
}

/// Looks whether there is something to notice.
fn note_gp_changes(rdp: RdpRef) {
    let flags = local_irq_save();
    let rnp = rdp.node();
    if rdp.gp_seq.get() == rnp.gp_seq.get() || !raw_spin_trylock(&rnp.lock) {
        // Nothing, or somebody is at it: the next tick looks again.
        local_irq_restore(flags);
        return;
    }
    let needwake = __note_gp_changes(rnp, rdp);
    raw_spin_unlock_irqrestore(&rnp.lock, flags);
    if needwake {
        rcu_gp_kthread_wake();
    }
}

/// Everybody has passed: `rcu_preempt` ends the grace period. The root's lock is held and released.
fn rcu_report_qs_rsp(flags: u64) {
    WARN_ON_ONCE!(!rcu_gp_in_progress());
    rcu_state
        .gp_flags
        .fetch_or(RCU_GP_FLAG_FQS, Ordering::SeqCst);
    raw_spin_unlock_irqrestore(&rcu_get_root().lock, flags);
    rcu_gp_kthread_wake();
}

/// The CPUs (or nodes) of `mask` below `rnp` have passed. Climbs as long as each node thereby waits for
/// nobody any more: no CPU, and no reader that was preempted there.
///
/// # Context
/// `rnp`'s lock is held with interrupts off; it is released, and interrupts are restored to `flags`.
pub fn rcu_report_qs_rnp(mut mask: u64, mut rnp: RnpRef, gps: u64, flags: u64) {
    loop {
        if rnp.qsmask.get() & mask == 0 && mask != 0 || rnp.gp_seq.get() != gps {
            // Reported already, or too late.
            raw_spin_unlock_irqrestore(&rnp.lock, flags);
            return;
        }
        rnp.qsmask.and_not(mask);
        if rnp.qsmask.get() != 0 || rcu_preempt_blocked_readers_cgp(rnp) {
            raw_spin_unlock_irqrestore(&rnp.lock, flags);
            return;
        }
        rnp.completedqs.set(rnp.gp_seq.get());
        mask = rnp.grpmask.get();
        let Some(parent) = rnp.parent.get() else {
            break;
        };
        raw_spin_unlock(&rnp.lock);
        raw_spin_lock(&parent.lock);
        rnp = parent;
    }
    rcu_report_qs_rsp(flags);
}

/// The last preempted reader of a leaf has ended: if no CPU is owed either, the leaf is through.
///
/// # Context
/// As [`rcu_report_qs_rnp`].
pub fn rcu_report_unblock_qs_rnp(rnp: RnpRef, flags: u64) {
    if rnp.qsmask.get() != 0 || rcu_preempt_blocked_readers_cgp(rnp) {
        raw_spin_unlock_irqrestore(&rnp.lock, flags);
        return;
    }
    rnp.completedqs.set(rnp.gp_seq.get());
    let Some(parent) = rnp.parent.get() else {
        rcu_report_qs_rsp(flags);
        return;
    };
    let gps = rnp.gp_seq.get();
    let mask = rnp.grpmask.get();
    raw_spin_unlock(&rnp.lock);
    raw_spin_lock(&parent.lock);
    rcu_report_qs_rnp(mask, parent, gps, flags);
}

/// This CPU has passed a quiescent state: tells its leaf.
fn rcu_report_qs_rdp(rdp: RdpRef) {
    let rnp = rdp.node();
    let flags = raw_spin_lock_irqsave(&rnp.lock);
    if rdp.cpu_no_qs.norm.get() || rdp.gp_seq.get() != rnp.gp_seq.get() {
        // It belongs to another grace period: a new one is needed.
        rdp.cpu_no_qs.norm.set(true);
        raw_spin_unlock_irqrestore(&rnp.lock, flags);
        return;
    }
    let mask = rdp.grpmask.get();
    rdp.core_needs_qs.set(false);
    if rnp.qsmask.get() & mask == 0 {
        raw_spin_unlock_irqrestore(&rnp.lock, flags);
        return;
    }
    // The grace period cannot end while this CPU is owed: whoever waits may be told its number.
    WARN_ON_ONCE!(rcu_accelerate_cbs(rnp, rdp));
    rcu_disable_urgency_upon_qs(rdp);
    rcu_report_qs_rnp(mask, rnp, rnp.gp_seq.get(), flags);
}

/// The CPU has passed: nobody need hurry it any more. Its leaf's lock is held.
pub fn rcu_disable_urgency_upon_qs(rdp: RdpRef) {
    rdp.rcu_urgent_qs.set(false);
    rdp.rcu_need_heavy_qs.set(false);
}

/// Notices grace periods, and reports what this CPU owes if it has passed it.
pub fn rcu_check_quiescent_state(rdp: RdpRef) {
    note_gp_changes(rdp);
    if !rdp.core_needs_qs.get() || rdp.cpu_no_qs.norm.get() {
        return;
    }
    rcu_report_qs_rdp(rdp);
}
