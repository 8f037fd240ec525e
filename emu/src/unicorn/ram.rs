//! Guest memory: host pages that Unicorn executes on directly and the host reads directly.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};

use crate::paging::Phys;
use crate::units::PhysAddr;

/// A large host page: the alignment of guest memory.
const HUGE: usize = 2 << 20;

/// A host page.
const PAGE: usize = 4096;

/// Owns guest memory, mapped at physical address 0.
pub(crate) struct Ram {
    view: RamView,
    /// What was allocated: more than the view, which begins at a large page's boundary inside.
    allocation: *mut u8,
    layout: Layout,
}

/// What to do with the pages around guest memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    /// Nobody may touch them.
    Closed,
    /// They are memory as any other.
    Open,
}

/// A copyable window on the same bytes, for the parts that run inside the engine's callbacks.
///
/// Invariant: `base..base + len` stays allocated for as long as any view is used; [`super::Engine`]
/// owns the [`Ram`] and every view lives inside it or is borrowed from it.
#[derive(Clone, Copy)]
pub(crate) struct RamView {
    base: *mut u8,
    len: u64,
}

impl Ram {
    /// `len` zero bytes; `len` is a multiple of the page size and not 0.
    pub(crate) fn new(len: u64) -> Self {
        // Asking for page alignment would make the allocator write all the zeros; without it the
        // host's zero pages are used until the guest writes.
        let layout = Layout::from_size_align(len as usize + 3 * HUGE, 16).expect("validated size");
        // SAFETY: the layout's size is not zero.
        let allocation = unsafe { alloc_zeroed(layout) };
        if allocation.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: two pages and the distance to the next boundary are below 2 HUGE, and 3 HUGE + len
        // bytes are there.
        let base = unsafe {
            let inside = allocation.add(2 * PAGE);
            inside.add(inside.align_offset(HUGE))
        };
        // Large host pages mean fewer host faults: a guest's memory is mostly read once, for the
        // digest. Advice only: nothing depends on whether the host takes it.
        #[cfg(target_os = "linux")]
        // SAFETY: the range is inside the allocation and begins at a page; this advice changes no
        // contents.
        unsafe {
            libc::madvise(base.cast(), len as usize, libc::MADV_HUGEPAGE);
        }
        let ram = Self {
            view: RamView { base, len },
            allocation,
            layout,
        };
        ram.around(Around::Closed);
        ram
    }

    /// Opens or closes the whole pages of the allocation before and after guest memory: an access of
    /// the engine that misses it then ends the process, and does not read or change what is ours.
    /// A host that refuses has no guards.
    fn around(&self, around: Around) {
        #[cfg(target_os = "linux")]
        // SAFETY: both ranges are whole pages inside the allocation that are no part of the view, so
        // no reference to them exists; before the memory is given back they are opened again.
        unsafe {
            let protection = match around {
                Around::Closed => libc::PROT_NONE,
                Around::Open => libc::PROT_READ | libc::PROT_WRITE,
            };
            // The allocator's own words lie before the first of these pages.
            let first = self.allocation.add(PAGE);
            let first = first.add(first.align_offset(PAGE));
            let before = self.view.base.offset_from_unsigned(first);
            libc::mprotect(first.cast(), before, protection);
            let end = self.view.base.add(self.view.len as usize);
            let left = self.layout.size() - end.offset_from_unsigned(self.allocation);
            libc::mprotect(end.cast(), left / PAGE * PAGE, protection);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = around;
    }

    pub(crate) fn view(&self) -> RamView {
        self.view
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        self.around(Around::Open);
        // SAFETY: allocated in `new` with this layout, and freed once.
        unsafe { dealloc(self.allocation, self.layout) }
    }
}

impl RamView {
    /// Bytes of guest memory.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.base
    }

    fn offset(&self, at: PhysAddr, size: usize) -> Option<*mut u8> {
        let end = at.0.checked_add(size as u64)?;
        if end > self.len {
            return None;
        }
        // SAFETY: `at + size` lies inside the allocation (checked above).
        Some(unsafe { self.base.add(at.0 as usize) })
    }

    /// Copies out of guest memory; `None` if any byte is not RAM.
    pub(crate) fn read(&self, at: PhysAddr, into: &mut [u8]) -> Option<()> {
        let from = self.offset(at, into.len())?;
        // SAFETY: `from` has `into.len()` bytes (offset's check); the guest runs on this thread
        // only, so nobody writes meanwhile; host buffers never overlap guest memory.
        unsafe { from.copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) };
        Some(())
    }

    /// Guest memory as it is; `None` if any byte is not RAM. For observers: while one is called, the
    /// guest stands still and the host does not write.
    pub(crate) fn slice(&self, at: PhysAddr, len: usize) -> Option<&[u8]> {
        let from = self.offset(at, len)?;
        // SAFETY: `from` has `len` initialised bytes (offset's check). Nobody writes while the slice
        // lives: it is handed out by `CpuView` only, whose borrow ends before the observer returns to
        // the engine, and the observer itself can only read.
        Some(unsafe { std::slice::from_raw_parts(from, len) })
    }

    /// Copies into guest memory; `None`, and nothing written, if any byte is not RAM.
    pub(crate) fn write(&self, at: PhysAddr, from: &[u8]) -> Option<()> {
        let to = self.offset(at, from.len())?;
        // SAFETY: as in `read`, with the roles exchanged.
        unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Some(())
    }

    /// Hands the whole memory to `f`, for hashing.
    pub(crate) fn with_bytes<T>(&self, f: impl FnOnce(&[u8]) -> T) -> T {
        // SAFETY: the allocation has `len` initialised bytes (zeroed at first), and neither guest
        // nor host writes while `f` runs, since everything is on this thread.
        f(unsafe { std::slice::from_raw_parts(self.base, self.len as usize) })
    }
}

impl Phys for RamView {
    fn load64(&self, at: PhysAddr) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(at, &mut bytes)?;
        Some(u64::from_le_bytes(bytes))
    }

    fn store64(&self, at: PhysAddr, value: u64) -> Option<()> {
        self.write(at, &value.to_le_bytes())
    }
}
