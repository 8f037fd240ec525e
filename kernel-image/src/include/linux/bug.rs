//! Assertions of the kernel about itself.
//!
//! Linux: include/linux/bug.h, include/asm-generic/bug.h, v6.8. **Kept** the names and the messages'
//! first line. **Differs** a call instead of `ud2` and a table.

/// The kernel cannot go on.
#[macro_export]
macro_rules! BUG {
    () => {
        $crate::kernel::panic::bug(file!(), line!())
    };
}

/// The kernel cannot go on if the condition holds.
#[macro_export]
macro_rules! BUG_ON {
    ($cond:expr) => {
        if $cond {
            $crate::BUG!()
        }
    };
}

/// Warns with registers and backtrace if the condition holds; yields the condition.
#[macro_export]
macro_rules! WARN_ON {
    ($cond:expr) => {{
        let holds: bool = $cond;
        if holds {
            $crate::kernel::panic::warn_slowpath_fmt(file!(), line!(), None);
        }
        holds
    }};
}

/// As `WARN_ON`, once per site.
#[macro_export]
macro_rules! WARN_ON_ONCE {
    ($cond:expr) => {{
        static ALREADY_DONE: core::sync::atomic::AtomicBool =
            core::sync::atomic::AtomicBool::new(false);
        let holds: bool = $cond;
        if holds && !ALREADY_DONE.swap(true, core::sync::atomic::Ordering::Relaxed) {
            $crate::kernel::panic::warn_slowpath_fmt(file!(), line!(), None);
        }
        holds
    }};
}

/// Warns with a message the first time that the condition holds; yields the condition.
#[macro_export]
macro_rules! WARN_ONCE {
    ($cond:expr, $($fmt:tt)+) => {{
        static SAID: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);
        let holds: bool = $cond;
        if holds && !SAID.swap(true, core::sync::atomic::Ordering::Relaxed) {
            $crate::WARN!(true, $($fmt)+);
        }
        holds
    }};
}

/// Warns with a message if the condition holds; yields the condition.
#[macro_export]
macro_rules! WARN {
    ($cond:expr, $($fmt:tt)+) => {{
        let holds: bool = $cond;
        if holds {
            $crate::kernel::panic::warn_slowpath_fmt(
                file!(), line!(), Some(core::format_args!($($fmt)+)));
        }
        holds
    }};
}
