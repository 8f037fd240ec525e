//! Work for the next interrupt: an interrupt to oneself, or a call to another CPU.
//!
//! Linux: `kernel/irq_work.c` (v6.8). Kept: claiming, the raised and the lazy list of each CPU, works for other
//! CPUs through the call queue, waiting for the end. Left out: PREEMPT_RT's threads. Differs: nothing.
//! Locks: none: lock-free lists; who sets `IRQ_WORK_PENDING` owns the work until it runs.

use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::arch::x86::kernel::smp::arch_irq_work_raise;
use crate::fence::caller::return_address;
use crate::fence::percpu::PerCpu;
use crate::include::linux::cpumask::{NR_CPUS, cpu_online};
use crate::include::linux::irq_work::{
    IRQ_WORK_BUSY, IRQ_WORK_CLAIMED, IRQ_WORK_PENDING, IrqWork, IrqWorkFn,
};
use crate::include::linux::irqflags::irqs_disabled;
use crate::include::linux::llist::{LlistHead, LlistNode, llist_add, llist_del_all, llist_empty};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::sched::smp_mb;
use crate::include::linux::smp::{__smp_call_single_queue, smp_processor_id};
use crate::include::trace::events::ipi::trace_ipi_send_cpu;
use crate::kernel::time::tick_sched::tick_nohz_tick_stopped;
use crate::{BUG_ON, WARN_ON_ONCE, container_of};
use core::sync::atomic::Ordering;

static raised_list: PerCpu<LlistHead> = PerCpu::new([const { LlistHead::new() }; NR_CPUS]);
static lazy_list: PerCpu<LlistHead> = PerCpu::new([const { LlistHead::new() }; NR_CPUS]);

/// Takes the work for this caller; false if it is queued already and will run.
fn irq_work_claim(work: &IrqWork) -> bool {
    let old = work
        .node
        .u_flags
        .fetch_or(IRQ_WORK_CLAIMED, Ordering::SeqCst);
    old & IRQ_WORK_PENDING == 0
}

fn irq_work_raise(func: Option<IrqWorkFn>, callsite: u64) {
    let func = func.map_or(0, |func| func as *const () as u64);
    trace_ipi_send_cpu(smp_processor_id(), callsite, func);
    arch_irq_work_raise();
}

/// Queues a claimed work here. Preemption is off.
fn __irq_work_queue_local(work: &'static IrqWork, callsite: u64) {
    let lazy = work.is_lazy();
    let list = if lazy {
        lazy_list.this_cpu()
    } else {
        raised_list.this_cpu()
    };
    if llist_add(&work.node.llist, list) && (!lazy || tick_nohz_tick_stopped()) {
        irq_work_raise(work.func.get(), callsite);
    }
}

/// Runs a work on this CPU soon; false if it is queued already.
///
/// # Context
/// Any.
#[inline(never)]
pub fn irq_work_queue(work: &'static IrqWork) -> bool {
    if !irq_work_claim(work) {
        return false;
    }
    preempt_disable();
    __irq_work_queue_local(work, return_address());
    preempt_enable();
    true
}

/// Runs a work on a CPU soon; false if it is queued already.
///
/// # Context
/// Any but NMI. The CPU is online.
#[inline(never)]
pub fn irq_work_queue_on(work: &'static IrqWork, cpu: u32) -> bool {
    WARN_ON_ONCE!(!cpu_online(cpu));
    if !irq_work_claim(work) {
        return false;
    }
    preempt_disable();
    if cpu == smp_processor_id() {
        __irq_work_queue_local(work, return_address());
    } else {
        __smp_call_single_queue(cpu, &work.node);
    }
    preempt_enable();
    true
}

/// Whether works wait on this CPU for the tick: it must not go to sleep without one. The others have an interrupt
/// of their own.
pub fn irq_work_needs_cpu() -> bool {
    if llist_empty(lazy_list.this_cpu()) {
        return false;
    }
    WARN_ON_ONCE!(!cpu_online(smp_processor_id()));
    true
}

/// Runs one work that has been taken off its list.
pub fn irq_work_single(work: &'static IrqWork) {
    let flags = work.node.u_flags.load(Ordering::Relaxed) & !IRQ_WORK_PENDING;
    // From here on it can be queued again, and what whoever queues it has written is seen below.
    work.node.u_flags.store(flags, Ordering::Relaxed);
    smp_mb();
    if let Some(func) = work.func.get() {
        func(work);
    }
    // Unless it has been queued again meanwhile. If not, nobody but a waiter looks at the flags.
    let _ = work.node.u_flags.compare_exchange(
        flags,
        flags & !IRQ_WORK_BUSY,
        Ordering::SeqCst,
        Ordering::Relaxed,
    );
}

fn irq_work_run_list(list: &'static LlistHead) {
    BUG_ON!(!irqs_disabled());
    let mut at = llist_del_all(list);
    while let Some(node) = at {
        // The work may be on the next list as soon as it has begun.
        at = node.next.get();
        irq_work_single(irq_work_of(node));
    }
}

/// The work of a link of a list or of a call queue.
pub fn irq_work_of(node: &'static LlistNode) -> &'static IrqWork {
    container_of!(node, IrqWork, node.llist)
}

/// Runs all works that wait here.
///
/// # Context
/// The interrupt, or a CPU on its way down; interrupts off.
#[inline(never)]
pub fn irq_work_run() {
    irq_work_run_list(raised_list.this_cpu());
    irq_work_run_list(lazy_list.this_cpu());
}

/// The tick: the works that wait for it. The raised ones have their own interrupt.
pub fn irq_work_tick() {
    irq_work_run_list(lazy_list.this_cpu());
}

/// Waits until a work neither is queued nor runs.
///
/// # Context
/// Interrupts on.
pub fn irq_work_sync(work: &IrqWork) {
    while work.is_busy() {
        cpu_relax();
    }
}
