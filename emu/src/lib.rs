//! The machine: an x86_64 PC of 1 to 64 CPUs, emulated by one Unicorn instance, in virtual time.
//!
//! ```text
//!   ELF image ──loader──▶ RAM ◀──────────── observers read (CpuView)
//!                          │
//!   Machine::run ─▶ windows ─▶ vCPU slices ─▶ unicorn (the only unsafe code)
//!                     │             │
//!                interleaver   local APICs; the board: I/O APIC, UART, CMOS, power-off, reset
//! ```
//!
//! **The promise.** Image + [`MachineConfig`] decide the run: every instruction, its order and its
//! virtual time. Nothing reads the host's clock, address layout or randomness, and an [`Observer`]
//! cannot change anything.
//!
//! **Times.** A vCPU's clock counts [`Cycles`]: one for each retired instruction ([`Insns`]), and
//! the jumps it makes while halted. Windows of `quantum` cycles keep the clocks together.
//! **Addresses.** [`PhysAddr`] is what page tables and devices mean, [`VirtAddr`] what
//! instructions mean.

mod acpi;
mod blocks;
mod config;
mod core;
mod cpuid;
mod decode;
mod deliver;
mod device;
mod dirty;
mod error;
mod interleave;
mod layout;
mod loader;
mod machine;
mod mmio;
mod msr;
mod names;
mod observe;
mod paging;
mod rng;
mod snapshot;
mod topology;
mod unicorn;
mod units;
mod vcpu;

pub use config::{MAX_COMMAND_LINE, MAX_VCPUS, MachineConfig, PolicyKind};
pub use dirty::Tracking;
pub use error::{Error, ErrorKind, Place};
pub use interleave::Interleaver;
pub use loader::Kernel;
pub use machine::{Machine, MachineSummary, Outcome};
pub use names::{msr_name, port_name};
pub use observe::{CpuView, Exception, Observer, Reg, Site};
pub use paging::Fault;
pub use snapshot::Snapshot;
pub use topology::Topology;
pub use units::{Cycles, Insns, PhysAddr, Stamp, VcpuId, VirtAddr};
