//! Kernel threads. Linux: `include/linux/kthread.h` (v6.8); the functions are in `kernel/kthread.rs`.

pub use crate::kernel::kthread::{
    KthreadWork, KthreadWorker, kthread_bind, kthread_bind_mask, kthread_cancel_work_sync,
    kthread_create, kthread_create_on_cpu, kthread_create_worker, kthread_destroy_worker,
    kthread_flush_work, kthread_flush_worker, kthread_park, kthread_parkme, kthread_queue_work,
    kthread_run, kthread_set_per_cpu, kthread_should_park, kthread_should_stop, kthread_stop,
    kthread_unpark,
};
