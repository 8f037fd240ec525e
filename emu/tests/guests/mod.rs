//! Guest programs as byte literals, and what the tests need to run them.

#![allow(dead_code, reason = "each test file uses its own part of this module")]

pub mod counting;
pub mod deadline;
pub mod destinations;
pub mod hello;
pub mod interrupts;
pub mod nmi;
pub mod overflow;
pub mod patched;
pub mod privilege;
pub mod processors;
pub mod survivor;
pub mod terminal;

use std::ops::ControlFlow;

use emu::{CpuView, Cycles, Exception, Machine, MachineConfig, Observer, Site, Stamp, VirtAddr};

/// Where every program is loaded and entered.
pub const BASE: u64 = 0x10_0000;

/// A static ELF with one segment: `code` at [`BASE`], followed by 64 KiB of zeros.
pub fn elf(code: &[u8]) -> Vec<u8> {
    elf_at(code, BASE, BASE)
}

/// The same with any load address and entry point.
pub fn elf_at(code: &[u8], at: u64, entry: u64) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |f: &mut Vec<u8>, v: u16| f.extend(v.to_le_bytes());
    let word = |f: &mut Vec<u8>, v: u32| f.extend(v.to_le_bytes());
    let long = |f: &mut Vec<u8>, v: u64| f.extend(v.to_le_bytes());
    half(&mut file, 2);
    half(&mut file, 62);
    word(&mut file, 1);
    long(&mut file, entry);
    long(&mut file, 64);
    long(&mut file, 0);
    word(&mut file, 0);
    for v in [64, 56, 1, 0, 0, 0] {
        half(&mut file, v);
    }
    word(&mut file, 1);
    word(&mut file, 7);
    let size = code.len() as u64;
    for v in [120, at, at, size, size + 0x1_0000, 16] {
        long(&mut file, v);
    }
    file.extend(code);
    file
}

/// Everything observable about a run.
#[derive(Default, PartialEq, Eq, Debug, Clone)]
pub struct Log {
    pub console: Vec<(Stamp, u8)>,
    pub exceptions: Vec<(Stamp, Exception)>,
}

impl Log {
    pub fn text(&self) -> String {
        self.console.iter().map(|(_, b)| *b as char).collect()
    }

    /// The vectors taken, in order.
    pub fn vectors(&self) -> Vec<u8> {
        self.exceptions.iter().map(|(_, e)| e.vector).collect()
    }
}

/// Logs a run, and does `on_hit` at watched addresses.
pub struct Logger<F: FnMut(&mut CpuView<'_>, VirtAddr, Site)> {
    pub log: Log,
    pub on_hit: F,
    pub stop_at: Option<Cycles>,
}

impl<F: FnMut(&mut CpuView<'_>, VirtAddr, Site)> Logger<F> {
    pub fn new(on_hit: F) -> Self {
        Self {
            log: Log::default(),
            on_hit,
            stop_at: None,
        }
    }
}

impl<F: FnMut(&mut CpuView<'_>, VirtAddr, Site)> Observer for Logger<F> {
    fn hit(&mut self, cpu: &mut CpuView<'_>, at: VirtAddr, site: Site) {
        (self.on_hit)(cpu, at, site);
    }

    fn console(&mut self, at: Stamp, byte: u8) {
        self.log.console.push((at, byte));
    }

    fn exception(&mut self, at: Stamp, exception: Exception) {
        self.log.exceptions.push((at, exception));
    }

    fn slice(&mut self, now: Cycles) -> ControlFlow<()> {
        match self.stop_at {
            Some(at) if now >= at => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// A machine of that many CPUs and 64 MiB with a program loaded.
pub fn machine(code: &[u8], vcpus: u32) -> Machine {
    machine_with(
        code,
        &MachineConfig {
            vcpus,
            ram_bytes: 64 << 20,
            ..MachineConfig::default()
        },
    )
}

pub fn machine_with(code: &[u8], config: &MachineConfig) -> Machine {
    Machine::new(config, &elf(code)).expect("the guest loads")
}
