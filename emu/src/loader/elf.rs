//! The ELF image of a kernel: its segments, and its build-id when it has no sections.

use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};

use super::bad;
use crate::error::Error;
use crate::layout::HIGH_START;
use crate::unicorn::RamView;
use crate::units::PhysAddr;

type Header = elf::FileHeader64<object::Endianness>;

/// Where a loaded image is.
pub(super) struct Loaded {
    /// Physical address of its entry point.
    pub(super) entry: u64,
    /// Its lowest address, and the one behind its highest.
    pub(super) start: u64,
    pub(super) end: u64,
}

/// Copies the segments to their physical addresses.
pub(super) fn segments(file: &[u8], ram: &RamView) -> Result<Loaded, Error> {
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
    let (mut start, mut last) = (u64::MAX, 0);
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
        start = start.min(at);
        last = last.max(at + size);
    }
    if start > last {
        return Err(bad("an ELF file with nothing to load"));
    }
    if !holds_entry {
        return Err(bad(format!(
            "the entry point {entry:#x} is no physical address in the image"
        )));
    }
    Ok(Loaded {
        entry,
        start,
        end: last,
    })
}

/// The GNU build-id in the notes of an ELF image that was stripped of its sections.
pub(super) fn build_id_note(file: &[u8]) -> Option<Vec<u8>> {
    let header = Header::parse(file).ok()?;
    let endian = header.endian().ok()?;
    for segment in header.program_headers(endian, file).ok()? {
        let Ok(Some(mut notes)) = segment.notes(endian, file) else {
            continue;
        };
        while let Ok(Some(note)) = notes.next() {
            if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
                return Some(note.desc().to_vec());
            }
        }
    }
    None
}
