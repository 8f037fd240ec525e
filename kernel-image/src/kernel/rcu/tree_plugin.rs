//! Readers that may be preempted. Linux: `kernel/rcu/tree_plugin.h` (v6.8) with PREEMPT_RCU.
//!
//! Kept: a reader that is switched out joins a list at its CPU's leaf, which holds grace periods up until
//! it ends; readers that end where nothing may be reported do so later. Left out: boosting, offloaded
//! callbacks, full dynticks, dumps of blocked readers but for the stall warning.
//! Locks: the leaf's lock.

use crate::arch::x86::include::asm::current::current;
use crate::include::linux::cpumask::cpu_online;
use crate::include::linux::interrupt::{RCU_SOFTIRQ, raise_softirq_irqoff};
use crate::include::linux::irq_work::IrqWork;
use crate::include::linux::irqflags::{irqs_disabled, local_irq_restore, local_irq_save};
use crate::include::linux::jiffies::{HZ, jiffies, time_after};
use crate::include::linux::list::{ListHead, list_add, list_add_tail, list_del_init, list_empty};
use crate::include::linux::preempt::{in_hardirq, set_preempt_need_resched};
use crate::include::linux::rcupdate::{rcu_preempt_depth, rcu_tasks_qs};
use crate::include::linux::sched::{TaskRef, set_tsk_need_resched};
use crate::include::linux::spinlock::{raw_spin_lock, raw_spin_unlock};
use crate::kernel::irq_work::irq_work_queue_on;
use crate::kernel::rcu::tree::qs::rcu_report_unblock_qs_rnp;
use crate::kernel::rcu::tree::types::{RcuData, RdpRef, RnpRef, rcu_data, rcu_state};
use crate::kernel::rcu::tree::{preempt_bh_disabled, rcu_gp_in_progress};
use crate::kernel::rcu::tree_exp::{rcu_report_exp_rdp, rcu_report_exp_rnp, sync_rcu_exp_done};
use crate::{WARN_ON_ONCE, intrusive_adapter};

/// In `rcu_read_unlock_special`: the reader is in a leaf's list.
pub const RCU_READ_UNLOCK_BLOCKED: u32 = 1 << 0;
/// Its CPU owes a quiescent state that only the reader's end can be.
pub const RCU_READ_UNLOCK_NEED_QS: u32 = 1 << 8;
/// A grace period in a hurry waits for it.
pub const RCU_READ_UNLOCK_EXP_HINT: u32 = 1 << 16;

intrusive_adapter!(
    /// Readers by their link in a leaf's list.
    pub RcuNodeEntryLink = crate::include::linux::sched::TaskStruct { rcu_node_entry: ListHead });

/// Whether a preempted reader holds the grace period up at this node.
pub fn rcu_preempt_blocked_readers_cgp(rnp: RnpRef) -> bool {
    rnp.gp_tasks.get().is_some()
}

/// Whether any reader is in the list.
fn rcu_preempt_has_tasks(rnp: RnpRef) -> bool {
    !list_empty(&rnp.blkd_tasks)
}

/// A grace period begins: all readers that are in the list hold it up.
pub fn rcu_preempt_check_blocked_tasks(rnp: RnpRef) {
    WARN_ON_ONCE!(rcu_preempt_blocked_readers_cgp(rnp));
    if rcu_preempt_has_tasks(rnp) && (rnp.qsmaskinit.get() != 0 || rnp.wait_blkd_tasks.get()) {
        rnp.gp_tasks.set(rnp.blkd_tasks.next.get());
    }
    WARN_ON_ONCE!(rnp.qsmask.get() != 0);
}

/// This CPU passes a quiescent state; the engine hears of it with the next tick.
pub fn rcu_qs() {
    let rdp = rcu_data.this_cpu();
    if rdp.cpu_no_qs.norm.get() {
        rdp.cpu_no_qs.norm.set(false);
        current()
            .rcu_read_unlock_special
            .and_not(RCU_READ_UNLOCK_NEED_QS);
    }
}

