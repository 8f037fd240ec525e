//! Tracepoints of the system vectors.
//!
//! Linux: arch/x86/include/asm/trace/irq_vectors.h, v6.8.

macro_rules! vector_events {
    ($($entry:ident $entry_name:literal $exit:ident $exit_name:literal;)*) => {$(
        #[doc = concat!("Fires ", $entry_name, ".")]
        #[inline(always)]
        pub fn $entry(vector: u8) {
            crate::tracepoint!($entry_name, vector);
        }
        #[doc = concat!("Fires ", $exit_name, ".")]
        #[inline(always)]
        pub fn $exit(vector: u8) {
            crate::tracepoint!($exit_name, vector);
        }
    )*};
}
vector_events! {
    trace_local_timer_entry "irq_vectors:local_timer_entry"
        trace_local_timer_exit "irq_vectors:local_timer_exit";
    trace_reschedule_entry "irq_vectors:reschedule_entry"
        trace_reschedule_exit "irq_vectors:reschedule_exit";
    trace_call_function_entry "irq_vectors:call_function_entry"
        trace_call_function_exit "irq_vectors:call_function_exit";
    trace_call_function_single_entry "irq_vectors:call_function_single_entry"
        trace_call_function_single_exit "irq_vectors:call_function_single_exit";
    trace_irq_work_entry "irq_vectors:irq_work_entry"
        trace_irq_work_exit "irq_vectors:irq_work_exit";
}
