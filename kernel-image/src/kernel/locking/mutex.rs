//! Mutexes. Linux: `kernel/locking/mutex.c` (v6.8).
//!
//! Kept: FIFO waiters in an uninterruptible sleep, the wake-up of the first waiter outside the lock.
//! Left out: optimistic spinning and the lock word's flags: the fast path takes the wait lock instead.
//! Differs: the lock is handed to the first waiter, as Linux does after a waiter asked for it.
//! Locks: the mutex's `wait_lock`.

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::kernel::might_sleep;
use crate::include::linux::list::{ListHead, list_add_tail, list_del_init, list_empty};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::sched::wake_q::WakeQHead;
use crate::include::linux::sched::{
    __set_current_state, TASK_RUNNING, TASK_UNINTERRUPTIBLE, TaskRef, same_task, set_current_state,
};
use crate::kernel::sched::core::{schedule, wake_q_add, wake_up_q};
use crate::{WARN_ON_ONCE, intrusive_adapter, stack_pinned};

/// A task that waits for a mutex; on its stack.
#[doc(alias = "mutex_waiter")]
struct MutexWaiter {
    list: ListHead,
    task: Shared<Option<TaskRef>>,
}

impl StackObject for MutexWaiter {
    fn quiescent(&self) -> bool {
        list_empty(&self.list)
    }
}

intrusive_adapter!(
    /// Waiters by their link.
    WaiterLink = MutexWaiter { list: ListHead });

impl Mutex {
    /// Takes the mutex (`mutex_lock`).
    ///
    /// # Context
    /// May sleep.
    pub fn lock(&'static self) {
        might_sleep();
        if self.trylock() {
            return;
        }
        stack_pinned!(let waiter =
            MutexWaiter { list: ListHead::new(), task: Shared::new(Some(current())) });
        {
            let _guard = self.wait_lock.lock();
            if self.owner.get().is_none() {
                self.owner.set(Some(current()));
                return;
            }
            list_add_tail(&waiter.list, &self.wait_list);
        }
        loop {
            set_current_state(TASK_UNINTERRUPTIBLE);
            if self
                .owner
                .get()
                .is_some_and(|owner| same_task(owner, current()))
            {
                break;
            }
            schedule();
        }
        __set_current_state(TASK_RUNNING);
        // Whoever handed the mutex over may still hold the wait lock.
        let _guard = self.wait_lock.lock();
    }

    /// Takes the mutex if it is free (`mutex_trylock`).
    #[must_use]
    pub fn trylock(&'static self) -> bool {
        let _guard = self.wait_lock.lock();
        let free = self.owner.get().is_none();
        if free {
            self.owner.set(Some(current()));
        }
        free
    }

    /// Gives the mutex back (`mutex_unlock`).
    pub fn unlock(&'static self) {
        let mut wake_q = WakeQHead::new();
        {
            let _guard = self.wait_lock.lock();
            WARN_ON_ONCE!(
                !self
                    .owner
                    .get()
                    .is_some_and(|owner| same_task(owner, current()))
            );
            let next = WaiterLink::first(&self.wait_list);
            if let Some(waiter) = next {
                list_del_init(&waiter.list);
                let task = waiter.task.get();
                self.owner.set(task);
                if let Some(task) = task {
                    wake_q_add(&mut wake_q, task);
                }
            } else {
                self.owner.set(None);
            }
        }
        wake_up_q(&mut wake_q);
    }
}
