//! Finds the CPU state inside the engine and proves that [`super::layout`] describes it.
//!
//! Every offset that Unicorn's register API also reaches is compared with it, both ways; the state
//! as a whole is compared with what `uc_context_save` copies. A difference means that the linked
//! Unicorn is not the one the numbers were taken from, and no guest runs.

use std::ffi::c_void;
use std::ptr::null_mut;

use ffi::RegisterX86 as R;
use unicorn_engine_sys as ffi;

use super::layout as at;
use crate::error::{Error, ErrorKind};

fn wrong(what: &str) -> Error {
    let message = format!("Unicorn's CPU state is not laid out as version 2.1.5 has it: {what}");
    Error::new(ErrorKind::Engine, message)
}

/// The CPU state of a freshly opened engine, all offsets verified.
pub(super) fn locate(uc: *mut ffi::uc_engine) -> Result<*mut u8, Error> {
    // SAFETY: plain queries on a live engine.
    let (version, size) = unsafe {
        (
            ffi::uc_version(null_mut(), null_mut()),
            ffi::uc_context_size(uc),
        )
    };
    // The C library in the crate calls itself 2.1.4 with the extra number 255.
    if version != 0x0201_04ff {
        return Err(wrong(&format!("version {version:#x}")));
    }
    if size != at::CONTEXT_HEADER + at::STATE_SIZE {
        return Err(wrong(&format!("context of {size} bytes")));
    }
    // SAFETY: version and state size are those the offsets were taken from, so these two pointers
    // are where the headers say; both are checked before use.
    let env = unsafe {
        let cpu: *mut u8 = uc.cast::<u8>().add(at::UC_CPU).cast::<*mut u8>().read();
        if cpu.is_null() || !cpu.addr().is_multiple_of(8) {
            return Err(wrong("no CPU object"));
        }
        let env: *mut u8 = cpu.add(at::CPU_ENV_PTR).cast::<*mut u8>().read();
        if env.addr() != cpu.addr() + at::X86CPU_ENV {
            return Err(wrong("the CPU state is not inside the CPU object"));
        }
        env
    };
    same_as_context(uc, env)?;
    registers(uc, env)?;
    msrs(uc, env)?;
    Ok(env)
}

/// A guest of 12 bytes: `mov eax, 0x58; mov ds, eax; int 0x21; hlt`. The first faults with an error
/// code, since there is no descriptor table; the second is a software interrupt.
const PROBE: [u8; 10] = [0xb8, 0x58, 0, 0, 0, 0x8e, 0xd8, 0xcd, 0x21, 0xf4];

/// What [`exceptions`]' guest raised: vector, error code, "is software", old exception.
type Seen = Vec<(u32, u32, u32, i32)>;

unsafe extern "C" fn on_exception(uc: *mut ffi::uc_engine, vector: u32, user: *mut c_void) {
    // SAFETY: `user` is the pair of `exceptions`, alive during its run; the offsets are inside the
    // state.
    unsafe {
        let (env, seen) = &mut *user.cast::<(*mut u8, Seen)>();
        let word = |offset: usize| env.add(offset).cast::<u32>().read_unaligned();
        let old = word(at::OLD_EXCEPTION) as i32;
        seen.push((
            vector,
            word(at::ERROR_CODE),
            word(at::EXCEPTION_IS_INT),
            old,
        ));
        // Past the faulting instruction; the other one is past itself already.
        if vector == 13 {
            let rip = env.add(at::EIP).cast::<u64>();
            rip.write_unaligned(rip.read_unaligned() + 2);
        }
        let _ = uc;
    }
}

