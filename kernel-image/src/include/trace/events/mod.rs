//! include/trace/events: one file a Linux trace header; each function is one tracepoint.
pub mod cpuhp;
pub mod ipi;
pub mod irq;
pub mod irq_vectors;
pub mod power;
pub mod sched;
pub mod stop;
pub mod timer;
pub mod workqueue;
