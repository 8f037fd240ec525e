//! The machine's test of itself: every instruction counted one by one, beside the blocks.
//!
//! The engine calls [`super::Core`]'s site handler for every instruction while this is on. At each
//! of them, and at every event, the clock made from blocks must equal the count; and where an
//! interrupt lands or a slice ends, the instruction before must be one that a legal stop follows.

use crate::decode::Kind;

/// What is known about one vCPU.
#[derive(Clone, Copy)]
struct Track {
    /// Instructions retired.
    count: u64,
    /// The last one; `None` after an exception or interrupt was delivered.
    last: Option<Kind>,
}

/// The counts of all vCPUs.
pub(super) struct Verify(Vec<Track>);

impl Verify {
    /// Starts from the instructions each vCPU has retired so far, at legal stops.
    pub(super) fn new(so_far: impl Iterator<Item = u64>) -> Self {
        Self(so_far.map(|count| Track { count, last: None }).collect())
    }

    /// An instruction executes.
    pub(super) fn count(&mut self, vcpu: usize, kind: Kind) {
        self.0[vcpu].count += 1;
        self.0[vcpu].last = Some(kind);
    }

    /// It did not retire after all.
    pub(super) fn take_back(&mut self, vcpu: usize) {
        self.0[vcpu].count -= 1;
    }

    /// An exception or interrupt was delivered, or INIT or SIPI received.
    pub(super) fn delivered(&mut self, vcpu: usize) {
        self.0[vcpu].last = None;
    }

    /// Compares a claim with the count; the error is a sentence.
    pub(super) fn check(&self, vcpu: usize, claimed: u64, what: &str) -> Result<(), String> {
        let counted = self.0[vcpu].count;
        if counted == claimed {
            return Ok(());
        }
        Err(format!(
            "{what}: {claimed} instructions claimed retired, {counted} counted"
        ))
    }

    /// Checks that the position is a legal stop.
    pub(super) fn check_legal(&self, vcpu: usize, what: &str) -> Result<(), String> {
        match self.0[vcpu].last {
            Some(kind) if kind.is_legal_end() => Ok(()),
            None => Ok(()),
            Some(kind) => Err(format!("{what} after an instruction of kind {kind:?}")),
        }
    }
}
