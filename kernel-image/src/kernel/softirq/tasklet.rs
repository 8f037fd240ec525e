//! Tasklets: functions that an interrupt leaves for later, each on the CPU that asked, never beside itself.
//!
//! Linux: `kernel/softirq.c` (v6.8): `tasklet_*`. Kept: both urgencies, the two state bits, disabling, killing, what
//! a CPU that dies leaves. Left out: nothing. Differs: those that wait for a tasklet share one wait queue.
//! Locks: none; the lists are per CPU with interrupts off.

use super::{__raise_softirq_irqoff, open_softirq, raise_softirq_irqoff};
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::fence::percpu::PerCpu;
use crate::fence::shared::Shared;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::interrupt::{HI_SOFTIRQ, TASKLET_SOFTIRQ};
use crate::include::linux::irqflags::{
    local_irq_disable, local_irq_enable, local_irq_restore, local_irq_save,
};
use crate::include::linux::list::list_empty;
use crate::include::linux::preempt::in_interrupt;
use crate::include::linux::sched::smp_mb;
use crate::include::linux::wait::WaitQueueHead;
use crate::include::trace::events::irq::{trace_tasklet_entry, trace_tasklet_exit};
use crate::kernel::sched::wait::{wait_event, wake_up_all};
use crate::{WARN_ON_ONCE, pr_notice};
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// It is in a list.
const TASKLET_STATE_SCHED: u64 = 1 << 0;
/// It runs.
const TASKLET_STATE_RUN: u64 = 1 << 1;

