//! The grace-period engine: who asks, who reports, who ends.
//!
//! Linux: `kernel/rcu/tree.c` (v6.8), here a file and a folder of the same name: `types` (tree.h), `gp` (the
//! thread `rcu_preempt`), `qs` (quiescent states up the tree, numbers down to the CPUs), `callbacks`
//! (call_rcu, invoking, barriers), `poll` (asked for, looked after later), `hotplug` (CPUs that come and go); this file: start-up, the tick, the
//! softirq, waiting. Kept: grace periods over a tree of nodes, quiescent states from context switches,
//! ticks, idle and the stopper, scans that find idle CPUs, callbacks in segments. Left out: offloaded
//! (nocb) and lazy callbacks, kfree_rcu's batches, boosting, rcuc threads, the wrap
//! of a CPU's number (64 bits do not), full dynticks. Differs: nothing else.
//! Locks: a node's lock with interrupts off, from a leaf towards the root only.

pub mod callbacks;
pub mod gp;
pub mod hotplug;
pub mod poll;
pub mod qs;
pub mod types;

pub use callbacks::{call_rcu, call_rcu_hurry, rcu_barrier};
pub use gp::rcu_spawn_gp_kthread;
pub use hotplug::{
    rcu_cpu_beenfullyonline, rcutree_dead_cpu, rcutree_dying_cpu, rcutree_migrate_callbacks,
    rcutree_offline_cpu, rcutree_online_cpu, rcutree_prepare_cpu, rcutree_report_cpu_dead,
    rcutree_report_cpu_starting,
};
pub use poll::{
    get_state_synchronize_rcu, poll_state_synchronize_rcu, start_poll_synchronize_rcu_expedited,
};
pub use types::{rcu_data, rcu_state};

use crate::WARN_ON;
use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::{NR_CPUS, cpu_possible_mask, nr_cpu_ids};
use crate::include::linux::interrupt::{RCU_SOFTIRQ, open_softirq, raise_softirq};
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};
use crate::include::linux::list::INIT_LIST_HEAD;
use crate::include::linux::preempt::{
    PREEMPT_MASK, SOFTIRQ_MASK, preempt_count, set_preempt_need_resched,
};
use crate::include::linux::rcupdate::RCU_SCHEDULER_INACTIVE;
use crate::include::linux::sched::set_tsk_need_resched;
use crate::include::linux::smp::smp_processor_id;
use crate::include::linux::workqueue::{WQ_MEM_RECLAIM, WorkqueueStruct, alloc_workqueue};
use crate::kernel::context_tracking::{ct_state_inc_momentary, rcu_is_cpu_rrupt_from_idle};
use crate::kernel::rcu::rcu::{rcu_seq_current, rcu_seq_state};
use crate::kernel::rcu::rcu_segcblist::RCU_NEXT_READY_TAIL;
use crate::kernel::rcu::tree_exp::synchronize_rcu_expedited;
use crate::kernel::rcu::tree_plugin::{
    rcu_flavor_sched_clock_irq, rcu_preempt_deferred_qs, rcu_preempt_need_deferred_qs,
};
use crate::kernel::rcu::tree_stall::check_cpu_stall;
use crate::kernel::rcu::update::{
    rcu_gp_is_expedited, rcu_scheduler_active, rcu_update_params, wait_rcu_gp,
};
use crate::pr_info;
use callbacks::rcu_do_batch;
use core::sync::atomic::Ordering;
use qs::{rcu_accelerate_cbs_unlocked, rcu_check_quiescent_state};
use types::{RCU_FANOUT_LEAF, RdpRef, rcu_for_each_node_breadth_first, rcu_is_leaf_node};

/// Where grace periods in a hurry are driven.
pub static rcu_gp_wq: Shared<Option<&'static WorkqueueStruct>> = Shared::new(None);
/// Where the leaves' parts of one are done at the same time.
pub static rcu_par_gp_wq: Shared<Option<&'static WorkqueueStruct>> = Shared::new(None);

/// Whether a grace period runs.
pub fn rcu_gp_in_progress() -> bool {
    rcu_seq_state(rcu_seq_current(&rcu_state.gp_seq)) != 0
}

