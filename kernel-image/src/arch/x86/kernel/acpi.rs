//! What the kernel reads from the firmware's tables: CPUs, the local APIC, how to power off.
//!
//! Linux: arch/x86/kernel/acpi/boot.c, drivers/acpi (tables, FADT, sleep), v6.8. **Kept** MADT local APIC
//! entries in order, hardware-reduced sleep registers, `_S5_`. **Left out** the AML interpreter: `_S5_` is
//! found by its encoding, as small boot loaders do.
use crate::arch::x86::include::asm::apicdef::APIC_DEFAULT_PHYS_BASE;
use crate::fence::shared::Shared;
use crate::mm::memblock::{phys_read, phys_u32, phys_u64};
use crate::{pr_info, pr_warn};

/// Physical address of the local APIC.
pub static mp_lapic_addr: Shared<u64> = Shared::new(APIC_DEFAULT_PHYS_BASE);
/// I/O port of the FADT's SLEEP_CONTROL_REG, 0 when the machine has none.
pub static sleep_control: Shared<u16> = Shared::new(0);
/// The platform has no legacy hardware: no PIC, no PM1 registers.
pub static acpi_gbl_reduced_hardware: Shared<bool> = Shared::new(false);
/// I/O port of PM1a_CNT on a machine that is not hardware-reduced, 0 when there is none.
pub static pm1a_control: Shared<u16> = Shared::new(0);
/// SLP_TYP of `_S5_`.
pub static sleep_type_s5: Shared<u8> = Shared::new(0xff);

/// A table that was checked: its address and length.
#[derive(Clone, Copy)]
struct Table {
    at: u64,
    len: u64,
}

const HEADER: u64 = 36;

fn checksum_ok(at: u64, len: u64) -> bool {
    let mut sum = 0u8;
    for offset in 0..len {
        sum = sum.wrapping_add(phys_read::<1>(at + offset)[0]);
    }
    sum == 0
}

fn table(at: u64, signature: &[u8; 4]) -> Option<Table> {
    if at == 0 || &phys_read::<4>(at) != signature {
        return None;
    }
    let len = u64::from(phys_u32(at + 4));
    if !(HEADER..=1 << 20).contains(&len) || !checksum_ok(at, len) {
        pr_warn!("ACPI: table at {at:#x} has a bad length or checksum");
        return None;
    }
    Some(Table { at, len })
}

fn find_table(rsdp: u64, signature: &[u8; 4]) -> Option<Table> {
    if &phys_read::<8>(rsdp) != b"RSD PTR " {
        return None;
    }
    let (root, width) = if phys_read::<1>(rsdp + 15)[0] >= 2 {
        (table(phys_u64(rsdp + 24), b"XSDT")?, 8)
    } else {
        (table(u64::from(phys_u32(rsdp + 16)), b"RSDT")?, 4)
    };
    let mut entry = root.at + HEADER;
    while entry + width <= root.at + root.len {
        let at = if width == 8 {
            phys_u64(entry)
        } else {
            u64::from(phys_u32(entry))
        };
        if let Some(found) = table(at, signature) {
            return Some(found);
        }
        entry += width;
    }
    None
}

/// Where the loader or the firmware put the RSDP: boot_params, or the BIOS area.
pub fn rsdp_address(from_boot_params: u64) -> u64 {
    if from_boot_params != 0 {
        return from_boot_params;
    }
    (0xe0000..0x10_0000)
        .step_by(16)
        .find(|&at| &phys_read::<8>(at) == b"RSD PTR ")
        .unwrap_or(0)
}

/// Reads the MADT: every enabled local APIC is a possible and present CPU, in table order; then the FADT.
pub fn acpi_boot_init(rsdp: u64) {
    if rsdp == 0 {
        pr_warn!("ACPI: no RSDP; one CPU assumed");
        return;
    }
    if let Some(madt) = find_table(rsdp, b"APIC") {
        acpi_parse_madt(madt);
    }
    if let Some(fadt) = find_table(rsdp, b"FACP") {
        acpi_parse_fadt(fadt);
    }
}

fn acpi_parse_madt(madt: Table) {
    mp_lapic_addr.set(u64::from(phys_u32(madt.at + 36)));
    pr_info!("ACPI: Local APIC address {:#x}", mp_lapic_addr.get());
    let mut entry = madt.at + 44;
    while entry + 2 <= madt.at + madt.len {
        let [kind, len] = phys_read::<2>(entry);
        if len < 2 {
            return;
        }
        if kind == 0 && len >= 8 {
            let [apic_id] = phys_read::<1>(entry + 3);
            let enabled = phys_u32(entry + 4) & 1 != 0;
            if enabled {
                super::apic::apic::generic_processor_info(u32::from(apic_id));
            }
        }
        entry += u64::from(len);
    }
}

fn acpi_parse_fadt(fadt: Table) {
    let flags = phys_u32(fadt.at + 112);
    let hw_reduced = flags & 1 << 20 != 0;
    // SLEEP_CONTROL_REG is a generic address structure at offset 244; space 1 is I/O ports.
    acpi_gbl_reduced_hardware.set(hw_reduced);
    if !hw_reduced {
        pm1a_control.set(phys_u32(fadt.at + 64) as u16);
    }
    if hw_reduced && fadt.len >= 256 && phys_read::<1>(fadt.at + 244)[0] == 1 {
        sleep_control.set(phys_u64(fadt.at + 248) as u16);
    }
    let mut dsdt = u64::from(phys_u32(fadt.at + 40));
    if fadt.len >= 148 && phys_u64(fadt.at + 140) != 0 {
        dsdt = phys_u64(fadt.at + 140);
    }
    if let Some(value) = table(dsdt, b"DSDT").and_then(find_s5) {
        sleep_type_s5.set(value);
    }
}

/// `_S5_` as AML encodes it: NameOp "_S5_" PackageOp PkgLength NumElements element…; an element is ZeroOp,
/// OneOp or BytePrefix and a byte.
fn find_s5(dsdt: Table) -> Option<u8> {
    let at =
        (dsdt.at + HEADER..dsdt.at + dsdt.len - 8).find(|&at| &phys_read::<4>(at) == b"_S5_")?;
    let [package] = phys_read::<1>(at + 4);
    if package != 0x12 {
        return None;
    }
    let [lead] = phys_read::<1>(at + 5);
    // The two top bits of PkgLength's lead byte count the bytes that follow it.
    let element = at + 5 + 1 + u64::from(lead >> 6) + 1;
    match phys_read::<2>(element) {
        [0x0a, value] => Some(value),
        [value @ (0 | 1), _] => Some(value),
        _ => None,
    }
}

/// Linux brings up the interpreter here; the tables were read in `setup_arch` already.
pub fn acpi_early_init() {
    let reduced = acpi_gbl_reduced_hardware.get();
    let port = if reduced {
        &sleep_control
    } else {
        &pm1a_control
    };
    pr_info!(
        "ACPI: {} hardware, sleep port {:#x}, S5 type {}",
        if reduced { "Reduced" } else { "Legacy" },
        port.get(),
        sleep_type_s5.get()
    );
}
