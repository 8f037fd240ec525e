//! Kernel messages.
//!
//! Linux: include/linux/printk.h, v6.8. **Kept** the level names. **Differs** Rust's format strings.

/// Prints a message; a line break ends it and is added when missing. `pr_cont!` goes on with the line.
#[macro_export]
macro_rules! printk {
    ($($fmt:tt)+) => {
        $crate::kernel::printk::printk::vprintk(core::format_args!($($fmt)+))
    };
}
/// System is unusable.
#[macro_export]
macro_rules! pr_emerg { ($($fmt:tt)+) => { $crate::printk!($($fmt)+) }; }
/// Critical.
#[macro_export]
macro_rules! pr_crit { ($($fmt:tt)+) => { $crate::printk!($($fmt)+) }; }
/// Error.
#[macro_export]
macro_rules! pr_err { ($($fmt:tt)+) => { $crate::printk!($($fmt)+) }; }
/// Warning.
#[macro_export]
macro_rules! pr_warn { ($($fmt:tt)+) => { $crate::printk!($($fmt)+) }; }
/// Notice.
#[macro_export]
macro_rules! pr_notice { ($($fmt:tt)+) => { $crate::printk!($($fmt)+) }; }
/// Information.
#[macro_export]
macro_rules! pr_info { ($($fmt:tt)+) => { $crate::printk!($($fmt)+) }; }
/// Debug: formatted by the compiler, never printed, as Linux without DEBUG.
#[macro_export]
macro_rules! pr_debug { ($($fmt:tt)+) => { { let _ = core::format_args!($($fmt)+); } }; }
