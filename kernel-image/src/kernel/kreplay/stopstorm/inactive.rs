//! `stopstorm.inactive=1`: every CPU on its way up stops all that are active and itself, as the caches'
//! set-up does in Linux when a CPU comes late. It cannot sleep, has interrupts off, and is no stopper.

use super::fail;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::stack_pinned::StackObject;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, cpu_active_mask};
use crate::include::linux::irqflags::irqs_disabled;
use crate::include::linux::stop_machine::stop_machine_from_inactive_cpu;
use crate::kernel::params::param;
use crate::{pr_info, stack_pinned};
use core::sync::atomic::{AtomicU64, Ordering};

/// CPUs that the function has run on; on the stack of the CPU that comes.
struct Rendezvous {
    ran: AtomicU64,
}

impl StackObject for Rendezvous {
    fn quiescent(&self) -> bool {
        // The request has been answered.
        true
    }
}

extern "C" fn meet(data: VoidPtr) -> i32 {
    let cpu = raw_smp_processor_id();
    if !irqs_disabled() {
        fail(format_args!("cpu{cpu} meets with interrupts on"));
    }
    let before = data
        .get::<Rendezvous>()
        .ran
        .fetch_or(1 << cpu, Ordering::AcqRel);
    if before >> cpu & 1 != 0 {
        fail(format_args!("cpu{cpu} meets twice"));
    }
    0
}

/// A step of a CPU's way up, with interrupts off.
pub fn cpu_starting(cpu: u32) -> i32 {
    if param("stopstorm.inactive").and_then(|text| text.as_u64()) != Some(1) {
        return 0;
    }
    let wanted: Cpumask = cpu_active_mask().with(cpu);
    stack_pinned!(let rendezvous = Rendezvous { ran: AtomicU64::new(0) });
    let ret = stop_machine_from_inactive_cpu(meet, VoidPtr::new(rendezvous), Some(&wanted));
    let ran = rendezvous.ran.load(Ordering::Acquire);
    if ret != 0 || ran != wanted.as_u64() {
        fail(format_args!("cpu{cpu} met {ran:#x}, returned {ret}"));
    }
    pr_info!(
        "stopstorm: cpu{cpu} met {} CPUs before it was active",
        wanted.weight()
    );
    0
}
