//! The tracer's view of a CPU of the running machine: `emu` knows no `trace` and the other way round,
//! so somebody has to introduce them.

use emu::{CpuView, Reg, VirtAddr};
use trace::event::Addr;
use trace::target::{Register, Target, Unreadable};

/// A CPU at a hit.
pub struct OnCpu<'a, 'b>(pub &'a CpuView<'b>);

impl Target for OnCpu<'_, '_> {
    fn read(&self, at: Addr, into: &mut [u8]) -> Result<(), Unreadable> {
        self.0.read_virt(VirtAddr(at.0), into).map_err(|_| Unreadable(at))
    }

    fn register(&self, register: Register) -> u64 {
        let reg = match register {
            Register::Rax => Reg::Rax,
            Register::Rdx => Reg::Rdx,
            Register::Rcx => Reg::Rcx,
            Register::Rbx => Reg::Rbx,
            Register::Rsi => Reg::Rsi,
            Register::Rdi => Reg::Rdi,
            Register::Rbp => Reg::Rbp,
            Register::Rsp => Reg::Rsp,
            Register::R8 => Reg::R8,
            Register::R9 => Reg::R9,
            Register::R10 => Reg::R10,
            Register::R11 => Reg::R11,
            Register::R12 => Reg::R12,
            Register::R13 => Reg::R13,
            Register::R14 => Reg::R14,
            Register::R15 => Reg::R15,
            Register::Rip => Reg::Rip,
            Register::GsBase => Reg::GsBase,
        };
        self.0.reg(reg)
    }
}
