//! `irq_vectors:*`, as `arch/x86/include/asm/trace/irq_vectors.h` of Linux v6.8.

use super::events;

events! {
    /// The handler begins, inside irq_enter.
    LocalTimerEntry = 10, "irq_vectors:local_timer_entry" {
        /// The vector, 236.
        vector: i32 = "vector",
    }
    /// The handler has ended, before irq_exit.
    LocalTimerExit = 11, "irq_vectors:local_timer_exit" {
        /// The vector, 236.
        vector: i32 = "vector",
    }
    /// The handler begins, inside irq_enter.
    RescheduleEntry = 12, "irq_vectors:reschedule_entry" {
        /// The vector, 253.
        vector: i32 = "vector",
    }
    /// The handler has ended, before irq_exit.
    RescheduleExit = 13, "irq_vectors:reschedule_exit" {
        /// The vector, 253.
        vector: i32 = "vector",
    }
    /// The handler begins, inside irq_enter.
    CallFunctionEntry = 14, "irq_vectors:call_function_entry" {
        /// The vector, 252.
        vector: i32 = "vector",
    }
    /// The handler has ended, before irq_exit.
    CallFunctionExit = 15, "irq_vectors:call_function_exit" {
        /// The vector, 252.
        vector: i32 = "vector",
    }
    /// The handler begins, inside irq_enter.
    CallFunctionSingleEntry = 16, "irq_vectors:call_function_single_entry" {
        /// The vector, 251.
        vector: i32 = "vector",
    }
    /// The handler has ended, before irq_exit.
    CallFunctionSingleExit = 17, "irq_vectors:call_function_single_exit" {
        /// The vector, 251.
        vector: i32 = "vector",
    }
}
