//! `kreplay plot`: pictures of a recording. What is in them is computed by `analyze`; this file chooses
//! what to show and writes the file.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use analyze::migration::matrix::Matrix;
use analyze::source::Recorded;
use analyze::stopmachine::{self, Request};
use analyze::timeline::{self, Window};
use analyze::{boot, distribution, migration, plot};
use anyhow::{Context, bail};
use trace::time_arg::TimeArg;

use crate::args::{Curves, LatencyPlotArgs, PlotArgs, StopMachinePlotArgs, TimelineArgs};
use crate::exit::Exit;

/// The moves that `plot migration` shows one by one.
const SLOWEST: usize = 15;

/// `kreplay plot timeline`.
pub fn timeline(args: &TimelineArgs) -> anyhow::Result<Exit> {
    let output = Output::of(&args.plot, "timeline")?;
    let recording = super::open(&args.plot.recording)?;
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
    output.write(&plot::timeline::svg(&timeline::analyze(&source, window)?)?)
}

/// `kreplay plot migration`.
pub fn migration(args: &PlotArgs) -> anyhow::Result<Exit> {
    let output = Output::of(args, "migration")?;
    let recording = super::open(&args.recording)?;
    let moves = migration::analyze(&Recorded::new(&recording)?)?;
    output.write(&plot::migration::svg(&moves, SLOWEST)?)
}

/// `kreplay plot matrix`.
pub fn matrix(args: &PlotArgs) -> anyhow::Result<Exit> {
    let output = Output::of(args, "matrix")?;
    let recording = super::open(&args.recording)?;
    let moves = migration::analyze(&Recorded::new(&recording)?)?;
    output.write(&plot::matrix::svg(&Matrix::of(&moves))?)
}

/// `kreplay plot boot`.
pub fn boot(args: &PlotArgs) -> anyhow::Result<Exit> {
    let output = Output::of(args, "boot")?;
    let recording = super::open(&args.recording)?;
    let chart = boot::chart::analyze(&Recorded::new(&recording)?)?;
    output.write(&plot::boot::svg(&chart)?)
}

/// `kreplay plot latency`.
pub fn latency(args: &LatencyPlotArgs) -> anyhow::Result<Exit> {
    let output = Output::of(&args.plot, "latency")?;
    let recording = super::open(&args.plot.recording)?;
    let source = Recorded::new(&recording)?;
    let found = match args.of {
        Curves::Delay => distribution::delays_by_class(&source)?,
        Curves::Migration => distribution::moves_by_cause(&source)?,
        Curves::Stopper => distribution::waits_by_function(&source)?,
    };
    output.write(&plot::latency::svg(&found)?)
}

/// `kreplay plot stop-machine`.
pub fn stop_machine(args: &StopMachinePlotArgs) -> anyhow::Result<Exit> {
    let output = Output::of(&args.plot, "stop-machine")?;
    let recording = super::open(&args.plot.recording)?;
    let source = Recorded::new(&recording)?;
    let found = stopmachine::analyze(&source)?;
    let request: Option<&Request> = match args.at {
        None => found.longest(),
        Some(at) => {
            let before = match at {
                TimeArg::Event(seq) => found.at(seq),
                time => {
                    let time_ns = timeline::resolve(&source, time)?;
                    let mut queued = found.requests.iter();
                    queued.rfind(|r| r.queue().time_ns <= time_ns)
                }
            };
            if before.is_none() && !found.requests.is_empty() {
                bail!(
                    "no stop_machine is queued before {at}; the first is event @{}",
                    found.requests[0].queue().seq
                );
            }
            before
        }
    };
    output.write(&match request {
        Some(request) => plot::waterfall::svg(request, &found.footer)?,
        None => plot::waterfall::empty(&found.footer)?,
    })
}

/// Where a picture goes, and as what.
struct Output {
    path: PathBuf,
    png: bool,
}

impl Output {
    /// What the extension says, known before any work; and never over the recording that is shown.
    fn of(args: &PlotArgs, name: &str) -> anyhow::Result<Output> {
        let default = || PathBuf::from(format!("{name}.svg"));
        let path = args.output.clone().unwrap_or_else(default);
        if let (Ok(input), Ok(output)) = (args.recording.canonicalize(), path.canonicalize())
            && input == output
        {
            bail!(
                "{} is the recording; give the picture another name with -o",
                path.display()
            );
        }
        let extension = path.extension().and_then(OsStr::to_str);
        let png = match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("svg") => false,
            Some("png") => true,
            _ => bail!(
                "{}: which kind of picture? give it a name that ends in .svg or .png",
                path.display()
            ),
        };
        Ok(Output { path, png })
    }

    fn write(&self, svg: &str) -> anyhow::Result<Exit> {
        match self.png {
            true => self.write_bytes(&plot::png(svg)?),
            false => self.write_bytes(svg.as_bytes()),
        }
    }

    fn write_bytes(&self, bytes: &[u8]) -> anyhow::Result<Exit> {
        let path: &Path = &self.path;
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        super::say(format_args!(
            "{}: {} KiB",
            path.display(),
            bytes.len().div_ceil(1024)
        ))?;
        Ok(Exit::Done)
    }
}
