//! Sleeping for a time. Linux: `kernel/time/timer.c` (v6.8): `schedule_timeout`, `msleep`, `usleep_range`.
//!
//! Kept: timeouts over the wheel, microseconds over high-resolution timers with their slack. Left out: signals,
//! hence `msleep_interruptible`. Differs: nothing else. The timer is on the sleeper's stack and is gone before the
//! stack is left.

use super::{__mod_timer, MOD_TIMER_NOTPENDING, del_timer_sync, timer_pending, timer_setup};
use crate::arch::x86::include::asm::current::current;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::hrtimer::HRTIMER_MODE_ABS;
use crate::include::linux::jiffies::{jiffies, msecs_to_jiffies};
use crate::include::linux::ktime::NSEC_PER_USEC;
use crate::include::linux::sched::{
    __set_current_state, TASK_IDLE, TASK_INTERRUPTIBLE, TASK_RUNNING, TASK_UNINTERRUPTIBLE, TaskRef,
};
use crate::include::linux::timer::TimerList;
use crate::kernel::panic::dump_stack;
use crate::kernel::sched::core::{schedule, wake_up_process};
pub use crate::kernel::time::hrtimer::sleep::{
    schedule_hrtimeout, schedule_hrtimeout_range, schedule_hrtimeout_range_clock,
};
use crate::kernel::time::timekeeping::ktime_get;
use crate::{intrusive_adapter, pr_err, stack_pinned};

/// No timeout at all.
pub const MAX_SCHEDULE_TIMEOUT: u64 = i64::MAX as u64;

/// A timer that wakes its task; on the task's stack.
#[doc(alias = "process_timer")]
struct ProcessTimer {
    timer: TimerList,
    task: TaskRef,
}

impl StackObject for ProcessTimer {
    fn quiescent(&self) -> bool {
        !timer_pending(&self.timer)
    }
}

intrusive_adapter!(
    /// Sleepers by their timer.
    ProcessOfTimer = ProcessTimer { timer: TimerList });

fn process_timeout(timer: &'static TimerList) {
    wake_up_process(ProcessOfTimer::entry(timer).task);
}

/// Sleeps for a number of ticks, or until something else wakes the task; what is left, in ticks. The
/// caller has set the state.
///
/// # Context
/// Task context.
#[inline(never)]
pub fn schedule_timeout(timeout: u64) -> u64 {
    if timeout == MAX_SCHEDULE_TIMEOUT {
        schedule();
        return timeout;
    }
    if timeout > MAX_SCHEDULE_TIMEOUT {
        pr_err!("schedule_timeout: wrong timeout value {timeout:x}");
        dump_stack();
        __set_current_state(TASK_RUNNING);
        return 0;
    }
    let expire = jiffies().wrapping_add(timeout);
    stack_pinned!(let sleeper = ProcessTimer { timer: TimerList::new(), task: current() });
    timer_setup(&sleeper.timer, process_timeout, 0);
    __mod_timer(&sleeper.timer, expire, MOD_TIMER_NOTPENDING);
    schedule();
    del_timer_sync(&sleeper.timer);
    (expire.wrapping_sub(jiffies()) as i64).max(0) as u64
}

/// Sleeps for at least so many ticks, or until woken.
pub fn schedule_timeout_interruptible(timeout: u64) -> u64 {
    __set_current_state(TASK_INTERRUPTIBLE);
    schedule_timeout(timeout)
}

/// The same, asleep to signals too.
pub fn schedule_timeout_uninterruptible(timeout: u64) -> u64 {
    __set_current_state(TASK_UNINTERRUPTIBLE);
    schedule_timeout(timeout)
}

/// The same, without being counted as load.
pub fn schedule_timeout_idle(timeout: u64) -> u64 {
    __set_current_state(TASK_IDLE);
    schedule_timeout(timeout)
}

/// Sleeps for at least so many milliseconds, in whole ticks.
pub fn msleep(msecs: u64) {
    let mut timeout = msecs_to_jiffies(msecs) + 1;
    while timeout != 0 {
        timeout = schedule_timeout_uninterruptible(timeout);
    }
}

/// Sleeps for at least `min` and at most about `max` microseconds, in the given state.
pub fn usleep_range_state(min: u64, max: u64, state: u32) {
    let expires = ktime_get() + min as i64 * NSEC_PER_USEC;
    let delta = max.saturating_sub(min) * NSEC_PER_USEC as u64;
    loop {
        __set_current_state(state);
        // Whoever wakes us early is not meant.
        if schedule_hrtimeout_range(Some(expires), delta, HRTIMER_MODE_ABS) == 0 {
            break;
        }
    }
}

/// Sleeps for at least `min` and at most about `max` microseconds.
pub fn usleep_range(min: u64, max: u64) {
    usleep_range_state(min, max, TASK_UNINTERRUPTIBLE);
}

/// The same, without being counted as load.
pub fn usleep_range_idle(min: u64, max: u64) {
    usleep_range_state(min, max, TASK_IDLE);
}
