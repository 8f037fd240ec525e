//! Tracepoints of interprocessor interrupts being sent.
//!
//! Linux: include/trace/events/ipi.h, v6.8. **Kept** arguments and their order; callback 0 is a reschedule.

/// One CPU is interrupted.
#[inline(always)]
pub fn trace_ipi_send_cpu(cpu: u32, callsite: u64, callback: u64) {
    crate::tracepoint!("ipi:ipi_send_cpu", cpu, callsite, callback);
}

/// Several CPUs are interrupted; `mask` is the address of a `Cpumask`.
#[inline(always)]
pub fn trace_ipi_send_cpumask(mask: u64, callsite: u64, callback: u64) {
    crate::tracepoint!("ipi:ipi_send_cpumask", mask, callsite, callback);
}