/// A reader is switched out: it joins its leaf's list where it blocks what it must and as little else as can
/// be. From `gp_tasks` (`exp_tasks`) to the end of the list all block the ordinary (hurried) grace period.
fn rcu_preempt_ctxt_queue(t: TaskRef, rnp: RnpRef, rdp: RdpRef) {
    // Whether a grace period of each kind still waits for this CPU: then it waits for the reader too.
    let gp_blkd = rnp.qsmask.get() & rdp.grpmask.get() != 0;
    let exp_blkd = rnp.expmask.get() & rdp.grpmask.get() != 0;
    let entry = &t.rcu_node_entry;
    match (gp_blkd, exp_blkd, rnp.gp_tasks.get(), rnp.exp_tasks.get()) {
        // It blocks none: in front of all. Or it is the first of the ordinary kind while hurried ones are
        // there: in front too, so that it does not hold those up.
        (false, false, _, _) | (true, false, None, Some(_)) => list_add(entry, &rnp.blkd_tasks),
        // Behind the first that blocks the same.
        (true, false, Some(gp_tasks), _) => list_add(entry, gp_tasks),
        (false, true, _, Some(exp_tasks)) | (true, true, None, Some(exp_tasks)) => {
            list_add(entry, exp_tasks);
        }
        // The end blocks both.
        (true, false, None, None) | (_, true, _, None) | (true, true, Some(_), Some(_)) => {
            list_add_tail(entry, &rnp.blkd_tasks);
        }
    }
    if gp_blkd && rnp.gp_tasks.get().is_none() {
        rnp.gp_tasks.set(Some(entry));
    }
    if exp_blkd && rnp.exp_tasks.get().is_none() {
        rnp.exp_tasks.set(Some(entry));
    }
    raw_spin_unlock(&rnp.lock);
    // The reader stands in for its CPU now.
    if exp_blkd && rdp.cpu_no_qs.exp.get() {
        rcu_report_exp_rdp(rdp);
    }
}

/// The scheduler switches: a quiescent state, unless a reader is switched out; then its leaf remembers it.
///
/// # Context
/// Interrupts off, no runqueue lock held.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rcu_note_context_switch(preempt: bool) {
    let t = current();
    let rdp = rcu_data.this_cpu();
    // A reader must not sleep: nobody could tell how long grace periods take.
    WARN_ON_ONCE!(!preempt && rcu_preempt_depth() > 0);
    if rcu_preempt_depth() > 0 && t.rcu_read_unlock_special.get() & RCU_READ_UNLOCK_BLOCKED == 0 {
        let rnp = rdp.node();
        raw_spin_lock(&rnp.lock);
        t.rcu_read_unlock_special.or(RCU_READ_UNLOCK_BLOCKED);
        t.rcu_blocked_node.set(Some(rnp));
        rcu_preempt_ctxt_queue(t, rnp, rdp);
    } else {
        rcu_preempt_deferred_qs(t);
    }
    // For this CPU the reader is history: it holds grace periods up through the list.
    rcu_qs();
    if rdp.cpu_no_qs.exp.get() {
        rcu_report_exp_rdp(rdp);
    }
    rcu_tasks_qs(t, preempt);
}

/// Whether the task has something to report, and is outside all readers.
pub fn rcu_preempt_need_deferred_qs(t: TaskRef) -> bool {
    (rcu_data.this_cpu().cpu_no_qs.exp.get() || t.rcu_read_unlock_special.get() != 0)
        && rcu_preempt_depth() == 0
}

/// Reports what the end of a reader left to report.
pub fn rcu_preempt_deferred_qs(t: TaskRef) {
    if !rcu_preempt_need_deferred_qs(t) {
        return;
    }
    let flags = local_irq_save();
    rcu_preempt_deferred_qs_irqrestore(t, flags);
}

/// The report itself. Interrupts are off, and are restored to `flags`.
fn rcu_preempt_deferred_qs_irqrestore(t: TaskRef, flags: u64) {
    let rdp = rcu_data.this_cpu();
    let special = t.rcu_read_unlock_special.get();
    if special == 0 && !rdp.cpu_no_qs.exp.get() {
        local_irq_restore(flags);
        return;
    }
    t.rcu_read_unlock_special.set(0);
    if special & RCU_READ_UNLOCK_NEED_QS != 0 {
        rcu_qs();
    }
    if rdp.cpu_no_qs.exp.get() {
        rcu_report_exp_rdp(rdp);
    }
    if special & RCU_READ_UNLOCK_BLOCKED == 0 {
        local_irq_restore(flags);
        return;
    }
    let Some(rnp) = t.rcu_blocked_node.get() else {
        WARN_ON_ONCE!(true);
        local_irq_restore(flags);
        return;
    };
    raw_spin_lock(&rnp.lock);
    let empty_norm = !rcu_preempt_blocked_readers_cgp(rnp);
    let exp_was_done = sync_rcu_exp_done(rnp);
    let np = rcu_next_node_entry(t, rnp);
    let is_this = |tasks: Option<&'static ListHead>| {
        tasks.is_some_and(|tasks| core::ptr::eq(tasks, &t.rcu_node_entry))
    };
    let (was_gp, was_exp) = (is_this(rnp.gp_tasks.get()), is_this(rnp.exp_tasks.get()));
    list_del_init(&t.rcu_node_entry);
    t.rcu_blocked_node.set(None);
    if was_gp {
        rnp.gp_tasks.set(np);
    }
    if was_exp {
        rnp.exp_tasks.set(np);
    }
    let exp_done = sync_rcu_exp_done(rnp);
    if !empty_norm && !rcu_preempt_blocked_readers_cgp(rnp) {
        rcu_report_unblock_qs_rnp(rnp, 0);
    } else {
        raw_spin_unlock(&rnp.lock);
    }
    if !exp_was_done && exp_done {
        rcu_report_exp_rnp(rnp);
    }
    local_irq_restore(flags);
}

