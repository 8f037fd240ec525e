//! kernel/time: clocks, the tick and timers.
pub mod clockevents;
pub mod hrtimer;
pub mod jiffies;
pub mod tick_common;
pub mod tick_sched;
pub mod timekeeping;
pub mod timer;
