//! The translation engine: one Unicorn instance, its callbacks, and the way in and out of it.
//!
//! Callbacks arrive on the thread that called [`Engine::run`], in the middle of translated code.
//! Each one finds its handler through a [`Slot`] and returns a [`Flow`]; nothing unwinds through C
//! frames (a panic in an `extern "C"` function aborts).

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use unicorn_engine_sys as ffi;

use super::check;
use super::cpu::{Cpu, CpuState};
use super::layout as at;
use super::ram::Ram;
use crate::error::{Error, ErrorKind};
use crate::observe::Observer;
use crate::units::{PhysAddr, VirtAddr};

/// What a callback wants to happen next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flow {
    /// Go on.
    Continue,
    /// Leave [`Engine::run`] before the next instruction.
    Stop,
}

/// What the engine tells while it runs. Addresses of code are linear addresses.
pub(crate) trait Handler {
    /// A block is about to run. On `Stop` it does not, and this is called again for it on resume.
    fn block(&mut self, observer: &mut dyn Observer, cpu: &Cpu, pc: u64, size: u32) -> Flow;
    /// An instruction with a site on it is about to run.
    fn site(&mut self, observer: &mut dyn Observer, cpu: &Cpu, pc: u64) -> Flow;
    /// An exception or software interrupt was raised; the handler delivers it.
    fn interrupt(&mut self, observer: &mut dyn Observer, cpu: &Cpu, vector: u32) -> Flow;
    /// A block was translated, perhaps not for the first time; with hooks if they were asked for.
    fn translated(&mut self, pc: u64, size: u16, insns: u16, hooked: bool);
    /// `IN`.
    fn port_in(&mut self, cpu: &Cpu, port: u16, size: u32) -> u32;
    /// `OUT`.
    fn port_out(&mut self, obs: &mut dyn Observer, cpu: &Cpu, port: u16, size: u32, v: u32)
    -> Flow;
    /// `CPUID`: sets the registers itself.
    fn cpuid(&mut self, cpu: &Cpu);
    /// `RDTSC`, and `RDTSCP` when `aux`: sets the registers itself.
    fn rdtsc(&mut self, cpu: &Cpu, aux: bool);
    /// `SYSCALL`: sets the registers itself; the engine then adds the instruction's 2 bytes.
    fn syscall(&mut self, cpu: &Cpu);
}

/// Why [`Engine::run`] returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// A callback said [`Flow::Stop`].
    Stopped,
    /// The guest executed HLT.
    Halted,
    /// An access hit no memory: a device. The instruction has not executed.
    Unmapped,
    /// RIP leads to no memory.
    NoCode,
    /// Something this crate did not expect, in Unicorn's words.
    Failed(&'static str),
}

