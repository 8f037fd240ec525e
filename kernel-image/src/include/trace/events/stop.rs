//! Tracepoints of the stopper. Ours: Linux v6.8 has none in `kernel/stop_machine.c`.
//!
//! They give the boundaries of a `cpu_stop_work`'s life: queued, started, done, waiter released; and the
//! states of a `stop_machine` on each of its CPUs.

use crate::fence::void::VoidPtr;
use crate::include::linux::sched::TaskRef;
use crate::include::linux::stop_machine::{CpuStopDone, CpuStopFn, CpuStopWork};
use crate::kernel::sched::core::affinity::SetAffinityPending;
use crate::kernel::stop_machine::MultiStopData;
use crate::tracepoint;

/// A work has been added to a CPU's list, under the stopper's lock; all its fields are filled.
#[inline(always)]
pub fn trace_stop_work_queue(cpu: u32, work: &'static CpuStopWork) {
    tracepoint!("stop:work_queue", cpu, work);
}

/// The stopper is about to call the work's function; `work` may be reused from now on.
#[inline(always)]
pub fn trace_stop_work_start(
    cpu: u32,
    work: &'static CpuStopWork,
    r#fn: CpuStopFn,
    arg: VoidPtr,
    done: Option<&'static CpuStopDone>,
    caller: u64,
) {
    tracepoint!(
        "stop:work_start",
        cpu,
        work,
        r#fn as usize,
        arg.addr(),
        done,
        caller
    );
}

/// The function has returned and `nr_todo` has been counted down (-1: nobody waits).
#[inline(always)]
pub fn trace_stop_work_done(
    cpu: u32,
    work: &'static CpuStopWork,
    r#fn: CpuStopFn,
    done: Option<&'static CpuStopDone>,
    ret: i32,
    nr_todo: i32,
) {
    tracepoint!(
        "stop:work_done",
        cpu,
        work,
        r#fn as usize,
        done,
        ret,
        nr_todo
    );
}

/// The waiter of a request is about to be released.
#[inline(always)]
pub fn trace_stop_complete_done(done: &'static CpuStopDone) {
    tracepoint!("stop:complete", done, 0u64, 0u64);
}

/// The waiters of an affinity change are about to be released.
#[inline(always)]
pub fn trace_stop_complete_pending(pending: &'static SetAffinityPending, task: TaskRef) {
    tracepoint!("stop:complete", 0u64, pending, task);
}

/// Where in a state of `multi_cpu_stop` a participant is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum MachineStep {
    /// It has seen the state.
    Enter = 0,
    /// It has done the state's part, and acknowledges.
    Ack = 1,
}

/// A participant of a `stop_machine` has seen a state, or has done its part of it. Bit 0 of the fourth
/// word is the step, bit 1 says whether this CPU runs the function. The acknowledgement of the last
/// state comes once interrupts are as they were.
#[inline(always)]
pub fn trace_stop_machine_state(
    msdata: &'static MultiStopData,
    cpu: u32,
    state: u32,
    step: MachineStep,
    polls: u64,
    r#fn: CpuStopFn,
    active: bool,
) {
    let flags = step as u32 | u32::from(active) << 1;
    tracepoint!(
        "stop:machine_state",
        msdata,
        cpu,
        state,
        flags,
        polls,
        r#fn as usize
    );
}