/// Sets up the tree, the softirq and the boot CPU.
pub fn rcu_init() {
    let cpus = nr_cpu_ids.load(Ordering::Relaxed) as usize;
    rcu_update_params();
    rcu_init_geometry(cpus);
    rcu_init_one();
    open_softirq(RCU_SOFTIRQ, rcu_core_si);
    let cpu = smp_processor_id();
    rcutree_prepare_cpu(cpu);
    rcutree_report_cpu_starting(cpu);
    rcutree_online_cpu(cpu);
    pr_info!("rcu: Preemptible hierarchical RCU implementation.");
    if cpus < NR_CPUS {
        pr_info!("rcu: \tRCU restricting CPUs from NR_CPUS={NR_CPUS} to nr_cpu_ids={cpus}.");
    }
    pr_info!("\tTrampoline variant of Tasks RCU enabled.");
    pr_info!("\tRude variant of Tasks RCU enabled.");
    pr_info!("\tTracing variant of Tasks RCU enabled.");
    if cpus < NR_CPUS {
        pr_info!(
            "rcu: Adjusting geometry for rcu_fanout_leaf={RCU_FANOUT_LEAF}, nr_cpu_ids={cpus}"
        );
    }
    // With rescuers: freeing memory may wait for a grace period.
    for (slot, name) in [(&rcu_gp_wq, "rcu_gp"), (&rcu_par_gp_wq, "rcu_par_gp")] {
        let wq = alloc_workqueue(name, WQ_MEM_RECLAIM, 0);
        WARN_ON!(wq.is_none());
        slot.set(wq);
    }
    // Whoever polled before this is answered from here on. It is the first work that any worker finds.
    start_poll_synchronize_rcu_expedited();
}

/// How many levels so many CPUs need.
fn rcu_init_geometry(cpus: usize) {
    rcu_state
        .num_lvls
        .set(if cpus <= RCU_FANOUT_LEAF { 1 } else { 2 });
}

/// Links nodes to their parent and CPUs to their leaf.
fn rcu_init_one() {
    let two_levels = rcu_state.num_lvls.get() == 2;
    for (index, rnp) in rcu_for_each_node_breadth_first().enumerate() {
        let root = index == 0;
        rnp.gp_seq.set(rcu_state.gp_seq.get());
        rnp.gp_seq_needed.set(rcu_state.gp_seq.get());
        rnp.completedqs.set(rcu_state.gp_seq.get());
        rnp.level.set(u32::from(!root));
        INIT_LIST_HEAD(&rnp.blkd_tasks);
        let leaf_index = if two_levels && !root { index - 1 } else { 0 };
        let lo = (leaf_index * RCU_FANOUT_LEAF) as u32;
        rnp.grplo.set(lo);
        let hi = if rcu_is_leaf_node(rnp) {
            lo + RCU_FANOUT_LEAF as u32 - 1
        } else {
            NR_CPUS as u32 - 1
        };
        rnp.grphi
            .set(hi.min(nr_cpu_ids.load(Ordering::Relaxed).saturating_sub(1)));
        if !root {
            rnp.grpnum.set(leaf_index as u32);
            rnp.grpmask.set(1 << leaf_index);
            rnp.parent.set(Some(&rcu_state.node[0]));
        }
    }
    for cpu in cpu_possible_mask().iter() {
        let leaf = if two_levels {
            1 + cpu as usize / RCU_FANOUT_LEAF
        } else {
            0
        };
        let rnp = &rcu_state.node[leaf];
        let rdp = rcu_data.per_cpu(cpu);
        rdp.cpu.set(cpu);
        rdp.mynode.set(Some(rnp));
        rdp.grpmask.set(1 << (cpu - rnp.grplo.get()));
        rdp.gp_seq.set(rcu_state.gp_seq.get());
        rdp.gp_seq_needed.set(rcu_state.gp_seq.get());
        rdp.barrier_seq_snap.set(rcu_state.barrier_sequence.get());
    }
}

