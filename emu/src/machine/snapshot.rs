//! Taking a snapshot of the machine, and going back to one.

use std::collections::BTreeMap;

use super::Machine;
use crate::core::CoreState;
use crate::dirty::{Tracking, Written};
use crate::error::{Error, ErrorKind};
use crate::snapshot::memory::Pages;
use crate::snapshot::{Reader, Saved, Snapshot, Writer, bad, saved};
use crate::unicorn::{CpuState, Engine};
use crate::units::PhysAddr;
use crate::vcpu::Vcpu;

/// Clocks above this are no machine's: arithmetic on them could overflow.
const LATEST: u64 = 1 << 62;

/// The machine's part of a snapshot, without memory: its fields of the same names.
struct Parts {
    loaded: usize,
    pristine: CpuState,
    window: u64,
    window_number: u64,
    waited: u64,
    sequence: u64,
    late_ipis: u64,
    ipis: u64,
    swaps: u64,
    interrupts: [u64; 256],
    unknown_msrs: BTreeMap<u32, u64>,
    vcpus: Vec<Vcpu>,
    core: CoreState,
}

saved!(Parts {
    loaded,
    pristine,
    window,
    window_number,
    waited,
    sequence,
    late_ipis,
    ipis,
    swaps,
    interrupts,
    unknown_msrs,
    vcpus,
    core,
});

impl Parts {
    /// Reads and checks them; what no machine of so many vCPUs can be is refused.
    fn read(snapshot: &Snapshot, vcpus: u32) -> Result<Parts, Error> {
        let mut from = Reader::new(&snapshot.state);
        let parts = Parts::load(&mut from)?;
        from.end()?;
        if parts.vcpus.len() != vcpus as usize || parts.loaded >= parts.vcpus.len() {
            let (has, loaded) = (parts.vcpus.len(), parts.loaded);
            return Err(bad(format!(
                "{has} vCPUs, number {loaded} in the engine, in a machine of {vcpus}"
            )));
        }
        let clocks = [
            parts.window,
            parts.window_number,
            parts.waited,
            parts.core.count,
        ];
        let clocks = clocks
            .into_iter()
            .chain(parts.vcpus.iter().map(|v| v.cycles));
        if clocks.max().is_some_and(|latest| latest > LATEST)
            || parts.vcpus.iter().any(|v| v.skipped > v.cycles)
        {
            return Err(bad("clocks that no machine reaches"));
        }
        if parts.vcpus.iter().any(|v| v.state.has_breakpoints()) {
            return Err(bad("a vCPU with hardware breakpoints set"));
        }
        Ok(parts)
    }
}

impl Machine {
    /// The machine as it is now, between two calls of [`Machine::run`]. The run goes on as if nobody
    /// had looked.
    ///
    /// The first snapshot of a machine reads all of its memory; later ones read the pages written
    /// since, where the host can tell them (see [`Machine::tracking`]), and share the others with
    /// the snapshot before.
    ///
    /// Fails after a run that ended in an error, since that stands inside a window, and while the
    /// guest has breakpoints set in its debug registers, which no snapshot carries over.
    pub fn snapshot(&mut self) -> Result<Snapshot, Error> {
        if self.in_window {
            let what = "a snapshot of a run that failed: take it before, at a window's end";
            return Err(self.error(ErrorKind::Unsupported, what));
        }
        self.engine.cpu().save(&mut self.vcpus[self.loaded].state);
        if self.vcpus.iter().any(|v| v.state.has_breakpoints()) {
            let what = "a snapshot while the guest has hardware breakpoints set (DR7)";
            return Err(self.error(ErrorKind::Unsupported, what));
        }
        let written = self.dirty.written();
        let pages = self.pages_now(&written);
        self.last = Some(pages.clone());
        let mut state = Writer::default();
        self.parts().save(&mut state);
        Ok(Snapshot {
            config: self.config.clone(),
            state: state.into_bytes(),
            pages,
            now: self.now(),
        })
    }

    /// A new machine that stands where the snapshot was taken; nothing watches it yet.
    pub fn from_snapshot(snapshot: &Snapshot) -> Result<Machine, Error> {
        snapshot.config.validate()?;
        let engine = Engine::new(snapshot.config.ram_bytes)?;
        let pristine = engine.cpu().snapshot();
        let mut machine = Machine::assemble(&snapshot.config, engine, pristine)?;
        machine.restore(snapshot)?;
        Ok(machine)
    }

