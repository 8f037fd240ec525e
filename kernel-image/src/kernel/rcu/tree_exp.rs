//! Grace periods in a hurry: CPUs are interrupted instead of waited for.
//!
//! Linux: `kernel/rcu/tree_exp.h` (v6.8). Kept: masks of their own in the tree, who is interrupted and who
//! not (idle, offline, this one), readers that are preempted or report at their end, who shares a grace
//! period that somebody else drives; the work of `rcu_gp` that drives it, and those of `rcu_par_gp` that look
//! at the leaves. Left out: threads of its own (`rcu_exp_gp_kworker`). Differs: one mutex stands for the funnel
//! of locks along the tree.
//! Locks: a node's lock, from a leaf towards the root.

use crate::arch::x86::include::asm::current::current;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::cpumask::cpu_online;
use crate::include::linux::errno::ENXIO;
use crate::include::linux::jiffies::{HZ, jiffies};
use crate::include::linux::list::list_empty;
use crate::include::linux::preempt::set_preempt_need_resched;
use crate::include::linux::rcupdate::rcu_preempt_depth;
use crate::include::linux::rcupdate::{RCU_SCHEDULER_INACTIVE, RCU_SCHEDULER_RUNNING};
use crate::include::linux::sched::{set_tsk_need_resched, smp_mb};
use crate::include::linux::smp::{get_cpu, put_cpu, smp_call_function_single, smp_processor_id};
use crate::include::linux::spinlock::{
    raw_spin_lock, raw_spin_lock_irqsave, raw_spin_unlock, raw_spin_unlock_irqrestore,
};
use crate::include::linux::workqueue::{
    WORK_CPU_UNBOUND, WorkStruct, flush_work, queue_work, queue_work_on,
};
use crate::kernel::context_tracking::{
    RCU_DYNTICKS_IDX, ct_dynticks_cpu_acquire, rcu_is_cpu_rrupt_from_idle,
};
use crate::kernel::rcu::rcu::{rcu_seq_done, rcu_seq_end, rcu_seq_snap, rcu_seq_start};
use crate::kernel::rcu::tree::preempt_bh_disabled;
use crate::kernel::rcu::tree::types::NUM_RCU_NODES;
use crate::kernel::rcu::tree::types::{
    RdpRef, RnpRef, rcu_data, rcu_for_each_leaf_node, rcu_for_each_node_breadth_first,
    rcu_get_root, rcu_state,
};
use crate::kernel::rcu::tree::{rcu_gp_wq, rcu_par_gp_wq};
use crate::kernel::rcu::tree_plugin::RCU_READ_UNLOCK_EXP_HINT;
use crate::kernel::rcu::tree_stall::rcu_exp_stall_warning;
use crate::kernel::rcu::update::{rcu_scheduler_active, rcu_stall_timeout};
use crate::kernel::sched::swait::{swait_event_idle_timeout_exclusive, swake_up_one};
use crate::kernel::time::timer::sleep::schedule_timeout_uninterruptible;
use crate::{WARN_ON_ONCE, stack_pinned};
use core::sync::atomic::Ordering;

/// Whether a node waits for nobody any more: no CPU and no reader. Its lock is held.
pub fn sync_rcu_exp_done(rnp: RnpRef) -> bool {
    rnp.exp_tasks.get().is_none() && rnp.expmask.get() == 0
}

/// Takes in CPUs that were online for the first time, and waits for all that ever were.
fn sync_exp_reset_tree() {
    for rnp in rcu_for_each_leaf_node() {
        let _guard = rnp.lock.lock_irqsave();
        if rnp.expmaskinit.get() == rnp.expmaskinitnext.get() {
            continue;
        }
        let oldmask = rnp.expmaskinit.replace(rnp.expmaskinitnext.get());
        if oldmask != 0 {
            continue;
        }
        if let Some(parent) = rnp.parent.get() {
            raw_spin_lock(&parent.lock);
            parent.expmaskinit.or(rnp.grpmask.get());
            raw_spin_unlock(&parent.lock);
        }
    }
    for rnp in rcu_for_each_node_breadth_first() {
        let _guard = rnp.lock.lock_irqsave();
        WARN_ON_ONCE!(rnp.expmask.get() != 0);
        rnp.expmask.set(rnp.expmaskinit.get());
    }
}

