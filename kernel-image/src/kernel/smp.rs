//! Calls from one CPU to another, and the queue they share with remote wake-ups.
//!
//! Linux: kernel/smp.c, v6.8. **Kept** the queue, its three passes, who sends an IPI and when, the tracepoints
//! at the senders. **Left out** the lock-up watchdog, hotplug's cpumask allocations.
//! **Locks** none: lock-free lists; a csd is owned through CSD_FLAG_LOCK.
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::arch::x86::kernel::smp::{
    arch_send_call_function_ipi_mask, arch_send_call_function_single_ipi,
};
use crate::arch::x86::kernel::smpboot::smp_cpus_done;
use crate::fence::caller::return_address;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::cpumask::{
    Cpumask, NR_CPUS, cpu_online, cpu_online_mask, cpu_possible_mask, cpumask_any_and,
    num_online_cpus,
};
use crate::include::linux::errno::{EBUSY, ENXIO};
use crate::include::linux::irqflags::{irqs_disabled, local_irq_restore, local_irq_save};
use crate::include::linux::llist::{
    LlistHead, LlistNode, llist_add, llist_del_all, llist_empty, llist_reverse_order,
};
use crate::include::linux::preempt::{in_task, preempt_disable, preempt_enable};
use crate::include::linux::smp::{CallSingleData, SmpCallFunc, smp_processor_id};
use crate::include::linux::smp_types::*;
use crate::include::linux::workqueue::{WorkStruct, flush_work, queue_work_on, system_wq};
use crate::include::trace::events::ipi::{trace_ipi_send_cpu, trace_ipi_send_cpumask};
use crate::kernel::cpu::{bringup_nonboot_cpus, cpuhp_threads_init};
use crate::kernel::irq_work::{irq_work_of, irq_work_run, irq_work_single};
use crate::kernel::kallsyms::sprint_symbol;
use crate::kernel::params::{Text, param};
use crate::kernel::sched::core::tick::wake_up_if_idle;
use crate::kernel::sched::core::{call_function_single_prep_ipi, sched_ttwu_pending};
use crate::kernel::smpboot::idle_threads_init;
use crate::kernel::softirq::{do_softirq_post_smp_call_flush, local_softirq_pending};
use crate::{WARN, WARN_ON_ONCE, container_of, pr_info, pr_warn, stack_pinned};
use core::sync::atomic::{AtomicBool, Ordering};

static call_single_queue: PerCpu<LlistHead> = PerCpu::new([const { LlistHead::new() }; NR_CPUS]);

/// The csds of asynchronous single calls, one a sending CPU.
static csd_data: PerCpu<CallSingleData> = PerCpu::new([const { CallSingleData::new() }; NR_CPUS]);

/// The csds of calls to many: one for each pair of sender and receiver.
static cfd_data: PerCpu<[CallSingleData; NR_CPUS]> =
    PerCpu::new([const { [const { CallSingleData::new() }; NR_CPUS] }; NR_CPUS]);

/// The mask that `ipi_send_cpumask` shows, one a sending CPU.
static cpumask_ipi: PerCpu<Shared<Cpumask>> =
    PerCpu::new([const { Shared::new(Cpumask::EMPTY) }; NR_CPUS]);

/// The queues exist already.
pub fn call_function_init() {
    smpcfd_prepare_cpu(smp_processor_id());
}

/// `cpu` is dead, or did not come up: Linux gives its masks back; ours are static.
pub fn smpcfd_dead_cpu(cpu: u32) -> i32 {
    // Nobody can wait for a call to it: what was queued has been done.
    WARN_ON_ONCE!(!llist_empty(call_single_queue.per_cpu(cpu)));
    0
}

/// Before `cpu` comes up.
pub fn smpcfd_prepare_cpu(cpu: u32) -> i32 {
    debug_assert!((cpu as usize) < NR_CPUS);
    0
}

/// `cpu` goes down: what is queued for it is done now, on it, with interrupts off and all others stopped.
pub fn smpcfd_dying_cpu(_cpu: u32) -> i32 {
    // The CPU is offline by now, and may be: nobody can have queued anything since.
    __flush_smp_call_function_queue(false);
    irq_work_run();
    0
}