/// Proves the exception fields, which no API reaches, by raising two exceptions in an engine made
/// for that.
pub(super) fn exceptions() -> Result<(), Error> {
    let mut uc = null_mut();
    let mut handle: ffi::uc_hook = 0;
    let mut pair: (*mut u8, Seen) = (null_mut(), Vec::new());
    // SAFETY: an engine of our own with one page of its own memory; the callback's data outlives
    // the run; everything is closed at the end.
    let ran = unsafe {
        if ffi::uc_open(ffi::Arch::X86, ffi::Mode::MODE_64, &mut uc) != ffi::uc_error::OK {
            return Err(wrong("no engine"));
        }
        let located = locate(uc);
        let mut ran = false;
        if let Ok(env) = &located {
            pair.0 = *env;
            let user = (&raw mut pair).cast::<c_void>();
            let callback = on_exception as *const () as usize;
            let callback = std::ptr::with_exposed_provenance_mut(callback);
            let kind = ffi::HookType::INTR.0 as i32;
            ran = ffi::uc_mem_map(uc, 0x1000, 0x1000, 7) == ffi::uc_error::OK
                && ffi::uc_mem_write(uc, 0x1000, PROBE.as_ptr().cast(), PROBE.len() as u64)
                    == ffi::uc_error::OK
                && ffi::uc_hook_add(uc, &mut handle, kind, callback, user, 1, 0)
                    == ffi::uc_error::OK
                && ffi::uc_emu_start(uc, 0x1000, 0, 0, 0) == ffi::uc_error::OK;
        }
        ffi::uc_close(uc);
        located?;
        ran
    };
    if !ran || pair.1 != [(13, 0x58, 0, 13), (0x21, 0, 1, 13)] {
        return Err(wrong(&format!("exceptions report {:x?}", pair.1)));
    }
    Ok(())
}

/// The bytes at `env` are those a context holds.
fn same_as_context(uc: *mut ffi::uc_engine, env: *mut u8) -> Result<(), Error> {
    let mut context = null_mut();
    // SAFETY: a context is allocated with the size checked above, filled, compared and freed.
    unsafe {
        if ffi::uc_context_alloc(uc, &mut context) != ffi::uc_error::OK {
            return Err(wrong("no context"));
        }
        let saved = ffi::uc_context_save(uc, context);
        let data = context.cast::<u8>().add(at::CONTEXT_HEADER);
        let a = std::slice::from_raw_parts(data, at::STATE_SIZE);
        let b = std::slice::from_raw_parts(env, at::STATE_SIZE);
        let same = saved == ffi::uc_error::OK && a == b;
        ffi::uc_context_free(context);
        if !same {
            return Err(wrong("a context holds other bytes"));
        }
    }
    Ok(())
}

/// Writes a pattern at an offset, and checks that the register API reads it.
fn probe(
    uc: *mut ffi::uc_engine,
    env: *mut u8,
    reg: R,
    offset: usize,
    pattern: u64,
) -> Result<(), Error> {
    let mut seen = 0u64;
    // SAFETY: the offset is inside the state; the engine is not running; the old value returns.
    unsafe {
        let field = env.add(offset).cast::<u64>();
        let old = field.read_unaligned();
        field.write_unaligned(pattern);
        ffi::uc_reg_read(uc, reg as i32, (&raw mut seen).cast::<c_void>());
        field.write_unaligned(old);
    }
    if seen != pattern {
        return Err(wrong(&format!(
            "{reg:?} reads {seen:#x}, {pattern:#x} was stored"
        )));
    }
    Ok(())
}

fn registers(uc: *mut ffi::uc_engine, env: *mut u8) -> Result<(), Error> {
    let gprs = [
        R::RAX,
        R::RCX,
        R::RDX,
        R::RBX,
        R::RSP,
        R::RBP,
        R::RSI,
        R::RDI,
        R::R8,
        R::R9,
        R::R10,
        R::R11,
        R::R12,
        R::R13,
        R::R14,
        R::R15,
    ];
    let pattern = 0x1234_5678_9abc_def0u64;
    for (i, reg) in gprs.into_iter().enumerate() {
        probe(uc, env, reg, at::REGS + 8 * i, pattern + i as u64)?;
    }
    probe(uc, env, R::RIP, at::EIP, pattern)?;
    probe(uc, env, R::DR7, at::DR7, 0x402)?;
    for (reg, n) in [(R::CR0, 0), (R::CR2, 2), (R::CR3, 3), (R::CR4, 4)] {
        probe(uc, env, reg, at::CR + 8 * n, 0x5555_1000 + n as u64)?;
    }
    for (reg, n) in [(R::FS_BASE, 4), (R::GS_BASE, 5)] {
        probe(
            uc,
            env,
            reg,
            at::SEGS + at::SEGMENT_SIZE * n + at::SEGMENT_BASE,
            pattern,
        )?;
    }
    flags_and_tables(uc, env)
}

