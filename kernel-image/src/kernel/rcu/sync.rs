//! Readers choose a fast way until a writer comes; RCU tells the writer when all have seen that.
//!
//! Linux: `kernel/rcu/sync.c` (v6.8). Kept: all of it: the five states and both ways between them. Left out:
//! `rcu_sync_enter_start`.
//! Locks: `gp_wait`'s.

use crate::WARN_ON_ONCE;
use crate::fence::shared::Shared;
use crate::include::linux::types::RcuHead;
use crate::include::linux::wait::WaitQueueHead;
use crate::intrusive_adapter;
use crate::kernel::rcu::tree::{call_rcu_hurry, synchronize_rcu};
use crate::kernel::sched::wait::{wait_event, wake_up_all_locked};

/// Readers go the fast way.
const GP_IDLE: u32 = 0;
/// A writer has come; readers may still be on the fast way.
const GP_ENTER: u32 = 1;
/// All readers know.
const GP_PASSED: u32 = 2;
/// The last writer has gone; readers may go the fast way again after a grace period.
const GP_EXIT: u32 = 3;
/// A writer came and went meanwhile: another grace period is needed.
const GP_REPLAY: u32 = 4;

/// The state.
#[doc(alias = "rcu_sync")]
#[repr(C)]
pub struct RcuSync {
    gp_state: Shared<u32>,
    gp_count: Shared<i32>,
    gp_wait: WaitQueueHead,
    cb_head: RcuHead,
}

intrusive_adapter!(
    /// States by their callback.
    RcuSyncOfHead = RcuSync { cb_head: RcuHead });

impl RcuSync {
    /// No writer (`rcu_sync_init`).
    pub const fn new() -> RcuSync {
        RcuSync {
            gp_state: Shared::new(GP_IDLE),
            gp_count: Shared::new(0),
            gp_wait: WaitQueueHead::new(),
            cb_head: RcuHead::new(),
        }
    }
}

/// Whether a reader may go the fast way. Between this and the end of it the reader is one of RCU's.
#[inline(always)]
pub fn rcu_sync_is_idle(rsp: &RcuSync) -> bool {
    rsp.gp_state.get() == GP_IDLE
}

fn rcu_sync_call(rsp: &'static RcuSync) {
    call_rcu_hurry(&rsp.cb_head, rcu_sync_func);
}

/// A grace period is over.
fn rcu_sync_func(rhp: &'static RcuHead) {
    rcu_sync_passed(RcuSyncOfHead::entry(rhp));
}

fn rcu_sync_passed(rsp: &'static RcuSync) {
    WARN_ON_ONCE!(rsp.gp_state.get() == GP_IDLE || rsp.gp_state.get() == GP_PASSED);
    let _guard = rsp.gp_wait.lock.lock_irqsave();
    if rsp.gp_count.get() != 0 {
        // Writers: at least one grace period after the first of them came.
        rsp.gp_state.set(GP_PASSED);
        wake_up_all_locked(&rsp.gp_wait);
    } else if rsp.gp_state.get() == GP_REPLAY {
        rsp.gp_state.set(GP_EXIT);
        rcu_sync_call(rsp);
    } else {
        rsp.gp_state.set(GP_IDLE);
    }
}

/// A writer comes: on return no reader is on the fast way, and none will enter it.
///
/// # Context
/// May sleep.
pub fn rcu_sync_enter(rsp: &'static RcuSync) {
    let gp_state = {
        let _guard = rsp.gp_wait.lock.lock_irq();
        let gp_state = rsp.gp_state.get();
        if gp_state == GP_IDLE {
            rsp.gp_state.set(GP_ENTER);
            WARN_ON_ONCE!(rsp.gp_count.get() != 0);
        }
        rsp.gp_count.inc();
        gp_state
    };
    if gp_state == GP_IDLE {
        // Not by callback: the wait may be a hurried one.
        synchronize_rcu();
        rcu_sync_passed(rsp);
        return;
    }
    wait_event(&rsp.gp_wait, || rsp.gp_state.get() >= GP_PASSED);
}

/// A writer goes: after a grace period readers may go the fast way again.
pub fn rcu_sync_exit(rsp: &'static RcuSync) {
    WARN_ON_ONCE!(rsp.gp_state.get() == GP_IDLE || rsp.gp_count.get() == 0);
    let _guard = rsp.gp_wait.lock.lock_irq();
    rsp.gp_count.dec();
    if rsp.gp_count.get() != 0 {
        return;
    }
    if rsp.gp_state.get() == GP_PASSED {
        rsp.gp_state.set(GP_EXIT);
        rcu_sync_call(rsp);
    } else if rsp.gp_state.get() == GP_EXIT {
        rsp.gp_state.set(GP_REPLAY);
    }
}
