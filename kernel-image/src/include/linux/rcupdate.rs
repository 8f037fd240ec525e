//! Read-copy update: readers that nobody waits for but who wants to free what they may see.
//!
//! Linux: `include/linux/rcupdate.h` (v6.8) with PREEMPT_RCU. Kept: the read side as a count in the task,
//! which a reader may be preempted with; the names of the update side. Left out: `rcu_dereference` and
//! `rcu_assign_pointer`, which a `Shared` word already is on this machine; the flavours of old.

use crate::arch::x86::include::asm::current::current;
use crate::include::linux::sched::TaskRef;
pub use crate::include::linux::types::{RcuCallback, RcuHead};
pub use crate::kernel::rcu::srcutree::{
    SrcuStruct, srcu_read_lock, srcu_read_unlock, synchronize_srcu,
};
pub use crate::kernel::rcu::tasks::{
    call_rcu_tasks, call_rcu_tasks_rude, call_rcu_tasks_trace, exit_tasks_rcu_finish,
    exit_tasks_rcu_start, rcu_barrier_tasks, rcu_barrier_tasks_trace, rcu_init_tasks_generic,
    rcu_read_lock_trace, rcu_read_unlock_trace, synchronize_rcu_tasks, synchronize_rcu_tasks_rude,
    synchronize_rcu_tasks_trace,
};
pub use crate::kernel::rcu::tree::{
    call_rcu, call_rcu_hurry, rcu_barrier, rcu_init, rcu_momentary_dyntick_idle, rcu_needs_cpu,
    rcu_sched_clock_irq, synchronize_rcu,
};
pub use crate::kernel::rcu::tree_exp::synchronize_rcu_expedited;
pub use crate::kernel::rcu::tree_plugin::{rcu_note_context_switch, rcu_read_unlock_special};
pub use crate::kernel::rcu::update::{
    rcu_end_inkernel_boot, rcu_expedite_gp, rcu_gp_is_expedited, rcu_scheduler_starting,
    rcu_unexpedite_gp,
};
use core::sync::atomic::{Ordering, compiler_fence};

/// The scheduler has not begun: nothing needs to be waited for.
pub const RCU_SCHEDULER_INACTIVE: u32 = 0;
/// It has, but RCU's threads are not all there.
pub const RCU_SCHEDULER_INIT: u32 = 1;
/// Everything works.
pub const RCU_SCHEDULER_RUNNING: u32 = 2;

/// How deep the current task is in readers.
#[inline(always)]
pub fn rcu_preempt_depth() -> i32 {
    current().rcu_read_lock_nesting.get()
}

/// Reads from here on: what was there at this moment is not freed before [`rcu_read_unlock`].
///
/// # Context
/// Any but a CPU that RCU does not watch. May be nested and preempted; may not sleep.
#[inline(always)]
pub fn rcu_read_lock() {
    current().rcu_read_lock_nesting.inc();
    // The reads stay inside (in the compiler; the machine keeps loads behind this store's instruction).
    compiler_fence(Ordering::SeqCst);
}

/// Reads no more. A reader that was preempted, or that somebody waits for, reports here that it is done.
#[inline(always)]
pub fn rcu_read_unlock() {
    let t = current();
    compiler_fence(Ordering::SeqCst);
    t.rcu_read_lock_nesting.dec();
    if t.rcu_read_lock_nesting.get() == 0 {
        compiler_fence(Ordering::SeqCst);
        if t.rcu_read_unlock_special.get() != 0 {
            rcu_read_unlock_special(t);
        }
    }
}

/// A new task reads nothing.
pub fn rcu_copy_process(p: TaskRef) {
    use crate::include::linux::list::INIT_LIST_HEAD;
    p.rcu_read_lock_nesting.set(0);
    p.rcu_read_unlock_special.set(0);
    p.rcu_blocked_node.set(None);
    INIT_LIST_HEAD(&p.rcu_node_entry);
    p.rcu_tasks_holdout.set(false);
    INIT_LIST_HEAD(&p.rcu_tasks_holdout_list);
    p.trc_reader_nesting.set(0);
    p.trc_reader_special.set(0);
    p.trc_was_marked.set(false);
    INIT_LIST_HEAD(&p.trc_holdout_list);
}

/// A task that computes for long says that Tasks RCU need not wait for it: no trampoline is below it.
pub fn rcu_tasks_qs(t: TaskRef, preempt: bool) {
    if !preempt && t.rcu_tasks_holdout.get() {
        t.rcu_tasks_holdout.set(false);
    }
}
