//! The kernel's table of its own function names, made from the linked image and written into it.
//!
//! Linux links several times over, each time with the table that `scripts/kallsyms` made from the link before, until
//! the addresses stand still. Here the image has room for the table from the start (the section `.kallsyms`, zeroes
//! when it is linked), so that nothing moves, and the table is filled in afterwards, as Linux's `scripts/sorttable`
//! does with the tables of exceptions. The build-id is of the image as it was linked; the table follows from it.
//!
//! Numbers are little-endian; `kernel/kallsyms.rs` of the kernel reads them:
//!
//! ```text
//! u64 first address of the code | u32 bytes of code | u32 functions
//! for each function, by address: u32 where it begins in the code | u32 where its name is in the table
//! the names: u8 length, then as many bytes
//! ```
//!
//! Names are what a Linux reader looks for: `schedule`, not the path of the module. A method or a closure keeps its
//! path, because its last word says nothing.

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// Where the table goes.
const SECTION: &str = ".kallsyms";

/// Why the table could not be written.
#[derive(Debug)]
pub(crate) enum Problem {
    Elf(object::Error),
    TooSmall { room: usize, needed: usize },
}

impl From<object::Error> for Problem {
    fn from(cause: object::Error) -> Self {
        Self::Elf(cause)
    }
}

/// Fills the table of the ELF image in. A kernel without room for one does without, as Linux without
/// CONFIG_KALLSYMS.
pub(crate) fn fill(image: &mut [u8]) -> Result<(), Problem> {
    let file = object::File::parse(&*image)?;
    let range = file
        .section_by_name(SECTION)
        .and_then(|section| section.file_range());
    let Some((start, room)) = range else {
        return Ok(());
    };
    let table = table(&file)?;
    let (start, room) = (start as usize, room as usize);
    let needed = table.len();
    match image.get_mut(start..start + needed) {
        Some(place) if needed <= room => place.copy_from_slice(&table),
        _ => return Err(Problem::TooSmall { room, needed }),
    }
    Ok(())
}

fn table(file: &object::File<'_>) -> Result<Vec<u8>, object::Error> {
    let Some(text) = file.section_by_name(".text") else {
        return Ok(Vec::new());
    };
    let (base, size) = (text.address(), text.size());
    let mut symbols: Vec<(u64, (bool, bool, bool), String)> = file
        .symbols()
        .filter(|it| it.is_definition() && (base..base + size).contains(&it.address()))
        .map(|it| {
            // At one address the first is taken: functions before labels, sized before unsized, global before
            // local. The linker script's labels come last.
            let rank = (it.kind() != SymbolKind::Text, it.size() == 0, it.is_local());
            Ok((it.address(), rank, short(it.name()?)))
        })
        .collect::<Result<_, object::Error>>()?;
    symbols.sort();
    symbols.dedup_by_key(|it| it.0);
    let index = 16 + 8 * symbols.len();
    let (mut table, mut names) = (Vec::with_capacity(index), Vec::new());
    table.extend(base.to_le_bytes());
    table.extend((size as u32).to_le_bytes());
    table.extend((symbols.len() as u32).to_le_bytes());
    for (address, _, name) in &symbols {
        table.extend(((address - base) as u32).to_le_bytes());
        table.extend(((index + names.len()) as u32).to_le_bytes());
        let length = (0..=name.len().min(255))
            .rev()
            .find(|&at| name.is_char_boundary(at))
            .unwrap_or(0);
        names.push(length as u8);
        names.extend(&name.as_bytes()[..length]);
    }
    table.extend(names);
    Ok(table)
}

/// The name that is shown.
fn short(raw: &str) -> String {
    let Ok(demangled) = rustc_demangle::try_demangle(raw) else {
        return raw.to_owned();
    };
    let path = format!("{demangled:#}").replace("kernel_image::", "");
    match path.rsplit_once("::") {
        // `kernel::fork::copy_mm`: functions of modules only.
        Some((modules, function)) if !modules.contains(['<', '{']) && !function.contains('{') => {
            function.to_owned()
        }
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_its_word_and_anything_else_its_path() {
        assert_eq!(short("multi_cpu_stop"), "multi_cpu_stop");
        let function = "_RNvNtNtCs1234_12kernel_image6kernel4fork7copy_mm";
        assert_eq!(short(function), "copy_mm");
        let method = "_RNvMNtCs1234_12kernel_image4lockNtB2_4Lock6unlock";
        assert_eq!(short(method), "<lock::Lock>::unlock");
        let closure = "_RNCNvNtCs1234_12kernel_image4fork7copy_mm0B3_";
        assert_eq!(short(closure), "fork::copy_mm::{closure#0}");
    }
}
