//! Arguments of a fork and the life of a task. Linux: `include/linux/sched/task.h` (v6.8).
//!
//! Kept: `kernel_clone_args` for kernel threads, reference counts. Left out: everything of user
//! processes. Differs: `fn` is a keyword here, so the field is `r#fn`.

use crate::fence::void::VoidPtr;
use crate::include::linux::sched::{TaskRef, TaskStruct};
use core::sync::atomic::Ordering;

/// What a kernel thread runs: gets its argument, returns its exit code.
pub type ThreadFn = extern "C" fn(VoidPtr) -> i32;

/// The child shares the parent's memory.
pub const CLONE_VM: u64 = 0x100;
/// The child shares file-system information.
pub const CLONE_FS: u64 = 0x200;
/// The child shares open files.
pub const CLONE_FILES: u64 = 0x400;
/// The child shall not be traced.
pub const CLONE_UNTRACED: u64 = 0x0080_0000;
/// The bits of the flags that hold the exit signal.
pub const CSIGNAL: u64 = 0xff;
/// The signal a parent gets when a child ends.
pub const SIGCHLD: i32 = 17;

/// What to fork, as `struct kernel_clone_args`.
#[doc(alias = "kernel_clone_args")]
#[derive(Clone, Copy)]
pub struct KernelCloneArgs {
    /// `CLONE_*` without the signal.
    pub flags: u64,
    /// The signal for the parent.
    pub exit_signal: i32,
    /// The name, for kernel threads that have one from the start.
    pub name: Option<&'static [u8; super::TASK_COMM_LEN]>,
    /// Whether the child is a kernel thread (`PF_KTHREAD`, with a `Kthread`).
    pub kthread: bool,
    /// Whether the child is an idle task: no pid number is taken.
    pub idle: bool,
    /// What the child runs.
    pub r#fn: Option<ThreadFn>,
    /// Its argument.
    pub fn_arg: VoidPtr,
}

/// Takes a reference to a task.
pub fn get_task_struct(t: TaskRef) -> TaskRef {
    t.usage.fetch_add(1, Ordering::Relaxed);
    t
}

/// Gives a reference back; the last one frees the slot.
pub fn put_task_struct(t: &'static TaskStruct) {
    if t.usage.fetch_sub(1, Ordering::AcqRel) == 1 {
        crate::kernel::fork::__put_task_struct(t);
    }
}
