//! A Perfetto trace: what ui.perfetto.dev opens and trace_processor answers SQL about.
//!
//! | in the file | becomes |
//! |---|---|
//! | every event, in bundles of one CPU | CPU tracks, states of threads, wake-up arrows; table `ftrace_event` |
//! | the task tree | process groups and thread names |
//! | stopper works | slices on `stopper/N`: category `stop.work` is the work's share of an episode and in it `stop.run` its function, with caller, victim and loss; `stop.overhead` an episode without a work |
//! | moves | slices of category `move` below the task, with cause, path and phases |
//! | hand-overs | arrows: a queued work to its run, what moved a task to the task's first run |
//! | states of stop_machine | slices on `stop_machine/N`: a state from seeing it to seeing the next, in it the wait |
//! | interrupts | slices on `interrupts/N`; the local timer's are Perfetto's own |
//! | runqueues | a counter `nr_running` for each CPU |
//!
//! Times are causal time in nanoseconds, as in the reports, so durations are the reports' to the
//! nanosecond. Slices and arrows are made from the rows of those reports; trace_processor computes
//! `sched` and `thread_state` itself, from the events.

mod ftrace;
mod moves;
mod queues;
mod stoppers;
mod tracks;
mod wire;

use std::path::Path;

use super::Written;
use super::order::{Survey, walk_in_time};
use super::output::OutFile;
use crate::Error;
use crate::source::Source;
use crate::{migration, stopper};
use ftrace::Bundles;
use moves::Arrows;
use queues::{Interrupts, NrRunning, StopMachine};
use tracks::Names;
use wire::Message;

/// Writes the recording to `path`, which appears when it is complete.
pub fn export(source: &dyn Source, path: &Path) -> Result<Written, Error> {
    // The analyses first: a recording that they refuse leaves no file.
    let survey = Survey::of(source)?;
    let works = stopper::analyze(source)?;
    let moves = migration::analyze(source)?;

    let mut packets = Packets {
        out: OutFile::create(path)?,
        buffer: Vec::new(),
        begun: [false; 2],
    };
    let cpus = source.info().cpus;
    head(source, &mut packets)?;
    let names = Names::new(&survey);
    names.describe(cpus, &mut packets)?;
    let arrows = Arrows::new(&moves.moves);
    stoppers::write(&works, &arrows, &mut packets)?;
    moves::write(&moves.moves, &names, &mut packets)?;
    drop((works, moves));

    let mut bundles = Bundles::new(cpus);
    let mut running = NrRunning::new(cpus);
    let mut interrupts = Interrupts::new(cpus);
    let mut machine = StopMachine::new(cpus);
    walk_in_time(source, survey.late_ns, &mut |event, time_ns| {
        bundles.push(source, event, time_ns, &mut packets)?;
        running.push(event, time_ns, &mut packets)?;
        interrupts.push(event, time_ns, &mut packets)?;
        machine.push(source, event, time_ns, &mut packets)?;
        arrows.push(event, time_ns, &mut packets)
    })?;
    bundles.finish(&mut packets)?;
    Ok(Written {
        events: survey.events,
        bytes: packets.out.finish()?,
        moved: (0, 0),
    })
}

/// What a reader takes for one writer.
#[derive(Clone, Copy)]
enum Sequence {
    /// All packets but the following.
    Events,
    /// The tracks of threads. A reader would take their writer for a thread of its own, and give that
    /// thread every slice that the writer puts on a track of no thread.
    Threads,
}

/// The packets of the file, one written after the other.
struct Packets {
    out: OutFile,
    buffer: Vec<u8>,
    /// Which sequences have begun.
    begun: [bool; 2],
}

impl Packets {
    /// Writes one `TracePacket`.
    fn packet(&mut self, fill: impl FnOnce(&mut Message<'_>)) -> Result<(), Error> {
        self.packet_of(Sequence::Events, fill)
    }

    fn packet_of(
        &mut self,
        sequence: Sequence,
        fill: impl FnOnce(&mut Message<'_>),
    ) -> Result<(), Error> {
        self.buffer.clear();
        let first = !std::mem::replace(&mut self.begun[sequence as usize], true);
        Message::at_end_of(&mut self.buffer).message(1, |packet| {
            fill(packet);
            // trusted_packet_sequence_id; sequence_flags: a new sequence begins.
            packet.uint(10, sequence as u64 + 1);
            if first {
                packet.uint(13, 1);
            }
        });
        self.out.write(&self.buffer)
    }
}

/// Clocks and system: all times are of one clock that starts with the machine.
fn head(source: &dyn Source, packets: &mut Packets) -> Result<(), Error> {
    const MONOTONIC: u64 = 3;
    const BOOTTIME: u64 = 6;
    packets.packet(|packet| {
        packet.message(6, |snapshot| {
            for clock in [MONOTONIC, BOOTTIME] {
                snapshot.message(1, |m| {
                    m.uint(1, clock).uint(2, 0);
                });
            }
            snapshot.uint(2, BOOTTIME);
        });
    })?;
    packets.packet(|packet| {
        packet.message(45, |info| {
            info.message(1, |utsname| {
                // The release tells the numbers of `prev_state`, which are Linux v6.8's.
                utsname
                    .text(1, "Linux")
                    .text(2, "kreplay")
                    .text(3, "6.8.0")
                    .text(4, "x86_64");
            });
            info.text(4, concat!("kreplay ", env!("CARGO_PKG_VERSION")));
            info.uint(8, source.info().cpus.into());
        });
    })
}
