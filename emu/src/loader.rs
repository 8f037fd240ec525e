//! Loads a kernel by the Linux 64-bit boot protocol (Documentation/arch/x86/boot.rst): segments at
//! their physical addresses, a zero page with memory map, command line and ACPI pointer, identity
//! page tables for the first 4 GiB, and a GDT with the protocol's two selectors.

use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};

use crate::acpi;
use crate::config::MachineConfig;
use crate::error::{Error, ErrorKind};
use crate::layout::*;
use crate::unicorn::{Cpu, RamView, Seg, Segment, hf};
use crate::units::PhysAddr;

type Header = elf::FileHeader64<object::Endianness>;

fn bad(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadImage, message)
}

/// Puts image, boot parameters, page tables and ACPI tables into memory; returns the entry point.
pub(crate) fn load(config: &MachineConfig, elf: &[u8], ram: &RamView) -> Result<u64, Error> {
    let entry = segments(elf, ram)?;
    let tables = acpi::tables(ACPI, config.vcpus);
    put(ram, ACPI, &tables.bytes);
    put(ram, COMMAND_LINE, config.command_line.as_bytes());
    put(ram, COMMAND_LINE + config.command_line.len() as u64, &[0]);
    put(
        ram,
        BOOT_PARAMS,
        &boot_params(config.ram_bytes, tables.rsdp),
    );
    page_tables(ram);
    descriptors(ram);
    Ok(entry)
}

/// Everything the loader writes is inside the smallest memory a configuration allows.
fn put(ram: &RamView, at: u64, bytes: &[u8]) {
    ram.write(PhysAddr(at), bytes).expect("below 1 MiB");
}

fn segments(file: &[u8], ram: &RamView) -> Result<u64, Error> {
    let header = Header::parse(file).map_err(|_| bad("not a 64-bit ELF file"))?;
    let endian = header
        .endian()
        .map_err(|_| bad("an ELF file of unknown byte order"))?;
    if header.e_machine(endian) != elf::EM_X86_64 {
        return Err(bad(format!(
            "an ELF file for machine {}",
            header.e_machine(endian)
        )));
    }
    if header.e_type(endian) != elf::ET_EXEC {
        return Err(bad(
            "an ELF file that is no static executable; a vmlinux is needed",
        ));
    }
    let headers = header
        .program_headers(endian, file)
        .map_err(|e| bad(format!("program headers: {e}")))?;
    let entry = header.e_entry(endian);
    let mut holds_entry = false;
    let mut loaded = 0;
    for p in headers.iter().filter(|p| p.p_type(endian) == elf::PT_LOAD) {
        let (at, size) = (p.p_paddr(endian), p.p_memsz(endian));
        let data = p
            .data(endian, file)
            .map_err(|()| bad("a segment outside the file"))?;
        let end = at.checked_add(size).filter(|end| *end <= ram.len());
        if at < HIGH_START || end.is_none() || data.len() as u64 > size {
            return Err(bad(format!(
                "a segment of {size:#x} bytes at physical {at:#x} does not fit between \
                 {HIGH_START:#x} and the end of memory {:#x}",
                ram.len()
            )));
        }
        ram.write(PhysAddr(at), data)
            .ok_or_else(|| bad("a segment outside memory"))?;
        holds_entry |= (at..at + size).contains(&entry);
        loaded += 1;
    }
    if loaded == 0 {
        return Err(bad("an ELF file with nothing to load"));
    }
    if !holds_entry {
        return Err(bad(format!(
            "the entry point {entry:#x} is no physical address in the image"
        )));
    }
    Ok(entry)
}

/// `struct boot_params`, with the fields a 64-bit kernel reads.
fn boot_params(ram_bytes: u64, rsdp: u64) -> [u8; 4096] {
    let mut p = [0; 4096];
    let mut put = |at: usize, b: &[u8]| p[at..at + b.len()].copy_from_slice(b);
    put(0x070, &rsdp.to_le_bytes());
    // Setup header: magics, protocol 2.15, an unregistered boot loader, loaded high.
    put(0x1fe, &0xaa55u16.to_le_bytes());
    put(0x202, b"HdrS");
    put(0x206, &0x020fu16.to_le_bytes());
    put(0x210, &[0xff, 0x01]);
    put(0x228, &(COMMAND_LINE as u32).to_le_bytes());
    put(0x238, &2047u32.to_le_bytes());
    let map = [
        (0, LOW_END, 1u32),
        (LOW_END, HIGH_START - LOW_END, 2),
        (HIGH_START, ram_bytes - HIGH_START, 1),
    ];
    put(0x1e8, &[map.len() as u8]);
    for (i, (at, size, kind)) in map.into_iter().enumerate() {
        let o = 0x2d0 + 20 * i;
        put(o, &at.to_le_bytes());
        put(o + 8, &size.to_le_bytes());
        put(o + 16, &kind.to_le_bytes());
    }
    p
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
    cpu.set_gpr(2, 0x0003_06a9);
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
