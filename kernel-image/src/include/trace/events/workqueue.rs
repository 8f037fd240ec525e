//! Tracepoints of workqueues. Linux: `include/trace/events/workqueue.h` (v6.8).

use crate::include::linux::workqueue::{WorkFunc, WorkStruct};
use crate::kernel::workqueue::PoolWorkqueue;
use crate::tracepoint;

/// A work is put on a queue; `req_cpu` is what the caller asked for.
#[inline(always)]
pub fn trace_workqueue_queue_work(req_cpu: u32, pwq: &'static PoolWorkqueue, work: &WorkStruct) {
    tracepoint!("workqueue:workqueue_queue_work", req_cpu, pwq, work);
}

/// A work may be run now: its queue is below its limit.
#[inline(always)]
pub fn trace_workqueue_activate_work(work: &WorkStruct) {
    tracepoint!("workqueue:workqueue_activate_work", work);
}

/// A worker is about to call the work's function.
#[inline(always)]
pub fn trace_workqueue_execute_start(work: &WorkStruct) {
    tracepoint!("workqueue:workqueue_execute_start", work);
}

/// The function has returned; the work may be gone.
#[inline(always)]
pub fn trace_workqueue_execute_end(work: &WorkStruct, function: WorkFunc) {
    tracepoint!("workqueue:workqueue_execute_end", work, function as usize);
}
