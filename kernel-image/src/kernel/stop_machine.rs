//! The stopper: one thread a CPU, in the class above all others, that runs works handed to it. Whatever
//! else runs there is preempted, so a work starts as soon as its CPU can switch.
//!
//! Linux: `kernel/stop_machine.c` (v6.8).
//! Kept: the whole of it: queueing with the wake-up inside one preempt-off section, the count-down of
//! a request, two-CPU requests in lock order that wait for a half-queued request to many, `stop_machine`
//! in lock step, parking. Left out: the NMI watchdog's call in the loop. Differs: `try_stop_cpus`, removed from
//! Linux in 5.7, is kept for the readers of older texts, and marked so; assertions watch what Linux relies on.
//! Locks: the hotplug lock, then `stop_cpus_mutex`, then a stopper's lock, with interrupts off; two of
//! those by ascending CPU number; never with a runqueue's lock held.

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::kernel::smpboot::cpu_smt_mask;
use crate::fence::caller::return_address;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::{
    Cpumask, NR_CPUS, cpu_active, cpu_active_mask, cpu_online_mask, cpu_possible_mask,
    num_active_cpus, num_online_cpus,
};
use crate::include::linux::errno::{EAGAIN, EDEADLK, ENOENT};
use crate::include::linux::irqflags::{
    irqs_disabled, local_irq_disable, local_irq_restore, local_irq_save, local_save_flags,
};
use crate::include::linux::list::{
    INIT_LIST_HEAD, ListHead, list_add_tail, list_del_init, list_empty,
};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::preempt::{
    preempt_count, preempt_count_add, preempt_count_sub, preempt_disable, preempt_enable,
};
use crate::include::linux::sched::wake_q::WakeQHead;
use crate::include::linux::sched::{TaskRef, cond_resched, same_task, smp_mb, task_cpu};
use crate::include::linux::smpboot::SmpHotplugThread;
use crate::include::linux::spinlock::RawSpinlock;
use crate::include::linux::stop_machine::{CpuStopDone, CpuStopFn, CpuStopWork, StopWorkLink};
use crate::include::trace::events::stop::{
    MachineStep, trace_stop_complete_done, trace_stop_machine_state, trace_stop_work_done,
    trace_stop_work_queue, trace_stop_work_start,
};
use crate::kernel::cpu::{cpus_read_lock, cpus_read_unlock, lockdep_assert_cpus_held};
use crate::kernel::kallsyms::sprint_symbol;
use crate::kernel::kreplay::counters::{count, kreplay_counters};
use crate::kernel::kthread::{kthread_park, kthread_unpark};
use crate::kernel::rcu::tree::rcu_momentary_dyntick_idle;
use crate::kernel::sched::completion::{complete, completion_done, wait_for_completion};
use crate::kernel::sched::core::{sched_set_stop_task, wake_q_add, wake_up_q};
use crate::kernel::smpboot::smpboot_register_percpu_thread;
use crate::{BUG_ON, WARN_ON, WARN_ON_ONCE, WARN_ONCE, printk, stack_pinned};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// One CPU's stopper.
#[doc(alias = "cpu_stopper")]
#[repr(C)]
pub struct CpuStopper {
    /// `migration/N`.
    pub thread: Shared<Option<TaskRef>>,
    /// Protects the list and `enabled`.
    pub lock: RawSpinlock,
    /// Whether works are taken.
    pub enabled: Shared<bool>,
    /// Works, first in first out.
    pub works: ListHead,
    /// The CPU's own work for requests to many CPUs, under `stop_cpus_mutex`.
    pub stop_work: CpuStopWork,
    /// Who asked for the work that runs.
    pub caller: Shared<u64>,
    /// What runs.
    pub r#fn: Shared<Option<CpuStopFn>>,
}

impl CpuStopper {
    const fn new() -> CpuStopper {
        CpuStopper {
            thread: Shared::new(None),
            lock: RawSpinlock::new(),
            enabled: Shared::new(false),
            works: ListHead::new(),
            stop_work: CpuStopWork::new(),
            caller: Shared::new(0),
            r#fn: Shared::new(None),
        }
    }
}

