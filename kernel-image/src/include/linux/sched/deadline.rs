//! Which tasks have deadlines, and how deadlines compare.
//!
//! Linux: `include/linux/sched/deadline.h` (v6.8).

use super::TaskRef;
use super::prio::dl_prio;

/// Whether a task has the deadline priority now.
pub fn dl_task(p: TaskRef) -> bool {
    dl_prio(p.prio.get())
}

/// Whether time `a` is before `b`; both may have wrapped.
pub fn dl_time_before(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) < 0
}
