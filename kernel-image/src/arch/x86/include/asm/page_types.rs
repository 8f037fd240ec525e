//! The address space: where physical memory, stacks and the image appear.
//!
//! Linux: arch/x86/include/asm/page_types.h, page_64_types.h, pgtable_64_types.h, v6.8 (4-level, no KASLR).

/// Bytes of a page.
pub const PAGE_SIZE: u64 = 4096;
/// Bits of the offset in a page.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes of a large page.
pub const PMD_SIZE: u64 = 2 << 20;
/// Bytes of a kernel stack.
pub const THREAD_SIZE: u64 = 16 << 10;
/// Where the image's physical addresses appear.
pub const __START_KERNEL_map: u64 = 0xffff_ffff_8000_0000;
/// Where all of memory appears.
pub const PAGE_OFFSET: u64 = 0xffff_8880_0000_0000;
/// Where stacks are mapped.
pub const VMALLOC_START: u64 = 0xffff_c900_0000_0000;
/// End of the part of that area one page directory covers.
pub const VMALLOC_END: u64 = VMALLOC_START + (1 << 39);

/// Page table bits.
pub const _PAGE_PRESENT: u64 = 1 << 0;
/// Writable.
pub const _PAGE_RW: u64 = 1 << 1;
/// Write-through.
pub const _PAGE_PWT: u64 = 1 << 3;
/// Not cached.
pub const _PAGE_PCD: u64 = 1 << 4;
/// Has been read.
pub const _PAGE_ACCESSED: u64 = 1 << 5;
/// Has been written.
pub const _PAGE_DIRTY: u64 = 1 << 6;
/// A large page.
pub const _PAGE_PSE: u64 = 1 << 7;
/// The same in every address space.
pub const _PAGE_GLOBAL: u64 = 1 << 8;
/// Not executable.
pub const _PAGE_NX: u64 = 1 << 63;
/// The address bits of an entry.
pub const PTE_PFN_MASK: u64 = 0x000f_ffff_ffff_f000;
/// A table below this one.
pub const _KERNPG_TABLE: u64 = _PAGE_PRESENT | _PAGE_RW | _PAGE_ACCESSED | _PAGE_DIRTY;
/// Data.
pub const __PAGE_KERNEL: u64 = _KERNPG_TABLE | _PAGE_GLOBAL | _PAGE_NX;
/// Read-only data.
pub const __PAGE_KERNEL_RO: u64 = _PAGE_PRESENT | _PAGE_ACCESSED | _PAGE_GLOBAL | _PAGE_NX;
/// Device registers.
pub const __PAGE_KERNEL_NOCACHE: u64 = __PAGE_KERNEL | _PAGE_PCD | _PAGE_PWT;

/// The physical address behind an address of the image or of the direct map.
pub const fn __pa(address: u64) -> u64 {
    if address >= __START_KERNEL_map {
        address - __START_KERNEL_map
    } else {
        address - PAGE_OFFSET
    }
}

/// Where a physical address appears in the direct map.
pub const fn __va(physical: u64) -> u64 {
    physical + PAGE_OFFSET
}
