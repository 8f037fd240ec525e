//! Puts the parts together: windows, slices, and what a vCPU leaves the engine for.
//!
//! The run proceeds in windows of `quantum` cycles. In each, every vCPU that can run does so once,
//! in the policy's order, to the first legal stop at or after the window's end. A vCPU that is
//! alone runs many windows at a stretch: up to the one in which something is due for another.

mod exits;
mod report;
mod snapshot;

use crate::config::MachineConfig;
use crate::core::Core;
use crate::device::board::{End, Typed};
use crate::device::lapic::{Delivery, Lapic};
use crate::dirty::Dirty;
use crate::error::{Error, ErrorKind, Place};
use crate::interleave::{Interleaver, policy};
use crate::loader::{self, Kernel};
use crate::observe::{Observer, Site};
use crate::snapshot::memory::Pages;
use crate::unicorn::{CpuState, Engine, hf};
use crate::units::{Cycles, VcpuId, VirtAddr};
use crate::vcpu::{Activity, Nmi, Vcpu};

pub use report::MachineSummary;

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The guest switched the machine off.
    PowerOff,
    /// The guest reset the machine: by the reset register of the FADT (port 0xcf9), or by the
    /// keyboard controller's pulse.
    Reset,
    /// The virtual time the caller named was reached.
    UntilReached,
    /// The observer asked to end the run.
    StoppedByObserver,
}

/// The longest stretch of virtual time between two calls of [`Observer::slice`] while one vCPU is
/// alone.
const LONGEST_ALONE: u64 = 1_000_000;

/// The vector of the NMI.
const NMI: u8 = 2;

/// A machine with a kernel loaded, ready to run.
pub struct Machine {
    config: MachineConfig,
    engine: Engine<Core>,
    core: Core,
    vcpus: Vec<Vcpu>,
    /// Which vCPU's state is in the engine.
    loaded: usize,
    /// The state of a CPU that was never used, from which INIT starts.
    pristine: CpuState,
    interleaver: Box<dyn Interleaver>,
    /// Start of the current window, and its number.
    window: u64,
    window_number: u64,
    /// How far a machine with nothing to do was asked to run. No window begins there: where they do
    /// cannot depend on when the caller looks.
    waited: u64,
    /// Slices of the current window are being run, or one of them failed.
    in_window: bool,
    /// Where slices of the current window end; further than one quantum for a vCPU alone.
    slice_end: u64,
    alone: bool,
    input_expected: bool,
    /// Bytes to be typed that the observer has not been told of.
    untold: Vec<(Cycles, u8)>,
    sequence: u64,
    late_ipis: u64,
    ipis: u64,
    swaps: u64,
    interrupts: [u64; 256],
    unknown_msrs: std::collections::BTreeMap<u32, u64>,
    dirty: Dirty,
    /// Memory as the last snapshot has it.
    last: Option<Pages>,
}

impl Machine {
    /// Loads a kernel file (a static ELF with physical addresses, or a bzImage) into a new machine.
    pub fn new(config: &MachineConfig, kernel: &[u8]) -> Result<Machine, Error> {
        Machine::boot(config, &Kernel::open(kernel)?, None)
    }

    /// Loads a kernel, and an initial RAM disk for it, into a new machine.
    pub fn boot(
        config: &MachineConfig,
        kernel: &Kernel<'_>,
        initrd: Option<&[u8]>,
    ) -> Result<Machine, Error> {
        config.validate()?;
        let engine = Engine::<Core>::new(config.ram_bytes)?;
        let pristine = engine.cpu().snapshot();
        let entry = loader::load(config, kernel, initrd, engine.cpu().ram())?;
        loader::enter(engine.cpu(), entry);
        Machine::assemble(config, engine, pristine)
    }

