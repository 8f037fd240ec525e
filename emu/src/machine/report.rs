//! What can be asked of a machine between runs: clocks, registers, memory, counters, digest.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::Machine;
use crate::observe::Reg;
use crate::paging::Fault;
use crate::snapshot::{Saved, Writer};
use crate::unicorn::read_virt;
use crate::units::{Cycles, Insns, Stamp, VcpuId, VirtAddr};
use crate::vcpu::Activity;

/// Counters of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MachineSummary {
    /// IPIs that reached a vCPU after their time because it was inside a long stretch with no
    /// legal stop when they were sent. One that waits for interrupts to be enabled is not late: it
    /// arrived, and the guest took it later.
    pub late_ipis: u64,
    /// IPIs sent.
    pub ipis: u64,
    /// Ports accessed that no device answers: port, accesses.
    pub unknown_ports: Vec<(u16, u64)>,
    /// MSRs accessed that do not exist: number, accesses; each raised #GP.
    pub unknown_msrs: Vec<(u32, u64)>,
    /// Instructions that this machine does not have and the guest executed: name, number; each
    /// raised #UD. UD0, UD1 and UD2 are no such.
    pub unknown_instructions: Vec<(String, u64)>,
    /// External interrupts delivered: vector, number, over all vCPUs.
    pub interrupts: Vec<(u8, u64)>,
    /// Exceptions delivered: vector, number.
    pub exceptions: Vec<(u8, u64)>,
    /// Blocks executed, as the translator cut them: the one number that watched addresses change.
    pub blocks: u64,
    /// vCPU states swapped.
    pub swaps: u64,
    /// Instructions retired, over all vCPUs.
    pub insns: u64,
}

/// Memory as its length and its pages that are not all zero, each after its number: most of a
/// guest's memory was never written.
fn hash_memory(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    const EMPTY: [u8; 4096] = [0; 4096];
    for (number, page) in bytes.chunks(EMPTY.len()).enumerate() {
        if page != EMPTY.as_slice() {
            hash.update((number as u64).to_le_bytes());
            hash.update(page);
        }
    }
}

/// Names of the general registers in Unicorn's order.
const NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8 ", "r9 ", "r10", "r11", "r12",
    "r13", "r14", "r15",
];

impl Machine {
    /// The time that the machine has reached: the start of the current window, or, with nothing to
    /// do, the time up to which it was asked to run.
    pub fn now(&self) -> Cycles {
        Cycles(self.window.max(self.waited))
    }

    /// A vCPU's clock and retired instructions.
    pub fn stamp(&self, vcpu: VcpuId) -> Stamp {
        let v = self.vcpu(vcpu);
        let idle = v.activity != Activity::Running;
        let cycles = if idle {
            v.cycles.max(self.now().0)
        } else {
            v.cycles
        };
        Stamp {
            vcpu,
            cycles: Cycles(cycles),
            insns: Insns(v.cycles - v.skipped),
        }
    }

    /// An id out of range names the last vCPU: the API promises not to panic.
    fn vcpu(&self, vcpu: VcpuId) -> &crate::vcpu::Vcpu {
        &self.vcpus[(vcpu.0 as usize).min(self.vcpus.len() - 1)]
    }

    /// Copies guest memory at a virtual address, as that vCPU maps it.
    pub fn read_virt(&self, vcpu: VcpuId, at: VirtAddr, into: &mut [u8]) -> Result<(), Fault> {
        let cpu = self.engine.cpu();
        if vcpu.0 as usize == self.loaded {
            return cpu.read_virt(at, into);
        }
        read_virt(cpu.ram(), self.vcpu(vcpu).state.space(), at, into)
    }

    /// A register of a vCPU.
    pub fn reg(&self, vcpu: VcpuId, reg: Reg) -> u64 {
        if vcpu.0 as usize == self.loaded {
            return self.engine.cpu().reg(reg);
        }
        self.engine
            .with_state(&self.vcpu(vcpu).state, |cpu| cpu.reg(reg))
    }

