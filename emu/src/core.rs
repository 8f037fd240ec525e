//! What happens while a vCPU runs: counting, legal stops, watched addresses, exceptions, ports.
//!
//! The clock of the running vCPU is exact at every block start. A block is counted whole when it is
//! entered; whoever needs the clock in the middle of it adds the index of the instruction to the
//! count at entry, and whoever leaves it early (a fault, a device access) takes back what was not
//! executed.
//!
//! A block start is a *legal stop* if the instruction before it was a control transfer, an
//! iteration of a REP instruction, HLT, or if an exception was just delivered. Starts that exist
//! because the translator, or a site's hook, ended a block early are not; [`Core::split`] says so.

mod handler;
mod saved;
mod sites;
mod verify;

use std::collections::{BTreeMap, BTreeSet};

use crate::blocks::{self, Blocks, Line, flag};
use crate::decode::{Decoder, Kind, MAX_INSN, Mode};
use crate::deliver::{self, DOUBLE_FAULT, Nested, Source};
use crate::device::board::Board;
use crate::error::{Error, ErrorKind};
use crate::names::instruction_name;
use crate::observe::{CpuView, Exception, Observer, Requests, Site};
use crate::paging::{Access, Space};
use crate::snapshot::{Saved, Writer};
use crate::topology::Topology;
use crate::unicorn::{Cpu, Flow, hf};
use crate::units::{Cycles, Insns, Stamp, VcpuId, VirtAddr};
use crate::vcpu::Nmi;
pub(crate) use saved::CoreState;
use sites::{Sites, purpose};
use verify::Verify;

/// How many block starts an error shows.
const HISTORY: usize = 32;

/// The most instructions that are counted by name.
const MOST_NAMES: usize = 256;

/// So many exceptions in a row without an instruction that retires have no end: a handler that cannot
/// be fetched, on a stack that every delivery begins anew, raises them for ever, in no virtual time.
const ENDLESS: u64 = 100_000;

/// No block is being executed.
const NO_BLOCK: u32 = u32::MAX;

/// Why the running vCPU was stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// At a legal stop: time is up, or an interrupt can be delivered.
    Legal,
    /// Hooks must be added before it goes on.
    Sites,
    /// An RDMSR or WRMSR that the engine would get wrong is next.
    Msr,
    /// The run ends in an error.
    Fatal(ErrorKind, String),
}

/// The state of the running vCPU's stretch, and everything its callbacks need.
pub(crate) struct Core {
    /// Clock at the end of the current block, or exact if none is executing.
    pub(crate) count: u64,
    /// Clock at its entry.
    entry: u64,
    /// Above this the slow path looks; 0 makes it look at every block.
    hot_limit: u64,
    generation: u32,
    block_size: u32,
    block_pc: u64,
    block: u32,
    /// Blocks executed, and the index of the next line of the history.
    pub(crate) executed: u64,
    history: [u64; HISTORY],
    blocks: Blocks,

    /// The slice ends, or an event is due, at the first legal stop from here on.
    pub(crate) limit: u64,
    /// An interrupt waits for IF or for the end of a shadow.
    pub(crate) interrupt_waits: bool,
    /// NMIs at the running vCPU.
    pub(crate) nmi: Nmi,
    /// The position follows an instruction that no legal stop follows.
    pub(crate) split: bool,
    /// Clock of the last legal stop, if `split`.
    stretch_from: u64,
    /// Entry of the last block that was entered off a legal stop.
    illegal_entry: Option<u64>,
    pub(crate) longest_stretch: u64,
    flush_pending: bool,
    spaces: BTreeMap<Space, u32>,
    next_generation: u32,
    pub(crate) stop: Option<Stop>,

    pub(crate) vcpu: VcpuId,
    topology: Topology,
    /// Cycles of the running vCPU that were no instructions: time it was halted.
    pub(crate) skipped: u64,
    pub(crate) decoder: Decoder,

