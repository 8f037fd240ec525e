//! The CPU state of the vCPU that is loaded in the engine, and of those that are not.

use unicorn_engine_sys as ffi;

use super::layout as at;
use super::ram::RamView;
use crate::error::Error;
use crate::observe::Reg;
use crate::paging::{self, Access, Fault, Space};
use crate::snapshot::{Reader, Saved, Writer, bad};
use crate::units::{PhysAddr, VirtAddr};

/// Hidden flags of the translator (`HF_*`).
pub(crate) mod hf {
    pub(crate) const CPL: u32 = 3;
    pub(crate) const INHIBIT_IRQ: u32 = 1 << 3;
    pub(crate) const CS32: u32 = 1 << 4;
    pub(crate) const SS32: u32 = 1 << 5;
    pub(crate) const ADDSEG: u32 = 1 << 6;
    pub(crate) const PE: u32 = 1 << 7;
    pub(crate) const TF: u32 = 1 << 8;
    pub(crate) const MP: u32 = 1 << 9;
    pub(crate) const LMA: u32 = 1 << 14;
    pub(crate) const CS64: u32 = 1 << 15;
    pub(crate) const RF: u32 = 1 << 16;
    pub(crate) const OSFXSR: u32 = 1 << 22;
    /// What decides how bytes decode.
    pub(crate) const MODE: u32 = CS32 | CS64;
}

/// Bits of RFLAGS.
pub(crate) mod rflags {
    pub(crate) const TF: u64 = 1 << 8;
    pub(crate) const IF: u64 = 1 << 9;
    pub(crate) const NT: u64 = 1 << 14;
    pub(crate) const RF: u64 = 1 << 16;
    pub(crate) const VM: u64 = 1 << 17;
}

/// A segment register with its hidden part; `flags` is the descriptor's second word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) selector: u32,
    pub(crate) base: u64,
    pub(crate) limit: u32,
    pub(crate) flags: u32,
}

/// Which segment register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seg {
    Es,
    Cs,
    Ss,
    Ds,
    Fs,
    Gs,
    Ldt,
    Tr,
    Gdt,
    Idt,
}

impl Seg {
    fn offset(self) -> usize {
        match self {
            Seg::Es => at::SEGS,
            Seg::Cs => at::SEGS + at::SEGMENT_SIZE,
            Seg::Ss => at::SEGS + 2 * at::SEGMENT_SIZE,
            Seg::Ds => at::SEGS + 3 * at::SEGMENT_SIZE,
            Seg::Fs => at::SEGS + 4 * at::SEGMENT_SIZE,
            Seg::Gs => at::SEGS + 5 * at::SEGMENT_SIZE,
            Seg::Ldt => at::LDT,
            Seg::Tr => at::TR,
            Seg::Gdt => at::GDT,
            Seg::Idt => at::IDT,
        }
    }
}

/// The state of one vCPU while another one is loaded.
#[derive(Clone)]
pub(crate) struct CpuState(Box<[u8; at::STATE_SIZE]>);

impl CpuState {
    /// A general register.
    pub(crate) fn gpr(&self, index: usize) -> u64 {
        self.u64_at(at::REGS + 8 * index)
    }

    /// The instruction pointer.
    pub(crate) fn rip(&self) -> u64 {
        self.u64_at(at::EIP)
    }

    /// The registers that decide address translation.
    pub(crate) fn space(&self) -> Space {
        let cr = |n: usize| self.u64_at(at::CR + 8 * n);
        Space::new(cr(0), cr(3), cr(4), self.u64_at(at::EFER))
    }

    /// Whether debug register 7 enables a breakpoint: the engine then has records of its own.
    pub(crate) fn has_breakpoints(&self) -> bool {
        self.u64_at(at::DR7) & 0xff != 0
    }

    fn u64_at(&self, offset: usize) -> u64 {
        let bytes = self.0[offset..offset + 8].try_into().expect("8 bytes");
        u64::from_le_bytes(bytes)
    }
}

