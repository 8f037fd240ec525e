//! What of the core a snapshot keeps: counts, devices, and what has been reported.
//!
//! A snapshot is taken between windows. No block is being executed then, every vCPU is at a legal
//! stop, and what is known of blocks, translations and hooks is found again.

use std::collections::BTreeMap;

use super::{Core, HISTORY, NO_BLOCK};
use crate::device::board::Board;
use crate::snapshot::saved;
use crate::units::VcpuId;

/// The core's part of a snapshot: its fields of the same names.
pub(crate) struct CoreState {
    pub(crate) count: u64,
    executed: u64,
    history: [u64; HISTORY],
    longest_stretch: u64,
    vcpu: VcpuId,
    skipped: u64,
    reported: [Option<(VcpuId, (u64, u64))>; 2],
    board: Board,
    progress: u64,
    unknown_ports: BTreeMap<u16, u64>,
    unknown_instructions: BTreeMap<String, u64>,
    exceptions: BTreeMap<u8, u64>,
}

saved!(CoreState {
    count,
    executed,
    history,
    longest_stretch,
    vcpu,
    skipped,
    reported,
    board,
    progress,
    unknown_ports,
    unknown_instructions,
    exceptions,
});

impl Core {
    /// The state between two windows.
    pub(crate) fn state(&self) -> CoreState {
        // Every field is here, kept or not: a new one has to be thought about.
        let Core {
            count,
            executed,
            history,
            longest_stretch,
            vcpu,
            skipped,
            reported,
            board,
            progress,
            unknown_ports,
            unknown_instructions,
            exceptions,
            // Of the block being executed: there is none.
            entry: _,
            block_size: _,
            block_pc: _,
            block: _,
            port_accesses: _,
            last_site: _,
            in_a_row: _,
            stop: _,
            split: _,
            stretch_from: _,
            illegal_entry: _,
            // Set anew for every stretch.
            hot_limit: _,
            limit: _,
            interrupt_waits: _,
            nmi: _,
            // Caches, and what keeps them true.
            generation: _,
            blocks: _,
            flush_pending: _,
            spaces: _,
            next_generation: _,
            decoder: _,
            // Whoever watches says so again.
            sites: _,
            starts: _,
            sites_added: _,
            to_hook: _,
            requests: _,
            verify: _,
            // The configuration's.
            topology: _,
        } = self;
        CoreState {
            count: *count,
            executed: *executed,
            history: *history,
            longest_stretch: *longest_stretch,
            vcpu: *vcpu,
            skipped: *skipped,
            reported: reported.map(|r| r.map(|(vcpu, clock, pc)| (vcpu, (clock, pc)))),
            board: board.clone(),
            progress: *progress,
            unknown_ports: unknown_ports.clone(),
            unknown_instructions: unknown_instructions.clone(),
            exceptions: exceptions.clone(),
        }
    }

    /// Takes a state, and forgets whatever was cached for the memory that was there before.
    pub(crate) fn set_state(&mut self, state: CoreState) {
        self.count = state.count;
        self.executed = state.executed;
        self.history = state.history;
        self.longest_stretch = state.longest_stretch;
        self.vcpu = state.vcpu;
        self.skipped = state.skipped;
        let reported = state.reported;
        self.reported = reported.map(|r| r.map(|(vcpu, (clock, pc))| (vcpu, clock, pc)));
        self.board = state.board;
        self.progress = state.progress;
        self.unknown_ports = state.unknown_ports;
        self.unknown_instructions = state.unknown_instructions;
        self.exceptions = state.exceptions;
        self.block = NO_BLOCK;
        self.port_accesses = (0, 0);
        self.last_site = None;
        self.stop = None;
        self.split = false;
        self.illegal_entry = None;
        self.interrupt_waits = false;
        self.to_hook = None;
        self.new_generation();
    }
}
