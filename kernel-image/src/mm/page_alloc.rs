//! The page allocator: a buddy system over one zone.
//!
//! Linux: mm/page_alloc.c, v6.8. **Kept** orders 0 to 10, buddies, the free lists. **Left out** zones, per-CPU
//! lists, migrate types, reclaim: memory is plenty and nobody waits for it.
//! **Locks** `zone.lock`, interrupts off; a leaf.
#![expect(unsafe_code, reason = "hands out physical memory")]

use crate::arch::x86::include::asm::page_types::{__va, PAGE_SHIFT, PAGE_SIZE};
use crate::fence::shared::Shared;
use crate::include::linux::list::{ListHead, list_add, list_del};
use crate::include::linux::spinlock::RawSpinlock;
use crate::mm::memblock;
use core::ptr;

/// Largest block: 2^10 pages.
pub const MAX_PAGE_ORDER: usize = 10;

/// What the allocator knows of one page.
#[doc(alias = "page")]
#[repr(C)]
pub struct Page {
    /// Link in a free list, while this page heads a free block.
    pub lru: ListHead,
    /// Order of the free block it heads.
    pub order: Shared<u32>,
    /// Whether it heads a free block (`PageBuddy`).
    pub buddy: Shared<u32>,
}

/// The free blocks.
#[doc(alias = "zone")]
pub struct Zone {
    lock: RawSpinlock,
    /// Lists of free blocks by order.
    free_area: [ListHead; MAX_PAGE_ORDER + 1],
    nr_free: Shared<u64>,
    mem_map: Shared<Option<&'static Page>>,
    max_pfn: Shared<u64>,
}

static zone: Zone = Zone {
    lock: RawSpinlock::new(),
    free_area: [const { ListHead::new() }; MAX_PAGE_ORDER + 1],
    nr_free: Shared::new(0),
    mem_map: Shared::new(None),
    max_pfn: Shared::new(0),
};

fn mem_map() -> &'static [Page] {
    match zone.mem_map.get() {
        // SAFETY: `memblock_free_all` made an array of `max_pfn` pages for ever.
        Some(first) => unsafe {
            core::slice::from_raw_parts(ptr::from_ref(first), zone.max_pfn.get() as usize)
        },
        None => &[],
    }
}

fn page_to_pfn(page: &'static Page) -> u64 {
    let first = mem_map().as_ptr() as u64;
    (ptr::from_ref(page) as u64 - first) / size_of::<Page>() as u64
}

/// Hands all memory that memblock did not give away to the page allocator.
pub fn memblock_free_all() {
    let max_pfn = memblock::memblock_end_of_DRAM() >> PAGE_SHIFT;
    let pages = memblock::memblock_alloc_array(max_pfn as usize, || Page {
        lru: ListHead::new(),
        order: Shared::new(0),
        buddy: Shared::new(0),
    });
    zone.max_pfn.set(max_pfn);
    zone.mem_map.set(pages.first());
    for (base, end) in memblock::memory.iter() {
        free_memory_core(base.next_multiple_of(PAGE_SIZE), end & !(PAGE_SIZE - 1));
    }
}

/// Frees the parts of `[from, to)` that are not reserved, in the largest aligned blocks.
fn free_memory_core(from: u64, to: u64) {
    let mut at = from;
    while at < to {
        let inside = memblock::reserved
            .iter()
            .find(|&(base, end)| base <= at && at < end);
        if let Some((_, end)) = inside {
            at = end.next_multiple_of(PAGE_SIZE);
            continue;
        }
        let starts = memblock::reserved
            .iter()
            .map(|(base, _)| base & !(PAGE_SIZE - 1));
        let stop = starts.filter(|&base| base > at).min().unwrap_or(to).min(to);
        while at < stop {
            let pfn = at >> PAGE_SHIFT;
            let fits = ((stop - at) >> PAGE_SHIFT).ilog2();
            let order = pfn.trailing_zeros().min(fits).min(MAX_PAGE_ORDER as u32);
            __free_pages(at, order as usize);
            at += PAGE_SIZE << order;
        }
    }
}

/// Takes `2^order` pages.
///
/// # Returns
/// Their physical address, none when memory is out. Not zeroed.
pub fn alloc_pages(order: usize) -> Option<u64> {
    let _guard = zone.lock.lock_irqsave();
    let from = (order..=MAX_PAGE_ORDER)
        .find(|&o| !crate::include::linux::list::list_empty(&zone.free_area[o]))?;
    let link = crate::include::linux::list::list_first(&zone.free_area[from])?;
    let page = crate::list_entry!(link, Page, lru);
    list_del(link);
    page.buddy.set(0);
    let pfn = page_to_pfn(page);
    for half in (order..from).rev() {
        put_free(pfn + (1 << half), half);
    }
    zone.nr_free.sub(1 << order);
    Some(pfn << PAGE_SHIFT)
}

/// Takes one zeroed page; its physical address.
pub fn get_zeroed_page() -> Option<u64> {
    let page = alloc_pages(0)?;
    // SAFETY: the page is ours and in the direct map.
    unsafe { ptr::write_bytes(__va(page) as *mut u8, 0, PAGE_SIZE as usize) };
    Some(page)
}

/// Gives `2^order` pages back.
pub fn __free_pages(physical: u64, order: usize) {
    let _guard = zone.lock.lock_irqsave();
    zone.nr_free.add(1 << order);
    let (mut pfn, mut order) = (physical >> PAGE_SHIFT, order);
    let pages = mem_map();
    while order < MAX_PAGE_ORDER {
        let buddy_pfn = pfn ^ (1 << order);
        let Some(buddy) = pages.get(buddy_pfn as usize) else {
            break;
        };
        if buddy.buddy.get() == 0 || buddy.order.get() as usize != order {
            break;
        }
        list_del(&buddy.lru);
        buddy.buddy.set(0);
        pfn &= !(1 << order);
        order += 1;
    }
    put_free(pfn, order);
}

fn put_free(pfn: u64, order: usize) {
    let page = &mem_map()[pfn as usize];
    page.order.set(order as u32);
    page.buddy.set(1);
    list_add(&page.lru, &zone.free_area[order]);
}

/// Free pages right now.
pub fn nr_free_pages() -> u64 {
    zone.nr_free.get()
}
