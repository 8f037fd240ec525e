//! Loads a kernel by the Linux 64-bit boot protocol (Documentation/arch/x86/boot.rst): segments at
//! their physical addresses, a zero page with memory map, command line, ACPI pointer and initial RAM
//! disk, identity page tables for the first 4 GiB, and a GDT with the protocol's two selectors.

mod bzimage;
mod elf;
mod kernel;
mod zero_page;

use crate::acpi;
use crate::config::MachineConfig;
use crate::error::{Error, ErrorKind};
use crate::layout::*;
use crate::unicorn::{Cpu, RamView, Seg, Segment, hf};
use crate::units::PhysAddr;
pub use kernel::Kernel;
use zero_page::{Boot, zero_page};

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadImage, message)
}

/// Puts image, initial RAM disk, boot parameters, page tables and ACPI tables into memory; returns the
/// entry point.
pub(crate) fn load(
    config: &MachineConfig,
    kernel: &Kernel<'_>,
    initrd: Option<&[u8]>,
    ram: &RamView,
) -> Result<u64, Error> {
    let image = elf::segments(kernel.elf(), ram)?;
    let setup = kernel.setup();
    if let Some(most) = setup.map(bzimage::Setup::command_line)
        && config.command_line.len() > most
    {
        return Err(Error::new(
            ErrorKind::BadConfig,
            format!(
                "command line of {} bytes: this kernel takes at most {most}",
                config.command_line.len()
            ),
        ));
    }
    let needed = image.start + setup.map_or(0, bzimage::Setup::init_size);
    let above = image.end.max(needed);
    if above > ram.len() {
        return Err(Error::new(
            ErrorKind::BadConfig,
            format!(
                "this kernel needs {} MiB before it has read the memory map, and the machine has {}",
                above.div_ceil(1 << 20),
                ram.len() >> 20
            ),
        ));
    }
    let top = setup.map_or(u64::MAX, |s| s.initrd_max().saturating_add(1));
    let initrd = match initrd {
        Some(bytes) if !bytes.is_empty() => Some(ram_disk(bytes, above, top, ram)?),
        _ => None,
    };
    let tables = acpi::tables(ACPI, config);
    put(ram, ACPI, &tables.bytes);
    put(ram, COMMAND_LINE, config.command_line.as_bytes());
    put(ram, COMMAND_LINE + config.command_line.len() as u64, &[0]);
    let boot = Boot {
        setup,
        ram_bytes: config.ram_bytes,
        rsdp: tables.rsdp,
        initrd,
    };
    put(ram, BOOT_PARAMS, &zero_page(&boot));
    page_tables(ram);
    descriptors(ram);
    Ok(image.entry)
}

/// Puts the initial RAM disk at the highest page it may have; returns where it is and its size.
fn ram_disk(bytes: &[u8], above: u64, top: u64, ram: &RamView) -> Result<(u64, u64), Error> {
    let size = bytes.len() as u64;
    let at = ram.len().min(top).saturating_sub(size) & !0xfff;
    if at < above {
        return Err(Error::new(
            ErrorKind::BadConfig,
            format!(
                "an initial RAM disk of {} MiB does not fit between the kernel's end at {above:#x} and \
                 the end of memory {:#x}; give the machine more memory",
                size.div_ceil(1 << 20),
                ram.len()
            ),
        ));
    }
    let written = ram.write(PhysAddr(at), bytes);
    written.ok_or_else(|| bad("an initial RAM disk outside memory"))?;
    Ok((at, size))
}

/// Everything the loader writes is inside the smallest memory a configuration allows.
fn put(ram: &RamView, at: u64, bytes: &[u8]) {
    ram.write(PhysAddr(at), bytes).expect("below 1 MiB");
}

