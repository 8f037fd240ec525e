//! Completions: wait until something has been done. Linux: `include/linux/completion.h` (v6.8).
//!
//! Kept: the type. The functions are in `kernel/sched/completion.rs`.

use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::include::linux::swait::SwaitQueueHead;

/// Counts how often something has been done and not yet been waited for.
#[doc(alias = "completion")]
#[repr(C)]
pub struct Completion {
    /// Under the queue's lock; the largest value stands for "for ever".
    pub done: Shared<u32>,
    /// Who waits.
    pub wait: SwaitQueueHead,
}

impl Completion {
    /// Not done (`init_completion`).
    pub const fn new() -> Completion {
        Completion {
            done: Shared::new(0),
            wait: SwaitQueueHead::new(),
        }
    }

    /// Not done again (`reinit_completion`).
    pub fn reinit(&self) {
        self.done.set(0);
    }
}

impl StackObject for Completion {
    fn quiescent(&self) -> bool {
        self.wait.quiescent()
    }
}