    /// A machine around an engine whose CPU is vCPU 0.
    fn assemble(
        config: &MachineConfig,
        engine: Engine<Core>,
        pristine: CpuState,
    ) -> Result<Machine, Error> {
        let vcpus = (0..config.vcpus)
            .map(|id| {
                let first = id == 0;
                let activity = if first {
                    Activity::Running
                } else {
                    Activity::WaitForSipi
                };
                let state = if first {
                    engine.cpu().snapshot()
                } else {
                    pristine.clone()
                };
                Vcpu::new(config.apic_id(id), activity, state)
            })
            .collect();
        let dirty = Dirty::new(*engine.cpu().ram());
        Ok(Machine {
            config: config.clone(),
            core: Core::new(config.shape())?,
            engine,
            vcpus,
            loaded: 0,
            pristine,
            interleaver: policy(config.policy),
            window: 0,
            window_number: 0,
            waited: 0,
            in_window: false,
            slice_end: 0,
            alone: false,
            input_expected: false,
            untold: Vec::new(),
            sequence: 0,
            late_ipis: 0,
            ipis: 0,
            swaps: 0,
            interrupts: [0; 256],
            unknown_msrs: Default::default(),
            dirty,
            last: None,
        })
    }

    /// Runs until the guest ends, the time is reached, or the observer has enough. Can be called
    /// again after the latter two.
    pub fn run(
        &mut self,
        observer: &mut dyn Observer,
        until: Option<Cycles>,
    ) -> Result<Outcome, Error> {
        let quantum = self.config.quantum.0;
        let mut order = Vec::new();
        for (at, byte) in std::mem::take(&mut self.untold) {
            observer.typed(at, byte);
        }
        loop {
            match self.core.board.end() {
                Some(End::PowerOff) => return Ok(Outcome::PowerOff),
                Some(End::Reset) => return Ok(Outcome::Reset),
                None => {}
            }
            if until.is_some_and(|u| self.now() >= u) {
                return Ok(Outcome::UntilReached);
            }
            if observer.slice(Cycles(self.window)).is_break() {
                return Ok(Outcome::StoppedByObserver);
            }
            if self.window > self.core.progress.saturating_add(self.config.hang_limit.0) {
                return Err(self.hang());
            }
            self.happen_by_itself();
            if !self.open_window(until)? {
                continue;
            }
            self.waited = 0;
            self.in_window = true;
            self.interleaver
                .order(self.window_number, self.config.vcpus, &mut order);
            for id in &order {
                self.slice(observer, id.0 as usize)?;
                if self.core.board.end().is_some() {
                    break;
                }
            }
            self.in_window = false;
            self.window_number += (self.slice_end - self.window) / quantum;
            self.window = self.slice_end;
        }
    }

    /// Lets the board do what is due by the start of the window.
    fn happen_by_itself(&mut self) {
        self.core.board.advance(self.window);
        self.deliver_messages();
    }

    /// Decides where the next window starts and how far its slices go. `false`: time has moved, and
    /// what happens at it must be looked at before anybody runs.
    fn open_window(&mut self, until: Option<Cycles>) -> Result<bool, Error> {
        let quantum = self.config.quantum.0;
        let mut running = 0;
        let mut wake: Option<u64> = None;
        for v in &self.vcpus {
            if v.activity == Activity::Running {
                running += 1;
            } else if let Some(w) = v.next_wake() {
                wake = Some(wake.map_or(w, |old| old.min(w)));
            }
        }
        let event = self.core.board.next_event(self.window);
        if running == 0 {
            let first = match (wake, event) {
                (Some(wake), event) => event.map_or(wake, |e| e.min(wake)),
                (None, Some(event)) => event,
                (None, None) => return self.nothing_to_wait_for(until),
            };
            if first >= self.window + quantum {
                if let Some(u) = until.filter(|u| u.0 <= first) {
                    self.waited = u.0;
                    return Ok(false);
                }
                self.window = first;
                // Waiting for a time that comes is no hang.
                self.core.progress = self.core.progress.max(first);
                if event == Some(first) {
                    return Ok(false);
                }
            }
        }
        let mut windows = 1;
        self.alone = running == 1;
        if self.alone && !self.core.board.holds_back(self.window) {
            let cap = |time: u64| (time.saturating_sub(self.window) / quantum).max(1);
            windows = cap(self.window + LONGEST_ALONE);
            windows = wake.map_or(windows, |w| windows.min(cap(w)));
            let reach = |time: u64| (time - self.window).div_ceil(quantum).max(1);
            windows = event.map_or(windows, |e| windows.min(reach(e)));
            windows = until.map_or(windows, |u| windows.min(reach(u.0)));
        }
        self.slice_end = self.window + windows * quantum;
        Ok(true)
    }

