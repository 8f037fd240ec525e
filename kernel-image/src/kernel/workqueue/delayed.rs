//! Works that are queued after a while. Linux: `kernel/workqueue.c` (v6.8): `queue_delayed_work_on`,
//! `mod_delayed_work_on`, `flush_delayed_work`.
//!
//! Kept: the timer that queues, no timer for no delay, changing the delay. Left out: `rcu_work`.
//! Locks: interrupts off; the timer base's lock, or the pool's.

use super::cancel::{NotGrabbed, try_to_grab_pending};
use super::flush::flush_work;
use super::queue::__queue_work;
use super::{WorkqueueStruct, system_wq};
use crate::WARN_ON_ONCE;
use crate::include::linux::irqflags::{
    local_irq_disable, local_irq_enable, local_irq_restore, local_irq_save,
};
use crate::include::linux::jiffies::jiffies;
use crate::include::linux::list::list_empty;
use crate::include::linux::timer::{
    TIMER_IRQSAFE, TimerList, add_timer, add_timer_on, del_timer_sync, timer_pending, timer_setup,
};
use crate::include::linux::workqueue::{
    DelayedOfTimer, DelayedWork, WORK_CPU_UNBOUND, WORK_STRUCT_PENDING,
};
use core::sync::atomic::Ordering;

/// The time has come.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn delayed_work_timer_fn(timer: &'static TimerList) {
    let dwork = DelayedOfTimer::entry(timer);
    let flags = local_irq_save();
    if let Some(wq) = dwork.wq.get() {
        __queue_work(dwork.cpu.get(), wq, &dwork.work);
    }
    local_irq_restore(flags);
}

fn timer_fn(timer: &'static TimerList) {
    delayed_work_timer_fn(timer);
}

/// The work is pending and ours; interrupts are off.
fn __queue_delayed_work(
    cpu: u32,
    wq: &'static WorkqueueStruct,
    dwork: &'static DelayedWork,
    delay: u64,
) {
    let timer = &dwork.timer;
    WARN_ON_ONCE!(timer_pending(timer));
    WARN_ON_ONCE!(!list_empty(&dwork.work.entry));
    if delay == 0 {
        __queue_work(cpu, wq, &dwork.work);
        return;
    }
    if timer.function.get().is_none() {
        timer_setup(timer, timer_fn, TIMER_IRQSAFE);
    }
    dwork.wq.set(Some(wq));
    dwork.cpu.set(cpu);
    timer.expires.set(jiffies() + delay);
    if cpu == WORK_CPU_UNBOUND {
        add_timer(timer);
    } else {
        add_timer_on(timer, cpu);
    }
}

/// Queues a work on a CPU after `delay` jiffies.
///
/// # Context
/// Any.
/// # Returns
/// False if it waited already.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn queue_delayed_work_on(
    cpu: u32,
    wq: &'static WorkqueueStruct,
    dwork: &'static DelayedWork,
    delay: u64,
) -> bool {
    let flags = local_irq_save();
    let data = &dwork.work.data;
    let fresh = data.fetch_or(WORK_STRUCT_PENDING, Ordering::SeqCst) & WORK_STRUCT_PENDING == 0;
    if fresh {
        __queue_delayed_work(cpu, wq, dwork, delay);
    }
    local_irq_restore(flags);
    fresh
}

/// Queues a work after `delay` jiffies.
pub fn queue_delayed_work(
    wq: &'static WorkqueueStruct,
    dwork: &'static DelayedWork,
    delay: u64,
) -> bool {
    queue_delayed_work_on(WORK_CPU_UNBOUND, wq, dwork, delay)
}

/// Queues an ordinary work on a CPU after `delay` jiffies.
pub fn schedule_delayed_work_on(cpu: u32, dwork: &'static DelayedWork, delay: u64) -> bool {
    queue_delayed_work_on(cpu, &system_wq, dwork, delay)
}

/// Queues an ordinary work after `delay` jiffies.
pub fn schedule_delayed_work(dwork: &'static DelayedWork, delay: u64) -> bool {
    queue_delayed_work(&system_wq, dwork, delay)
}

/// Queues a work on a CPU `delay` jiffies from now, whether it waits already or not.
///
/// # Context
/// Any.
/// # Returns
/// True if it waited already.
pub fn mod_delayed_work_on(
    cpu: u32,
    wq: &'static WorkqueueStruct,
    dwork: &'static DelayedWork,
    delay: u64,
) -> bool {
    loop {
        match try_to_grab_pending(&dwork.work, true) {
            (Ok(was_pending), flags) => {
                __queue_delayed_work(cpu, wq, dwork, delay);
                local_irq_restore(flags);
                return was_pending;
            }
            (Err(NotGrabbed::Again), _) => {}
            // Who cancels it wins.
            (Err(NotGrabbed::Canceling), _) => return true,
        }
    }
}

/// Queues a work `delay` jiffies from now, whether it waits already or not.
pub fn mod_delayed_work(
    wq: &'static WorkqueueStruct,
    dwork: &'static DelayedWork,
    delay: u64,
) -> bool {
    mod_delayed_work_on(WORK_CPU_UNBOUND, wq, dwork, delay)
}

/// Queues a work at once if it waits for its timer, and waits for it to end.
///
/// # Context
/// May sleep.
pub fn flush_delayed_work(dwork: &'static DelayedWork) -> bool {
    local_irq_disable();
    if del_timer_sync(&dwork.timer)
        && let Some(wq) = dwork.wq.get()
    {
        __queue_work(dwork.cpu.get(), wq, &dwork.work);
    }
    local_irq_enable();
    flush_work(&dwork.work)
}
