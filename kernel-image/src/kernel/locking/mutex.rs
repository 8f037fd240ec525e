//! Mutexes. Linux: `kernel/locking/mutex.c` (v6.8).
//!
//! Kept: one word with owner and flags, spinning while the owner runs, waiters in order, the hand-off that
//! the first waiter asks for when it was woken in vain. Left out: wait-wound mutexes, lockdep, the debugging
//! build. Differs: nothing else.
//! Locks: the mutex's `wait_lock`.

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::fence::tagged::Tagged;
use crate::include::linux::errno::EINTR;
use crate::include::linux::kernel::might_sleep;
use crate::include::linux::list::{ListHead, list_add_tail, list_del_init, list_empty, list_first};
use crate::include::linux::mutex::Mutex;
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::sched::signal::signal_pending_state;
use crate::include::linux::sched::wake_q::WakeQHead;
use crate::include::linux::sched::{
    __set_current_state, TASK_INTERRUPTIBLE, TASK_KILLABLE, TASK_RUNNING, TASK_UNINTERRUPTIBLE,
    TaskRef, TaskStruct, need_resched, same_task, set_current_state,
};
use crate::include::linux::spinlock::{raw_spin_lock, raw_spin_unlock};
use crate::kernel::locking::osq_lock::{osq_lock, osq_unlock};
use crate::kernel::sched::core::{schedule_preempt_disabled, wake_q_add, wake_up_q};
use crate::kernel::sched::sched::task_on_cpu;
use crate::{WARN_ON_ONCE, intrusive_adapter, stack_pinned};

/// Somebody sleeps: the one who unlocks wakes him.
const MUTEX_FLAG_WAITERS: usize = 0x01;
/// The first of them wants the mutex handed to him.
const MUTEX_FLAG_HANDOFF: usize = 0x02;
/// It has been handed to the owner that the word names, who has not picked it up yet.
const MUTEX_FLAG_PICKUP: usize = 0x04;
const MUTEX_FLAGS: usize = 0x07;

type Owner = Tagged<TaskStruct>;

fn owner_is(task: Option<TaskRef>, it: TaskRef) -> bool {
    task.is_some_and(|task| same_task(task, it))
}

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

/// Whether it is worth spinning for `owner`.
pub(super) fn owner_on_cpu(owner: TaskRef) -> bool {
    // Tasks are never unmapped: Linux needs a reader of RCU here, or preemption off.
    task_on_cpu(owner)
}

/// Tries to take it; with `handoff`, asks for it to be handed over if somebody else holds it.
///
/// # Returns
/// Whose it is now, if not ours.
fn __mutex_trylock_common(lock: &'static Mutex, handoff: bool) -> Result<(), Option<TaskRef>> {
    let curr = current();
    let mut owner = lock.owner.load();
    loop {
        let mut flags = owner.flags();
        let task = owner.target();
        if task.is_some() {
            if flags & MUTEX_FLAG_PICKUP != 0 {
                if !owner_is(task, curr) {
                    return Err(task);
                }
                flags &= !MUTEX_FLAG_PICKUP;
            } else if handoff {
                if flags & MUTEX_FLAG_HANDOFF != 0 {
                    return Err(task);
                }
                flags |= MUTEX_FLAG_HANDOFF;
            } else {
                return Err(task);
            }
        } else {
            WARN_ON_ONCE!(flags & (MUTEX_FLAG_HANDOFF | MUTEX_FLAG_PICKUP) != 0);
        }
        let next = task.unwrap_or(curr);
        match lock
            .owner
            .compare_exchange(owner, Owner::new(Some(next), flags))
        {
            Ok(()) if same_task(next, curr) => return Ok(()),
            Ok(()) => return Err(Some(next)),
            Err(now) => owner = now,
        }
    }
}

fn __mutex_trylock(lock: &'static Mutex) -> bool {
    __mutex_trylock_common(lock, false).is_ok()
}

