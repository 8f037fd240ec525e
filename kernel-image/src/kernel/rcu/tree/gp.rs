//! `rcu_preempt`: begins grace periods, looks for CPUs that idle, ends them.
//!
//! Linux: `kernel/rcu/tree.c` (v6.8): `rcu_gp_kthread`, `rcu_gp_init`, `rcu_gp_fqs_loop`, `force_qs_rnp`,
//! `rcu_gp_cleanup`, `rcu_spawn_gp_kthread`. Kept: the phases and their waits, the two looks at dynticks
//! counters, help for CPUs that do not switch. Left out: overload of callbacks, slow-down for tests,
//! gpwrap. Differs: nothing else.
//! Locks: one node's lock at a time; `ofl_lock` while CPUs that came and went are taken in.

use super::hotplug::{rcu_cleanup_dead_rnp, rcu_init_new_rnp};
use super::qs::{__note_gp_changes, rcu_accelerate_cbs, rcu_future_gp_cleanup, rcu_report_qs_rnp};
use super::rcu_gp_in_progress;
use super::types::{
    GpState, RCU_GP_FLAG_FQS, RCU_GP_FLAG_INIT, RdpRef, RnpRef, rcu_data, rcu_for_each_leaf_node,
    rcu_for_each_node_breadth_first, rcu_get_root, rcu_is_leaf_node, rcu_state,
};
use crate::arch::x86::include::asm::current::current;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::num_online_cpus;
use crate::include::linux::jiffies::{HZ, jiffies, time_after, time_after_eq};
use crate::include::linux::preempt::{in_hardirq, in_serving_softirq};
use crate::include::linux::sched::{cond_resched, same_task};
use crate::include::linux::spinlock::{raw_spin_lock_irqsave, raw_spin_unlock_irqrestore};
use crate::kernel::context_tracking::{RCU_DYNTICKS_IDX, ct_dynticks_cpu_acquire};
use crate::kernel::kthread::kthread_create;
use crate::kernel::rcu::rcu::{ULONG_CMP_LT, rcu_seq_end, rcu_seq_endval, rcu_seq_start};
use crate::kernel::rcu::tree::hotplug::rcu_rdp_cpu_online;
use crate::kernel::rcu::tree::qs::rcu_disable_urgency_upon_qs;
use crate::kernel::rcu::tree_plugin::{
    rcu_preempt_blocked_readers_cgp, rcu_preempt_check_blocked_tasks,
};
use crate::kernel::rcu::tree_stall::record_gp_stall_check_time;
use crate::kernel::sched::core::tick::resched_cpu;
use crate::kernel::sched::core::wake_up_process;
use crate::kernel::sched::swait::{
    swait_event_idle_exclusive, swait_event_idle_timeout_exclusive, swake_up_one,
};
use crate::{WARN_ON, WARN_ON_ONCE, pr_err};
use core::sync::atomic::Ordering;

/// Ticks until the first scan: one, and one more for each 250 Hz above 250.
const RCU_JIFFIES_TILL_FORCE_QS: u64 = 1 + (HZ > 250) as u64 + (HZ > 500) as u64;
/// The same with many CPUs is larger; not with 64.
const RCU_JIFFIES_FQS_DIV: u64 = 256;
/// Ticks after which a CPU that does not switch is helped.
const RCU_JIFFIES_TILL_SCHED_QS: u64 = HZ / 10;

fn set_gp_state(state: GpState) {
    rcu_state.gp_state.set(state as u32);
}

/// Wakes `rcu_preempt` if there is something for it to do.
pub fn rcu_gp_kthread_wake() {
    let Some(t) = rcu_state.gp_kthread.get() else {
        return;
    };
    let itself = same_task(current(), t) && !in_hardirq() && !in_serving_softirq();
    if itself || rcu_state.gp_flags.load(Ordering::SeqCst) == 0 {
        return;
    }
    swake_up_one(&rcu_state.gp_wq);
}

