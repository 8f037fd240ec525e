//! Waiting for works: for one, or for all that a queue had when the wait began.
//!
//! Linux: `kernel/workqueue.c` (v6.8): `__flush_workqueue`, `drain_workqueue`, `flush_work`.
//! Kept: the colours of works and flushers with their overflow list, barriers behind a work.
//! Left out: lockdep, the check of who may flush what (but for the reclaim rule). Differs: nothing else.
//! Locks: the queue's mutex, then a pool's lock.

use super::pool::Worker;
use super::queue::{current_wq_worker, insert_work};
use super::worker::find_worker_executing_work;
use super::{
    PoolWorkqueue, PwqLink, WorkqueueStruct, get_work_color, get_work_pool, get_work_pwq,
    work_color_to_flags, wq_online,
};
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::completion::Completion;
use crate::include::linux::list::{
    INIT_LIST_HEAD, ListHead, list_add_tail, list_del_init, list_empty, list_splice_tail_init,
};
use crate::include::linux::workqueue::{
    __WQ_DRAINING, WORK_NR_COLORS, WORK_STRUCT_INACTIVE, WORK_STRUCT_LINKED, WORK_STRUCT_PENDING,
    WQ_MEM_RECLAIM, WorkStruct,
};
use crate::kernel::kallsyms::sprint_symbol;
use crate::kernel::sched::completion::{complete, wait_for_completion};
use crate::kernel::workqueue::{__WQ_LEGACY, WorkFunc};
use crate::{WARN_ON, WARN_ON_ONCE, WARN_ONCE, intrusive_adapter, pr_warn, stack_pinned};
use core::sync::atomic::Ordering;

/// Somebody who waits for all works of a colour; on its stack.
#[doc(alias = "wq_flusher")]
#[repr(C)]
pub struct WqFlusher {
    list: ListHead,
    flush_color: Shared<i32>,
    done: Completion,
}

impl StackObject for WqFlusher {
    fn quiescent(&self) -> bool {
        list_empty(&self.list) && self.done.quiescent()
    }
}

intrusive_adapter!(FlusherLink = WqFlusher { list: ListHead });

/// A work that tells that the one before it is done; on the stack of who waits.
#[doc(alias = "wq_barrier")]
#[repr(C)]
pub(super) struct WqBarrier {
    work: WorkStruct,
    done: Completion,
}

impl StackObject for WqBarrier {
    fn quiescent(&self) -> bool {
        self.work.quiescent() && self.done.quiescent()
    }
}

intrusive_adapter!(BarrierOfWork = WqBarrier { work: WorkStruct });

fn wq_barrier_func(work: &'static WorkStruct) {
    complete(&BarrierOfWork::entry(work).done);
}

/// The colour after this one.
fn work_next_color(color: i32) -> i32 {
    (color + 1) % WORK_NR_COLORS as i32
}

/// Whoever is needed to reclaim memory must not wait for a queue without a rescuer.
fn check_flush_dependency(target_wq: &WorkqueueStruct, target_work: Option<&WorkStruct>) {
    if target_wq.flags.get() & WQ_MEM_RECLAIM != 0 {
        return;
    }
    let Some(worker) = current_wq_worker() else {
        return;
    };
    let Some(wq) = worker.current_pwq.get().map(PoolWorkqueue::wq) else {
        return;
    };
    let name = |func: Option<WorkFunc>| sprint_symbol(func.map_or(0, |func| func as usize as u64));
    WARN_ONCE!(
        wq.flags.get() & (WQ_MEM_RECLAIM | __WQ_LEGACY) == WQ_MEM_RECLAIM,
        "workqueue: WQ_MEM_RECLAIM {}:{} is flushing !WQ_MEM_RECLAIM {}:{}",
        wq.name(),
        name(worker.current_func.get()),
        target_wq.name(),
        name(target_work.map(|work| work.func.get()))
    );
}

/// Puts a barrier behind `target`: behind the worker that runs it, or behind it in its list. The pool's lock
/// is held.
fn insert_wq_barrier(
    pwq: &'static PoolWorkqueue,
    barr: &'static WqBarrier,
    target: &'static WorkStruct,
    worker: Option<&'static Worker>,
) {
    barr.work
        .data
        .fetch_or(WORK_STRUCT_PENDING, Ordering::Relaxed);
    // It does not count against the queue's limit.
    let mut flags = WORK_STRUCT_INACTIVE;
    let (head, color) = match worker {
        // Before whatever the worker runs next.
        Some(worker) => (
            worker.scheduled.next.get().unwrap_or(&worker.scheduled),
            worker.current_color.get(),
        ),
        None => {
            // Behind the target and what is linked to it already.
            let data = target.data.fetch_or(WORK_STRUCT_LINKED, Ordering::Relaxed);
            flags |= data & WORK_STRUCT_LINKED;
            (
                target.entry.next.get().unwrap_or(&target.entry),
                get_work_color(data),
            )
        }
    };
    pwq.nr_in_flight[color as usize].inc();
    insert_work(pwq, &barr.work, head, flags | work_color_to_flags(color));
}

