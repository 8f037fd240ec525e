//! The FFI fence: the only folder of the crate with `unsafe` code and with Unicorn's types.
//!
//! [`Engine`] owns the instance and guest memory; [`Cpu`] reads and writes the CPU state of the
//! vCPU that is loaded; [`CpuState`] holds those of the others. `layout` has the byte offsets,
//! `check` proves them.

mod check;
mod cpu;
mod engine;
mod layout;
mod ram;

pub(crate) use cpu::{Cpu, CpuState, Seg, Segment, hf, read_virt, rflags};
pub(crate) use engine::{Engine, Exit, Flow, Handler};
pub(crate) use ram::RamView;