/// IF by the flags' offset, hidden flags by their reset value, tables by Unicorn's `uc_x86_mmr`.
fn flags_and_tables(uc: *mut ffi::uc_engine, env: *mut u8) -> Result<(), Error> {
    let mut seen = 0u64;
    // SAFETY: as in `probe`.
    let hflags = unsafe {
        let field = env.add(at::EFLAGS).cast::<u64>();
        let old = field.read_unaligned();
        field.write_unaligned(old | 1 << 9);
        ffi::uc_reg_read(uc, R::RFLAGS as i32, (&raw mut seen).cast::<c_void>());
        field.write_unaligned(old);
        env.add(at::HFLAGS).cast::<u32>().read_unaligned()
    };
    lazy_flags(uc, env)?;
    if seen & 1 << 9 == 0 {
        return Err(wrong("the interrupt flag is elsewhere"));
    }
    let long = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 14 | 1 << 15;
    if hflags & (long | 0xf) != long {
        return Err(wrong(&format!("hidden flags {hflags:#x} after reset")));
    }
    for (reg, offset) in [
        (R::LDTR, at::LDT),
        (R::TR, at::TR),
        (R::GDTR, at::GDT),
        (R::IDTR, at::IDT),
    ] {
        let mut mmr = ffi::uc_x86_mmr {
            selector: 0,
            base: 0,
            limit: 0,
            flags: 0,
        };
        let (base, limit) = (0xffff_8000_1234_5000u64, 0x6789u32);
        // SAFETY: the segment structure is inside the state; old bytes return.
        unsafe {
            let segment = env.add(offset).cast::<[u8; at::SEGMENT_SIZE]>();
            let old = segment.read_unaligned();
            env.add(offset + at::SEGMENT_BASE)
                .cast::<u64>()
                .write_unaligned(base);
            env.add(offset + at::SEGMENT_LIMIT)
                .cast::<u32>()
                .write_unaligned(limit);
            ffi::uc_reg_read(uc, reg as i32, (&raw mut mmr).cast::<c_void>());
            segment.write_unaligned(old);
        }
        if (mmr.base, mmr.limit) != (base, limit) {
            return Err(wrong(&format!(
                "{reg:?} reads {:#x}+{:#x}",
                mmr.base, mmr.limit
            )));
        }
    }
    let mut mxcsr = 0u32;
    // SAFETY: as in `probe`.
    unsafe {
        let field = env.add(at::MXCSR).cast::<u32>();
        let old = field.read_unaligned();
        field.write_unaligned(0x1f80);
        ffi::uc_reg_read(uc, R::MXCSR as i32, (&raw mut mxcsr).cast::<c_void>());
        field.write_unaligned(old);
    }
    if mxcsr != 0x1f80 {
        return Err(wrong("MXCSR is elsewhere"));
    }
    Ok(())
}

/// Writing RFLAGS through the API leaves them computed: the lazy operation is 1.
fn lazy_flags(uc: *mut ffi::uc_engine, env: *mut u8) -> Result<(), Error> {
    // SAFETY: as in `probe`.
    let seen = unsafe {
        let field = env.add(at::CC_OP).cast::<u32>();
        field.write_unaligned(0x7fff);
        let flags = 2u64;
        ffi::uc_reg_write(uc, R::RFLAGS as i32, (&raw const flags).cast::<c_void>());
        field.read_unaligned()
    };
    if seen != 1 {
        return Err(wrong(&format!("the lazy flags' operation reads {seen:#x}")));
    }
    Ok(())
}

