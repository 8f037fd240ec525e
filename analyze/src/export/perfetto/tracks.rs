//! Tracks and what lies on them: their names and places, slices, instants, counters.

use std::collections::BTreeMap;

use super::super::order::{Survey, Task};
use super::wire::Message;
use super::{Packets, Sequence};
use crate::Error;

/// Where something is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Track {
    /// The stopper of a CPU.
    Stopper(u32),
    /// The states of stop_machine on a CPU.
    StopMachine(u32),
    /// `nr_running` of a CPU.
    NrRunning(u32),
    /// Interrupts on a CPU.
    Interrupts(u32),
    /// The idle task of a CPU.
    Swapper(u32),
    /// A task.
    Thread(i32),
    /// Moves of tasks; moves of one task that overlap are on different ones.
    Moves(u32),
}

impl Track {
    /// Where an event of the current task belongs.
    pub(super) fn of_task(pid: i32, cpu: u32) -> Track {
        match pid {
            0 => Track::Swapper(cpu),
            pid => Track::Thread(pid),
        }
    }

    /// The kind in the upper half, the number in the lower.
    fn uuid(self) -> u64 {
        let (kind, number) = match self {
            Track::Stopper(cpu) => (1, cpu),
            Track::NrRunning(cpu) => (2, cpu),
            Track::Interrupts(cpu) => (3, cpu),
            Track::Swapper(cpu) => (4, cpu),
            Track::Thread(pid) => (5, pid as u32),
            Track::Moves(number) => (6, number),
            Track::StopMachine(cpu) => (7, cpu),
        };
        group(kind) | u64::from(number)
    }
}

/// The track that the tracks of a kind lie under.
fn group(kind: u64) -> u64 {
    kind << 40 | 1 << 39
}

/// Fields of `TrackDescriptor`.
mod descriptor {
    pub const UUID: u32 = 1;
    pub const NAME: u32 = 2;
    pub const THREAD: u32 = 4;
    pub const PARENT_UUID: u32 = 5;
    pub const COUNTER: u32 = 8;
    pub const CHILD_ORDERING: u32 = 11;
    pub const SIBLING_ORDER_RANK: u32 = 12;
    /// Children by `SIBLING_ORDER_RANK`.
    pub const EXPLICIT: u64 = 3;
}

/// The names of the tasks.
pub(super) struct Names<'s> {
    tasks: &'s BTreeMap<i32, Task>,
}

