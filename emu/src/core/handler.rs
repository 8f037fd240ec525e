//! What the engine calls while a vCPU runs, and the answers that need no exit: ports, CPUID, RDTSC,
//! exceptions, hits of watched addresses.

use super::sites::purpose;
use super::{Core, Stop};
use crate::blocks::{Fresh, shape};
use crate::cpuid;
use crate::decode::Kind;
use crate::deliver::{self, Source};
use crate::device::board::Written;
use crate::error::ErrorKind;
use crate::observe::{Observer, Site};
use crate::unicorn::{Cpu, Flow, Handler, hf};
use crate::units::VirtAddr;

impl Handler for Core {
    #[inline(always)]
    fn block(&mut self, observer: &mut dyn Observer, cpu: &Cpu, pc: u64, size: u32) -> Flow {
        if self.count < self.hot_limit {
            let line = self.blocks.line_ref(pc);
            if line.pc == pc
                && line.shape == shape(size, cpu.hflags() & hf::MODE)
                && line.tag == u64::from(self.generation)
            {
                let line = *line;
                self.enter(&line);
                return Flow::Continue;
            }
        }
        self.block_slow(observer, cpu, pc, size)
    }

    fn site(&mut self, observer: &mut dyn Observer, cpu: &Cpu, pc: u64) -> Flow {
        self.last_site = Some((self.executed, pc));
        let purposes = self.sites.get(pc);
        if purposes == 0 && self.verify.is_none() {
            return Flow::Continue;
        }
        let Some(index) = self.index_of(VirtAddr(pc)) else {
            return self.fatal(
                ErrorKind::Engine,
                format!("{pc:#x} is no instruction of its block"),
            );
        };
        let clock = self.entry + index;
        if let Err(what) = self.check_clock(clock, "instruction") {
            return self.fatal(ErrorKind::Engine, what);
        }
        if purposes & purpose::WATCHED != 0 {
            self.report(observer, cpu, pc, clock, Site::Instruction);
            if self.settle_requests(clock) {
                self.leave_block(index);
                self.stop = Some(Stop::Sites);
                return Flow::Stop;
            }
        }
        let kind = self.blocks.get(self.block).insns[index as usize].kind;
        if let Some(verify) = &mut self.verify {
            verify.count(self.vcpu.0 as usize, kind);
        }
        // By what is there now: the code may have been patched, or another process may run here. Outside
        // ring 0 the engine raises #GP.
        let msr = kind == Kind::Msr && cpu.hflags() & hf::CPL == 0;
        if msr && !crate::msr::engine_knows(cpu) {
            self.leave_block(index);
            self.stop = Some(Stop::Msr);
            return Flow::Stop;
        }
        Flow::Continue
    }

    fn interrupt(&mut self, observer: &mut dyn Observer, cpu: &Cpu, vector: u32) -> Flow {
        let vector = vector as u8;
        let invalid = vector == 6;
        let software = !invalid && cpu.is_software_interrupt();
        let code = cpu.error_code();
        // A failed instruction fetch found no block to run: nothing is to be taken back.
        let fetch = vector == deliver::PAGE_FAULT && code & 0x10 != 0;
        if fetch {
            self.notice_iret();
        }
        if !software
            && !fetch
            && let Some(index) = self.index_of(cpu.linear_rip())
        {
            // An IRET that faults ends the blocking of NMIs too.
            if index + 1 == self.blocks.get(self.block).insns.len() as u64 {
                self.notice_iret();
            }
            self.count = self.entry + index;
            self.interrupted(cpu);
            self.take_back();
        }
        let source = if software {
            Source::Software
        } else {
            Source::Exception
        };
        if invalid {
            self.note_unknown(cpu);
        }
        cpu.exception_delivered();
        let error = (!software && deliver::has_error_code(vector)).then_some(code);
        match self.raise(observer, cpu, vector, error, source) {
            Ok(()) => Flow::Continue,
            Err((kind, message)) => self.fatal(kind, message),
        }
    }

    fn translated(&mut self, pc: u64, size: u16, insns: u16, hooked: bool) {
        let hooked = hooked || self.verify.is_some();
        self.blocks
            .translated(pc, size.into(), Fresh { insns, hooked });
    }

    fn port_in(&mut self, _cpu: &Cpu, port: u16, size: u32) -> u32 {
        let clock = self.port_clock();
        let value = self.board.port_in(port, size, clock);
        if self.board.wants_attention() {
            self.rearm();
        }
        value.unwrap_or_else(|| {
            *self.unknown_ports.entry(port).or_default() += 1;
            u32::MAX >> (32 - 8 * size.clamp(1, 4))
        })
    }

    fn port_out(
        &mut self,
        observer: &mut dyn Observer,
        _cpu: &Cpu,
        port: u16,
        size: u32,
        value: u32,
    ) -> Flow {
        let clock = self.port_clock();
        match self.board.port_out(port, size, value, clock) {
            Written::Done => {}
            Written::Sent(byte) => {
                self.progress = self.progress.max(clock);
                observer.console(self.stamp_at(clock), byte);
            }
            Written::Nowhere => *self.unknown_ports.entry(port).or_default() += 1,
        }
        if self.board.wants_attention() {
            self.rearm();
        }
        Flow::Continue
    }

    fn cpuid(&mut self, cpu: &Cpu) {
        let (leaf, subleaf) = (cpu.gpr(0) as u32, cpu.gpr(1) as u32);
        let [a, b, c, d] = cpuid::cpuid(leaf, subleaf, self.vcpu.0, &self.topology);
        for (register, value) in [(0, a), (3, b), (1, c), (2, d)] {
            cpu.set_gpr(register, value.into());
        }
    }

    fn rdtsc(&mut self, cpu: &Cpu, aux: bool) {
        let now = self.clock_at(cpu.linear_rip());
        cpu.set_gpr(0, now & 0xffff_ffff);
        cpu.set_gpr(2, now >> 32);
        if aux {
            cpu.set_gpr(1, cpu.tsc_aux() & 0xffff_ffff);
        }
    }

    fn syscall(&mut self, cpu: &Cpu) {
        deliver::syscall(cpu);
    }
}
