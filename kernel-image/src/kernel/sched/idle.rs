//! The idle class and the idle loop.
//!
//! Linux: `kernel/sched/idle.c` (v6.8). Kept: the class, the loop with its polling flag, the re-check
//! before the halt, the stop of the tick before it, the call list taken on the way out, the end of a CPU that went
//! offline. Left out: cpuidle drivers, forced idle. Differs: nothing else.
//! Locks: the runqueue's lock is held in every hook of the class.

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::smp::raw_smp_processor_id;
use crate::arch::x86::include::asm::thread_info::TIF_POLLING_NRFLAG;
use crate::arch::x86::kernel::process::arch_cpu_idle_dead;
use crate::include::linux::cpuhotplug::CpuhpState;
use crate::include::linux::cpumask::cpu_online;
use crate::include::linux::irqflags::{local_irq_disable, local_irq_enable, native_safe_halt};
use crate::include::linux::preempt::set_preempt_need_resched;
use crate::include::linux::sched::{
    PF_IDLE, TaskRef, clear_tsk_thread_flag, need_resched, set_tsk_thread_flag, smp_mb, task_cpu,
};
use crate::include::linux::smp::{flush_smp_call_function_queue, smp_processor_id};
use crate::include::trace::events::power::{PWR_EVENT_EXIT, trace_cpu_idle};
use crate::kernel::context_tracking::{ct_idle_enter, ct_idle_exit};
use crate::kernel::cpu::{cpuhp_online_idle, cpuhp_report_idle_dead};
use crate::kernel::sched::core::affinity::set_cpus_allowed_common;
use crate::kernel::sched::core::{resched_curr, schedule_idle};
use crate::kernel::sched::fair::balance::nohz::nohz_run_idle_balance;
use crate::kernel::sched::fair::select::idle_sibling::update_idle_core;
use crate::kernel::sched::sched::{RqRef, SchedClass, raw_spin_rq_lock, raw_spin_rq_unlock};
use crate::kernel::sched::stats::schedstat_inc;
use crate::kernel::time::tick_sched::{
    tick_nohz_idle_enter, tick_nohz_idle_exit, tick_nohz_idle_stop_tick,
};
use crate::{BUG, WARN_ON_ONCE, pr_err};

/// The class.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static idle_sched_class: SchedClass = SchedClass {
    rank: 4,
    enqueue_task: enqueue_task_idle,
    dequeue_task: dequeue_task_idle,
    yield_task: yield_task_idle,
    yield_to_task: None,
    wakeup_preempt: wakeup_preempt_idle,
    pick_next_task: pick_next_task_idle,
    put_prev_task: put_prev_task_idle,
    set_next_task: set_next_task_idle,
    balance: balance_idle,
    select_task_rq: select_task_rq_idle,
    migrate_task_rq: None,
    task_woken: None,
    set_cpus_allowed: set_cpus_allowed_common,
    rq_online: None,
    rq_offline: None,
    find_lock_rq: None,
    task_tick: task_tick_idle,
    task_fork: None,
    task_dead: None,
    switched_from: None,
    switched_to: switched_to_idle,
    prio_changed: prio_changed_idle,
    get_rr_interval: None,
    update_curr: update_curr_idle,
    task_change_group: None,
};

/// The first task of a CPU becomes its idle loop, for ever.
pub fn cpu_startup_entry(state: CpuhpState) -> ! {
    current().flags.or(PF_IDLE);
    cpuhp_online_idle(state);
    loop {
        do_idle();
    }
}

/// Waits until there is something to do, and then lets it run.
///
/// While the polling flag is set, whoever wants this CPU only sets the need-resched flag; before the
/// halt the flag goes, and after it need-resched is looked at once more.
#[inline(never)]
fn do_idle() {
    let idle = current();
    // Sums that were to decay before idling; an interrupt may have brought work meanwhile.
    nohz_run_idle_balance(raw_smp_processor_id());
    set_tsk_thread_flag(idle, TIF_POLLING_NRFLAG);
    tick_nohz_idle_enter();
    while !need_resched() {
        local_irq_disable();
        if !cpu_online(raw_smp_processor_id()) {
            tick_nohz_idle_stop_tick();
            cpuhp_report_idle_dead();
            arch_cpu_idle_dead();
        }
        cpuidle_idle_call(idle);
    }
    // The flag was set from outside without touching our preempt_count.
    set_preempt_need_resched();
    tick_nohz_idle_exit();
    clear_tsk_thread_flag(idle, TIF_POLLING_NRFLAG);
    // Wake-ups that were queued on the strength of the polling flag alone.
    smp_mb();
    flush_smp_call_function_queue();
    schedule_idle();
}

fn cpuidle_idle_call(idle: TaskRef) {
    if need_resched() {
        local_irq_enable();
        return;
    }
    tick_nohz_idle_stop_tick();
    default_idle_call(idle);
}

fn default_idle_call(idle: TaskRef) {
    clear_tsk_thread_flag(idle, TIF_POLLING_NRFLAG);
    smp_mb();
    if need_resched() {
        local_irq_enable();
    } else {
        trace_cpu_idle(1, smp_processor_id());
        // RCU need not wait for a CPU that idles.
        ct_idle_enter();
        // `sti; hlt`: an interrupt that is already there ends the halt at once.
        native_safe_halt();
        local_irq_disable();
        ct_idle_exit();
        trace_cpu_idle(PWR_EVENT_EXIT, smp_processor_id());
        local_irq_enable();
    }
    set_tsk_thread_flag(idle, TIF_POLLING_NRFLAG);
}

fn select_task_rq_idle(p: TaskRef, _cpu: i32, _flags: i32) -> i32 {
    task_cpu(p) as i32
}

fn balance_idle(_rq: RqRef, _prev: TaskRef) -> bool {
    WARN_ON_ONCE!(true)
}

fn wakeup_preempt_idle(rq: RqRef, _p: TaskRef, _flags: i32) {
    resched_curr(rq);
}

fn put_prev_task_idle(_rq: RqRef, _prev: TaskRef) {}

fn set_next_task_idle(rq: RqRef, _next: TaskRef, _first: bool) {
    update_idle_core(rq);
}

fn pick_next_task_idle(rq: RqRef) -> Option<TaskRef> {
    let next = rq.idle_task();
    set_next_task_idle(rq, next, true);
    schedstat_inc(&rq.stats.sched_goidle);
    Some(next)
}

fn enqueue_task_idle(_rq: RqRef, _p: TaskRef, _flags: i32) {
    BUG!();
}

/// The idle task tried to sleep.
fn dequeue_task_idle(rq: RqRef, _p: TaskRef, _flags: i32) {
    raw_spin_rq_unlock(rq);
    local_irq_enable();
    pr_err!("bad: scheduling from the idle thread!");
    crate::kernel::panic::dump_stack();
    local_irq_disable();
    raw_spin_rq_lock(rq);
}

fn yield_task_idle(_rq: RqRef) {
    BUG!();
}

fn task_tick_idle(_rq: RqRef, _curr: TaskRef, _queued: i32) {}

fn switched_to_idle(_rq: RqRef, _p: TaskRef) {
    BUG!();
}

fn prio_changed_idle(_rq: RqRef, _p: TaskRef, _oldprio: i32) {
    BUG!();
}

fn update_curr_idle(_rq: RqRef) {}
