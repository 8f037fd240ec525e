//! What the workloads share: CPUs in a circle, arithmetic to burn time with, a thread's last act.

use crate::include::linux::cpumask::{NR_CPUS, cpu_online_mask};
use crate::include::linux::kthread::kthread_should_stop;
use crate::include::linux::sched::{
    __set_current_state, TASK_INTERRUPTIBLE, TASK_RUNNING, set_current_state,
};
use crate::kernel::sched::core::schedule;

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

/// So many turns of arithmetic that the compiler cannot see through.
pub fn compute(turns: u32, seed: u64) -> u64 {
    let mut x = seed | 1;
    for _ in 0..turns {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    core::hint::black_box(x)
}