/// The bytes as they are, without the host's addresses among them: the layout is pinned with the
/// engine's version, and the version of the snapshot's format with it.
impl Saved for CpuState {
    fn save(&self, to: &mut Writer) {
        let mut bytes = self.0.clone();
        for range in at::HOST_ADDRESSES {
            bytes[range].fill(0);
        }
        to.put(bytes.as_slice());
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        let taken = from.take(at::STATE_SIZE)?;
        let bytes: Box<[u8]> = taken.into();
        let bytes: Box<[u8; at::STATE_SIZE]> = bytes.try_into().expect("as many as were taken");
        if at::HOST_ADDRESSES
            .into_iter()
            .any(|range| bytes[range].iter().any(|b| *b != 0))
        {
            return Err(bad("host addresses in the state of a vCPU"));
        }
        Ok(Self(bytes))
    }
}

/// A handle on the CPU state inside the engine, and on guest memory.
///
/// Invariant: `uc` and `env` point into a live engine whose layout [`super::check`] verified, and
/// only its thread uses them. The handle is not `Send` (raw pointers) and is never handed out by
/// value outside the engine's folder.
pub(crate) struct Cpu {
    pub(super) uc: *mut ffi::uc_engine,
    pub(super) env: *mut u8,
    pub(super) ram: RamView,
}

impl Cpu {
    #[inline(always)]
    fn load<T: Copy>(&self, offset: usize) -> T {
        debug_assert!(offset + size_of::<T>() <= at::STATE_SIZE);
        // SAFETY: `env` has `STATE_SIZE` initialised bytes (type invariant), every offset of
        // `layout` is inside, and T is an integer, valid for any bytes.
        unsafe { self.env.add(offset).cast::<T>().read_unaligned() }
    }

    #[inline(always)]
    fn store<T: Copy>(&self, offset: usize, value: T) {
        debug_assert!(offset + size_of::<T>() <= at::STATE_SIZE);
        // SAFETY: as in `load`; C code reads these fields anew after every callback.
        unsafe { self.env.add(offset).cast::<T>().write_unaligned(value) }
    }

    /// A general register, in the order RAX RCX RDX RBX RSP RBP RSI RDI R8..R15.
    pub(crate) fn gpr(&self, index: usize) -> u64 {
        self.load(at::REGS + 8 * (index & 15))
    }

    pub(crate) fn set_gpr(&self, index: usize, value: u64) {
        self.store(at::REGS + 8 * (index & 15), value);
    }

    /// The instruction pointer, without the segment base.
    #[inline(always)]
    pub(crate) fn rip(&self) -> u64 {
        self.load(at::EIP)
    }

    pub(crate) fn set_rip(&self, value: u64) {
        self.store(at::EIP, value);
    }

    /// The instruction pointer as a linear address.
    pub(crate) fn linear_rip(&self) -> VirtAddr {
        VirtAddr(self.rip().wrapping_add(self.segment(Seg::Cs).base))
    }

    /// RFLAGS, with the arithmetic flags computed from the translator's lazy form.
    pub(crate) fn rflags(&self) -> u64 {
        let mut value = 0u64;
        // SAFETY: `uc` is live (type invariant); the register is 8 bytes in 64-bit mode.
        unsafe {
            ffi::uc_reg_read(self.uc, REG_RFLAGS, (&raw mut value).cast());
        }
        value | 2
    }

    pub(crate) fn set_rflags(&self, value: u64) {
        // SAFETY: as in `rflags`; writing the flags does not touch the instruction pointer.
        unsafe {
            ffi::uc_reg_write(self.uc, REG_RFLAGS, (&raw const value).cast());
        }
    }

    /// Repairs the lazy flags after a hooked instruction did not complete.
    ///
    /// Unicorn computes the arithmetic flags right after the hook of an instruction, but what it
    /// noted for faults is how they were to be computed before the hook. They are computed.
    pub(crate) fn flags_are_computed(&self) {
        /// `CC_OP_EFLAGS`: the flags are in the lazy source as they are.
        const COMPUTED: u32 = 1;
        self.store(at::CC_OP, COMPUTED);
    }

    /// Whether interrupts are enabled; cheap, unlike [`Cpu::rflags`].
    #[inline(always)]
    pub(crate) fn interrupts_on(&self) -> bool {
        self.load::<u64>(at::EFLAGS) & rflags::IF != 0
    }

    #[inline(always)]
    pub(crate) fn hflags(&self) -> u32 {
        self.load(at::HFLAGS)
    }

