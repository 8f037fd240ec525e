//! Semaphores for many readers or one writer. Linux: `kernel/locking/rwsem.c` (v6.8).
//!
//! Kept: one word with everything that a fast path looks at; readers woken in batches, past writers in
//! between; waiters that wait too long ask for the semaphore to be handed over; writers spin while the
//! owner runs; readers take a free semaphore past sleepers unless a hand-over was asked for. Left out:
//! non-owner releases, lockdep. Differs: the limit of spinning for readers counts 25 us at most, as there,
//! by `sched_clock`.
//! Locks: the semaphore's `wait_lock`, with interrupts off; tasks are woken after it.

use crate::arch::x86::include::asm::current::current;
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::fence::tagged::Tagged;
use crate::include::linux::errno::EINTR;
use crate::include::linux::jiffies::{HZ, jiffies, time_after};
use crate::include::linux::kernel::might_sleep;
use crate::include::linux::ktime::NSEC_PER_USEC;
use crate::include::linux::list::{
    ListHead, list_add_tail, list_del_init, list_empty, list_is_singular,
};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use crate::include::linux::rwsem::RwSemaphore;
use crate::include::linux::sched::prio::rt_prio;
use crate::include::linux::sched::signal::signal_pending_state;
use crate::include::linux::sched::task::{get_task_struct, put_task_struct};
use crate::include::linux::sched::wake_q::WakeQHead;
use crate::include::linux::sched::{
    __set_current_state, TASK_INTERRUPTIBLE, TASK_KILLABLE, TASK_RUNNING, TASK_UNINTERRUPTIBLE,
    TaskRef, TaskStruct, need_resched, set_current_state,
};
use crate::include::linux::spinlock::{raw_spin_lock_irq, raw_spin_unlock_irq};
use crate::kernel::locking::mutex::owner_on_cpu;
use crate::kernel::locking::osq_lock::{osq_lock, osq_unlock};
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::core::{schedule_preempt_disabled, wake_q_add, wake_up_q};
use crate::{WARN_ON_ONCE, intrusive_adapter, stack_pinned};
use core::sync::atomic::Ordering;

/// Flag of the owner: readers hold it.
const RWSEM_READER_OWNED: usize = 1 << 0;
/// Flag of the owner: it is no use to spin.
const RWSEM_NONSPINNABLE: usize = 1 << 1;

const RWSEM_WRITER_LOCKED: i64 = 1 << 0;
const RWSEM_FLAG_WAITERS: i64 = 1 << 1;
const RWSEM_FLAG_HANDOFF: i64 = 1 << 2;
const RWSEM_READER_SHIFT: u32 = 8;
const RWSEM_READER_BIAS: i64 = 1 << RWSEM_READER_SHIFT;
const RWSEM_READER_MASK: i64 = !(RWSEM_READER_BIAS - 1) & i64::MAX;
const RWSEM_LOCK_MASK: i64 = RWSEM_WRITER_LOCKED | RWSEM_READER_MASK;
/// What keeps a reader off the fast path.
const RWSEM_READ_FAILED_MASK: i64 =
    RWSEM_WRITER_LOCKED | RWSEM_FLAG_WAITERS | RWSEM_FLAG_HANDOFF | i64::MIN;

/// After so many ticks a waiter asks for the semaphore to be handed over.
const RWSEM_WAIT_TIMEOUT: u64 = HZ.div_ceil(250);
/// Most readers woken at once.
const MAX_READERS_WAKEUP: usize = 0x100;

/// What a waiter wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Write,
    Read,
}

/// Whom to wake.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wake {
    /// Whoever is first.
    Any,
    /// Readers; the caller holds it as one.
    ReadOwned,
}

/// A task that waits; on its stack. The task is taken out when the semaphore is its own.
#[doc(alias = "rwsem_waiter")]
struct RwsemWaiter {
    list: ListHead,
    task: Shared<Option<TaskRef>>,
    wants: Wants,
    timeout: u64,
    handoff_set: Shared<bool>,
}

