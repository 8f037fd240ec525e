//! `struct boot_params`, the zero page: what the 64-bit boot protocol tells a kernel
//! (Documentation/arch/x86/zero-page.rst).

use super::bzimage::{HEADER, Setup};
use crate::layout::{COMMAND_LINE, HIGH_START, LOW_END};

const ACPI_RSDP: usize = 0x070;
const E820_ENTRIES: usize = 0x1e8;
const VIDEO_MODE: usize = 0x1fa;
const BOOT_FLAG: usize = 0x1fe;
const MAGIC: usize = 0x202;
const PROTOCOL: usize = 0x206;
const LOADER: usize = 0x210;
const LOADFLAGS: usize = 0x211;
const RAMDISK_IMAGE: usize = 0x218;
const RAMDISK_SIZE: usize = 0x21c;
const COMMAND_LINE_PTR: usize = 0x228;
const COMMAND_LINE_SIZE: usize = 0x238;
const E820_TABLE: usize = 0x2d0;

/// An unregistered boot loader.
const UNDEFINED_LOADER: u8 = 0xff;
const LOADED_HIGH: u8 = 1;
/// "Ask nobody": text mode as it is.
const VIDEO_NORMAL: u16 = 0xffff;

const E820_RAM: u32 = 1;
const E820_RESERVED: u32 = 2;

/// What the zero page says of this boot.
pub(super) struct Boot<'a> {
    pub(super) setup: Option<&'a Setup>,
    pub(super) ram_bytes: u64,
    pub(super) rsdp: u64,
    /// Address and size of the initial RAM disk.
    pub(super) initrd: Option<(u64, u64)>,
}

/// The page.
pub(super) fn zero_page(boot: &Boot<'_>) -> [u8; 4096] {
    let mut p = [0; 4096];
    let mut put = |at: usize, b: &[u8]| p[at..at + b.len()].copy_from_slice(b);
    match boot.setup {
        // The kernel finds its own header as its file has it.
        Some(setup) => put(HEADER, setup.header()),
        None => {
            put(BOOT_FLAG, &0xaa55u16.to_le_bytes());
            put(MAGIC, b"HdrS");
            put(PROTOCOL, &0x020fu16.to_le_bytes());
            put(LOADFLAGS, &[LOADED_HIGH]);
            put(COMMAND_LINE_SIZE, &2047u32.to_le_bytes());
        }
    }
    if boot.setup.is_some() {
        put(VIDEO_MODE, &VIDEO_NORMAL.to_le_bytes());
    }
    put(LOADER, &[UNDEFINED_LOADER]);
    put(COMMAND_LINE_PTR, &(COMMAND_LINE as u32).to_le_bytes());
    put(ACPI_RSDP, &boot.rsdp.to_le_bytes());
    if let Some((at, size)) = boot.initrd {
        put(RAMDISK_IMAGE, &(at as u32).to_le_bytes());
        put(RAMDISK_SIZE, &(size as u32).to_le_bytes());
    }
    let map = [
        (0, LOW_END, E820_RAM),
        (LOW_END, HIGH_START - LOW_END, E820_RESERVED),
        (HIGH_START, boot.ram_bytes - HIGH_START, E820_RAM),
    ];
    put(E820_ENTRIES, &[map.len() as u8]);
    for (i, (at, size, kind)) in map.into_iter().enumerate() {
        let o = E820_TABLE + 20 * i;
        put(o, &at.to_le_bytes());
        put(o + 8, &size.to_le_bytes());
        put(o + 16, &kind.to_le_bytes());
    }
    p
}
