//! RCU and CPUs that come and go.
//!
//! Linux: `kernel/rcu/tree.c` (v6.8): `rcutree_*_cpu`, `rcutree_report_cpu_*`, `rcutree_migrate_callbacks`,
//! `rcu_init_new_rnp`, `rcu_cleanup_dead_rnp`. Kept: what grace periods need: masks that take effect with
//! the next one, callbacks of a dead CPU adopted. Left out: affinity of RCU's threads, boosting.
//! Locks: `ofl_lock`, then a node's; `barrier_lock` while callbacks move.

use super::callbacks::{kick_callbacks, rcu_barrier_entrain};
use super::gp::rcu_gp_kthread_wake;
use super::qs::{rcu_advance_cbs, rcu_report_qs_rnp};
use super::types::{DEFAULT_RCU_BLIMIT, RdpRef, RnpRef, rcu_data, rcu_get_root, rcu_state};
use crate::WARN_ON_ONCE;
use crate::arch::x86::include::asm::current::current;
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};
use crate::include::linux::smp::smp_processor_id;
use crate::include::linux::spinlock::{
    raw_spin_lock, raw_spin_lock_irqsave, raw_spin_unlock, raw_spin_unlock_irqrestore,
};
use crate::kernel::rcu::tree::qs::rcu_disable_urgency_upon_qs;
use crate::kernel::rcu::tree_plugin::rcu_preempt_deferred_qs;

/// Whether RCU counts the CPU as online.
pub(super) fn rcu_rdp_cpu_online(rdp: RdpRef) -> bool {
    rdp.grpmask.get() & rdp.node().qsmaskinitnext.get() != 0
}

/// Whether the CPU has been fully online once.
pub fn rcu_cpu_beenfullyonline(cpu: u32) -> bool {
    rcu_data.per_cpu(cpu).beenonline.get()
}

/// The first CPU of a leaf is there: the nodes above wait for it from now on. The leaf's lock is held.
pub(super) fn rcu_init_new_rnp(rnp_leaf: RnpRef) {
    let mut rnp = rnp_leaf;
    loop {
        let mask = rnp.grpmask.get();
        let Some(parent) = rnp.parent.get() else {
            return;
        };
        raw_spin_lock(&parent.lock);
        let oldmask = parent.qsmaskinit.get();
        parent.qsmaskinit.or(mask);
        raw_spin_unlock(&parent.lock);
        if oldmask != 0 {
            return;
        }
        rnp = parent;
    }
}

/// The last CPU of a leaf is gone, and no reader of it is left: the nodes above wait for it no more.
pub(super) fn rcu_cleanup_dead_rnp(rnp_leaf: RnpRef) {
    let mut rnp = rnp_leaf;
    if WARN_ON_ONCE!(rnp.qsmaskinit.get() != 0) {
        return;
    }
    loop {
        let mask = rnp.grpmask.get();
        let Some(parent) = rnp.parent.get() else {
            return;
        };
        raw_spin_lock(&parent.lock);
        parent.qsmaskinit.and_not(mask);
        let left = parent.qsmaskinit.get();
        raw_spin_unlock(&parent.lock);
        if left != 0 {
            return;
        }
        rnp = parent;
    }
}

/// Before a CPU comes up: its data starts with the grace period that the tree knows.
pub fn rcutree_prepare_cpu(cpu: u32) -> i32 {
    let rdp = rcu_data.per_cpu(cpu);
    {
        let _guard = rcu_get_root().lock.lock_irqsave();
        rdp.qlen_last_fqs_check.set(0);
        rdp.n_force_qs_snap.set(rcu_state.n_force_qs.get());
        rdp.blimit.set(DEFAULT_RCU_BLIMIT);
    }
    let rnp = rdp.node();
    let _guard = rnp.lock.lock_irqsave();
    rdp.gp_seq.set(rnp.gp_seq.get());
    rdp.gp_seq_needed.set(rnp.gp_seq.get());
    rdp.cpu_no_qs.norm.set(true);
    rdp.core_needs_qs.set(false);
    0
}