    sites: Sites,
    starts: BTreeSet<u64>,
    /// Sites were added, so translations without their hooks must go.
    pub(crate) sites_added: bool,
    /// A block to translate again, with hooks on the instructions in a range.
    pub(crate) to_hook: Option<(VirtAddr, [VirtAddr; 2])>,
    reported: [Option<(VcpuId, u64, u64)>; 2],
    /// The hooked instruction reached last: number of its block, address.
    last_site: Option<(u64, u64)>,
    requests: Requests,
    port_accesses: (u64, usize),

    /// The devices that all vCPUs share.
    pub(crate) board: Board,
    /// Latest clock of a task switch, console byte or HLT.
    pub(crate) progress: u64,
    /// Instructions of each vCPU counted one by one, when that is asked for.
    verify: Option<Verify>,
    pub(crate) unknown_ports: BTreeMap<u16, u64>,
    /// Instructions that the engine refused, by name.
    pub(crate) unknown_instructions: BTreeMap<String, u64>,
    pub(crate) exceptions: BTreeMap<u8, u64>,
    /// Exceptions delivered at one clock of one vCPU: the vCPU, the clock, how many.
    in_a_row: (VcpuId, u64, u64),
}

/// How the bytes at RIP decode.
pub(crate) fn mode(hflags: u32) -> Mode {
    match (hflags & hf::CS64 != 0, hflags & hf::CS32 != 0) {
        (true, _) => Mode::Bits64,
        (false, true) => Mode::Bits32,
        (false, false) => Mode::Bits16,
    }
}

impl Core {
    pub(crate) fn new(topology: Topology) -> Result<Self, Error> {
        Ok(Self {
            count: 0,
            entry: 0,
            hot_limit: 0,
            generation: 1,
            block_size: 0,
            block_pc: 0,
            block: NO_BLOCK,
            executed: 0,
            history: [0; HISTORY],
            blocks: Blocks::new(),
            limit: 0,
            interrupt_waits: false,
            nmi: Nmi::default(),
            split: false,
            stretch_from: 0,
            illegal_entry: None,
            longest_stretch: 0,
            flush_pending: false,
            spaces: BTreeMap::new(),
            next_generation: 2,
            stop: None,
            vcpu: VcpuId(0),
            topology,
            skipped: 0,
            decoder: Decoder::new()?,
            sites: Sites::new(),
            starts: BTreeSet::new(),
            sites_added: false,
            to_hook: None,
            reported: [None; 2],
            last_site: None,
            requests: Requests::default(),
            port_accesses: (0, 0),
            board: Board::new(),
            progress: 0,
            verify: None,
            unknown_ports: BTreeMap::new(),
            unknown_instructions: BTreeMap::new(),
            exceptions: BTreeMap::new(),
            in_a_row: (VcpuId(0), 0, 0),
        })
    }

    /// Starts of the blocks executed last, oldest first.
    pub(crate) fn last_blocks(&self) -> Vec<VirtAddr> {
        let from = self.executed.saturating_sub(HISTORY as u64);
        (from..self.executed)
            .map(|n| VirtAddr(self.history[n as usize % HISTORY]))
            .collect()
    }

    /// A stamp of the running vCPU.
    pub(crate) fn stamp_at(&self, cycles: u64) -> Stamp {
        let insns = Insns(cycles.wrapping_sub(self.skipped));
        Stamp {
            vcpu: self.vcpu,
            cycles: Cycles(cycles),
            insns,
        }
    }

    /// Another vCPU was loaded, with its clock and its address space.
    pub(crate) fn switched(&mut self, vcpu: VcpuId, count: u64, skipped: u64, space: Space) {
        self.vcpu = vcpu;
        self.count = count;
        self.skipped = skipped;
        self.block = NO_BLOCK;
        if self.flush_pending {
            self.new_generation();
        }
        let next = &mut self.next_generation;
        self.generation = *self.spaces.entry(space).or_insert_with(|| {
            *next += 1;
            *next
        });
    }

    /// Cached address translations may have changed.
    fn new_generation(&mut self) {
        self.flush_pending = false;
        self.spaces.clear();
        self.next_generation += 1;
        self.generation = self.next_generation;
    }

