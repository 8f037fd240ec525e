//! Where Unicorn 2.1.5 keeps the CPU state: byte offsets into its C structures.
//!
//! Segment caches, hidden flags and the error code are not in Unicorn's register API, and a vCPU
//! swap copies the whole state, so this crate reads the structures themselves. The numbers come
//! from `offsetof` on the headers of unicorn-engine-sys 2.1.5 for x86_64 hosts; the version is
//! pinned in `Cargo.toml`, and `super::check` compares them with the register API before the first
//! guest instruction and refuses to run when one is wrong.

/// `struct uc_struct`: pointer to the CPU object.
pub(super) const UC_CPU: usize = 440;
/// `CPUState`: pointer to the architecture's state.
pub(super) const CPU_ENV_PTR: usize = 296;
/// `X86CPU`: the architecture's state itself, which `CPU_ENV_PTR` must point at.
pub(super) const X86CPU_ENV: usize = 35408;

pub(super) const REGS: usize = 0;
pub(super) const EIP: usize = 128;
pub(super) const EFLAGS: usize = 136;
pub(super) const CC_OP: usize = 168;
pub(super) const HFLAGS: usize = 176;
pub(super) const SEGS: usize = 184;
pub(super) const SEGMENT_SIZE: usize = 24;
pub(super) const SEGMENT_BASE: usize = 8;
pub(super) const SEGMENT_LIMIT: usize = 16;
pub(super) const SEGMENT_FLAGS: usize = 20;
pub(super) const LDT: usize = 328;
pub(super) const TR: usize = 352;
pub(super) const GDT: usize = 376;
pub(super) const IDT: usize = 400;
pub(super) const CR: usize = 424;
pub(super) const EFER: usize = 592;
pub(super) const FPUC: usize = 610;
pub(super) const MXCSR: usize = 816;
pub(super) const XMM: usize = 824;
pub(super) const STAR: usize = 4824;
pub(super) const LSTAR: usize = 4840;
pub(super) const CSTAR: usize = 4848;
pub(super) const FMASK: usize = 4856;
pub(super) const KERNEL_GS_BASE: usize = 4864;
pub(super) const TSC_AUX: usize = 4896;
pub(super) const ERROR_CODE: usize = 5384;
pub(super) const EXCEPTION_IS_INT: usize = 5388;
pub(super) const OLD_EXCEPTION: usize = 5496;
/// Debug register 7.
pub(super) const DR7: usize = 5456;
/// Host addresses among the state: the engine's own records of the guest's breakpoints, and where a
/// helper was called from. No snapshot holds them.
pub(super) const HOST_ADDRESSES: [std::ops::Range<usize>; 2] = [5464..5496, 5560..5568];
/// `end_reset_fields`: what belongs to one CPU ends here, and `uc_context` holds just as much.
pub(super) const STATE_SIZE: usize = 5568;
/// `struct hook`, Unicorn's own record behind a hook's handle: the range of addresses it is for.
pub(super) const HOOK_BEGIN: usize = 24;
pub(super) const HOOK_END: usize = 32;
/// `sizeof(struct uc_context)`, the header before a context's data.
pub(super) const CONTEXT_HEADER: usize = 40;

/// The parts of the state that the guest can see and that do not depend on how its code was cut
/// into blocks: not the lazy flags (`EFLAGS..HFLAGS`), not the translator's temporaries and
/// exception notes. RFLAGS is added by hand.
pub(super) const ARCHITECTURAL: [std::ops::Range<usize>; 4] =
    [REGS..EFLAGS, SEGS..CR + 9 * 8, EFER..EFER + 8, 4800..4872];

/// x87 state: stack top, status, control and tags; then the eight registers.
pub(super) const X87: std::ops::Range<usize> = 604..620;
pub(super) const X87_REGISTERS: std::ops::Range<usize> = 624..624 + 8 * 16;

/// Parts of the state that no guest of this machine can change: the upper halves of vector
/// registers (no AVX in CPUID) and registers 16 to 31. A swap leaves them out.
pub(super) const UNUSED: std::ops::Range<usize> = XMM + 16 * 64..4800;
