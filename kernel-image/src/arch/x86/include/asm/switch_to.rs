//! The context switch.
//!
//! Linux: arch/x86/include/asm/switch_to.h, v6.8. **Kept** the layout of a switched-out thread's stack.
#![expect(unsafe_code, reason = "changes the stack")]

use crate::include::linux::sched::{TaskRef, TaskStruct};

/// What `__switch_to_asm` leaves on the stack of a thread that is switched out.
#[doc(alias = "inactive_task_frame")]
#[repr(C)]
#[expect(missing_docs, reason = "the fields are the registers")]
pub struct InactiveTaskFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub bx: u64,
    pub bp: u64,
    pub ret_addr: u64,
}

#[expect(
    improper_ctypes,
    reason = "only the address of a task is passed; its fields are Rust's"
)]
unsafe extern "C" {
    fn __switch_to_asm(prev: &'static TaskStruct, next: &'static TaskStruct) -> TaskRef;
}

/// Runs `next` on this CPU in place of `prev`; returns when `prev` runs again, with the task that ran before
/// it then.
///
/// # Context
/// Only from `context_switch`: `prev` is current, `next` is on no CPU, this CPU's runqueue lock is held and
/// interrupts are off.
#[inline(always)]
pub fn switch_to(prev: TaskRef, next: TaskRef) -> TaskRef {
    // SAFETY: the stack of `next` was left by an earlier call here or laid out by `copy_thread`; the caller
    // holds the runqueue lock, so no other CPU switches to it; tasks and stacks are never unmapped.
    unsafe { __switch_to_asm(prev, next) }
}
