//! Object caches by size, and Rust's `alloc` over them.
//!
//! Linux: mm/slub.c, mm/slab_common.c, v6.8. **Kept** the kmalloc sizes, the queue `slub_flushwq`, slabs without an
//! object in use going back (`kmem_cache_shrink`) when memory is low. **Differs** one free list and one lock a
//! size, no per-CPU slabs, so nothing is queued on `slub_flushwq`; Linux frees an empty slab at once if its node
//! has others.
//! **Locks** the cache's lock, interrupts off, then the zone's.
#![expect(unsafe_code, reason = "the allocator")]

use crate::WARN_ON;
use crate::arch::x86::include::asm::page_types::{__pa, __va, PAGE_SIZE};
use crate::fence::shared::Shared;
use crate::include::linux::list::ListHead;
use crate::include::linux::spinlock::RawSpinlock;
use crate::include::linux::workqueue::{WQ_MEM_RECLAIM, WorkqueueStruct, alloc_workqueue};
use crate::mm::page_alloc::{__free_pages, Page, alloc_pages, virt_to_page};
use crate::mm::shrinker::{DEFAULT_SEEKS, Shrinker, shrinker_register};
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
    /// Free objects.
    nr_free: Shared<u64>,
    /// Slabs.
    nr_slabs: Shared<u64>,
}

/// Flushes the slabs of CPUs.
pub static flushwq: Shared<Option<&'static WorkqueueStruct>> = Shared::new(None);

/// The address that a free object holds.
fn get_freepointer(object: u64) -> u64 {
    // SAFETY: a free object of a cache holds the next free object's address; the cache's lock is held.
    unsafe { (object as *const u64).read() }
}

fn set_freepointer(object: u64, next: u64) {
    // SAFETY: the object is free, at least 16 bytes and 8-byte aligned; the cache's lock is held.
    unsafe { (object as *mut u64).write(next) };
}

static kmalloc_caches: [KmemCache; SIZES.len()] = {
    let mut caches = [const {
        KmemCache {
            lock: RawSpinlock::new(),
            size: 0,
            freelist: Shared::new(0),
            nr_free: Shared::new(0),
            nr_slabs: Shared::new(0),
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
            self.freelist.set(get_freepointer(object));
            self.nr_free.dec();
            self.slab_of(object).inuse.inc();
        }
        object as *mut u8
    }

    fn free(&self, object: *mut u8) {
        let _guard = self.lock.lock_irqsave();
        self.slab_of(object as u64).inuse.dec();
        self.put(object as u64);
    }

    /// The first page of an object's slab: slabs are aligned to their size.
    fn slab_of(&self, object: u64) -> &'static Page {
        virt_to_page(object & !(self.bytes() - 1))
    }

    fn put(&self, object: u64) {
        set_freepointer(object, self.freelist.get());
        self.freelist.set(object);
        self.nr_free.inc();
    }

    /// Pages of a slab, as an order: eight objects or more.
    fn order(&self) -> usize {
        (self.size * 8)
            .div_ceil(PAGE_SIZE as usize)
            .next_power_of_two()
            .ilog2() as usize
    }

    /// Bytes of a slab.
    fn bytes(&self) -> u64 {
        PAGE_SIZE << self.order()
    }

    /// Objects of a slab.
    fn objects(&self) -> u64 {
        self.bytes() / self.size as u64
    }

    /// Cuts fresh pages into objects, lowest address first.
    fn new_slab(&self) {
        let Some(pages) = alloc_pages(self.order()) else {
            return;
        };
        let base = __va(pages);
        for index in (0..self.objects()).rev() {
            self.put(base + index * self.size as u64);
        }
        self.nr_slabs.inc();
    }

    /// Gives back up to `limit` slabs that have no object in use; how many (`kmem_cache_shrink`).
    fn shrink(&self, limit: u64) -> u64 {
        if self.nr_free.get() < self.objects() {
            return 0;
        }
        let _guard = self.lock.lock_irqsave();
        let (mut doomed, mut at) = (0, self.freelist.replace(0));
        self.nr_free.set(0);
        while at != 0 {
            let (object, next) = (at, get_freepointer(at));
            at = next;
            let slab = self.slab_of(object);
            let keep = slab.inuse.get() != 0 || (slab.frozen.get() == 0 && doomed == limit);
            if keep {
                self.put(object);
                continue;
            }
            doomed += u64::from(slab.frozen.get() == 0);
            slab.frozen.inc();
            if u64::from(slab.frozen.get()) == self.objects() {
                slab.frozen.set(0);
                self.nr_slabs.dec();
                __free_pages(__pa(object & !(self.bytes() - 1)), self.order());
            }
        }
        doomed
    }
}

/// Pages that all free objects would make: no more than these can be in empty slabs.
fn count_slab_objects() -> u64 {
    kmalloc_caches
        .iter()
        .map(|cache| (cache.nr_free.get() / cache.objects()) << cache.order())
        .sum()
}

/// Gives back empty slabs; in pages.
fn scan_slab_objects(nr: u64) -> u64 {
    let mut freed = 0;
    for cache in &kmalloc_caches {
        if freed >= nr {
            break;
        }
        let slabs = (nr - freed).div_ceil(1 << cache.order());
        freed += cache.shrink(slabs) << cache.order();
    }
    freed
}

static slab_shrinker: Shrinker = Shrinker {
    count_objects: count_slab_objects,
    scan_objects: scan_slab_objects,
    seeks: DEFAULT_SEEKS,
    batch: 128,
    list: ListHead::new(),
};

/// What the caches can only start once there are workqueues.
pub fn kmem_cache_init_late() {
    let wq = alloc_workqueue("slub_flushwq", WQ_MEM_RECLAIM, 0);
    WARN_ON!(wq.is_none());
    flushwq.set(wq);
    shrinker_register(&slab_shrinker);
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