    /// Takes this machine to where the snapshot was taken, back or forth. It must be one of the same
    /// configuration. What watches it goes on watching.
    ///
    /// If the snapshot is not one of such a machine, the error says so and nothing has changed.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        if snapshot.config != self.config {
            return Err(bad(format!(
                "the snapshot is of another machine: {:?}, and not {:?}",
                snapshot.config, self.config
            )));
        }
        let parts = Parts::read(snapshot, self.config.vcpus)?;
        self.engine.cpu().save(&mut self.vcpus[self.loaded].state);
        if self.vcpus.iter().any(|v| v.state.has_breakpoints()) {
            let what = "going to a snapshot while the guest has hardware breakpoints set (DR7)";
            return Err(self.error(ErrorKind::Unsupported, what));
        }
        self.set_pages(&snapshot.pages);
        self.set_parts(parts);
        self.engine.cpu().load_state(&self.vcpus[self.loaded].state);
        self.engine.forget_all();
        self.engine.flush_tlb();
        self.load_clock(self.loaded);
        if self.core.verifies() {
            self.core
                .verify(self.vcpus.iter().map(|v| v.cycles - v.skipped));
        }
        Ok(())
    }

    /// How the pages that the guest has written are found; `None` before the first snapshot.
    pub fn tracking(&self) -> Option<Tracking> {
        self.dirty.tracking()
    }

    /// Makes snapshots compare all of memory, whatever the host could do. They are the same.
    pub fn track_by_comparison(&mut self) {
        self.dirty.compare();
    }

    fn parts(&self) -> Parts {
        // Every field is here, kept or not: a new one has to be thought about.
        let Machine {
            core,
            vcpus,
            loaded,
            pristine,
            window,
            window_number,
            waited,
            sequence,
            late_ipis,
            ipis,
            swaps,
            interrupts,
            unknown_msrs,
            // The snapshot has it beside these.
            config: _,
            // Memory is apart, the loaded state has been copied out, the rest are caches.
            engine: _,
            // It has no state: the order depends on the configuration and the window's number.
            interleaver: _,
            // Of the window that is being run: there is none.
            in_window: _,
            slice_end: _,
            alone: _,
            // Whoever types says so again.
            input_expected: _,
            untold: _,
            // How snapshots are taken.
            dirty: _,
            last: _,
        } = self;
        Parts {
            loaded: *loaded,
            pristine: pristine.clone(),
            window: *window,
            window_number: *window_number,
            waited: *waited,
            sequence: *sequence,
            late_ipis: *late_ipis,
            ipis: *ipis,
            swaps: *swaps,
            interrupts: *interrupts,
            unknown_msrs: unknown_msrs.clone(),
            vcpus: vcpus.clone(),
            core: core.state(),
        }
    }

    fn set_parts(&mut self, parts: Parts) {
        self.loaded = parts.loaded;
        self.pristine = parts.pristine;
        self.window = parts.window;
        self.window_number = parts.window_number;
        self.waited = parts.waited;
        self.in_window = false;
        self.sequence = parts.sequence;
        self.late_ipis = parts.late_ipis;
        self.ipis = parts.ipis;
        self.swaps = parts.swaps;
        self.interrupts = parts.interrupts;
        self.unknown_msrs = parts.unknown_msrs;
        self.vcpus = parts.vcpus;
        self.core.set_state(parts.core);
    }

    fn pages_now(&self, written: &Written) -> Pages {
        let ram = self.engine.cpu().ram();
        ram.with_bytes(|bytes| Pages::take(bytes, self.last.as_ref(), written))
    }

    /// Makes memory what the pages say, writing those that differ.
    fn set_pages(&mut self, to: &Pages) {
        let written = self.dirty.written();
        let now = self.pages_now(&written);
        let ram = *self.engine.cpu().ram();
        for number in to.unshared(&now) {
            let page = to.get(number);
            if now.get(number) != page {
                let at = PhysAddr((number * page.len()) as u64);
                ram.write(at, page).expect("both memories have one size");
            }
        }
        self.last = Some(to.clone());
    }
}
