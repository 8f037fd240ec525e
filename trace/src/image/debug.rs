//! The DWARF of an image, read part by part when somebody asks.
//!
//! A small image is one part, read when it is opened. Of a large one, every compile unit is a part of its
//! own: opening it reads only where each unit's code is; a question about an address reads the unit around
//! it, a question about a name those units that mention the name at all. Which these are is told by a
//! plain search: a name longer than three bytes lies in `.debug_str` once, and an entry of that name
//! holds the offset of it. What such a search finds by chance costs the reading of a unit and nothing
//! else.
//!
//! References from one unit of a large image to another are not followed; compilers make them only when
//! they optimise over units, which Linux's distributions do not.

use std::sync::{Arc, OnceLock};

use super::dwarf::{self, Tables};
use super::search::find_all;
use super::sections::Sections;

/// An image with no more `.debug_info` than this is read as a whole.
const SMALL: usize = 48 << 20;

/// Some units, and what has been read of them.
#[derive(Debug)]
struct Part {
    /// Offsets in `.debug_info` of the first unit and of what follows the last.
    units: std::ops::Range<usize>,
    tables: OnceLock<Tables>,
}

/// The debug information of an image.
#[derive(Debug)]
pub struct Debug {
    sections: Arc<Sections>,
    parts: Vec<Part>,
    /// Code of each part: first address, first address after, number of the part. Sorted; of a whole
    /// image there is no need of it.
    code: Vec<(u64, u64, usize)>,
}

impl Debug {
    /// Finds the parts; reads a small image whole.
    pub fn new(sections: Sections) -> Result<Debug, String> {
        let info = sections.get(".debug_info").len();
        if info > SMALL {
            return Debug::by_unit(sections);
        }
        let sections = Arc::new(sections);
        let tables = dwarf::read(&sections, 0..info)?;
        let part = Part {
            units: 0..info,
            tables: OnceLock::from(tables),
        };
        Ok(Debug {
            sections,
            parts: vec![part],
            code: Vec::new(),
        })
    }

    /// Every unit a part, whatever the size.
    pub fn by_unit(sections: Sections) -> Result<Debug, String> {
        let units = dwarf::units(&sections)?;
        let mut code: Vec<(u64, u64, usize)> = units
            .iter()
            .enumerate()
            .flat_map(|(number, unit)| {
                unit.code
                    .iter()
                    .map(move |(low, high)| (*low, *high, number))
            })
            .collect();
        code.sort_unstable();
        let parts = units
            .into_iter()
            .map(|unit| Part {
                units: unit.info,
                tables: OnceLock::new(),
            })
            .collect();
        Ok(Debug {
            sections: Arc::new(sections),
            parts,
            code,
        })
    }

    /// The sections that everything comes from.
    pub fn sections(&self) -> &Sections {
        &self.sections
    }

    /// Whether all of it is one part.
    pub fn is_whole(&self) -> bool {
        self.parts.len() == 1 && self.code.is_empty()
    }

    fn tables(&self, part: usize) -> Option<&Tables> {
        let part = self.parts.get(part)?;
        Some(part.tables.get_or_init(|| self.read(part)))
    }

    /// Reads a part. One that cannot be read has nothing in it but the reason.
    fn read(&self, part: &Part) -> Tables {
        dwarf::read(&self.sections, part.units.clone()).unwrap_or_else(|damage| Tables {
            damage: Some(damage),
            ..Tables::default()
        })
    }

    /// The part whose code `addr` is in.
    fn part_at(&self, addr: u64) -> Option<usize> {
        if self.is_whole() {
            return Some(0);
        }
        let after = self.code.partition_point(|(low, ..)| *low <= addr);
        // Ranges of different units do not overlap, but a unit may have a wide one in a bad file.
        self.code[..after]
            .iter()
            .rev()
            .take(8)
            .find(|(_, high, _)| addr < *high)
            .map(|(.., part)| *part)
    }

    /// What is known of the code around `addr`.
    pub fn at(&self, addr: u64) -> Option<&Tables> {
        self.tables(self.part_at(addr)?)
    }

    /// The parts that have been read so far.
    pub fn loaded(&self) -> impl Iterator<Item = &Tables> {
        self.parts.iter().filter_map(|part| part.tables.get())
    }

    /// The parts that mention `name`, read one after the other as they are asked for, and kept.
    pub fn mentioning(&self, name: &str) -> impl Iterator<Item = &Tables> {
        self.parts_with(name)
            .into_iter()
            .filter_map(|part| self.tables(part))
    }

    /// Calls `f` with every part that mentions `name`; those not read before are forgotten again, for
    /// a common name is in nearly all of them.
    pub fn each_mentioning(&self, name: &str, mut f: impl FnMut(&Tables)) {
        for part in self.parts_with(name) {
            match self.parts[part].tables.get() {
                Some(tables) => f(tables),
                None => f(&self.read(&self.parts[part])),
            }
        }
    }

    /// Why parts that were asked for could not be read.
    pub fn damage(&self) -> Option<&str> {
        self.loaded().find_map(|tables| tables.damage.as_deref())
    }

    fn parts_with(&self, name: &str) -> Vec<usize> {
        // Indexed strings are not looked for: they need a unit's base.
        if self.is_whole() || !self.sections.get(".debug_str_offsets").is_empty() {
            return (0..self.parts.len()).collect();
        }
        let info = self.sections.get(".debug_info");
        let text = [name.as_bytes(), &[0]].concat();
        let mut parts = Vec::new();
        let mut found = |at: usize| {
            let after = self.parts.partition_point(|part| part.units.start <= at);
            parts.extend(after.checked_sub(1));
        };
        // A name that is not longer than an offset would be is written out.
        if text.len() <= 4 {
            find_all(info, &text).into_iter().for_each(&mut found);
        }
        for start in find_all(self.sections.get(".debug_str"), &text) {
            if let Ok(offset) = u32::try_from(start) {
                let offset = offset.to_le_bytes();
                find_all(info, &offset).into_iter().for_each(&mut found);
            }
        }
        parts.sort_unstable();
        parts.dedup();
        parts
    }
}
