//! The guest kernel's ELF file with its DWARF: names, lines, types, functions and tracepoint sites.
//!
//! What is read is kept in tables of our own, so that a look-up during a run is a binary search; of a
//! small image that is everything, of a large one what has been asked for (`debug.rs`).
//! It knows the file and not the guest's memory: see [`crate::value`] for that.

mod debug;
mod declared;
mod dwarf;
mod functions;
mod lines;
mod paths;
mod search;
mod sections;
mod symbols;
mod types;
mod variables;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, ObjectSegment, ReadRef};
use sha2::{Digest, Sha256};

pub use functions::{Argument, Function, InlinedCall, Location, abi_argument};
pub use lines::SourceLine;
pub use symbols::ElfSymbol;

pub use types::{Bits, Field, Shape, TypeError, Types};
pub use variables::NoPlace;

use debug::Debug;
use sections::Sections;

use crate::event::Addr;
use crate::krec::{Inlined, Symbol};
use crate::orc::{Orc, Version};
use crate::place::Place;
use crate::stack::Unwinder;

/// What keeps an image from being used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no ELF file.
    #[error(
        "{name} is not an ELF file ({reason}): give the uncompressed kernel (vmlinux), not bzImage or vmlinuz"
    )]
    NotElf {
        /// The file.
        name: String,
        /// What the ELF reader said.
        reason: String,
    },
    /// The file is for another machine.
    #[error("{name} is not for x86_64: only x86_64 kernels run here")]
    WrongMachine {
        /// The file.
        name: String,
    },
    /// There is no DWARF in it.
    #[error(
        "{name} has no DWARF debug information (no .debug_info): build it with debug information (`kreplay image build` does) and do not strip it"
    )]
    NoDwarf {
        /// The file.
        name: String,
    },
    /// There is DWARF, but it cannot be understood.
    #[error("{name} has DWARF that cannot be read: {reason}")]
    BadDwarf {
        /// The file.
        name: String,
        /// What the DWARF reader said.
        reason: String,
    },
}

/// A static tracepoint of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracepointSite {
    /// Address of its `nop`.
    pub addr: Addr,
    /// `system:name`; several sites have one name when the code around was inlined.
    pub name: String,
}

/// An opened kernel image.
#[derive(Debug)]
pub struct Image {
    name: String,
    build_id: Option<String>,
    sha256: [u8; 32],
    size: u64,
    segments: Vec<(u64, Vec<u8>)>,
    code: std::ops::Range<u64>,
    symbols: symbols::Symbols,
    debug: Debug,
    tracepoints: Vec<TracepointSite>,
    orc: Option<OrcSections>,
}

/// The sections that tell how stacks are walked, as they are.
#[derive(Debug)]
struct OrcSections {
    ip_at: u64,
    ip: Vec<u8>,
    unwind: Vec<u8>,
}

impl Image {
    /// Reads the file at `path`, of which only what is needed comes to memory.
    pub fn open(path: &Path) -> Result<Image, ImageError> {
        let unreadable = |source| ImageError::Read {
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let mut sha256 = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        let mut size = 0;
        loop {
            let read = file.read(&mut buffer).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            size += read as u64;
            sha256.update(&buffer[..read]);
        }
        let file = object::ReadCache::new(file);
        let name = path.display().to_string();
        Image::from_elf(name, &file, sha256.finalize().into(), size, Debug::new)
    }

    /// Reads the ELF file in `bytes`; `name` is what errors call it.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Image, ImageError> {
        let sha256 = Sha256::digest(bytes).into();
        Image::from_elf(
            name.to_owned(),
            bytes,
            sha256,
            bytes.len() as u64,
            Debug::new,
        )
    }

    /// As [`parse`](Image::parse), but reads the DWARF unit by unit when it is needed, as that of a large
    /// image is, however small it is.
    pub fn parse_by_unit(name: &str, bytes: &[u8]) -> Result<Image, ImageError> {
        let sha256 = Sha256::digest(bytes).into();
        let size = bytes.len() as u64;
        Image::from_elf(name.to_owned(), bytes, sha256, size, Debug::by_unit)
    }