fn csd_lock_wait(csd: &CallSingleData) {
    while csd.node.u_flags.load(Ordering::Acquire) & CSD_FLAG_LOCK != 0 {
        cpu_relax();
    }
}

fn csd_lock(csd: &CallSingleData) {
    csd_lock_wait(csd);
    csd.node.u_flags.fetch_or(CSD_FLAG_LOCK, Ordering::SeqCst);
}

fn csd_unlock(csd: &CallSingleData) {
    csd.node
        .u_flags
        .fetch_and(!CSD_FLAG_LOCK, Ordering::Release);
}

/// Queues `node` for `cpu`; interrupts it when the queue was empty.
///
/// # Context
/// Any; `cpu` is not this CPU or its idle loop flushes.
#[inline(never)]
pub fn __smp_call_single_queue(cpu: u32, node: &'static CallSingleNode) {
    if llist_add(&node.llist, call_single_queue.per_cpu(cpu)) {
        send_call_function_single_ipi(cpu, return_address());
    }
}

/// Where the receiver of a call starts; also the callback that the tracepoints name.
#[inline(never)]
pub fn generic_smp_call_function_single_interrupt() {
    __flush_smp_call_function_queue(true);
}

fn callback() -> u64 {
    generic_smp_call_function_single_interrupt as fn() as *const () as u64
}

#[inline(always)]
fn send_call_function_single_ipi(cpu: u32, callsite: u64) {
    if call_function_single_prep_ipi(cpu) {
        trace_ipi_send_cpu(cpu, callsite, callback());
        arch_send_call_function_single_ipi(cpu);
    }
}

