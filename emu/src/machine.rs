//! Puts the parts together.

use crate::config::MachineConfig;
use crate::error::{Error, ErrorKind};
use crate::observe::{Observer, Reg, Site};
use crate::paging::Fault;
use crate::units::{Cycles, Stamp, VcpuId, VirtAddr};

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The guest switched the machine off.
    PowerOff,
    /// The virtual time the caller named was reached.
    UntilReached,
    /// The observer asked to end the run.
    StoppedByObserver,
}

/// Counters of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MachineSummary {
    /// IPIs that reached a vCPU after their time, because it was inside a stretch with no legal stop.
    pub late_ipis: u64,
    /// IPIs sent.
    pub ipis: u64,
    /// Ports accessed that no device answers: port, accesses.
    pub unknown_ports: Vec<(u16, u64)>,
    /// MSRs accessed that do not exist: number, accesses; each raised #GP.
    pub unknown_msrs: Vec<(u32, u64)>,
    /// External interrupts delivered: vector, number, over all vCPUs.
    pub interrupts: Vec<(u8, u64)>,
    /// Exceptions delivered: vector, number.
    pub exceptions: Vec<(u8, u64)>,
    /// Blocks executed.
    pub blocks: u64,
    /// vCPU states swapped.
    pub swaps: u64,
    /// Instructions retired, over all vCPUs.
    pub insns: u64,
}

/// A machine with a kernel loaded, ready to run.
pub struct Machine {
    config: MachineConfig,
}

impl Machine {
    /// Loads a kernel image (a static ELF with physical addresses) into a new machine.
    pub fn new(config: &MachineConfig, elf: &[u8]) -> Result<Machine, Error> {
        config.validate()?;
        let _ = elf;
        Ok(Machine { config: config.clone() })
    }

    /// Runs until the guest ends, the time is reached, or the observer has enough.
    pub fn run(
        &mut self,
        observer: &mut dyn Observer,
        until: Option<Cycles>,
    ) -> Result<Outcome, Error> {
        let _ = (observer, until, &self.config);
        Err(Error::new(ErrorKind::Unsupported, "this build cannot run guests yet"))
    }

    /// Watches an address; also before the run.
    pub fn watch(&mut self, _at: VirtAddr, _site: Site) {}

    /// Stops watching it.
    pub fn unwatch(&mut self, _at: VirtAddr, _site: Site) {}

    /// SHA-256 of memory, vCPU states, devices and clocks.
    pub fn digest(&mut self) -> [u8; 32] {
        [0; 32]
    }

    /// The start of the current window.
    pub fn now(&self) -> Cycles {
        Cycles(0)
    }

    /// A vCPU's clock and retired instructions.
    pub fn stamp(&self, vcpu: VcpuId) -> Stamp {
        Stamp { vcpu, ..Stamp::default() }
    }

    /// Copies guest memory at a virtual address, as that vCPU maps it.
    pub fn read_virt(&self, _vcpu: VcpuId, at: VirtAddr, _into: &mut [u8]) -> Result<(), Fault> {
        Err(Fault::NotMapped(at))
    }

    /// A register of a vCPU.
    pub fn reg(&self, _vcpu: VcpuId, _reg: Reg) -> u64 {
        0
    }

    /// The longest stretch of cycles without a legal stop.
    pub fn longest_stretch(&self) -> Cycles {
        Cycles(0)
    }

    /// Counters so far.
    pub fn summary(&self) -> MachineSummary {
        MachineSummary::default()
    }
}
