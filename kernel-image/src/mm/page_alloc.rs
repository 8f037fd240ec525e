//! The page allocator: a buddy system over one zone.
//!
//! Linux: mm/page_alloc.c, v6.8. **Kept** orders 0 to 10, buddies, the free lists, watermarks: below the low one
//! kswapd is woken. **Left out** zones, per-CPU lists, migrate types, direct reclaim: nobody waits for memory.
//! **Locks** `zone.lock`, interrupts off; a leaf.
#![expect(unsafe_code, reason = "hands out physical memory")]

use crate::arch::x86::include::asm::page_types::{__pa, __va, PAGE_SHIFT, PAGE_SIZE};
use crate::fence::shared::Shared;
use crate::include::linux::list::{ListHead, list_add, list_del};
use crate::include::linux::mmzone::{NR_WMARK, WMARK_HIGH, WMARK_LOW, WMARK_MIN};
use crate::include::linux::spinlock::RawSpinlock;
use crate::mm::memblock;
use crate::mm::vmscan::wakeup_kswapd;
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
    /// Objects in use of the slab it heads: the cache's lock.
    pub inuse: Shared<u32>,
    /// Objects that have left the free list of a slab that goes back: the cache's lock.
    pub frozen: Shared<u32>,
}

/// The free blocks of one order.
#[doc(alias = "free_area")]
struct FreeArea {
    free_list: ListHead,
    nr_free: Shared<u64>,
}

/// The free blocks.
#[doc(alias = "zone")]
pub struct Zone {
    lock: RawSpinlock,
    /// How much is left when what happens, in pages.
    _watermark: [Shared<u64>; NR_WMARK],
    /// Pages that were handed to the allocator.
    managed_pages: Shared<u64>,
    /// Free blocks by order.
    free_area: [FreeArea; MAX_PAGE_ORDER + 1],
    /// Free pages.
    nr_free: Shared<u64>,
    mem_map: Shared<Option<&'static Page>>,
    max_pfn: Shared<u64>,
}

static zone: Zone = Zone {
    lock: RawSpinlock::new(),
    _watermark: [const { Shared::new(0) }; NR_WMARK],
    managed_pages: Shared::new(0),
    free_area: [const {
        FreeArea {
            free_list: ListHead::new(),
            nr_free: Shared::new(0),
        }
    }; MAX_PAGE_ORDER + 1],
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

/// The page at an address of the direct map.
pub fn virt_to_page(address: u64) -> &'static Page {
    &mem_map()[(__pa(address) >> PAGE_SHIFT) as usize]
}

/// Hands all memory that memblock did not give away to the page allocator.
pub fn memblock_free_all() {
    let max_pfn = memblock::memblock_end_of_DRAM() >> PAGE_SHIFT;
    let pages = memblock::memblock_alloc_array(max_pfn as usize, || Page {
        lru: ListHead::new(),
        order: Shared::new(0),
        buddy: Shared::new(0),
        inuse: Shared::new(0),
        frozen: Shared::new(0),
    });
    zone.max_pfn.set(max_pfn);
    zone.mem_map.set(pages.first());
    for (base, end) in memblock::memory.iter() {
        free_memory_core(base.next_multiple_of(PAGE_SIZE), end & !(PAGE_SIZE - 1));
    }
    zone.managed_pages.set(zone.nr_free.get());
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

/// Takes a block off the free lists, cutting a larger one if need be. The lock is held.
fn rmqueue(order: usize) -> Option<u64> {
    let from = (order..=MAX_PAGE_ORDER)
        .find(|&o| !crate::include::linux::list::list_empty(&zone.free_area[o].free_list))?;
    let link = crate::include::linux::list::list_first(&zone.free_area[from].free_list)?;
    let page = crate::list_entry!(link, Page, lru);
    del_page_from_free_list(page, from);
    let pfn = page_to_pfn(page);
    for half in (order..from).rev() {
        put_free(pfn + (1 << half), half);
    }
    zone.nr_free.sub(1 << order);
    Some(pfn << PAGE_SHIFT)
}

/// Takes `2^order` pages.
///
/// # Returns
/// Their physical address, none when memory is out. Not zeroed.
pub fn alloc_pages(order: usize) -> Option<u64> {
    let page = {
        let _guard = zone.lock.lock_irqsave();
        rmqueue(order)
    };
    // Memory is still to be had below the mark, but somebody should free some.
    if page.is_none() || zone.nr_free.get() < low_wmark_pages() {
        wakeup_kswapd(order as u32);
    }
    page
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
        del_page_from_free_list(buddy, order);
        pfn &= !(1 << order);
        order += 1;
    }
    put_free(pfn, order);
}

fn del_page_from_free_list(page: &'static Page, order: usize) {
    list_del(&page.lru);
    page.buddy.set(0);
    zone.free_area[order].nr_free.dec();
}

fn put_free(pfn: u64, order: usize) {
    let page = &mem_map()[pfn as usize];
    page.order.set(order as u32);
    page.buddy.set(1);
    list_add(&page.lru, &zone.free_area[order].free_list);
    zone.free_area[order].nr_free.inc();
}

/// Free pages right now.
pub fn nr_free_pages() -> u64 {
    zone.nr_free.get()
}

/// Pages that were handed to the allocator.
pub fn managed_pages() -> u64 {
    zone.managed_pages.get()
}

/// Below it kswapd is woken.
pub fn low_wmark_pages() -> u64 {
    zone._watermark[WMARK_LOW].get()
}

/// Up to it kswapd frees.
pub fn high_wmark_pages() -> u64 {
    zone._watermark[WMARK_HIGH].get()
}

/// Whether `mark` pages would be left after an allocation of the order, which can be had in one block.
pub fn zone_watermark_ok(order: u32, mark: u64) -> bool {
    let left = zone.nr_free.get().saturating_sub((1 << order) - 1);
    left > mark
        && (order == 0
            || zone.free_area[order as usize..]
                .iter()
                .any(|area| area.nr_free.get() != 0))
}

/// Which part of the free memory is in blocks below the order, in percent.
pub fn extfrag_for_order(order: u32) -> u64 {
    let _guard = zone.lock.lock_irqsave();
    let suitable: u64 = (order as usize..=MAX_PAGE_ORDER)
        .map(|o| zone.free_area[o].nr_free.get() << o)
        .sum();
    let free = zone.nr_free.get();
    ((free - suitable) * 100).checked_div(free).unwrap_or(0)
}

/// How much memory is kept back for those that free memory, kB: the square root of sixteen times all.
fn calculate_min_free_kbytes() -> u64 {
    let lowmem_kbytes = managed_pages() * (PAGE_SIZE / 1024);
    (lowmem_kbytes * 16).isqrt().clamp(128, 262_144)
}

/// Sets the watermarks.
fn setup_per_zone_wmarks(min_free_kbytes: u64) {
    let min = min_free_kbytes / (PAGE_SIZE / 1024);
    // A quarter of it, or a thousandth of everything.
    let step = (min / 4).max(managed_pages() / 1000);
    let _guard = zone.lock.lock_irqsave();
    zone._watermark[WMARK_MIN].set(min);
    zone._watermark[WMARK_LOW].set(min + step);
    zone._watermark[WMARK_HIGH].set(min + 2 * step);
}

/// A postcore initcall.
pub fn init_per_zone_wmark_min() -> i32 {
    setup_per_zone_wmarks(calculate_min_free_kbytes());
    0
}