    /// Sets the fast path's limit from everything that needs the slow one.
    pub(crate) fn rearm(&mut self) {
        let slow = self.split
            || self.flush_pending
            || self.interrupt_waits
            || self.nmi != Nmi::default()
            || self.board.wants_attention();
        self.hot_limit = if slow { 0 } else { self.limit };
    }

    /// The index, in the block being executed, of the instruction at a linear address.
    pub(crate) fn index_of(&self, pc: VirtAddr) -> Option<u64> {
        if self.block == NO_BLOCK {
            return None;
        }
        let offset = pc.0.wrapping_sub(self.block_pc);
        if offset >= u64::from(self.block_size) {
            return None;
        }
        self.blocks.get(self.block).index_at(offset)
    }

    /// The clock at an instruction of the block being executed.
    fn clock_at(&self, pc: VirtAddr) -> u64 {
        self.index_of(pc).map_or(self.count, |i| self.entry + i)
    }

    /// Leaves the current block before its instruction `index`, off any legal stop.
    pub(crate) fn leave_block(&mut self, index: u64) {
        self.count = self.entry + index;
        if self.illegal_entry != Some(self.entry) {
            self.stretch_from = self.entry;
        }
        self.split = true;
        self.block = NO_BLOCK;
        self.rearm();
    }

    /// The instruction at the current position was done by the host.
    pub(crate) fn retire_one(&mut self) {
        self.count += 1;
    }

    /// The position became a legal stop: an exception or interrupt was delivered, or HLT executed.
    pub(crate) fn legal_position(&mut self) {
        if self.split {
            self.longest_stretch = self.longest_stretch.max(self.count - self.stretch_from);
        }
        self.split = false;
        self.block = NO_BLOCK;
        self.rearm();
        if let Some(verify) = &mut self.verify {
            verify.delivered(self.vcpu.0 as usize);
        }
    }

    /// The instruction at RIP did not complete: a fault, or a device. Repairs what a hook on it
    /// did.
    pub(crate) fn interrupted(&self, cpu: &Cpu) {
        if self.last_site == Some((self.executed, cpu.linear_rip().0)) {
            cpu.flags_are_computed();
        }
    }

    /// The last instruction of the block being executed.
    pub(crate) fn last_kind(&self) -> Kind {
        if self.block == NO_BLOCK {
            Kind::Plain
        } else {
            self.blocks.get(self.block).last()
        }
    }

    /// Counts every instruction from now on and compares: every instruction must reach the site
    /// handler.
    pub(crate) fn verify(&mut self, so_far: impl Iterator<Item = u64>) {
        self.verify = Some(Verify::new(so_far));
    }

    /// Whether every instruction is hooked anyway.
    pub(crate) fn verifies(&self) -> bool {
        self.verify.is_some()
    }

    /// An instruction that was about to execute did not retire, or will come again.
    pub(crate) fn take_back(&mut self) {
        if let Some(verify) = &mut self.verify {
            verify.take_back(self.vcpu.0 as usize);
        }
    }

    /// Compares a clock of the running vCPU with the count made one by one.
    fn check_clock(&self, clock: u64, what: &str) -> Result<(), String> {
        self.verify.as_ref().map_or(Ok(()), |v| {
            v.check(self.vcpu.0 as usize, clock.wrapping_sub(self.skipped), what)
        })
    }

    /// When everything is verified: checks that the running vCPU is at a legal stop.
    pub(crate) fn check_legal(&self, what: &str) -> Result<(), (ErrorKind, String)> {
        let legal = |v: &Verify| v.check_legal(self.vcpu.0 as usize, what);
        let checked = self.verify.as_ref().map_or(Ok(()), legal);
        checked.map_err(|what| (ErrorKind::Engine, what))
    }

    /// Adds or removes a watched address.
    pub(crate) fn change(&mut self, at: VirtAddr, site: Site, add: bool) {
        match site {
            Site::Block => {
                let changed = if add {
                    self.starts.insert(at.0)
                } else {
                    self.starts.remove(&at.0)
                };
                if changed {
                    self.blocks.forget_line(at.0);
                }
            }
            Site::Instruction => {
                if add {
                    self.sites.add(at.0, purpose::WATCHED);
                    self.sites_added |= self.verify.is_none();
                } else {
                    self.sites.remove(at.0, purpose::WATCHED);
                }
            }
        }
    }