/// What the callbacks find at their user pointer.
struct Slot<H> {
    /// Null outside [`Engine::run`].
    handler: *mut H,
    observer: Option<*mut (dyn Observer + 'static)>,
    cpu: Cpu,
    stop: bool,
    /// Unicorn's record of the hook on instructions; null until it is there.
    site_hook: *mut u8,
    /// The range of that hook is not empty.
    armed: bool,
    /// It never will be again.
    everything: bool,
}

/// A range of one address at which no instruction can be: it is not canonical.
const NOWHERE: u64 = 1 << 63;

impl<H> Slot<H> {
    /// Changes the addresses for which instructions get a call when they are translated.
    ///
    /// # Safety
    /// `site_hook` is the record of a live hook, checked by `check::hook_record`.
    unsafe fn set_range(&mut self, begin: u64, end: u64) {
        // SAFETY: the caller's contract; Unicorn reads these two fields when it translates, which
        // it does on this thread, between callbacks.
        unsafe {
            self.site_hook
                .add(at::HOOK_BEGIN)
                .cast::<u64>()
                .write(begin);
            self.site_hook.add(at::HOOK_END).cast::<u64>().write(end);
        }
        self.armed = begin != NOWHERE;
    }
}

/// One Unicorn instance for all vCPUs.
pub(crate) struct Engine<H: Handler> {
    uc: *mut ffi::uc_engine,
    /// Never moves: Unicorn keeps its address. A raw pointer, since callbacks and `run` use it in
    /// turns.
    slot: *mut Slot<H>,
    ram: Ram,
}

const TB_REMOVE_CACHE: ffi::ControlType = control(9, 2);
const TB_FLUSH: ffi::ControlType = control(10, 0);
const TLB_FLUSH: ffi::ControlType = control(11, 0);

/// Unicorn's `UC_CTL_WRITE`.
const fn control(kind: u32, args: u32) -> ffi::ControlType {
    ffi::ControlType(kind | args << 26 | 1 << 30)
}

impl<H: Handler> Engine<H> {
    /// An engine with `ram_bytes` of memory at address 0, its CPU in 64-bit reset state, checked
    /// against [`super::layout`].
    pub(crate) fn new(ram_bytes: u64) -> Result<Self, Error> {
        check::exceptions()?;
        let mut uc = null_mut();
        // SAFETY: `uc` is a valid place for the handle.
        let status = unsafe { ffi::uc_open(ffi::Arch::X86, ffi::Mode::MODE_64, &mut uc) };
        ok(status, "open the engine")?;
        let ram = Ram::new(ram_bytes);
        let env = match check::locate(uc) {
            Ok(env) => env,
            Err(e) => {
                // SAFETY: opened above, and not used afterwards.
                unsafe { ffi::uc_close(uc) };
                return Err(e);
            }
        };
        let cpu = Cpu {
            uc,
            env,
            ram: ram.view(),
        };
        let slot = Box::into_raw(Box::new(Slot::<H> {
            handler: null_mut(),
            observer: None,
            cpu,
            stop: false,
            site_hook: null_mut(),
            armed: false,
            everything: false,
        }));
        let mut engine = Self { uc, slot, ram };
        let base = engine.ram.view().base().cast();
        // SAFETY: the memory is page-aligned, `ram_bytes` long, and outlives the engine: `Drop`
        // closes the engine first.
        let status = unsafe { ffi::uc_mem_map_ptr(uc, 0, ram_bytes, 7, base) };
        ok(status, "map guest memory")?;
        engine.run_first_block()?;
        engine.add_hooks()?;
        Ok(engine)
    }

    /// Executes a HLT, before there are hooks: Unicorn reports no translation until a block has
    /// run.
    fn run_first_block(&mut self) -> Result<(), Error> {
        const PLACE: u64 = 0x1000;
        let halt = |byte: u8| self.ram.view().write(PhysAddr(PLACE), &[byte]);
        let fresh = self.cpu().snapshot();
        halt(0xf4).expect("memory begins at 0");
        // SAFETY: the engine is live and has no callbacks yet.
        let status = unsafe { ffi::uc_emu_start(self.uc, PLACE, 0, 0, 0) };
        halt(0).expect("memory begins at 0");
        self.cpu().load_state(&fresh);
        self.forget_all();
        ok(status, "execute a HLT")
    }

    fn add_hooks(&self) -> Result<(), Error> {
        use ffi::{HookType as T, X86Insn as I};
        self.hook(T::BLOCK, on_block::<H> as *const () as usize, 1, 0, 0)?;
        self.hook(T::INTR, on_interrupt::<H> as *const () as usize, 1, 0, 0)?;
        self.hook(
            T::INSN_INVALID,
            on_invalid::<H> as *const () as usize,
            1,
            0,
            0,
        )?;
        self.hook(
            T::EDGE_GENERATED,
            on_translated::<H> as *const () as usize,
            1,
            0,
            0,
        )?;
        let insns = [
            (I::IN, on_in::<H> as *const () as usize),
            (I::OUT, on_out::<H> as *const () as usize),
            (I::CPUID, on_cpuid::<H> as *const () as usize),
            (I::RDTSC, on_rdtsc::<H> as *const () as usize),
            (I::RDTSCP, on_rdtscp::<H> as *const () as usize),
            (I::SYSCALL, on_syscall::<H> as *const () as usize),
        ];
        for (insn, callback) in insns {
            self.hook(T::INSN, callback, 1, 0, insn as c_int)?;
        }
        let site = on_site::<H> as *const () as usize;
        let handle = self.hook(T::CODE, site, NOWHERE, NOWHERE + 1, 0)?;
        let record = check::hook_record(handle, NOWHERE, NOWHERE + 1)?;
        // SAFETY: `slot` is live and nobody else uses it; the record was checked.
        unsafe {
            (*self.slot).site_hook = record;
            (*self.slot).set_range(NOWHERE, NOWHERE);
        }
        Ok(())
    }

