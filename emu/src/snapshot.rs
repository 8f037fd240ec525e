//! A machine at one instant, as a value: everything that decides how its run goes on.
//!
//! [`crate::Machine::snapshot`] takes one between windows, [`crate::Machine::restore`] and
//! [`crate::Machine::from_snapshot`] go there. Run to T, take one, run on: the rest of the run is, in
//! its events, its clocks, its console and its counters, the rest of the run of a machine made from
//! the snapshot, in this process or another.
//!
//! ```text
//!   Snapshot = configuration + state + pages
//!   state    = machine (windows, counters) + vCPUs (registers, clock, APIC, post) + core (devices,
//!              hang detector, what was reported)                     machine/snapshot.rs, core/saved.rs
//!   pages    = memory, pages of zeros left out, equal ones shared with the snapshot before
//! ```
//!
//! **Not in it**, because it is found again: translated code and what is known of blocks (counts are
//! exact whichever way the translator cuts), cached address translations, and whoever watches. An
//! empty TLB is one thing that software on real hardware must always expect, so it is no state either
//! (SDM volume 3, 4.10.2.3: the processor may drop any entry); a guest that changes a page table and
//! lives on the old translation without INVLPG is as undefined here as there. The policy has no
//! state: it orders a window by the configuration and the window's number.
//!
//! **The file** ([`Snapshot::write`], [`Snapshot::read`]), numbers little-endian:
//!
//! ```text
//!   magic "\x89KSNP\r\n\x1a" | version u32 | 0 u32 | length of the body when unpacked u64
//!   body, zstd: configuration, time: length u64, bytes | state: length u64, bytes | pages: count u64, (number u64, 4096 bytes)...
//!   SHA-256 of everything before
//! ```
//!
//! The bytes are the same wherever the run is: no host address, time or path is among them. A file
//! that was cut short or changed is refused by its checksum, another version by its number, and a
//! length is never believed before it is checked.

pub(crate) mod codec;
mod config;
mod file;
pub(crate) mod memory;

use std::fmt;

use crate::config::MachineConfig;
use crate::units::Cycles;

pub(crate) use codec::{Reader, Saved, Writer, bad, saved};
use memory::Pages;

/// A machine at one instant.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub(crate) config: MachineConfig,
    /// Everything but memory and the configuration, as it is stored.
    pub(crate) state: Vec<u8>,
    pub(crate) pages: Pages,
    /// The time that the machine had reached.
    pub(crate) now: Cycles,
}

impl Snapshot {
    /// The configuration of the machine it was taken of.
    pub fn config(&self) -> &MachineConfig {
        &self.config
    }

    /// The time that the machine had reached.
    pub fn now(&self) -> Cycles {
        self.now
    }

    /// Pages of memory that are not all zeros.
    pub fn pages(&self) -> usize {
        self.pages.kept().count()
    }

    /// Pages that are not held in common with another snapshot: what it takes beside that one.
    pub fn pages_apart(&self, other: &Snapshot) -> usize {
        self.pages.unshared(&other.pages).count()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("now", &self.now)
            .field("pages", &self.pages())
            .finish_non_exhaustive()
    }
}