/// Arms every share of the queue that still has works of `flush_color`, and gives new works `work_color`.
/// True if there is something to wait for. The queue's mutex is held.
fn flush_workqueue_prep_pwqs(
    wq: &'static WorkqueueStruct,
    flush_color: Option<i32>,
    work_color: Option<i32>,
) -> bool {
    let mut wait = false;
    if flush_color.is_some() {
        WARN_ON!(wq.nr_pwqs_to_flush.load(Ordering::Relaxed) != 0);
        // One for us: it must not reach zero before all are armed.
        wq.nr_pwqs_to_flush.store(1, Ordering::SeqCst);
    }
    for pwq in PwqLink::iter(&wq.pwqs) {
        let _guard = pwq.pool().lock.lock_irqsave();
        if let Some(color) = flush_color {
            WARN_ON!(pwq.flush_color.get() != -1);
            if pwq.nr_in_flight[color as usize].get() != 0 {
                pwq.flush_color.set(color);
                wq.nr_pwqs_to_flush.fetch_add(1, Ordering::SeqCst);
                wait = true;
            }
        }
        if let Some(color) = work_color {
            WARN_ON!(color != work_next_color(pwq.work_color.get()));
            pwq.work_color.set(color);
        }
    }
    if flush_color.is_some() {
        super::pwq_flushed(wq);
    }
    wait
}

impl WorkqueueStruct {
    /// Tells the first flusher that no share has works of its colour any more.
    pub(super) fn complete_first_flusher(&self) {
        if let Some(flusher) = self.first_flusher.get() {
            complete(&flusher.done);
        }
    }
}

/// Waits until all works that the queue has now have been run.
///
/// # Context
/// May sleep.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn flush_workqueue(wq: &'static WorkqueueStruct) {
    if WARN_ON!(!wq_online()) {
        return;
    }
    stack_pinned!(let this = WqFlusher {
        list: ListHead::new(),
        flush_color: Shared::new(-1),
        done: Completion::new(),
    });
    INIT_LIST_HEAD(&this.list);
    wq.mutex.lock();
    let next_color = work_next_color(wq.work_color.get());
    if next_color == wq.flush_color.get() {
        // All colours are in use: wait until one comes free.
        list_add_tail(&this.list, &wq.flusher_overflow);
    } else {
        WARN_ON_ONCE!(!list_empty(&wq.flusher_overflow));
        // The works so far have our colour; later ones get the next.
        this.flush_color.set(wq.work_color.get());
        wq.work_color.set(next_color);
        let ours = this.flush_color.get() == wq.flush_color.get();
        if wq.first_flusher.get().is_none() {
            WARN_ON_ONCE!(!ours);
            wq.first_flusher.set(Some(this));
            let color = Some(wq.flush_color.get());
            if !flush_workqueue_prep_pwqs(wq, color, Some(next_color)) {
                wq.flush_color.set(next_color);
                wq.first_flusher.set(None);
                wq.mutex.unlock();
                return;
            }
        } else {
            WARN_ON_ONCE!(ours);
            list_add_tail(&this.list, &wq.flusher_queue);
            flush_workqueue_prep_pwqs(wq, None, Some(next_color));
        }
    }
    check_flush_dependency(wq, None);
    wq.mutex.unlock();

    wait_for_completion(&this.done);

    // The first flusher wakes the others of its colour, and starts the next colour.
    let is_first = || {
        wq.first_flusher
            .get()
            .is_some_and(|first| core::ptr::eq(first, this))
    };
    if !is_first() {
        return;
    }
    wq.mutex.lock();
    if is_first() {
        wq.first_flusher.set(None);
        WARN_ON_ONCE!(!list_empty(&this.list));
        WARN_ON_ONCE!(this.flush_color.get() != wq.flush_color.get());
        cascade(wq);
    }
    wq.mutex.unlock();
}

