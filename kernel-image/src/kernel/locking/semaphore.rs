//! Counting semaphores. Linux: `kernel/locking/semaphore.c` (v6.8).
//!
//! Kept: all of it: waiters in order, the one that is woken has been given the semaphore. Left out: nothing.
//! Locks: the semaphore's own, with interrupts off; waking takes `pi_lock` inside it.

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::errno::{EINTR, ETIME};
use crate::include::linux::kernel::might_sleep;
use crate::include::linux::list::{ListHead, list_add_tail, list_del_init, list_empty};
use crate::include::linux::sched::signal::signal_pending_state;
use crate::include::linux::sched::{
    __set_current_state, MAX_SCHEDULE_TIMEOUT, TASK_INTERRUPTIBLE, TASK_KILLABLE,
    TASK_UNINTERRUPTIBLE, TaskRef,
};
use crate::include::linux::semaphore::Semaphore;
use crate::include::linux::spinlock::{
    raw_spin_lock_irq, raw_spin_lock_irqsave, raw_spin_unlock_irq, raw_spin_unlock_irqrestore,
};
use crate::kernel::sched::core::wake_up_process;
use crate::kernel::time::timer::sleep::schedule_timeout;
use crate::{intrusive_adapter, stack_pinned};

/// A task that waits; on its stack.
#[doc(alias = "semaphore_waiter")]
struct SemaphoreWaiter {
    list: ListHead,
    task: TaskRef,
    up: Shared<bool>,
}

impl StackObject for SemaphoreWaiter {
    fn quiescent(&self) -> bool {
        list_empty(&self.list)
    }
}

intrusive_adapter!(
    /// Waiters by their link.
    WaiterLink = SemaphoreWaiter { list: ListHead });

/// Sleeps until it is given. The lock is held, and let go of while asleep.
#[inline(never)]
fn __down_common(sem: &'static Semaphore, state: u32, timeout: u64) -> i32 {
    stack_pinned!(let waiter = SemaphoreWaiter {
        list: ListHead::new(),
        task: current(),
        up: Shared::new(false),
    });
    list_add_tail(&waiter.list, &sem.wait_list);
    let mut timeout = timeout;
    loop {
        if signal_pending_state(state, current()) {
            list_del_init(&waiter.list);
            return -EINTR;
        }
        if timeout == 0 {
            list_del_init(&waiter.list);
            return -ETIME;
        }
        __set_current_state(state);
        raw_spin_unlock_irq(&sem.lock);
        timeout = schedule_timeout(timeout);
        raw_spin_lock_irq(&sem.lock);
        if waiter.up.get() {
            return 0;
        }
    }
}

fn down_common(sem: &'static Semaphore, state: u32, timeout: u64) -> i32 {
    might_sleep();
    // As Linux: interrupts go on while the task sleeps, and are restored at the end.
    let flags = raw_spin_lock_irqsave(&sem.lock);
    let result = if sem.count.get() > 0 {
        sem.count.dec();
        0
    } else {
        __down_common(sem, state, timeout)
    };
    raw_spin_unlock_irqrestore(&sem.lock, flags);
    result
}

impl Semaphore {
    /// Takes it (`down`).
    ///
    /// # Context
    /// May sleep.
    pub fn down(&'static self) {
        down_common(self, TASK_UNINTERRUPTIBLE, MAX_SCHEDULE_TIMEOUT);
    }

    /// Takes it, unless a signal comes (`down_interruptible`): 0 or -EINTR.
    pub fn down_interruptible(&'static self) -> i32 {
        down_common(self, TASK_INTERRUPTIBLE, MAX_SCHEDULE_TIMEOUT)
    }

    /// Takes it, unless a fatal signal comes (`down_killable`): 0 or -EINTR.
    pub fn down_killable(&'static self) -> i32 {
        down_common(self, TASK_KILLABLE, MAX_SCHEDULE_TIMEOUT)
    }

    /// Takes it, if it is given within so many ticks (`down_timeout`): 0 or -ETIME.
    pub fn down_timeout(&'static self, timeout: u64) -> i32 {
        down_common(self, TASK_UNINTERRUPTIBLE, timeout)
    }

    /// Takes it if it is free (`down_trylock`, which returns the opposite).
    #[must_use]
    pub fn down_trylock(&'static self) -> bool {
        let _guard = self.lock.lock_irqsave();
        let free = self.count.get() > 0;
        if free {
            self.count.dec();
        }
        free
    }

    /// Gives it back: to the first who waits, if anybody does (`up`).
    ///
    /// # Context
    /// Any.
    pub fn up(&'static self) {
        let _guard = self.lock.lock_irqsave();
        match WaiterLink::first(&self.wait_list) {
            None => self.count.inc(),
            Some(waiter) => {
                list_del_init(&waiter.list);
                waiter.up.set(true);
                wake_up_process(waiter.task);
            }
        }
    }
}