/// A node waits for nobody: so it is for the node above, as far as that goes. The node's lock is held and
/// released.
fn __rcu_report_exp_rnp(mut rnp: RnpRef, wake: bool, flags: u64) {
    loop {
        if !sync_rcu_exp_done(rnp) {
            raw_spin_unlock_irqrestore(&rnp.lock, flags);
            return;
        }
        let Some(parent) = rnp.parent.get() else {
            raw_spin_unlock_irqrestore(&rnp.lock, flags);
            if wake {
                smp_mb();
                swake_up_one(&rcu_state.expedited_wq);
            }
            return;
        };
        let mask = rnp.grpmask.get();
        raw_spin_unlock(&rnp.lock);
        rnp = parent;
        raw_spin_lock(&rnp.lock);
        WARN_ON_ONCE!(rnp.expmask.get() & mask == 0);
        rnp.expmask.and_not(mask);
    }
}

/// A leaf's last reader that somebody waited for has ended.
pub fn rcu_report_exp_rnp(rnp: RnpRef) {
    let flags = raw_spin_lock_irqsave(&rnp.lock);
    __rcu_report_exp_rnp(rnp, true, flags);
}

/// CPUs of a leaf have passed.
fn rcu_report_exp_cpu_mult(rnp: RnpRef, mask: u64, wake: bool) {
    let flags = raw_spin_lock_irqsave(&rnp.lock);
    if rnp.expmask.get() & mask == 0 {
        raw_spin_unlock_irqrestore(&rnp.lock, flags);
        return;
    }
    rnp.expmask.and_not(mask);
    __rcu_report_exp_rnp(rnp, wake, flags);
}

/// This CPU has passed.
pub fn rcu_report_exp_rdp(rdp: RdpRef) {
    rdp.cpu_no_qs.exp.set(false);
    rcu_report_exp_cpu_mult(rdp.node(), rdp.grpmask.get(), true);
}

/// On an interrupted CPU: it has passed, or it says that it shall as soon as it can.
fn rcu_exp_handler(_unused: u64) {
    let rdp = rcu_data.this_cpu();
    let rnp = rdp.node();
    let t = current();
    if rcu_preempt_depth() == 0 {
        if !preempt_bh_disabled() || rcu_is_cpu_rrupt_from_idle() {
            rcu_report_exp_rdp(rdp);
        } else {
            rdp.cpu_no_qs.exp.set(true);
            set_tsk_need_resched(t);
            set_preempt_need_resched();
        }
        return;
    }
    // A reader: it reports when it ends, or joins the list when it is switched out.
    let flags = raw_spin_lock_irqsave(&rnp.lock);
    if rnp.expmask.get() & rdp.grpmask.get() != 0 {
        rdp.cpu_no_qs.exp.set(true);
        t.rcu_read_unlock_special.or(RCU_READ_UNLOCK_EXP_HINT);
    }
    raw_spin_unlock_irqrestore(&rnp.lock, flags);
}

/// Looks at the CPUs of a leaf, and interrupts those that may be reading.
fn sync_rcu_exp_select_node_cpus(rnp: RnpRef) {
    let flags = raw_spin_lock_irqsave(&rnp.lock);
    let mut passed = 0;
    for cpu in rnp.cpus(rnp.expmask.get()) {
        let rdp = rcu_data.per_cpu(cpu);
        let mask = rdp.grpmask.get();
        let here = cpu == smp_processor_id();
        let snap = ct_dynticks_cpu_acquire(cpu);
        if here || rnp.qsmaskinitnext.get() & mask == 0 || snap & RCU_DYNTICKS_IDX == 0 {
            passed |= mask;
        } else {
            rdp.exp_dynticks_snap.set(snap);
        }
    }
    let to_interrupt = rnp.expmask.get() & !passed;
    if !list_empty(&rnp.blkd_tasks) {
        rnp.exp_tasks.set(rnp.blkd_tasks.next.get());
    }
    raw_spin_unlock_irqrestore(&rnp.lock, flags);

    for cpu in rnp.cpus(to_interrupt) {
        let rdp = rcu_data.per_cpu(cpu);
        let mask = rdp.grpmask.get();
        loop {
            if ct_dynticks_cpu_acquire(cpu) != rdp.exp_dynticks_snap.get() || get_here(cpu) {
                passed |= mask;
                break;
            }
            if smp_call_function_single(cpu, rcu_exp_handler, 0, false) != -ENXIO {
                break;
            }
            // It went offline, or is just coming.
            let flags = raw_spin_lock_irqsave(&rnp.lock);
            let wanted = rnp.expmask.get() & mask != 0;
            let online = rnp.qsmaskinitnext.get() & mask != 0;
            raw_spin_unlock_irqrestore(&rnp.lock, flags);
            if !wanted || !online {
                passed |= mask;
                break;
            }
            schedule_timeout_uninterruptible(1);
        }
    }
    if passed != 0 {
        rcu_report_exp_cpu_mult(rnp, passed, false);
    }
}

