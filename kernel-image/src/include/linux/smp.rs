//! Calls from one CPU to another.
//!
//! Linux: include/linux/smp.h, smp_types.h, v6.8. **Kept** the type bits, the node shared with try_to_wake_up.
pub use crate::arch::x86::include::asm::smp::raw_smp_processor_id as smp_processor_id;
pub use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
pub use crate::arch::x86::kernel::smp::smp_send_reschedule;
use crate::fence::shared::Shared;
pub use crate::include::linux::smp_types::*;
pub use crate::kernel::smp::{
    __smp_call_single_queue, flush_smp_call_function_queue, kick_all_cpus_sync,
    on_each_cpu_cond_mask, smp_call_function, smp_call_function_any, smp_call_function_many,
    smp_call_function_single, smp_call_function_single_async, smp_call_on_cpu,
    wake_up_all_idle_cpus,
};

/// A function to run on another CPU, with interrupts off; the argument is a word of the caller's choosing.
pub type SmpCallFunc = fn(u64);

/// A call in flight.
#[doc(alias = "call_single_data_t")]
#[repr(C)]
pub struct CallSingleData {
    /// Queue entry; first, so that the node's address is the csd's.
    pub node: CallSingleNode,
    /// What to run.
    pub func: Shared<Option<SmpCallFunc>>,
    /// Its argument.
    pub info: Shared<u64>,
}

impl CallSingleData {
    /// An unlocked csd.
    pub const fn new() -> Self {
        Self {
            node: CallSingleNode::new(0),
            func: Shared::new(None),
            info: Shared::new(0),
        }
    }
    /// An unlocked csd that calls `func(info)`.
    pub const fn with(func: SmpCallFunc, info: u64) -> Self {
        Self {
            node: CallSingleNode::new(0),
            func: Shared::new(Some(func)),
            info: Shared::new(info),
        }
    }
}

/// Runs `func` on every CPU of `mask` that is online, this one included, and waits for all.
pub fn on_each_cpu_mask(mask: super::cpumask::Cpumask, func: SmpCallFunc, info: u64) {
    on_each_cpu_cond_mask(|_| true, func, info, true, mask);
}

/// Runs `func` on every online CPU and waits for all.
pub fn on_each_cpu(func: SmpCallFunc, info: u64) {
    on_each_cpu_mask(super::cpumask::cpu_online_mask(), func, info);
}

/// Pins the caller to its CPU and returns its number (`get_cpu`).
pub fn get_cpu() -> u32 {
    super::preempt::preempt_disable();
    smp_processor_id()
}

/// Ends [`get_cpu`].
pub fn put_cpu() {
    super::preempt::preempt_enable();
}
