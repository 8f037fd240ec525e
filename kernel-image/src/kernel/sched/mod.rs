//! The scheduler, room by room.
//!
//! - `sched`: what the others share: runqueues, classes, locking, a queue's clock.
//! - `core`: the machinery: `__schedule`, wake-up, switch, affinity, fork, start-up.
//! - `stop_task`, `deadline`, `rt`, `fair`, `idle`: the classes, from the highest to the lowest.
//! - `cpupri`, `cpudeadline`: which CPU runs what priority, which deadline. `features`: switches.
//! - `pelt`: load tracking's series; who attaches where is in `fair/load`.
//! - `wait`, `swait`, `completion`: how tasks wait for each other.
//! - `topology`: root domains: which CPUs are balanced with which.
//! - `clock`: the scheduler's view of time. `loadavg`, `cputime`, `stats`: what became of it.

pub mod clock;
pub mod completion;
pub mod core;
pub mod cpudeadline;
pub mod cpupri;
pub mod cputime;
pub mod deadline;
pub mod fair;
pub mod features;
pub mod idle;
pub mod loadavg;
pub mod pelt;
pub mod rt;
pub mod sched;
pub mod stats;
pub mod stop_task;
pub mod swait;
pub mod topology;
pub mod wait;
pub mod wait_bit;
