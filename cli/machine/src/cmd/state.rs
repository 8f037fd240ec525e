//! `kreplay-machine state`: the kernel's scheduler at given instants of a recorded run, one line of JSON
//! each, for `kreplay ps --at`, `kreplay runq --at` and `kreplay diff` to print.
//!
//! The recorded run is executed again with the recorder on, so that every event up to the last instant
//! can be compared with the recording's: a state of another run is never shown.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context as _, bail};
use emu::{CpuView, Cycles, Exception, Machine, Observer, Outcome, Site, Stamp, VcpuId, VirtAddr};
use trace::event::Event;
use trace::krec::{OutcomeRow, Recording, Writer};
use trace::state::{Clock, Context, Frame, Instant, State};
use trace::target::Unreadable;
use trace::time_arg::TimeArg;
use trace_live::inspect::{Inspector, Scheduler};
use trace_live::{CallStacks, CpuTarget, MachineTarget, Recorder};

use crate::args::StateArgs;
use crate::exit::Exit;
use crate::guest::Guest;
use crate::interrupt::Interrupt;
use crate::plan::Scenario;
use crate::progress::Progress;
use crate::session::{self, Outside};

/// Runs the command.
pub fn run(args: &StateArgs) -> anyhow::Result<Exit> {
    let recording = Recording::open(&args.recording)?;
    let wanted = Wanted::new(&args.at, &recording)?;
    let guest = Guest::of_recording(&recording, &args.guest)?;
    let until = recording.end().and_then(|end| match end.outcome {
        OutcomeRow::PowerOff | OutcomeRow::Reset | OutcomeRow::GuestFailed { .. } => None,
        OutcomeRow::UntilReached | OutcomeRow::Interrupted => Some(Cycles(end.cycles)),
    });
    let scenario = Scenario::again(&recording, guest, until)?;
    let Some(found) = execute(&scenario, wanted, args.at.len())? else {
        return Ok(Exit::Interrupted);
    };
    same_events(&recording, found.recording)?;
    let mut out = io::stdout().lock();
    for state in found.states {
        writeln!(out, "{}", state.to_line())?;
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// The instants asked for, each with its place in the order in which they were typed.
struct Wanted {
    /// By event number.
    events: Vec<(u64, usize)>,
    /// By time in cycles, which is never 0.
    times: Vec<(u64, usize)>,
    /// At the end of the run.
    end: Vec<usize>,
}

impl Wanted {
    fn new(at: &[TimeArg], recording: &Recording) -> anyhow::Result<Wanted> {
        let events = match recording.end() {
            Some(end) => end.events,
            None => recording.load_events()?.len() as u64,
        };
        let mut wanted = Wanted {
            events: Vec::new(),
            times: Vec::new(),
            end: Vec::new(),
        };
        for (place, at) in at.iter().enumerate() {
            match *at {
                TimeArg::Event(seq) if seq >= events => bail!(
                    "--at @{seq}: the recording has {events} events; give one of @0 to @{}",
                    events.saturating_sub(1)
                ),
                TimeArg::Event(seq) => wanted.events.push((seq, place)),
                TimeArg::Boot if events == 0 => bail!("--at boot: the recording has no event"),
                TimeArg::Boot => wanted.events.push((0, place)),
                TimeArg::Nanoseconds(0) => {
                    bail!("--at 0ns: nothing has happened then; give boot for the first event")
                }
                TimeArg::Nanoseconds(ns) => {
                    if let Some(end) = recording.end()
                        && ns > end.cycles
                    {
                        bail!(
                            "--at {at}: the run ends at {}; give an earlier time, or end",
                            TimeArg::Nanoseconds(end.cycles)
                        );
                    }
                    wanted.times.push((ns, place));
                }
                TimeArg::End if recording.end().is_none() => {
                    bail!(
                        "--at end: the recording ends before its run did; give a time or an event"
                    )
                }
                TimeArg::End => wanted.end.push(place),
            }
        }
        wanted.events.sort_unstable();
        wanted.times.sort_unstable();
        Ok(wanted)
    }
}

/// The states, in the order in which they were asked for, and the run as far as it went.
struct Found {
    states: Vec<State>,
    recording: Vec<u8>,
}

/// Runs the scenario through every instant; `None` if the user has enough.
fn execute(scenario: &Scenario, wanted: Wanted, count: usize) -> anyhow::Result<Option<Found>> {
    let image = scenario.image()?;
    let cpus = scenario.config.vcpus;
    let mut machine = scenario.machine()?;
    let name = Path::new("a recording in memory");
    let writer = Writer::new(Vec::new(), name, &scenario.manifest(false))?;
    let mut look = Look {
        recorder: Recorder::new(writer, image, cpus)?,
        inspector: Inspector::new(image, cpus)?,
        stacks: CallStacks::new(image)?,
        cpus,
        events: wanted.events,
        stop_after_events: wanted.times.is_empty() && wanted.end.is_empty(),
        found: (0..count).map(|_| None).collect(),
        failed: None,
    };
    look.events.reverse();
    look.recorder.attach(&mut machine);
    let progress = Progress::new("executing again");
    let interrupt = Interrupt::install()?;
    let outside = Outside {
        progress: &progress,
        interrupt: &interrupt,
        console: false,
        terminal: None,
    };
    for (time, place) in wanted.times {
        let until = Some(Cycles(time));
        let ended = session::watched(&mut machine, &mut look, None, &outside, until);
        match ended.outcome {
            Ok(Outcome::UntilReached) => {}
            Ok(Outcome::StoppedByObserver) if interrupt.requested() => return Ok(None),
            Ok(Outcome::StoppedByObserver) => break,
            _ => {
                let (row, _) = session::outcome_row(ended, scenario)?;
                bail!("the run ended before {}: {row}", TimeArg::Nanoseconds(time));
            }
        }
        look.at_rest(&machine, place)?;
    }
    if look.failed.is_none() && (!look.events.is_empty() || !wanted.end.is_empty()) {
        let until = scenario.until;
        let ended = session::watched(&mut machine, &mut look, None, &outside, until);
        if matches!(ended.outcome, Ok(Outcome::StoppedByObserver)) && interrupt.requested() {
            return Ok(None);
        }
        let (row, _) = session::outcome_row(ended, scenario)?;
        for place in wanted.end {
            look.at_rest(&machine, place)?;
        }
        if let Some((seq, _)) = look.events.last().filter(|_| look.failed.is_none()) {
            bail!("the run is not the recorded one: it ended ({row}) before event @{seq}");
        }
    }
    drop(progress);
    if let Some((at, unreadable)) = look.failed {
        return Err(unreadable).context(format!(
            "at {at} the kernel has not set up what is to be shown"
        ));
    }
    if let Some(error) = look.recorder.error() {
        bail!("{error}");
    }
    let (_, recording) = look
        .recorder
        .finish(&mut machine, OutcomeRow::Interrupted)?;
    let states = look.found.into_iter().flatten().collect::<Vec<_>>();
    if states.len() != count {
        bail!("the run is not the recorded one: an instant was never reached");
    }
    Ok(Some(Found { states, recording }))
}

/// Records, and looks at the kernel at each event that was asked for.
struct Look<'a> {
    recorder: Recorder<'a, Vec<u8>>,
    inspector: Inspector<'a>,
    stacks: CallStacks<'a>,
    cpus: u32,
    /// Those still to come, the next one last.
    events: Vec<(u64, usize)>,
    stop_after_events: bool,
    found: Vec<Option<State>>,
    failed: Option<(String, Unreadable)>,
}

impl Look<'_> {
    /// Looks between two windows.
    fn at_rest(&mut self, machine: &Machine, place: usize) -> anyhow::Result<()> {
        let clocks = (0..self.cpus).map(|cpu| Some(clock(machine.stamp(VcpuId(cpu)))));
        let at = Instant {
            cycles: machine.now().0,
            event: None,
            events_before: self.recorder.events(),
            clocks: clocks.collect(),
        };
        let vcpu = VcpuId(0);
        let read = self.inspector.read(&MachineTarget { machine, vcpu });
        self.keep(
            place,
            at,
            read.map(|scheduler| (scheduler, None)),
            Vec::new(),
        );
        Ok(())
    }

    fn keep(
        &mut self,
        place: usize,
        at: Instant,
        read: Result<(Scheduler, Option<Context>), Unreadable>,
        stack: Vec<Frame>,
    ) {
        match read {
            Ok((scheduler, context)) => {
                self.found[place] = Some(State {
                    at,
                    cpus: scheduler.cpus,
                    tasks: scheduler.tasks,
                    masks: scheduler.masks,
                    stack,
                    context,
                });
            }
            Err(unreadable) => {
                let at = match at.event {
                    Some(seq) => TimeArg::Event(seq),
                    None => TimeArg::Nanoseconds(at.cycles),
                };
                self.failed.get_or_insert((at.to_string(), unreadable));
            }
        }
    }
}

