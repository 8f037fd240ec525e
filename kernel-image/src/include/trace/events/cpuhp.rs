//! The tracepoints of CPUs coming and going. Linux: `include/trace/events/cpuhp.h` (v6.8).
//!
//! Kept: enter and exit of a step, with Linux's arguments and places. Left out: `cpuhp_multi_enter`
//! (no states with instances).

use crate::tracepoint;

/// Before a step: the CPU, where it goes, the step, its function.
#[inline(always)]
pub fn trace_cpuhp_enter(cpu: u32, target: i32, idx: i32, fun: fn(u32) -> i32) {
    tracepoint!("cpuhp:cpuhp_enter", cpu, target, idx, fun as *const ());
}

/// After it: the CPU, the state it is in, the step, the result.
#[inline(always)]
pub fn trace_cpuhp_exit(cpu: u32, state: i32, idx: i32, ret: i32) {
    tracepoint!("cpuhp:cpuhp_exit", cpu, state, idx, ret);
}
