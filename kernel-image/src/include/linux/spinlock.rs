//! Spinlocks: a ticket lock that really spins across CPUs.
//!
//! Linux: include/linux/spinlock.h, kernel/locking/spinlock.c, v6.8.
//! **Kept** the function families (plain, irq, irqsave, trylock) and their preemption rules: locking turns
//! preemption off, unlocking turns it on last. **Differs** a fair ticket lock stands for qspinlock: same
//! FIFO order, no per-CPU queue nodes. `spinlock_t` and `raw_spinlock_t` are one type without PREEMPT_RT.
use crate::arch::x86::include::asm::processor::cpu_relax;
use crate::include::linux::irqflags::{
    local_irq_disable, local_irq_enable, local_irq_restore, local_irq_save,
};
use crate::include::linux::preempt::{preempt_disable, preempt_enable};
use core::sync::atomic::{AtomicU16, Ordering};

/// A lock that is waited for by spinning.
#[doc(alias = "raw_spinlock_t")]
#[doc(alias = "raw_spinlock")]
#[repr(C, align(4))]
pub struct RawSpinlock {
    /// The ticket being served.
    owner: AtomicU16,
    /// The next ticket to hand out.
    next: AtomicU16,
}

/// `spinlock_t`.
pub type Spinlock = RawSpinlock;

impl RawSpinlock {
    /// An unlocked lock.
    pub const fn new() -> Self {
        Self {
            owner: AtomicU16::new(0),
            next: AtomicU16::new(0),
        }
    }

    #[inline(always)]
    fn do_lock(&self) {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        while self.owner.load(Ordering::Acquire) != ticket {
            cpu_relax();
        }
    }

    #[inline(always)]
    fn do_trylock(&self) -> bool {
        let owner = self.owner.load(Ordering::Relaxed);
        self.next
            .compare_exchange(
                owner,
                owner.wrapping_add(1),
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    #[inline(always)]
    fn do_unlock(&self) {
        let owner = self.owner.load(Ordering::Relaxed);
        self.owner.store(owner.wrapping_add(1), Ordering::Release);
    }

    /// Locks until the guard drops.
    pub fn lock(&self) -> SpinGuard<'_> {
        raw_spin_lock(self);
        SpinGuard(self)
    }
    /// Locks with interrupts off until the guard drops, then turns them on.
    pub fn lock_irq(&self) -> SpinIrqGuard<'_> {
        raw_spin_lock_irq(self);
        SpinIrqGuard(self)
    }
    /// Locks with interrupts off until the guard drops, then restores them.
    pub fn lock_irqsave(&self) -> SpinIrqSaveGuard<'_> {
        let flags = raw_spin_lock_irqsave(self);
        SpinIrqSaveGuard(self, flags)
    }
}

/// Holds a lock; preemption is off.
#[must_use]
pub struct SpinGuard<'a>(&'a RawSpinlock);
/// Holds a lock; interrupts are off and go on at the end.
#[must_use]
pub struct SpinIrqGuard<'a>(&'a RawSpinlock);
/// Holds a lock; interrupts are off and are restored at the end.
#[must_use]
pub struct SpinIrqSaveGuard<'a>(&'a RawSpinlock, u64);

impl Drop for SpinGuard<'_> {
    fn drop(&mut self) {
        raw_spin_unlock(self.0);
    }
}
impl Drop for SpinIrqGuard<'_> {
    fn drop(&mut self) {
        raw_spin_unlock_irq(self.0);
    }
}
impl Drop for SpinIrqSaveGuard<'_> {
    fn drop(&mut self) {
        raw_spin_unlock_irqrestore(self.0, self.1);
    }
}

/// Whether somebody holds the lock.
pub fn raw_spin_is_locked(lock: &RawSpinlock) -> bool {
    lock.owner.load(Ordering::Relaxed) != lock.next.load(Ordering::Relaxed)
}

/// Takes the lock; preemption goes off.
#[inline]
pub fn raw_spin_lock(lock: &RawSpinlock) {
    preempt_disable();
    lock.do_lock();
}

/// Takes the lock if it is free.
#[inline]
#[must_use]
pub fn raw_spin_trylock(lock: &RawSpinlock) -> bool {
    preempt_disable();
    if lock.do_trylock() {
        return true;
    }
    preempt_enable();
    false
}

/// Releases the lock; preemption goes back on and may happen here.
#[inline]
pub fn raw_spin_unlock(lock: &RawSpinlock) {
    lock.do_unlock();
    preempt_enable();
}

/// Takes the lock with interrupts off.
#[inline]
pub fn raw_spin_lock_irq(lock: &RawSpinlock) {
    local_irq_disable();
    raw_spin_lock(lock);
}

/// Releases the lock and turns interrupts on.
#[inline]
pub fn raw_spin_unlock_irq(lock: &RawSpinlock) {
    lock.do_unlock();
    local_irq_enable();
    preempt_enable();
}

/// Takes the lock with interrupts off; returns the flags from before.
#[inline]
#[must_use]
pub fn raw_spin_lock_irqsave(lock: &RawSpinlock) -> u64 {
    let flags = local_irq_save();
    raw_spin_lock(lock);
    flags
}

/// Releases the lock and restores interrupts.
#[inline]
pub fn raw_spin_unlock_irqrestore(lock: &RawSpinlock, flags: u64) {
    lock.do_unlock();
    local_irq_restore(flags);
    preempt_enable();
}

pub use raw_spin_lock as spin_lock;
pub use raw_spin_lock_irq as spin_lock_irq;
pub use raw_spin_lock_irqsave as spin_lock_irqsave;
pub use raw_spin_unlock as spin_unlock;
pub use raw_spin_unlock_irq as spin_unlock_irq;
pub use raw_spin_unlock_irqrestore as spin_unlock_irqrestore;