/// What a tasklet does.
pub type TaskletFunc = fn(&'static TaskletStruct);

/// A tasklet.
#[doc(alias = "tasklet_struct")]
#[repr(C)]
pub struct TaskletStruct {
    /// The next one of the CPU's list.
    next: Shared<Option<&'static TaskletStruct>>,
    /// `TASKLET_STATE_*`.
    state: AtomicU64,
    /// How many have disabled it.
    count: AtomicI32,
    callback: TaskletFunc,
}

impl TaskletStruct {
    /// A tasklet in no list (`DECLARE_TASKLET`).
    pub const fn new(callback: TaskletFunc) -> TaskletStruct {
        TaskletStruct {
            next: Shared::new(None),
            state: AtomicU64::new(0),
            count: AtomicI32::new(0),
            callback,
        }
    }

    fn trylock(&self) -> bool {
        self.state.fetch_or(TASKLET_STATE_RUN, Ordering::SeqCst) & TASKLET_STATE_RUN == 0
    }

    fn unlock(&self) {
        self.state.fetch_and(!TASKLET_STATE_RUN, Ordering::SeqCst);
        wake_waiters();
    }

    /// It leaves its list. True if it was in one.
    fn clear_sched(&self) -> bool {
        let was = self.state.fetch_and(!TASKLET_STATE_SCHED, Ordering::SeqCst);
        wake_waiters();
        was & TASKLET_STATE_SCHED != 0
    }

    fn is(&self, bit: u64) -> bool {
        self.state.load(Ordering::SeqCst) & bit != 0
    }
}

/// A CPU's list: first in, first out. Interrupts are off.
#[doc(alias = "tasklet_head")]
struct TaskletHead {
    head: Shared<Option<&'static TaskletStruct>>,
    tail: Shared<Option<&'static TaskletStruct>>,
}

impl TaskletHead {
    const fn new() -> TaskletHead {
        TaskletHead {
            head: Shared::new(None),
            tail: Shared::new(None),
        }
    }

    fn append(&self, first: &'static TaskletStruct, last: &'static TaskletStruct) {
        match self.tail.get() {
            Some(tail) => tail.next.set(Some(first)),
            None => self.head.set(Some(first)),
        }
        self.tail.set(Some(last));
    }

    fn take(&self) -> Option<(&'static TaskletStruct, &'static TaskletStruct)> {
        let first = self.head.replace(None);
        let last = self.tail.replace(None);
        first.zip(last)
    }
}

static tasklet_vec: PerCpu<TaskletHead> = PerCpu::new([const { TaskletHead::new() }; NR_CPUS]);
static tasklet_hi_vec: PerCpu<TaskletHead> = PerCpu::new([const { TaskletHead::new() }; NR_CPUS]);
/// Where tasks wait for some tasklet to run or to leave its list.
static tasklet_wait: WaitQueueHead = WaitQueueHead::new();

fn wake_waiters() {
    smp_mb();
    if !list_empty(&tasklet_wait.head) {
        wake_up_all(&tasklet_wait);
    }
}

fn __tasklet_schedule_common(
    t: &'static TaskletStruct,
    vec: &'static PerCpu<TaskletHead>,
    softirq_nr: u32,
) {
    if t.state.fetch_or(TASKLET_STATE_SCHED, Ordering::SeqCst) & TASKLET_STATE_SCHED != 0 {
        return;
    }
    let flags = local_irq_save();
    t.next.set(None);
    vec.this_cpu().append(t, t);
    raise_softirq_irqoff(softirq_nr);
    local_irq_restore(flags);
}

/// Has a tasklet run soon on this CPU; once, however often it is asked before it runs.
///
/// # Context
/// Any.
pub fn tasklet_schedule(t: &'static TaskletStruct) {
    __tasklet_schedule_common(t, &tasklet_vec, TASKLET_SOFTIRQ);
}

/// The same, before all other softirqs.
pub fn tasklet_hi_schedule(t: &'static TaskletStruct) {
    __tasklet_schedule_common(t, &tasklet_hi_vec, HI_SOFTIRQ);
}

fn tasklet_action_common(vec: &'static PerCpu<TaskletHead>, softirq_nr: u32) {
    local_irq_disable();
    let mut at = vec.this_cpu().take().map(|(first, _)| first);
    local_irq_enable();
    while let Some(t) = at {
        at = t.next.get();
        if t.trylock() {
            if t.count.load(Ordering::SeqCst) == 0 {
                if !WARN_ON_ONCE!(!t.clear_sched()) {
                    trace_tasklet_entry(t, t.callback);
                    (t.callback)(t);
                    trace_tasklet_exit(t, t.callback);
                }
                t.unlock();
                continue;
            }
            t.unlock();
        }
        // It runs elsewhere, or is disabled: later.
        local_irq_disable();
        t.next.set(None);
        vec.this_cpu().append(t, t);
        __raise_softirq_irqoff(softirq_nr);
        local_irq_enable();
    }
}

fn tasklet_action() {
    tasklet_action_common(&tasklet_vec, TASKLET_SOFTIRQ);
}

fn tasklet_hi_action() {
    tasklet_action_common(&tasklet_hi_vec, HI_SOFTIRQ);
}

/// Waits until the tasklet does not run.
///
/// # Context
/// May sleep.
pub fn tasklet_unlock_wait(t: &'static TaskletStruct) {
    wait_event(&tasklet_wait, || !t.is(TASKLET_STATE_RUN));
}

/// The tasklet does not begin to run from now on; it may run just now.
pub fn tasklet_disable_nosync(t: &TaskletStruct) {
    t.count.fetch_add(1, Ordering::SeqCst);
    smp_mb();
}

/// The tasklet does not run from now on.
///
/// # Context
/// May sleep.
pub fn tasklet_disable(t: &'static TaskletStruct) {
    tasklet_disable_nosync(t);
    tasklet_unlock_wait(t);
}

/// The same where one must not sleep.
pub fn tasklet_disable_in_atomic(t: &TaskletStruct) {
    tasklet_disable_nosync(t);
    while t.is(TASKLET_STATE_RUN) {
        cpu_relax();
    }
}

/// The tasklet may run again.
pub fn tasklet_enable(t: &TaskletStruct) {
    smp_mb();
    t.count.fetch_sub(1, Ordering::SeqCst);
}

/// Waits until the tasklet has run, if it was asked to, and is in no list. Nobody asks it to from now on.
///
/// # Context
/// May sleep.
pub fn tasklet_kill(t: &'static TaskletStruct) {
    if in_interrupt() {
        pr_notice!("Attempt to kill tasklet from interrupt");
    }
    // Taking the bit keeps it out of every list.
    while t.state.fetch_or(TASKLET_STATE_SCHED, Ordering::SeqCst) & TASKLET_STATE_SCHED != 0 {
        wait_event(&tasklet_wait, || !t.is(TASKLET_STATE_SCHED));
    }
    tasklet_unlock_wait(t);
    t.clear_sched();
}

/// A CPU is dead: its tasklets run here.
pub fn takeover_tasklets(cpu: u32) -> i32 {
    local_irq_disable();
    for (vec, softirq_nr) in [
        (&tasklet_vec, TASKLET_SOFTIRQ),
        (&tasklet_hi_vec, HI_SOFTIRQ),
    ] {
        if let Some((first, last)) = vec.per_cpu(cpu).take() {
            vec.this_cpu().append(first, last);
        }
        raise_softirq_irqoff(softirq_nr);
    }
    local_irq_enable();
    0
}

/// Tasklets are there from here on.
pub fn softirq_init() {
    open_softirq(TASKLET_SOFTIRQ, tasklet_action);
    open_softirq(HI_SOFTIRQ, tasklet_hi_action);
}