/// Whether we have come to that CPU ourselves: then it switched.
fn get_here(cpu: u32) -> bool {
    let here = get_cpu() == cpu;
    put_cpu();
    here
}

/// Waits until everybody has passed; complains from time to time.
fn synchronize_rcu_expedited_wait() {
    let root = rcu_get_root();
    let start = jiffies();
    let done = || {
        let _guard = root.lock.lock_irqsave();
        sync_rcu_exp_done(root)
    };
    let timeout = rcu_stall_timeout() * HZ;
    while swait_event_idle_timeout_exclusive(&rcu_state.expedited_wq, done, timeout) == 0 {
        if done() {
            return;
        }
        rcu_exp_stall_warning(jiffies().wrapping_sub(start));
    }
}

/// Waits for a grace period, interrupting CPUs to make it short.
///
/// # Context
/// May sleep; outside any reader.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn synchronize_rcu_expedited() {
    if rcu_scheduler_active.load(Ordering::Acquire) == RCU_SCHEDULER_INACTIVE {
        return;
    }
    let s = rcu_seq_snap(&rcu_state.expedited_sequence);
    rcu_state.exp_mutex.lock();
    // Somebody who was before us may have driven one that began after we came.
    if !rcu_seq_done(&rcu_state.expedited_sequence, s) {
        rcu_seq_start(&rcu_state.expedited_sequence);
        match rcu_gp_wq.get() {
            Some(wq) if rcu_scheduler_active.load(Ordering::Acquire) == RCU_SCHEDULER_RUNNING => {
                stack_pinned!(let rew = RcuExpWork { rew_work: WorkStruct::new(wait_rcu_exp_gp) });
                queue_work(wq, &rew.rew_work);
                flush_work(&rew.rew_work);
            }
            // No thread could do it yet.
            _ => rcu_exp_sel_wait_wake(),
        }
        rcu_seq_end(&rcu_state.expedited_sequence);
        rcu_state.n_expedited.fetch_add(1, Ordering::Relaxed);
    }
    rcu_state.exp_mutex.unlock();
}

/// A grace period to drive; on the stack of who asked for it.
#[doc(alias = "rcu_exp_work")]
struct RcuExpWork {
    rew_work: WorkStruct,
}

impl StackObject for RcuExpWork {
    fn quiescent(&self) -> bool {
        self.rew_work.quiescent()
    }
}

/// Drives one, as a work of `rcu_gp`.
fn wait_rcu_exp_gp(_work: &'static WorkStruct) {
    rcu_exp_sel_wait_wake();
}

/// The leaves' parts of a grace period: one work each.
static rnp_rew: [WorkStruct; NUM_RCU_NODES] =
    [const { WorkStruct::new(sync_rcu_exp_select_node_work) }; NUM_RCU_NODES];

fn sync_rcu_exp_select_node_work(work: &'static WorkStruct) {
    let leaf = rnp_rew.iter().position(|it| core::ptr::eq(it, work));
    if let Some(index) = leaf {
        sync_rcu_exp_select_node_cpus(&rcu_state.node[index]);
    }
}

/// Looks at all CPUs: a leaf each at the same time, the last one here.
fn sync_rcu_exp_select_cpus() {
    sync_exp_reset_tree();
    let last = rcu_for_each_leaf_node().last();
    let is_last = |rnp: RnpRef| last.is_some_and(|last| core::ptr::eq(last, rnp));
    let running = rcu_scheduler_active.load(Ordering::Acquire) == RCU_SCHEDULER_RUNNING;
    let work_of = |rnp: RnpRef| {
        let index = rcu_state.node.iter().position(|it| core::ptr::eq(it, rnp));
        index.map(|index| &rnp_rew[index])
    };
    for rnp in rcu_for_each_leaf_node().filter(|rnp| rnp.expmask.get() != 0) {
        match (rcu_par_gp_wq.get(), work_of(rnp)) {
            (Some(wq), Some(work)) if running && !is_last(rnp) => {
                let cpu = rnp.cpus(rnp.expmask.get()).find(|&cpu| cpu_online(cpu));
                queue_work_on(cpu.unwrap_or(WORK_CPU_UNBOUND), wq, work);
            }
            _ => sync_rcu_exp_select_node_cpus(rnp),
        }
    }
    if running {
        rnp_rew.iter().for_each(|work| {
            flush_work(work);
        });
    }
}

fn rcu_exp_sel_wait_wake() {
    sync_rcu_exp_select_cpus();
    synchronize_rcu_expedited_wait();
}