/// The tick's part: a quiescent state if the interrupted code was none of RCU's, and the softirq if there
/// is something to do.
///
/// # Context
/// The timer interrupt.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn rcu_sched_clock_irq(user: bool) {
    let rdp = rcu_data.this_cpu();
    rdp.ticks_this_gp.inc();
    if rdp.rcu_urgent_qs.get() {
        // The grace period is old and this CPU did not switch for long.
        if !rcu_is_cpu_rrupt_from_idle() && !user {
            set_tsk_need_resched(current());
            set_preempt_need_resched();
        }
        rdp.rcu_urgent_qs.set(false);
    }
    rcu_flavor_sched_clock_irq(user);
    if rcu_pending(rdp) {
        invoke_rcu_core();
    }
}

/// Whether this CPU has something to do for RCU.
fn rcu_pending(rdp: RdpRef) -> bool {
    let rnp = rdp.node();
    check_cpu_stall(rdp);
    let gp_in_progress = rcu_gp_in_progress();
    // A quiescent state to report.
    if rdp.core_needs_qs.get() && !rdp.cpu_no_qs.norm.get() && gp_in_progress {
        return true;
    }
    // Callbacks to invoke.
    if rdp.cblist.ready_cbs() {
        return true;
    }
    // A grace period to ask for.
    if !gp_in_progress && !rdp.cblist.restempty(RCU_NEXT_READY_TAIL) {
        return true;
    }
    // One that began or ended without this CPU having noticed.
    rcu_seq_current(&rnp.gp_seq) != rdp.gp_seq.get()
}

/// Whether the CPU must keep its tick because RCU needs it.
pub fn rcu_needs_cpu() -> bool {
    !rcu_data.this_cpu().cblist.empty()
}

/// Has the softirq run (`invoke_rcu_core`).
pub fn invoke_rcu_core() {
    if crate::include::linux::cpumask::cpu_online(smp_processor_id()) {
        raise_softirq(RCU_SOFTIRQ);
    }
}

fn rcu_core_si() {
    rcu_core();
}

/// RCU's softirq: reports, asks, invokes.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rcu_core() {
    let rdp = rcu_data.this_cpu();
    let rnp = rdp.node();
    if !rdp.beenonline.get() {
        return;
    }
    rdp.softirq_snap.inc();
    // A reader ended where it could not report.
    if preempt_count() & PREEMPT_MASK == 0 {
        rcu_preempt_deferred_qs(current());
    } else if rcu_preempt_need_deferred_qs(current()) {
        set_tsk_need_resched(current());
        set_preempt_need_resched();
    }
    rcu_check_quiescent_state(rdp);
    if !rcu_gp_in_progress() {
        let flags = local_irq_save();
        if !rdp.cblist.restempty(RCU_NEXT_READY_TAIL) {
            rcu_accelerate_cbs_unlocked(rnp, rdp);
        }
        local_irq_restore(flags);
    }
    if rdp.cblist.ready_cbs() {
        rcu_do_batch(rdp);
        // The limit was reached: go on after others had their turn.
        if rdp.cblist.ready_cbs() {
            invoke_rcu_core();
        }
    }
}

/// Whether waiting for a grace period is nothing: only one task, and it is here.
fn rcu_blocking_is_gp() -> bool {
    rcu_scheduler_active.load(Ordering::Acquire) == RCU_SCHEDULER_INACTIVE
}

/// Waits for a grace period: every reader that is in its section now has left it on return.
///
/// # Context
/// May sleep; outside any reader.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn synchronize_rcu() {
    crate::WARN_ON_ONCE!(crate::include::linux::rcupdate::rcu_preempt_depth() > 0);
    if rcu_blocking_is_gp() {
        return;
    }
    if rcu_gp_is_expedited() {
        synchronize_rcu_expedited();
    } else {
        wait_rcu_gp(call_rcu_hurry);
    }
}

/// A CPU that holds others up without switching, as the stopper does, passes a quiescent state: it is
/// outside any reader, and RCU need not wait for it.
#[inline(always)]
pub fn rcu_momentary_dyntick_idle() {
    rcu_data.this_cpu().rcu_need_heavy_qs.set(false);
    ct_state_inc_momentary();
    rcu_preempt_deferred_qs(current());
}

/// Whether the code below may be inside something that RCU must not be told of: preemption or softirqs off.
pub(super) fn preempt_bh_disabled() -> bool {
    preempt_count() & (PREEMPT_MASK | SOFTIRQ_MASK) != 0
}
