//! `cpuhp:*`, as `include/trace/events/cpuhp.h` of Linux v6.8: CPUs that come and go, callback by callback.

use super::events;
use crate::event::Addr;

events! {
    /// A callback of the hotplug state machine is about to run, on the CPU that runs it.
    CpuhpEnter = 28, "cpuhp:cpuhp_enter" {
        /// The CPU that comes or goes.
        cpu: u32 = "cpu",
        /// The state it shall come to, as `enum cpuhp_state`: below `idx` it goes down.
        target: i32 = "target",
        /// The state that the callback belongs to.
        idx: i32 = "idx",
        /// The callback.
        func: Addr = "fun",
    }
    /// The callback has returned.
    CpuhpExit = 29, "cpuhp:cpuhp_exit" {
        /// The CPU that comes or goes.
        cpu: u32 = "cpu",
        /// The state the CPU is in.
        state: i32 = "state",
        /// The state that the callback belongs to.
        idx: i32 = "idx",
        /// What the callback returned: 0 or an error.
        ret: i32 = "ret",
    }
    /// A callback of a state with several instances is about to run for one of them. The built-in kernel
    /// has no such state.
    CpuhpMultiEnter = 30, "cpuhp:cpuhp_multi_enter" {
        /// The CPU that comes or goes.
        cpu: u32 = "cpu",
        /// The state it shall come to, as `enum cpuhp_state`: below `idx` it goes down.
        target: i32 = "target",
        /// The state that the callback belongs to.
        idx: i32 = "idx",
        /// The callback.
        func: Addr = "fun",
    }
}
