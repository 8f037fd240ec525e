//! `probe:*`: entry probes on kernel functions, named as `perf probe` names them.

use super::events;

events! {
    /// Entry of `scheduler_tick`: the timer tick reaches the scheduler.
    SchedulerTick = 18, "probe:scheduler_tick" {}
}
