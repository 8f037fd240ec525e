//! SRAT and SLIT: which CPUs and which memory belong to which node, and how far nodes are from each
//! other (ACPI 6.5, sections 5.2.16 and 5.2.17).
//!
//! Memory is shared out evenly in whole MiB, in the order of the nodes; the last takes what is left.

use crate::config::MachineConfig;

/// Distances in the usual unit: 10 is one's own memory.
const LOCAL: u8 = 10;
const REMOTE: u8 = 20;
const ENABLED: u32 = 1;
const MIB: u64 = 1 << 20;

/// The body of the System Resource Affinity Table.
pub(super) fn srat(config: &MachineConfig) -> Vec<u8> {
    let shape = config.shape();
    let mut t = 1u32.to_le_bytes().to_vec();
    t.extend([0; 8]);
    for vcpu in 0..config.vcpus {
        let node = shape.node(vcpu) as u8;
        t.extend([0, 16, node, config.apic_id(vcpu)]);
        t.extend(ENABLED.to_le_bytes());
        // No SAPIC, no higher bits of the domain, no clock domain.
        t.extend([0; 8]);
    }
    for (node, (start, length)) in memory(config).into_iter().enumerate() {
        t.extend([1, 40]);
        t.extend((node as u32).to_le_bytes());
        t.extend([0; 2]);
        t.extend(start.to_le_bytes());
        t.extend(length.to_le_bytes());
        t.extend([0; 4]);
        t.extend(ENABLED.to_le_bytes());
        t.extend([0; 8]);
    }
    t
}

/// Start and length of each node's memory.
fn memory(config: &MachineConfig) -> Vec<(u64, u64)> {
    let nodes = u64::from(config.shape().nodes);
    let each = config.ram_bytes / nodes / MIB * MIB;
    let last = config.ram_bytes - each * (nodes - 1);
    let length = |n| if n + 1 == nodes { last } else { each };
    (0..nodes).map(|n| (n * each, length(n))).collect()
}

/// The body of the System Locality Information Table.
pub(super) fn slit(config: &MachineConfig) -> Vec<u8> {
    let nodes = config.shape().nodes;
    let mut t = u64::from(nodes).to_le_bytes().to_vec();
    for from in 0..nodes {
        t.extend((0..nodes).map(|to| if from == to { LOCAL } else { REMOTE }));
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> MachineConfig {
        MachineConfig {
            vcpus: 6,
            topology: Some("packages=3,cores=2,nodes=3".parse().unwrap()),
            ram_bytes: 256 << 20,
            ..MachineConfig::default()
        }
    }

    #[test]
    fn every_cpu_and_every_byte_has_its_node() {
        let t = srat(&config());
        assert_eq!(t.len(), 12 + 6 * 16 + 3 * 40);
        let cpu = |n: usize| &t[12 + 16 * n..][..16];
        assert_eq!(cpu(3)[..8], [0, 16, 1, 3, 1, 0, 0, 0]);
        assert_eq!(cpu(4)[..4], [0, 16, 2, 4]);
        let node = |n: usize| &t[12 + 96 + 40 * n..][..40];
        assert_eq!(node(2)[..6], [1, 40, 2, 0, 0, 0]);
        assert_eq!(node(2)[28], 1, "enabled");
        let third = 85 << 20;
        let all = [(0, third), (third, third), (2 * third, 86 << 20)];
        assert_eq!(memory(&config()), all);
        assert_eq!(node(1)[8..16], u64::to_le_bytes(third));
    }

    #[test]
    fn ones_own_memory_is_nearest() {
        let t = slit(&config());
        assert_eq!(t[..8], 3u64.to_le_bytes());
        assert_eq!(t[8..], [10, 20, 20, 20, 10, 20, 20, 20, 10]);
    }
}
