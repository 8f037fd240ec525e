//! The stopper: run a function on a CPU before anything else there.
//!
//! Linux: `include/linux/stop_machine.h` (v6.8). Kept: the types. The functions are in
//! `kernel/stop_machine.rs`. Differs: a work's argument carries its type (`VoidPtr`).

use crate::fence::shared::Shared;
use crate::fence::stack_pinned::StackObject;
use crate::fence::void::{VoidCell, VoidPtr};
use crate::include::linux::completion::Completion;
use crate::include::linux::list::{ListHead, list_empty};
use crate::intrusive_adapter;
use core::sync::atomic::{AtomicI32, Ordering};

pub use crate::kernel::stop_machine::{
    stop_machine, stop_machine_cpuslocked, stop_machine_from_inactive_cpu, stop_machine_park,
    stop_machine_unpark, stop_one_cpu, stop_one_cpu_nowait, stop_two_cpus, try_stop_cpus,
};

/// A function that a stopper runs, with preemption off; 0 or an error.
pub type CpuStopFn = extern "C" fn(VoidPtr) -> i32;

/// Counts a request's works down, and tells the waiter.
#[doc(alias = "cpu_stop_done")]
#[repr(C)]
pub struct CpuStopDone {
    /// Works left.
    pub nr_todo: AtomicI32,
    /// The last error.
    pub ret: Shared<i32>,
    /// Fires when no work is left.
    pub completion: Completion,
}

impl CpuStopDone {
    /// A request of so many works.
    pub const fn new(nr_todo: i32) -> CpuStopDone {
        CpuStopDone {
            nr_todo: AtomicI32::new(nr_todo),
            ret: Shared::new(0),
            completion: Completion::new(),
        }
    }
}

impl StackObject for CpuStopDone {
    fn quiescent(&self) -> bool {
        self.nr_todo.load(Ordering::Acquire) <= 0 && self.completion.quiescent()
    }
}

/// One work for one stopper. All fields but the link are filled before it is queued and read by the
/// stopper after it is taken off, so the stopper's lock orders them.
#[doc(alias = "cpu_stop_work")]
#[repr(C)]
pub struct CpuStopWork {
    /// Place in the stopper's list.
    pub list: ListHead,
    /// What to run.
    pub r#fn: Shared<Option<CpuStopFn>>,
    /// Return address of whoever asked.
    pub caller: Shared<u64>,
    /// The argument: its address first, then (ours) its type.
    pub arg: VoidCell,
    /// Whom to tell; None when nobody waits.
    pub done: Shared<Option<&'static CpuStopDone>>,
}

impl CpuStopWork {
    /// A work that is in no list.
    pub const fn new() -> CpuStopWork {
        CpuStopWork {
            list: ListHead::new(),
            r#fn: Shared::new(None),
            caller: Shared::new(0),
            arg: VoidCell::new(VoidPtr::NULL),
            done: Shared::new(None),
        }
    }
}

impl StackObject for CpuStopWork {
    fn quiescent(&self) -> bool {
        list_empty(&self.list)
    }
}

intrusive_adapter!(
    /// Works by their link in a stopper's list.
    pub StopWorkLink = CpuStopWork { list: ListHead });