/// The colour that was flushed is done: on to the next one that somebody waits for. The queue's mutex is held.
fn cascade(wq: &'static WorkqueueStruct) {
    loop {
        for next in FlusherLink::iter(&wq.flusher_queue) {
            if next.flush_color.get() != wq.flush_color.get() {
                break;
            }
            list_del_init(&next.list);
            complete(&next.done);
        }
        let full = wq.flush_color.get() == work_next_color(wq.work_color.get());
        WARN_ON_ONCE!(!list_empty(&wq.flusher_overflow) && !full);
        wq.flush_color.set(work_next_color(wq.flush_color.get()));
        // One colour is free again: all that wait for one share it.
        if !list_empty(&wq.flusher_overflow) {
            for waiting in FlusherLink::iter(&wq.flusher_overflow) {
                waiting.flush_color.set(wq.work_color.get());
            }
            wq.work_color.set(work_next_color(wq.work_color.get()));
            list_splice_tail_init(&wq.flusher_overflow, &wq.flusher_queue);
            flush_workqueue_prep_pwqs(wq, None, Some(wq.work_color.get()));
        }
        let Some(next) = FlusherLink::first(&wq.flusher_queue) else {
            WARN_ON_ONCE!(wq.flush_color.get() != wq.work_color.get());
            return;
        };
        WARN_ON_ONCE!(wq.flush_color.get() == wq.work_color.get());
        WARN_ON_ONCE!(next.flush_color.get() != wq.flush_color.get());
        // Its turn: it goes on from here when its colour is done.
        list_del_init(&next.list);
        wq.first_flusher.set(Some(next));
        if flush_workqueue_prep_pwqs(wq, Some(wq.flush_color.get()), None) {
            return;
        }
        // It is done already; prep told it so.
        wq.first_flusher.set(None);
    }
}

/// Waits until the queue is empty; meanwhile only its own works may queue more.
///
/// # Context
/// May sleep.
pub fn drain_workqueue(wq: &'static WorkqueueStruct) {
    wq.mutex.lock();
    if wq.nr_drainers.replace(wq.nr_drainers.get() + 1) == 0 {
        wq.flags.or(__WQ_DRAINING);
    }
    wq.mutex.unlock();
    let mut flush_cnt = 0u32;
    loop {
        flush_workqueue(wq);
        wq.mutex.lock();
        let drained = PwqLink::iter(&wq.pwqs).all(|pwq| {
            let _guard = pwq.pool().lock.lock_irqsave();
            pwq.nr_active.get() == 0 && list_empty(&pwq.inactive_works)
        });
        if drained {
            break;
        }
        wq.mutex.unlock();
        flush_cnt += 1;
        if flush_cnt == 10 || flush_cnt.is_multiple_of(100) && flush_cnt <= 1000 {
            pr_warn!(
                "workqueue {}: drain_workqueue() isn't complete after {flush_cnt} tries",
                wq.name()
            );
        }
    }
    wq.nr_drainers.dec();
    if wq.nr_drainers.get() == 0 {
        wq.flags.and_not(__WQ_DRAINING);
    }
    wq.mutex.unlock();
}

/// Puts a barrier behind the work, if it is queued or runs. True if so.
fn start_flush_work(work: &'static WorkStruct, barr: &'static WqBarrier) -> bool {
    let Some(pool) = get_work_pool(work) else {
        return false;
    };
    let _guard = pool.lock.lock_irqsave();
    let (pwq, worker) = match get_work_pwq(work) {
        Some(pwq) if !core::ptr::eq(pwq.pool(), pool) => return false,
        Some(pwq) => (pwq, None),
        None => match find_worker_executing_work(pool, work) {
            Some(worker) => match worker.current_pwq.get() {
                Some(pwq) => (pwq, Some(worker)),
                None => return false,
            },
            None => return false,
        },
    };
    check_flush_dependency(pwq.wq(), Some(work));
    insert_wq_barrier(pwq, barr, work, worker);
    true
}

pub(super) fn __flush_work(work: &'static WorkStruct) -> bool {
    if WARN_ON!(!wq_online()) {
        return false;
    }
    stack_pinned!(let barr = WqBarrier {
        work: WorkStruct::new(wq_barrier_func),
        done: Completion::new(),
    });
    INIT_LIST_HEAD(&barr.work.entry);
    if !start_flush_work(work, barr) {
        return false;
    }
    wait_for_completion(&barr.done);
    true
}

/// Waits until the work, as it was queued last, has been run.
///
/// # Context
/// May sleep.
/// # Returns
/// True if there was something to wait for.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn flush_work(work: &'static WorkStruct) -> bool {
    __flush_work(work)
}