impl<'s> Names<'s> {
    pub(super) fn new(survey: &'s Survey) -> Names<'s> {
        Names {
            tasks: &survey.tasks,
        }
    }

    /// Writes the task tree, and the tracks that are there for each CPU and each task.
    pub(super) fn describe(&self, cpus: u32, packets: &mut Packets) -> Result<(), Error> {
        packets.packet(|packet| {
            packet.message(2, |tree| {
                // Each task is a process of its own: what is shown on a CPU has its process's name and
                // colour. A child of kthreadd is shown among the kernel threads all the same.
                for (pid, task) in self.tasks {
                    tree.message(1, |m| {
                        m.int(1, (*pid).into());
                        m.int(2, task.parent.unwrap_or(0).into());
                        m.text(3, &task.comm.to_text());
                    });
                }
            });
        })?;
        for pid in self.tasks.keys() {
            let thread = Track::Thread(*pid);
            describe(Sequence::Threads, packets, |m| {
                m.uint(descriptor::UUID, thread.uuid());
                m.message(descriptor::THREAD, |m| {
                    m.int(1, (*pid).into());
                    m.int(2, (*pid).into());
                });
            })?;
        }
        for (kind, name, track) in [
            (1, "stopper", Track::Stopper as fn(u32) -> Track),
            (7, "stop_machine", Track::StopMachine),
            (2, "nr_running", Track::NrRunning),
            (3, "interrupts", Track::Interrupts),
            (4, "swapper", Track::Swapper),
        ] {
            let parent = group(kind) | 1 << 32;
            describe(Sequence::Events, packets, |m| {
                m.uint(descriptor::UUID, parent);
                m.text(descriptor::NAME, name);
                m.uint(descriptor::CHILD_ORDERING, descriptor::EXPLICIT);
            })?;
            for cpu in 0..cpus {
                describe(Sequence::Events, packets, |m| {
                    m.uint(descriptor::UUID, track(cpu).uuid());
                    m.text(descriptor::NAME, &format!("{name}/{cpu}"));
                    m.uint(descriptor::PARENT_UUID, parent);
                    m.uint(descriptor::SIBLING_ORDER_RANK, cpu.into());
                    if track(cpu) == Track::NrRunning(cpu) {
                        // Its unit: a count.
                        m.message(descriptor::COUNTER, |m| {
                            m.uint(3, 2);
                        });
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Writes the track of moves with that number, below their task.
    pub(super) fn describe_moves(
        &self,
        number: u32,
        pid: i32,
        packets: &mut Packets,
    ) -> Result<(), Error> {
        describe(Sequence::Events, packets, |m| {
            m.uint(descriptor::UUID, Track::Moves(number).uuid());
            m.text(descriptor::NAME, "moves");
            m.uint(descriptor::PARENT_UUID, Track::Thread(pid).uuid());
        })
    }
}

fn describe(
    sequence: Sequence,
    packets: &mut Packets,
    fill: impl FnOnce(&mut Message<'_>),
) -> Result<(), Error> {
    packets.packet_of(sequence, |packet| {
        packet.message(60, fill);
    })
}

/// The value of an argument.
#[derive(Clone, Debug)]
pub(super) enum Arg {
    /// A number.
    Number(u64),
    /// A number with a sign.
    Signed(i64),
    /// Words.
    Text(String),
}

/// What a slice or an instant says.
#[derive(Clone, Debug, Default)]
pub(super) struct Label {
    /// Its category.
    pub(super) category: &'static str,
    /// Its name.
    pub(super) name: String,
    /// Its arguments, in this order.
    pub(super) args: Vec<(&'static str, Arg)>,
    /// The arrows that begin, pass or end here, by their numbers.
    pub(super) flows: Vec<u64>,
}

/// Fields of `TrackEvent`.
mod event {
    pub const DEBUG_ANNOTATIONS: u32 = 4;
    pub const TYPE: u32 = 9;
    pub const TRACK_UUID: u32 = 11;
    pub const CATEGORIES: u32 = 22;
    pub const NAME: u32 = 23;
    pub const COUNTER_VALUE: u32 = 30;
    pub const FLOW_IDS: u32 = 47;
}

/// Values of its type.
const SLICE_BEGIN: u64 = 1;
const SLICE_END: u64 = 2;
const INSTANT: u64 = 3;
const COUNTER: u64 = 4;

impl Packets {
    /// A slice begins; it lies in the slice of the track that has begun last and not ended.
    pub(super) fn begin(&mut self, track: Track, at_ns: u64, label: &Label) -> Result<(), Error> {
        self.event(track, at_ns, SLICE_BEGIN, |m| put(label, m))
    }

    /// The slice of the track that began last ends.
    pub(super) fn end(&mut self, track: Track, at_ns: u64) -> Result<(), Error> {
        self.end_with(track, at_ns, &[])
    }

    /// It ends, and only now more is known about it.
    pub(super) fn end_with(
        &mut self,
        track: Track,
        at_ns: u64,
        args: &[(&'static str, Arg)],
    ) -> Result<(), Error> {
        self.event(track, at_ns, SLICE_END, |m| put_args(args, m))
    }

    /// Something happens.
    pub(super) fn instant(&mut self, track: Track, at_ns: u64, label: &Label) -> Result<(), Error> {
        self.event(track, at_ns, INSTANT, |m| put(label, m))
    }

    /// A counter has a new value.
    pub(super) fn count(&mut self, track: Track, at_ns: u64, value: u64) -> Result<(), Error> {
        self.event(track, at_ns, COUNTER, |m| {
            m.uint(event::COUNTER_VALUE, value);
        })
    }

    fn event(
        &mut self,
        track: Track,
        at_ns: u64,
        event_type: u64,
        fill: impl FnOnce(&mut Message<'_>),
    ) -> Result<(), Error> {
        self.packet(|packet| {
            packet.uint(8, at_ns);
            packet.message(11, |m| {
                m.uint(event::TYPE, event_type);
                m.uint(event::TRACK_UUID, track.uuid());
                fill(m);
            });
        })
    }
}

fn put(label: &Label, m: &mut Message<'_>) {
    m.text(event::CATEGORIES, label.category);
    m.text(event::NAME, &label.name);
    put_args(&label.args, m);
    for flow in &label.flows {
        m.fixed64(event::FLOW_IDS, *flow);
    }
}

fn put_args(args: &[(&'static str, Arg)], m: &mut Message<'_>) {
    for (name, value) in args {
        m.message(event::DEBUG_ANNOTATIONS, |m| {
            match value {
                Arg::Number(v) => m.uint(3, *v),
                Arg::Signed(v) => m.int(4, *v),
                Arg::Text(v) => m.text(6, v),
            };
            m.text(10, name);
        });
    }
}
