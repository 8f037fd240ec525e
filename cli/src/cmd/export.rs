//! `kreplay export`: a recording's events for other tools.

use analyze::parquet;
use analyze::source::Recorded;

use crate::args::ExportArgs;
use crate::exit::Exit;

/// Runs the command.
pub fn run(args: &ExportArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.recording)?;
    for file in parquet::export(&Recorded::new(&recording)?, &args.parquet)? {
        super::say(format_args!("{}", file.display()))?;
    }
    Ok(Exit::Done)
}
