//! The Rust half of the context switch.
//!
//! Linux: arch/x86/kernel/process_64.c, v6.8. **Left out** segments, FPU, debug registers, user state.
#![expect(unsafe_code, reason = "called from assembly by name")]

use crate::arch::x86::include::asm::current::pcpu_hot;
use crate::arch::x86::include::asm::page_types::THREAD_SIZE;
use crate::include::linux::sched::TaskRef;

/// On the stack of `next_p`: makes it current. Its return value is what `switch_to` returns to `next_p`.
///
/// # Safety
/// Reached from `__switch_to_asm` alone.
#[unsafe(no_mangle)]
unsafe extern "C" fn __switch_to(prev_p: TaskRef, next_p: TaskRef) -> TaskRef {
    let hot = pcpu_hot.this_cpu();
    hot.current_task.set(Some(next_p));
    hot.top_of_stack.set(next_p.stack.get() + THREAD_SIZE);
    prev_p
}