impl RwsemWaiter {
    fn new(wants: Wants) -> RwsemWaiter {
        RwsemWaiter {
            list: ListHead::new(),
            task: Shared::new(Some(current())),
            wants,
            timeout: jiffies() + RWSEM_WAIT_TIMEOUT,
            handoff_set: Shared::new(false),
        }
    }
}

impl StackObject for RwsemWaiter {
    fn quiescent(&self) -> bool {
        list_empty(&self.list)
    }
}

intrusive_adapter!(
    /// Waiters by their link.
    WaiterLink = RwsemWaiter { list: ListHead });

type Owner = Tagged<TaskStruct>;

fn rwsem_set_owner(sem: &RwSemaphore) {
    sem.owner.store(Owner::new(Some(current()), 0));
}

fn rwsem_clear_owner(sem: &RwSemaphore) {
    sem.owner.store(Owner::new(None, 0));
}

/// A reader has it: a hint to whom, for writers that spin and for who looks at memory.
fn __rwsem_set_reader_owned(sem: &RwSemaphore, owner: TaskRef) {
    let keep = sem.owner.load().flags() & RWSEM_NONSPINNABLE;
    sem.owner
        .store(Owner::new(Some(owner), RWSEM_READER_OWNED | keep));
}

fn rwsem_set_reader_owned(sem: &RwSemaphore) {
    __rwsem_set_reader_owned(sem, current());
}

fn rwsem_set_nonspinnable(sem: &RwSemaphore) {
    if sem.owner.load().flags() & RWSEM_READER_OWNED != 0 {
        sem.owner.fetch_or(RWSEM_NONSPINNABLE);
    }
}

fn clear_nonspinnable(sem: &RwSemaphore) {
    if sem.owner.load().flags() & RWSEM_NONSPINNABLE != 0 {
        sem.owner.clear(RWSEM_NONSPINNABLE);
    }
}

/// One reader more; the count with it.
fn rwsem_read_trylock(sem: &RwSemaphore) -> (bool, i64) {
    let count = sem.count.fetch_add(RWSEM_READER_BIAS, Ordering::Acquire) + RWSEM_READER_BIAS;
    if count < 0 {
        rwsem_set_nonspinnable(sem);
    }
    let got = count & RWSEM_READ_FAILED_MASK == 0;
    if got {
        rwsem_set_reader_owned(sem);
    }
    (got, count)
}

fn rwsem_write_trylock(sem: &RwSemaphore) -> bool {
    let got = sem
        .count
        .compare_exchange(0, RWSEM_WRITER_LOCKED, Ordering::Acquire, Ordering::Relaxed)
        .is_ok();
    if got {
        rwsem_set_owner(sem);
    }
    got
}

fn rwsem_add_waiter(sem: &'static RwSemaphore, waiter: &'static RwsemWaiter) {
    list_add_tail(&waiter.list, &sem.wait_list);
}

/// Leaves the list; false if nobody is left, and then the flags are gone too.
fn rwsem_del_waiter(sem: &'static RwSemaphore, waiter: &'static RwsemWaiter) -> bool {
    list_del_init(&waiter.list);
    if !list_empty(&sem.wait_list) {
        return true;
    }
    sem.count
        .fetch_and(!(RWSEM_FLAG_HANDOFF | RWSEM_FLAG_WAITERS), Ordering::SeqCst);
    false
}

fn is_first(sem: &'static RwSemaphore, waiter: &'static RwsemWaiter) -> bool {
    WaiterLink::first(&sem.wait_list).is_some_and(|first| core::ptr::eq(first, waiter))
}

