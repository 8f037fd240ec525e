//! The one error of the crate: opaque, with a kind, and with where the guest was.
//!
//! The library never prints and knows no symbols: callers turn [`Error::rip`] and
//! [`Error::last_blocks`] into names.

use std::fmt;

use crate::units::{Cycles, VcpuId, VirtAddr};

/// What went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file is not a kernel image this machine can load.
    BadImage,
    /// A value of [`crate::MachineConfig`] is out of range.
    BadConfig,
    /// Delivering an exception failed twice: a real machine would reset.
    TripleFault,
    /// Every vCPU is halted and nothing can wake one.
    HaltForever,
    /// No task switch, console byte or HLT for the configured virtual time.
    Hang,
    /// The guest did something this machine does not emulate.
    Unsupported,
    /// The bytes are no snapshot of this version, or the snapshot is of another machine.
    BadSnapshot,
    /// The translation engine failed, or is not the version this crate was written for.
    Engine,
}

/// An error of the machine, with the place the guest had reached.
#[derive(Clone, Debug)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Clone, Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    at: Option<Place>,
    last_blocks: Vec<VirtAddr>,
    registers: String,
}

/// Where the guest was when an error happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The vCPU that was running, or the last that ran.
    pub vcpu: VcpuId,
    /// Its instruction pointer.
    pub rip: VirtAddr,
    /// Its clock.
    pub time: Cycles,
}

impl Error {
    /// An error that has no place in the guest: bad image, bad configuration.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let inner = Inner {
            kind,
            message: message.into(),
            at: None,
            last_blocks: Vec::new(),
            registers: String::new(),
        };
        Self {
            inner: Box::new(inner),
        }
    }

    /// Adds where the guest was.
    pub(crate) fn at(mut self, place: Place, last: Vec<VirtAddr>, registers: String) -> Self {
        self.inner.at = Some(place);
        self.inner.last_blocks = last;
        self.inner.registers = registers;
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// The sentence without the place.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The vCPU it happened on, if the guest ran at all.
    pub fn vcpu(&self) -> Option<VcpuId> {
        self.inner.at.map(|p| p.vcpu)
    }

    /// The instruction pointer of that vCPU.
    pub fn rip(&self) -> Option<VirtAddr> {
        self.inner.at.map(|p| p.rip)
    }

    /// The virtual time of that vCPU.
    pub fn time(&self) -> Option<Cycles> {
        self.inner.at.map(|p| p.time)
    }

    /// Start addresses of the blocks executed last, oldest first.
    pub fn last_blocks(&self) -> &[VirtAddr] {
        &self.inner.last_blocks
    }

    /// The registers of every vCPU, as text; empty when the guest never ran.
    pub fn registers(&self) -> &str {
        &self.inner.registers
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        if let Some(p) = self.inner.at {
            write!(
                f,
                " (vCPU {}, rip {}, virtual time {} ns)",
                p.vcpu, p.rip, p.time
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
