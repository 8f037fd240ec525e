//! The debug sections of an ELF file, copied out of it.
//!
//! Only what is read later is kept: of a Linux kernel's 600 MB some 200, for the relocations that it
//! carries along are of no use once it is linked.

use std::collections::BTreeMap;

use gimli::{EndianSlice, LittleEndian};
use object::{Object, ObjectSection, ReadRef};

pub type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// The sections that hold DWARF, by name.
#[derive(Debug, Default)]
pub struct Sections(BTreeMap<String, Vec<u8>>);

impl Sections {
    /// Copies the debug sections of `elf`.
    pub fn read<'d>(elf: &object::File<'d, impl ReadRef<'d>>) -> Result<Sections, String> {
        let mut sections = BTreeMap::new();
        for section in elf.sections() {
            if let Ok(name) = section.name()
                && name.starts_with(".debug_")
            {
                let data = section
                    .uncompressed_data()
                    .map_err(|error| format!("section {name}: {error}"))?;
                sections.insert(name.to_owned(), data.into_owned());
            }
        }
        Ok(Sections(sections))
    }

    /// The bytes of a section; none if the file does not have it.
    pub fn get(&self, name: &str) -> &[u8] {
        self.0.get(name).map_or(&[][..], Vec::as_slice)
    }

    /// The DWARF in them.
    pub fn dwarf(&self) -> gimli::Result<gimli::Dwarf<Slice<'_>>> {
        gimli::Dwarf::load(|id| Ok(EndianSlice::new(self.get(id.name()), LittleEndian)))
    }
}
