//! Tracepoints of softirqs and tasklets. Linux: `include/trace/events/irq.h` (v6.8).

use crate::kernel::softirq::tasklet::{TaskletFunc, TaskletStruct};
use crate::tracepoint;

/// A softirq's function is about to run.
#[inline(always)]
pub fn trace_softirq_entry(vec: u32) {
    tracepoint!("irq:softirq_entry", vec);
}

/// It has run.
#[inline(always)]
pub fn trace_softirq_exit(vec: u32) {
    tracepoint!("irq:softirq_exit", vec);
}

/// A softirq becomes pending.
#[inline(always)]
pub fn trace_softirq_raise(vec: u32) {
    tracepoint!("irq:softirq_raise", vec);
}

/// A tasklet is about to run.
#[inline(always)]
pub fn trace_tasklet_entry(t: &TaskletStruct, func: TaskletFunc) {
    tracepoint!("irq:tasklet_entry", t, func as usize);
}

/// It has run.
#[inline(always)]
pub fn trace_tasklet_exit(t: &TaskletStruct, func: TaskletFunc) {
    tracepoint!("irq:tasklet_exit", t, func as usize);
}
