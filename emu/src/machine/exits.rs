//! What a vCPU leaves the engine for, and what is done about it.

use super::Machine;
use crate::core::{Stop, mode};
use crate::decode::Kind;
use crate::deliver::Source;
use crate::device::lapic::{Command, Delivery, Destination, Effect, Unsupported};
use crate::error::{Error, ErrorKind};
use crate::layout::{IOAPIC_BASE, IOAPIC_SIZE, LAPIC_BASE, LAPIC_SIZE};
use crate::mmio;
use crate::msr;
use crate::observe::Observer;
use crate::unicorn::Exit;
use crate::vcpu::{Activity, Letter};

const GENERAL_PROTECTION: u8 = 13;

const LAPIC_END: u64 = LAPIC_BASE + LAPIC_SIZE;
const IOAPIC_END: u64 = IOAPIC_BASE + IOAPIC_SIZE;

/// Whose registers are at an address.
#[derive(Clone, Copy)]
enum Apic {
    Local,
    Io,
}

impl Machine {
    /// Runs the loaded vCPU to its next exit, and handles that.
    pub(super) fn run_vcpu(&mut self, observer: &mut dyn Observer, id: usize) -> Result<(), Error> {
        self.hook_sites();
        let event = self.vcpus[id].next_event().unwrap_or(u64::MAX);
        self.core.limit = self.slice_end.min(event);
        self.core.rearm();
        let exit = self.engine.run(&mut self.core, observer);
        let stop = self.core.stop.take();
        let done = match exit {
            Exit::Stopped => match stop {
                Some(Stop::Legal | Stop::Sites) => Ok(()),
                Some(Stop::Msr) => self.msr(observer, id),
                Some(Stop::Fatal(kind, message)) => Err(self.error(kind, message)),
                None => Err(self.error(ErrorKind::Engine, "stopped for no reason")),
            },
            Exit::Halted => self.halted(id),
            Exit::Unmapped => self.device(id),
            Exit::NoCode => {
                Err(self.error(ErrorKind::Unsupported, "instruction fetch from no memory"))
            }
            Exit::Failed(what) => Err(self.error(ErrorKind::Engine, what)),
        };
        self.vcpus[id].cycles = self.core.count;
        self.vcpus[id].nmi = self.core.nmi;
        self.attend_to_board();
        done
    }

    /// Does what accesses to the board's devices asked for.
    fn attend_to_board(&mut self) {
        if !self.core.board.wants_attention() {
            return;
        }
        self.deliver_messages();
        let board = &mut self.core.board;
        if (board.take_rescheduled() || board.end().is_some()) && self.alone {
            // What happens by itself does so at the start of a window, whoever is alone; and the end of
            // a run is that of its window.
            let quantum = self.config.quantum.0;
            let now = self.core.count;
            let event = board.next_event(now);
            let next = board.holds_back(now) || board.end().is_some();
            let held = next.then_some(now + 1);
            if let Some(time) = event.into_iter().chain(held).min() {
                let windows = time.saturating_sub(self.window).div_ceil(quantum).max(1);
                self.slice_end = self.slice_end.min(self.window + windows * quantum);
            }
        }
    }

    /// Posts the I/O APIC's messages: they take as long as an IPI.
    pub(super) fn deliver_messages(&mut self) {
        for (sent, message) in self.core.board.take_messages() {
            let due = sent + self.config.latency().0;
            for to in self.receivers(None, message) {
                self.post(to, due, message.delivery);
            }
        }
    }

    /// Makes the engine translate again what was translated without a hook it needs.
    fn hook_sites(&mut self) {
        if std::mem::take(&mut self.core.sites_added) {
            self.engine.forget_all();
        }
        if let Some((pc, [first, last])) = self.core.to_hook.take() {
            self.engine.forget_at(pc);
            self.engine.hook_next_translation(first, last);
        }
    }

    /// HLT: the block that ended with it is counted.
    fn halted(&mut self, id: usize) -> Result<(), Error> {
        if self.core.last_kind() != Kind::Halt {
            // An IRET from a frame of nonsense, or a jump to address 0, which the engine takes for the
            // end of its run: it says no more, and nothing can be raised in its place.
            let what = "the engine stopped at an instruction that is not HLT: it does not emulate what \
                        that was to do";
            return Err(self.error(ErrorKind::Unsupported, what));
        }
        let interrupts = self.engine.cpu().interrupts_on();
        self.core.legal_position();
        self.core.progress = self.core.progress.max(self.core.count);
        self.vcpus[id].activity = Activity::Halted { interrupts };
        if self.alone {
            // The windows that a vCPU alone would have skipped do not happen.
            let quantum = self.config.quantum.0;
            let windows = self.core.count.saturating_sub(self.window) / quantum + 1;
            self.slice_end = self.slice_end.min(self.window + windows * quantum);
        }
        Ok(())
    }

