//! Semaphores whose readers pay almost nothing. Linux: `kernel/locking/percpu-rwsem.c` (v6.8).
//!
//! Kept: all of it: the fast way of readers that a writer closes with a grace period, the counts whose sum
//! must be 0, the queue in which readers and writers are given the semaphore in order. Left out: lockdep,
//! `percpu_free_rwsem`. Differs: what a waiter waits for is in its queue entry's object instead of the
//! wake-up's key.
//! Locks: the wait queue's.

use crate::arch::x86::include::asm::current::current;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::cpumask::cpu_possible_mask;
use crate::include::linux::kernel::might_sleep;
use crate::include::linux::list::list_del_init;
use crate::include::linux::percpu_rwsem::PercpuRwSemaphore;
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::rcuwait::{rcuwait_wait_event, rcuwait_wake_up};
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::{
    __set_current_state, TASK_NORMAL, TASK_RUNNING, TASK_UNINTERRUPTIBLE, set_current_state, smp_mb,
};
use crate::include::linux::spinlock::{spin_lock_irq, spin_unlock_irq};
use crate::include::linux::wait::{WQ_FLAG_CUSTOM, WQ_FLAG_EXCLUSIVE, WaitQueueEntry};
use crate::kernel::rcu::sync::{rcu_sync_enter, rcu_sync_exit, rcu_sync_is_idle};
use crate::kernel::sched::core::{schedule, wake_up_process};
use crate::kernel::sched::wait::{__add_wait_queue_entry_tail, __wake_up};
use crate::{WARN_ON_ONCE, container_of, stack_pinned};
use core::sync::atomic::Ordering;

/// A reader or writer that waits; on its stack.
struct PercpuRwsemWaiter {
    wq_entry: WaitQueueEntry,
    sem: &'static PercpuRwSemaphore,
}

impl StackObject for PercpuRwsemWaiter {
    fn quiescent(&self) -> bool {
        self.wq_entry.quiescent()
    }
}

/// Reads, unless a writer is there. Preemption is off: the count that goes up is the one that goes down.
fn __percpu_down_read_trylock(sem: &'static PercpuRwSemaphore) -> bool {
    sem.read_count.this_cpu().fetch_add(1, Ordering::SeqCst);
    // The count, then the look at the writer; the writer blocks first and then sums up.
    smp_mb();
    if sem.block.load(Ordering::Acquire) == 0 {
        return true;
    }
    sem.read_count.this_cpu().fetch_sub(1, Ordering::SeqCst);
    // The writer may have summed us up.
    rcuwait_wake_up(&sem.writer);
    false
}

fn __percpu_down_write_trylock(sem: &'static PercpuRwSemaphore) -> bool {
    sem.block.load(Ordering::Relaxed) == 0 && sem.block.swap(1, Ordering::SeqCst) == 0
}

fn __percpu_rwsem_trylock(sem: &'static PercpuRwSemaphore, reader: bool) -> bool {
    if !reader {
        return __percpu_down_write_trylock(sem);
    }
    preempt_disable();
    let got = __percpu_down_read_trylock(sem);
    preempt_enable();
    got
}

/// Gives the semaphore to a waiter. True ends the walk: a writer has it, or somebody could not have it.
fn percpu_rwsem_wake_function(
    wq_entry: &'static WaitQueueEntry,
    _mode: u32,
    _wake_flags: i32,
) -> bool {
    let waiter = container_of!(wq_entry, PercpuRwsemWaiter, wq_entry);
    let reader = wq_entry.flags.get() & WQ_FLAG_CUSTOM != 0;
    if !__percpu_rwsem_trylock(waiter.sem, reader) {
        return true;
    }
    let Some(p) = wq_entry.private.get() else {
        return true;
    };
    get_task_struct(p);
    list_del_init(&wq_entry.entry);
    core::sync::atomic::fence(Ordering::Release);
    // From here on the waiter may be gone.
    wq_entry.private.set(None);
    wake_up_process(p);
    put_task_struct(p);
    !reader
}

