//! The scheduler's tracepoints. Linux: `include/trace/events/sched.h` (v6.8).
//!
//! Kept: the seven events the tracer records by default, sched_process_free and the statistics, with Linux's
//! arguments and places. Left out: PI and NUMA events. Differs: a tracepoint is one `nop` (see `linux/tracepoint.rs`).

use crate::include::linux::sched::TaskRef;
use crate::kernel::kthread::worker::{KthreadWork, KthreadWorkFunc, KthreadWorker};
use crate::tracepoint;

/// Under the runqueue's lock, just before the registers switch.
#[inline(always)]
pub fn trace_sched_switch(preempt: bool, prev: TaskRef, next: TaskRef, prev_state: u32) {
    tracepoint!("sched:sched_switch", preempt, prev, next, prev_state);
}

/// In the waker's context, once the state matched.
#[inline(always)]
pub fn trace_sched_waking(p: TaskRef) {
    tracepoint!("sched:sched_waking", p);
}

/// The task's state has just become running.
#[inline(always)]
pub fn trace_sched_wakeup(p: TaskRef) {
    tracepoint!("sched:sched_wakeup", p);
}

/// A new task has been activated for the first time.
#[inline(always)]
pub fn trace_sched_wakeup_new(p: TaskRef) {
    tracepoint!("sched:sched_wakeup_new", p);
}

/// The task is about to change CPU; it still belongs to the old one.
#[inline(always)]
pub fn trace_sched_migrate_task(p: TaskRef, new_cpu: u32) {
    tracepoint!("sched:sched_migrate_task", p, new_cpu);
}

/// A task has been copied.
#[inline(always)]
pub fn trace_sched_process_fork(parent: TaskRef, child: TaskRef) {
    tracepoint!("sched:sched_process_fork", parent, child);
}

/// A task ends.
#[inline(always)]
pub fn trace_sched_process_exit(p: TaskRef) {
    tracepoint!("sched:sched_process_exit", p);
}

/// Somebody asks a kernel thread to end.
#[inline(always)]
pub fn trace_sched_kthread_stop(t: TaskRef) {
    tracepoint!("sched:sched_kthread_stop", t);
}

/// It has ended.
#[inline(always)]
pub fn trace_sched_kthread_stop_ret(ret: i32) {
    tracepoint!("sched:sched_kthread_stop_ret", ret);
}

/// A work is queued on a kthread worker.
#[inline(always)]
pub fn trace_sched_kthread_work_queue_work(worker: &KthreadWorker, work: &KthreadWork) {
    tracepoint!("sched:sched_kthread_work_queue_work", worker, work);
}

/// A kthread worker is about to call the work's function.
#[inline(always)]
pub fn trace_sched_kthread_work_execute_start(work: &KthreadWork) {
    tracepoint!("sched:sched_kthread_work_execute_start", work);
}

/// The function has returned; the work may be gone.
#[inline(always)]
pub fn trace_sched_kthread_work_execute_end(work: &KthreadWork, function: KthreadWorkFunc) {
    tracepoint!(
        "sched:sched_kthread_work_execute_end",
        work,
        function as usize
    );
}

/// Its last user is gone: a grace period after its end.
#[inline(always)]
pub fn trace_sched_process_free(p: TaskRef) {
    tracepoint!("sched:sched_process_free", p);
}

/// An idle CPU that polls is to look at its flags: it needs no interrupt.
#[inline(always)]
pub fn trace_sched_wake_idle_without_ipi(cpu: u32) {
    tracepoint!("sched:sched_wake_idle_without_ipi", cpu);
}

/// Somebody waits until a task is off its CPU, and looks.
#[inline(always)]
pub fn trace_sched_wait_task(p: TaskRef) {
    tracepoint!("sched:sched_wait_task", p);
}

/// A task has waited for a CPU.
#[inline(always)]
pub fn trace_sched_stat_wait(p: TaskRef, delay: u64) {
    tracepoint!("sched:sched_stat_wait", p, delay);
}

/// A task has slept interruptibly.
#[inline(always)]
pub fn trace_sched_stat_sleep(p: TaskRef, delay: u64) {
    tracepoint!("sched:sched_stat_sleep", p, delay);
}

/// A task has slept for I/O.
#[inline(always)]
pub fn trace_sched_stat_iowait(p: TaskRef, delay: u64) {
    tracepoint!("sched:sched_stat_iowait", p, delay);
}

/// A task has slept uninterruptibly.
#[inline(always)]
pub fn trace_sched_stat_blocked(p: TaskRef, delay: u64) {
    tracepoint!("sched:sched_stat_blocked", p, delay);
}

/// A task has been charged for run time.
#[inline(always)]
pub fn trace_sched_stat_runtime(p: TaskRef, runtime: u64) {
    tracepoint!("sched:sched_stat_runtime", p, runtime);
}
