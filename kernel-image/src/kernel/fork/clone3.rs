//! The kernel's half of clone3. Linux: `kernel/fork.c` (v6.8): `copy_clone_args_from_user`, `clone3_args_valid`,
//! `sys_clone3`.
//!
//! Kept: the sizes of the structure, every check with its error. Left out: copying from user memory. Differs: the
//! program that the child would return to is a function.

use super::kernel_clone;
use crate::fence::void::VoidPtr;
use crate::include::linux::errno::{E2BIG, EINVAL};
use crate::include::linux::sched::task::*;

/// Highest signal.
const _NSIG: u64 = 64;
const PAGE_SIZE: usize = 4096;

/// What the caller asks for, checked for itself.
fn copy_clone_args_from_user(
    uargs: &CloneArgs,
    usize: usize,
    program: ThreadFn,
    arg: VoidPtr,
) -> Result<KernelCloneArgs, i32> {
    if usize > PAGE_SIZE {
        return Err(-E2BIG);
    }
    if usize < CLONE_ARGS_SIZE_VER0 {
        return Err(-EINVAL);
    }
    // Fields that the caller's version does not have are zero.
    let (set_tid, set_tid_size) = if usize >= CLONE_ARGS_SIZE_VER1 {
        (uargs.set_tid, uargs.set_tid_size)
    } else {
        (0, 0)
    };
    if set_tid_size > MAX_PID_NS_LEVEL || (set_tid == 0) != (set_tid_size == 0) {
        return Err(-EINVAL);
    }
    // A signal, and nothing else in the word.
    if uargs.exit_signal & !CSIGNAL != 0 || uargs.exit_signal > _NSIG {
        return Err(-EINVAL);
    }
    if uargs.flags & CLONE_INTO_CGROUP != 0
        && (uargs.cgroup > i32::MAX as u64 || usize < CLONE_ARGS_SIZE_VER2)
    {
        return Err(-EINVAL);
    }
    // One name space of numbers: the caller may name one.
    if set_tid_size > 1 || set_tid > i32::MAX as u64 {
        return Err(-EINVAL);
    }
    Ok(KernelCloneArgs {
        flags: uargs.flags,
        exit_signal: uargs.exit_signal as i32,
        name: None,
        kthread: false,
        idle: false,
        stack: uargs.stack,
        stack_size: uargs.stack_size,
        set_tid: set_tid as i32,
        r#fn: Some(program),
        fn_arg: arg,
    })
}

/// A stack is given whole or not at all; it grows down from its end.
fn clone3_stack_valid(kargs: &mut KernelCloneArgs) -> bool {
    if (kargs.stack == 0) != (kargs.stack_size == 0) {
        return false;
    }
    kargs.stack += kargs.stack_size;
    true
}

/// Whether the request makes sense; the flags among each other are `copy_process`'s business.
fn clone3_args_valid(kargs: &mut KernelCloneArgs) -> bool {
    let flags = kargs.flags;
    if flags & !(CLONE_LEGACY_FLAGS | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP) != 0 {
        return false;
    }
    // Bits that meant a signal in the old call mean nothing here, but for the one that was given a new meaning.
    if flags & (CLONE_DETACHED | CSIGNAL & !CLONE_NEWTIME) != 0 {
        return false;
    }
    if flags & (CLONE_SIGHAND | CLONE_CLEAR_SIGHAND) == CLONE_SIGHAND | CLONE_CLEAR_SIGHAND {
        return false;
    }
    // A thread tells its group, a brother tells the common parent: neither has a signal of its own.
    if flags & (CLONE_THREAD | CLONE_PARENT) != 0 && kargs.exit_signal != 0 {
        return false;
    }
    clone3_stack_valid(kargs)
}

/// Makes a task as user space would ask for it: of a task with a memory map comes one with a map.
///
/// # Context
/// May sleep.
/// # Returns
/// The child's number, or an error.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
#[inline(never)]
pub fn sys_clone3(uargs: &CloneArgs, size: usize, program: ThreadFn, arg: VoidPtr) -> i32 {
    let mut kargs = match copy_clone_args_from_user(uargs, size, program, arg) {
        Ok(kargs) => kargs,
        Err(error) => return error,
    };
    if !clone3_args_valid(&mut kargs) {
        return -EINVAL;
    }
    kernel_clone(&kargs)
}
