//! The debug sections of an ELF file, copied out of it.
//!
//! Only what is read later is kept: of a Linux kernel's 600 MB some 200, for the relocations that it
//! carries along are of no use once it is linked.

use std::borrow::Cow;
use std::collections::BTreeMap;

use gimli::{EndianSlice, LittleEndian};
use object::{Object, ObjectSection, ReadRef};

pub type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// A string of the debug sections, by where it begins.
#[derive(Clone, Copy, Debug)]
pub enum Text {
    /// In `.debug_str`.
    Str(usize),
    /// In `.debug_line_str`.
    LineStr(usize),
    /// Written out in `.debug_info`.
    Info(usize),
}

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

    /// Up to its zero byte.
    pub fn text(&self, text: Text) -> Cow<'_, str> {
        let (section, start) = match text {
            Text::Str(at) => (".debug_str", at),
            Text::LineStr(at) => (".debug_line_str", at),
            Text::Info(at) => (".debug_info", at),
        };
        let rest = self.get(section).get(start..).unwrap_or_default();
        let bytes = rest.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(bytes)
    }
}
