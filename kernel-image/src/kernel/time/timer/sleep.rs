//! Sleeping for a time. Linux: `kernel/time/timer.c` and `hrtimer.c` (v6.8): `schedule_timeout`, `msleep`,
//! `usleep_range`, `schedule_hrtimeout`.
//!
//! Kept: `schedule_hrtimeout`, `usleep_range`, `msleep`, `schedule_timeout`. Left out: slack ranges,
//! signals. Differs: `schedule_timeout` uses a high-resolution timer rounded up to jiffies, not the wheel.
//! The timer is on the sleeper's stack and is cancelled before the stack is left.

use crate::arch::x86::include::asm::current::current;
use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::hrtimer::{
    CLOCK_MONOTONIC, HRTIMER_MODE_REL, HRTIMER_STATE_INACTIVE, Hrtimer, HrtimerRestart,
};
use crate::include::linux::jiffies::{TICK_NSEC, msecs_to_jiffies};
use crate::include::linux::ktime::{Ktime, NSEC_PER_USEC};
use crate::include::linux::sched::{
    __set_current_state, TASK_IDLE, TASK_RUNNING, TASK_UNINTERRUPTIBLE, TaskRef, set_current_state,
};
use crate::kernel::sched::clock::sched_clock;
use crate::kernel::sched::core::{schedule, wake_up_process};
use crate::kernel::time::hrtimer::{hrtimer_cancel, hrtimer_init, hrtimer_start};
use crate::{intrusive_adapter, stack_pinned};

/// A timer that wakes its task; on the task's stack.
#[doc(alias = "hrtimer_sleeper")]
struct HrtimerSleeper {
    timer: Hrtimer,
    /// Who sleeps; None once it has been woken.
    task: Shared<Option<TaskRef>>,
}

impl StackObject for HrtimerSleeper {
    fn quiescent(&self) -> bool {
        self.timer.state.get() == HRTIMER_STATE_INACTIVE
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
    HrtimerRestart::HRTIMER_NORESTART
}

/// Sleeps for `ns`, or until something else wakes the task. The caller has set its state.
///
/// # Returns
/// True if the time has passed.
pub fn schedule_hrtimeout(ns: Ktime) -> bool {
    stack_pinned!(let sleeper = HrtimerSleeper {
        timer: Hrtimer::new(),
        task: Shared::new(Some(current())),
    });
    hrtimer_init(&sleeper.timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
    sleeper.timer.function.set(Some(hrtimer_wakeup));
    hrtimer_start(&sleeper.timer, ns, HRTIMER_MODE_REL);
    if sleeper.task.get().is_some() {
        schedule();
    }
    hrtimer_cancel(&sleeper.timer);
    __set_current_state(TASK_RUNNING);
    sleeper.task.get().is_none()
}

/// Sleeps for a number of ticks, or until something else wakes the task; what is left, in ticks. The
/// caller has set the state.
pub fn schedule_timeout(timeout: u64) -> u64 {
    let start = sched_clock();
    let ns = (timeout as i64).saturating_mul(TICK_NSEC);
    if schedule_hrtimeout(ns) {
        return 0;
    }
    let slept = sched_clock().wrapping_sub(start) / TICK_NSEC as u64;
    timeout.saturating_sub(slept)
}

/// Sleeps for at least so many ticks.
pub fn schedule_timeout_uninterruptible(timeout: u64) -> u64 {
    set_current_state(TASK_UNINTERRUPTIBLE);
    schedule_timeout(timeout)
}

/// The same, not counted as load.
pub fn schedule_timeout_idle(timeout: u64) -> u64 {
    set_current_state(TASK_IDLE);
    schedule_timeout(timeout)
}

/// Sleeps for at least so many milliseconds, in whole ticks.
pub fn msleep(msecs: u64) {
    let mut timeout = msecs_to_jiffies(msecs) + 1;
    while timeout != 0 {
        timeout = schedule_timeout_uninterruptible(timeout);
    }
}

/// Sleeps for at least `min` and about at most `max` microseconds.
pub fn usleep_range(min: u64, _max: u64) {
    loop {
        set_current_state(TASK_UNINTERRUPTIBLE);
        if schedule_hrtimeout(min as i64 * NSEC_PER_USEC) {
            return;
        }
    }
}
