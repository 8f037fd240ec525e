//! `kreplay export`: a recording for other tools.

use std::path::Path;

use analyze::export::{self, Written};
use analyze::source::Recorded;
use anyhow::bail;

use crate::args::{ExportArgs, ExportDirArgs};
use crate::exit::Exit;

/// `kreplay export perfetto`.
pub fn perfetto(args: &ExportArgs) -> anyhow::Result<Exit> {
    let written = write(args, |source, path| export::perfetto::export(source, path))?;
    say(&args.output, written)
}

/// `kreplay export trace.dat`.
pub fn trace_dat(args: &ExportArgs) -> anyhow::Result<Exit> {
    let written = write(args, |source, path| export::tracedat::export(source, path))?;
    let (moved, by_ns) = written.moved;
    let exit = say(&args.output, written)?;
    if moved > 0 {
        super::say(format_args!(
            "{moved} stamps are up to {by_ns} ns later than in reports: here no two events have one stamp"
        ))?;
    }
    Ok(exit)
}

/// `kreplay export parquet`.
pub fn parquet(args: &ExportDirArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.recording)?;
    for file in analyze::parquet::export(&Recorded::new(&recording)?, &args.output)? {
        super::say(format_args!("{}", file.display()))?;
    }
    Ok(Exit::Done)
}

/// Writes the file, but never over the recording.
fn write(
    args: &ExportArgs,
    export: impl FnOnce(&Recorded<'_>, &Path) -> Result<Written, analyze::Error>,
) -> anyhow::Result<Written> {
    if let (Ok(input), Ok(output)) = (args.recording.canonicalize(), args.output.canonicalize())
        && input == output
    {
        bail!(
            "{} is the recording; give the export another name with -o",
            args.output.display()
        );
    }
    let recording = super::open(&args.recording)?;
    Ok(export(&Recorded::new(&recording)?, &args.output)?)
}

fn say(path: &Path, written: Written) -> anyhow::Result<Exit> {
    super::say(format_args!(
        "{}: {} events, {} KiB",
        path.display(),
        written.events,
        written.bytes.div_ceil(1024)
    ))?;
    Ok(Exit::Done)
}
