//! The configuration in a snapshot: a machine is made from the file alone.

use super::{Reader, Saved, Writer, bad, saved};
use crate::config::{MachineConfig, PolicyKind};
use crate::error::Error;
use crate::topology::Topology;
use crate::units::{Cycles, VcpuId};

saved!(MachineConfig {
    vcpus,
    topology,
    ram_bytes,
    quantum,
    ipi_latency,
    policy,
    command_line,
    hang_limit,
});

saved!(Topology {
    packages,
    cores,
    threads,
    nodes,
});

impl Saved for PolicyKind {
    fn save(&self, to: &mut Writer) {
        match *self {
            PolicyKind::RoundRobin => 0u8.save(to),
            PolicyKind::Random { seed } => (1u8, seed).save(to),
        }
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(match u8::load(from)? {
            0 => PolicyKind::RoundRobin,
            1 => PolicyKind::Random {
                seed: u64::load(from)?,
            },
            other => return Err(bad(format!("interleaving policy number {other}"))),
        })
    }
}

impl Saved for Cycles {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        u64::load(from).map(Cycles)
    }
}

impl Saved for VcpuId {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Error> {
        u32::load(from).map(VcpuId)
    }
}
