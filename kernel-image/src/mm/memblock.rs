//! Memory before the page allocator: what there is, what is taken, and a bump allocator over the rest.
//!
//! Linux: mm/memblock.c, v6.8. **Kept** the names and the two lists. **Differs** lists of fixed length; an
//! allocation goes bottom-up, into the first GiB (which head_64.S maps).
//! **Locks** none: one CPU, before `mm_core_init`.
#![expect(unsafe_code, reason = "reads physical memory, hands out static memory")]

use crate::arch::x86::include::asm::page_types::__va;
use crate::fence::shared::Shared;
use core::ptr;

/// A stretch of physical memory.
pub struct MemblockRegion {
    /// First byte.
    pub base: Shared<u64>,
    /// Bytes.
    pub size: Shared<u64>,
}

/// A list of stretches.
pub struct MemblockType {
    /// How many are in use.
    pub cnt: Shared<usize>,
    /// The stretches.
    pub regions: [MemblockRegion; MAX_REGIONS],
}

const MAX_REGIONS: usize = 64;
/// Everything below is mapped from the first instruction on.
pub const EARLY_MAPPED: u64 = 1 << 30;

impl MemblockType {
    const fn new() -> Self {
        Self {
            cnt: Shared::new(0),
            regions: [const {
                MemblockRegion {
                    base: Shared::new(0),
                    size: Shared::new(0),
                }
            }; MAX_REGIONS],
        }
    }

    fn add(&self, base: u64, size: u64) {
        let n = self.cnt.get();
        assert!(n < MAX_REGIONS, "memblock: more than {MAX_REGIONS} regions");
        self.regions[n].base.set(base);
        self.regions[n].size.set(size);
        self.cnt.set(n + 1);
    }

    /// The stretches as first byte and end.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.regions[..self.cnt.get()].iter().map(|it| {
            let base = it.base.get();
            (base, base + it.size.get())
        })
    }
}

/// Usable memory.
pub static memory: MemblockType = MemblockType::new();
/// What must not be handed out.
pub static reserved: MemblockType = MemblockType::new();

/// There is memory at `base`.
pub fn memblock_add(base: u64, size: u64) {
    memory.add(base, size);
}

/// The memory at `base` is taken.
pub fn memblock_reserve(base: u64, size: u64) {
    reserved.add(base, size);
}

/// One more than the last usable byte.
pub fn memblock_end_of_DRAM() -> u64 {
    memory.iter().map(|(_, end)| end).max().unwrap_or(0)
}

/// Usable bytes.
pub fn memblock_phys_mem_size() -> u64 {
    memory.iter().map(|(base, end)| end - base).sum()
}

/// The lowest `size` free bytes at a multiple of `align`, in mapped memory.
fn find(size: u64, align: u64) -> Option<u64> {
    for (base, end) in memory.iter() {
        let mut at = base.next_multiple_of(align);
        'again: while at + size <= end && at + size <= EARLY_MAPPED {
            for (from, to) in reserved.iter() {
                if at < to && from < at + size {
                    at = to.next_multiple_of(align);
                    continue 'again;
                }
            }
            return Some(at);
        }
    }
    None
}

/// Takes `size` bytes, zeroed, at a multiple of `align`; panics when there are none.
pub fn memblock_phys_alloc(size: u64, align: u64) -> u64 {
    let Some(at) = find(size, align) else {
        panic!("memblock: no {size:#x} bytes of memory below {EARLY_MAPPED:#x}");
    };
    memblock_reserve(at, size);
    // SAFETY: free memory, mapped in the direct map, now ours.
    unsafe { ptr::write_bytes(__va(at) as *mut u8, 0, size as usize) };
    at
}

/// An array of `n` values for ever.
pub fn memblock_alloc_array<T: Sync>(n: usize, value: impl Fn() -> T) -> &'static [T] {
    let bytes = (n * size_of::<T>()) as u64;
    let at = __va(memblock_phys_alloc(bytes, 4096)) as *mut T;
    for index in 0..n {
        // SAFETY: the memory was just taken and holds `n` values.
        unsafe { at.add(index).write(value()) };
    }
    // SAFETY: all `n` are initialised; the memory is never given back.
    unsafe { core::slice::from_raw_parts(at, n) }
}

/// Bytes at a physical address; zeros outside the memory that is mapped early.
pub fn phys_read<const N: usize>(at: u64) -> [u8; N] {
    if at.saturating_add(N as u64) > EARLY_MAPPED {
        return [0; N];
    }
    // SAFETY: mapped in the direct map; firmware's and loader's memory is plain bytes.
    unsafe { (__va(at) as *const [u8; N]).read_volatile() }
}

/// A little-endian word at a physical address.
pub fn phys_u32(at: u64) -> u32 {
    u32::from_le_bytes(phys_read(at))
}

/// A little-endian double word at a physical address.
pub fn phys_u64(at: u64) -> u64 {
    u64::from_le_bytes(phys_read(at))
}
