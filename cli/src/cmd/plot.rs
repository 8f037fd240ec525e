//! `kreplay plot`: pictures of a recording. What is in them is computed by `analyze`; this file chooses
//! the window and writes the file.

use std::fs;
use std::path::Path;

use analyze::source::Recorded;
use analyze::timeline::{self, Window};
use analyze::{migration, plot};
use anyhow::{Context, bail};
use trace::time_arg::TimeArg;

use crate::args::{MigrationPlotArgs, TimelineArgs};
use crate::exit::Exit;

/// The moves that `plot migration` shows one by one.
const SLOWEST: usize = 15;

/// `kreplay plot timeline`.
pub fn timeline(args: &TimelineArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.recording)?;
    let source = Recorded::new(&recording)?;
    let window = match (args.from, args.to) {
        (None, None) => Window::Auto,
        (from, to) => {
            let from = from.unwrap_or(TimeArg::Boot);
            let to = to.unwrap_or(TimeArg::End);
            let from_ns = timeline::resolve(&source, from)?;
            let to_ns = timeline::resolve(&source, to)?;
            if from_ns >= to_ns {
                bail!(
                    "the window from {from} ({from_ns} ns) to {to} ({to_ns} ns) is empty; --to must be later"
                );
            }
            Window::Between { from_ns, to_ns }
        }
    };
    let svg = plot::timeline::svg(&timeline::analyze(&source, window)?)?;
    write(&args.recording, &args.output, &svg)
}

/// `kreplay plot migration`.
pub fn migration(args: &MigrationPlotArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.recording)?;
    let moves = migration::analyze(&Recorded::new(&recording)?)?;
    let svg = plot::migration::svg(&moves, SLOWEST)?;
    write(&args.recording, &args.output, &svg)
}

/// Writes the picture, but never over the recording that it shows.
fn write(recording: &Path, path: &Path, svg: &str) -> anyhow::Result<Exit> {
    if let (Ok(input), Ok(output)) = (recording.canonicalize(), path.canonicalize())
        && input == output
    {
        bail!(
            "{} is the recording; give the picture another name with -o",
            path.display()
        );
    }
    fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))?;
    super::say(format_args!(
        "{}: {} KiB",
        path.display(),
        svg.len().div_ceil(1024)
    ))?;
    Ok(Exit::Done)
}
