//! The registers of an interrupted context, as entry_64.S pushes them.
//!
//! Linux: arch/x86/include/asm/ptrace.h, v6.8. **Kept** the order and the names.

/// Saved registers.
#[doc(alias = "pt_regs")]
#[derive(Clone, Copy, Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "the fields are the registers")]
pub struct PtRegs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub bp: u64,
    pub bx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub ax: u64,
    pub cx: u64,
    pub dx: u64,
    pub si: u64,
    pub di: u64,
    pub orig_ax: u64,
    pub ip: u64,
    pub cs: u64,
    pub flags: u64,
    pub sp: u64,
    pub ss: u64,
}

const _: () = assert!(size_of::<PtRegs>() == 168, "entry_64.S pushes 21 words");
const _: () = assert!(
    core::mem::offset_of!(PtRegs, ip) == 128,
    "entry_64.S reads ip"
);