    fn from_elf<'d, R: ReadRef<'d>>(
        name: String,
        bytes: R,
        sha256: [u8; 32],
        size: u64,
        debug: fn(Sections) -> Result<Debug, String>,
    ) -> Result<Image, ImageError> {
        let elf = match object::File::parse(bytes) {
            Ok(elf) if elf.format() == object::BinaryFormat::Elf => elf,
            Ok(_) => {
                let reason = "another kind of object file".to_owned();
                return Err(ImageError::NotElf { name, reason });
            }
            Err(error) => {
                let reason = error.to_string();
                return Err(ImageError::NotElf { name, reason });
            }
        };
        if elf.architecture() != object::Architecture::X86_64 {
            return Err(ImageError::WrongMachine { name });
        }
        if elf.section_by_name(".debug_info").is_none() {
            return Err(ImageError::NoDwarf { name });
        }
        let symbols = symbols::Symbols::read(&elf);
        let debug =
            Sections::read(&elf)
                .and_then(debug)
                .map_err(|reason| ImageError::BadDwarf {
                    name: name.clone(),
                    reason,
                })?;
        Ok(Image {
            build_id: elf.build_id().ok().flatten().map(crate::krec::hex),
            sha256,
            size,
            segments: elf
                .segments()
                .filter_map(|segment| Some((segment.address(), segment.data().ok()?.to_vec())))
                .collect(),
            code: code_range(&elf),
            tracepoints: tracepoints(&elf),
            orc: orc_sections(&elf),
            name,
            symbols,
            debug,
        })
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// GNU build-id in hexadecimal.
    pub fn build_id(&self) -> Option<&str> {
        self.build_id.as_deref()
    }

    /// SHA-256 of the file.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Layouts of the structures.
    pub fn types(&self) -> Types<'_> {
        Types::new(&self.debug, None)
    }

