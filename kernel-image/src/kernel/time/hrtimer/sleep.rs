//! Sleeping on a high-resolution timer. Linux: `kernel/time/hrtimer.c` (v6.8): `hrtimer_sleeper`,
//! `schedule_hrtimeout_range_clock` and its relatives.
//!
//! Kept: absolute and relative times, slack (none for real-time tasks), any clock. Left out: nanosleep. The timer is
//! on the sleeper's stack and is cancelled before the stack is left.

use super::{hrtimer_active, hrtimer_cancel, hrtimer_init, hrtimer_start_expires};
use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::errno::EINTR;
use crate::include::linux::hrtimer::{CLOCK_MONOTONIC, HRTIMER_NORESTART, Hrtimer, HrtimerRestart};
use crate::include::linux::ktime::Ktime;
use crate::include::linux::sched::prio::rt_prio;
use crate::include::linux::sched::{__set_current_state, TASK_RUNNING, TaskRef};
use crate::kernel::sched::core::{schedule, wake_up_process};
use crate::{intrusive_adapter, stack_pinned};

/// A timer that wakes its task; on the task's stack.
#[doc(alias = "hrtimer_sleeper")]
struct HrtimerSleeper {
    timer: Hrtimer,
    /// Who sleeps; None once the time has passed.
    task: Shared<Option<TaskRef>>,
}

impl StackObject for HrtimerSleeper {
    fn quiescent(&self) -> bool {
        !hrtimer_active(&self.timer)
    }
}

intrusive_adapter!(
    /// Sleepers by their timer.
    SleeperOfTimer = HrtimerSleeper { timer: Hrtimer });

fn hrtimer_wakeup(timer: &'static Hrtimer) -> HrtimerRestart {
    let sleeper = SleeperOfTimer::entry(timer);
    if let Some(task) = sleeper.task.replace(None) {
        wake_up_process(task);
    }
    HRTIMER_NORESTART
}

/// Sleeps until a time on a clock, at most `delta` ns longer, or until something else wakes the task; for ever
/// without a time. The caller has set the state.
///
/// # Returns
/// 0 if the time has passed, -EINTR if something else woke the task.
#[inline(never)]
pub fn schedule_hrtimeout_range_clock(
    expires: Option<Ktime>,
    delta: u64,
    mode: u32,
    clock_id: i32,
) -> i32 {
    match expires {
        Some(0) => {
            __set_current_state(TASK_RUNNING);
            0
        }
        None => {
            schedule();
            -EINTR
        }
        Some(expires) => {
            // Real-time tasks are not late for the sake of fewer interrupts.
            let delta = if rt_prio(current().prio.get()) {
                0
            } else {
                delta
            };
            stack_pinned!(let sleeper = HrtimerSleeper {
                timer: Hrtimer::new(),
                task: Shared::new(Some(current())),
            });
            hrtimer_init(&sleeper.timer, clock_id, mode);
            sleeper.timer.function.set(Some(hrtimer_wakeup));
            sleeper.timer.set_expires_range_ns(expires, delta);
            hrtimer_start_expires(&sleeper.timer, mode);
            if sleeper.task.get().is_some() {
                schedule();
            }
            hrtimer_cancel(&sleeper.timer);
            __set_current_state(TASK_RUNNING);
            if sleeper.task.get().is_none() {
                0
            } else {
                -EINTR
            }
        }
    }
}

/// The same on the monotonic clock.
pub fn schedule_hrtimeout_range(expires: Option<Ktime>, delta: u64, mode: u32) -> i32 {
    schedule_hrtimeout_range_clock(expires, delta, mode, CLOCK_MONOTONIC)
}

/// The same without slack.
pub fn schedule_hrtimeout(expires: Ktime, mode: u32) -> i32 {
    schedule_hrtimeout_range(Some(expires), 0, mode)
}