fn csd_of(node: &'static LlistNode) -> &'static CallSingleData {
    container_of!(node, CallSingleData, node.llist)
}

fn flags_of(node: &'static LlistNode) -> u32 {
    let node = container_of!(node, CallSingleNode, llist);
    node.u_flags.load(Ordering::Acquire) & CSD_FLAG_TYPE_MASK
}

/// The nodes of a chain; the next is read before the current one is handed out.
fn chain(first: Option<&'static LlistNode>) -> impl Iterator<Item = &'static LlistNode> {
    let mut at = first;
    core::iter::from_fn(move || {
        let node = at?;
        at = node.next.get();
        Some(node)
    })
}

fn call(csd: &'static CallSingleData, unlock_first: bool) {
    let (func, info) = (csd.func.get(), csd.info.get());
    if unlock_first {
        csd_unlock(csd);
    }
    if let Some(func) = func {
        func(info);
    }
    if !unlock_first {
        csd_unlock(csd);
    }
}

/// Once: who sent what to a CPU that is offline.
fn complain_of_offline_cpu(cpu: u32, taken: Option<&'static LlistNode>) {
    static warned: AtomicBool = AtomicBool::new(false);
    if warned.swap(true, Ordering::Relaxed) {
        return;
    }
    WARN!(true, "IPI on offline CPU {cpu}");
    for node in chain(taken) {
        match flags_of(node) {
            CSD_TYPE_TTWU => pr_warn!("IPI task-wakeup sent to offline CPU"),
            CSD_TYPE_IRQ_WORK => {
                let func = irq_work_of(node).func.get();
                let func = func.map_or(0, |func| func as usize as u64);
                pr_warn!("IPI callback {} sent to offline CPU", sprint_symbol(func));
            }
            _ => {
                let func = csd_of(node).func.get();
                let func = func.map_or(0, |func| func as usize as u64);
                pr_warn!("IPI callback {} sent to offline CPU", sprint_symbol(func));
            }
        }
    }
}

/// Takes all that is queued for this CPU: first the calls whose senders wait, then the others, then the tasks
/// to wake.
///
/// # Context
/// Interrupts off.
pub fn __flush_smp_call_function_queue(warn_cpu_offline: bool) {
    let cpu = smp_processor_id();
    let taken = llist_reverse_order(llist_del_all(call_single_queue.per_cpu(cpu)));
    if warn_cpu_offline && !cpu_online(cpu) && taken.is_some() {
        complain_of_offline_cpu(cpu, taken);
    }
    // What is not run in a pass is linked anew, in order.
    let mut rest = Rest::default();
    for node in chain(taken) {
        if flags_of(node) == CSD_TYPE_SYNC {
            call(csd_of(node), false);
        } else {
            rest.push(node);
        }
    }
    let mut wakeups = Rest::default();
    for node in chain(rest.take()) {
        match flags_of(node) {
            CSD_TYPE_TTWU => wakeups.push(node),
            CSD_TYPE_IRQ_WORK => irq_work_single(irq_work_of(node)),
            _ => call(csd_of(node), true),
        }
    }
    if let Some(first) = wakeups.take() {
        sched_ttwu_pending(first);
    }
}

/// A chain under construction.
#[derive(Default)]
struct Rest {
    first: Option<&'static LlistNode>,
    last: Option<&'static LlistNode>,
}

impl Rest {
    fn push(&mut self, node: &'static LlistNode) {
        node.next.set(None);
        match self.last {
            Some(last) => last.next.set(Some(node)),
            None => self.first = Some(node),
        }
        self.last = Some(node);
    }

    fn take(self) -> Option<&'static LlistNode> {
        self.first
    }
}

/// Takes what is queued for this CPU without an interrupt having come: from the idle loop and from
/// `migration_cpu_stop`.
pub fn flush_smp_call_function_queue() {
    if llist_empty(call_single_queue.this_cpu()) {
        return;
    }
    let flags = local_irq_save();
    let was_pending = local_softirq_pending();
    __flush_smp_call_function_queue(true);
    if local_softirq_pending() != 0 {
        do_softirq_post_smp_call_flush(was_pending);
    }
    local_irq_restore(flags);
}

/// Runs or queues a csd that is locked already.
fn generic_exec_single(cpu: u32, csd: &'static CallSingleData) -> i32 {
    if cpu == smp_processor_id() {
        let (func, info) = (csd.func.get(), csd.info.get());
        let flags = local_irq_save();
        csd_unlock(csd);
        if let Some(func) = func {
            func(info);
        }
        local_irq_restore(flags);
        return 0;
    }
    if cpu as usize >= NR_CPUS || !cpu_online(cpu) {
        csd_unlock(csd);
        return -ENXIO;
    }
    __smp_call_single_queue(cpu, &csd.node);
    0
}

fn prepare(csd: &'static CallSingleData, func: SmpCallFunc, info: u64, cpu: u32) {
    csd.func.set(Some(func));
    csd.info.set(info);
    csd.node.src.set(smp_processor_id() as u16);
    csd.node.dst.set(cpu as u16);
}

/// Runs `func(info)` on `cpu` with interrupts off; with `wait`, returns when it has run.
///
/// # Context
/// Interrupts on, preemptible or not; not in a hard interrupt.
///
/// # Returns
/// 0, or `-ENXIO` when the CPU is offline.
#[inline(never)]
pub fn smp_call_function_single(cpu: u32, func: SmpCallFunc, info: u64, wait: bool) -> i32 {
    preempt_disable();
    let this_cpu = smp_processor_id();
    WARN_ON_ONCE!(cpu_online(this_cpu) && irqs_disabled());
    WARN_ON_ONCE!(!in_task());
    let error;
    if wait {
        stack_pinned!(let csd = CallSingleData::new());
        csd.node
            .u_flags
            .store(CSD_FLAG_LOCK | CSD_TYPE_SYNC, Ordering::Relaxed);
        prepare(csd, func, info, cpu);
        error = generic_exec_single(cpu, csd);
        csd_lock_wait(csd);
    } else {
        let csd = csd_of_this_cpu();
        csd_lock(csd);
        prepare(csd, func, info, cpu);
        error = generic_exec_single(cpu, csd);
    }
    preempt_enable();
    error
}

fn csd_of_this_cpu() -> &'static CallSingleData {
    csd_data.per_cpu(smp_processor_id())
}

impl StackObject for CallSingleData {
    fn quiescent(&self) -> bool {
        self.node.u_flags.load(Ordering::Acquire) & CSD_FLAG_LOCK == 0
    }
}