/// Takes in CPUs that came online or went offline since the last grace period began.
fn take_in_hotplug() {
    for rnp in rcu_for_each_leaf_node() {
        let guard = rcu_state.ofl_lock.lock_irq();
        let node = rnp.lock.lock();
        let unchanged =
            rnp.qsmaskinit.get() == rnp.qsmaskinitnext.get() && !rnp.wait_blkd_tasks.get();
        if unchanged {
            drop(node);
            drop(guard);
            continue;
        }
        let oldmask = rnp.qsmaskinit.get();
        rnp.qsmaskinit.set(rnp.qsmaskinitnext.get());
        // The first CPU of a leaf, or the last one: the nodes above wait for it, or no more.
        if (oldmask == 0) != (rnp.qsmaskinit.get() == 0) {
            if oldmask == 0 {
                if !rnp.wait_blkd_tasks.get() {
                    rcu_init_new_rnp(rnp);
                }
            } else if !list_is_empty(rnp) {
                // Readers of the CPUs that went are still preempted here.
                rnp.wait_blkd_tasks.set(true);
            } else {
                rcu_cleanup_dead_rnp(rnp);
            }
        }
        if rnp.wait_blkd_tasks.get() && (list_is_empty(rnp) || rnp.qsmaskinit.get() != 0) {
            rnp.wait_blkd_tasks.set(false);
            if rnp.qsmaskinit.get() == 0 {
                rcu_cleanup_dead_rnp(rnp);
            }
        }
        drop(node);
        drop(guard);
    }
}

fn list_is_empty(rnp: RnpRef) -> bool {
    crate::include::linux::list::list_empty(&rnp.blkd_tasks)
}

/// Begins a grace period: first CPUs, then the number, then every node from the root down.
///
/// # Returns
/// Whether one was wanted.
#[inline(never)]
fn rcu_gp_init() -> bool {
    let root = rcu_get_root();
    rcu_state.gp_activity.set(jiffies());
    {
        let _guard = root.lock.lock_irq();
        if rcu_state.gp_flags.load(Ordering::SeqCst) == 0 {
            return false;
        }
        rcu_state.gp_flags.store(0, Ordering::SeqCst);
        if WARN_ON_ONCE!(rcu_gp_in_progress()) {
            return false;
        }
        record_gp_stall_check_time();
        // From here on a callback that is queued waits for the next one.
        rcu_seq_start(&rcu_state.gp_seq);
    }
    set_gp_state(GpState::OnOff);
    take_in_hotplug();
    set_gp_state(GpState::Init);
    for rnp in rcu_for_each_node_breadth_first() {
        let flags = raw_spin_lock_irqsave(&rnp.lock);
        let rdp = rcu_data.this_cpu();
        rcu_preempt_check_blocked_tasks(rnp);
        rnp.qsmask.set(rnp.qsmaskinit.get());
        rnp.gp_seq.set(rcu_state.gp_seq.get());
        if core::ptr::eq(rnp, rdp.node()) {
            __note_gp_changes(rnp, rdp);
        }
        // CPUs that went offline between the first pass and this one are not waited for.
        let gone = if rcu_is_leaf_node(rnp) {
            rnp.qsmask.get() & !rnp.qsmaskinitnext.get()
        } else {
            0
        };
        if gone != 0 || rnp.wait_blkd_tasks.get() {
            rcu_report_qs_rnp(gone, rnp, rnp.gp_seq.get(), flags);
        } else {
            raw_spin_unlock_irqrestore(&rnp.lock, flags);
        }
        cond_resched();
        rcu_state.gp_activity.set(jiffies());
    }
    true
}

/// The first look: a CPU that idles has passed; of the others the counter is kept.
fn dyntick_save_progress_counter(rdp: RdpRef) -> bool {
    let snap = ct_dynticks_cpu_acquire(rdp.cpu.get());
    rdp.dynticks_snap.set(snap);
    snap & RCU_DYNTICKS_IDX == 0
}

