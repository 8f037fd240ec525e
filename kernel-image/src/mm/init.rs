//! The kernel's page tables after head_64.S, and the order in which memory management starts.
//!
//! Linux: arch/x86/mm/init.c, init_64.c, mm/mm_init.c, arch/x86/mm/pat/set_memory.c, v6.8. **Kept** the direct
//! map in 2 MiB pages, text and read-only data read-only in both of its mappings, nothing but text executable.
#![expect(unsafe_code, reason = "writes page tables")]

use crate::arch::x86::include::asm::page_types::*;
use crate::arch::x86::kernel::process::boot_guard_pages;
use crate::mm::{memblock, page_alloc};
use crate::pr_info;
use core::arch::asm;

unsafe extern "C" {
    static level2_kernel_pgt: u64;
    static level2_direct_pgt: u64;
    static level3_direct_pgt: u64;
    static level3_vmalloc_pgt: u64;
    static level1_fixmap_pgt: u64;
    static _text: u8;
    static __end_rodata: u8;
}

const ENTRIES: u64 = 512;

/// Index of `address` in the table whose entries cover `1 << shift` bytes.
fn index(address: u64, shift: u32) -> u64 {
    address >> shift & (ENTRIES - 1)
}

fn entry(table: u64, index: u64) -> *mut u64 {
    (table + index % ENTRIES * 8) as *mut u64
}

/// Writes an entry of a table given by its virtual address.
fn set_entry(table: u64, index: u64, value: u64) {
    // SAFETY: only tables of this module's callers: static ones and pages taken for the purpose. The mapping
    // that the entry makes is new or the same memory with other rights.
    unsafe { entry(table, index).write_volatile(value) };
}

fn get_entry(table: u64, index: u64) -> u64 {
    // SAFETY: as in `set_entry`.
    unsafe { entry(table, index).read_volatile() }
}

/// Forgets every cached translation of this CPU, global ones too.
pub fn __flush_tlb_all() {
    // SAFETY: rewrites CR4 with the PGE bit off and on again.
    unsafe {
        asm!(
            "mov {old}, cr4",
            "mov {off}, {old}",
            "and {off}, -129",
            "mov cr4, {off}",
            "mov cr4, {old}",
            old = out(reg) _,
            off = out(reg) _,
            options(nostack),
        );
    }
}

/// Maps all memory at `PAGE_OFFSET`: data and not executable; the image's text and read-only data read-only.
pub fn init_mem_mapping() {
    let end = memblock::memblock_end_of_DRAM().next_multiple_of(PMD_SIZE);
    let image = __pa((&raw const _text) as u64)..__pa((&raw const __end_rodata) as u64);
    let pud = (&raw const level3_direct_pgt) as u64;
    let mut at = 0;
    while at < end.max(memblock::EARLY_MAPPED) {
        let gib = at >> 30;
        let pmd = if gib == 0 {
            (&raw const level2_direct_pgt) as u64
        } else {
            let table = memblock::memblock_phys_alloc(PAGE_SIZE, PAGE_SIZE);
            set_entry(pud, gib, table | _KERNPG_TABLE);
            __va(table)
        };
        for slot in 0..ENTRIES {
            let physical = at + slot * PMD_SIZE;
            let flags = if image.contains(&physical) {
                __PAGE_KERNEL_RO
            } else {
                __PAGE_KERNEL
            };
            let value = if physical < end {
                physical | flags | _PAGE_PSE
            } else {
                0
            };
            set_entry(pmd, slot, value);
        }
        at += 1 << 30;
    }
    __flush_tlb_all();
}

/// Maps a page of device registers at a fixed address.
pub fn set_fixmap_nocache(address: u64, physical: u64) {
    let table = (&raw const level1_fixmap_pgt) as u64;
    set_entry(table, index(address, 12), physical | __PAGE_KERNEL_NOCACHE);
    __flush_tlb_all();
}

/// Maps one page of the stack area; none when memory is out.
///
/// # Context
/// The area's lock is held. No flush: the address was never mapped.
pub fn map_kernel_page(address: u64, physical: u64, flags: u64) -> Option<()> {
    let pud = (&raw const level3_vmalloc_pgt) as u64;
    let pmd = table_below(pud, index(address, 30))?;
    let pte = table_below(pmd, index(address, 21))?;
    set_entry(pte, index(address, 12), physical | flags);
    Some(())
}

fn table_below(table: u64, slot: u64) -> Option<u64> {
    let now = get_entry(table, slot);
    if now & _PAGE_PRESENT != 0 {
        return Some(__va(now & PTE_PFN_MASK));
    }
    let page = page_alloc::get_zeroed_page()?;
    set_entry(table, slot, page | _KERNPG_TABLE);
    Some(__va(page))
}

/// Unmaps one page of the image's data, splitting its 2 MiB page (`set_memory_np`).
fn set_memory_np(address: u64) {
    let pmd = (&raw const level2_kernel_pgt) as u64;
    let slot = index(address, 21);
    let large = get_entry(pmd, slot);
    if large & _PAGE_PSE != 0 {
        let Some(page) = page_alloc::get_zeroed_page() else {
            return;
        };
        for n in 0..ENTRIES {
            set_entry(__va(page), n, (large & !_PAGE_PSE) + n * PAGE_SIZE);
        }
        set_entry(pmd, slot, page | _KERNPG_TABLE);
    }
    let pte = __va(get_entry(pmd, slot) & PTE_PFN_MASK);
    set_entry(pte, index(address, 12), 0);
    __flush_tlb_all();
}

/// Page allocator, object caches, stacks: after this `Box` works.
pub fn mm_core_init() {
    page_alloc::memblock_free_all();
    boot_guard_pages().for_each(set_memory_np);
    pr_info!(
        "Memory: {}K/{}K available",
        page_alloc::nr_free_pages() * PAGE_SIZE / 1024,
        memblock::memblock_phys_mem_size() / 1024,
    );
}

/// Linux gives the start-up sections back here and makes read-only data read-only; this image has no such
/// sections, and its rights are final since the first page table.
pub fn free_initmem() {
    pr_info!("Write protecting the kernel read-only data: done since head_64.S");
}