/// Every possible CPU's stopper.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static cpu_stopper: PerCpu<CpuStopper> = PerCpu::new([const { CpuStopper::new() }; NR_CPUS]);
static stop_machine_initialized: AtomicBool = AtomicBool::new(false);
/// Serialises requests that use the CPUs' own works.
static stop_cpus_mutex: Mutex = Mutex::new();
static stop_cpus_in_progress: AtomicBool = AtomicBool::new(false);

/// Counts one work of a request down; the last one releases the waiter. Returns what is left.
fn cpu_stop_count_down(done: Option<&'static CpuStopDone>) -> i32 {
    let Some(done) = done else { return -1 };
    let left = done.nr_todo.fetch_sub(1, Ordering::AcqRel) - 1;
    // A work that ran twice would release its waiter, and with it the waiter's stack, too early.
    BUG_ON!(left < 0);
    left
}

fn cpu_stop_signal_done(done: Option<&'static CpuStopDone>, nr_todo: i32) {
    if let (Some(done), 0) = (done, nr_todo) {
        trace_stop_complete_done(done);
        complete(&done.completion);
    }
}

/// Adds a work to a stopper's list. The stopper's lock is held; the thread is woken after it is
/// released.
fn __cpu_stop_queue_work(
    cpu: u32,
    stopper: &'static CpuStopper,
    work: &'static CpuStopWork,
    wakeq: &mut WakeQHead,
) {
    // A work that waits already would tie the list into a knot.
    BUG_ON!(!list_empty(&work.list));
    list_add_tail(&work.list, &stopper.works);
    count(&kreplay_counters.stop_works_queued);
    trace_stop_work_queue(cpu, work);
    if let Some(thread) = stopper.thread.get() {
        wake_q_add(wakeq, thread);
    }
}

/// Queues a filled work. False if the stopper takes none; the request is counted down then.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn cpu_stop_queue_work(cpu: u32, work: &'static CpuStopWork) -> bool {
    let stopper = cpu_stopper.per_cpu(cpu);
    let mut wakeq = WakeQHead::new();
    // Nobody comes between the queueing and the wake-up.
    preempt_disable();
    let guard = stopper.lock.lock_irqsave();
    let enabled = stopper.enabled.get();
    if enabled {
        __cpu_stop_queue_work(cpu, stopper, work, &mut wakeq);
    } else {
        let done = work.done.get();
        cpu_stop_signal_done(done, cpu_stop_count_down(done));
    }
    drop(guard);
    wake_up_q(&mut wakeq);
    preempt_enable();
    enabled
}

fn fill_work(
    work: &'static CpuStopWork,
    r#fn: CpuStopFn,
    arg: VoidPtr,
    done: Option<&'static CpuStopDone>,
    caller: u64,
) {
    work.r#fn.set(Some(r#fn));
    work.arg.set(arg);
    work.done.set(done);
    work.caller.set(caller);
}

/// Runs a function on a CPU and waits for it. Nothing else runs there meanwhile.
///
/// # Context
/// May sleep.
/// # Returns
/// -ENOENT if the CPU's stopper takes no work, otherwise what the function returned.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stop_one_cpu(cpu: u32, r#fn: CpuStopFn, arg: VoidPtr) -> i32 {
    let caller = return_address();
    stack_pinned!(let done = CpuStopDone::new(1));
    stack_pinned!(let work = CpuStopWork::new());
    fill_work(work, r#fn, arg, Some(done), caller);
    if !cpu_stop_queue_work(cpu, work) {
        return -ENOENT;
    }
    cond_resched();
    wait_for_completion(&done.completion);
    done.ret.get()
}

