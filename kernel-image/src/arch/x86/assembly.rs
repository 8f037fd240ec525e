//! The assembly files, with the offsets they need taken from the Rust types.
#![expect(unsafe_code, reason = "entry, switch and trampoline are assembly")]

use crate::arch::x86::include::asm::current::PcpuHot;
use crate::arch::x86::include::asm::processor::ThreadStruct;
use crate::include::linux::sched::TaskStruct;
use core::arch::global_asm;
use core::mem::offset_of;

const TASK_threadsp: usize = offset_of!(TaskStruct, thread) + offset_of!(ThreadStruct, sp);
const _: () = assert!(
    size_of::<PcpuHot>() == 64,
    "head_64.S indexes pcpu_hot by shifting"
);

global_asm!(
    include_str!("kernel/head_64.S"),
    TASK_threadsp = const TASK_threadsp,
    PCPU_current = const offset_of!(PcpuHot, current_task),
    options(att_syntax)
);
global_asm!(include_str!("platform/pvh/head.S"), options(att_syntax));
global_asm!(
    include_str!("entry/entry_64.S"),
    TASK_threadsp = const TASK_threadsp,
    options(att_syntax)
);
global_asm!(
    include_str!("realmode/rm/trampoline_64.S"),
    options(att_syntax)
);
global_asm!(include_str!("lib/memcpy_64.S"), options(att_syntax));

/// rustc's prebuilt `core` and `alloc` name it; nothing unwinds, panics abort.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As [`rust_eh_personality`].
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    loop {
        crate::arch::x86::include::asm::irqflags::native_halt();
    }
}