    /// No vCPU runs and nothing is due: the end, unless somebody may still type.
    fn nothing_to_wait_for(&mut self, until: Option<Cycles>) -> Result<bool, Error> {
        let Some(until) = until.filter(|_| self.input_expected) else {
            return Err(self.halt_for_ever());
        };
        self.waited = until.0;
        Ok(false)
    }

    /// Lets one vCPU run to the end of the slice.
    fn slice(&mut self, observer: &mut dyn Observer, id: usize) -> Result<(), Error> {
        loop {
            let v = &mut self.vcpus[id];
            if v.activity != Activity::Running {
                let Some(wake) = v.next_wake() else {
                    return Ok(());
                };
                if wake >= self.slice_end {
                    return Ok(());
                }
                v.jump_to(wake);
                self.load(id);
                self.receive(id);
                self.wake(id);
                continue;
            }
            if v.cycles >= self.slice_end && (self.loaded != id || !self.core.split) {
                if self.loaded == id {
                    let legal = self.core.check_legal("a slice ends");
                    legal.map_err(|(kind, message)| self.error(kind, message))?;
                }
                return Ok(());
            }
            self.load(id);
            self.receive(id);
            if self.vcpus[id].activity != Activity::Running {
                continue;
            }
            self.interrupt(observer, id)?;
            self.run_vcpu(observer, id)?;
            if self.core.board.end().is_some() && !self.core.split {
                return Ok(());
            }
        }
    }

    /// Puts a vCPU's state into the engine.
    fn load(&mut self, id: usize) {
        if self.loaded != id {
            let old = self.engine.cpu().space();
            self.engine.cpu().save(&mut self.vcpus[self.loaded].state);
            self.engine.cpu().load_state(&self.vcpus[id].state);
            self.loaded = id;
            self.swaps += 1;
            // Two vCPUs in one address space see the same translations.
            if self.engine.cpu().space() != old {
                self.engine.flush_tlb();
            }
            self.load_clock(id);
        } else if self.core.count != self.vcpus[id].cycles || self.core.vcpu.0 as usize != id {
            self.load_clock(id);
        }
    }

    fn load_clock(&mut self, id: usize) {
        let v = &self.vcpus[id];
        let space = self.engine.cpu().space();
        self.core
            .switched(VcpuId(id as u32), v.cycles, v.skipped, space);
    }

    /// Takes in what has arrived at the loaded vCPU, and does INIT and SIPI.
    fn receive(&mut self, id: usize) {
        while let Some(command) = self.vcpus[id].receive() {
            let cpu = self.engine.cpu();
            match command {
                Delivery::Init => {
                    cpu.load_state(&self.pristine);
                    let v = &mut self.vcpus[id];
                    v.activity = Activity::WaitForSipi;
                    v.lapic = Lapic::new(self.config.apic_id(id as u32));
                    v.nmi = Nmi::default();
                }
                Delivery::Startup(vector) => {
                    cpu.load_state(&self.pristine);
                    loader::enter_real_mode(cpu, vector);
                    self.vcpus[id].activity = Activity::Running;
                }
                Delivery::Fixed(_) | Delivery::Level(_) | Delivery::Nmi => {}
            }
            self.engine.flush_tlb();
            self.load_clock(id);
            self.core.legal_position();
        }
    }

