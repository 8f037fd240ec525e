//! `move:*`: ours. The boundaries of a migration that Linux has no tracepoint for, taken by entry and
//! return probes.

use super::{Mask, events};
use crate::event::Comm;

events! {
    /// Ours: entry of `__set_cpus_allowed_ptr`.
    MoveAffinityEntry = 23, "move:affinity_entry" {
        /// Name of the task whose mask changes.
        comm: Comm = "comm",
        /// Its pid.
        pid: i32 = "pid",
        /// Its kernel priority.
        prio: i32 = "prio",
        /// The CPU it belongs to now.
        task_cpu: u32 = "task_cpu",
        /// Its on_rq: 0 asleep, 1 queued, 2 migrating.
        on_rq: u32 = "on_rq",
        /// 1 while it runs.
        on_cpu: u32 = "on_cpu",
        /// The mask asked for.
        new_mask: Mask = "new_mask",
    }
    /// Ours: return of `activate_task`: the task is in its class's queue.
    MoveEnqueued = 24, "move:enqueued" {
        /// Name of the task.
        comm: Comm = "comm",
        /// Its pid.
        pid: i32 = "pid",
        /// Its kernel priority.
        prio: i32 = "prio",
        /// The CPU whose queue it is in.
        cpu: u32 = "cpu",
    }
    /// Ours: return of `select_fallback_rq`: no CPU of the mask could be used.
    MoveFallback = 25, "move:fallback" {
        /// Name of the task.
        comm: Comm = "comm",
        /// Its pid.
        pid: i32 = "pid",
        /// Its kernel priority.
        prio: i32 = "prio",
        /// The CPU that was not allowed.
        orig_cpu: i32 = "orig_cpu",
        /// The CPU chosen instead.
        dest_cpu: i32 = "dest_cpu",
    }
}
