//! `kreplay diff`: where two recordings part, and by how much.
//!
//! A recording holds the stacks of some events only. Where the first differing event has none, its run is
//! executed again up to there by `kreplay-machine` and the stack is read; where that cannot be, the answer is
//! the same without it.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use analyze::diff::{self, Diff, Verdict};
use analyze::report;
use analyze::source::Recorded;
use anyhow::bail;
use trace::state::Frame;
use trace::time_arg::TimeArg;

use super::runq;
use crate::args::{DiffArgs, Format};
use crate::exit::{self, Exit};
use crate::machine;

/// Runs the command.
pub fn run(args: &DiffArgs) -> anyhow::Result<Exit> {
    let (a, b) = (super::open(&args.a)?, super::open(&args.b)?);
    let mut found = diff::compare(&Recorded::new(&a)?, &Recorded::new(&b)?)?;
    // CSV has the numbers only.
    if args.format != Format::Csv {
        complete(&mut found, [&args.a, &args.b]);
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    found.render(report::Format::from(args.format), &mut out)?;
    out.flush()?;
    Ok(match found.verdict() {
        Verdict::Same => Exit::Done,
        Verdict::Differs => Exit::Differs,
        Verdict::CannotCompare(_) => Exit::CannotCompare,
    })
}

/// Gives the first difference the stacks that were not recorded, as far as they can be had.
fn complete(found: &mut Diff, recordings: [&Path; 2]) {
    for (side, recording) in recordings.into_iter().enumerate() {
        let Some(seq) = found.without_stack()[side] else {
            continue;
        };
        let name = recording.display();
        if io::stderr().is_terminal() {
            eprintln!("kreplay: executing {name} again up to event @{seq}, for its stack");
        }
        match stack(recording, seq) {
            Ok(stack) => found.give_stack(side, &stack),
            Err(error) => eprintln!(
                "kreplay: no stack of event @{seq} of {name} (`kreplay runq --at @{seq} {name}` takes what else it needs): {}",
                exit::message(&error)
            ),
        }
    }
}

/// The stack at an event, by executing the recorded run again.
fn stack(recording: &Path, seq: u64) -> anyhow::Result<Vec<Frame>> {
    let at = TimeArg::Event(seq).to_string();
    let args: [OsString; 4] = ["--at".into(), at.into(), "--".into(), recording.into()];
    let state = runq::read(&machine::try_ask("state", &args)?)?;
    if state.stack.is_empty() {
        bail!("kreplay-machine has given none; is it of this version?");
    }
    Ok(state.stack)
}
