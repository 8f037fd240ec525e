//! The events in the order of causal time, for reports that show instants of several CPUs side by side.
//!
//! [`walk`](crate::causal::walk) follows cause and effect, in which two CPUs that do not touch each other
//! may come in either order: within a window the one runs before the other. Here an event waits until no
//! earlier one can come. A later event belongs to the same window or a later one, so its clock is at most
//! the quantum and the longest stretch below the newest seen: a handful of events wait at any time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use trace::event::Event;

use crate::Error;
use crate::causal::{Abouts, Stamped, Walked, walk};
use crate::source::Source;

/// An event that waits, in the order of time and number.
struct Held {
    time_ns: u64,
    pushed_ns: u64,
    event: Event,
    abouts: Abouts,
}

impl Held {
    fn key(&self) -> (u64, u64) {
        (self.time_ns, self.event.seq)
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Held) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Held) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Held) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// What a pass in the order of time has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InTime {
    /// What the pass over the events has seen.
    pub walked: Walked,
    /// Events that came although a later one had been given already: 0, unless a recording breaks its own
    /// bound.
    pub unordered: u64,
}

/// Calls `f` with every event of `source`, by causal time and then by number.
pub fn walk_in_time(
    source: &dyn Source,
    f: &mut dyn FnMut(&Stamped<'_>) -> Result<(), Error>,
) -> Result<InTime, Error> {
    let info = source.info();
    let slack = info.quantum + info.longest_stretch.unwrap_or(info.quantum);
    let mut newest = 0;
    let mut floor = |event: &Stamped<'_>| {
        newest = newest.max(event.event.cycles);
        info.ns(newest.saturating_sub(slack))
    };
    walk_above(source, &mut floor, f)
}

/// The same for who knows how far back events come: `floor` is told every event in the order of numbers and
/// gives the time that no later one lies before.
pub(crate) fn walk_above(
    source: &dyn Source,
    floor: &mut dyn FnMut(&Stamped<'_>) -> u64,
    f: &mut dyn FnMut(&Stamped<'_>) -> Result<(), Error>,
) -> Result<InTime, Error> {
    let mut held: BinaryHeap<Reverse<Held>> = BinaryHeap::new();
    let mut last = (0, 0);
    let mut unordered = 0;
    let mut give = |next: Held| {
        match next.key() < last {
            true => unordered += 1,
            false => last = next.key(),
        }
        f(&Stamped {
            event: &next.event,
            time_ns: next.time_ns,
            pushed_ns: next.pushed_ns,
            abouts: next.abouts,
        })
    };
    let walked = walk(source, &mut |event| {
        let floor = floor(event);
        held.push(Reverse(Held {
            time_ns: event.time_ns,
            pushed_ns: event.pushed_ns,
            event: *event.event,
            abouts: event.abouts,
        }));
        while held.peek().is_some_and(|first| first.0.time_ns < floor) {
            if let Some(Reverse(next)) = held.pop() {
                give(next)?;
            }
        }
        Ok(())
    })?;
    while let Some(Reverse(next)) = held.pop() {
        give(next)?;
    }
    Ok(InTime { walked, unordered })
}
