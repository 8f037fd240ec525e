//! What a machine is made of: CPUs, memory, time model, command line. No default seed exists.

use crate::error::{Error, ErrorKind};
use crate::topology::Topology;
use crate::units::Cycles;

/// The most vCPUs a machine can have.
pub const MAX_VCPUS: u32 = 64;

/// The longest kernel command line, without its terminator.
pub const MAX_COMMAND_LINE: usize = 2047;

/// Who runs first in a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyKind {
    /// In index order, another vCPU first in each window.
    RoundRobin,
    /// In an order drawn anew for each window.
    Random {
        /// The seed of the draw.
        seed: u64,
    },
}

impl PolicyKind {
    /// Whether a seed makes any difference; a front end warns when it was given one for nothing.
    pub fn uses_seed(self) -> bool {
        matches!(self, PolicyKind::Random { .. })
    }
}

/// Everything that decides a run, besides the kernel image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MachineConfig {
    /// Emulated CPUs, 1 to 64.
    pub vcpus: u32,
    /// How they are packaged; `None` is one package of cores with one thread each.
    pub topology: Option<Topology>,
    /// Guest memory in bytes, a multiple of 1 MiB, 64 MiB to 3 GiB.
    pub ram_bytes: u64,
    /// Length of a window.
    pub quantum: Cycles,
    /// Time from sending an IPI to its arrival; `None` is max(2q, q + 1,000).
    pub ipi_latency: Option<Cycles>,
    /// Who runs first in a window.
    pub policy: PolicyKind,
    /// The kernel command line.
    pub command_line: String,
    /// Virtual time without a task switch, console byte or HLT that counts as a hang.
    pub hang_limit: Cycles,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            vcpus: 2,
            topology: None,
            ram_bytes: 256 << 20,
            quantum: Cycles(1_000),
            ipi_latency: None,
            policy: PolicyKind::RoundRobin,
            command_line: String::new(),
            hang_limit: Cycles(2_000_000_000),
        }
    }
}

impl MachineConfig {
    /// The latency of an IPI: the one given, or the default for this quantum.
    pub fn latency(&self) -> Cycles {
        let q = self.quantum.0;
        self.ipi_latency.unwrap_or(Cycles((2 * q).max(q + 1_000)))
    }

    /// The packaging in force.
    pub(crate) fn shape(&self) -> Topology {
        self.topology.unwrap_or(Topology::flat(self.vcpus))
    }

    /// The APIC id of a vCPU: a byte, for every topology that was checked.
    pub(crate) fn apic_id(&self, vcpu: u32) -> u8 {
        self.shape().apic_id(vcpu) as u8
    }

    /// Checks every value against its range.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let bad = |m: String| Err(Error::new(ErrorKind::BadConfig, m));
        if self.vcpus == 0 || self.vcpus > MAX_VCPUS {
            return bad(format!(
                "{} vCPUs: this machine has 1 to {MAX_VCPUS}",
                self.vcpus
            ));
        }
        if let Some(topology) = self.topology {
            topology.validate(self.vcpus)?;
        }
        if self.ram_bytes < 64 << 20
            || self.ram_bytes > 3 << 30
            || !self.ram_bytes.is_multiple_of(1 << 20)
        {
            return bad(format!(
                "{} bytes of memory: this machine takes 64 MiB to 3 GiB in whole MiB",
                self.ram_bytes
            ));
        }
        if self.quantum.0 < 10 || self.quantum.0 > 100_000_000 {
            return bad(format!(
                "quantum {}: 10 to 100,000,000 cycles",
                self.quantum
            ));
        }
        if self.latency().0 < self.quantum.0 {
            return bad(format!(
                "IPI latency {} is below the quantum {}: the receiver may already be past it",
                self.latency(),
                self.quantum
            ));
        }
        if self.command_line.len() > MAX_COMMAND_LINE || self.command_line.contains('\0') {
            return bad(format!(
                "command line of {} bytes: at most {MAX_COMMAND_LINE}, no NUL",
                self.command_line.len()
            ));
        }
        if self.hang_limit.0 == 0 {
            return bad("hang limit 0".to_string());
        }
        Ok(())
    }
}