/// Gives the semaphore to waiters that may have it now, or notes a writer to be woken, who then tries.
///
/// # Context
/// `wait_lock` is held.
#[inline(never)]
fn rwsem_mark_wake(sem: &'static RwSemaphore, wake_type: Wake, wake_q: &mut WakeQHead) {
    let Some(waiter) = WaiterLink::first(&sem.wait_list) else {
        return;
    };
    if waiter.wants == Wants::Write {
        if wake_type == Wake::Any
            && let Some(task) = waiter.task.get()
        {
            wake_q_add(wake_q, task);
        }
        return;
    }
    if sem.count.load(Ordering::Relaxed) < 0 {
        return;
    }
    let mut adjustment = 0;
    if wake_type != Wake::ReadOwned {
        // We become a reader for the others' sake, unless a writer has stolen it.
        let mut mine = RWSEM_READER_BIAS;
        let oldcount = sem.count.fetch_add(mine, Ordering::SeqCst);
        if oldcount & RWSEM_WRITER_LOCKED != 0 {
            if time_after(jiffies(), waiter.timeout) {
                if oldcount & RWSEM_FLAG_HANDOFF == 0 {
                    mine -= RWSEM_FLAG_HANDOFF;
                }
                waiter.handoff_set.set(true);
            }
            sem.count.fetch_add(-mine, Ordering::SeqCst);
            return;
        }
        if let Some(owner) = waiter.task.get() {
            __rwsem_set_reader_owned(sem, owner);
        }
        adjustment = RWSEM_READER_BIAS;
    }
    let readers = grant_readers(sem);
    let granted = readers.count as i64 * RWSEM_READER_BIAS - adjustment;
    let mut flags = 0;
    let oldcount = sem.count.load(Ordering::Relaxed);
    if list_empty(&sem.wait_list) {
        flags |= RWSEM_FLAG_WAITERS | oldcount & RWSEM_FLAG_HANDOFF;
    } else if readers.count > 0 {
        // Whoever asked for a hand-over has it now.
        flags |= oldcount & RWSEM_FLAG_HANDOFF;
    }
    if granted - flags != 0 {
        sem.count.fetch_add(granted - flags, Ordering::SeqCst);
    }
    readers.wake(wake_q);
}

/// Readers that were taken out of the list, linked by their own links.
struct Granted {
    first: Option<&'static RwsemWaiter>,
    count: usize,
}

/// Takes readers out of the list: all of them, past the writers between them, up to the limit.
fn grant_readers(sem: &'static RwSemaphore) -> Granted {
    let mut granted = Granted {
        first: None,
        count: 0,
    };
    let mut last: Option<&'static RwsemWaiter> = None;
    for waiter in WaiterLink::iter(&sem.wait_list) {
        if waiter.wants == Wants::Write {
            continue;
        }
        list_del_init(&waiter.list);
        // The links of a waiter that is in no list chain the batch.
        waiter.list.next.set(None);
        waiter.list.prev.set(None);
        match last {
            Some(last) => last.list.next.set(Some(&waiter.list)),
            None => granted.first = Some(waiter),
        }
        last = Some(waiter);
        granted.count += 1;
        if granted.count >= MAX_READERS_WAKEUP {
            break;
        }
    }
    granted
}

impl Granted {
    /// Tells them; from then on their waiters may be gone.
    fn wake(self, wake_q: &mut WakeQHead) {
        let mut at = self.first;
        while let Some(waiter) = at {
            at = waiter.list.next.get().map(WaiterLink::entry);
            waiter.list.next.set(None);
            let Some(task) = waiter.task.get() else {
                continue;
            };
            // The reference comes first: the task may see at once that it need not wait, and end. The
            // pointer goes before the task joins the list: whoever else wakes it wakes it for good.
            get_task_struct(task);
            core::sync::atomic::fence(Ordering::SeqCst);
            waiter.task.set(None);
            wake_q_add(wake_q, task);
            put_task_struct(task);
        }
    }
}

/// Looks whether the semaphore is free for whoever waits. `wait_lock` is held.
fn rwsem_cond_wake_waiter(sem: &'static RwSemaphore, count: i64, wake_q: &mut WakeQHead) {
    if count & RWSEM_WRITER_LOCKED != 0 {
        return;
    }
    let wake_type = if count & RWSEM_READER_MASK != 0 {
        Wake::ReadOwned
    } else {
        clear_nonspinnable(sem);
        Wake::Any
    };
    rwsem_mark_wake(sem, wake_type, wake_q);
}