    /// Layouts of the structures as the file knows them that the code at `addr` was compiled from:
    /// in C, a name is a file's own matter.
    pub fn types_around(&self, addr: Addr) -> Types<'_> {
        Types::new(&self.debug, Some(addr.0))
    }

    /// Why something that was asked for could not be read: the DWARF of a large image is read when it
    /// is needed, and what cannot be read is missing.
    pub fn damage(&self) -> Option<&str> {
        self.debug.damage()
    }

    /// The static tracepoints, in the order of their addresses.
    pub fn tracepoints(&self) -> &[TracepointSite] {
        &self.tracepoints
    }

    /// Address of the symbol or function called `name`.
    pub fn address_of(&self, name: &str) -> Option<Addr> {
        self.symbols
            .by_name(name)
            .map(|symbol| symbol.addr)
            .or_else(|| self.functions_named(name).first().map(|f| f.low))
            .map(Addr)
    }

    /// The ELF symbol that covers `addr`.
    pub fn elf_symbol(&self, addr: Addr) -> Option<&ElfSymbol> {
        self.symbols.covering(addr.0)
    }

    /// Every symbol that is code, in the order of addresses.
    pub fn code_symbols(&self) -> impl Iterator<Item = &ElfSymbol> {
        self.symbols.code()
    }

    /// The function whose code `addr` is in.
    pub fn function_at(&self, addr: Addr) -> Option<&Function> {
        self.debug.at(addr.0)?.functions.covering(addr.0)
    }

    /// Functions with code that the source calls `name`, in the order of addresses. Static functions of
    /// several files may share a name; the symbol of one that the compiler has changed carries a suffix
    /// (`finish_task_switch.isra.0`).
    pub fn functions_named(&self, name: &str) -> Vec<&Function> {
        if self.debug.is_whole() {
            let all = self.debug.loaded();
            return all
                .flat_map(|tables| tables.functions.named(name))
                .collect();
        }
        let mut found: Vec<&Function> = self
            .symbols
            .called(name)
            .filter_map(|symbol| {
                let function = self.function_at(Addr(symbol.addr))?;
                (function.low == symbol.addr && &*function.name == name).then_some(function)
            })
            .collect();
        found.sort_by_key(|function| function.low);
        found.dedup_by_key(|function| function.low);
        found
    }

    /// The addresses from the first to the last byte of code.
    pub fn code_range(&self) -> std::ops::Range<u64> {
        self.code.clone()
    }

    /// A function whose name is near `name`, for a message.
    pub fn similar_function(&self, name: &str) -> Option<&str> {
        let bare = |name: &str| name.trim_start_matches('_').to_ascii_lowercase();
        let wanted = bare(name);
        let rank = |have: &str| match bare(have) {
            have if have == wanted => Some(0),
            have if have.starts_with(&wanted) || wanted.starts_with(&have) => Some(1),
            have if have.contains(&wanted) => Some(2),
            _ => None,
        };
        let inlined = self
            .debug
            .loaded()
            .flat_map(|tables| tables.functions.names());
        self.symbols
            .code()
            .map(|symbol| symbol.name.as_str())
            .chain(inlined)
            .filter(|have| have.len() > 3)
            .filter_map(|have| Some((rank(have)?, have.len().abs_diff(name.len()), have)))
            .min()
            .map(|(_, _, have)| have)
    }

    /// Every address where a call of `name` begins, out of line or inlined, in order.
    pub fn entries_of(&self, name: &str) -> Vec<Addr> {
        let mut entries: Vec<Addr> = Vec::new();
        self.debug.each_mentioning(name, |tables| {
            entries.extend(tables.functions.entries_of(name).map(Addr));
        });
        entries.extend(self.symbols.by_name(name).map(|symbol| Addr(symbol.addr)));
        entries.sort_unstable();
        entries.dedup();
        entries
    }

    /// The same, of calls in the file that the code at `addr` was compiled from.
    pub fn entries_around(&self, addr: Addr, name: &str) -> Vec<Addr> {
        let tables = self.debug.at(addr.0).into_iter();
        let mut entries: Vec<Addr> = tables
            .flat_map(|tables| tables.functions.entries_of(name))
            .map(Addr)
            .collect();
        entries.sort_unstable();
        entries.dedup();
        entries
    }

    /// Where variable `name` of `function`, which may be inlined, is when the code at `at` is reached.
    pub fn variable(&self, at: Addr, function: &str, name: &str) -> Result<Place, NoPlace> {
        match self.function_at(at) {
            Some(around) => {
                let entry = (around.unit, around.die);
                variables::find(self.debug.sections(), entry, function, name, at.0)
            }
            None => Err(NoPlace::Unknown {
                function: function.to_owned(),
                name: name.to_owned(),
                at: at.0,
            }),
        }
    }

    /// The tables by which a kernel without frame pointers has its stacks walked.
    pub fn orc(&self) -> Option<Orc> {
        let sections = self.orc.as_ref()?;
        let field = |name| self.types().field("orc_entry", name).ok()?.bits;
        let version = match (field("type"), field("end")) {
            (Some(_), Some(end)) => Version::EndBit(end.shift),
            _ => Version::EndType,
        };
        let ip = (sections.ip_at, sections.ip.as_slice());
        Orc::new(ip, &sections.unwind, version, self.code_range())
    }

    /// How the stacks of this kernel are walked.
    pub fn unwinder(&self) -> Unwinder {
        match self.orc() {
            Some(orc) => Unwinder::Orc(orc),
            None => Unwinder::Frames(self.code_range()),
        }
    }

    /// File and line of the code at `addr`.
    pub fn line(&self, addr: Addr) -> Option<SourceLine<'_>> {
        self.debug.at(addr.0)?.lines.find(addr.0)
    }

    /// The functions inlined at `addr`, innermost first.
    pub fn inlined_at(&self, addr: Addr) -> impl Iterator<Item = &InlinedCall> {
        let tables = self.debug.at(addr.0);
        tables
            .into_iter()
            .flat_map(move |tables| tables.functions.inlined_at(addr.0))
    }

    /// The instruction that an address on a stack stands for: of a return address the call before it, of
    /// the innermost address, and of one where an interrupt came in, the address itself.
    pub fn site(&self, depth: usize, addr: Addr) -> Addr {
        match depth > 0 && self.is_after_call(addr) {
            true => Addr(addr.0.wrapping_sub(1)),
            false => addr,
        }
    }

    /// Whether a call instruction ends at `addr`.
    pub fn is_after_call(&self, addr: Addr) -> bool {
        let before = |len: u64| self.bytes_at(Addr(addr.0.wrapping_sub(len)), len as usize);
        let direct = before(5).is_some_and(|code| code[0] == 0xe8);
        direct || (2..=8).any(|len| before(len).is_some_and(is_indirect_call))
    }

    /// What is at `addr`, for a recording. For a return address (`is_return`), line and inlined
    /// functions are those of the call before it.
    pub fn symbol(&self, addr: Addr, is_return: bool) -> Option<Symbol> {
        let at = Addr(addr.0.wrapping_sub(u64::from(is_return)));
        let symbol = self.symbols.covering(at.0)?;
        let line = self.line(at);
        let inlined = self
            .inlined_at(at)
            .map(|call| Inlined {
                name: call.name.to_string(),
                call_file: call.call_file.as_deref().map(str::to_owned),
                call_line: call.call_line,
            })
            .collect();
        Some(Symbol {
            name: symbol.name.clone(),
            offset: addr.0.wrapping_sub(symbol.addr),
            file: line.map(|line| line.file.to_owned()),
            line: line.map(|line| line.line),
            inlined,
        })
    }

    /// Reads the image's own bytes at a linked address: code and read-only data never change in a
    /// guest that does not patch itself.
    pub fn bytes_at(&self, addr: Addr, len: usize) -> Option<&[u8]> {
        self.segments.iter().find_map(|(start, data)| {
            let from = usize::try_from(addr.0.checked_sub(*start)?).ok()?;
            data.get(from..from.checked_add(len)?)
        })
    }
}

