//! Callbacks: queued by anybody, invoked in the softirq of the CPU that queued them, waited for by barriers.
//!
//! Linux: `kernel/rcu/tree.c` (v6.8): `call_rcu`, `rcu_do_batch`, `rcu_barrier`. Kept: the limits of a batch,
//! the help when a CPU has too many, barriers that entrain a callback on every CPU that has any. Left out:
//! lazy callbacks (`call_rcu` is `call_rcu_hurry`), offloading, a limit by time.
//! Locks: interrupts off for the own list; `barrier_lock` for barriers and CPUs that go.

use super::qs::rcu_accelerate_cbs_unlocked;
use super::types::{
    DEFAULT_MAX_RCU_BLIMIT, DEFAULT_RCU_BLIMIT, DEFAULT_RCU_QHIMARK, DEFAULT_RCU_QLOMARK,
    RCU_GP_FLAG_FQS, RdpRef, rcu_data, rcu_state,
};
use super::{invoke_rcu_core, rcu_gp_in_progress};
use crate::WARN_ON_ONCE;
use crate::arch::x86::include::asm::current::current;
use crate::include::linux::cpumask::cpu_possible_mask;
use crate::include::linux::irqflags::{irqs_disabled, local_irq_restore, local_irq_save};
use crate::include::linux::preempt::in_serving_softirq;
use crate::include::linux::sched::{is_idle_task, need_resched, smp_mb};
use crate::include::linux::smp::{smp_call_function_single, smp_processor_id};
use crate::include::linux::spinlock::{raw_spin_lock_irqsave, raw_spin_unlock_irqrestore};
use crate::include::linux::types::{RcuCallback, RcuHead};
use crate::kernel::rcu::rcu::{rcu_seq_done, rcu_seq_end, rcu_seq_snap, rcu_seq_start};
use crate::kernel::rcu::rcu_segcblist::RcuCblist;
use crate::kernel::sched::completion::{complete, wait_for_completion};
use crate::kernel::time::timer::sleep::schedule_timeout_uninterruptible;
use core::sync::atomic::Ordering;

/// A batch of one CPU is a fraction of its callbacks, if that is more than the limit.
const RCU_DIVISOR: u32 = 7;

/// Calls `func(head)` after a grace period: after every reader that is in its section now has left it.
///
/// # Context
/// Any. `head` waits for nothing else.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub fn call_rcu(head: &'static RcuHead, func: RcuCallback) {
    __call_rcu_common(head, func);
}

/// The same; Linux may be lazy with the other one.
pub fn call_rcu_hurry(head: &'static RcuHead, func: RcuCallback) {
    __call_rcu_common(head, func);
}

fn __call_rcu_common(head: &'static RcuHead, func: RcuCallback) {
    // Twice at the same time would make a loop of the list.
    WARN_ON_ONCE!(head.func.get().is_some());
    head.func.set(Some(func));
    head.next.set(None);
    let flags = local_irq_save();
    let was_off = flags & crate::arch::x86::include::asm::irqflags::X86_EFLAGS_IF == 0;
    let rdp = rcu_data.this_cpu();
    rdp.cblist.enqueue(head);
    __call_rcu_core(rdp, was_off);
    local_irq_restore(flags);
}

/// Too many callbacks: does not wait for the next tick.
fn __call_rcu_core(rdp: RdpRef, was_off: bool) {
    // With interrupts off already somebody may hold any lock; a CPU that is not online has nobody to help.
    if was_off || !crate::include::linux::cpumask::cpu_online(smp_processor_id()) {
        return;
    }
    if rdp.cblist.n_cbs() <= rdp.qlen_last_fqs_check.get() + DEFAULT_RCU_QHIMARK {
        return;
    }
    if !rcu_gp_in_progress() {
        rcu_accelerate_cbs_unlocked(rdp.node(), rdp);
        return;
    }
    rdp.blimit.set(DEFAULT_MAX_RCU_BLIMIT);
    if rcu_state.n_force_qs.get() == rdp.n_force_qs_snap.get() {
        rcu_force_quiescent_state();
    }
    rdp.n_force_qs_snap.set(rcu_state.n_force_qs.get());
    rdp.qlen_last_fqs_check.set(rdp.cblist.n_cbs());
}

/// Has `rcu_preempt` scan now.
pub fn rcu_force_quiescent_state() {
    if rcu_state.gp_flags.load(Ordering::SeqCst) & RCU_GP_FLAG_FQS != 0 {
        return;
    }
    rcu_state
        .gp_flags
        .fetch_or(RCU_GP_FLAG_FQS, Ordering::SeqCst);
    super::gp::rcu_gp_kthread_wake();
}