/// The CPU itself, at the start of its way up: from the next grace period on it is waited for.
///
/// # Context
/// The starting CPU, interrupts off.
pub fn rcutree_report_cpu_starting(cpu: u32) {
    let rdp = rcu_data.per_cpu(cpu);
    if rdp.cpu_started.replace(true) {
        return;
    }
    let rnp = rdp.node();
    let mask = rdp.grpmask.get();
    let flags = local_irq_save();
    raw_spin_lock(&rcu_state.ofl_lock);
    let barrier = rcu_state.barrier_lock.lock();
    raw_spin_lock(&rnp.lock);
    rnp.qsmaskinitnext.or(mask);
    drop(barrier);
    let newcpu = rnp.expmaskinitnext.get() & mask == 0;
    rnp.expmaskinitnext.or(mask);
    if newcpu {
        rcu_state.ncpus.inc();
    }
    rdp.rcu_onl_gp_seq.set(rcu_state.gp_seq.get());
    // A grace period waits for it although it was not there: it has read nothing.
    if WARN_ON_ONCE!(rnp.qsmask.get() & mask != 0) {
        rcu_disable_urgency_upon_qs(rdp);
        rcu_report_qs_rnp(mask, rnp, rnp.gp_seq.get(), flags_off());
    } else {
        raw_spin_unlock(&rnp.lock);
    }
    raw_spin_unlock(&rcu_state.ofl_lock);
    rdp.beenonline.set(true);
    local_irq_restore(flags);
}

/// Interrupt flags of somebody who has interrupts off: a function that restores them leaves them off.
fn flags_off() -> u64 {
    0
}

/// The CPU is on its way to being online.
pub fn rcutree_online_cpu(cpu: u32) -> i32 {
    let rdp = rcu_data.per_cpu(cpu);
    if cpu == smp_processor_id() {
        kick_callbacks(rdp);
    }
    0
}

/// The CPU is about to go.
pub fn rcutree_offline_cpu(_cpu: u32) -> i32 {
    0
}

/// The CPU is dying: nothing to do but tracing in Linux.
pub fn rcutree_dying_cpu(_cpu: u32) -> i32 {
    0
}

/// The CPU is dead: Linux counts it off its `n_online_cpus`, for which `num_online_cpus` is asked here.
pub fn rcutree_dead_cpu(_cpu: u32) -> i32 {
    0
}

/// The CPU's last word, from its idle loop: it is not waited for any more.
///
/// # Context
/// The dying CPU, interrupts off.
pub fn rcutree_report_cpu_dead() {
    let rdp = rcu_data.this_cpu();
    let rnp = rdp.node();
    let mask = rdp.grpmask.get();
    rcu_preempt_deferred_qs(current());
    let flags = local_irq_save();
    raw_spin_lock(&rcu_state.ofl_lock);
    raw_spin_lock(&rnp.lock);
    rdp.rcu_ofl_gp_seq.set(rcu_state.gp_seq.get());
    if rnp.qsmask.get() & mask != 0 {
        rcu_report_qs_rnp(mask, rnp, rnp.gp_seq.get(), flags_off());
        raw_spin_lock(&rnp.lock);
    }
    rnp.qsmaskinitnext.and_not(mask);
    raw_spin_unlock(&rnp.lock);
    raw_spin_unlock(&rcu_state.ofl_lock);
    rdp.cpu_started.set(false);
    local_irq_restore(flags);
}

/// The callbacks of a dead CPU become this one's.
///
/// # Context
/// Task context, after the CPU is dead.
pub fn rcutree_migrate_callbacks(cpu: u32) {
    let rdp = rcu_data.per_cpu(cpu);
    if rdp.cblist.n_cbs() == 0 {
        return;
    }
    let flags = raw_spin_lock_irqsave(&rcu_state.barrier_lock);
    rcu_barrier_entrain(rdp);
    let my_rdp = rcu_data.this_cpu();
    let my_rnp = my_rdp.node();
    raw_spin_lock(&my_rnp.lock);
    // Numbers that have been reached before and after the merge: nobody waits longer than needed.
    let mut needwake = false;
    if my_rdp.cblist.pend_cbs() || rdp.cblist.pend_cbs() {
        needwake = rcu_advance_cbs(my_rnp, rdp);
        needwake |= rcu_advance_cbs(my_rnp, my_rdp);
    }
    my_rdp.cblist.merge(&rdp.cblist);
    needwake |= rcu_advance_cbs(my_rnp, my_rdp);
    raw_spin_unlock(&my_rnp.lock);
    WARN_ON_ONCE!(rdp.cblist.n_cbs() != 0 || !rdp.cblist.empty());
    raw_spin_unlock_irqrestore(&rcu_state.barrier_lock, flags);
    if needwake {
        rcu_gp_kthread_wake();
    }
}
