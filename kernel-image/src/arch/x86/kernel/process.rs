//! Descriptors and stacks of a CPU, and the stack of a new thread.
//!
//! Linux: arch/x86/kernel/process.c and cpu/common.c (cpu_init), v6.8. **Kept** the names. **Left out** user
//! registers, FPU state, I/O permissions.
#![expect(unsafe_code, reason = "lgdt, ltr; lays out a new thread's stack")]

use crate::arch::x86::include::asm::desc::{
    __KERNEL_DS, DescPtr, GDT_ENTRIES, GDT_ENTRY_TSS, GdtPage, IST_STACKS, Tss,
};
use crate::arch::x86::include::asm::page_types::{PAGE_SIZE, THREAD_SIZE};
use crate::arch::x86::include::asm::switch_to::InactiveTaskFrame;
use crate::fence::percpu::PerCpu;
use crate::fence::void::VoidPtr;
use crate::include::linux::cpumask::NR_CPUS;
use crate::include::linux::errno::ENOMEM;
use crate::include::linux::sched::TaskRef;
use crate::include::linux::sched::task::KernelCloneArgs;
use core::arch::asm;
use core::cell::UnsafeCell;

unsafe extern "C" {
    #[link_name = "init_stack"]
    static init_stack_start: u8;
    static boot_exception_stacks: u8;
    safe fn ret_from_fork_asm();
}

/// Lowest address of the boot CPU's stack; the page below it is a guard.
pub fn init_stack_base() -> u64 {
    (&raw const init_stack_start) as u64
}

/// Guard pages inside the image: below the boot stack and below each of the boot CPU's exception stacks.
pub fn boot_guard_pages() -> impl Iterator<Item = u64> {
    let stacks = (&raw const boot_exception_stacks) as u64;
    let each = (0..IST_STACKS as u64).map(move |n| stacks + n * (PAGE_SIZE + THREAD_SIZE));
    core::iter::once(init_stack_base() - PAGE_SIZE).chain(each)
}

static gdt_page: PerCpu<GdtPage> = PerCpu::new([const { GdtPage::new() }; NR_CPUS]);

#[repr(C, align(128))]
struct CpuTss(UnsafeCell<Tss>);
// SAFETY: written before its CPU loads it, by that CPU or by the one that starts it; then only hardware reads.
unsafe impl Sync for CpuTss {}

static cpu_tss_rw: PerCpu<CpuTss> =
    PerCpu::new([const { CpuTss(UnsafeCell::new(Tss::with_stacks([0; 7]))) }; NR_CPUS]);

/// The boot CPU's descriptors, before anything else; GS already points at its `pcpu_hot`.
pub fn cpu_init_boot() {
    let stacks = (&raw const boot_exception_stacks) as u64;
    let mut ist = [0; 7];
    for (n, top) in ist.iter_mut().take(IST_STACKS).enumerate() {
        *top = stacks + (n as u64 + 1) * (PAGE_SIZE + THREAD_SIZE);
    }
    set_exception_stacks(0, ist);
    cpu_init();
}

/// Gives a CPU that has not started its exception stacks.
///
/// # Returns
/// 0 or `-ENOMEM`.
pub fn prepare_exception_stacks(cpu: u32) -> i32 {
    let mut ist = [0; 7];
    for top in ist.iter_mut().take(IST_STACKS) {
        let Some(stack) = crate::mm::vmalloc::alloc_thread_stack_node() else {
            return -ENOMEM;
        };
        *top = stack + THREAD_SIZE;
    }
    set_exception_stacks(cpu, ist);
    0
}

/// Whether the CPU's exception stacks are there (they stay when a CPU goes down).
pub fn has_exception_stacks(cpu: u32) -> bool {
    // SAFETY: plain read; see `CpuTss`.
    unsafe { (*cpu_tss_rw.per_cpu(cpu).0.get()).ist[0] != 0 }
}