    pub(crate) fn set_hflags(&self, value: u32) {
        self.store(at::HFLAGS, value);
    }

    pub(crate) fn cr(&self, n: usize) -> u64 {
        self.load(at::CR + 8 * n)
    }

    pub(crate) fn set_cr(&self, n: usize, value: u64) {
        self.store(at::CR + 8 * n, value);
    }

    pub(crate) fn efer(&self) -> u64 {
        self.load(at::EFER)
    }

    pub(crate) fn set_efer(&self, value: u64) {
        self.store(at::EFER, value);
    }

    pub(crate) fn star(&self) -> u64 {
        self.load(at::STAR)
    }

    pub(crate) fn lstar(&self) -> u64 {
        self.load(at::LSTAR)
    }

    pub(crate) fn fmask(&self) -> u64 {
        self.load(at::FMASK)
    }

    pub(crate) fn tsc_aux(&self) -> u64 {
        self.load(at::TSC_AUX)
    }

    /// The error code of the exception being reported.
    pub(crate) fn error_code(&self) -> u32 {
        self.load(at::ERROR_CODE)
    }

    /// Whether the exception being reported is a software interrupt: RIP is past it then.
    pub(crate) fn is_software_interrupt(&self) -> bool {
        self.load::<u32>(at::EXCEPTION_IS_INT) != 0
    }

    /// Tells the engine that an exception was delivered: it would take the next one for a double
    /// fault otherwise.
    pub(crate) fn exception_delivered(&self) {
        self.store::<i32>(at::OLD_EXCEPTION, -1);
    }

    /// Feeds everything the guest can see of this vCPU to `sink`.
    pub(crate) fn architectural(&self, sink: &mut dyn FnMut(&[u8])) {
        sink(&self.rflags().to_le_bytes());
        let mut bytes = |range: std::ops::Range<usize>| {
            let all: Vec<u8> = range.map(|o| self.load::<u8>(o)).collect();
            sink(&all);
        };
        at::ARCHITECTURAL.into_iter().for_each(&mut bytes);
        bytes(at::X87);
        bytes(at::X87_REGISTERS);
        bytes(at::MXCSR..at::MXCSR + 4);
        (0..16).for_each(|n| bytes(at::XMM + 64 * n..at::XMM + 64 * n + 16));
    }

    pub(crate) fn segment(&self, which: Seg) -> Segment {
        let o = which.offset();
        Segment {
            selector: self.load(o),
            base: self.load(o + at::SEGMENT_BASE),
            limit: self.load(o + at::SEGMENT_LIMIT),
            flags: self.load(o + at::SEGMENT_FLAGS),
        }
    }

    pub(crate) fn set_segment(&self, which: Seg, to: Segment) {
        let o = which.offset();
        self.store(o, to.selector);
        self.store(o + at::SEGMENT_BASE, to.base);
        self.store(o + at::SEGMENT_LIMIT, to.limit);
        self.store(o + at::SEGMENT_FLAGS, to.flags);
    }

    /// The x87 control word and MXCSR after power-on or INIT.
    pub(crate) fn reset_fpu_control(&self) {
        self.store::<u16>(at::FPUC, 0x037f);
        self.store::<u32>(at::MXCSR, 0x1f80);
    }

    /// The registers that decide address translation.
    pub(crate) fn space(&self) -> Space {
        Space::new(self.cr(0), self.cr(3), self.cr(4), self.efer())
    }

    /// Guest memory.
    pub(crate) fn ram(&self) -> &RamView {
        &self.ram
    }

    /// Where a virtual address is, for this vCPU.
    pub(crate) fn translate(&self, v: VirtAddr, access: Access) -> Result<PhysAddr, Fault> {
        paging::translate(&self.ram, self.space(), v, access)
    }

    /// Copies from a virtual address, page by page, whatever the permissions.
    pub(crate) fn read_virt(&self, v: VirtAddr, into: &mut [u8]) -> Result<(), Fault> {
        read_virt(&self.ram, self.space(), v, into)
    }

