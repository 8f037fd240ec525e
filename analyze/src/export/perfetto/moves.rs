//! Moves: a slice below the task from the move's begin to its end, and an arrow from what moved the
//! task (the stopper work, or the event `sched_migrate_task`) to its first run at the destination.

use std::collections::BTreeMap;

use trace::event::{Event, EventData};

use super::Packets;
use super::tracks::{Arg, Label, Names, Track};
use crate::Error;
use crate::migration::{Ended, Move, Path};

/// The phases by the names of the report's columns, in its order.
const PHASES: [&str; 6] = [
    "off_src_ns",
    "stop_wait_ns",
    "stop_run_ns",
    "enq_dst_ns",
    "ipi_ns",
    "first_run_ns",
];

/// The numbers of arrows to first runs; those of works are odd.
fn move_flow(migrate_seq: u64) -> u64 {
    migrate_seq << 1
}

/// Writes the slices of all moves.
pub(super) fn write(moves: &[Move], names: &Names<'_>, packets: &mut Packets) -> Result<(), Error> {
    let mut by_begin: Vec<&Move> = moves.iter().collect();
    by_begin.sort_by_key(|m| (m.begin_ns, m.seqs.migrate));
    let mut lanes = Lanes::default();
    for m in by_begin {
        let (lane, new) = lanes.place(m);
        if new {
            names.describe_moves(lane, m.tid, packets)?;
        }
        let track = Track::Moves(lane);
        packets.begin(track, m.begin_ns, &label(m))?;
        packets.end(track, m.end_ns)?;
    }
    Ok(())
}

fn label(m: &Move) -> Label {
    let text = |text: &str| Arg::Text(text.to_owned());
    let mut args = vec![
        ("kind", text(m.kind.name())),
        ("cause", text(m.cause.name())),
        ("path", text(m.path.name())),
        ("ended", text(m.ended.name())),
        ("src_cpu", Arg::Number(m.src_cpu.into())),
        ("dst_cpu", Arg::Number(m.dst_cpu.into())),
        ("prio", Arg::Signed(m.prio.into())),
        ("event", Arg::Number(m.seqs.migrate)),
    ];
    for (phase, ns) in PHASES.iter().zip(m.phases_ns) {
        args.push((phase, Arg::Number(ns)));
    }
    Label {
        category: "move",
        name: format!("cpu{} to cpu{} ({})", m.src_cpu, m.dst_cpu, m.cause.name()),
        args,
        flows: Vec::new(),
    }
}

/// Slices of one track must not overlap: a move goes to the first track of its task that is free.
#[derive(Default)]
struct Lanes {
    /// Of each task: the tracks and when the last move on each ends.
    tasks: BTreeMap<i32, Vec<(u32, u64)>>,
    count: u32,
}

impl Lanes {
    /// The number of the track, and whether it is new.
    fn place(&mut self, m: &Move) -> (u32, bool) {
        let lanes = self.tasks.entry(m.tid).or_default();
        if let Some((lane, free_ns)) = lanes.iter_mut().find(|(_, free)| *free <= m.begin_ns) {
            *free_ns = m.end_ns;
            return (*lane, false);
        }
        let lane = self.count;
        self.count += 1;
        lanes.push((lane, m.end_ns));
        (lane, true)
    }
}

/// What an event is to a move.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Role {
    /// It moves the task, without a stopper.
    Migrate,
    /// The task runs at the destination.
    FirstRun,
}

/// The arrows of the moves that ran: where each begins and ends.
pub(super) struct Arrows {
    /// Arrows that begin at a stopper's work, with the number of its `stop:work_start`.
    works: Vec<(u64, u64)>,
    /// The other ends, with the numbers of their events, sorted by them.
    events: Vec<(u64, Role, u64)>,
}

impl Arrows {
    pub(super) fn new(moves: &[Move]) -> Arrows {
        let (mut works, mut events) = (Vec::new(), Vec::new());
        for m in moves.iter().filter(|m| m.ended == Ended::Ran) {
            let flow = move_flow(m.seqs.migrate);
            match m.seqs.work_start {
                Some(start) if m.path == Path::Stopper => works.push((start, flow)),
                _ => events.push((m.seqs.migrate, Role::Migrate, flow)),
            }
            events.push((m.seqs.end, Role::FirstRun, flow));
        }
        works.sort_unstable();
        events.sort_unstable();
        Arrows { works, events }
    }

    /// The arrows from the work with this `stop:work_start`.
    pub(super) fn of_work(&self, start_seq: u64) -> impl Iterator<Item = u64> {
        let first = self.works.partition_point(|(seq, _)| *seq < start_seq);
        let works = self.works[first..].iter();
        let of_this = works.take_while(move |(seq, _)| *seq == start_seq);
        of_this.map(|(_, flow)| *flow)
    }

    /// Writes the ends that lie at this event.
    pub(super) fn push(
        &self,
        event: &Event,
        time_ns: u64,
        packets: &mut Packets,
    ) -> Result<(), Error> {
        let first = self.events.partition_point(|(seq, ..)| *seq < event.seq);
        let events = self.events[first..].iter();
        for (_, role, flow) in events.take_while(|(seq, ..)| *seq == event.seq) {
            let (track, category, name) = match (role, &event.data) {
                (Role::FirstRun, EventData::SchedSwitch(e)) => (
                    Track::of_task(e.next_pid, event.cpu),
                    "move.first_run",
                    format!("first run on cpu{}", event.cpu),
                ),
                (_, data) => (
                    Track::of_task(event.pid, event.cpu),
                    "move.migrate",
                    data.schema().name.to_owned(),
                ),
            };
            let label = Label {
                category,
                name,
                args: Vec::new(),
                flows: vec![*flow],
            };
            packets.instant(track, time_ns, &label)?;
        }
        Ok(())
    }
}