/// A waiter gives up. `wait_lock` is held and released.
fn rwsem_del_wake_waiter(sem: &'static RwSemaphore, waiter: &'static RwsemWaiter) {
    let mut wake_q = WakeQHead::new();
    let first = is_first(sem, waiter);
    if rwsem_del_waiter(sem, waiter) && first {
        rwsem_mark_wake(sem, Wake::Any, &mut wake_q);
    }
    raw_spin_unlock_irq(&sem.wait_lock);
    wake_up_q(&mut wake_q);
}

/// Takes it for a writer that waits, if it is free; else asks for a hand-over if it has waited too long.
/// `wait_lock` is held.
fn rwsem_try_write_lock(sem: &'static RwSemaphore, waiter: &'static RwsemWaiter) -> bool {
    let Some(first) = WaiterLink::first(&sem.wait_list) else {
        return false;
    };
    let mut count = sem.count.load(Ordering::Relaxed);
    let new = loop {
        let has_handoff = count & RWSEM_FLAG_HANDOFF != 0;
        if has_handoff && first.handoff_set.get() && !core::ptr::eq(first, waiter) {
            return false;
        }
        let mut new = count;
        if count & RWSEM_LOCK_MASK != 0 {
            let urgent = rt_prio(current().prio.get()) || time_after(jiffies(), waiter.timeout);
            if has_handoff || !urgent {
                return false;
            }
            new |= RWSEM_FLAG_HANDOFF;
        } else {
            new |= RWSEM_WRITER_LOCKED;
            new &= !RWSEM_FLAG_HANDOFF;
            if list_is_singular(&sem.wait_list) {
                new &= !RWSEM_FLAG_WAITERS;
            }
        }
        match sem
            .count
            .compare_exchange(count, new, Ordering::Acquire, Ordering::Relaxed)
        {
            Ok(_) => break new,
            Err(now) => count = now,
        }
    };
    if new & RWSEM_FLAG_HANDOFF != 0 {
        first.handoff_set.set(true);
        return false;
    }
    list_del_init(&waiter.list);
    rwsem_set_owner(sem);
    true
}

/// Takes it past those who sleep, for one who does not.
fn rwsem_try_write_lock_unqueued(sem: &RwSemaphore) -> bool {
    let mut count = sem.count.load(Ordering::Relaxed);
    while count & (RWSEM_LOCK_MASK | RWSEM_FLAG_HANDOFF) == 0 {
        match sem.count.compare_exchange(
            count,
            count | RWSEM_WRITER_LOCKED,
            Ordering::Acquire,
            Ordering::Relaxed,
        ) {
            Ok(_) => {
                rwsem_set_owner(sem);
                return true;
            }
            Err(now) => count = now,
        }
    }
    false
}

/// Who has it, as one who spins sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnerState {
    Null,
    Writer,
    Reader,
    Nonspinnable,
}

fn rwsem_owner_state(owner: Owner) -> OwnerState {
    if owner.flags() & RWSEM_NONSPINNABLE != 0 {
        OwnerState::Nonspinnable
    } else if owner.flags() & RWSEM_READER_OWNED != 0 {
        OwnerState::Reader
    } else if owner.target().is_some() {
        OwnerState::Writer
    } else {
        OwnerState::Null
    }
}

fn rwsem_can_spin_on_owner(sem: &RwSemaphore) -> bool {
    if need_resched() {
        return false;
    }
    let owner = sem.owner.load();
    if owner.flags() & RWSEM_NONSPINNABLE != 0 {
        return false;
    }
    owner.flags() & RWSEM_READER_OWNED != 0 || owner.target().is_none_or(owner_on_cpu)
}