/// The owner does not sleep, or there is none.
fn mutex_can_spin_on_owner(lock: &'static Mutex) -> bool {
    if need_resched() {
        return false;
    }
    lock.owner.load().target().is_none_or(owner_on_cpu)
}

/// Spins while `owner` has it and runs. False if it is no use any more.
#[inline(never)]
fn mutex_spin_on_owner(lock: &'static Mutex, owner: Option<TaskRef>) -> bool {
    let Some(owner) = owner else { return true };
    while owner_is(lock.owner.load().target(), owner) {
        if !owner_on_cpu(owner) || need_resched() {
            return false;
        }
        cpu_relax();
    }
    true
}

/// Spins for it: those who do not wait queue up for that; the first waiter does not.
///
/// # Context
/// Preemption off.
/// # Returns
/// Whether it is ours.
fn mutex_optimistic_spin(lock: &'static Mutex, waiter: bool) -> bool {
    let begun = waiter || mutex_can_spin_on_owner(lock) && osq_lock(&lock.osq);
    if begun {
        let taken = loop {
            match __mutex_trylock_common(lock, false) {
                Ok(()) => break true,
                Err(owner) => {
                    if !mutex_spin_on_owner(lock, owner) {
                        break false;
                    }
                }
            }
            cpu_relax();
        };
        if !waiter {
            osq_unlock(&lock.osq);
        }
        if taken {
            return true;
        }
    }
    // Somebody wants this CPU: give way now, before we queue up for a sleep.
    if need_resched() {
        __set_current_state(TASK_RUNNING);
        schedule_preempt_disabled();
    }
    false
}

fn __mutex_remove_waiter(lock: &'static Mutex, waiter: &'static MutexWaiter) {
    list_del_init(&waiter.list);
    if list_empty(&lock.wait_list) {
        lock.owner.clear(MUTEX_FLAGS);
    }
}

/// Whether the waiter is the first.
fn is_first(lock: &'static Mutex, waiter: &'static MutexWaiter) -> bool {
    list_first(&lock.wait_list).is_some_and(|first| core::ptr::eq(first, &waiter.list))
}

/// Spins, then sleeps in `state`.
///
/// # Returns
/// 0 or -EINTR.
#[inline(never)]
fn __mutex_lock_common(lock: &'static Mutex, state: u32) -> i32 {
    preempt_disable();
    if __mutex_trylock(lock) || mutex_optimistic_spin(lock, false) {
        preempt_enable();
        return 0;
    }
    stack_pinned!(let waiter =
        MutexWaiter { list: ListHead::new(), task: Shared::new(Some(current())) });
    raw_spin_lock(&lock.wait_lock);
    // Once more, now that whoever unlocks would see us.
    let mut ret = 0;
    if !__mutex_trylock(lock) {
        list_add_tail(&waiter.list, &lock.wait_list);
        if is_first(lock, waiter) {
            lock.owner.fetch_or(MUTEX_FLAG_WAITERS);
        }
        set_current_state(state);
        loop {
            if __mutex_trylock(lock) {
                break;
            }
            if signal_pending_state(state, current()) {
                ret = -EINTR;
                break;
            }
            raw_spin_unlock(&lock.wait_lock);
            schedule_preempt_disabled();
            let first = is_first(lock, waiter);
            set_current_state(state);
            // The first one was woken in vain if this fails: the next owner shall be he.
            if __mutex_trylock_common(lock, first).is_ok()
                || first && mutex_optimistic_spin(lock, true)
            {
                raw_spin_lock(&lock.wait_lock);
                break;
            }
            raw_spin_lock(&lock.wait_lock);
        }
        __set_current_state(TASK_RUNNING);
        __mutex_remove_waiter(lock, waiter);
    }
    raw_spin_unlock(&lock.wait_lock);
    preempt_enable();
    ret
}