/// Invokes callbacks whose grace period is over, up to the limit of a batch.
///
/// # Context
/// RCU's softirq, or the thread that takes it over; softirqs are off.
#[inline(never)]
pub fn rcu_do_batch(rdp: RdpRef) {
    let mut rcl = RcuCblist::new();
    let flags = local_irq_save();
    let pending = rdp.cblist.n_cbs();
    let limit = rdp.blimit.get().max(pending >> RCU_DIVISOR);
    rdp.cblist.extract_done_cbs(&mut rcl);
    local_irq_restore(flags);

    let mut count = 0;
    while let Some(rhp) = rcl.dequeue() {
        count += 1;
        let f = rhp.func.replace(None);
        if let Some(f) = f {
            f(rhp);
        }
        // In softirq others wait; in the idle task nobody does.
        if in_serving_softirq() && count >= limit && (need_resched() || !is_idle_task(current())) {
            break;
        }
    }

    let flags = local_irq_save();
    rdp.n_cbs_invoked.add(count as u64);
    rdp.cblist.insert_done_cbs(&mut rcl);
    rdp.cblist.add_len(-count);
    let left = rdp.cblist.n_cbs();
    if rdp.blimit.get() >= DEFAULT_MAX_RCU_BLIMIT && left <= DEFAULT_RCU_QLOMARK {
        rdp.blimit.set(DEFAULT_RCU_BLIMIT);
    }
    if left == 0 && rdp.qlen_last_fqs_check.get() != 0 {
        rdp.qlen_last_fqs_check.set(0);
        rdp.n_force_qs_snap.set(rcu_state.n_force_qs.get());
    } else if left < rdp.qlen_last_fqs_check.get() - DEFAULT_RCU_QHIMARK {
        rdp.qlen_last_fqs_check.set(left);
    }
    WARN_ON_ONCE!(rdp.cblist.empty() != (left == 0));
    local_irq_restore(flags);
}

/// One CPU's callbacks before the barrier have been invoked.
fn rcu_barrier_callback(_rhp: &'static RcuHead) {
    if rcu_state.barrier_cpu_count.fetch_sub(1, Ordering::SeqCst) == 1 {
        complete(&rcu_state.barrier_completion);
    }
}

/// Puts the barrier's callback behind all that a CPU has. `barrier_lock` is held; the CPU is this one or dead.
pub(super) fn rcu_barrier_entrain(rdp: RdpRef) {
    let gseq = rcu_state.barrier_sequence.get();
    let lseq = rdp.barrier_seq_snap.get();
    if crate::kernel::rcu::rcu::rcu_seq_state(lseq) != 0
        || crate::kernel::rcu::rcu::rcu_seq_state(gseq) == 0
        || crate::kernel::rcu::rcu::rcu_seq_ctr(lseq) != crate::kernel::rcu::rcu::rcu_seq_ctr(gseq)
    {
        // No barrier, or it has been here.
        return;
    }
    rdp.barrier_head.func.set(Some(rcu_barrier_callback));
    if rdp.cblist.entrain(&rdp.barrier_head) {
        rcu_state.barrier_cpu_count.fetch_add(1, Ordering::SeqCst);
    } else {
        rdp.barrier_head.func.set(None);
    }
    rdp.barrier_seq_snap.set(gseq);
}

/// The same on the CPU itself.
fn rcu_barrier_handler(_cpu: u64) {
    let rdp = rcu_data.this_cpu();
    WARN_ON_ONCE!(!irqs_disabled());
    let _guard = rcu_state.barrier_lock.lock();
    rcu_barrier_entrain(rdp);
}

/// Waits until every callback that was queued before has been invoked.
///
/// # Context
/// May sleep.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rcu_barrier() {
    let s = rcu_seq_snap(&rcu_state.barrier_sequence);
    rcu_state.barrier_mutex.lock();
    if rcu_seq_done(&rcu_state.barrier_sequence, s) {
        // Somebody else's began after we came and has ended.
        smp_mb();
        rcu_state.barrier_mutex.unlock();
        return;
    }
    {
        let _guard = rcu_state.barrier_lock.lock_irqsave();
        rcu_seq_start(&rcu_state.barrier_sequence);
        rcu_state.barrier_completion.reinit();
        // Two of ours: it cannot be complete before all CPUs have been looked at.
        rcu_state.barrier_cpu_count.store(2, Ordering::SeqCst);
    }
    let gseq = rcu_state.barrier_sequence.get();
    for cpu in cpu_possible_mask().iter() {
        let rdp = rcu_data.per_cpu(cpu);
        loop {
            if rdp.barrier_seq_snap.get() == gseq {
                break;
            }
            let flags = raw_spin_lock_irqsave(&rcu_state.barrier_lock);
            let online = super::hotplug::rcu_rdp_cpu_online(rdp);
            let none = rdp.cblist.n_cbs() == 0;
            if none {
                rdp.barrier_seq_snap.set(gseq);
            } else if !online {
                rcu_barrier_entrain(rdp);
            }
            raw_spin_unlock_irqrestore(&rcu_state.barrier_lock, flags);
            if none || !online {
                break;
            }
            if smp_call_function_single(cpu, rcu_barrier_handler, u64::from(cpu), true) != 0 {
                // It went offline: look again.
                schedule_timeout_uninterruptible(1);
                continue;
            }
            WARN_ON_ONCE!(rdp.barrier_seq_snap.get() != gseq);
            break;
        }
    }
    if rcu_state.barrier_cpu_count.fetch_sub(2, Ordering::SeqCst) == 2 {
        complete(&rcu_state.barrier_completion);
    }
    wait_for_completion(&rcu_state.barrier_completion);
    rcu_seq_end(&rcu_state.barrier_sequence);
    let gseq = rcu_state.barrier_sequence.get();
    for cpu in cpu_possible_mask().iter() {
        rcu_data.per_cpu(cpu).barrier_seq_snap.set(gseq);
    }
    rcu_state.barrier_mutex.unlock();
}

/// Whether this CPU has callbacks to invoke; for a CPU that comes back online.
pub(super) fn kick_callbacks(rdp: RdpRef) {
    if !rdp.cblist.empty() {
        invoke_rcu_core();
    }
}
