//! What exec does to a task. Linux: `fs/exec.c`, `fs/binfmt_elf.c` (v6.8).
//!
//! Kept: the better CPU (`sched_exec`), the new memory map in place of a borrowed one, the name, the flags.
//! Left out: files, the program: the map is empty and the task goes on in the kernel.

use crate::arch::x86::include::asm::current::current;
use crate::include::linux::irqflags::{local_irq_disable, local_irq_enable};
use crate::include::linux::sched::{
    CommBuf, PF_FORKNOEXEC, PF_NO_SETAFFINITY, PF_NOFREEZE, PF_RANDOMIZE, PF_SUPERPRIV,
};
use crate::kernel::fork::{mm_alloc, mmdrop_lazy_tlb, mmput};
use crate::kernel::sched::core::sched_exec;

/// Gives the current task a map of its own; it lets go of the old one, or of the one it borrowed.
fn exec_mmap() {
    let (tsk, mm) = (current(), mm_alloc());
    let old_mm = tsk.mm.get();
    // No switch between the two: it would find a map that is ours and not active.
    local_irq_disable();
    let active_mm = tsk.active_mm.get();
    tsk.active_mm.set(Some(mm));
    tsk.mm.set(Some(mm));
    crate::kernel::sched::core::switch::switch_mm_irqs_off(mm);
    local_irq_enable();
    match (old_mm, active_mm) {
        (Some(old_mm), _) => mmput(old_mm),
        (None, Some(borrowed)) => mmdrop_lazy_tlb(borrowed),
        (None, None) => {}
    }
}

/// The current task becomes another program's.
///
/// # Context
/// May sleep.
pub fn begin_new_exec(name: &str) {
    sched_exec();
    exec_mmap();
    let me = current();
    me.flags
        .and_not(PF_RANDOMIZE | PF_FORKNOEXEC | PF_NOFREEZE | PF_NO_SETAFFINITY);
    me.set_comm(&CommBuf::format(format_args!("{name}")));
    // The loader of ELF files lays the program out at random; and this one has used its privileges before.
    me.flags.or(PF_RANDOMIZE | PF_SUPERPRIV);
}
