//! Semaphores that many may read-lock at once. Linux: `kernel/locking/percpu-rwsem.c` (v6.8).
//!
//! Kept: who waits for whom: a writer waits for the readers there are, and holds off new ones. Left
//! out: killable and trying variants. Differs: one count under a lock instead of a count a CPU and RCU.
//! Locks: the semaphore's own.

use crate::WARN_ON_ONCE;
use crate::include::linux::kernel::might_sleep;
use crate::include::linux::percpu_rwsem::PercpuRwSemaphore;
use crate::kernel::sched::wait::{wait_event, wake_up_all};

impl PercpuRwSemaphore {
    /// Waits until nobody writes or waits to write, and reads (`percpu_down_read`).
    ///
    /// # Context
    /// May sleep.
    pub fn down_read(&'static self) {
        might_sleep();
        wait_event(&self.waiters, || {
            let _guard = self.lock.lock();
            let free = !self.writing.get() && self.block.get() == 0;
            if free {
                self.read_count.inc();
            }
            free
        });
    }

    /// Reads no more (`percpu_up_read`).
    pub fn up_read(&'static self) {
        let last = {
            let _guard = self.lock.lock();
            WARN_ON_ONCE!(self.read_count.get() == 0);
            self.read_count.dec();
            self.read_count.get() == 0
        };
        if last {
            wake_up_all(&self.waiters);
        }
    }

    /// Holds off new readers, waits for those there are, and writes (`percpu_down_write`).
    ///
    /// # Context
    /// May sleep.
    pub fn down_write(&'static self) {
        might_sleep();
        {
            let _guard = self.lock.lock();
            self.block.inc();
        }
        wait_event(&self.waiters, || {
            let _guard = self.lock.lock();
            let free = !self.writing.get() && self.read_count.get() == 0;
            if free {
                self.writing.set(true);
                self.block.dec();
            }
            free
        });
    }

    /// Writes no more (`percpu_up_write`).
    pub fn up_write(&'static self) {
        {
            let _guard = self.lock.lock();
            WARN_ON_ONCE!(!self.writing.get());
            self.writing.set(false);
        }
        wake_up_all(&self.waiters);
    }

    /// Whether anybody reads or writes.
    pub fn is_held(&'static self) -> bool {
        let _guard = self.lock.lock();
        self.writing.get() || self.read_count.get() != 0
    }
}
