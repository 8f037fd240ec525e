//! mm: boot memory, pages, object caches, mapped stacks; the threads that keep memory free.
#![expect(unsafe_code, reason = "addresses of the linker script's symbols")]
pub mod backing_dev;
pub mod compaction;
pub mod init;
pub mod memblock;
pub mod oom_kill;
pub mod page_alloc;
pub mod shrinker;
pub mod slub;
pub mod vmalloc;
pub mod vmscan;
pub mod vmstat;

/// First and last physical byte of the image.
pub fn memblock_image() -> (u64, u64) {
    use crate::arch::x86::include::asm::page_types::__pa;
    unsafe extern "C" {
        static _text: u8;
        static _end: u8;
    }
    (
        __pa((&raw const _text) as u64),
        __pa((&raw const _end) as u64),
    )
}
