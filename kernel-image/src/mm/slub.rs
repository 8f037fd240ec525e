//! Object caches by size, and Rust's `alloc` over them.
//!
//! Linux: mm/slub.c, mm/slab_common.c, v6.8. **Kept** the kmalloc sizes. **Differs** one free list and one
//! lock a size, no per-CPU slabs; a slab's pages are never given back.
//! **Locks** the cache's lock, interrupts off, then the zone's.
#![expect(unsafe_code, reason = "the allocator")]

use crate::arch::x86::include::asm::page_types::{__pa, __va, PAGE_SIZE};
use crate::fence::shared::Shared;
use crate::include::linux::spinlock::RawSpinlock;
use crate::mm::page_alloc::{__free_pages, alloc_pages};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr;

/// Largest object that comes from a cache; larger ones are whole pages.
pub const KMALLOC_MAX_CACHE_SIZE: usize = 8192;

const SIZES: [usize; 12] = [16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192];

/// Objects of one size.
#[doc(alias = "kmem_cache")]
struct KmemCache {
    lock: RawSpinlock,
    size: usize,
    /// First free object; each holds the address of the next.
    freelist: Shared<u64>,
}

static kmalloc_caches: [KmemCache; SIZES.len()] = {
    let mut caches = [const {
        KmemCache {
            lock: RawSpinlock::new(),
            size: 0,
            freelist: Shared::new(0),
        }
    }; SIZES.len()];
    let mut n = 0;
    while n < SIZES.len() {
        caches[n].size = SIZES[n];
        n += 1;
    }
    caches
};

impl KmemCache {
    fn alloc(&self) -> *mut u8 {
        let _guard = self.lock.lock_irqsave();
        if self.freelist.get() == 0 {
            self.new_slab();
        }
        let object = self.freelist.get();
        if object != 0 {
            // SAFETY: a free object of this cache holds the next free object's address.
            self.freelist.set(unsafe { (object as *const u64).read() });
        }
        object as *mut u8
    }

    fn free(&self, object: *mut u8) {
        let _guard = self.lock.lock_irqsave();
        // SAFETY: the object is the caller's to give back, at least 16 bytes, 8-byte aligned.
        unsafe { object.cast::<u64>().write(self.freelist.get()) };
        self.freelist.set(object as u64);
    }

    /// Cuts fresh pages into objects, lowest address first.
    fn new_slab(&self) {
        let order = (self.size * 8)
            .div_ceil(PAGE_SIZE as usize)
            .next_power_of_two()
            .ilog2() as usize;
        let Some(pages) = alloc_pages(order) else {
            return;
        };
        let (base, bytes) = (__va(pages), (PAGE_SIZE as usize) << order);
        for index in (0..bytes / self.size).rev() {
            let object = base + (index * self.size) as u64;
            // SAFETY: inside the pages just taken.
            unsafe { (object as *mut u64).write(self.freelist.get()) };
            self.freelist.set(object);
        }
    }
}

/// The smallest cache whose objects have this size and alignment.
fn kmalloc_slab(layout: Layout) -> Option<&'static KmemCache> {
    let size = if layout.align() > 16 {
        layout.size().max(layout.align()).next_power_of_two()
    } else {
        layout.size()
    };
    kmalloc_caches
        .iter()
        .find(|cache| cache.size >= size && cache.size % layout.align() == 0)
}

fn page_order(layout: Layout) -> usize {
    let bytes = layout.size().max(layout.align()) as u64;
    bytes.div_ceil(PAGE_SIZE).next_power_of_two().ilog2() as usize
}

/// Memory for `layout`, null when there is none. Not zeroed.
pub fn kmalloc(layout: Layout) -> *mut u8 {
    match kmalloc_slab(layout) {
        Some(cache) => cache.alloc(),
        None => match alloc_pages(page_order(layout)) {
            Some(pages) => __va(pages) as *mut u8,
            None => ptr::null_mut(),
        },
    }
}

/// Gives memory back.
///
/// # Safety
/// `object` came from `kmalloc` with the same layout and is not used any more.
pub unsafe fn kfree(object: *mut u8, layout: Layout) {
    match kmalloc_slab(layout) {
        Some(cache) => cache.free(object),
        None => __free_pages(__pa(object as u64), page_order(layout)),
    }
}

/// Rust's `alloc` on the kernel's caches.
struct KernelAllocator;

// SAFETY: `kmalloc` gives disjoint blocks of at least the layout's size, aligned: objects start at multiples
// of their size, and `kmalloc_slab` only takes sizes that are multiples of the alignment.
unsafe impl GlobalAlloc for KernelAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        kmalloc(layout)
    }
    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        // SAFETY: the trait's contract is `kfree`'s.
        unsafe { kfree(object, layout) }
    }
}

#[cfg(feature = "image")]
#[global_allocator]
static ALLOCATOR: KernelAllocator = KernelAllocator;
#[cfg(not(feature = "image"))]
const _: KernelAllocator = KernelAllocator;