/// A later look: a counter that changed has passed through idle. One that did not is helped after a while.
fn rcu_implicit_dynticks_qs(rdp: RdpRef) -> bool {
    let cpu = rdp.cpu.get();
    if rdp.dynticks_snap.get() != ct_dynticks_cpu_acquire(cpu) {
        return true;
    }
    // RCU took it for offline, and it owes something.
    if WARN_ON_ONCE!(!rcu_rdp_cpu_online(rdp)) {
        return true;
    }
    let age_start = rcu_state.gp_start.get();
    let resched = time_after(jiffies(), rcu_state.jiffies_resched.get());
    let old = |age: u64| time_after(jiffies(), age_start.wrapping_add(age));
    // A reader, or code that does not switch: the tick asks for a switch; then anything that may report
    // shall; half-way to a complaint we ask ourselves, now and then.
    if !rdp.rcu_need_heavy_qs.get() && (old(2 * RCU_JIFFIES_TILL_SCHED_QS) || resched) {
        rdp.rcu_need_heavy_qs.set(true);
        rdp.rcu_urgent_qs.set(true);
    } else if old(RCU_JIFFIES_TILL_SCHED_QS) {
        rdp.rcu_urgent_qs.set(true);
    }
    let last = rdp.last_fqs_resched.get();
    if resched && time_after(jiffies(), last.wrapping_add(RCU_JIFFIES_TILL_SCHED_QS)) {
        resched_cpu(cpu);
        rdp.last_fqs_resched.set(jiffies());
    }
    false
}

/// Scans the leaves: CPUs for which `f` holds have passed.
fn force_qs_rnp(f: fn(RdpRef) -> bool) {
    for rnp in rcu_for_each_leaf_node() {
        cond_resched();
        let flags = raw_spin_lock_irqsave(&rnp.lock);
        if rnp.qsmask.get() == 0 {
            // Only preempted readers are left (or nothing): they report when they end.
            raw_spin_unlock_irqrestore(&rnp.lock, flags);
            continue;
        }
        let mut mask = 0;
        let mut wanted = rnp.qsmask.get();
        while wanted != 0 {
            let bit = wanted & wanted.wrapping_neg();
            wanted &= !bit;
            let rdp = rcu_data.per_cpu(rnp.grplo.get() + bit.trailing_zeros());
            if f(rdp) {
                mask |= bit;
                rcu_disable_urgency_upon_qs(rdp);
            }
        }
        if mask != 0 {
            rcu_report_qs_rnp(mask, rnp, rnp.gp_seq.get(), flags);
        } else {
            raw_spin_unlock_irqrestore(&rnp.lock, flags);
        }
    }
}

/// One scan.
#[inline(never)]
fn rcu_gp_fqs(first_time: bool) {
    rcu_state.gp_activity.set(jiffies());
    rcu_state.n_force_qs.inc();
    if first_time {
        force_qs_rnp(dyntick_save_progress_counter);
    } else {
        force_qs_rnp(rcu_implicit_dynticks_qs);
    }
    if rcu_state.gp_flags.load(Ordering::SeqCst) & RCU_GP_FLAG_FQS != 0 {
        rcu_state
            .gp_flags
            .fetch_and(!RCU_GP_FLAG_FQS, Ordering::SeqCst);
    }
}

/// Whether the wait between scans is over: a scan is asked for, or everybody has passed.
fn rcu_gp_fqs_check_wake() -> bool {
    let rnp = rcu_get_root();
    rcu_state.gp_flags.load(Ordering::SeqCst) & RCU_GP_FLAG_FQS != 0
        || rnp.qsmask.get() == 0 && !rcu_preempt_blocked_readers_cgp(rnp)
}

/// Waits until everybody has passed, scanning from time to time.
#[inline(never)]
fn rcu_gp_fqs_loop() {
    let rnp = rcu_get_root();
    let till = RCU_JIFFIES_TILL_FORCE_QS + u64::from(num_online_cpus()) / RCU_JIFFIES_FQS_DIV;
    let mut first = true;
    let mut rest = till;
    rcu_state.jiffies_force_qs.set(jiffies() + till);
    loop {
        set_gp_state(GpState::WaitFqs);
        swait_event_idle_timeout_exclusive(&rcu_state.gp_wq, rcu_gp_fqs_check_wake, rest);
        set_gp_state(GpState::DoingFqs);
        if rnp.qsmask.get() == 0 && !rcu_preempt_blocked_readers_cgp(rnp) {
            return;
        }
        let now = jiffies();
        if time_after_eq(now, rcu_state.jiffies_force_qs.get())
            || rcu_state.gp_flags.load(Ordering::SeqCst) & RCU_GP_FLAG_FQS != 0
        {
            rcu_gp_fqs(first);
            first = false;
            rest = till;
            rcu_state.jiffies_force_qs.set(jiffies() + till);
        } else {
            // Woken for nothing: wait for the rest.
            rest = rcu_state.jiffies_force_qs.get().wrapping_sub(now).max(1);
        }
        cond_resched();
        rcu_state.gp_activity.set(jiffies());
    }
}