    /// Applies what an observer asked for; whether the engine must be left for it.
    fn settle_requests(&mut self, clock: u64) -> bool {
        if std::mem::take(&mut self.requests.progress) {
            self.progress = self.progress.max(clock);
        }
        for (at, site, add) in std::mem::take(&mut self.requests.changes) {
            self.change(at, site, add);
        }
        self.sites_added
    }

    /// Reports a hit, unless this very one was reported before a stop.
    fn report(&mut self, observer: &mut dyn Observer, cpu: &Cpu, pc: u64, clock: u64, site: Site) {
        let this = Some((self.vcpu, clock, pc));
        let slot = &mut self.reported[site as usize];
        if *slot == this {
            return;
        }
        *slot = this;
        let stamp = self.stamp_at(clock);
        let mut view = CpuView::new(cpu, stamp, &mut self.requests);
        observer.hit(&mut view, VirtAddr(pc), site);
    }

    fn fatal(&mut self, kind: ErrorKind, message: String) -> Flow {
        self.stop = Some(Stop::Fatal(kind, message));
        Flow::Stop
    }

    /// Counts a block that is about to run.
    #[inline(always)]
    fn enter(&mut self, line: &Line) {
        self.history[self.executed as usize % HISTORY] = line.pc;
        self.executed += 1;
        self.entry = self.count;
        self.count += u64::from(line.insns);
        self.block_pc = line.pc;
        self.block_size = line.size();
        self.block = line.block;
    }

    /// The line for a block, from the front cache or made anew.
    fn line(&mut self, cpu: &Cpu, pc: u64, size: u32) -> Result<Line, Error> {
        let hflags = cpu.hflags();
        let line = self.blocks.line(pc);
        let shape = blocks::shape(size, hflags & hf::MODE);
        if (line.pc, line.shape, line.tag as u32) == (pc, shape, self.generation) {
            return Ok(line);
        }
        let place = self
            .blocks
            .place(pc, size, self.generation, |at| {
                cpu.translate(VirtAddr(at), Access::Peek)
            })
            .map_err(|f| Error::new(ErrorKind::Unsupported, format!("code at {f}")))?;
        if let Some(line) = self.blocks.renew((pc, shape), self.generation, place) {
            return Ok(line);
        }
        let fresh = self.blocks.take_fresh(pc, size);
        let index = self.blocks.find(
            &self.decoder,
            pc,
            (place, size, mode(hflags)),
            fresh,
            || {
                let mut bytes = vec![0; size as usize];
                cpu.read_virt(VirtAddr(pc), &mut bytes)
                    .map_err(|f| Error::new(ErrorKind::Unsupported, format!("code at {f}")))?;
                Ok(bytes)
            },
        )?;
        let block = self.blocks.get(index);
        let insns = block.insns.len() as u32;
        let mut flags = 0;
        if !block.ends_legally() {
            flags |= flag::SPLIT;
        }
        if block.last() == Kind::FlushesTlb {
            flags |= flag::FLUSHES;
        }
        if self.starts.contains(&pc) {
            flags |= flag::WATCHED;
        }
        for d in block.insns.iter().filter(|d| d.kind == Kind::Msr) {
            self.sites.add(pc + u64::from(d.offset), purpose::MSR);
        }
        let line_tag = blocks::tag(self.generation, flags);
        let line = Line {
            pc,
            shape,
            tag: line_tag,
            insns,
            block: index,
        };
        if fresh.is_some_and(|f| !f.hooked)
            && let Some(range) = self.sites.inside(pc, size)
        {
            self.to_hook = Some((VirtAddr(pc), range.map(VirtAddr)));
            return Ok(line);
        }
        self.longest_stretch = self.longest_stretch.max(insns.into());
        self.blocks.set_line(line, place);
        Ok(line)
    }