    /// Wakes a halted vCPU if an interrupt it accepts is there.
    fn wake(&mut self, id: usize) {
        let v = &mut self.vcpus[id];
        if let Activity::Halted { interrupts } = v.activity
            && (v.takes_nmi() || interrupts && v.lapic.pending().is_some())
        {
            v.activity = Activity::Running;
        }
    }

    /// Delivers an interrupt to the loaded vCPU, if one waits and the position allows it, and notes
    /// whether one still waits.
    fn interrupt(&mut self, observer: &mut dyn Observer, id: usize) -> Result<(), Error> {
        let cpu = self.engine.cpu();
        let shadow = cpu.hflags() & hf::INHIBIT_IRQ != 0;
        let v = &mut self.vcpus[id];
        self.core.nmi = v.nmi;
        self.core.interrupt_waits = v.lapic.pending().is_some();
        let maskable = self.core.interrupt_waits && cpu.interrupts_on();
        if shadow || self.core.split || !(v.takes_nmi() || maskable) {
            return Ok(());
        }
        let vector = if v.takes_nmi() {
            v.nmi = Nmi {
                pending: false,
                blocked: true,
            };
            NMI
        } else {
            v.lapic.acknowledge()
        };
        self.interrupts[usize::from(vector)] += 1;
        let source = crate::deliver::Source::External;
        let done = self.core.raise(observer, cpu, vector, None, source);
        let v = &self.vcpus[id];
        self.core.nmi = v.nmi;
        self.core.interrupt_waits = v.lapic.pending().is_some();
        done.map_err(|(kind, message)| self.error(kind, message))
    }

    /// Types a byte on the serial console at a time. It arrives at the start of the first window at
    /// or after that, or as soon after it as the receiver has room. When the machine is told does
    /// not matter, as long as the time has not passed: the same bytes at the same times are the
    /// same run.
    pub fn type_byte(&mut self, at: Cycles, byte: u8) {
        self.core.board.type_byte(Typed { at: at.0, byte });
        self.untold.push((at, byte));
    }

    /// Says that somebody may yet type: a machine that waits for ever then reaches the `until` of
    /// [`Machine::run`], and is no error.
    pub fn expect_input(&mut self, expected: bool) {
        self.input_expected = expected;
    }

    /// Watches an address; also before the run.
    pub fn watch(&mut self, at: VirtAddr, site: Site) {
        self.core.change(at, site, true);
    }

    /// Stops watching it.
    pub fn unwatch(&mut self, at: VirtAddr, site: Site) {
        self.core.change(at, site, false);
    }

    /// Makes the machine count every instruction one by one from now on, and compare that with the
    /// clock at every instruction and every event; a difference ends the run. Several times slower:
    /// a test of the machine itself.
    pub fn verify_counts(&mut self) -> Result<(), Error> {
        if !self.core.verifies() {
            self.core
                .verify(self.vcpus.iter().map(|v| v.cycles - v.skipped));
            self.engine.hook_everything();
            self.engine.forget_all();
        }
        Ok(())
    }

    /// An error at the place the loaded vCPU has reached.
    fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        let place = Place {
            vcpu: VcpuId(self.loaded as u32),
            rip: self.engine.cpu().linear_rip(),
            time: Cycles(self.core.count),
        };
        Error::new(kind, message).at(place, self.core.last_blocks(), self.registers())
    }

    fn hang(&self) -> Error {
        let second = 1_000_000_000;
        let (whole, part) = (self.core.progress / second, self.core.progress % second);
        let message = format!(
            "the guest hangs: no task switch, console byte or HLT since {whole}.{part:09} s"
        );
        self.error(ErrorKind::Hang, message)
    }

    fn halt_for_ever(&self) -> Error {
        let off = self
            .vcpus
            .iter()
            .all(|v| v.activity != Activity::Halted { interrupts: true });
        let message = if off {
            "all vCPUs halted with interrupts off"
        } else {
            "all vCPUs halted and no timer or interrupt can wake one"
        };
        self.error(ErrorKind::HaltForever, message)
    }
}
