//! kreplay's built-in guest: a Rust re-creation of Linux v6.8's boot, scheduler and stopper for x86_64.
//!
//! Every file stands at the path of the Linux file it follows (`kernel/sched/core.c` is
//! `kernel/sched/core.rs`) and every function, field, constant and global has Linux's name; types are the
//! same words in Rust's case, so `task_struct` is [`include::linux::sched::TaskStruct`]. README.md says
//! per file what is kept and what is left out; UNSAFE.md lists the files that may contain `unsafe` and why.
//! What Linux does not have lives in [`fence`]: the safe blocks over an SMP kernel's unsafe parts.
//!
//! It is built by cli/image (which holds the flags) into the ELF `vmlinux`, and boots by the Linux 64-bit
//! boot protocol on any machine with a local APIC and ACPI tables.
#![no_std]

extern crate alloc;

// Layers, lowest first: arch/x86/include, fence, lib, include, mm, kernel, arch/x86/kernel, drivers, init.
pub mod arch;
pub mod drivers;
pub mod fence;
pub mod fs;
pub mod include;
pub mod init;
pub mod kernel;
#[path = "lib/mod.rs"]
pub mod lib;
pub mod mm;
pub mod net;
