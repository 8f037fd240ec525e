//! The ACPI tables: RSDP, XSDT, hardware-reduced FADT, MADT, a DSDT with the UART and `_S5_`, and
//! SRAT and SLIT where there are NUMA nodes.
//!
//! Hardware-reduced means no PIC, PIT, PM timer or SCI; power-off goes through the sleep control
//! register, reset through the reset register (ACPI 6.5, sections 4.8.3.7, 4.8.3.6 and 5.2.9).

mod aml;
mod numa;

use crate::config::MachineConfig;
use crate::layout::*;

const OEM: &[u8; 6] = b"KREPLY";

/// Where the tables went.
pub(crate) struct Tables {
    /// All of them, to be put at the address given to [`tables`].
    pub(crate) bytes: Vec<u8>,
    /// Physical address of the RSDP.
    pub(crate) rsdp: u64,
}

/// Lays the tables out from `base`.
pub(crate) fn tables(base: u64, config: &MachineConfig) -> Tables {
    let mut bytes = Vec::new();
    let place = |bytes: &mut Vec<u8>, table: &[u8]| -> u64 {
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        let at = base + bytes.len() as u64;
        bytes.extend_from_slice(table);
        at
    };
    let rsdp_at = place(&mut bytes, &[0; 36]);
    let dsdt = place(&mut bytes, &table(b"DSDT", 2, &aml::dsdt()));
    let fadt = place(&mut bytes, &table(b"FACP", 6, &fadt(dsdt)));
    let madt = place(&mut bytes, &table(b"APIC", 5, &madt(config)));
    let mut pointers = fadt.to_le_bytes().to_vec();
    pointers.extend(madt.to_le_bytes());
    if config.shape().nodes > 1 {
        let srat = place(&mut bytes, &table(b"SRAT", 3, &numa::srat(config)));
        let slit = place(&mut bytes, &table(b"SLIT", 1, &numa::slit(config)));
        pointers.extend(srat.to_le_bytes());
        pointers.extend(slit.to_le_bytes());
    }
    let xsdt = place(&mut bytes, &table(b"XSDT", 1, &pointers));
    let rsdp = rsdp(xsdt);
    bytes[..36].copy_from_slice(&rsdp);
    Tables {
        bytes,
        rsdp: rsdp_at,
    }
}

/// The byte that makes the sum of all zero.
fn checksum(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0u8, |sum, b| sum.wrapping_add(*b))
        .wrapping_neg()
}

fn rsdp(xsdt: u64) -> [u8; 36] {
    let mut t = [0; 36];
    t[..8].copy_from_slice(b"RSD PTR ");
    t[9..15].copy_from_slice(OEM);
    t[15] = 2;
    t[20..24].copy_from_slice(&36u32.to_le_bytes());
    t[24..32].copy_from_slice(&xsdt.to_le_bytes());
    t[8] = checksum(&t[..20]);
    t[32] = checksum(&t);
    t
}

/// A table with its header.
fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut t = signature.to_vec();
    t.extend((36 + body.len() as u32).to_le_bytes());
    t.extend([revision, 0]);
    t.extend(OEM);
    t.extend(b"KREPLAY ");
    t.extend(1u32.to_le_bytes());
    t.extend(b"KRPL");
    t.extend(1u32.to_le_bytes());
    t.extend(body);
    t[9] = checksum(&t);
    t
}

/// Offsets below are those of the FADT as a whole; the header takes the first 36 bytes.
fn fadt(dsdt: u64) -> Vec<u8> {
    let mut t = vec![0; 276];
    let mut put = |at: usize, b: &[u8]| t[at..at + b.len()].copy_from_slice(b);
    put(40, &(dsdt as u32).to_le_bytes());
    // IAPC_BOOT_ARCH: no VGA, no MSI restriction, no ASPM control, no CMOS RTC promise needed.
    put(109, &(1u16 << 2).to_le_bytes());
    // Flags: WBINVD, power and sleep buttons as control methods, reset register, hardware reduced.
    put(
        112,
        &(1u32 | 1 << 4 | 1 << 5 | 1 << 10 | 1 << 20).to_le_bytes(),
    );
    put(116, &io_register(RESET_CONTROL));
    put(128, &[RESET_VALUE]);
    put(131, &[5]);
    put(140, &dsdt.to_le_bytes());
    put(244, &io_register(SLEEP_CONTROL));
    put(256, &io_register(SLEEP_STATUS));
    t.split_off(36)
}

