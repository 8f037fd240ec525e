//! include/linux: types and contracts shared by the whole kernel. Modules in layer order.
// Low-level primitives.
pub mod bug;
pub mod clockchips;
pub mod cpumask;
pub mod errno;
pub mod hrtimer;
pub mod interrupt;
pub mod irqflags;
pub mod jiffies;
pub mod ktime;
pub mod list;
pub mod llist;
pub mod preempt;
pub mod printk;
pub mod rbtree;
pub mod slab;
pub mod smp;
pub mod smp_types;
pub mod spinlock;
pub mod timer;
pub mod tracepoint;
// Scheduler and what builds on it.
pub mod sched;