/// The reader behind this one in its leaf's list.
fn rcu_next_node_entry(t: TaskRef, rnp: RnpRef) -> Option<&'static ListHead> {
    let np = t.rcu_node_entry.next.get()?;
    (!core::ptr::eq(np, &rnp.blkd_tasks)).then_some(np)
}

/// The interrupt that a reader's end asked for: the way out of it does the rest.
pub fn rcu_preempt_deferred_qs_handler(iwp: &'static IrqWork) {
    let rdp = crate::container_of!(iwp, RcuData, defer_qs_iw);
    rdp.defer_qs_iw_pending.set(false);
}

/// ksoftirqd is between two rounds: a quiescent state of every kind.
pub fn rcu_softirq_qs() {
    rcu_qs();
    rcu_preempt_deferred_qs(current());
    rcu_tasks_qs(current(), false);
}

/// The outermost reader ends and has something to report: at once if it may, else at the next point where it
/// may: a switch, a tick, the softirq.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rcu_read_unlock_special(t: TaskRef) {
    let preempt_bh_were_disabled = preempt_bh_disabled() || in_hardirq();
    let irqs_were_disabled = irqs_disabled();
    let flags = local_irq_save();
    if !preempt_bh_were_disabled && !irqs_were_disabled {
        rcu_preempt_deferred_qs_irqrestore(t, flags);
        return;
    }
    // Locks of the scheduler may be held.
    let rdp = rcu_data.this_cpu();
    let blocked = t.rcu_blocked_node.get();
    let hurry = blocked.is_some_and(|rnp| rnp.exp_tasks.get().is_some())
        || rdp.grpmask.get() & rdp.node().expmask.get() != 0;
    if in_hardirq() || hurry && !irqs_were_disabled {
        raise_softirq_irqoff(RCU_SOFTIRQ);
    } else {
        set_tsk_need_resched(t);
        set_preempt_need_resched();
        // Nothing looks at that before interrupts are on again: an interrupt of our own does.
        let cpu = rdp.cpu.get();
        if irqs_were_disabled && hurry && !rdp.defer_qs_iw_pending.get() && cpu_online(cpu) {
            rdp.defer_qs_iw_pending.set(true);
            irq_work_queue_on(&rdp.defer_qs_iw, cpu);
        }
    }
    local_irq_restore(flags);
}

/// The tick: a quiescent state if it interrupted code outside readers with preemption on.
pub fn rcu_flavor_sched_clock_irq(user: bool) {
    let t = current();
    let depth = rcu_preempt_depth();
    if depth > 0 || preempt_bh_disabled() {
        if rcu_preempt_need_deferred_qs(t) {
            set_tsk_need_resched(t);
            set_preempt_need_resched();
        }
    } else if rcu_preempt_need_deferred_qs(t) {
        rcu_preempt_deferred_qs(t);
        return;
    } else {
        rcu_qs();
        return;
    }
    let _ = user;
    // An old grace period: the reader shall report itself when it ends.
    let rdp = rcu_data.this_cpu();
    if depth > 0
        && rdp.core_needs_qs.get()
        && rdp.cpu_no_qs.norm.get()
        && t.rcu_read_unlock_special.get() & RCU_READ_UNLOCK_NEED_QS == 0
        && rcu_gp_in_progress()
        && time_after(jiffies(), rcu_state.gp_start.get() + HZ)
    {
        t.rcu_read_unlock_special.or(RCU_READ_UNLOCK_NEED_QS);
    }
}

/// A task ends: it cannot be in a reader, so it is taken out of one with a warning.
pub fn exit_rcu() {
    let t = current();
    if !list_empty(&t.rcu_node_entry) || t.rcu_read_lock_nesting.get() != 0 {
        WARN_ON_ONCE!(true);
        t.rcu_read_lock_nesting.set(0);
        rcu_preempt_deferred_qs(t);
    }
}
