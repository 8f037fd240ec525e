//! Watching the guest without touching it.
//!
//! An [`Observer`] is told when a watched address is about to execute, when a console byte is
//! written, and between windows. It gets a [`CpuView`]: reads only, so that no observer can change
//! what the guest does or when. Adding or removing a watched address takes effect at once and
//! moves no virtual time either.

use std::cell::Cell;
use std::ops::ControlFlow;

use crate::paging::{Access, Fault};
use crate::unicorn::Cpu;
use crate::units::{Cycles, PhysAddr, Stamp, VirtAddr};

/// How an address is watched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Site {
    /// The address starts a block whenever control arrives there by a jump, call or return:
    /// function entries and return addresses. Free to watch.
    Block,
    /// Any instruction, in the middle of a block too: tracepoint sites.
    Instruction,
}

/// A register an observer can read.
#[allow(missing_docs)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reg {
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    /// The address of the next instruction, without a segment base.
    Rip,
    /// The flags, with the arithmetic ones computed.
    Rflags,
    Cr0,
    Cr2,
    Cr3,
    Cr4,
    FsBase,
    GsBase,
    KernelGsBase,
    Cs,
    Ss,
    Efer,
}

/// What is told about a run while it goes on.
pub trait Observer {
    /// A watched address is about to execute; nothing of it has happened yet.
    fn hit(&mut self, cpu: &mut CpuView<'_>, at: VirtAddr, site: Site);

    /// A byte went to the serial console.
    fn console(&mut self, at: Stamp, byte: u8) {
        let _ = (at, byte);
    }

    /// A byte was given to [`crate::Machine::type_byte`], to be typed at that time. The same bytes at
    /// the same times are the same run, so a recorder keeps them.
    fn typed(&mut self, at: Cycles, byte: u8) {
        let _ = (at, byte);
    }

    /// The guest took an exception: vector, error code (if the vector has one), and CR2.
    fn exception(&mut self, at: Stamp, exception: Exception) {
        let _ = (at, exception);
    }

    /// Called between windows, often enough for a progress line. `Break` ends the run.
    fn slice(&mut self, now: Cycles) -> ControlFlow<()> {
        let _ = now;
        ControlFlow::Continue(())
    }
}

/// An exception or interrupt that was delivered to the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// The vector.
    pub vector: u8,
    /// The instruction pointer pushed on the frame.
    pub rip: VirtAddr,
    /// The error code pushed, for the vectors that have one.
    pub error_code: Option<u32>,
    /// CR2 as the handler will see it; of meaning for vector 14 only.
    pub cr2: VirtAddr,
    /// Whether a device sent it.
    pub external: bool,
}

/// What an observer asked for during one call.
#[derive(Default)]
pub(crate) struct Requests {
    /// Addresses to add (`true`) or remove.
    pub(crate) changes: Vec<(VirtAddr, Site, bool)>,
    /// A task switch was seen.
    pub(crate) progress: bool,
}

/// The vCPU that is about to execute a watched instruction. Reads only.
pub struct CpuView<'a> {
    cpu: &'a Cpu,
    stamp: Stamp,
    requests: &'a mut Requests,
    /// Pages that this view has translated: the guest stands still as long as there is a view. The
    /// number of the virtual page plus one, and the address of the physical one.
    pages: Cell<[(u64, PhysAddr); PAGES]>,
}

/// Pages a view remembers.
const PAGES: usize = 4;

impl<'a> CpuView<'a> {
    pub(crate) fn new(cpu: &'a Cpu, stamp: Stamp, requests: &'a mut Requests) -> Self {
        Self {
            cpu,
            stamp,
            requests,
            pages: Cell::default(),
        }
    }

    /// Which vCPU, its clock and its retired instructions, before this instruction.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// A register.
    pub fn reg(&self, reg: Reg) -> u64 {
        self.cpu.reg(reg)
    }

    /// Copies guest memory at a virtual address, as this vCPU's page tables map it.
    pub fn read_virt(&self, at: VirtAddr, into: &mut [u8]) -> Result<(), Fault> {
        let offset = at.0 & 4095;
        if offset as usize + into.len() > 4096 {
            return self.cpu.read_virt(at, into);
        }
        let page = PhysAddr(self.page(at)?.0 + offset);
        self.cpu
            .ram()
            .read(page, into)
            .ok_or(Fault::NoRam(at, page))
    }

    /// Guest memory at a virtual address as it is; `None` where it is not RAM or crosses a page.
    pub fn memory(&self, at: VirtAddr, len: usize) -> Option<&[u8]> {
        let offset = at.0 & 4095;
        if len > 4096 - offset as usize {
            return None;
        }
        let page = self.page(at).ok()?;
        self.cpu.ram().slice(PhysAddr(page.0 + offset), len)
    }

    /// The physical page of an address.
    fn page(&self, at: VirtAddr) -> Result<PhysAddr, Fault> {
        let number = (at.0 >> 12) + 1;
        let mut pages = self.pages.get();
        if let Some((_, known)) = pages.iter().find(|(known, _)| *known == number) {
            return Ok(*known);
        }
        let translated = self.cpu.translate(at, Access::Peek)?;
        let page = PhysAddr(translated.0 & !4095);
        pages.rotate_right(1);
        pages[0] = (number, page);
        self.pages.set(pages);
        Ok(page)
    }

    /// Watches an address, beginning with the instruction after this one.
    pub fn watch(&mut self, at: VirtAddr, site: Site) {
        self.requests.changes.push((at, site, true));
    }

    /// Stops watching an address.
    pub fn unwatch(&mut self, at: VirtAddr, site: Site) {
        self.requests.changes.push((at, site, false));
    }

    /// Tells the hang detector that the guest got somewhere: a task switch.
    pub fn note_progress(&mut self) {
        self.requests.progress = true;
    }
}
