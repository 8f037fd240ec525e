//! kernel/locking: locks that sleep.
pub mod mutex;
pub mod osq_lock;
pub mod percpu_rwsem;
pub mod rwsem;
pub mod semaphore;