/// Runs a function on a CPU without waiting. The caller keeps the work until the function starts.
///
/// # Context
/// Any.
/// # Returns
/// False if the CPU's stopper takes no work; the function never runs then.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stop_one_cpu_nowait(
    cpu: u32,
    r#fn: CpuStopFn,
    arg: VoidPtr,
    work_buf: &'static CpuStopWork,
) -> bool {
    fill_work(work_buf, r#fn, arg, None, return_address());
    cpu_stop_queue_work(cpu, work_buf)
}

/// The states that all participants of a `stop_machine` go through together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
#[repr(u32)]
enum MultiStopState {
    /// Not begun.
    None = 0,
    /// All threads are there.
    Prepare = 1,
    /// Interrupts go off.
    DisableIrq = 2,
    /// The function runs.
    Run = 3,
    /// Leave.
    Exit = 4,
}

/// A request in lock step; on the requester's stack.
#[doc(alias = "multi_stop_data")]
#[repr(C)]
pub struct MultiStopData {
    r#fn: CpuStopFn,
    data: VoidPtr,
    /// How many take part.
    num_threads: u32,
    /// Who runs the function; None: the first online CPU.
    active_cpus: Option<Cpumask>,
    state: AtomicU32,
    /// Who has not acknowledged the state yet.
    thread_ack: AtomicI32,
    /// Participants with interrupts off, and functions that run (ours, for the assertions).
    irqs_off: AtomicU32,
    running: AtomicU32,
}

impl MultiStopData {
    fn new(
        r#fn: CpuStopFn,
        data: VoidPtr,
        num_threads: u32,
        active_cpus: Option<Cpumask>,
    ) -> MultiStopData {
        MultiStopData {
            r#fn,
            data,
            num_threads,
            active_cpus,
            state: AtomicU32::new(MultiStopState::None as u32),
            thread_ack: AtomicI32::new(0),
            irqs_off: AtomicU32::new(0),
            running: AtomicU32::new(0),
        }
    }
}

impl crate::fence::stack_pinned::StackObject for MultiStopData {
    fn quiescent(&self) -> bool {
        // Never begun (the request was refused), or everybody was told to leave (the last to see it
        // counts the state on once more); who has not left yet is counted by the request's `done`,
        // which is waited for before.
        let state = self.state.load(Ordering::Acquire);
        state >= MultiStopState::Exit as u32 || state == MultiStopState::Prepare as u32
    }
}

/// Opens a state. The count is complete before anybody can see the state and acknowledge it: the release
/// store is Linux's `smp_wmb` between the two.
fn set_state(msdata: &MultiStopData, newstate: u32) {
    msdata
        .thread_ack
        .store(msdata.num_threads as i32, Ordering::Relaxed);
    msdata.state.store(newstate, Ordering::Release);
}

/// Acknowledges the state; the last one moves everybody to the next.
fn ack_state(msdata: &MultiStopData) {
    let left = msdata.thread_ack.fetch_sub(1, Ordering::AcqRel) - 1;
    BUG_ON!(left < 0);
    if left == 0 {
        set_state(msdata, msdata.state.load(Ordering::Relaxed) + 1);
    }
}

/// What a participant does between two looks at the state. Linux's is weak, for architectures whose CPUs
/// are a hypervisor's to give away.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn stop_machine_yield(_cpumask: &Cpumask) {
    cpu_relax();
}

