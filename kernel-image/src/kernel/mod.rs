//! kernel: the core of the kernel. Sched, time, smp and the stopper know each other, as in Linux.
pub mod irq_work;
pub mod kallsyms;
pub mod panic;
pub mod params;
pub mod printk;
pub mod reboot;
pub mod smp;
pub mod softirq;
pub mod time;

pub mod context_tracking;
pub mod cpu;
pub mod exit;
pub mod fork;
pub mod kreplay;
pub mod kthread;
pub mod locking;
pub mod pid;
pub mod rcu;
pub mod sched;
pub mod signal;
pub mod smpboot;
pub mod stop_machine;
pub mod sys;
pub mod workqueue;
