//! kernel/locking: locks that sleep.
pub mod mutex;