    /// Writes as the supervisor at a virtual address; nothing is written on a fault.
    pub(crate) fn write_virt(&self, v: VirtAddr, from: &[u8]) -> Result<(), Fault> {
        let mut pieces = [(PhysAddr(0), 0usize); 2];
        let mut used = 0;
        let mut done = 0;
        while done < from.len() {
            let at = VirtAddr(v.0.wrapping_add(done as u64));
            let p = self.translate(at, Access::SupervisorWrite)?;
            let n = (from.len() - done).min(4096 - (at.0 & 4095) as usize);
            if p.0 + n as u64 > self.ram.len() || used == pieces.len() {
                return Err(Fault::NoRam(at, p));
            }
            pieces[used] = (p, n);
            used += 1;
            done += n;
        }
        let mut done = 0;
        for &(p, n) in &pieces[..used] {
            self.ram
                .write(p, &from[done..done + n])
                .expect("checked above");
            done += n;
        }
        Ok(())
    }

    /// A register an observer asked for.
    pub(crate) fn reg(&self, reg: Reg) -> u64 {
        match reg {
            Reg::Rax => self.gpr(0),
            Reg::Rcx => self.gpr(1),
            Reg::Rdx => self.gpr(2),
            Reg::Rbx => self.gpr(3),
            Reg::Rsp => self.gpr(4),
            Reg::Rbp => self.gpr(5),
            Reg::Rsi => self.gpr(6),
            Reg::Rdi => self.gpr(7),
            Reg::R8 => self.gpr(8),
            Reg::R9 => self.gpr(9),
            Reg::R10 => self.gpr(10),
            Reg::R11 => self.gpr(11),
            Reg::R12 => self.gpr(12),
            Reg::R13 => self.gpr(13),
            Reg::R14 => self.gpr(14),
            Reg::R15 => self.gpr(15),
            Reg::Rip => self.rip(),
            Reg::Rflags => self.rflags(),
            Reg::Cr0 => self.cr(0),
            Reg::Cr2 => self.cr(2),
            Reg::Cr3 => self.cr(3),
            Reg::Cr4 => self.cr(4),
            Reg::FsBase => self.segment(Seg::Fs).base,
            Reg::GsBase => self.segment(Seg::Gs).base,
            Reg::KernelGsBase => self.load(at::KERNEL_GS_BASE),
            Reg::Cs => self.segment(Seg::Cs).selector.into(),
            Reg::Ss => self.segment(Seg::Ss).selector.into(),
            Reg::Efer => self.efer(),
        }
    }

    /// Copies the loaded state out.
    pub(crate) fn save(&self, into: &mut CpuState) {
        let to = into.0.as_mut_ptr();
        for part in [0..at::UNUSED.start, at::UNUSED.end..at::STATE_SIZE] {
            // SAFETY: both sides have `STATE_SIZE` bytes and do not overlap; `part` is inside.
            unsafe {
                self.env
                    .add(part.start)
                    .copy_to_nonoverlapping(to.add(part.start), part.len());
            }
        }
    }

    /// Copies a state in. The engine must not be running.
    pub(crate) fn load_state(&self, from: &CpuState) {
        let source = from.0.as_ptr();
        for part in [0..at::UNUSED.start, at::UNUSED.end..at::STATE_SIZE] {
            // SAFETY: as in `save`; the bytes came from `save`, so pointers among them are valid.
            unsafe {
                self.env
                    .add(part.start)
                    .copy_from_nonoverlapping(source.add(part.start), part.len());
            }
        }
    }

    /// A new state equal to the loaded one.
    pub(crate) fn snapshot(&self) -> CpuState {
        let mut state = CpuState(Box::new([0; at::STATE_SIZE]));
        self.save(&mut state);
        state
    }
}

/// Copies from a virtual address in any address space.
pub(crate) fn read_virt(
    ram: &RamView,
    space: Space,
    v: VirtAddr,
    into: &mut [u8],
) -> Result<(), Fault> {
    let mut done = 0;
    while done < into.len() {
        let at = VirtAddr(v.0.wrapping_add(done as u64));
        let p = paging::translate(ram, space, at, Access::Peek)?;
        let n = (into.len() - done).min(4096 - (at.0 & 4095) as usize);
        ram.read(p, &mut into[done..done + n])
            .ok_or(Fault::NoRam(at, p))?;
        done += n;
    }
    Ok(())
}

pub(super) const REG_RFLAGS: i32 = ffi::RegisterX86::RFLAGS as i32;
