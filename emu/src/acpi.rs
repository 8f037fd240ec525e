//! The ACPI tables: RSDP, XSDT, hardware-reduced FADT, MADT and a DSDT that only knows `_S5_`.
//!
//! Hardware-reduced means no PIC, PIT, PM timer or SCI; power-off goes through the sleep control
//! register (ACPI 6.5, sections 4.8.3.7 and 5.2.9).

use crate::layout::{LAPIC_BASE, S5_SLP_TYP, SLEEP_CONTROL, SLEEP_STATUS};

const OEM: &[u8; 6] = b"KREPLY";

/// Where the tables went.
pub(crate) struct Tables {
    /// All of them, to be put at the address given to [`tables`].
    pub(crate) bytes: Vec<u8>,
    /// Physical address of the RSDP.
    pub(crate) rsdp: u64,
}

/// Lays the tables out from `base` for that many CPUs.
pub(crate) fn tables(base: u64, vcpus: u32) -> Tables {
    let mut bytes = Vec::new();
    let place = |bytes: &mut Vec<u8>, table: &[u8]| -> u64 {
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        let at = base + bytes.len() as u64;
        bytes.extend_from_slice(table);
        at
    };
    let rsdp_at = place(&mut bytes, &[0; 36]);
    let dsdt = place(&mut bytes, &table(b"DSDT", 2, &s5()));
    let fadt = place(&mut bytes, &table(b"FACP", 6, &fadt(dsdt)));
    let madt = place(&mut bytes, &table(b"APIC", 5, &madt(vcpus)));
    let mut pointers = fadt.to_le_bytes().to_vec();
    pointers.extend(madt.to_le_bytes());
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

/// `Name (_S5_, Package () { 5, 5, 0, 0 })` as AML.
fn s5() -> Vec<u8> {
    let mut aml = vec![0x08];
    aml.extend(b"_S5_");
    aml.extend([
        0x12, 0x08, 0x04, 0x0a, S5_SLP_TYP, 0x0a, S5_SLP_TYP, 0x00, 0x00,
    ]);
    aml
}

/// Offsets below are those of the FADT as a whole; the header takes the first 36 bytes.
fn fadt(dsdt: u64) -> Vec<u8> {
    let mut t = vec![0; 276];
    let mut put = |at: usize, b: &[u8]| t[at..at + b.len()].copy_from_slice(b);
    put(40, &(dsdt as u32).to_le_bytes());
    // IAPC_BOOT_ARCH: no VGA, no MSI restriction, no ASPM control, no CMOS RTC promise needed.
    put(109, &(1u16 << 2).to_le_bytes());
    // Flags: WBINVD, power button as control method, hardware reduced.
    put(112, &(1u32 | 1 << 4 | 1 << 5 | 1 << 20).to_le_bytes());
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

fn madt(vcpus: u32) -> Vec<u8> {
    let mut t = (LAPIC_BASE as u32).to_le_bytes().to_vec();
    t.extend(0u32.to_le_bytes());
    for id in 0..vcpus as u8 {
        t.extend([0, 8, id, id]);
        t.extend(1u32.to_le_bytes());
    }
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

    #[test]
    fn every_checksum_holds_and_pointers_lead_to_the_tables() {
        let base = 0xe_0000;
        let t = tables(base, 3);
        assert_eq!((sum(&t.bytes[..20]), sum(&t.bytes[..36])), (0, 0));
        let xsdt_at = u64::from_le_bytes(t.bytes[24..32].try_into().unwrap());
        let xsdt = find(&t, base, xsdt_at);
        assert_eq!((sum(xsdt), &xsdt[..4]), (0, &b"XSDT"[..]));
        let pointer = |n: usize| u64::from_le_bytes(xsdt[n..n + 8].try_into().unwrap());
        let fadt = find(&t, base, pointer(36));
        assert_eq!((sum(fadt), fadt.len()), (0, 276));
        let dsdt_at = u64::from_le_bytes(fadt[140..148].try_into().unwrap());
        let dsdt = find(&t, base, dsdt_at);
        assert_eq!((sum(dsdt), &dsdt[..4]), (0, &b"DSDT"[..]));
        let madt = find(&t, base, pointer(44));
        assert_eq!((sum(madt), madt.len()), (0, 44 + 3 * 8));
        assert_eq!(&madt[44 + 16..44 + 20], &[0, 8, 2, 2]);
    }
}