/// Runs the csd's function on `cpu`, without waiting and without a csd of our own.
///
/// # Returns
/// 0, `-EBUSY` while the csd is in flight, `-ENXIO` when the CPU is offline.
#[inline(never)]
pub fn smp_call_function_single_async(cpu: u32, csd: &'static CallSingleData) -> i32 {
    preempt_disable();
    let error = if csd.node.u_flags.load(Ordering::Acquire) & CSD_FLAG_LOCK != 0 {
        -EBUSY
    } else {
        csd.node.u_flags.store(CSD_FLAG_LOCK, Ordering::SeqCst);
        csd.node.src.set(smp_processor_id() as u16);
        csd.node.dst.set(cpu as u16);
        generic_exec_single(cpu, csd)
    };
    preempt_enable();
    error
}

/// Runs `func(info)` on the online CPUs of `mask` that are not this one and for which `cond` holds, and on this
/// one if `run_local`.
///
/// # Context
/// Preemption off, interrupts on.
fn smp_call_function_many_cond(
    mask: Cpumask,
    func: SmpCallFunc,
    info: u64,
    wait: bool,
    run_local: bool,
    cond: impl Fn(u32) -> bool,
) {
    let this_cpu = smp_processor_id();
    WARN_ON_ONCE!(cpu_online(this_cpu) && irqs_disabled());
    // With `wait` a call from an interrupt could wait for the one that it interrupted.
    WARN_ON_ONCE!(!in_task());
    let run_local = run_local && mask.test(this_cpu) && cond(this_cpu);
    let csds = cfd_data.per_cpu(this_cpu);
    let targets = mask.and(cpu_online_mask()).without(this_cpu);
    let mut to_interrupt = Cpumask::EMPTY;
    let mut called = Cpumask::EMPTY;
    for cpu in targets.iter().filter(|&cpu| cond(cpu)) {
        let csd = &csds[cpu as usize];
        csd_lock(csd);
        let kind = if wait { CSD_TYPE_SYNC } else { CSD_TYPE_ASYNC };
        csd.node
            .u_flags
            .store(CSD_FLAG_LOCK | kind, Ordering::SeqCst);
        prepare(csd, func, info, cpu);
        called = called.with(cpu);
        if llist_add(&csd.node.llist, call_single_queue.per_cpu(cpu)) {
            to_interrupt = to_interrupt.with(cpu);
        }
    }
    interrupt(this_cpu, to_interrupt);
    if run_local {
        let flags = local_irq_save();
        func(info);
        local_irq_restore(flags);
    }
    if wait {
        called
            .iter()
            .for_each(|cpu| csd_lock_wait(&csds[cpu as usize]));
    }
}

/// One CPU gets the single vector, unless it polls; more get the other one, all of them.
fn interrupt(this_cpu: u32, mask: Cpumask) {
    let callsite = smp_call_function_many as *const () as u64;
    match mask.weight() {
        0 => {}
        1 => {
            let cpu = mask.first();
            if call_function_single_prep_ipi(cpu) {
                trace_ipi_send_cpu(cpu, callsite, callback());
                arch_send_call_function_single_ipi(cpu);
            }
        }
        _ => {
            let shown = cpumask_ipi.per_cpu(this_cpu);
            shown.set(mask);
            trace_ipi_send_cpumask(shown_mask(shown), callsite, callback());
            arch_send_call_function_ipi_mask(mask);
        }
    }
}

/// The mask in memory where the tracer reads it.
fn shown_mask(shown: &'static Shared<Cpumask>) -> u64 {
    shown.as_ptr() as u64
}

/// Runs `func(info)` on the online CPUs of `mask` but this one.
#[inline(never)]
pub fn smp_call_function_many(mask: Cpumask, func: SmpCallFunc, info: u64, wait: bool) {
    smp_call_function_many_cond(mask, func, info, wait, false, |_| true);
}