fn set_exception_stacks(cpu: u32, ist: [u64; 7]) {
    // SAFETY: see `CpuTss`.
    unsafe { *cpu_tss_rw.per_cpu(cpu).0.get() = Tss::with_stacks(ist) };
}

/// Loads this CPU's descriptor tables and task register.
pub fn cpu_init() {
    let gdt = gdt_page.this_cpu();
    gdt.fill(cpu_tss_rw.this_cpu().0.get() as u64);
    let descriptor = DescPtr {
        size: (GDT_ENTRIES * 8 - 1) as u16,
        address: core::ptr::from_ref(gdt) as u64,
    };
    // SAFETY: the table has the descriptors that are in use, at the same selectors; the task state segment is
    // filled. GS keeps its base: only a load of the selector would change it.
    unsafe {
        asm!(
            "lgdt [{descriptor}]",
            "mov ss, {data:e}",
            "mov ds, {data:e}",
            "mov es, {data:e}",
            "ltr {tss:x}",
            descriptor = in(reg) &descriptor,
            data = in(reg) u32::from(__KERNEL_DS),
            tss = in(reg) (GDT_ENTRY_TSS * 8) as u16,
            options(nostack, preserves_flags),
        );
    }
}

/// A CPU that is offline stops here; only INIT wakes it. Interrupts are off.
pub fn arch_cpu_idle_dead() -> ! {
    super::smpboot::native_play_dead()
}

/// What a new thread finds at the top of its stack.
#[doc(alias = "fork_frame")]
#[repr(C)]
pub struct ForkFrame {
    frame: InactiveTaskFrame,
    fn_: extern "C" fn(VoidPtr) -> i32,
    arg: VoidPtr,
}

/// Lays out the stack of `p`, so that its first switch-in starts `args.fn_(args.fn_arg)` after
/// `schedule_tail`.
///
/// # Context
/// `p` is new and not yet known to the scheduler; its stack is allocated.
pub fn copy_thread(p: TaskRef, args: &KernelCloneArgs) -> i32 {
    let top = p.stack.get() + THREAD_SIZE;
    // The words above the frame stay zero: the end of the frame chain.
    let frame_at = (top - 64 - size_of::<ForkFrame>() as u64) & !15;
    // `ret` leaves the stack pointer behind ret_addr; it must be 16-byte aligned for the call that follows.
    let sp = frame_at - 8;
    let start = sp as *mut ForkFrame;
    let fn_ = args.r#fn.unwrap_or(no_function);
    // SAFETY: the stack is mapped, belongs to a task that never ran, and holds the frame.
    unsafe {
        start.write(ForkFrame {
            frame: InactiveTaskFrame {
                r15: 0,
                r14: 0,
                r13: 0,
                r12: 0,
                bx: sp,
                bp: 0,
                ret_addr: ret_from_fork_asm as *const () as u64,
            },
            fn_,
            arg: args.fn_arg,
        });
        // The frame lies above the stack pointer after `ret`, out of the new thread's way.
    }
    p.thread.sp.set(sp);
    0
}

/// An idle task's function is its CPU's start-up code; this one is never reached.
extern "C" fn no_function(_: VoidPtr) -> i32 {
    crate::BUG!()
}

/// A new thread's first Rust code: `prev` is the task that ran before it here.
///
/// # Safety
/// Called by `ret_from_fork_asm` alone, with the frame that `copy_thread` wrote.
#[unsafe(no_mangle)]
unsafe extern "C" fn ret_from_fork(prev: TaskRef, frame: *const ForkFrame) -> ! {
    // SAFETY: `copy_thread` wrote it; nothing has run on this stack yet.
    let (fn_, arg) = unsafe { ((*frame).fn_, (*frame).arg) };
    crate::kernel::sched::core::schedule_tail(prev);
    let code = fn_(arg);
    crate::kernel::exit::do_exit(i64::from(code))
}