/// Identity, 2 MiB pages, 4 GiB, writable and executable: the kernel replaces them at once.
fn page_tables(ram: &RamView) {
    let pdpt = PAGE_TABLES + 0x1000;
    let entry = |ram: &RamView, at: u64, value: u64| put(ram, at, &value.to_le_bytes());
    entry(ram, PAGE_TABLES, pdpt | 3);
    for gib in 0..4 {
        let pd = pdpt + 0x1000 * (gib + 1);
        entry(ram, pdpt + 8 * gib, pd | 3);
        for n in 0..512 {
            entry(ram, pd + 8 * n, (gib << 30 | n << 21) | 0x83);
        }
    }
}

/// Descriptor words of flat ring-0 segments.
const CODE64: u64 = 0x00af_9b00_0000_ffff;
const DATA: u64 = 0x00cf_9300_0000_ffff;

fn descriptors(ram: &RamView) {
    put(ram, GDT + u64::from(BOOT_CS), &CODE64.to_le_bytes());
    put(ram, GDT + u64::from(BOOT_DS), &DATA.to_le_bytes());
}

/// A segment register loaded with a flat descriptor.
fn flat(selector: u16, descriptor: u64) -> Segment {
    let flags = (descriptor >> 32) as u32 & 0x00f0_ff00;
    Segment {
        selector: selector.into(),
        base: 0,
        limit: !0,
        flags,
    }
}

/// The state the boot protocol asks for at the entry point.
pub(crate) fn enter(cpu: &Cpu, entry: u64) {
    for n in 0..16 {
        cpu.set_gpr(n, 0);
    }
    cpu.set_gpr(6, BOOT_PARAMS);
    cpu.set_gpr(4, BOOT_STACK);
    cpu.set_rip(entry);
    cpu.set_rflags(2);
    cpu.set_segment(Seg::Cs, flat(BOOT_CS, CODE64));
    for seg in [Seg::Ds, Seg::Es, Seg::Ss, Seg::Fs, Seg::Gs] {
        cpu.set_segment(seg, flat(BOOT_DS, DATA));
    }
    let table = |base, limit| Segment {
        selector: 0,
        base,
        limit,
        flags: 0,
    };
    cpu.set_segment(Seg::Gdt, table(GDT, 0x1f));
    cpu.set_segment(Seg::Idt, table(0, 0));
    // PE, MP, ET, NE, WP, PG; PAE, OSFXSR, OSXMMEXCPT; LME, LMA, NXE.
    cpu.set_cr(0, 0x8001_0033);
    cpu.set_cr(3, PAGE_TABLES);
    cpu.set_cr(4, 0x620);
    cpu.set_efer(0xd00);
    cpu.set_hflags(hf::PE | hf::LMA | hf::CS64 | hf::CS32 | hf::SS32 | hf::MP | hf::OSFXSR);
    cpu.reset_fpu_control();
}

/// The state after INIT, at the address a SIPI names (SDM vol. 3, 10.4.4).
pub(crate) fn enter_real_mode(cpu: &Cpu, vector: u8) {
    for n in 0..16 {
        cpu.set_gpr(n, 0);
    }
    cpu.set_gpr(2, crate::cpuid::SIGNATURE.into());
    cpu.set_rip(0);
    cpu.set_rflags(2);
    let real = |selector: u32, flags| Segment {
        selector,
        base: u64::from(selector) << 4,
        limit: 0xffff,
        flags,
    };
    cpu.set_segment(Seg::Cs, real(u32::from(vector) << 8, 0x9b00));
    for seg in [Seg::Ds, Seg::Es, Seg::Ss, Seg::Fs, Seg::Gs] {
        cpu.set_segment(seg, real(0, 0x9300));
    }
    let table = |flags| Segment {
        selector: 0,
        base: 0,
        limit: 0xffff,
        flags,
    };
    cpu.set_segment(Seg::Gdt, table(0));
    cpu.set_segment(Seg::Idt, table(0));
    cpu.set_segment(Seg::Ldt, table(0x8200));
    cpu.set_segment(Seg::Tr, table(0x8b00));
    cpu.set_cr(0, 0x6000_0010);
    cpu.set_cr(2, 0);
    cpu.set_cr(3, 0);
    cpu.set_cr(4, 0);
    cpu.set_efer(0);
    cpu.set_hflags(hf::ADDSEG);
    cpu.reset_fpu_control();
}
