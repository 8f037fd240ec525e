//! What a reader of guest state needs: memory and registers of one CPU at one instant. Who provides
//! them (a running machine, a stopped one, a test) is not known here.

use crate::event::Addr;

/// Guest memory that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("guest memory at {0} cannot be read")]
pub struct Unreadable(pub Addr);

/// A register of an x86_64 CPU, in the order of its DWARF numbers.
#[allow(missing_docs, reason = "the names are the registers")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Register {
    Rax,
    Rdx,
    Rcx,
    Rbx,
    Rsi,
    Rdi,
    Rbp,
    Rsp,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    Rip,
    GsBase,
    Rflags,
}

impl Register {
    /// The register with DWARF number `number`.
    pub fn from_dwarf(number: u16) -> Option<Register> {
        use Register::*;
        let all = [
            Rax, Rdx, Rcx, Rbx, Rsi, Rdi, Rbp, Rsp, R8, R9, R10, R11, R12, R13, R14, R15, Rip,
        ];
        all.get(usize::from(number)).copied()
    }
}

/// One CPU of a guest that stands still.
pub trait Target {
    /// Copies memory at a virtual address of the guest.
    fn read(&self, at: Addr, into: &mut [u8]) -> Result<(), Unreadable>;

    /// Memory at a virtual address as it is, where it can be looked at without copying it: never across
    /// the end of a page. `None` says nothing about whether [`read`](Target::read) will do.
    fn memory(&self, at: Addr, len: usize) -> Option<&[u8]> {
        let _ = (at, len);
        None
    }

    /// Value of a register.
    fn register(&self, register: Register) -> u64;

    /// The word at `at`.
    fn read_u64(&self, at: Addr) -> Result<u64, Unreadable> {
        let mut word = [0; 8];
        self.read(at, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }
}