    fn hook(
        &self,
        kind: ffi::HookType,
        callback: usize,
        begin: u64,
        end: u64,
        insn: c_int,
    ) -> Result<ffi::uc_hook, Error> {
        let mut handle: ffi::uc_hook = 0;
        // SAFETY: the callback has the signature Unicorn documents for `kind` (and `insn`), and
        // `slot` lives until the engine is closed.
        let status = unsafe {
            ffi::uc_hook_add(
                self.uc,
                &mut handle,
                kind.0 as c_int,
                std::ptr::with_exposed_provenance_mut(callback),
                self.slot.cast(),
                begin,
                end,
                insn,
            )
        };
        ok(status, "add a hook").map(|()| handle)
    }

    /// Puts a call of [`Handler::site`] on the instructions from `first` to `last` in the next
    /// block that is translated, and on none after that.
    ///
    /// Unicorn walks a list of all hooks whenever one of several is hit. With a single one it calls
    /// the function directly, without looking at its range: so there is one, whose range is set for
    /// a translation and emptied after it.
    pub(crate) fn hook_next_translation(&mut self, first: VirtAddr, last: VirtAddr) {
        self.set_site_range(first.0, last.0);
    }

    /// Calls [`Handler::site`] for every instruction translated from now on.
    pub(crate) fn hook_everything(&mut self) {
        self.set_site_range(1, 0);
        // SAFETY: `slot` is live, and the engine is not running.
        unsafe { (*self.slot).everything = true };
    }

    fn set_site_range(&mut self, begin: u64, end: u64) {
        // SAFETY: `slot` is live, and the engine is not running.
        unsafe { (*self.slot).set_range(begin, end) };
    }

    /// Forgets the translations that touch `pc`, which must be mapped for the loaded vCPU.
    pub(crate) fn forget_at(&mut self, pc: VirtAddr) {
        // SAFETY: the engine is live and not running (`&mut self`); two 64-bit arguments, as this
        // control takes.
        unsafe { ffi::uc_ctl(self.uc, TB_REMOVE_CACHE, pc.0, pc.0.wrapping_add(1)) };
    }

    /// Forgets every translation.
    pub(crate) fn forget_all(&mut self) {
        // SAFETY: the engine is live and not running; this control takes no argument.
        unsafe { ffi::uc_ctl(self.uc, TB_FLUSH) };
    }

    /// Forgets every cached address translation.
    pub(crate) fn flush_tlb(&mut self) {
        // SAFETY: as in `forget_all`.
        unsafe { ffi::uc_ctl(self.uc, TLB_FLUSH) };
    }

    /// The loaded vCPU.
    pub(crate) fn cpu(&self) -> &Cpu {
        // SAFETY: `slot` lives as long as `self`; callbacks, the only others that touch it, run
        // only inside `run`, which borrows `self` mutably.
        unsafe { &(*self.slot).cpu }
    }

    /// Lends the engine's CPU to the state of another vCPU, for reading.
    pub(crate) fn with_state<T>(&self, state: &CpuState, f: impl FnOnce(&Cpu) -> T) -> T {
        let cpu = self.cpu();
        let own = cpu.snapshot();
        cpu.load_state(state);
        let result = f(cpu);
        cpu.load_state(&own);
        result
    }

