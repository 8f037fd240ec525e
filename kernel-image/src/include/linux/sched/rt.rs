//! Which tasks are real-time.
//!
//! Linux: `include/linux/sched/rt.h` (v6.8).

use super::TaskRef;
use super::prio::rt_prio;

/// Whether a task has a real-time priority now: of the real-time class or above it.
pub fn rt_task(p: TaskRef) -> bool {
    rt_prio(p.prio.get())
}
