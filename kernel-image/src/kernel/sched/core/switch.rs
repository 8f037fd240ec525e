//! From one task to the next: the switch itself and the hand-over of the runqueue's lock.
//!
//! Linux: `kernel/sched/core.c` (v6.8): `context_switch`, `finish_task_switch`, `schedule_tail`,
//! balance callbacks. Kept: the order of `on_cpu`, lock and interrupts; the last reference of a dead
//! task; whose memory map is in force, borrowed by kernel threads. Left out: notifiers. Differs: a map maps
//! nothing, so `switch_mm_irqs_off` only says which one it is.
//! Locks: the runqueue's lock is taken by the task that leaves and released by the one that comes.

use super::balance_callback::__balance_callbacks;
use crate::WARN;
use crate::arch::x86::include::asm::switch_to::switch_to;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::mm_types::MmStruct;
use crate::include::linux::preempt::{
    FORK_PREEMPT_COUNT, PREEMPT_OFFSET, preempt_count, preempt_count_set, preempt_enable,
};
use crate::include::linux::sched::{TASK_DEAD, TaskRef};
use crate::include::linux::spinlock::raw_spin_unlock_irq;
use crate::kernel::exit::put_task_struct_rcu_user;
use crate::kernel::fork::{mmdrop_lazy_tlb, mmgrab_lazy_tlb, put_task_stack};
use crate::kernel::sched::sched::{RqRef, this_rq};
use crate::kernel::sched::stats::sched_info_switch;
use core::sync::atomic::Ordering;

/// Switches to `next`. Returns when `prev` runs again, maybe on another CPU, with the lock of that
/// CPU's runqueue released and interrupts on.
#[inline(never)]
pub(super) fn context_switch(rq: RqRef, prev: TaskRef, next: TaskRef) {
    prepare_task_switch(rq, prev, next);
    match next.mm.get() {
        // A kernel thread goes on with whatever map is there, and keeps it from going away.
        None => {
            let active_mm = prev.active_mm.get();
            next.active_mm.set(active_mm);
            match (prev.mm.get(), active_mm) {
                (Some(_), Some(mm)) => mmgrab_lazy_tlb(mm),
                // It had borrowed it too: the reference goes on with it.
                _ => prev.active_mm.set(None),
            }
        }
        Some(mm) => {
            switch_mm_irqs_off(mm);
            if prev.mm.get().is_none() {
                // The borrowed map is given back once this CPU is off it, by the task that comes.
                rq.prev_mm.set(prev.active_mm.replace(None));
            }
        }
    }
    let last = switch_to(prev, next);
    finish_task_switch(last);
}

/// The map that is in force on each CPU.
static loaded_mm: PerCpu<Shared<Option<&'static MmStruct>>> =
    PerCpu::new([const { Shared::new(None) }; NR_CPUS]);

/// Puts a map in force on this CPU. Interrupts are off.
pub fn switch_mm_irqs_off(next: &'static MmStruct) {
    loaded_mm.this_cpu().set(Some(next));
}

fn prepare_task_switch(rq: RqRef, prev: TaskRef, next: TaskRef) {
    sched_info_switch(rq, prev, next);
    // From here until finish_task, next may not be woken onto another CPU.
    next.on_cpu.store(1, Ordering::Relaxed);
}

/// After this store the task may be woken, moved or freed by others.
fn finish_task(prev: TaskRef) {
    prev.on_cpu.store(0, Ordering::Release);
}

/// Ends a switch on the stack of the task that came. `prev` is the task that left this CPU.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn finish_task_switch(prev: TaskRef) -> RqRef {
    let rq = this_rq();
    // One for schedule(), one for the lock.
    if WARN!(
        preempt_count() != 2 * PREEMPT_OFFSET,
        "corrupted preempt_count: {:?}/{:#x}\n",
        rq.current(),
        preempt_count()
    ) {
        preempt_count_set(FORK_PREEMPT_COUNT);
    }
    // Before on_cpu is cleared: afterwards the task may be woken and its state change.
    let prev_state = prev.__state.get();
    let mm = rq.prev_mm.replace(None);
    finish_task(prev);
    finish_lock_switch(rq);
    if let Some(mm) = mm {
        mmdrop_lazy_tlb(mm);
    }
    if prev_state == TASK_DEAD {
        if let Some(task_dead) = prev.class().task_dead {
            task_dead(prev);
        }
        put_task_stack(prev);
        put_task_struct_rcu_user(prev);
    }
    rq
}

fn finish_lock_switch(rq: RqRef) {
    __balance_callbacks(rq);
    raw_spin_unlock_irq(&rq.__lock);
}

/// The first thing a new task does.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn schedule_tail(prev: TaskRef) {
    finish_task_switch(prev);
    // The task was born with a count of two; this is the second of them.
    preempt_enable();
}
