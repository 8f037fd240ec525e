//! `kreplay calls`: the tree of calls that led from one function to another, as they happened.
//!
//! The recorded run is executed again: its image, settings and seed are in the recording. That it is
//! the same run is checked by the hash of the machine's final state.

use std::fmt::Write as _;
use std::io::{self, Write};

use anyhow::bail;
use emu::{Cycles, Outcome};
use trace::krec::{EndOfRun, OutcomeRow, Recording};
use trace_live::calls::{CallNode, Calls};

use crate::args::CallsArgs;
use crate::exit::Exit;
use crate::guest::Guest;
use crate::interrupt::Interrupt;
use crate::plan::Scenario;
use crate::progress::Progress;
use crate::session::{self, Outside};

/// Runs the command.
pub fn run(args: &CallsArgs) -> anyhow::Result<Exit> {
    let recording = Recording::open(&args.recording)?;
    let Some(end) = recording.end() else {
        bail!(
            "{} does not say how its run ended ({}); record it again",
            args.recording.display(),
            recording.completeness()
        );
    };
    let guest = Guest::of_recording(&recording, &args.guest)?;
    let scenario = Scenario::again(&recording, guest, until(end))?;
    let mut calls = Calls::new(scenario.image()?, &args.from, &args.to)?;
    let mut machine = scenario.machine()?;
    calls.attach(&mut machine);
    let progress = Progress::new("executing again");
    let interrupt = Interrupt::install()?;
    let outside = Outside {
        progress: &progress,
        interrupt: &interrupt,
        console: false,
        terminal: None,
    };
    let ended = session::watched(&mut machine, &mut calls, None, &outside, scenario.until);
    drop(progress);
    if matches!(ended.outcome, Ok(Outcome::StoppedByObserver)) {
        return Ok(Exit::Interrupted);
    }
    let (row, _) = session::outcome_row(ended, &scenario)?;
    let digest = trace::krec::hex(machine.digest());
    if same_end(&row, &end.outcome) && digest != end.machine_digest {
        bail!(
            "the run is not the recorded one: machine state {digest} and not {}; was it recorded by another kreplay?",
            end.machine_digest
        );
    }
    print(&calls, args)
}

/// When the run ends: by itself if it did, else at the recorded time.
fn until(end: &EndOfRun) -> Option<Cycles> {
    match end.outcome {
        OutcomeRow::PowerOff | OutcomeRow::Reset | OutcomeRow::GuestFailed { .. } => None,
        OutcomeRow::UntilReached | OutcomeRow::Interrupted => Some(Cycles(end.cycles)),
    }
}

/// Whether both runs ended at the same instant, so that their states can be compared. Where Ctrl-C hit
/// is not a time that can be named exactly.
fn same_end(again: &OutcomeRow, recorded: &OutcomeRow) -> bool {
    again == recorded && *recorded != OutcomeRow::Interrupted
}

fn print(calls: &Calls<'_>, args: &CallsArgs) -> anyhow::Result<Exit> {
    let entered = calls.entered();
    if calls.tree().is_empty() {
        bail!(
            "{} was entered {entered} times, never below {} in this run",
            args.to,
            args.from
        );
    }
    let mut text = String::new();
    for root in calls.tree() {
        draw(&mut text, root, 0);
    }
    let below: u64 = calls.tree().iter().map(|root| root.count).sum();
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    writeln!(
        out,
        "{} was entered {entered} times, {below} of them below {}",
        args.to, args.from
    )?;
    Ok(Exit::Done)
}

fn draw(text: &mut String, node: &CallNode, depth: usize) {
    let call = &node.call;
    let _ = write!(text, "{:width$}- {}()", "", call.name, width = depth * 2);
    if let (Some(file), Some(line)) = (&call.file, call.line) {
        let _ = write!(text, " // in {file} at line {line}");
    }
    // A function above `to` is left and entered in ways that no stack tells: only arrivals are counted.
    if node.children.is_empty() && node.count > 1 {
        let _ = write!(text, ", {} times", node.count);
    }
    text.push('\n');
    for child in &node.children {
        draw(text, child, depth + 1);
    }
}
