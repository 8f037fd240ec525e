//! Tracepoints of idling. Linux: `include/trace/events/power.h` (v6.8).

use crate::tracepoint;

/// The state of a CPU that idles no more (`PWR_EVENT_EXIT`).
pub const PWR_EVENT_EXIT: u32 = u32::MAX;

/// A CPU goes into an idle state, or leaves it.
#[inline(always)]
pub fn trace_cpu_idle(state: u32, cpu_id: u32) {
    tracepoint!("power:cpu_idle", state, cpu_id);
}
