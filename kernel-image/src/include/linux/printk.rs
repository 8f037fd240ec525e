//! Kernel messages.
//!
//! Linux: include/linux/printk.h, kern_levels.h, v6.8. **Kept** the levels. **Differs** Rust's format strings.

pub use crate::kernel::printk::printk::{console_lock, console_loglevel, console_unlock};

/// System is unusable.
pub const LOGLEVEL_EMERG: i32 = 0;
/// Something must be done at once.
pub const LOGLEVEL_ALERT: i32 = 1;
/// Critical.
pub const LOGLEVEL_CRIT: i32 = 2;
/// Error.
pub const LOGLEVEL_ERR: i32 = 3;
/// Warning.
pub const LOGLEVEL_WARNING: i32 = 4;
/// Normal, but worth a look.
pub const LOGLEVEL_NOTICE: i32 = 5;
/// Information.
pub const LOGLEVEL_INFO: i32 = 6;
/// For debugging.
pub const LOGLEVEL_DEBUG: i32 = 7;

/// Prints a message of a level; a line break ends it and is added when missing.
#[macro_export]
macro_rules! printk {
    ($level:expr, $($fmt:tt)+) => {
        $crate::kernel::printk::printk::vprintk_emit($level, core::format_args!($($fmt)+))
    };
}
/// The same, printed a little later: for those who hold a lock that printing might need.
#[macro_export]
macro_rules! printk_deferred {
    ($level:expr, $($fmt:tt)+) => {
        $crate::kernel::printk::printk::vprintk_deferred($level, core::format_args!($($fmt)+))
    };
}
/// System is unusable.
#[macro_export]
macro_rules! pr_emerg { ($($fmt:tt)+) => { $crate::printk!(0, $($fmt)+) }; }
/// Something must be done at once.
#[macro_export]
macro_rules! pr_alert { ($($fmt:tt)+) => { $crate::printk!(1, $($fmt)+) }; }
/// Critical.
#[macro_export]
macro_rules! pr_crit { ($($fmt:tt)+) => { $crate::printk!(2, $($fmt)+) }; }
/// Error.
#[macro_export]
macro_rules! pr_err { ($($fmt:tt)+) => { $crate::printk!(3, $($fmt)+) }; }
/// Warning.
#[macro_export]
macro_rules! pr_warn { ($($fmt:tt)+) => { $crate::printk!(4, $($fmt)+) }; }
/// Notice.
#[macro_export]
macro_rules! pr_notice { ($($fmt:tt)+) => { $crate::printk!(5, $($fmt)+) }; }
/// Information.
#[macro_export]
macro_rules! pr_info { ($($fmt:tt)+) => { $crate::printk!(6, $($fmt)+) }; }
/// Debug: formatted by the compiler, never printed, as Linux without DEBUG.
#[macro_export]
macro_rules! pr_debug { ($($fmt:tt)+) => { { let _ = core::format_args!($($fmt)+); } }; }
