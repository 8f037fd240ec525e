//! What the kernel calls itself. Linux: `init/version.c` (v6.8).
//!
//! Differs: no build host, number or time, so that the image is the same wherever it is built.

/// The first line on the console.
pub const linux_banner: &str = concat!(
    "Linux version 6.8.0-kreplay (Rust re-creation, kernel-image ",
    env!("CARGO_PKG_VERSION"),
    ") #1 SMP PREEMPT_DYNAMIC"
);
