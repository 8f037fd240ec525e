//! Grace periods that are asked for and looked after later. Linux: `kernel/rcu/tree.c`, `tree_exp.h` (v6.8):
//! `start_poll_synchronize_rcu_expedited`, `poll_state_synchronize_rcu`, `sync_rcu_do_polled_gp`.
//!
//! Kept: cookies, the work of `rcu_gp` that drives an expedited grace period for all who asked, the first one
//! asked for at the start-up. Left out: full-state cookies. Differs: one work for all, not one a leaf of the tree;
//! a cookie counts only the grace periods that were driven for polling: one may be called done later than it is.
//! Locks: `exp_poll_lock`.

use super::rcu_gp_wq;
use crate::fence::shared::Shared;
use crate::include::linux::spinlock::RawSpinlock;
use crate::include::linux::workqueue::{WorkStruct, queue_work};
use crate::kernel::rcu::rcu::{rcu_seq_done, rcu_seq_end, rcu_seq_snap, rcu_seq_start};
use crate::kernel::rcu::tree_exp::synchronize_rcu_expedited;

/// A cookie that is always done.
pub const RCU_GET_STATE_COMPLETED: u64 = 0x1;

/// Grace periods that were driven for polling: written by the work alone.
static gp_seq_polled: Shared<u64> = Shared::new(0);
static exp_poll_lock: RawSpinlock = RawSpinlock::new();
/// The latest cookie that somebody wants done: under `exp_poll_lock`.
static exp_seq_poll_rq: Shared<u64> = Shared::new(RCU_GET_STATE_COMPLETED);
static exp_poll_wq: WorkStruct = WorkStruct::new(sync_rcu_do_polled_gp);

/// A cookie for a full grace period from now on.
pub fn get_state_synchronize_rcu() -> u64 {
    rcu_seq_snap(&gp_seq_polled)
}

/// Whether the cookie's grace period is over.
pub fn poll_state_synchronize_rcu(oldstate: u64) -> bool {
    oldstate == RCU_GET_STATE_COMPLETED || rcu_seq_done(&gp_seq_polled, oldstate)
}

/// A cookie for a full grace period from now on, which somebody drives.
///
/// # Context
/// Any that may wake a task.
pub fn start_poll_synchronize_rcu_expedited() -> u64 {
    let s = get_state_synchronize_rcu();
    let _guard = exp_poll_lock.lock_irqsave();
    exp_seq_poll_rq.set(s);
    if let Some(wq) = rcu_gp_wq.get() {
        queue_work(wq, &exp_poll_wq);
    }
    s
}

/// The work: grace periods until all that were asked for are over.
fn sync_rcu_do_polled_gp(_work: &'static WorkStruct) {
    let wanted = || {
        let _guard = exp_poll_lock.lock_irqsave();
        let s = exp_seq_poll_rq.get();
        if poll_state_synchronize_rcu(s) {
            exp_seq_poll_rq.set(RCU_GET_STATE_COMPLETED);
            return false;
        }
        true
    };
    while wanted() {
        rcu_seq_start(&gp_seq_polled);
        synchronize_rcu_expedited();
        rcu_seq_end(&gp_seq_polled);
    }
}
