//! Softirqs: work that an interrupt leaves for right after itself.
//!
//! Linux: kernel/softirq.c, v6.8. **Kept** the limits (10 restarts, 2 ms), ksoftirqd taking over, the counts in
//! preempt_count. `tasklet`: tasklets. **Differs** handlers run on the interrupted stack. **Left out** RT.
//! **Locks** none; everything is per CPU with interrupts off.
pub mod tasklet;

use crate::arch::x86::include::asm::current::{current, pcpu_hot};
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpuhotplug::CPUHP_SOFTIRQ_DEAD;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::interrupt::NR_SOFTIRQS;
use crate::include::linux::irqflags::{
    irqs_disabled, local_irq_disable, local_irq_enable, local_irq_restore, local_irq_save,
};
use crate::include::linux::jiffies::{jiffies, msecs_to_jiffies, time_before};
use crate::include::linux::preempt::*;
use crate::include::linux::sched::{TaskRef, cond_resched, is_idle_task, need_resched, same_task};
use crate::include::linux::smp::smp_processor_id;
use crate::include::linux::smpboot::SmpHotplugThread;
use crate::include::trace::events::irq::{
    trace_softirq_entry, trace_softirq_exit, trace_softirq_raise,
};
use crate::kernel::cpu::cpuhp_setup_state_nocalls;
use crate::kernel::rcu::tree_plugin::rcu_softirq_qs;
use crate::kernel::sched::core::{idle_cpu, wake_up_process};
use crate::kernel::smpboot::smpboot_register_percpu_thread;
use crate::kernel::time::tick_sched::{tick_irq_enter, tick_nohz_irq_exit};
use crate::{BUG_ON, WARN_ON_ONCE, pr_err};

pub use tasklet::softirq_init;

/// Longest time in one run of softirqs, in jiffies.
const MAX_SOFTIRQ_TIME: u64 = msecs_to_jiffies(2);
/// Most rounds in one run of softirqs.
const MAX_SOFTIRQ_RESTART: u32 = 10;

/// What a softirq runs.
type SoftirqAction = Shared<Option<fn()>>;

static softirq_vec: [SoftirqAction; NR_SOFTIRQS as usize] =
    [const { Shared::new(None) }; NR_SOFTIRQS as usize];

/// The `ksoftirqd/N` threads.
static ksoftirqd: PerCpu<Shared<Option<TaskRef>>> =
    PerCpu::new([const { Shared::new(None) }; NR_CPUS]);

/// Pending softirqs of this CPU.
pub fn local_softirq_pending() -> u32 {
    u32::from(pcpu_hot.this_cpu().softirq_pending.get())
}

fn set_softirq_pending(mask: u32) {
    pcpu_hot.this_cpu().softirq_pending.set(mask as u16);
}

/// Installs the handler of a softirq.
pub fn open_softirq(nr: u32, action: fn()) {
    softirq_vec[nr as usize].set(Some(action));
}

fn wakeup_softirqd() {
    if let Some(thread) = ksoftirqd.this_cpu().get() {
        wake_up_process(thread);
    }
}

/// Marks a softirq pending.
///
/// # Context
/// Interrupts off.
pub fn raise_softirq_irqoff(nr: u32) {
    __raise_softirq_irqoff(nr);
    // In an interrupt, or with softirqs excluded, somebody looks on the way out; in a thread nobody would.
    if !in_interrupt() {
        wakeup_softirqd();
    }
}

/// Marks a softirq pending and nothing else.
pub fn __raise_softirq_irqoff(nr: u32) {
    trace_softirq_raise(nr);
    set_softirq_pending(local_softirq_pending() | 1 << nr);
}

/// Marks a softirq pending.
pub fn raise_softirq(nr: u32) {
    let flags = local_irq_save();
    raise_softirq_irqoff(nr);
    local_irq_restore(flags);
}

/// Keeps softirqs off this CPU.
pub fn local_bh_disable() {
    __preempt_count_add(SOFTIRQ_DISABLE_OFFSET);
}

/// Lets softirqs run again, and runs those that are pending.
pub fn local_bh_enable() {
    WARN_ON_ONCE!(in_hardirq() || irqs_disabled());
    __preempt_count_sub(SOFTIRQ_DISABLE_OFFSET - 1);
    if !in_interrupt() && local_softirq_pending() != 0 {
        do_softirq();
    }
    __preempt_count_sub(1);
    preempt_check_resched();
}

