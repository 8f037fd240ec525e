//! What the stoppers run for `stopstorm`, and what each work checks of the promises it is given: its CPU's
//! stopper runs it, alone, with preemption off; with interrupts off and the others held if it is in lock
//! step, with interrupts on otherwise; once on each CPU.

use super::{SIZES, fail};
use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{Cpumask, NR_CPUS, cpu_online_mask};
use crate::include::linux::irqflags::irqs_disabled;
use crate::include::linux::preempt::preempt_count;
use crate::include::linux::sched::same_task;
use crate::include::linux::stop_machine::{CpuStopWork, stop_one_cpu_nowait};
use crate::kernel::kreplay::common::compute;
use crate::kernel::kreplay::counters::count;
use crate::kernel::sched::sched::this_rq;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What has run.
pub struct Ran {
    /// Functions.
    pub functions: AtomicU64,
}

pub static RAN: Ran = Ran {
    functions: AtomicU64::new(0),
};

/// The work that runs on a CPU: its order's address, 0 for none.
static INSIDE: PerCpu<AtomicU64> = PerCpu::new([const { AtomicU64::new(0) }; NR_CPUS]);

/// How the CPUs of a request run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Each when its stopper gets to it.
    Free,
    /// In lock step with another CPU.
    Two,
    /// In lock step with all CPUs.
    All,
}

/// What a work has to do; on the requester's stack, who waits for it.
pub struct Order {
    pub step: Step,
    /// Returned on this CPU.
    pub error: i32,
    pub error_cpu: u32,
    /// CPUs it has run on.
    pub ran: AtomicU64,
    /// For works that queue works.
    pub nested: Option<[(u32, &'static Buffer); 2]>,
}

impl Order {
    pub const fn new(step: Step) -> Order {
        Order {
            step,
            error: 0,
            error_cpu: 0,
            ran: AtomicU64::new(0),
            nested: None,
        }
    }

    pub fn has_run_on(&self) -> Cpumask {
        Cpumask::from_bits(self.ran.load(Ordering::Acquire))
    }
}

impl StackObject for Order {
    fn quiescent(&self) -> bool {
        // The request has been answered, so no stopper looks at it any more.
        true
    }
}

/// A work that nobody waits for.
pub struct Buffer {
    /// Set by its owner, cleared by the function as soon as it runs.
    pub busy: AtomicBool,
    pub work: CpuStopWork,
    /// The CPU it was queued on.
    pub cpu: Shared<u32>,
}

impl Buffer {
    const fn new() -> Buffer {
        Buffer {
            busy: AtomicBool::new(false),
            work: CpuStopWork::new(),
            cpu: Shared::new(0),
        }
    }
}

/// Works of a stormer that nobody waits for: one it queues itself, two that a work of its queues.
pub type Buffers = [Buffer; 3];

static BUFFERS: [Buffers; NR_CPUS] =
    [const { [Buffer::new(), Buffer::new(), Buffer::new()] }; NR_CPUS];

/// A stormer's buffers.
pub fn buffers(stormer: u64) -> &'static Buffers {
    &BUFFERS[stormer as usize]
}

/// Whether no such work is outstanding.
pub fn all_free() -> bool {
    BUFFERS
        .iter()
        .flatten()
        .all(|buffer| !buffer.busy.load(Ordering::Acquire))
}

/// Checks what every work may rely on, does its work, and checks again.
fn body(id: u64, step: Step) -> u32 {
    let cpu = raw_smp_processor_id();
    let inside = INSIDE.per_cpu(cpu);
    if inside.swap(id, Ordering::AcqRel) != 0 {
        fail(format_args!("two works at once on cpu{cpu}"));
    }
    for _ in 0..2 {
        check(cpu, id, step);
        compute(SIZES.turns.get() as u32 / 2, id);
    }
    inside.store(0, Ordering::Release);
    count(&RAN.functions);
    cpu
}

fn check(cpu: u32, id: u64, step: Step) {
    let rq = this_rq();
    let is_stopper = rq.stop.get().is_some_and(|stop| same_task(stop, current()));
    if !is_stopper || raw_smp_processor_id() != cpu {
        fail(format_args!("a work of cpu{cpu} runs as {:?}", current()));
    }
    if preempt_count() == 0 {
        fail(format_args!("a work runs with preemption on"));
    }
    if irqs_disabled() != (step != Step::Free) {
        fail(format_args!("a work runs with interrupts the wrong way"));
    }
    if step == Step::All {
        for other in cpu_online_mask().without(cpu).iter() {
            let there = INSIDE.per_cpu(other).load(Ordering::Acquire);
            if there != 0 && there != id {
                fail(format_args!(
                    "cpu{other} runs a work while all are stopped for cpu{cpu}"
                ));
            }
        }
    }
}

/// The function of every request that is waited for.
pub extern "C" fn ordered(data: VoidPtr) -> i32 {
    let order = data.get::<Order>();
    let cpu = body(data.addr(), order.step);
    if let Some(nested) = order.nested {
        for (to, buffer) in nested {
            queue(to, buffer);
        }
    }
    if order.ran.fetch_or(1 << cpu, Ordering::AcqRel) >> cpu & 1 != 0 {
        fail(format_args!("a work ran twice on cpu{cpu}"));
    }
    if order.error != 0 && order.error_cpu == cpu {
        order.error
    } else {
        0
    }
}

/// Queues a buffer's work; it is free.
pub fn queue(cpu: u32, buffer: &'static Buffer) {
    buffer.cpu.set(cpu);
    if buffer.busy.swap(true, Ordering::AcqRel) {
        fail(format_args!("a work is queued while it is queued"));
    }
    if !stop_one_cpu_nowait(cpu, unordered, VoidPtr::new(buffer), &buffer.work) {
        fail(format_args!("cpu{cpu} takes no work"));
    }
}

/// The function of works that nobody waits for.
extern "C" fn unordered(data: VoidPtr) -> i32 {
    let buffer = data.get::<Buffer>();
    let wanted = buffer.cpu.get();
    let id = data.addr();
    // From here on the owner may queue it again, while this call is still running.
    buffer.busy.store(false, Ordering::Release);
    let cpu = body(id, Step::Free);
    if cpu != wanted {
        fail(format_args!("a work of cpu{wanted} ran on cpu{cpu}"));
    }
    0
}
