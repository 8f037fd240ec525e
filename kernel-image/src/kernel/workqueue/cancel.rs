//! Taking works back. Linux: `kernel/workqueue.c` (v6.8): `try_to_grab_pending`, `cancel_work_sync` and
//! friends.
//!
//! Kept: grabbing a work wherever it waits, waiting for it to end, several that cancel at once.
//! Left out: nothing. Differs: those that wait for another one's cancelling are all woken and look again;
//! Linux wakes the one whose work it is.
//! Locks: the pool's lock; interrupts stay off between the grab and what follows.

use super::flush::__flush_work;
use super::worker::move_linked_works;
use super::{
    PoolWorkqueue, get_work_pool, get_work_pwq, pwq_dec_nr_in_flight,
    set_work_pool_and_keep_pending, wq_online,
};
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::include::linux::irqflags::{local_irq_restore, local_irq_save};
use crate::include::linux::jiffies::jiffies;
use crate::include::linux::list::{list_del_init, list_empty};
use crate::include::linux::sched::smp_mb;
use crate::include::linux::timer::del_timer;
use crate::include::linux::wait::WaitQueueHead;
use crate::include::linux::workqueue::{
    DelayedWork, WORK_OFFQ_CANCELING, WORK_OFFQ_POOL_SHIFT, WORK_STRUCT_INACTIVE,
    WORK_STRUCT_NO_POOL, WORK_STRUCT_PENDING, WORK_STRUCT_PWQ, WorkStruct, to_delayed_work,
};
use crate::include::trace::events::workqueue::trace_workqueue_activate_work;
use crate::kernel::sched::wait::{wait_event, wake_up_all};
use core::sync::atomic::Ordering;

/// Where those wait that find a work being cancelled by another.
static cancel_waitq: WaitQueueHead = WaitQueueHead::new();

/// A grab that did not work out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NotGrabbed {
    /// It is on the move: try again.
    Again,
    /// Somebody else cancels it.
    Canceling,
}

fn work_is_canceling(work: &WorkStruct) -> bool {
    let data = work.data.load(Ordering::SeqCst);
    data & WORK_STRUCT_PWQ == 0 && data & WORK_OFFQ_CANCELING != 0
}

/// Nobody else may queue or grab the work. It is pending, by us, and in no list.
fn mark_work_canceling(work: &'static WorkStruct) {
    let id = super::get_work_pool_id(work);
    work.data.store(
        id << WORK_OFFQ_POOL_SHIFT | WORK_OFFQ_CANCELING | WORK_STRUCT_PENDING,
        Ordering::SeqCst,
    );
}

/// The work may be queued again, and has been nowhere.
fn clear_work_data(work: &WorkStruct) {
    smp_mb();
    work.data.store(WORK_STRUCT_NO_POOL, Ordering::SeqCst);
}

/// The first work that waits for the queue's limit may run. The pool's lock is held.
pub(super) fn pwq_activate_inactive_work(pwq: &'static PoolWorkqueue, work: &'static WorkStruct) {
    let pool = pwq.pool();
    trace_workqueue_activate_work(work);
    if list_empty(&pool.worklist) {
        pool.watchdog_ts.set(jiffies());
    }
    move_linked_works(work, &pwq.inactive_works, &pool.worklist);
    work.data
        .fetch_and(!WORK_STRUCT_INACTIVE, Ordering::Relaxed);
    pwq.nr_active.inc();
}