    /// Runs the loaded vCPU until a callback stops it, it halts, or it touches a device.
    pub(crate) fn run(&mut self, handler: &mut H, observer: &mut dyn Observer) -> Exit {
        let observer: *mut (dyn Observer + '_) = observer;
        // SAFETY: only the lifetime in the type changes; the pointer is forgotten again below,
        // before the borrow ends.
        let observer: *mut (dyn Observer + 'static) = unsafe { std::mem::transmute(observer) };
        let begin = self.cpu().rip();
        // SAFETY: `slot` is live and nobody else uses it now.
        unsafe {
            (*self.slot).handler = handler;
            (*self.slot).observer = Some(observer);
            (*self.slot).stop = false;
        }
        // SAFETY: the engine is live; the callbacks it calls find a valid slot, whose handler and
        // observer are borrowed mutably for the whole call and used by nobody else.
        let status = unsafe { ffi::uc_emu_start(self.uc, begin, 0, 0, 0) };
        // SAFETY: as above; the callbacks are over.
        let stopped = unsafe {
            (*self.slot).handler = null_mut();
            (*self.slot).observer = None;
            (*self.slot).stop
        };
        match status {
            ffi::uc_error::OK if stopped => Exit::Stopped,
            ffi::uc_error::OK => Exit::Halted,
            ffi::uc_error::READ_UNMAPPED | ffi::uc_error::WRITE_UNMAPPED => Exit::Unmapped,
            ffi::uc_error::FETCH_UNMAPPED => Exit::NoCode,
            ffi::uc_error::INSN_INVALID => Exit::Failed("invalid instruction"),
            ffi::uc_error::EXCEPTION => Exit::Failed("unhandled exception"),
            _ => Exit::Failed("the engine refused to run"),
        }
    }
}

impl<H: Handler> Drop for Engine<H> {
    fn drop(&mut self) {
        // SAFETY: opened in `new`, closed once; no callback can run afterwards, so the slot can
        // go; guest memory is freed after this.
        unsafe {
            ffi::uc_close(self.uc);
            drop(Box::from_raw(self.slot));
        }
    }
}

fn ok(status: ffi::uc_error, what: &str) -> Result<(), Error> {
    if status == ffi::uc_error::OK {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Engine,
        format!("Unicorn could not {what}: {status}"),
    ))
}

/// The handler, observer and CPU behind a user pointer.
///
/// # Safety
/// `user` is the slot of an engine inside [`Engine::run`], and the references end with the
/// callback. Callbacks do not nest: nothing a handler does re-enters the engine.
#[inline(always)]
unsafe fn parts<'a, H>(user: *mut c_void) -> (&'a mut H, &'a mut dyn Observer, &'a Cpu) {
    let slot: *mut Slot<H> = user.cast();
    // SAFETY: the caller's contract; `handler` and `observer` were set by `run`.
    unsafe {
        let observer = (*slot).observer.unwrap_unchecked();
        (&mut *(*slot).handler, &mut *observer, &(*slot).cpu)
    }
}

/// Asks the engine to leave, if the handler wants that.
///
/// # Safety
/// As [`parts`], called last in a callback.
#[inline(always)]
unsafe fn settle<H>(uc: *mut ffi::uc_engine, user: *mut c_void, flow: Flow) {
    if flow == Flow::Stop {
        let slot: *mut Slot<H> = user.cast();
        // SAFETY: the slot is live, and the references made by `parts` are no longer used.
        unsafe {
            (*slot).stop = true;
            ffi::uc_emu_stop(uc);
        }
    }
}

unsafe extern "C" fn on_block<H: Handler>(
    uc: *mut ffi::uc_engine,
    pc: u64,
    size: u32,
    user: *mut c_void,
) {
    // SAFETY: called by Unicorn inside `run` with the slot; see `parts` and `settle`.
    unsafe {
        let (handler, observer, cpu) = parts::<H>(user);
        let flow = handler.block(observer, cpu, pc, size);
        settle::<H>(uc, user, flow);
    }
}

unsafe extern "C" fn on_site<H: Handler>(
    uc: *mut ffi::uc_engine,
    pc: u64,
    _size: u32,
    user: *mut c_void,
) {
    // SAFETY: as in `on_block`.
    unsafe {
        let (handler, observer, cpu) = parts::<H>(user);
        let flow = handler.site(observer, cpu, pc);
        settle::<H>(uc, user, flow);
    }
}

unsafe extern "C" fn on_interrupt<H: Handler>(
    uc: *mut ffi::uc_engine,
    vector: u32,
    user: *mut c_void,
) {
    // SAFETY: as in `on_block`.
    unsafe {
        let (handler, observer, cpu) = parts::<H>(user);
        let flow = handler.interrupt(observer, cpu, vector);
        settle::<H>(uc, user, flow);
    }
}

unsafe extern "C" fn on_invalid<H: Handler>(uc: *mut ffi::uc_engine, user: *mut c_void) -> bool {
    // SAFETY: as in `on_block`. Unicorn reports an invalid instruction here and not as vector 6.
    unsafe {
        let (handler, observer, cpu) = parts::<H>(user);
        let flow = handler.interrupt(observer, cpu, 6);
        settle::<H>(uc, user, flow);
    }
    true
}

unsafe extern "C" fn on_translated<H: Handler>(
    _uc: *mut ffi::uc_engine,
    tb: *const ffi::TranslationBlock,
    _previous: *const ffi::TranslationBlock,
    user: *mut c_void,
) {
    let slot: *mut Slot<H> = user.cast();
    // SAFETY: `tb` is valid during the call. The handler is null outside `run`.
    unsafe {
        let hooked = (*slot).armed;
        if hooked && !(*slot).everything {
            (*slot).set_range(NOWHERE, NOWHERE);
        }
        if !(*slot).handler.is_null() {
            (*(*slot).handler).translated((*tb).pc, (*tb).size, (*tb).icount, hooked);
        }
    }
}

unsafe extern "C" fn on_in<H: Handler>(
    _uc: *mut ffi::uc_engine,
    port: u32,
    size: c_int,
    user: *mut c_void,
) -> u32 {
    // SAFETY: as in `on_block`.
    let (handler, _, cpu) = unsafe { parts::<H>(user) };
    handler.port_in(cpu, port as u16, size as u32)
}

unsafe extern "C" fn on_out<H: Handler>(
    uc: *mut ffi::uc_engine,
    port: u32,
    size: c_int,
    value: u32,
    user: *mut c_void,
) {
    // SAFETY: as in `on_block`.
    unsafe {
        let (handler, observer, cpu) = parts::<H>(user);
        let flow = handler.port_out(observer, cpu, port as u16, size as u32, value);
        settle::<H>(uc, user, flow);
    }
}

/// Returns 1: the instruction is done.
unsafe extern "C" fn on_cpuid<H: Handler>(_uc: *mut ffi::uc_engine, user: *mut c_void) -> c_int {
    // SAFETY: as in `on_block`.
    let (handler, _, cpu) = unsafe { parts::<H>(user) };
    handler.cpuid(cpu);
    1
}

/// Returns 1: the instruction is done.
unsafe extern "C" fn on_rdtsc<H: Handler>(_uc: *mut ffi::uc_engine, user: *mut c_void) -> c_int {
    // SAFETY: as in `on_block`.
    let (handler, _, cpu) = unsafe { parts::<H>(user) };
    handler.rdtsc(cpu, false);
    1
}

/// Returns 1: the instruction is done.
unsafe extern "C" fn on_rdtscp<H: Handler>(_uc: *mut ffi::uc_engine, user: *mut c_void) -> c_int {
    // SAFETY: as in `on_block`.
    let (handler, _, cpu) = unsafe { parts::<H>(user) };
    handler.rdtsc(cpu, true);
    1
}

unsafe extern "C" fn on_syscall<H: Handler>(_uc: *mut ffi::uc_engine, user: *mut c_void) {
    // SAFETY: as in `on_block`.
    let (handler, _, cpu) = unsafe { parts::<H>(user) };
    handler.syscall(cpu);
}

const _: () = assert!(at::UNUSED.start < at::UNUSED.end && at::UNUSED.end < at::STATE_SIZE);
