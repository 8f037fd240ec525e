//! Where a real-time task that an interrupt wakes gets the CPU from a thread of the kernel.

use super::{fail, fifo, start, thread_on};
use crate::fence::shared::Shared;
use crate::fence::void::VoidPtr;
use crate::include::linux::hrtimer::*;
use crate::include::linux::irqflags::{local_irq_disable, local_irq_enable};
use crate::include::linux::kernel::might_sleep;
use crate::include::linux::kthread::{kthread_should_stop, kthread_stop};
use crate::include::linux::ktime::{Ktime, NSEC_PER_MSEC, NSEC_PER_USEC};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::sched::{
    __set_current_state, TASK_INTERRUPTIBLE, TASK_RUNNING, TaskRef, cond_resched, set_current_state,
};
use crate::kernel::sched::core::preempt_dynamic::{PreemptDynamic, preempt_dynamic_mode};
use crate::kernel::sched::core::{schedule, wake_up_process, r#yield};
use crate::kernel::time::hrtimer::hrtimer_resolution;
use crate::pr_info;
use core::sync::atomic::{AtomicU64, Ordering};

static RAN: AtomicU64 = AtomicU64::new(0);
static URGENT: Shared<Option<TaskRef>> = Shared::new(None);
static ALARM: Hrtimer = Hrtimer::new();

/// Counts each time it is woken, above everything else on this CPU.
extern "C" fn urgent(_data: VoidPtr) -> i32 {
    loop {
        set_current_state(TASK_INTERRUPTIBLE);
        if kthread_should_stop() {
            __set_current_state(TASK_RUNNING);
            return 0;
        }
        schedule();
        RAN.fetch_add(1, Ordering::SeqCst);
    }
}

fn ring(_timer: &'static Hrtimer) -> HrtimerRestart {
    if let Some(task) = URGENT.get() {
        wake_up_process(task);
    }
    HRTIMER_NORESTART
}

/// Lets the alarm wake it in 50 us, and computes for a millisecond without a call that could give way.
fn alarm_while_busy() {
    hrtimer_start(&ALARM, 50 * NSEC_PER_USEC, HRTIMER_MODE_REL_PINNED_HARD);
    busy();
}

fn busy() {
    // Without high resolution the alarm waits for a tick.
    let until = ktime_get() + NSEC_PER_MSEC + 2 * Ktime::from(hrtimer_resolution.get());
    while ktime_get() < until {
        core::hint::spin_loop();
    }
}

/// How often it ran during something.
fn ran_in(what: impl FnOnce()) -> u64 {
    let before = RAN.load(Ordering::SeqCst);
    what();
    RAN.load(Ordering::SeqCst) - before
}

pub(super) fn run() {
    let mode = preempt_dynamic_mode.get();
    let full = u64::from(mode == PreemptDynamic::Full);
    let voluntary = u64::from(mode == PreemptDynamic::Voluntary);
    hrtimer_init(&ALARM, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
    ALARM.function.set(Some(ring));
    let task = thread_on(0, urgent, VoidPtr::NULL, "urgent");
    fifo(task, 60);
    URGENT.set(Some(task));
    start(task);
    // It runs up to its first sleep.
    schedule();
    r#yield();

    // At the interrupt's end.
    expect("an interrupt in the kernel", ran_in(alarm_while_busy), full);
    expect(
        "cond_resched after it",
        ran_in(|| {
            cond_resched();
        }),
        1 - full,
    );
    // At the end of a section without preemption.
    preempt_disable();
    expect("a section without preemption", ran_in(alarm_while_busy), 0);
    expect("its end", ran_in(preempt_enable), full);
    expect("might_sleep after it", ran_in(might_sleep), voluntary);
    expect(
        "cond_resched after that",
        ran_in(|| {
            cond_resched();
        }),
        1 - full - voluntary,
    );
    // A wake-up of our own.
    expect(
        "a wake-up",
        ran_in(|| {
            wake_up_process(task);
        }),
        full,
    );
    expect("schedule after it", ran_in(|| schedule()), 1 - full);
    // With interrupts off nothing comes; the wake-up is at their end.
    local_irq_disable();
    expect("interrupts off", ran_in(alarm_while_busy), 0);
    expect("interrupts on", ran_in(local_irq_enable_and_wait), full);
    expect("schedule after that", ran_in(|| schedule()), 1 - full);
    kthread_stop(task);
    pr_info!("timers: preempt={mode:?} gives way where it should");
}

fn local_irq_enable_and_wait() {
    local_irq_enable();
    busy();
}

fn expect(what: &str, found: u64, right: u64) {
    if found != right {
        fail(format_args!(
            "preempt={:?}: after {what} the urgent task ran {found} times, not {right}",
            preempt_dynamic_mode.get()
        ));
    }
}