/// What every participant of a `stop_machine` runs.
///
/// Nobody turns interrupts off before all are here, and nobody runs the function before all have:
/// so no participant can wait for another's interrupt in vain. Nobody leaves before all functions ended.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn multi_cpu_stop(data: VoidPtr) -> i32 {
    let msdata = data.get::<MultiStopData>();
    let cpu = raw_smp_processor_id();
    // The caller may have interrupts off already (`stop_machine_from_inactive_cpu`).
    let flags = local_save_flags();
    let (cpumask, is_active) = match msdata.active_cpus {
        None => (cpu_online_mask(), cpu == cpu_online_mask().first()),
        Some(cpus) => (cpus, cpus.test(cpu)),
    };
    let trace = |state, step, polls| {
        trace_stop_machine_state(msdata, cpu, state, step, polls, msdata.r#fn, is_active);
    };
    let mut curstate = MultiStopState::None as u32;
    let mut err = 0;
    let mut polls = 0u64;
    loop {
        stop_machine_yield(&cpumask);
        polls += 1;
        let newstate = msdata.state.load(Ordering::Acquire);
        if newstate == curstate {
            rcu_momentary_dyntick_idle();
            continue;
        }
        // One state after the other: a participant that had missed one would not have acknowledged it.
        BUG_ON!(newstate != curstate + 1);
        curstate = newstate;
        trace(curstate, MachineStep::Enter, polls);
        polls = 0;
        if curstate == MultiStopState::DisableIrq as u32 {
            local_irq_disable();
            msdata.irqs_off.fetch_add(1, Ordering::Relaxed);
        } else if curstate == MultiStopState::Run as u32 {
            BUG_ON!(msdata.irqs_off.load(Ordering::Relaxed) != msdata.num_threads);
            if is_active {
                msdata.running.fetch_add(1, Ordering::Relaxed);
                err = (msdata.r#fn)(msdata.data);
                msdata.running.fetch_sub(1, Ordering::Relaxed);
                WARN_ON_ONCE!(!irqs_disabled());
            }
        } else if curstate == MultiStopState::Exit as u32 {
            BUG_ON!(msdata.running.load(Ordering::Relaxed) != 0);
            break;
        }
        trace(curstate, MachineStep::Ack, polls);
        ack_state(msdata);
        // No grace period shall wait for a CPU that only waits, or comes back late.
        rcu_momentary_dyntick_idle();
    }
    ack_state(msdata);
    rcu_momentary_dyntick_idle();
    local_irq_restore(flags);
    trace(MultiStopState::Exit as u32, MachineStep::Ack, polls);
    err
}

fn cpu_stop_queue_two_works(
    cpu1: u32,
    work1: &'static CpuStopWork,
    cpu2: u32,
    work2: &'static CpuStopWork,
) -> i32 {
    let stopper1 = cpu_stopper.per_cpu(cpu1);
    let stopper2 = cpu_stopper.per_cpu(cpu2);
    // Twice the same would wait for its own lock.
    BUG_ON!(cpu1 >= cpu2);
    loop {
        let mut wakeq = WakeQHead::new();
        preempt_disable();
        let first = stopper1.lock.lock_irq();
        let second = stopper2.lock.lock();
        let err = if !stopper1.enabled.get() || !stopper2.enabled.get() {
            -ENOENT
        } else if stop_cpus_in_progress.load(Ordering::Acquire) {
            // A request to many CPUs is half queued: ours must not land between its halves.
            -EDEADLK
        } else {
            __cpu_stop_queue_work(cpu1, stopper1, work1, &mut wakeq);
            __cpu_stop_queue_work(cpu2, stopper2, work2, &mut wakeq);
            0
        };
        drop(second);
        drop(first);
        wake_up_q(&mut wakeq);
        preempt_enable();
        if err != -EDEADLK {
            return err;
        }
        count(&kreplay_counters.stop_two_works_retried);
        while stop_cpus_in_progress.load(Ordering::Acquire) {
            cpu_relax();
        }
    }
}

/// Stops two CPUs in lock step and runs a function on the first.
///
/// # Context
/// May sleep.
/// # Returns
/// -ENOENT if a stopper takes no work, otherwise what the function returned.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stop_two_cpus(cpu1: u32, cpu2: u32, r#fn: CpuStopFn, arg: VoidPtr) -> i32 {
    let caller = return_address();
    stack_pinned!(let msdata = MultiStopData::new(r#fn, arg, 2, Some(Cpumask::of(cpu1))));
    stack_pinned!(let done = CpuStopDone::new(2));
    stack_pinned!(let work1 = CpuStopWork::new());
    stack_pinned!(let work2 = CpuStopWork::new());
    for work in [work1, work2] {
        fill_work(
            work,
            multi_cpu_stop,
            VoidPtr::new(msdata),
            Some(done),
            caller,
        );
    }
    set_state(msdata, MultiStopState::Prepare as u32);
    let there = |cpu| cpu_stopper.per_cpu(cpu).enabled.get();
    let ordered = if cfg!(feature = "bug_abba_stop") && there(cpu1) && there(cpu2) {
        preempt_disable();
        cpu_stop_queue_work(cpu1, work1);
        cpu_stop_queue_work(cpu2, work2);
        preempt_enable();
        0
    } else if cpu1 > cpu2 {
        cpu_stop_queue_two_works(cpu2, work2, cpu1, work1)
    } else {
        cpu_stop_queue_two_works(cpu1, work1, cpu2, work2)
    };
    if ordered != 0 {
        done.nr_todo.store(0, Ordering::Release);
        return -ENOENT;
    }
    wait_for_completion(&done.completion);
    done.ret.get()
}

/// Queues one work on every CPU of the mask. No two-CPU request gets in between.
fn queue_stop_cpus_work(
    cpumask: Cpumask,
    r#fn: CpuStopFn,
    arg: VoidPtr,
    done: &'static CpuStopDone,
    caller: u64,
) -> bool {
    let mut queued = false;
    preempt_disable();
    stop_cpus_in_progress.store(true, Ordering::SeqCst);
    smp_mb();
    for cpu in cpumask.iter() {
        let work = &cpu_stopper.per_cpu(cpu).stop_work;
        fill_work(work, r#fn, arg, Some(done), caller);
        queued |= cpu_stop_queue_work(cpu, work);
    }
    smp_mb();
    stop_cpus_in_progress.store(false, Ordering::SeqCst);
    preempt_enable();
    queued
}

/// The mutex is held.
fn __stop_cpus(cpumask: Cpumask, r#fn: CpuStopFn, arg: VoidPtr, caller: u64) -> i32 {
    stack_pinned!(let done = CpuStopDone::new(cpumask.weight() as i32));
    if !queue_stop_cpus_work(cpumask, r#fn, arg, done, caller) {
        return -ENOENT;
    }
    wait_for_completion(&done.completion);
    done.ret.get()
}

/// Runs a function on several CPUs, each as soon as its stopper gets to it, and waits for all.
///
/// # Context
/// May sleep.
/// # Returns
/// -ENOENT if no stopper took the work, 0, or one of the errors.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stop_cpus(cpumask: &Cpumask, r#fn: CpuStopFn, arg: VoidPtr) -> i32 {
    let caller = return_address();
    stop_cpus_mutex.lock();
    let ret = __stop_cpus(*cpumask, r#fn, arg, caller);
    stop_cpus_mutex.unlock();
    ret
}

/// As `stop_cpus`, unless another such request runs. Not in v6.8 any more (removed in 5.7); kept here
/// because older texts about the stopper name it.
///
/// # Context
/// May sleep.
/// # Returns
/// -EAGAIN while another request to several CPUs runs, otherwise as `stop_cpus`.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn try_stop_cpus(cpumask: &Cpumask, r#fn: CpuStopFn, arg: VoidPtr) -> i32 {
    let caller = return_address();
    if !stop_cpus_mutex.trylock() {
        return -EAGAIN;
    }
    let ret = __stop_cpus(*cpumask, r#fn, arg, caller);
    stop_cpus_mutex.unlock();
    ret
}

fn cpu_stop_should_run(cpu: u32) -> bool {
    let stopper = cpu_stopper.per_cpu(cpu);
    let _guard = stopper.lock.lock_irqsave();
    !list_empty(&stopper.works)
}

/// The thread: takes works off the list, first in first out, until there is none.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn cpu_stopper_thread(cpu: u32) {
    let stopper = cpu_stopper.per_cpu(cpu);
    loop {
        let guard = stopper.lock.lock_irq();
        let work = StopWorkLink::first(&stopper.works);
        if let Some(work) = work {
            list_del_init(&work.list);
        }
        drop(guard);
        let Some(work) = work else { return };
        cpu_stop_run_work(cpu, stopper, work);
    }
}

fn cpu_stop_run_work(cpu: u32, stopper: &'static CpuStopper, work: &'static CpuStopWork) {
    // Copies: the work may be queued again, or its stack be gone, as soon as the function starts.
    let r#fn = work.r#fn.get().expect("a stopper work without a function");
    let arg = work.arg.get();
    let done = work.done.get();
    let caller = work.caller.get();
    // One at a time, on its own CPU, by the stopper itself, which nothing preempts.
    BUG_ON!(stopper.r#fn.get().is_some());
    BUG_ON!(cpu != raw_smp_processor_id() || irqs_disabled());
    BUG_ON!(
        !stopper
            .thread
            .get()
            .is_some_and(|it| same_task(it, current()))
    );
    stopper.caller.set(caller);
    stopper.r#fn.set(Some(r#fn));

    count(&kreplay_counters.stop_works_started);
    // The function may not sleep.
    preempt_count_add(1);
    trace_stop_work_start(cpu, work, r#fn, arg, done, caller);
    let ret = r#fn(arg);
    if let (Some(done), true) = (done, ret != 0) {
        done.ret.set(ret);
    }
    let nr_todo = cpu_stop_count_down(done);
    count(&kreplay_counters.stop_works_done);
    trace_stop_work_done(cpu, work, r#fn, done, ret, nr_todo);
    cpu_stop_signal_done(done, nr_todo);
    preempt_count_sub(1);

    stopper.r#fn.set(None);
    stopper.caller.set(0);
    WARN_ONCE!(
        preempt_count() != 0,
        "cpu_stop: {}({:#x}) leaked preempt count",
        sprint_symbol(r#fn as usize as u64),
        arg.addr()
    );
}

/// A CPU's stopper takes no more works and stands aside when it has done those it has.
///
/// # Context
/// The CPU itself, in its stopper, on its way down: interrupts off, all others stopped. So nobody queues a
/// work meanwhile, and the flag needs no lock.
pub fn stop_machine_park(cpu: u32) {
    let stopper = cpu_stopper.per_cpu(cpu);
    stopper.enabled.set(false);
    if let Some(thread) = stopper.thread.get() {
        kthread_park(thread);
    }
}

/// Lets a CPU's stopper take works, and its thread run.
pub fn stop_machine_unpark(cpu: u32) {
    let stopper = cpu_stopper.per_cpu(cpu);
    stopper.enabled.set(true);
    if let Some(thread) = stopper.thread.get() {
        kthread_unpark(thread);
    }
}

fn cpu_stop_create(cpu: u32) {
    if let Some(thread) = cpu_stopper.per_cpu(cpu).thread.get() {
        sched_set_stop_task(cpu, thread);
    }
}

fn cpu_stop_park(cpu: u32) {
    WARN_ON!(!list_empty(&cpu_stopper.per_cpu(cpu).works));
}

fn cpu_stop_store(cpu: u32) -> &'static Shared<Option<TaskRef>> {
    &cpu_stopper.per_cpu(cpu).thread
}

static cpu_stop_threads: SmpHotplugThread = SmpHotplugThread {
    store: cpu_stop_store,
    thread_should_run: cpu_stop_should_run,
    thread_fn: cpu_stopper_thread,
    thread_comm: "migration",
    create: Some(cpu_stop_create),
    park: Some(cpu_stop_park),
    selfparking: true,
    ..SmpHotplugThread::EMPTY
};

/// Creates the stoppers. An early initcall: only the boot CPU is online.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn cpu_stop_init() -> i32 {
    for cpu in cpu_possible_mask().iter() {
        INIT_LIST_HEAD(&cpu_stopper.per_cpu(cpu).works);
    }
    BUG_ON!(smpboot_register_percpu_thread(&cpu_stop_threads) != 0);
    stop_machine_unpark(raw_smp_processor_id());
    stop_machine_initialized.store(true, Ordering::Release);
    0
}

/// Stops every online CPU in lock step, with interrupts off, and runs a function on some of them: on the
/// first one, or on those of a mask.
///
/// # Context
/// May sleep.
/// # Returns
/// 0 or an error of the function.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stop_machine(r#fn: CpuStopFn, data: VoidPtr, cpus: Option<&Cpumask>) -> i32 {
    let caller = return_address();
    // No CPU comes or goes meanwhile: everybody who is counted must take part.
    cpus_read_lock();
    let ret = __stop_machine(r#fn, data, cpus, caller);
    cpus_read_unlock();
    ret
}

/// As `stop_machine`, for a caller that holds the hotplug lock.
///
/// # Context
/// May sleep.
/// # Returns
/// 0 or an error of the function.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stop_machine_cpuslocked(
    r#fn: CpuStopFn,
    data: VoidPtr,
    cpus: Option<&Cpumask>,
) -> i32 {
    __stop_machine(r#fn, data, cpus, return_address())
}

fn __stop_machine(r#fn: CpuStopFn, data: VoidPtr, cpus: Option<&Cpumask>, caller: u64) -> i32 {
    lockdep_assert_cpus_held();
    let num_threads = num_online_cpus();
    if !stop_machine_initialized.load(Ordering::Acquire) {
        // Before the stoppers exist there must be one CPU only: off with its interrupts, and run.
        WARN_ON_ONCE!(num_threads != 1);
        let flags = local_irq_save();
        let ret = r#fn(data);
        local_irq_restore(flags);
        return ret;
    }
    // A participant that took no work would leave the others waiting for it, for ever.
    for cpu in cpu_online_mask().iter() {
        BUG_ON!(!cpu_stopper.per_cpu(cpu).enabled.get());
    }
    stack_pinned!(let msdata = MultiStopData::new(r#fn, data, num_threads, cpus.copied()));
    set_state(msdata, MultiStopState::Prepare as u32);
    stop_cpus_mutex.lock();
    let arg = VoidPtr::new(msdata);
    let ret = __stop_cpus(cpu_online_mask(), multi_cpu_stop, arg, caller);
    stop_cpus_mutex.unlock();
    ret
}

/// As `stop_machine_cpuslocked`, but the threads of one core only: all of them stop, and all run the function.
/// (Linux's one caller tests Intel's cores in the field.)
///
/// # Context
/// May sleep; the hotplug lock is held.
/// # Returns
/// 0 or an error of the function.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stop_core_cpuslocked(cpu: u32, r#fn: CpuStopFn, data: VoidPtr) -> i32 {
    let caller = return_address();
    let smt_mask = cpu_smt_mask(cpu);
    let threads = smt_mask.weight();
    lockdep_assert_cpus_held();
    stack_pinned!(let msdata = MultiStopData::new(r#fn, data, threads, Some(smt_mask)));
    set_state(msdata, MultiStopState::Prepare as u32);
    stop_cpus_mutex.lock();
    let ret = __stop_cpus(smt_mask, multi_cpu_stop, VoidPtr::new(msdata), caller);
    stop_cpus_mutex.unlock();
    ret
}

/// As `stop_machine`, from a CPU that is on its way up: it takes part itself, and cannot sleep.
///
/// # Context
/// A CPU that is not active, interrupts off or on; spins.
/// # Returns
/// 0 or an error of the function.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn stop_machine_from_inactive_cpu(
    r#fn: CpuStopFn,
    data: VoidPtr,
    cpus: Option<&Cpumask>,
) -> i32 {
    let caller = return_address();
    BUG_ON!(cpu_active(raw_smp_processor_id()));
    while !stop_cpus_mutex.trylock() {
        cpu_relax();
    }
    let others = num_active_cpus();
    stack_pinned!(let msdata = MultiStopData::new(r#fn, data, others + 1, cpus.copied()));
    stack_pinned!(let done = CpuStopDone::new(others as i32));
    set_state(msdata, MultiStopState::Prepare as u32);
    let arg = VoidPtr::new(msdata);
    queue_stop_cpus_work(cpu_active_mask(), multi_cpu_stop, arg, done, caller);
    let ret = multi_cpu_stop(arg);
    while !completion_done(&done.completion) {
        cpu_relax();
    }
    stop_cpus_mutex.unlock();
    if ret != 0 { ret } else { done.ret.get() }
}

/// Prints what a stopper runs, and for whom; nothing for another task.
pub fn print_stop_info(log_lvl: i32, task: TaskRef) {
    // A stopper does not move, so its CPU is the one it has.
    let stopper = cpu_stopper.per_cpu(task_cpu(task));
    if !stopper.thread.get().is_some_and(|it| same_task(it, task)) {
        return;
    }
    printk!(
        log_lvl,
        "Stopper: {} <- {}",
        sprint_symbol(stopper.r#fn.get().map_or(0, |it| it as usize as u64)),
        sprint_symbol(stopper.caller.get())
    );
}
