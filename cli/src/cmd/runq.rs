//! `kreplay runq`: the runqueues at any instant of a recorded run.
//!
//! `kreplay-machine` runs the recording again up to the instant, checks that it is the recorded run, and
//! reads the kernel's structures; what it writes down is printed here.

use std::ffi::OsString;
use std::path::Path;

use analyze::runq;
use analyze::source::Recorded;
use anyhow::Context;
use trace::state::State;
use trace::time_arg::TimeArg;

use crate::args::{GuestArgs, Rows, RunqArgs};
use crate::exit::Exit;
use crate::machine;

/// Runs the command.
pub fn run(args: &RunqArgs) -> anyhow::Result<Exit> {
    match look(&args.report.recording, args.at, &args.guest)? {
        Looked::State(state) => {
            let recording = super::open(&args.report.recording)?;
            let report = runq::report(&state, &Recorded::new(&recording)?);
            super::analyze::print(&report, &args.report, Rows(None))
        }
        Looked::Failed(code) => Ok(Exit::OfMachine(code)),
    }
}

/// What came of looking.
pub enum Looked {
    /// The scheduler at the instant.
    State(Box<State>),
    /// `kreplay-machine` has said what is wrong, and ended with this code.
    Failed(u8),
}

/// Has the recorded run executed again, and the scheduler read at an instant of it.
pub fn look(recording: &Path, at: TimeArg, guest: &GuestArgs) -> anyhow::Result<Looked> {
    let mut args: Vec<OsString> = vec!["--at".into(), at.to_string().into()];
    let files = [
        ("--kernel", &guest.kernel),
        ("--debug", &guest.debug),
        ("--initrd", &guest.initrd),
    ];
    for (option, file) in files {
        if let Some(file) = file {
            args.extend([option.into(), file.into()]);
        }
    }
    args.extend(["--".into(), recording.into()]);
    let (code, text) = machine::ask("state", &args)?;
    if code != 0 {
        return Ok(Looked::Failed(code));
    }
    Ok(Looked::State(Box::new(read(&text)?)))
}

/// Reads the state that `kreplay-machine` has answered.
pub fn read(text: &str) -> anyhow::Result<State> {
    let line = text.lines().next().unwrap_or("");
    State::from_line(line).with_context(|| {
        format!(
            "{} answered something else than a state; is it of this version?",
            machine::path().map_or_else(
                |_| "kreplay-machine".to_owned(),
                |p| p.display().to_string()
            )
        )
    })
}