/// Runs what is pending.
pub fn do_softirq() {
    if in_interrupt() {
        return;
    }
    let flags = local_irq_save();
    if local_softirq_pending() != 0 {
        __do_softirq();
    }
    local_irq_restore(flags);
}

/// Runs the softirqs that are pending after a flush of the call queue (`do_softirq_post_smp_call_flush`; what was
/// pending before matters on PREEMPT_RT only).
pub fn do_softirq_post_smp_call_flush(_was_pending: u32) {
    do_softirq();
}

/// Runs pending softirqs, round after round, until none is left or it has taken long enough.
///
/// # Context
/// Interrupts off on entry and exit, on in between.
#[inline(never)]
pub fn __do_softirq() {
    let end = jiffies().wrapping_add(MAX_SOFTIRQ_TIME);
    let mut max_restart = MAX_SOFTIRQ_RESTART;
    let mut pending = local_softirq_pending();
    __preempt_count_add(SOFTIRQ_OFFSET);
    loop {
        set_softirq_pending(0);
        local_irq_enable();
        while pending != 0 {
            let nr = pending.trailing_zeros();
            pending &= pending - 1;
            handle_softirq(nr);
        }
        // Between two rounds ksoftirqd is in nobody's reader.
        let own = ksoftirqd.this_cpu().get();
        if own.is_some_and(|thread| same_task(thread, current())) {
            rcu_softirq_qs();
        }
        local_irq_disable();
        pending = local_softirq_pending();
        if pending == 0 {
            break;
        }
        max_restart -= 1;
        if !time_before(jiffies(), end) || need_resched() || max_restart == 0 {
            wakeup_softirqd();
            break;
        }
    }
    __preempt_count_sub(SOFTIRQ_OFFSET);
}

fn handle_softirq(nr: u32) {
    let before = preempt_count();
    if let Some(action) = softirq_vec.get(nr as usize).and_then(Shared::get) {
        trace_softirq_entry(nr);
        action();
        trace_softirq_exit(nr);
    }
    let after = preempt_count();
    if before != after {
        pr_err!(
            "huh, entered softirq {nr} with preempt_count {before:08x}, exited with {after:08x}?"
        );
        preempt_count_set(before);
    }
}

/// A hard interrupt begins.
#[inline(always)]
pub fn irq_enter() {
    __preempt_count_add(HARDIRQ_OFFSET);
    // Not one that interrupts another, or a softirq.
    if is_idle_task(current()) && hardirq_count() | softirq_count() == HARDIRQ_OFFSET {
        tick_irq_enter();
    }
}

/// A hard interrupt ends: what it raised runs now.
#[inline(always)]
pub fn irq_exit() {
    __preempt_count_sub(HARDIRQ_OFFSET);
    if !in_interrupt() && local_softirq_pending() != 0 {
        invoke_softirq();
    }
    tick_irq_exit();
}

/// The idle loop goes on, unless the interrupt found something to run.
fn tick_irq_exit() {
    if idle_cpu(smp_processor_id()) && !need_resched() && !in_hardirq() {
        tick_nohz_irq_exit();
    }
}

fn invoke_softirq() {
    __do_softirq();
}

/// Whether `ksoftirqd` of this CPU has something to do.
fn ksoftirqd_should_run(_cpu: u32) -> bool {
    local_softirq_pending() != 0
}

/// One round of `ksoftirqd`.
extern "C" fn run_ksoftirqd(_cpu: u32) {
    local_irq_disable();
    if local_softirq_pending() != 0 {
        __do_softirq();
        local_irq_enable();
        cond_resched();
        return;
    }
    local_irq_enable();
}

fn ksoftirqd_store(cpu: u32) -> &'static Shared<Option<TaskRef>> {
    ksoftirqd.per_cpu(cpu)
}

static softirq_threads: SmpHotplugThread = SmpHotplugThread {
    store: ksoftirqd_store,
    thread_should_run: ksoftirqd_should_run,
    thread_fn: run_ksoftirqd,
    thread_comm: "ksoftirqd",
    ..SmpHotplugThread::EMPTY
};

/// Creates the `ksoftirqd` threads. An early initcall.
pub fn spawn_ksoftirqd() -> i32 {
    cpuhp_setup_state_nocalls(
        CPUHP_SOFTIRQ_DEAD,
        &"softirq:dead",
        None,
        Some(tasklet::takeover_tasklets),
    );
    BUG_ON!(smpboot_register_percpu_thread(&softirq_threads) != 0);
    0
}