fn clock(stamp: Stamp) -> Clock {
    Clock {
        cycles: stamp.cycles.0,
        insns: stamp.insns.0,
    }
}

impl Observer for Look<'_> {
    fn hit(&mut self, cpu: &mut CpuView<'_>, at: VirtAddr, site: Site) {
        self.recorder.hit(cpu, at, site);
        // One hit can give several events: they are one instant.
        while let Some(&(seq, place)) = self.events.last()
            && seq < self.recorder.events()
        {
            self.events.pop();
            let stamp = cpu.stamp();
            let own = |cpu| (cpu == stamp.vcpu.0).then(|| clock(stamp));
            let instant = Instant {
                cycles: stamp.cycles.0,
                event: Some(seq),
                events_before: seq,
                clocks: (0..self.cpus).map(own).collect(),
            };
            let target = CpuTarget { cpu, at };
            let read = self.inspector.read(&target).and_then(|scheduler| {
                let context = self.inspector.context(&target, stamp.vcpu.0)?;
                Ok((scheduler, Some(context)))
            });
            let stack = self.stacks.read(&target);
            self.keep(place, instant, read, stack);
        }
    }

    fn console(&mut self, at: Stamp, byte: u8) {
        self.recorder.console(at, byte);
    }

    fn exception(&mut self, at: Stamp, exception: Exception) {
        self.recorder.exception(at, exception);
    }

    fn slice(&mut self, now: Cycles) -> ControlFlow<()> {
        if self.failed.is_some() || self.stop_after_events && self.events.is_empty() {
            return ControlFlow::Break(());
        }
        self.recorder.slice(now)
    }
}

/// Compares the events of this run with as many of the recorded one.
fn same_events(recording: &Recording, again: Vec<u8>) -> anyhow::Result<()> {
    let again = Recording::from_bytes(Path::new("a recording in memory"), again)?;
    let (recorded, again) = (recording.load_events()?, again.load_events()?);
    let differs = recorded.iter().zip(&again).position(|(a, b)| a != b);
    if let Some(seq) = differs {
        let tell = |event: &Event| {
            format!(
                "cpu {} at {} cycles, {:?}",
                event.cpu, event.cycles, event.data
            )
        };
        bail!(
            "the run is not the recorded one: event @{seq} is {} and was {}; was it recorded by another kreplay?",
            tell(&again[seq]),
            tell(&recorded[seq])
        );
    }
    if recording.end().is_some() && again.len() > recorded.len() {
        bail!(
            "the run is not the recorded one: it has an event @{} and the recording ends before",
            recorded.len()
        );
    }
    Ok(())
}
