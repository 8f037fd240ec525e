//! The first task: it exists before anything runs, and becomes the boot CPU's idle task.
//!
//! Linux: `init/init_task.c` (v6.8). Kept: the static task with its first values; it is the head of the
//! list of all tasks. Left out: credentials, files, signals. Differs: its stack is set at run time.

use crate::include::linux::mm_types::init_mm;
use crate::include::linux::sched::{PF_KTHREAD, TaskStruct};
use crate::kernel::fork::mmgrab_lazy_tlb;

/// pid 0 of the boot CPU.
#[expect(unsafe_code, reason = "no_mangle: known by name")]
#[unsafe(no_mangle)]
pub static init_task: TaskStruct = TaskStruct::new();

/// What Linux's initialiser sets besides zeroes.
pub fn init_task_early() {
    init_task.flags.set(PF_KTHREAD);
    // It borrows the kernel's own memory map.
    init_task.active_mm.set(Some(&init_mm));
    mmgrab_lazy_tlb(&init_mm);
    crate::include::linux::rcupdate::rcu_copy_process(&init_task);
    init_task
        .usage
        .store(2, core::sync::atomic::Ordering::Relaxed);
    init_task
        .cpus_mask
        .set(crate::include::linux::cpumask::Cpumask::ALL);
    init_task.cpus_ptr.set(Some(&init_task.cpus_mask));
    init_task
        .nr_cpus_allowed
        .set(crate::include::linux::cpumask::NR_CPUS as i32);
    init_task
        .sched_class
        .set(Some(&crate::kernel::sched::fair::fair_sched_class));
    init_task
        .sched_task_group
        .set(Some(&crate::kernel::sched::sched::root_task_group));
    init_task
        .stack
        .set(crate::arch::x86::kernel::process::init_stack_base());
    let mut comm = [0; crate::include::linux::sched::TASK_COMM_LEN];
    comm[..7].copy_from_slice(b"swapper");
    init_task.set_comm(&comm);
}
