//! kernel/locking: locks that sleep.
pub mod mutex;
pub mod percpu_rwsem;