    /// An access to no memory: the local APIC, or an error.
    fn device(&mut self, id: usize) -> Result<(), Error> {
        let cpu = self.engine.cpu();
        let Some(index) = self.core.index_of(cpu.linear_rip()) else {
            return Err(self.error(ErrorKind::Engine, "a device access outside its block"));
        };
        self.core.interrupted(cpu);
        self.core.leave_block(index);
        let now = self.core.count;
        let access = match mmio::decode(&self.core.decoder, mode(cpu.hflags()), cpu) {
            Ok(access) => access,
            Err(what) => return Err(self.error(ErrorKind::Unsupported, what)),
        };
        let (apic, offset) = match access.at.0 {
            LAPIC_BASE..LAPIC_END => (Apic::Local, access.at.0 - LAPIC_BASE),
            IOAPIC_BASE..IOAPIC_END => (Apic::Io, access.at.0 - IOAPIC_BASE),
            _ => {
                let what = format!("access to physical {}, where nothing is", access.at);
                return Err(self.error(ErrorKind::Unsupported, what));
            }
        };
        if access.size != 4 || offset % 16 != 0 {
            let what = format!("{}-byte access to APIC register {offset:#x}", access.size);
            return Err(self.error(ErrorKind::Unsupported, what));
        }
        let offset = offset as u32;
        let read = match apic {
            _ if !access.reads() => 0,
            Apic::Local => self.vcpus[id].lapic.read(offset, now),
            Apic::Io => self.core.board.ioapic_read(offset),
        };
        let written = access.execute(cpu, read.into());
        self.core.retire_one();
        let Some(value) = written else { return Ok(()) };
        let effect = match apic {
            Apic::Local => self.vcpus[id].lapic.write(offset, value as u32, now),
            Apic::Io => {
                self.core.board.ioapic_write(offset, value as u32, now);
                Ok(Effect::Nothing)
            }
        };
        match effect {
            Ok(Effect::Nothing) => {}
            Ok(Effect::Send(command)) => self.send(id, now, command),
            Ok(Effect::End(vector)) => self.core.board.end_of_interrupt(vector, now),
            Err(what) => {
                let what = match what {
                    Unsupported::DeliveryMode(m) => format!("IPI with delivery mode {m}"),
                    Unsupported::TimerMode(v) => format!("APIC timer mode of {v:#x}"),
                };
                return Err(self.error(ErrorKind::Unsupported, what));
            }
        }
        Ok(())
    }

    /// Posts an IPI to each vCPU it is for.
    fn send(&mut self, from: usize, now: u64, command: Command) {
        self.ipis += 1;
        for to in self.receivers(Some(from), command) {
            // A CPU reaches itself over no bus.
            let latency = if from == to {
                0
            } else {
                self.config.latency().0
            };
            self.post(to, now + latency, command.delivery);
        }
    }

    /// The vCPUs a message is for. Of those that take one of lowest priority, the one whose
    /// processor priority is lowest when it is sent; of equals, the first.
    fn receivers(&self, from: Option<usize>, command: Command) -> Vec<usize> {
        let is_named = |n: &usize| match command.to {
            Destination::Apic(id) => self.vcpus[*n].lapic.id() == id,
            Destination::Logical(mask) => self.vcpus[*n].lapic.is_logical(mask),
            Destination::Myself => from == Some(*n),
            Destination::All => true,
            Destination::AllButMyself => from != Some(*n),
        };
        let named = (0..self.vcpus.len()).filter(is_named);
        if !command.lowest_priority {
            return named.collect();
        }
        let taking = named.filter(|n| self.vcpus[*n].lapic.is_enabled());
        let lowest = taking.min_by_key(|n| self.vcpus[*n].lapic.ppr());
        lowest.into_iter().collect()
    }

    fn post(&mut self, to: usize, due: u64, what: Delivery) {
        self.sequence += 1;
        let v = &mut self.vcpus[to];
        v.post(Letter {
            due,
            sequence: self.sequence,
            what,
        });
        if to == self.loaded && v.activity == Activity::Running {
            return;
        }
        if v.activity == Activity::Running && due < v.cycles {
            self.late_ipis += 1;
        }
        if self.alone {
            // The receiver takes part again from the window in which the letter is due.
            let quantum = self.config.quantum.0;
            let windows = (due.saturating_sub(self.window) / quantum).max(1);
            self.slice_end = self.slice_end.min(self.window + windows * quantum);
        }
    }

    /// An RDMSR or WRMSR of the machine's own registers, or of none.
    fn msr(&mut self, observer: &mut dyn Observer, id: usize) -> Result<(), Error> {
        let cpu = self.engine.cpu();
        let mut bytes = [0; 2];
        let rip = cpu.linear_rip();
        if let Err(f) = cpu.read_virt(rip, &mut bytes) {
            return Err(self.error(ErrorKind::Engine, format!("an MSR instruction at {f}")));
        }
        let number = cpu.gpr(1) as u32;
        let now = self.core.count;
        let done = match bytes {
            [0x0f, 0x32] => {
                let lapic = &mut self.vcpus[id].lapic;
                msr::read(number, id as u32, now, lapic).map(|value| {
                    cpu.set_gpr(0, value & 0xffff_ffff);
                    cpu.set_gpr(2, value >> 32);
                })
            }
            [0x0f, 0x30] => {
                let value = cpu.gpr(0) & 0xffff_ffff | cpu.gpr(2) << 32;
                msr::write(number, id as u32, now, value, &mut self.vcpus[id].lapic)
            }
            _ => {
                let what = format!("{:02x} {:02x} is no MSR instruction", bytes[0], bytes[1]);
                return Err(self.error(ErrorKind::Unsupported, what));
            }
        };
        if done.is_some() {
            cpu.set_rip(cpu.rip().wrapping_add(2));
            self.core.retire_one();
            return Ok(());
        }
        *self.unknown_msrs.entry(number).or_default() += 1;
        self.core.take_back();
        let raised = self.core.raise(
            observer,
            cpu,
            GENERAL_PROTECTION,
            Some(0),
            Source::Exception,
        );
        raised.map_err(|(kind, message)| self.error(kind, message))
    }
}