/// Ends the grace period: every node from the root down, then the number; begins the next if wanted.
#[inline(never)]
fn rcu_gp_cleanup() {
    let root = rcu_get_root();
    rcu_state.gp_activity.set(jiffies());
    let gp_duration = jiffies().wrapping_sub(rcu_state.gp_start.get());
    if gp_duration > rcu_state.gp_max.get() {
        rcu_state.gp_max.set(gp_duration);
    }
    let new_gp_seq = rcu_seq_endval(rcu_state.gp_seq.get());
    let mut needgp = false;
    for rnp in rcu_for_each_node_breadth_first() {
        let flags = raw_spin_lock_irqsave(&rnp.lock);
        WARN_ON_ONCE!(rcu_preempt_blocked_readers_cgp(rnp));
        WARN_ON_ONCE!(rnp.qsmask.get() != 0);
        rnp.gp_seq.set(new_gp_seq);
        let rdp = rcu_data.this_cpu();
        if core::ptr::eq(rnp, rdp.node()) {
            needgp |= __note_gp_changes(rnp, rdp);
        }
        // A request that came during this one.
        needgp |= rcu_future_gp_cleanup(rnp);
        raw_spin_unlock_irqrestore(&rnp.lock, flags);
        cond_resched();
        rcu_state.gp_activity.set(jiffies());
    }
    let flags = raw_spin_lock_irqsave(&root.lock);
    rcu_seq_end(&rcu_state.gp_seq);
    set_gp_state(GpState::Idle);
    // Requests since the loop let go of the root: to those who made them the grace period was still in progress, so
    // they left it to us to begin the next.
    needgp |= ULONG_CMP_LT(root.gp_seq.get(), root.gp_seq_needed.get());
    let rdp = rcu_data.this_cpu();
    let mine = rcu_accelerate_cbs(root, rdp);
    if mine || needgp {
        rcu_state.gp_flags.store(RCU_GP_FLAG_INIT, Ordering::SeqCst);
        rcu_state.gp_req_activity.set(jiffies());
    } else {
        rcu_state
            .gp_flags
            .fetch_and(RCU_GP_FLAG_INIT, Ordering::SeqCst);
    }
    raw_spin_unlock_irqrestore(&root.lock, flags);
}

/// The thread.
extern "C" fn rcu_gp_kthread(_unused: VoidPtr) -> i32 {
    loop {
        loop {
            set_gp_state(GpState::WaitGps);
            swait_event_idle_exclusive(&rcu_state.gp_wq, || {
                rcu_state.gp_flags.load(Ordering::SeqCst) & RCU_GP_FLAG_INIT != 0
            });
            set_gp_state(GpState::DoneGps);
            if rcu_gp_init() {
                break;
            }
            cond_resched();
            rcu_state.gp_activity.set(jiffies());
        }
        rcu_gp_fqs_loop();
        set_gp_state(GpState::Cleanup);
        rcu_gp_cleanup();
        set_gp_state(GpState::Cleaned);
    }
}

/// Makes the thread. An early initcall: one CPU is online.
pub fn rcu_spawn_gp_kthread() -> i32 {
    let t = match kthread_create(
        rcu_gp_kthread,
        VoidPtr::NULL,
        format_args!("{}", rcu_state.name),
    ) {
        Ok(t) => t,
        Err(error) => {
            pr_err!("rcu: Could not start grace-period kthread, OOM is now expected behavior");
            return error;
        }
    };
    {
        let _guard = rcu_get_root().lock.lock_irqsave();
        rcu_state.gp_activity.set(jiffies());
        rcu_state.gp_req_activity.set(jiffies());
        rcu_state.gp_kthread.set(Some(t));
    }
    wake_up_process(t);
    WARN_ON!(num_online_cpus() > 1);
    0
}
