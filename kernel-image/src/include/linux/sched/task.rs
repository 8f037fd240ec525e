//! Arguments of a fork and the life of a task. Linux: `include/linux/sched/task.h` (v6.8).
//!
//! Kept: `kernel_clone_args`, clone3's `clone_args`, reference counts. Left out: files, cgroups, name
//! spaces. Differs: `fn` is a keyword here, so the field is `r#fn`.

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
/// The child shares signal handlers.
pub const CLONE_SIGHAND: u64 = 0x800;
/// The caller gets a file for the child.
pub const CLONE_PIDFD: u64 = 0x1000;
/// The caller waits until the child lets go of the memory.
pub const CLONE_VFORK: u64 = 0x4000;
/// The child's parent is the caller's.
pub const CLONE_PARENT: u64 = 0x8000;
/// The child is a thread of the caller's group.
pub const CLONE_THREAD: u64 = 0x0001_0000;
/// The child gets its own mounts.
pub const CLONE_NEWNS: u64 = 0x0002_0000;
/// The parent's number word is written.
pub const CLONE_PARENT_SETTID: u64 = 0x0010_0000;
/// Ignored since 2.6; refused by clone3.
pub const CLONE_DETACHED: u64 = 0x0040_0000;
/// The child shall not be traced.
pub const CLONE_UNTRACED: u64 = 0x0080_0000;
/// The child gets its own users.
pub const CLONE_NEWUSER: u64 = 0x1000_0000;
/// The child gets its own numbers.
pub const CLONE_NEWPID: u64 = 0x2000_0000;
/// The child's signal handlers are reset.
pub const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
/// The child is put into a cgroup.
pub const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// The child gets its own clock offsets: a bit of the exit signal in the old call.
pub const CLONE_NEWTIME: u64 = 0x80;
/// What fits into the flags of the old call.
pub const CLONE_LEGACY_FLAGS: u64 = 0xffff_ffff;
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
    pub name: Option<[u8; super::TASK_COMM_LEN]>,
    /// Whether the child is a kernel thread (`PF_KTHREAD`, with a `Kthread`).
    pub kthread: bool,
    /// Whether the child is an idle task: no pid number is taken.
    pub idle: bool,
    /// Where the child's stack begins, for a caller that has memory of its own.
    pub stack: u64,
    /// How long it is.
    pub stack_size: u64,
    /// The number the child shall have, 0 for any.
    pub set_tid: i32,
    /// What the child runs.
    pub r#fn: Option<ThreadFn>,
    /// Its argument.
    pub fn_arg: VoidPtr,
}

/// What a caller of clone3 hands over, as `struct clone_args`.
#[doc(alias = "clone_args")]
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub struct CloneArgs {
    /// `CLONE_*`.
    pub flags: u64,
    /// Where the file of the child goes.
    pub pidfd: u64,
    /// Where the child's number goes, in its memory.
    pub child_tid: u64,
    /// The same in the caller's.
    pub parent_tid: u64,
    /// The signal when it ends.
    pub exit_signal: u64,
    /// Lowest address of its stack.
    pub stack: u64,
    /// Bytes of it.
    pub stack_size: u64,
    /// Its thread pointer.
    pub tls: u64,
    /// The numbers it shall have; here the number itself: there is one name space.
    pub set_tid: u64,
    /// How many of them.
    pub set_tid_size: u64,
    /// Its cgroup.
    pub cgroup: u64,
}

/// The first version of the structure.
pub const CLONE_ARGS_SIZE_VER0: usize = 64;
/// With `set_tid`.
pub const CLONE_ARGS_SIZE_VER1: usize = 80;
/// With `cgroup`.
pub const CLONE_ARGS_SIZE_VER2: usize = 88;
/// Deepest name space of numbers.
pub const MAX_PID_NS_LEVEL: u64 = 32;

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
