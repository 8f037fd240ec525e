//! Warnings about grace periods that do not end. Linux: `kernel/rcu/tree_stall.h` (v6.8).
//!
//! Kept: a CPU that finds itself to blame, one that finds others, the words of the messages, the timeout of
//! 21 s (`rcupdate.rcu_cpu_stall_timeout=`). Left out: dumps of every blocked reader's stack, notifiers, the
//! warning about `rcu_preempt` itself being starved, CPU time since the start.
//! Locks: none while printing.

use crate::arch::x86::include::asm::current::current;
use crate::include::linux::cpumask::num_online_cpus;
use crate::include::linux::jiffies::{HZ, jiffies};
use crate::include::linux::preempt::set_preempt_need_resched;
use crate::include::linux::sched::set_tsk_need_resched;
use crate::include::linux::spinlock::{raw_spin_lock_irqsave, raw_spin_unlock_irqrestore};
use crate::kernel::context_tracking::context_tracking;
use crate::kernel::panic::dump_stack;
use crate::kernel::rcu::rcu::{ULONG_CMP_GE, ULONG_CMP_LT, rcu_seq_ctr};
use crate::kernel::rcu::tree::rcu_gp_in_progress;
use crate::kernel::rcu::tree::types::{
    RdpRef, RnpRef, rcu_data, rcu_for_each_leaf_node, rcu_for_each_node_breadth_first, rcu_state,
};
use crate::kernel::rcu::tree_plugin::RcuNodeEntryLink;
use crate::kernel::rcu::update::rcu_stall_timeout;
use crate::kernel::sched::core::tick::resched_cpu;
use crate::pr_err;
use core::sync::atomic::Ordering;

/// Ticks that the CPU to blame is given to find out itself.
const RCU_STALL_RAT_DELAY: u64 = 2;

/// A grace period begins: notes when to complain.
pub fn record_gp_stall_check_time() {
    let j = jiffies();
    rcu_state.gp_start.set(j);
    rcu_state.n_force_qs_gpstart.set(rcu_state.n_force_qs.get());
    rcu_state
        .jiffies_stall
        .store(j + rcu_stall_timeout() * HZ, Ordering::SeqCst);
    rcu_state
        .jiffies_resched
        .set(j + rcu_stall_timeout() * HZ / 2);
}

/// Callbacks of all CPUs.
fn total_cbs() -> i64 {
    crate::include::linux::cpumask::cpu_possible_mask()
        .iter()
        .map(|cpu| rcu_data.per_cpu(cpu).cblist.n_cbs())
        .sum()
}

/// One line about a CPU that holds the grace period up.
fn print_cpu_stall_info(cpu: u32) {
    let rdp = rcu_data.per_cpu(cpu);
    let ct = context_tracking.per_cpu(cpu);
    let ticks = rdp.ticks_this_gp.get();
    pr_err!(
        "rcu: \t{cpu}-{}{}{}{}: ({ticks} ticks this GP) idle={:04x}/{}/{:#x} softirq={}/{} fqs={}",
        if crate::include::linux::cpumask::cpu_online(cpu) {
            '.'
        } else {
            'O'
        },
        if rdp.node().qsmaskinit.get() & rdp.grpmask.get() != 0 {
            '.'
        } else {
            'o'
        },
        if rdp.node().qsmaskinitnext.get() & rdp.grpmask.get() != 0 {
            '.'
        } else {
            'N'
        },
        '.',
        ct.state.load(Ordering::Relaxed) & 0xffff,
        ct.dynticks_nesting.get(),
        ct.dynticks_nmi_nesting.get(),
        rdp.softirq_snap.get(),
        rdp.softirq_snap.get(),
        rcu_state.n_force_qs.get() - rcu_state.n_force_qs_gpstart.get(),
    );
}

/// This CPU holds the grace period up.
fn print_cpu_stall(gps: u64) {
    let cpu = crate::include::linux::smp::smp_processor_id();
    pr_err!("rcu: INFO: {} self-detected stall on CPU", rcu_state.name);
    print_cpu_stall_info(cpu);
    pr_err!(
        "rcu: \t(t={} jiffies g={} q={} ncpus={})",
        jiffies().wrapping_sub(gps),
        rcu_seq_ctr(rcu_state.gp_seq.get()),
        total_cbs(),
        num_online_cpus()
    );
    dump_stack();
    let rdp = rcu_data.per_cpu(cpu);
    let _guard = rdp.node().lock.lock_irqsave();
    set_next_stall_time();
    // A switch would help, if it can be had.
    set_tsk_need_resched(current());
    set_preempt_need_resched();
}

