//! Tracepoints of tasklets. Linux: `include/trace/events/irq.h` (v6.8).

use crate::kernel::softirq::tasklet::{TaskletFunc, TaskletStruct};
use crate::tracepoint;

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