/// Takes the work out of whatever it waits in and leaves it pending, owned by the caller.
///
/// # Context
/// Interrupts off, and they stay off as long as the caller owns it: others spin meanwhile.
/// # Returns
/// True if it was pending.
fn grab_once(
    work: &'static WorkStruct,
    dwork: Option<&'static DelayedWork>,
) -> Result<bool, NotGrabbed> {
    if dwork.is_some_and(|dwork| del_timer(&dwork.timer)) {
        return Ok(true);
    }
    if work.data.fetch_or(WORK_STRUCT_PENDING, Ordering::SeqCst) & WORK_STRUCT_PENDING == 0 {
        return Ok(false);
    }
    if let Some(pool) = get_work_pool(work) {
        let guard = pool.lock.lock_irqsave();
        // Only the pool's lock makes the answer last.
        if let Some(pwq) = get_work_pwq(work).filter(|pwq| core::ptr::eq(pwq.pool(), pool)) {
            // One that waits for the limit may have barriers behind it, which nobody would activate.
            if work.data.load(Ordering::Relaxed) & WORK_STRUCT_INACTIVE != 0 {
                pwq_activate_inactive_work(pwq, work);
            }
            list_del_init(&work.entry);
            let data = work.data.load(Ordering::Relaxed);
            pwq_dec_nr_in_flight(pwq, data);
            set_work_pool_and_keep_pending(work, pool.id.get());
            drop(guard);
            return Ok(true);
        }
    }
    Err(if work_is_canceling(work) {
        NotGrabbed::Canceling
    } else {
        NotGrabbed::Again
    })
}

/// The same; between a failure and the next try interrupts are as they were.
pub(super) fn try_to_grab_pending(
    work: &'static WorkStruct,
    is_dwork: bool,
) -> (Result<bool, NotGrabbed>, u64) {
    let dwork = is_dwork.then(|| to_delayed_work(work));
    let flags = local_irq_save();
    let grabbed = grab_once(work, dwork);
    if let Err(error) = grabbed {
        local_irq_restore(flags);
        if error == NotGrabbed::Again {
            cpu_relax();
        }
    }
    (grabbed, flags)
}

fn __cancel_work_timer(work: &'static WorkStruct, is_dwork: bool) -> bool {
    let (was_pending, flags) = loop {
        match try_to_grab_pending(work, is_dwork) {
            (Ok(was_pending), flags) => break (was_pending, flags),
            (Err(NotGrabbed::Again), _) => {}
            // Waiting beats spinning: the other one may be waiting for the work to end.
            (Err(NotGrabbed::Canceling), _) => {
                wait_event(&cancel_waitq, || !work_is_canceling(work))
            }
        }
    };
    mark_work_canceling(work);
    local_irq_restore(flags);
    // Early in the boot nothing can run, so nothing needs to be waited for.
    if wq_online() {
        __flush_work(work);
    }
    clear_work_data(work);
    smp_mb();
    if !list_empty(&cancel_waitq.head) {
        wake_up_all(&cancel_waitq);
    }
    was_pending
}

/// Takes a work back and waits for it to end if it runs. It may be queued by others all the while: after this
/// it is neither queued nor running, unless they do it again.
///
/// # Context
/// May sleep.
/// # Returns
/// True if it was waiting.
pub fn cancel_work_sync(work: &'static WorkStruct) -> bool {
    __cancel_work_timer(work, false)
}

/// The same for a delayed work and its timer.
pub fn cancel_delayed_work_sync(dwork: &'static DelayedWork) -> bool {
    __cancel_work_timer(&dwork.work, true)
}

fn __cancel_work(work: &'static WorkStruct, is_dwork: bool) -> bool {
    let (was_pending, flags) = loop {
        match try_to_grab_pending(work, is_dwork) {
            (Ok(was_pending), flags) => break (was_pending, flags),
            (Err(NotGrabbed::Again), _) => {}
            (Err(NotGrabbed::Canceling), _) => return false,
        }
    };
    let id = super::get_work_pool_id(work);
    super::set_work_pool_id_and_clear_pending(work, id);
    local_irq_restore(flags);
    was_pending
}

/// Takes a work back if it waits; one that runs goes on.
pub fn cancel_work(work: &'static WorkStruct) -> bool {
    __cancel_work(work, false)
}

/// The same for a delayed work and its timer.
pub fn cancel_delayed_work(dwork: &'static DelayedWork) -> bool {
    __cancel_work(&dwork.work, true)
}
