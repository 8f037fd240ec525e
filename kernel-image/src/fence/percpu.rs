//! `PerCpu<T>`: one `T` for every possible CPU, indexed by CPU number.
//!
//! Linux places per-CPU variables in a section that is copied for each CPU and reaches them through GS.
//! Here only `pcpu_hot` is reached through GS; every other per-CPU variable is a plain array, so that a
//! debugger (and the tracer) reads `runqueues[2]` without arithmetic.
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::include::linux::cpumask::NR_CPUS;

/// One `T` a CPU.
#[repr(transparent)]
pub struct PerCpu<T: 'static>([T; NR_CPUS]);

impl<T: 'static> PerCpu<T> {
    /// Wraps the array; use `[const { T::new() }; NR_CPUS]`.
    pub const fn new(each: [T; NR_CPUS]) -> Self {
        Self(each)
    }

    /// The instance of `cpu` (`per_cpu(var, cpu)`).
    ///
    /// # Context
    /// Any. Panics when `cpu` is not below `NR_CPUS`.
    #[inline(always)]
    pub fn per_cpu(&self, cpu: u32) -> &T {
        &self.0[cpu as usize]
    }

    /// The instance of the CPU that runs this (`this_cpu_ptr(var)`).
    ///
    /// # Context
    /// Preemption or interrupts off, or a thread bound to one CPU; otherwise the answer may be stale.
    #[inline(always)]
    pub fn this_cpu(&self) -> &T {
        self.per_cpu(raw_smp_processor_id())
    }
}