fn set_next_stall_time() {
    let now = jiffies();
    if ULONG_CMP_GE(now, rcu_state.jiffies_stall.load(Ordering::Relaxed)) {
        rcu_state
            .jiffies_stall
            .store(now + 3 * rcu_stall_timeout() * HZ + 3, Ordering::SeqCst);
    }
}

/// Readers that were preempted at a leaf and hold the grace period up.
fn print_blocked_readers(rnp: RnpRef) -> usize {
    let flags = raw_spin_lock_irqsave(&rnp.lock);
    let mut count = 0;
    if let Some(first) = rnp.gp_tasks.get() {
        let mut at = first;
        pr_err!(
            "rcu: \tTasks blocked on level-{} rcu_node (CPUs {}-{}):",
            rnp.level.get(),
            rnp.grplo.get(),
            rnp.grphi.get()
        );
        while !core::ptr::eq(at, &rnp.blkd_tasks) {
            pr_err!("rcu: \t P{}", RcuNodeEntryLink::entry(at).pid.get());
            count += 1;
            match at.next.get() {
                Some(next) => at = next,
                None => break,
            }
        }
    }
    raw_spin_unlock_irqrestore(&rnp.lock, flags);
    count
}

/// Others hold the grace period up.
fn print_other_cpu_stall(gp_seq: u64, gps: u64) {
    pr_err!(
        "rcu: INFO: {} detected stalls on CPUs/tasks:",
        rcu_state.name
    );
    let mut stalled = 0;
    for rnp in rcu_for_each_leaf_node() {
        for cpu in rnp.cpus(rnp.qsmask.get()) {
            print_cpu_stall_info(cpu);
            stalled += 1;
            if crate::include::linux::cpumask::cpu_online(cpu) {
                resched_cpu(cpu);
            }
        }
        stalled += print_blocked_readers(rnp);
    }
    pr_err!(
        "rcu: \t(detected by {}, t={} jiffies, g={}, q={} ncpus={})",
        crate::include::linux::smp::smp_processor_id(),
        jiffies().wrapping_sub(gps),
        rcu_seq_ctr(gp_seq),
        total_cbs(),
        num_online_cpus()
    );
    if stalled == 0 {
        if rcu_state.gp_seq.get() != gp_seq {
            pr_err!("rcu: INFO: Stall ended before state dump start");
        } else {
            pr_err!(
                "rcu: All QSes seen, last {} kthread activity {}",
                rcu_state.name,
                jiffies().wrapping_sub(rcu_state.gp_activity.get())
            );
        }
    }
    set_next_stall_time();
}

/// The tick's look at how long the grace period takes.
pub fn check_cpu_stall(rdp: RdpRef) {
    if !rcu_gp_in_progress() {
        return;
    }
    let j = jiffies();
    let gp_seq = rcu_state.gp_seq.get();
    let js = rcu_state.jiffies_stall.load(Ordering::SeqCst);
    let gps = rcu_state.gp_start.get();
    if rcu_state.gp_seq.get() != gp_seq || ULONG_CMP_LT(j, js) || ULONG_CMP_GE(gps, js) {
        return;
    }
    let next = j + 3 * rcu_stall_timeout() * HZ + 3;
    let mine = || {
        rcu_state
            .jiffies_stall
            .compare_exchange(js, next, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    };
    if rdp.node().qsmask.get() & rdp.grpmask.get() != 0 {
        if mine() {
            print_cpu_stall(gps);
        }
    } else if ULONG_CMP_GE(j, js + RCU_STALL_RAT_DELAY) && mine() {
        print_other_cpu_stall(gp_seq, gps);
    }
}

/// The grace period in a hurry does not end either.
pub fn rcu_exp_stall_warning(waited: u64) {
    pr_err!(
        "rcu: INFO: {} detected expedited stalls on CPUs/tasks:",
        rcu_state.name
    );
    for rnp in rcu_for_each_leaf_node() {
        for cpu in rnp.cpus(rnp.expmask.get()) {
            print_cpu_stall_info(cpu);
        }
    }
    let blocked = rcu_for_each_node_breadth_first()
        .filter(|rnp| rnp.exp_tasks.get().is_some())
        .count();
    pr_err!(
        "rcu: \t{waited} jiffies s: {} root nodes with readers: {blocked}",
        rcu_state.expedited_sequence.get()
    );
}