/// Somebody waits: hands it over if he asked for that, and wakes him.
#[inline(never)]
fn __mutex_unlock_slowpath(lock: &'static Mutex) {
    let mut owner = lock.owner.load();
    let mut handoff;
    loop {
        WARN_ON_ONCE!(!owner_is(owner.target(), current()));
        WARN_ON_ONCE!(owner.flags() & MUTEX_FLAG_PICKUP != 0);
        handoff = owner.flags() & MUTEX_FLAG_HANDOFF != 0;
        if handoff {
            break;
        }
        match lock
            .owner
            .compare_exchange(owner, Owner::new(None, owner.flags()))
        {
            Ok(()) if owner.flags() & MUTEX_FLAG_WAITERS != 0 => break,
            Ok(()) => return,
            Err(now) => owner = now,
        }
    }
    let mut wake_q = WakeQHead::new();
    raw_spin_lock(&lock.wait_lock);
    let next = WaiterLink::first(&lock.wait_list).and_then(|waiter| waiter.task.get());
    if let Some(next) = next {
        wake_q_add(&mut wake_q, next);
    }
    if handoff {
        __mutex_handoff(lock, next);
    }
    raw_spin_unlock(&lock.wait_lock);
    wake_up_q(&mut wake_q);
}

/// Names the next owner, who has to pick it up.
fn __mutex_handoff(lock: &'static Mutex, task: Option<TaskRef>) {
    let mut owner = lock.owner.load();
    loop {
        let mut flags = owner.flags() & MUTEX_FLAG_WAITERS;
        if task.is_some() {
            flags |= MUTEX_FLAG_PICKUP;
        }
        match lock.owner.compare_exchange(owner, Owner::new(task, flags)) {
            Ok(()) => return,
            Err(now) => owner = now,
        }
    }
}

/// Takes the mutex.
///
/// # Context
/// May sleep.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mutex_lock(lock: &'static Mutex) {
    might_sleep();
    if !mutex_trylock_fast(lock) {
        __mutex_lock_common(lock, TASK_UNINTERRUPTIBLE);
    }
}

/// Gives the mutex back.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mutex_unlock(lock: &'static Mutex) {
    let free = Owner::new(None, 0);
    if lock
        .owner
        .compare_exchange(Owner::new(Some(current()), 0), free)
        .is_err()
    {
        __mutex_unlock_slowpath(lock);
    }
}

fn mutex_trylock_fast(lock: &'static Mutex) -> bool {
    lock.owner
        .compare_exchange(Owner::new(None, 0), Owner::new(Some(current()), 0))
        .is_ok()
}

impl Mutex {
    /// Takes the mutex (`mutex_lock`).
    ///
    /// # Context
    /// May sleep.
    pub fn lock(&'static self) {
        mutex_lock(self);
    }

    /// The same, unless a signal comes (`mutex_lock_interruptible`).
    ///
    /// # Returns
    /// 0 or -EINTR.
    pub fn lock_interruptible(&'static self) -> i32 {
        self.lock_state(TASK_INTERRUPTIBLE)
    }

    /// The same, unless a fatal signal comes (`mutex_lock_killable`).
    ///
    /// # Returns
    /// 0 or -EINTR.
    pub fn lock_killable(&'static self) -> i32 {
        self.lock_state(TASK_KILLABLE)
    }

    fn lock_state(&'static self, state: u32) -> i32 {
        might_sleep();
        if mutex_trylock_fast(self) {
            return 0;
        }
        __mutex_lock_common(self, state)
    }

    /// Takes the mutex if it is free (`mutex_trylock`).
    #[must_use]
    pub fn trylock(&'static self) -> bool {
        __mutex_trylock(self)
    }

    /// Gives the mutex back (`mutex_unlock`).
    pub fn unlock(&'static self) {
        mutex_unlock(self);
    }

    /// Whether somebody holds it (`mutex_is_locked`).
    pub fn is_locked(&'static self) -> bool {
        self.owner.load().target().is_some()
    }
}