/// Spins while the same writer has it and runs. Preemption is off.
#[inline(never)]
fn rwsem_spin_on_owner(sem: &RwSemaphore) -> OwnerState {
    let owner = sem.owner.load();
    let state = rwsem_owner_state(owner);
    let (OwnerState::Writer, Some(task)) = (state, owner.target()) else {
        return state;
    };
    loop {
        let new = sem.owner.load();
        if new != owner {
            return rwsem_owner_state(new);
        }
        if need_resched() || !owner_on_cpu(task) {
            return OwnerState::Nonspinnable;
        }
        cpu_relax();
    }
}

/// How long to spin for readers: 10 us and half one for each, for 30 of them at most.
fn rwsem_rspin_threshold(sem: &RwSemaphore) -> u64 {
    let readers = (sem.count.load(Ordering::Relaxed) >> RWSEM_READER_SHIFT).clamp(0, 30) as u64;
    sched_clock() + (20 + readers) * NSEC_PER_USEC as u64 / 2
}

/// Spins for a writer. Preemption is off. True if it has it.
fn rwsem_optimistic_spin(sem: &'static RwSemaphore) -> bool {
    if !osq_lock(&sem.osq) {
        return false;
    }
    let mut prev = OwnerState::Null;
    let (mut threshold, mut turns) = (0, 0u32);
    let taken = loop {
        let state = rwsem_spin_on_owner(sem);
        if state == OwnerState::Nonspinnable {
            break false;
        }
        if rwsem_try_write_lock_unqueued(sem) {
            break true;
        }
        if state == OwnerState::Reader {
            if prev != OwnerState::Reader {
                if sem.owner.load().flags() & RWSEM_NONSPINNABLE != 0 {
                    break false;
                }
                threshold = rwsem_rspin_threshold(sem);
                turns = 0;
            } else {
                turns += 1;
                if turns & 0xf == 0 && sched_clock() > threshold {
                    rwsem_set_nonspinnable(sem);
                    break false;
                }
            }
        }
        // A writer that takes it has no owner for a moment; nobody else is worth a resched's delay.
        if state != OwnerState::Writer
            && (need_resched() || rt_prio(current().prio.get()) && prev != OwnerState::Writer)
        {
            break false;
        }
        prev = state;
        cpu_relax();
    };
    osq_unlock(&sem.osq);
    taken
}

/// A reader that did not get it at once. It counts already.
#[inline(never)]
fn rwsem_down_read_slowpath(sem: &'static RwSemaphore, count: i64, state: u32) -> i32 {
    let mut adjustment = -RWSEM_READER_BIAS;
    let rcnt = count >> RWSEM_READER_SHIFT;
    let mut wake_q = WakeQHead::new();
    // A stream of readers shall not starve a writer that sleeps.
    let reader_owned = sem.owner.load().flags() & RWSEM_READER_OWNED != 0
        && rcnt > 1
        && count & RWSEM_WRITER_LOCKED == 0;
    if !reader_owned && count & (RWSEM_WRITER_LOCKED | RWSEM_FLAG_HANDOFF) == 0 {
        // It is free, with sleepers: taken past them, and the readers among them come along.
        rwsem_set_reader_owned(sem);
        if rcnt == 1 && count & RWSEM_FLAG_WAITERS != 0 {
            raw_spin_lock_irq(&sem.wait_lock);
            rwsem_mark_wake(sem, Wake::ReadOwned, &mut wake_q);
            raw_spin_unlock_irq(&sem.wait_lock);
            wake_up_q(&mut wake_q);
        }
        return 0;
    }
    stack_pinned!(let waiter = RwsemWaiter::new(Wants::Read));
    raw_spin_lock_irq(&sem.wait_lock);
    if list_empty(&sem.wait_list) {
        if sem.count.load(Ordering::Acquire) & RWSEM_WRITER_LOCKED == 0 {
            // The writer has gone: we count already.
            raw_spin_unlock_irq(&sem.wait_lock);
            rwsem_set_reader_owned(sem);
            return 0;
        }
        adjustment += RWSEM_FLAG_WAITERS;
    }
    rwsem_add_waiter(sem, waiter);
    // From here on we wait and do not count.
    let count = sem.count.fetch_add(adjustment, Ordering::SeqCst) + adjustment;
    rwsem_cond_wake_waiter(sem, count, &mut wake_q);
    raw_spin_unlock_irq(&sem.wait_lock);
    wake_up_q(&mut wake_q);
    loop {
        set_current_state(state);
        if waiter.task.get().is_none() {
            break;
        }
        if signal_pending_state(state, current()) {
            raw_spin_lock_irq(&sem.wait_lock);
            if waiter.task.get().is_some() {
                rwsem_del_wake_waiter(sem, waiter);
                __set_current_state(TASK_RUNNING);
                return -EINTR;
            }
            raw_spin_unlock_irq(&sem.wait_lock);
            break;
        }
        schedule_preempt_disabled();
    }
    __set_current_state(TASK_RUNNING);
    0
}

