//! `ipi:*`, as `include/trace/events/ipi.h` of Linux v6.8.

use super::{Mask, events};
use crate::event::Addr;

events! {
    /// One interrupt is about to be sent to one CPU.
    IpiSendCpu = 8, "ipi:ipi_send_cpu" {
        /// The receiver.
        cpu: u32 = "cpu",
        /// Address in the function that asked for it.
        callsite: Addr = "callsite",
        /// The function to run there, 0 for a plain reschedule.
        callback: Addr = "callback",
    }
    /// One interrupt is about to be sent to several CPUs.
    IpiSendCpumask = 9, "ipi:ipi_send_cpumask" {
        /// The receivers.
        cpumask: Mask = "cpumask",
        /// Address in the function that asked for it.
        callsite: Addr = "callsite",
        /// The function to run there.
        callback: Addr = "callback",
    }
}