    /// The longest stretch of cycles without a legal stop.
    pub fn longest_stretch(&self) -> Cycles {
        Cycles(self.core.longest_stretch)
    }

    /// Counters so far.
    pub fn summary(&self) -> MachineSummary {
        let vectors = self.interrupts.iter().enumerate().filter(|(_, n)| **n != 0);
        MachineSummary {
            late_ipis: self.late_ipis,
            ipis: self.ipis,
            unknown_ports: self
                .core
                .unknown_ports
                .iter()
                .map(|(p, n)| (*p, *n))
                .collect(),
            unknown_msrs: self.unknown_msrs.iter().map(|(m, n)| (*m, *n)).collect(),
            unknown_instructions: self
                .core
                .unknown_instructions
                .iter()
                .map(|(name, n)| (name.clone(), *n))
                .collect(),
            interrupts: vectors.map(|(v, n)| (v as u8, *n)).collect(),
            exceptions: self.core.exceptions.iter().map(|(v, n)| (*v, *n)).collect(),
            blocks: self.core.executed,
            swaps: self.swaps,
            insns: self.vcpus.iter().map(|v| v.cycles - v.skipped).sum(),
        }
    }

    /// SHA-256 of memory, vCPU states, devices and clocks.
    pub fn digest(&mut self) -> [u8; 32] {
        let mut hash = Sha256::new();
        self.engine
            .cpu()
            .ram()
            .with_bytes(|bytes| hash_memory(&mut hash, bytes));
        for (id, v) in self.vcpus.iter().enumerate() {
            let mut sink = |bytes: &[u8]| hash.update(bytes);
            if id == self.loaded {
                self.engine.cpu().architectural(&mut sink);
            } else {
                self.engine
                    .with_state(&v.state, |cpu| cpu.architectural(&mut sink));
            }
            let activity = match v.activity {
                Activity::Running => 0,
                Activity::Halted { interrupts } => 1 + u64::from(interrupts),
                Activity::WaitForSipi => 3,
            };
            let mut words = vec![activity, v.cycles, v.skipped];
            words.extend([v.nmi.pending, v.nmi.blocked].map(u64::from));
            let mut apic = Writer::default();
            v.lapic.save(&mut apic);
            hash.update(apic.into_bytes());
            for letter in &v.inbox {
                words.extend([letter.due, letter.sequence]);
                hash.update(format!("{:?}", letter.what));
            }
            words.iter().for_each(|w| hash.update(w.to_le_bytes()));
        }
        hash.update(self.core.device_bytes());
        for word in [self.window, self.window_number, self.sequence] {
            hash.update(word.to_le_bytes());
        }
        hash.finalize().into()
    }

    /// The registers of every vCPU, as text, for people.
    pub fn registers(&self) -> String {
        let mut text = String::new();
        for (id, v) in self.vcpus.iter().enumerate() {
            let loaded = id == self.loaded;
            let cpu = self.engine.cpu();
            let clock = if loaded { self.core.count } else { v.cycles };
            let rip = if loaded { cpu.rip() } else { v.state.rip() };
            let _ = writeln!(
                text,
                "vCPU {id}: {:?}, clock {clock}, rip {rip:#x}",
                v.activity
            );
            for row in 0..4 {
                let cells: Vec<String> = (4 * row..4 * row + 4)
                    .map(|n| {
                        let value = if loaded { cpu.gpr(n) } else { v.state.gpr(n) };
                        format!("{} {value:016x}", NAMES[n])
                    })
                    .collect();
                let _ = writeln!(text, "  {}", cells.join("  "));
            }
            let id = VcpuId(id as u32);
            let rest = [
                Reg::Rflags,
                Reg::Cr0,
                Reg::Cr2,
                Reg::Cr3,
                Reg::Cr4,
                Reg::GsBase,
            ];
            let cells =
                rest.map(|r| format!("{} {:x}", format!("{r:?}").to_lowercase(), self.reg(id, r)));
            let _ = writeln!(text, "  {}", cells.join("  "));
        }
        text
    }
}
