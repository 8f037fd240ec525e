//! What the workloads share: CPUs in a circle, arithmetic to burn time with, a thread's last act, a crew
//! whose threads end by themselves.

use crate::include::linux::cpumask::{NR_CPUS, cpu_online_mask};
use crate::include::linux::kthread::kthread_should_stop;
use crate::include::linux::preempt::preemptible;
use crate::include::linux::sched::{
    __set_current_state, TASK_INTERRUPTIBLE, TASK_RUNNING, cond_resched, set_current_state,
};
use crate::include::linux::wait::WaitQueueHead;
use crate::kernel::sched::core::schedule;
use crate::kernel::sched::wait::{wait_event, wake_up_all};
use core::sync::atomic::{AtomicU64, Ordering};

/// Threads that pid 1 waits for: until all have come, and until all have gone.
pub struct Crew {
    joined: AtomicU64,
    ready: AtomicU64,
    gone: AtomicU64,
    wait: WaitQueueHead,
}

impl Crew {
    /// Nobody.
    pub const fn new() -> Crew {
        Crew {
            joined: AtomicU64::new(0),
            ready: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            wait: WaitQueueHead::new(),
        }
    }

    /// One more is about to be made.
    pub fn joins(&self) {
        self.joined.fetch_add(1, Ordering::SeqCst);
    }

    /// The current thread has come.
    pub fn is_ready(&'static self) {
        self.advance(&self.ready);
    }

    /// The current thread is about to end.
    pub fn leaves(&'static self) {
        self.advance(&self.gone);
    }

    /// Sleeps until all that were made have come.
    pub fn wait_until_ready(&'static self) {
        wait_event(&self.wait, || self.all(&self.ready));
    }

    /// Sleeps until all that were made are about to end.
    pub fn wait_until_gone(&'static self) {
        wait_event(&self.wait, || self.all(&self.gone));
    }

    /// Whether all that were made are about to end.
    pub fn are_gone(&self) -> bool {
        self.all(&self.gone)
    }

    fn all(&self, of: &AtomicU64) -> bool {
        of.load(Ordering::SeqCst) == self.joined.load(Ordering::SeqCst)
    }

    fn advance(&'static self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::SeqCst);
        if self.all(counter) {
            wake_up_all(&self.wait);
        }
    }
}

/// A thread's last act: it stays, so that others may still name it, until it is dismissed.
pub fn wait_for_stop() -> i32 {
    loop {
        set_current_state(TASK_INTERRUPTIBLE);
        if kthread_should_stop() {
            __set_current_state(TASK_RUNNING);
            return 0;
        }
        schedule();
    }
}

/// The n-th online CPU, counted in a circle.
pub fn nth_cpu(n: u64) -> u32 {
    let online = cpu_online_mask();
    let n = n as usize % online.weight() as usize;
    online.iter().nth(n).unwrap_or(0)
}

/// The online CPU after `cpu`, in a circle.
pub fn next_cpu(cpu: u32) -> u32 {
    let online = cpu_online_mask();
    let next = online.next(cpu);
    if (next as usize) < NR_CPUS {
        next
    } else {
        online.first()
    }
}

/// So many turns of arithmetic that the compiler cannot see through. The workloads stand for user space, which an
/// interrupt preempts in every mode of `preempt=`: where the kernel's threads are not, the end of the turns is.
pub fn compute(turns: u32, seed: u64) -> u64 {
    let mut x = seed | 1;
    for _ in 0..turns {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    if preemptible() {
        cond_resched();
    }
    core::hint::black_box(x)
}
