//! `pcpu_hot`: the few words every CPU needs at once, found at its GS base.
//!
//! Linux: arch/x86/include/asm/current.h, v6.8. **Kept** the field names and their order, one cache line.
//! **Differs** the GS base points at the CPU's element of a plain array.
#![expect(unsafe_code, reason = "gs-relative loads and stores; symbol pcpu_hot")]

use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::sched::TaskStruct;
use core::arch::asm;
use core::mem::offset_of;

/// One CPU's hot words. GS base is the address of this CPU's element.
#[doc(alias = "pcpu_hot")]
#[repr(C, align(64))]
pub struct PcpuHot {
    /// The task that runs here; written by `__switch_to` alone.
    pub current_task: Shared<Option<&'static TaskStruct>>,
    /// Preemption, softirq and hardirq depth; bit 31 is the inverted need-resched.
    pub preempt_count: Shared<u32>,
    /// This CPU's number.
    pub cpu_number: Shared<u32>,
    /// Call depth tracking of Linux's mitigations; unused.
    pub call_depth: Shared<u64>,
    /// Top of the current task's stack.
    pub top_of_stack: Shared<u64>,
    /// Linux's hard interrupt stack; interrupts run on the task's stack here.
    pub hardirq_stack_ptr: Shared<u64>,
    /// Pending softirqs, one bit a vector.
    pub softirq_pending: Shared<u16>,
}

impl PcpuHot {
    const fn new() -> Self {
        Self {
            current_task: Shared::new(None),
            preempt_count: Shared::new(crate::include::linux::preempt::INIT_PREEMPT_COUNT),
            cpu_number: Shared::new(0),
            call_depth: Shared::new(0),
            top_of_stack: Shared::new(0),
            hardirq_stack_ptr: Shared::new(0),
            softirq_pending: Shared::new(0),
        }
    }
}

/// The hot words of every CPU.
#[unsafe(no_mangle)]
pub static pcpu_hot: PerCpu<PcpuHot> = PerCpu::new([const { PcpuHot::new() }; NR_CPUS]);

/// The task that runs on this CPU.
#[inline(always)]
pub fn current() -> &'static TaskStruct {
    let task: *const TaskStruct;
    // SAFETY: GS points at this CPU's `pcpu_hot` from the first instruction of Rust code on. The word
    // changes only when this very thread is switched out, so the load may not be called stale.
    unsafe {
        asm!("mov {}, gs:[{off}]", out(reg) task, off = const offset_of!(PcpuHot, current_task),
            options(nostack, preserves_flags, readonly));
    }
    // SAFETY: never null after `smp_prepare_boot_cpu`/`idle_init`; tasks live in slots that are never freed.
    unsafe { &*task }
}