/// A writer that did not get it at once.
#[inline(never)]
fn rwsem_down_write_slowpath(sem: &'static RwSemaphore, state: u32) -> i32 {
    preempt_disable();
    let spun = rwsem_can_spin_on_owner(sem) && rwsem_optimistic_spin(sem);
    preempt_enable();
    if spun {
        return 0;
    }
    stack_pinned!(let waiter = RwsemWaiter::new(Wants::Write));
    raw_spin_lock_irq(&sem.wait_lock);
    rwsem_add_waiter(sem, waiter);
    if is_first(sem, waiter) {
        sem.count.fetch_or(RWSEM_FLAG_WAITERS, Ordering::SeqCst);
    } else {
        let mut wake_q = WakeQHead::new();
        rwsem_cond_wake_waiter(sem, sem.count.load(Ordering::Relaxed), &mut wake_q);
        raw_spin_unlock_irq(&sem.wait_lock);
        wake_up_q(&mut wake_q);
        raw_spin_lock_irq(&sem.wait_lock);
    }
    set_current_state(state);
    while !rwsem_try_write_lock(sem, waiter) {
        raw_spin_unlock_irq(&sem.wait_lock);
        if signal_pending_state(state, current()) {
            __set_current_state(TASK_RUNNING);
            raw_spin_lock_irq(&sem.wait_lock);
            rwsem_del_wake_waiter(sem, waiter);
            return -EINTR;
        }
        // With the hand-over asked for, the owner's end is worth spinning for.
        let free = waiter.handoff_set.get() && {
            preempt_disable();
            let owner_state = rwsem_spin_on_owner(sem);
            preempt_enable();
            owner_state == OwnerState::Null
        };
        if !free {
            schedule_preempt_disabled();
            set_current_state(state);
        }
        raw_spin_lock_irq(&sem.wait_lock);
    }
    __set_current_state(TASK_RUNNING);
    raw_spin_unlock_irq(&sem.wait_lock);
    0
}

/// Wakes whoever may have it now.
#[inline(never)]
fn rwsem_wake(sem: &'static RwSemaphore) {
    let mut wake_q = WakeQHead::new();
    {
        let _guard = sem.wait_lock.lock_irqsave();
        rwsem_mark_wake(sem, Wake::Any, &mut wake_q);
    }
    wake_up_q(&mut wake_q);
}

/// Between the count and the owner nobody comes: a spinner would believe in an owner of before.
fn without_preemption<R>(step: impl FnOnce() -> R) -> R {
    preempt_disable();
    let ret = step();
    preempt_enable();
    ret
}

impl RwSemaphore {
    fn read_common(&'static self, state: u32) -> i32 {
        might_sleep();
        without_preemption(|| match rwsem_read_trylock(self) {
            (true, _) => 0,
            (false, count) => rwsem_down_read_slowpath(self, count, state),
        })
    }

