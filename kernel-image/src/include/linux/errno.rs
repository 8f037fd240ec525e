//! Error numbers, returned negated as Linux does.
//!
//! Linux: include/uapi/asm-generic/errno-base.h and errno.h, v6.8. **Kept** the numbers in use.

/// Operation not permitted.
pub const EPERM: i32 = 1;
/// No such file or directory: for the stopper, "the work did not run".
pub const ENOENT: i32 = 2;
/// No such process.
pub const ESRCH: i32 = 3;
/// Input or output error.
pub const EIO: i32 = 5;
/// Interrupted.
pub const EINTR: i32 = 4;
/// No such device or address: the CPU is offline.
pub const ENXIO: i32 = 6;
/// Argument list too long; a structure of the caller has fields that are not known.
pub const E2BIG: i32 = 7;
/// Try again.
pub const EAGAIN: i32 = 11;
/// Out of memory.
pub const ENOMEM: i32 = 12;
/// Permission denied.
pub const EACCES: i32 = 13;
/// Bad address.
pub const EFAULT: i32 = 14;
/// Busy.
pub const EBUSY: i32 = 16;
/// It is there already.
pub const EEXIST: i32 = 17;
/// No such device.
pub const ENODEV: i32 = 19;
/// Invalid argument.
pub const EINVAL: i32 = 22;
/// No space left: no number left to hand out.
pub const ENOSPC: i32 = 28;
/// Resource deadlock avoided.
pub const EDEADLK: i32 = 35;
/// Function not implemented.
pub const ENOSYS: i32 = 38;
/// Timer expired.
pub const ETIME: i32 = 62;
/// Value too large.
pub const EOVERFLOW: i32 = 75;
/// Operation not supported.
pub const EOPNOTSUPP: i32 = 95;
/// Timed out.
pub const ETIMEDOUT: i32 = 110;
/// Operation cancelled.
pub const ECANCELED: i32 = 125;
/// Restart the system call.
pub const ERESTARTSYS: i32 = 512;