/// Whether `code` is one call through a register or through memory: an optional REX prefix, 0xff, and a
/// ModRM byte with 2 in its middle and as many bytes after it as it says.
fn is_indirect_call(code: &[u8]) -> bool {
    let code = match code {
        [0x40..=0x4f, rest @ ..] => rest,
        _ => code,
    };
    let [0xff, modrm, rest @ ..] = code else {
        return false;
    };
    let (mode, low) = (modrm >> 6, modrm & 7);
    let sib = usize::from(mode != 3 && low == 4);
    let displacement = match mode {
        0 if low == 5 || (low == 4 && rest.first().is_some_and(|sib| sib & 7 == 5)) => 4,
        0 | 3 => 0,
        1 => 1,
        _ => 4,
    };
    modrm >> 3 & 7 == 2 && rest.len() == sib + displacement
}

fn orc_sections<'d>(elf: &object::File<'d, impl ReadRef<'d>>) -> Option<OrcSections> {
    let ip = elf.section_by_name(".orc_unwind_ip")?;
    let unwind = elf.section_by_name(".orc_unwind")?;
    Some(OrcSections {
        ip_at: ip.address(),
        ip: ip.data().ok()?.to_vec(),
        unwind: unwind.data().ok()?.to_vec(),
    })
}

fn code_range<'d>(elf: &object::File<'d, impl ReadRef<'d>>) -> std::ops::Range<u64> {
    let code = || {
        elf.sections()
            .filter(|section| section.kind() == object::SectionKind::Text && section.size() > 0)
    };
    let low = code().map(|section| section.address()).min().unwrap_or(0);
    let high = code()
        .map(|section| section.address().saturating_add(section.size()))
        .max()
        .unwrap_or(0);
    low..high
}

/// The sites in section `.tracepoints`: pairs of addresses, of the `nop` and of its name.
fn tracepoints<'d>(elf: &object::File<'d, impl ReadRef<'d>>) -> Vec<TracepointSite> {
    let table = elf
        .section_by_name(".tracepoints")
        .and_then(|section| section.data().ok())
        .unwrap_or(&[]);
    let mut sites: Vec<TracepointSite> = table
        .as_chunks::<16>()
        .0
        .iter()
        .filter_map(|entry| {
            let (site, name) = entry.split_at(8);
            let word = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
            Some(TracepointSite {
                addr: Addr(word(site)?),
                name: string_at(elf, word(name)?)?,
            })
        })
        .collect();
    sites.sort_by(|a, b| (a.addr, &a.name).cmp(&(b.addr, &b.name)));
    sites
}

fn string_at<'d>(elf: &object::File<'d, impl ReadRef<'d>>, addr: u64) -> Option<String> {
    let section = elf
        .sections()
        .find(|section| (section.address()..section.address() + section.size()).contains(&addr))?;
    let data = section.data().ok()?;
    let rest = data.get(usize::try_from(addr - section.address()).ok()?..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    String::from_utf8(rest[..end].to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::is_indirect_call;

    #[test]
    fn indirect_calls_are_told_by_their_length() {
        for call in [
            &[0xff, 0xd0][..],                     // call rax
            &[0x41, 0xff, 0xd3],                   // call r11
            &[0xff, 0x10],                         // call [rax]
            &[0xff, 0x50, 0x18],                   // call [rax+0x18]
            &[0x41, 0xff, 0x54, 0x24, 0x08],       // call [r12+8]
            &[0xff, 0x15, 1, 2, 3, 4],             // call [rip+disp]
            &[0xff, 0x14, 0xc5, 1, 2, 3, 4],       // call [rax*8+disp]
            &[0x42, 0xff, 0x94, 0xe0, 1, 2, 3, 4], // call [rax+r12*8+disp]
        ] {
            assert!(is_indirect_call(call), "{call:x?}");
        }
        for other in [
            &[0xff, 0xe0][..],   // jmp rax
            &[0xff, 0xd0, 0x90], // call rax; nop
            &[0xff, 0x50],       // cut short
            &[0x90, 0x90],
        ] {
            assert!(!is_indirect_call(other), "{other:x?}");
        }
    }
}
