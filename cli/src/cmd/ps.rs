//! `kreplay ps`: the tasks at the end of the run, from the recording's task table, or at any instant.

use analyze::source::Recorded;
use analyze::tasks;
use anyhow::bail;

use crate::args::{PsArgs, Rows};
use crate::exit::Exit;

use super::runq::{Looked, look};

/// Runs the command.
pub fn run(args: &PsArgs) -> anyhow::Result<Exit> {
    let report = &args.report;
    if let Some(at) = args.at {
        return match look(&report.recording, at, &args.guest)? {
            Looked::State(state) => {
                let recording = super::open(&report.recording)?;
                let found = tasks::report_at(&state, &Recorded::new(&recording)?);
                super::analyze::print(&found, report, Rows(None))
            }
            Looked::Failed(code) => Ok(Exit::OfMachine(code)),
        };
    }
    let recording = super::open(&report.recording)?;
    if recording.tasks().is_empty() {
        bail!(
            "{} has no task table: it ends before the run did ({}); record the scenario again, or look at an instant with --at",
            report.recording.display(),
            recording.completeness()
        );
    }
    super::analyze::print(
        &tasks::report(&Recorded::new(&recording)?)?,
        report,
        Rows(None),
    )
}