    /// Notices that the engine gave up the current block in the middle.
    ///
    /// It does so when an instruction overwrites the block it is in, and then runs that instruction
    /// alone. No other way leads from a block to a block of one instruction inside it that is no
    /// control transfer: an instruction that ends blocks by its nature is the last of its own.
    fn notice_restart(&mut self, cpu: &Cpu, pc: u64, size: u32) -> Result<(), Error> {
        let Some(index) = self.index_of(VirtAddr(pc)) else {
            return Ok(());
        };
        let line = self.line(cpu, pc, size)?;
        if line.insns == 1 && line.flags() & flag::SPLIT != 0 {
            self.interrupted(cpu);
            self.take_back();
            self.leave_block(index);
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn block_slow(&mut self, observer: &mut dyn Observer, cpu: &Cpu, pc: u64, size: u32) -> Flow {
        if self.flush_pending {
            self.new_generation();
        }
        if let Err(e) = self.notice_restart(cpu, pc, size) {
            return self.fatal(e.kind(), e.message().to_string());
        }
        self.notice_iret();
        let legal = !self.split;
        let due = self.count >= self.limit || self.board.wants_attention();
        if legal && (due || self.can_interrupt(cpu)) {
            self.stop = Some(Stop::Legal);
            return Flow::Stop;
        }
        let line = match self.line(cpu, pc, size) {
            Ok(line) => line,
            Err(e) => return self.fatal(e.kind(), e.message().to_string()),
        };
        if self.to_hook.is_some() {
            self.stop = Some(Stop::Sites);
            return Flow::Stop;
        }
        if line.flags() & flag::WATCHED != 0 && legal {
            self.report(observer, cpu, pc, self.count, Site::Block);
            if self.settle_requests(self.count) {
                self.stop = Some(Stop::Sites);
                return Flow::Stop;
            }
        }
        self.enter(&line);
        self.illegal_entry = (!legal).then_some(self.entry);
        self.flush_pending = line.flags() & flag::FLUSHES != 0;
        if line.flags() & flag::SPLIT != 0 {
            if legal {
                self.stretch_from = self.entry;
            }
            self.split = true;
        } else {
            if !legal {
                self.longest_stretch = self.longest_stretch.max(self.count - self.stretch_from);
            }
            self.split = false;
        }
        self.rearm();
        Flow::Continue
    }

    /// Ends the blocking of NMIs when the block that was just executed ends in an IRET (SDM vol. 3,
    /// 7.7.1).
    fn notice_iret(&mut self) {
        if self.nmi.blocked && self.last_kind() == Kind::Iret {
            self.nmi.blocked = false;
        }
    }

    /// Whether an interrupt waits that could be delivered here. The shadow of STI and MOV SS holds
    /// NMIs back too, as the SDM allows (vol. 3, 7.8.3).
    fn can_interrupt(&self, cpu: &Cpu) -> bool {
        let nmi = self.nmi.pending && !self.nmi.blocked;
        let open = nmi || self.interrupt_waits && cpu.interrupts_on();
        open && cpu.hflags() & hf::INHIBIT_IRQ == 0
    }

    /// Delivers a vector, and what its delivery raises, up to a triple fault.
    pub(crate) fn raise(
        &mut self,
        observer: &mut dyn Observer,
        cpu: &Cpu,
        vector: u8,
        error: Option<u32>,
        source: Source,
    ) -> Result<(), (ErrorKind, String)> {
        let mut rip = cpu.rip();
        self.check_clock(self.count, "vector")
            .map_err(|what| (ErrorKind::Engine, what))?;
        if source == Source::External {
            self.check_legal("an interrupt lands")?;
        }
        if cpu.hflags() & hf::LMA == 0 {
            let what = format!("vector {vector} outside long mode, at {rip:#x}");
            return Err((ErrorKind::TripleFault, what));
        }
        self.in_a_row = match self.in_a_row {
            (vcpu, clock, many) if (vcpu, clock) == (self.vcpu, self.count) => {
                (vcpu, clock, many + 1)
            }
            _ => (self.vcpu, self.count, 1),
        };
        if self.in_a_row.2 > ENDLESS {
            let what = format!(
                "the guest hangs: {ENDLESS} exceptions in a row without an instruction between them, \
                 the last of vector {vector} at {rip:#x}"
            );
            return Err((ErrorKind::Hang, what));
        }
        let (mut vector, mut error, mut source) = (vector, error, source);
        let first = vector;
        while let Err(nested) = deliver::deliver(cpu, vector, error, source, rip) {
            let Nested {
                vector: raised,
                error: code,
                cr2,
            } = deliver::combine(vector, source, nested);
            if let Some(cr2) = cr2 {
                cpu.set_cr(2, cr2);
            }
            if vector == DOUBLE_FAULT {
                let what = format!(
                    "triple fault: vector {first} at {rip:#x} (CR2 {:#x}) and then the double fault \
                     could not be delivered: vector {}, error code {:#x}",
                    cpu.cr(2),
                    nested.vector,
                    nested.error
                );
                return Err((ErrorKind::TripleFault, what));
            }
            if source == Source::Software {
                // The INT instruction faults instead: it did not retire, and RIP is its own.
                rip = self.undo_last(rip);
                cpu.set_rip(rip);
            }
            (vector, error, source) = (raised, Some(code), Source::Exception);
        }
        if source != Source::External {
            *self.exceptions.entry(vector).or_default() += 1;
        }
        let exception = Exception {
            vector,
            rip: VirtAddr(rip),
            error_code: error,
            cr2: VirtAddr(cpu.cr(2)),
            external: source == Source::External,
        };
        self.legal_position();
        observer.exception(self.stamp_at(self.count), exception);
        Ok(())
    }

    /// Counts the instruction at RIP, which the engine does not have, unless it is one that is there to
    /// be refused.
    fn note_unknown(&mut self, cpu: &Cpu) {
        let mut bytes = [0; MAX_INSN];
        let room = (4096 - (cpu.linear_rip().0 & 4095) as usize).min(MAX_INSN);
        let whole = cpu.read_virt(cpu.linear_rip(), &mut bytes).is_ok();
        if !whole && cpu.read_virt(cpu.linear_rip(), &mut bytes[..room]).is_err() {
            return;
        }
        let bytes = if whole { &bytes[..] } else { &bytes[..room] };
        if matches!(bytes, [0x0f, 0x0b | 0xb9 | 0xff, ..]) {
            return;
        }
        let name = instruction_name(mode(cpu.hflags()) == Mode::Bits64, bytes);
        let full = self.unknown_instructions.len() >= MOST_NAMES;
        let name = if full && !self.unknown_instructions.contains_key(&name) {
            "others".to_owned()
        } else {
            name
        };
        *self.unknown_instructions.entry(name).or_default() += 1;
    }

    /// Takes back the last instruction of the current block; `rip` is behind it.
    fn undo_last(&mut self, rip: u64) -> u64 {
        if self.block == NO_BLOCK {
            return rip;
        }
        let block = self.blocks.get(self.block);
        let last = block.insns.last().map_or(0, |d| u32::from(d.offset));
        self.count -= 1;
        let length = u64::from(block.bytes - last);
        self.take_back();
        rip.wrapping_sub(length)
    }

    /// The clock at the port instruction being executed: the n-th access of a block is its n-th
    /// port instruction, since blocks are straight lines.
    fn port_clock(&mut self) -> u64 {
        let nth = if self.port_accesses.0 == self.executed {
            self.port_accesses.1
        } else {
            0
        };
        self.port_accesses = (self.executed, nth + 1);
        if self.block == NO_BLOCK {
            return self.count;
        }
        let insns = &self.blocks.get(self.block).insns;
        let mut ports = insns
            .iter()
            .enumerate()
            .filter(|(_, d)| d.kind == Kind::PortIo);
        let index = ports
            .nth(nth)
            .map_or(insns.len().saturating_sub(1), |(i, _)| i);
        self.entry + index as u64
    }

    /// The state of the devices that are not part of a vCPU, for the digest.
    pub(crate) fn device_bytes(&self) -> Vec<u8> {
        let mut state = Writer::default();
        self.board.save(&mut state);
        state.into_bytes()
    }
}