/// Runs `func(info)` on the online CPUs of `mask` for which `cond` holds, this one included.
pub fn on_each_cpu_cond_mask(
    cond: impl Fn(u32) -> bool,
    func: SmpCallFunc,
    info: u64,
    wait: bool,
    mask: Cpumask,
) {
    preempt_disable();
    smp_call_function_many_cond(mask, func, info, wait, true, cond);
    preempt_enable();
}

/// Runs `func(info)` on one online CPU of `mask`: this one if it is in it, else any.
///
/// # Returns
/// 0, or `-ENXIO` when none of them is online.
pub fn smp_call_function_any(mask: Cpumask, func: SmpCallFunc, info: u64, wait: bool) -> i32 {
    preempt_disable();
    let this_cpu = smp_processor_id();
    let cpu = if mask.test(this_cpu) {
        this_cpu
    } else {
        cpumask_any_and(mask, cpu_online_mask())
    };
    let error = smp_call_function_single(cpu, func, info, wait);
    preempt_enable();
    error
}

/// Runs `func(info)` on every other online CPU.
pub fn smp_call_function(func: SmpCallFunc, info: u64, wait: bool) {
    preempt_disable();
    smp_call_function_many(cpu_online_mask(), func, info, wait);
    preempt_enable();
}

fn do_nothing(_unused: u64) {}

/// Every other CPU takes an interrupt: none is still in a section with interrupts off that began before.
///
/// # Context
/// Interrupts on.
pub fn kick_all_cpus_sync() {
    // What the caller wrote is seen by all of them.
    core::sync::atomic::fence(Ordering::SeqCst);
    smp_call_function(do_nothing, 0, true);
}

/// Every idle CPU leaves its idle state once.
pub fn wake_up_all_idle_cpus() {
    for cpu in cpu_possible_mask().iter() {
        preempt_disable();
        if cpu != smp_processor_id() && cpu_online(cpu) {
            wake_up_if_idle(cpu);
        }
        preempt_enable();
    }
}

/// A function for a thread of another CPU; on the stack of who waits for it.
#[doc(alias = "smp_call_on_cpu_struct")]
struct SmpCallOnCpuStruct {
    work: WorkStruct,
    func: fn(u64) -> i32,
    data: u64,
    ret: Shared<i32>,
}

impl StackObject for SmpCallOnCpuStruct {
    fn quiescent(&self) -> bool {
        self.work.quiescent()
    }
}

fn smp_call_on_cpu_callback(work: &'static WorkStruct) {
    let sscs = container_of!(work, SmpCallOnCpuStruct, work);
    sscs.ret.set((sscs.func)(sscs.data));
}

/// Runs `func(par)` on `cpu` in a thread, and waits.
///
/// # Context
/// May sleep.
/// # Returns
/// What the function returned, or `-ENXIO`.
pub fn smp_call_on_cpu(cpu: u32, func: fn(u64) -> i32, par: u64) -> i32 {
    if cpu as usize >= NR_CPUS || !cpu_online(cpu) {
        return -ENXIO;
    }
    stack_pinned!(let sscs = SmpCallOnCpuStruct {
        work: WorkStruct::new(smp_call_on_cpu_callback),
        func,
        data: par,
        ret: Shared::new(0),
    });
    queue_work_on(cpu, &system_wq, &sscs.work);
    flush_work(&sscs.work);
    sscs.ret.get()
}

/// How many CPUs the command line lets come up, the boot CPU among them (`maxcpus=`); the others stay
/// possible, present and offline.
fn setup_max_cpus() -> u32 {
    param("maxcpus")
        .and_then(Text::as_u64)
        .map_or(NR_CPUS as u32, |max| max.min(NR_CPUS as u64) as u32)
}

/// Brings up every CPU that is present.
///
/// # Context
/// pid 1, once.
#[inline(never)]
pub fn smp_init() {
    idle_threads_init();
    cpuhp_threads_init();
    pr_info!("smp: Bringing up secondary CPUs ...");
    bringup_nonboot_cpus(setup_max_cpus());
    let cpus = num_online_cpus();
    pr_info!(
        "smp: Brought up 1 node, {cpus} CPU{}",
        if cpus == 1 { "" } else { "s" }
    );
    smp_cpus_done(cpus);
}
