//! Tracepoints of timers and the tick.
//!
//! Linux: include/trace/events/timer.h, v6.8. **Kept** arguments and their order. **Left out** interval timers.
use crate::include::linux::hrtimer::Hrtimer;
use crate::include::linux::ktime::Ktime;
use crate::include::linux::timer::TimerList;
use crate::tracepoint;

/// A timer has been set up.
#[inline(always)]
pub fn trace_timer_init(timer: &'static TimerList) {
    tracepoint!("timer:timer_init", timer);
}

/// A timer has been put into a bucket.
#[inline(always)]
pub fn trace_timer_start(timer: &'static TimerList, bucket_expiry: u64) {
    tracepoint!("timer:timer_start", timer, bucket_expiry);
}

/// A timer's callback is about to be called.
#[inline(always)]
pub fn trace_timer_expire_entry(timer: &'static TimerList, baseclk: u64) {
    tracepoint!("timer:timer_expire_entry", timer, baseclk);
}

/// It has returned; the timer may be gone.
#[inline(always)]
pub fn trace_timer_expire_exit(timer: &'static TimerList) {
    tracepoint!("timer:timer_expire_exit", timer);
}

/// A timer leaves its bucket.
#[inline(always)]
pub fn trace_timer_cancel(timer: &'static TimerList) {
    tracepoint!("timer:timer_cancel", timer);
}

/// A wheel goes to sleep with its CPU, or wakes.
#[inline(always)]
pub fn trace_timer_base_idle(is_idle: bool, cpu: u32) {
    tracepoint!("timer:timer_base_idle", is_idle, cpu);
}

/// A high-resolution timer has been set up.
#[inline(always)]
pub fn trace_hrtimer_init(timer: &'static Hrtimer, clockid: i32, mode: u32) {
    tracepoint!("timer:hrtimer_init", timer, clockid, mode);
}

/// It has been put into its base's tree.
#[inline(always)]
pub fn trace_hrtimer_start(timer: &'static Hrtimer, mode: u32) {
    tracepoint!("timer:hrtimer_start", timer, mode);
}

/// Its callback is about to be called.
#[inline(always)]
pub fn trace_hrtimer_expire_entry(timer: &'static Hrtimer, now: &Ktime) {
    tracepoint!("timer:hrtimer_expire_entry", timer, now);
}

/// It has returned.
#[inline(always)]
pub fn trace_hrtimer_expire_exit(timer: &'static Hrtimer) {
    tracepoint!("timer:hrtimer_expire_exit", timer);
}

/// It has been taken out of the tree.
#[inline(always)]
pub fn trace_hrtimer_cancel(timer: &'static Hrtimer) {
    tracepoint!("timer:hrtimer_cancel", timer);
}

/// The tick has been stopped, or could not be.
#[inline(always)]
pub fn trace_tick_stop(success: bool, dependency: u32) {
    tracepoint!("timer:tick_stop", success, dependency);
}