/// Model-specific registers, by number.
fn msrs(uc: *mut ffi::uc_engine, env: *mut u8) -> Result<(), Error> {
    let fields = [
        (0xc000_0080u32, at::EFER, 0xd01),
        (0xc000_0081, at::STAR, 0x0023_0010_0000_0000),
        (0xc000_0082, at::LSTAR, 0xffff_ffff_8100_1000),
        (0xc000_0083, at::CSTAR, 0xffff_ffff_8100_2000),
        (0xc000_0084, at::FMASK, 0x4_7700),
        (0xc000_0102, at::KERNEL_GS_BASE, 0xffff_8880_0000_1000u64),
        (0xc000_0103, at::TSC_AUX, 3),
    ];
    for (number, offset, pattern) in fields {
        let mut msr = ffi::uc_x86_msr {
            rid: number,
            value: 0,
        };
        // SAFETY: as in `probe`; the MSR pseudo-register takes this structure.
        unsafe {
            let field = env.add(offset).cast::<u64>();
            let old = field.read_unaligned();
            field.write_unaligned(pattern);
            ffi::uc_reg_read(uc, R::MSR as i32, (&raw mut msr).cast::<c_void>());
            field.write_unaligned(old);
        }
        if msr.value != pattern {
            return Err(wrong(&format!("MSR {number:#x} reads {:#x}", msr.value)));
        }
    }
    Ok(())
}

/// Unicorn's record of a hook, given the range it was added with.
pub(super) fn hook_record(handle: ffi::uc_hook, begin: u64, end: u64) -> Result<*mut u8, Error> {
    let record: *mut u8 = std::ptr::with_exposed_provenance_mut(handle);
    // SAFETY: in version 2.1.5, which `locate` checked, the handle is the address of the record,
    // and the record is longer than these two fields.
    let range = unsafe {
        let field = |offset: usize| record.add(offset).cast::<u64>().read();
        (field(at::HOOK_BEGIN), field(at::HOOK_END))
    };
    if range != (begin, end) {
        return Err(wrong(&format!(
            "a hook's range reads {:#x} to {:#x}",
            range.0, range.1
        )));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine with its CPU state located, closed at the end.
    fn with_engine(test: impl FnOnce(*mut ffi::uc_engine, *mut u8)) {
        let mut uc = null_mut();
        // SAFETY: opened, used by this thread only, and closed.
        unsafe {
            let status = ffi::uc_open(ffi::Arch::X86, ffi::Mode::MODE_64, &mut uc);
            assert_eq!(status, ffi::uc_error::OK);
            test(uc, locate(uc).expect("the layout holds"));
            ffi::uc_close(uc);
        }
    }

    #[test]
    fn the_linked_engine_is_the_one_the_numbers_are_from() {
        with_engine(|_, _| {});
        exceptions().expect("the exception fields hold");
    }

    #[test]
    fn a_wrong_offset_is_refused() {
        with_engine(|uc, env| {
            assert!(probe(uc, env, R::RAX, at::REGS, 7).is_ok());
            let error = probe(uc, env, R::RAX, at::REGS + 8, 7).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Engine);
            assert!(error.message().contains("RAX"), "{error}");
            assert!(probe(uc, env, R::GS_BASE, at::SEGS, 7).is_err());
            // The state moved by one register: no context holds the same bytes.
            // SAFETY: 8 bytes past the state are still inside the CPU object.
            let moved = unsafe { env.add(8) };
            assert!(same_as_context(uc, moved).is_err());
        });
    }

    #[test]
    fn a_hook_record_with_another_range_is_refused() {
        let fields = [0u64, 0, 0, 5, 6, 0];
        let handle = (&raw const fields).expose_provenance();
        assert!(hook_record(handle, 5, 6).is_ok());
        assert!(hook_record(handle, 5, 7).is_err());
    }
}
