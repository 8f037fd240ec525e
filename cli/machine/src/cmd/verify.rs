//! `kreplay verify`: records a scenario several times and compares the runs; determinism shown, not
//! claimed. With `--probes`, every run but the first also carries probes that record nothing.

use std::io::{self, Write};
use std::path::Path;

use trace::event::Event;
use trace::krec::{EndOfRun, OutcomeRow, Recording};

use crate::args::VerifyArgs;
use crate::exit::Exit;
use crate::input;
use crate::interrupt::Interrupt;
use crate::plan::Scenario;
use crate::probes::ExtraProbes;
use crate::progress::Progress;
use crate::session::{self, Outside};
use crate::terminal::Terminal;

/// One run, with its recording in memory.
struct Run {
    end: EndOfRun,
    recording: Vec<u8>,
    probes: Option<(usize, u64)>,
}

/// Runs the command.
pub fn run(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let mut scenario = Scenario::new(&args.scenario)?;
    let interrupt = Interrupt::install()?;
    let mut first: Option<Run> = None;
    for number in 1..=args.runs.get() {
        let probes = if number == 1 { 0 } else { args.probes };
        // Whoever types does so once: the other runs are typed what the first one was.
        let terminal = match &first {
            None => scenario.at_terminal.then(Terminal::open).transpose()?,
            Some(first) => {
                scenario.inputs = input::journal(&reading(first)?)?;
                None
            }
        };
        let outside = (terminal.as_ref(), &interrupt);
        let run = once(&scenario, (number, args.runs.get()), probes, outside)?;
        drop(terminal);
        if run.end.outcome == OutcomeRow::Interrupted {
            return Ok(Exit::Interrupted);
        }
        tell(number, &run)?;
        if let Some(first) = &first
            && !same(first, &run)
        {
            differs(first, &run, number)?;
            return Ok(Exit::Differs);
        }
        first.get_or_insert(run);
    }
    writeln!(
        io::stdout().lock(),
        "same: {} runs, one event stream, one machine state",
        args.runs
    )?;
    Ok(match first.map(|run| run.end.outcome) {
        Some(OutcomeRow::GuestFailed { error }) => {
            eprintln!("kreplay: the guest failed, every time: {error}");
            Exit::GuestFailed
        }
        _ => Exit::Done,
    })
}

fn once(
    scenario: &Scenario,
    (number, of): (u32, u32),
    probes: u32,
    (terminal, interrupt): (Option<&Terminal>, &Interrupt),
) -> anyhow::Result<Run> {
    let progress = Progress::new(&format!("run {number} of {of}"));
    let outside = Outside {
        progress: &progress,
        interrupt,
        console: scenario.console,
        terminal,
    };
    // Each run has other places for its probes.
    let mut extra = match probes {
        0 => None,
        count => Some(ExtraProbes::draw(
            scenario.image()?,
            count,
            u64::from(number),
        )?),
    };
    let name = Path::new("a recording in memory");
    let (finished, recording) = session::record(
        scenario,
        scenario.machine()?,
        (Vec::new(), name),
        false,
        extra.as_mut(),
        &outside,
    )?;
    let probes = extra.map(|extra| (extra.in_place(), extra.hits));
    Ok(Run {
        end: finished.end,
        recording,
        probes,
    })
}

fn tell(number: u32, run: &Run) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "run {number}: {} events {} machine {}",
        run.end.events, run.end.stream_sha256, run.end.machine_digest
    )?;
    if let Some((in_place, hits)) = run.probes {
        writeln!(
            out,
            "       with {in_place} more probes inside blocks, hit {hits} times"
        )?;
    }
    Ok(())
}

fn same(a: &Run, b: &Run) -> bool {
    a.end == b.end
}

/// Says what differs: the first event that does, or what is left when no event does.
fn differs(a: &Run, b: &Run, number: u32) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let (left, right) = (events(a)?, events(b)?);
    let at = left.iter().zip(&right).position(|(l, r)| l != r);
    let at = at.or((left.len() != right.len()).then(|| left.len().min(right.len())));
    writeln!(out, "differs: run {number} is not run 1")?;
    match at {
        Some(at) => {
            writeln!(out, "first different event: @{at}")?;
            for (name, event) in [("run 1", left.get(at)), ("this run", right.get(at))] {
                match event {
                    Some(e) => writeln!(
                        out,
                        "  {name}: cpu {} at {} cycles, {:?}",
                        e.cpu, e.cycles, e.data
                    )?,
                    None => writeln!(out, "  {name}: no event any more")?,
                }
            }
        }
        None => {
            writeln!(out, "all {} events are equal; the ends are not", left.len())?;
            writeln!(out, "  run 1:    {:?}", a.end)?;
            writeln!(out, "  this run: {:?}", b.end)?;
        }
    }
    Ok(())
}

fn events(run: &Run) -> anyhow::Result<Vec<Event>> {
    Ok(reading(run)?.load_events()?)
}

fn reading(run: &Run) -> anyhow::Result<Recording> {
    let name = Path::new("a recording in memory");
    Ok(Recording::from_bytes(name, run.recording.clone())?)
}
