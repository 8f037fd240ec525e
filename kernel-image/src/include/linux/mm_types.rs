//! Memory maps. Linux: `include/linux/mm_types.h` (v6.8).
//!
//! Kept: who uses a map (`mm_users`) and who only keeps it (`mm_count`), flags. Left out: what it maps: this
//! kernel has no user space yet.

use crate::fence::shared::Shared;
use crate::include::linux::list::ListHead;
use core::sync::atomic::{AtomicI32, AtomicU64};

/// The reaper has been there, or must not come.
pub const MMF_OOM_SKIP: u64 = 1 << 21;
/// The reaper has taken pages away.
pub const MMF_UNSTABLE: u64 = 1 << 22;

/// A memory map.
#[doc(alias = "mm_struct")]
#[repr(C)]
pub struct MmStruct {
    /// Keepers: all users together are one, and each kernel thread that borrows it.
    pub mm_count: AtomicI32,
    /// Tasks whose map it is.
    pub mm_users: AtomicI32,
    /// `MMF_*`.
    pub flags: AtomicU64,
    /// Which map it is, counted from boot.
    pub ctx_id: Shared<u64>,
    /// Place among those that are not in use.
    pub free: ListHead,
}

impl MmStruct {
    /// A map with one user.
    pub const fn new() -> MmStruct {
        MmStruct {
            mm_count: AtomicI32::new(1),
            mm_users: AtomicI32::new(1),
            flags: AtomicU64::new(0),
            ctx_id: Shared::new(0),
            free: ListHead::new(),
        }
    }
}

/// The kernel's own map.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static init_mm: MmStruct = MmStruct {
    mm_count: AtomicI32::new(1),
    mm_users: AtomicI32::new(2),
    flags: AtomicU64::new(0),
    ctx_id: Shared::new(0),
    free: ListHead::new(),
};
