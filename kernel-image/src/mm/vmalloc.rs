//! Mapped stacks with a guard below each.
//!
//! Linux: mm/vmalloc.c and kernel/fork.c (alloc_thread_stack_node) with CONFIG_VMAP_STACK, v6.8.
//! **Differs** the area holds stacks only: slot n is 16 KiB of nothing and 16 KiB of stack. A stack is never
//! unmapped; whoever retires a thread keeps its stack for the next one.
//! **Locks** `vmap_area_lock`, then the zone's.
use crate::arch::x86::include::asm::page_types::{
    __PAGE_KERNEL, PAGE_SIZE, THREAD_SIZE, VMALLOC_START,
};
use crate::fence::shared::Shared;
use crate::include::linux::spinlock::RawSpinlock;
use crate::mm::page_alloc::get_zeroed_page;

const SLOT: u64 = 2 * THREAD_SIZE;
static vmap_area_lock: RawSpinlock = RawSpinlock::new();
static nr_stacks: Shared<u64> = Shared::new(0);

/// Maps a new stack.
///
/// # Returns
/// Its lowest usable address; `THREAD_SIZE` bytes follow, and below is unmapped.
pub fn alloc_thread_stack_node() -> Option<u64> {
    let _guard = vmap_area_lock.lock_irqsave();
    let stack = VMALLOC_START + nr_stacks.get() * SLOT + THREAD_SIZE;
    for offset in (0..THREAD_SIZE).step_by(PAGE_SIZE as usize) {
        let page = get_zeroed_page()?;
        crate::mm::init::map_kernel_page(stack + offset, page, __PAGE_KERNEL)?;
    }
    nr_stacks.inc();
    Some(stack)
}

/// Whether `address` lies in a mapped stack.
pub fn is_mapped(address: u64) -> bool {
    let offset = address.wrapping_sub(VMALLOC_START);
    offset < nr_stacks.get() * SLOT && offset % SLOT >= THREAD_SIZE
}

/// Whether `address` lies in the guard below a stack.
pub fn is_guard_page(address: u64) -> bool {
    let offset = address.wrapping_sub(VMALLOC_START);
    let in_area = offset < nr_stacks.get() * SLOT && offset % SLOT < THREAD_SIZE;
    in_area
        || crate::arch::x86::kernel::process::boot_guard_pages()
            .any(|page| (page..page + PAGE_SIZE).contains(&address))
}