fn percpu_rwsem_wait(sem: &'static PercpuRwSemaphore, reader: bool) {
    stack_pinned!(let waiter = PercpuRwsemWaiter {
        wq_entry: WaitQueueEntry::with_func(current(), percpu_rwsem_wake_function),
        sem,
    });
    let wq_entry = &waiter.wq_entry;
    spin_lock_irq(&sem.waiters.lock);
    // Once more: whoever had it may have gone.
    let wait = !__percpu_rwsem_trylock(sem, reader);
    if wait {
        let custom = if reader { WQ_FLAG_CUSTOM } else { 0 };
        wq_entry.flags.set(WQ_FLAG_EXCLUSIVE | custom);
        __add_wait_queue_entry_tail(&sem.waiters, wq_entry);
    }
    spin_unlock_irq(&sem.waiters.lock);
    if !wait {
        return;
    }
    loop {
        set_current_state(TASK_UNINTERRUPTIBLE);
        if wq_entry.private.get().is_none() {
            break;
        }
        schedule();
    }
    __set_current_state(TASK_RUNNING);
}

/// Whether no reader is left.
fn readers_active_check(sem: &'static PercpuRwSemaphore) -> bool {
    if per_cpu_sum(sem) != 0 {
        return false;
    }
    // What the readers did is seen after this.
    smp_mb();
    true
}

fn per_cpu_sum(sem: &'static PercpuRwSemaphore) -> u32 {
    cpu_possible_mask()
        .iter()
        .map(|cpu| sem.read_count.per_cpu(cpu).load(Ordering::SeqCst))
        .fold(0, u32::wrapping_add)
}

impl PercpuRwSemaphore {
    /// Reads (`percpu_down_read`).
    ///
    /// # Context
    /// May sleep.
    pub fn down_read(&'static self) {
        might_sleep();
        preempt_disable();
        // With preemption off this is a reader of RCU: the writer's grace period waits for its end.
        if rcu_sync_is_idle(&self.rss) {
            self.read_count.this_cpu().fetch_add(1, Ordering::Relaxed);
        } else if !__percpu_down_read_trylock(self) {
            preempt_enable();
            percpu_rwsem_wait(self, true);
            return;
        }
        preempt_enable();
    }

    /// Reads if no writer is there (`percpu_down_read_trylock`).
    #[must_use]
    pub fn down_read_trylock(&'static self) -> bool {
        preempt_disable();
        let got = if rcu_sync_is_idle(&self.rss) {
            self.read_count.this_cpu().fetch_add(1, Ordering::Relaxed);
            true
        } else {
            __percpu_down_read_trylock(self)
        };
        preempt_enable();
        got
    }

    /// Reads no more (`percpu_up_read`).
    pub fn up_read(&'static self) {
        preempt_disable();
        if rcu_sync_is_idle(&self.rss) {
            self.read_count.this_cpu().fetch_sub(1, Ordering::Release);
        } else {
            // What we did, then the count, then the writer that may wait for it.
            smp_mb();
            self.read_count.this_cpu().fetch_sub(1, Ordering::SeqCst);
            rcuwait_wake_up(&self.writer);
        }
        preempt_enable();
    }

    /// Closes the fast way, keeps new readers out, waits for those there are, and writes
    /// (`percpu_down_write`).
    ///
    /// # Context
    /// May sleep.
    pub fn down_write(&'static self) {
        might_sleep();
        rcu_sync_enter(&self.rss);
        // The only writer from here on.
        if !__percpu_down_write_trylock(self) {
            percpu_rwsem_wait(self, false);
        }
        smp_mb();
        rcuwait_wait_event(
            &self.writer,
            || readers_active_check(self),
            TASK_UNINTERRUPTIBLE,
        );
    }

    /// Writes no more (`percpu_up_write`).
    pub fn up_write(&'static self) {
        WARN_ON_ONCE!(self.block.load(Ordering::Relaxed) == 0);
        self.block.store(0, Ordering::SeqCst);
        // Readers up to the first writer, or that writer.
        __wake_up(&self.waiters, TASK_NORMAL, 1, 0);
        rcu_sync_exit(&self.rss);
    }

    /// Whether anybody reads or writes.
    pub fn is_held(&'static self) -> bool {
        self.block.load(Ordering::Relaxed) != 0 || per_cpu_sum(self) != 0
    }
}
