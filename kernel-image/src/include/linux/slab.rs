//! Memory for objects.
//!
//! Linux: include/linux/slab.h, v6.8. Rust's `alloc` (`Box`, `Vec`) goes through the same caches.
pub use crate::mm::slub::{KMALLOC_MAX_CACHE_SIZE, kfree, kmalloc};
