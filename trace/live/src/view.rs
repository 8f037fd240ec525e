//! The emulated machine as a [`Target`]: a vCPU at a probe hit, or one of a machine that stands still.

use emu::{CpuView, Machine, Reg, VcpuId, VirtAddr};
use trace::event::Addr;
use trace::target::{Register, Target, Unreadable};

fn reg(register: Register) -> Reg {
    match register {
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
        Register::Rflags => Reg::Rflags,
    }
}

/// The vCPU of a probe hit.
pub struct CpuTarget<'a, 'b> {
    /// The vCPU.
    pub cpu: &'a CpuView<'b>,
    /// The address that was hit.
    pub at: VirtAddr,
}

impl Target for CpuTarget<'_, '_> {
    fn read(&self, at: Addr, into: &mut [u8]) -> Result<(), Unreadable> {
        self.cpu
            .read_virt(VirtAddr(at.0), into)
            .map_err(|_| Unreadable(at))
    }

    #[inline]
    fn memory(&self, at: Addr, len: usize) -> Option<&[u8]> {
        self.cpu.memory(VirtAddr(at.0), len)
    }

    fn register(&self, register: Register) -> u64 {
        match register {
            Register::Rip => self.at.0,
            other => self.cpu.reg(reg(other)),
        }
    }
}

/// A vCPU of a machine that does not run.
pub struct MachineTarget<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// Which of its vCPUs' page tables and registers.
    pub vcpu: VcpuId,
}

impl Target for MachineTarget<'_> {
    fn read(&self, at: Addr, into: &mut [u8]) -> Result<(), Unreadable> {
        self.machine
            .read_virt(self.vcpu, VirtAddr(at.0), into)
            .map_err(|_| Unreadable(at))
    }

    fn register(&self, register: Register) -> u64 {
        self.machine.reg(self.vcpu, reg(register))
    }
}
