//! `kreplay ps`: the tasks at the end of the run, from the recording's task table.

use analyze::source::Recorded;
use analyze::tasks;
use anyhow::bail;

use crate::args::{ReportArgs, Rows};
use crate::exit::Exit;

/// Runs the command.
pub fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.recording)?;
    if recording.tasks().is_empty() {
        bail!(
            "{} has no task table: it ends before the run did ({}); record the scenario again",
            args.recording.display(),
            recording.completeness()
        );
    }
    super::analyze::print(
        &tasks::report(&Recorded::new(&recording)?)?,
        args,
        Rows(None),
    )
}