    fn write_common(&'static self, state: u32) -> i32 {
        might_sleep();
        without_preemption(|| {
            if rwsem_write_trylock(self) {
                return 0;
            }
            rwsem_down_write_slowpath(self, state)
        })
    }

    /// Reads (`down_read`).
    ///
    /// # Context
    /// May sleep.
    pub fn down_read(&'static self) {
        self.read_common(TASK_UNINTERRUPTIBLE);
    }

    /// Reads, unless a signal comes (`down_read_interruptible`): 0 or -EINTR.
    pub fn down_read_interruptible(&'static self) -> i32 {
        self.read_common(TASK_INTERRUPTIBLE)
    }

    /// Reads, unless a fatal signal comes (`down_read_killable`): 0 or -EINTR.
    pub fn down_read_killable(&'static self) -> i32 {
        self.read_common(TASK_KILLABLE)
    }

    /// Reads if nobody writes or waits (`down_read_trylock`).
    #[must_use]
    pub fn down_read_trylock(&'static self) -> bool {
        without_preemption(|| {
            let mut count = self.count.load(Ordering::Relaxed);
            while count & RWSEM_READ_FAILED_MASK == 0 {
                match self.count.compare_exchange(
                    count,
                    count + RWSEM_READER_BIAS,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        rwsem_set_reader_owned(self);
                        return true;
                    }
                    Err(now) => count = now,
                }
            }
            false
        })
    }

    /// Writes (`down_write`).
    ///
    /// # Context
    /// May sleep.
    pub fn down_write(&'static self) {
        self.write_common(TASK_UNINTERRUPTIBLE);
    }

    /// Writes, unless a fatal signal comes (`down_write_killable`): 0 or -EINTR.
    pub fn down_write_killable(&'static self) -> i32 {
        self.write_common(TASK_KILLABLE)
    }

    /// Writes if it is free (`down_write_trylock`).
    #[must_use]
    pub fn down_write_trylock(&'static self) -> bool {
        without_preemption(|| rwsem_write_trylock(self))
    }

    /// Reads no more (`up_read`).
    pub fn up_read(&'static self) {
        without_preemption(|| {
            let tmp = self.count.fetch_sub(RWSEM_READER_BIAS, Ordering::SeqCst) - RWSEM_READER_BIAS;
            WARN_ON_ONCE!(tmp < 0);
            if tmp & (RWSEM_LOCK_MASK | RWSEM_FLAG_WAITERS) == RWSEM_FLAG_WAITERS {
                clear_nonspinnable(self);
                rwsem_wake(self);
            }
        });
    }

    /// Writes no more (`up_write`).
    pub fn up_write(&'static self) {
        without_preemption(|| {
            rwsem_clear_owner(self);
            let tmp = self.count.fetch_sub(RWSEM_WRITER_LOCKED, Ordering::SeqCst);
            WARN_ON_ONCE!(tmp & RWSEM_WRITER_LOCKED == 0);
            if tmp & RWSEM_FLAG_WAITERS != 0 {
                rwsem_wake(self);
            }
        });
    }

    /// A writer goes on as a reader (`downgrade_write`).
    pub fn downgrade_write(&'static self) {
        without_preemption(|| {
            let tmp = self
                .count
                .fetch_add(RWSEM_READER_BIAS - RWSEM_WRITER_LOCKED, Ordering::SeqCst);
            rwsem_set_reader_owned(self);
            if tmp & RWSEM_FLAG_WAITERS != 0 {
                let mut wake_q = WakeQHead::new();
                {
                    let _guard = self.wait_lock.lock_irqsave();
                    rwsem_mark_wake(self, Wake::ReadOwned, &mut wake_q);
                }
                wake_up_q(&mut wake_q);
            }
        });
    }

    /// Whether anybody has it (`rwsem_is_locked`).
    pub fn is_locked(&'static self) -> bool {
        self.count.load(Ordering::Relaxed) & RWSEM_LOCK_MASK != 0
    }
}