/// A generic address structure: 8 bits in I/O space, byte access.
fn io_register(port: u16) -> [u8; 12] {
    let mut gas = [1, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    gas[4..6].copy_from_slice(&port.to_le_bytes());
    gas
}

/// One local APIC for each vCPU, in their order, and the I/O APIC with interrupts from 0.
fn madt(config: &MachineConfig) -> Vec<u8> {
    let mut t = (LAPIC_BASE as u32).to_le_bytes().to_vec();
    t.extend(0u32.to_le_bytes());
    for vcpu in 0..config.vcpus {
        t.extend([0, 8, vcpu as u8, config.apic_id(vcpu)]);
        t.extend(1u32.to_le_bytes());
    }
    t.extend([1, 12, 0, 0]);
    t.extend((IOAPIC_BASE as u32).to_le_bytes());
    t.extend(0u32.to_le_bytes());
    t
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0u8, |s, b| s.wrapping_add(*b))
    }

    fn find(t: &Tables, base: u64, at: u64) -> &[u8] {
        let o = (at - base) as usize;
        let len = u32::from_le_bytes(t.bytes[o + 4..o + 8].try_into().unwrap()) as usize;
        &t.bytes[o..o + len]
    }

    fn config(shape: &str) -> MachineConfig {
        let topology: crate::Topology = shape.parse().unwrap();
        MachineConfig {
            vcpus: topology.vcpus(),
            topology: Some(topology),
            ..MachineConfig::default()
        }
    }

    const BASE: u64 = 0xe_0000;

    /// The tables of the XSDT, by signature.
    fn all(t: &Tables) -> Vec<(&[u8], &[u8])> {
        let xsdt_at = u64::from_le_bytes(t.bytes[24..32].try_into().unwrap());
        let xsdt = find(t, BASE, xsdt_at);
        assert_eq!((sum(xsdt), &xsdt[..4]), (0, &b"XSDT"[..]));
        let pointers = xsdt[36..].chunks_exact(8);
        let found = pointers.map(|p| find(t, BASE, u64::from_le_bytes(p.try_into().unwrap())));
        found.map(|table| (&table[..4], table)).collect()
    }

    #[test]
    fn every_checksum_holds_and_pointers_lead_to_the_tables() {
        let t = tables(BASE, &config("cores=3"));
        assert_eq!((sum(&t.bytes[..20]), sum(&t.bytes[..36])), (0, 0));
        let all = all(&t);
        let names: Vec<&[u8]> = all.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [b"FACP", b"APIC"], "no NUMA, no SRAT");
        assert!(all.iter().all(|(_, table)| sum(table) == 0));
        let fadt = all[0].1;
        assert_eq!(fadt.len(), 276);
        let dsdt_at = u64::from_le_bytes(fadt[140..148].try_into().unwrap());
        let dsdt = find(&t, BASE, dsdt_at);
        assert_eq!((sum(dsdt), &dsdt[..4]), (0, &b"DSDT"[..]));
        let madt = all[1].1;
        assert_eq!(madt.len(), 44 + 3 * 8 + 12);
        assert_eq!(&madt[44 + 16..44 + 20], &[0, 8, 2, 2]);
        let ioapic = &madt[44 + 24..];
        assert_eq!(ioapic, [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    }

    /// ACPI 6.5, table 5.9: the reset register, its value and the flag that says it is there.
    #[test]
    fn the_reset_register_is_told() {
        let t = tables(BASE, &config("cores=1"));
        let fadt = all(&t)[0].1;
        assert_eq!(fadt[113] & 4, 4);
        assert_eq!(&fadt[116..128], [1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0]);
        assert_eq!(fadt[128], 6);
    }

    #[test]
    fn nodes_bring_srat_and_slit() {
        let t = tables(BASE, &config("packages=2,cores=2,nodes=2"));
        let all = all(&t);
        let names: Vec<&[u8]> = all.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [b"FACP", b"APIC", b"SRAT", b"SLIT"]);
        assert!(all.iter().all(|(_, table)| sum(table) == 0));
    }

    #[test]
    fn the_largest_machine_fits_below_the_kernel() {
        let t = tables(BASE, &config("packages=64,nodes=64"));
        assert!(BASE + (t.bytes.len() as u64) <= HIGH_START);
    }
}
