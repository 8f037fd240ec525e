//! The queue of those who spin for a lock that sleeps: only the first of them looks at the lock.
//!
//! Linux: `kernel/locking/osq_lock.c` and `include/linux/osq_lock.h` (v6.8). Kept: an MCS queue of one node a
//! CPU that a spinner may leave when it must give way. Left out: preempted virtual CPUs. Differs: links are
//! CPU numbers plus one (0: none) instead of addresses.
//! Context of all: preemption off, so that a CPU's node has one user.

use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::fence::percpu::PerCpu;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::sched::need_resched;
use crate::include::linux::smp::smp_processor_id;
use core::sync::atomic::{AtomicU32, Ordering};

/// Nobody.
const OSQ_UNLOCKED_VAL: u32 = 0;

/// A CPU's place in the one queue it may be in.
#[doc(alias = "optimistic_spin_node")]
struct OptimisticSpinNode {
    next: AtomicU32,
    prev: AtomicU32,
    locked: AtomicU32,
}

static osq_node: PerCpu<OptimisticSpinNode> = PerCpu::new(
    [const {
        OptimisticSpinNode {
            next: AtomicU32::new(0),
            prev: AtomicU32::new(0),
            locked: AtomicU32::new(0),
        }
    }; NR_CPUS],
);

/// The queue's end.
#[doc(alias = "optimistic_spin_queue")]
#[repr(transparent)]
pub struct OptimisticSpinQueue {
    tail: AtomicU32,
}

impl OptimisticSpinQueue {
    /// Nobody spins.
    pub const fn new() -> Self {
        Self {
            tail: AtomicU32::new(OSQ_UNLOCKED_VAL),
        }
    }

    /// Whether somebody spins (`osq_is_locked`).
    pub fn is_locked(&self) -> bool {
        self.tail.load(Ordering::Relaxed) != OSQ_UNLOCKED_VAL
    }
}

fn node_of(encoded: u32) -> &'static OptimisticSpinNode {
    osq_node.per_cpu(encoded - 1)
}

/// Who comes after `node`, taken off it; none if the queue ends here, and then it ends with `old`.
fn osq_wait_next(lock: &OptimisticSpinQueue, curr: u32, old: u32) -> u32 {
    let node = node_of(curr);
    loop {
        if lock.tail.load(Ordering::Relaxed) == curr
            && lock
                .tail
                .compare_exchange(curr, old, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
        {
            return 0;
        }
        // Whoever took the tail after us is about to link itself.
        if node.next.load(Ordering::Relaxed) != 0 {
            let next = node.next.swap(0, Ordering::SeqCst);
            if next != 0 {
                return next;
            }
        }
        cpu_relax();
    }
}

/// Queues up, and spins until it is this CPU's turn. False if the task must give way first.
pub fn osq_lock(lock: &OptimisticSpinQueue) -> bool {
    let curr = smp_processor_id() + 1;
    let node = node_of(curr);
    node.locked.store(0, Ordering::Relaxed);
    node.next.store(0, Ordering::Relaxed);
    let old = lock.tail.swap(curr, Ordering::SeqCst);
    if old == OSQ_UNLOCKED_VAL {
        return true;
    }
    node.prev.store(old, Ordering::SeqCst);
    node_of(old).next.store(curr, Ordering::SeqCst);
    while node.locked.load(Ordering::Acquire) == 0 {
        if need_resched() {
            return osq_unqueue(lock, curr);
        }
        cpu_relax();
    }
    true
}

/// Leaves the queue; true if the turn came meanwhile.
fn osq_unqueue(lock: &OptimisticSpinQueue, curr: u32) -> bool {
    let node = node_of(curr);
    let mut prev = node.prev.load(Ordering::SeqCst);
    // First the one before us forgets us: then it cannot pass the turn to us.
    loop {
        if node_of(prev)
            .next
            .compare_exchange(curr, 0, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
        {
            break;
        }
        if node.locked.load(Ordering::Acquire) != 0 {
            return true;
        }
        cpu_relax();
        // It may have left itself, and another one be before us.
        prev = node.prev.load(Ordering::SeqCst);
    }
    let next = osq_wait_next(lock, curr, prev);
    if next != 0 {
        node_of(next).prev.store(prev, Ordering::SeqCst);
        node_of(prev).next.store(next, Ordering::SeqCst);
    }
    false
}

/// Passes the turn on.
pub fn osq_unlock(lock: &OptimisticSpinQueue) {
    let curr = smp_processor_id() + 1;
    if lock
        .tail
        .compare_exchange(curr, OSQ_UNLOCKED_VAL, Ordering::Release, Ordering::Relaxed)
        .is_ok()
    {
        return;
    }
    let mut next = node_of(curr).next.swap(0, Ordering::SeqCst);
    if next == 0 {
        next = osq_wait_next(lock, curr, OSQ_UNLOCKED_VAL);
    }
    if next != 0 {
        node_of(next).locked.store(1, Ordering::Release);
    }
}
