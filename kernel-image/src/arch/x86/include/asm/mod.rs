//! arch/x86/include/asm: one small module a register family; nothing here knows the kernel above.
pub mod apicdef;
pub mod current;
pub mod desc;
pub mod fixmap;
pub mod io;
pub mod irq_vectors;
pub mod irqflags;
pub mod msr;
pub mod page_types;
pub mod preempt;
pub mod processor;
pub mod ptrace;
pub mod smp;
pub mod switch_to;
pub mod thread_info;
