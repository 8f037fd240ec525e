//! What was typed: the command line of `kreplay`, exactly as given and nothing more.
//!
//! The commands that run a guest are `kreplay-machine`'s: their arguments are passed on untouched, and
//! their `--help` is printed by it.

mod plot;
mod reports;

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use trace::time_arg::TimeArg;

pub use plot::{Curves, LatencyPlotArgs, Plot, PlotArgs, StopMachinePlotArgs, TimelineArgs};
pub use reports::{CpuList, LatencyArgs, MapArgs, RunqlatArgs, TimehistArgs, Window};

/// A laboratory for kernel scheduling: boot an x86_64 kernel on emulated CPUs, deterministically, and
/// see every migration and every stopper
#[derive(Parser, Debug)]
#[command(name = "kreplay", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Boot a scenario and write a recording
    #[command(disable_help_flag = true)]
    Record(Passed),
    /// Record a scenario several times and compare the runs
    #[command(disable_help_flag = true)]
    Verify(Passed),
    /// Print the tree of calls that led from one function to another
    #[command(disable_help_flag = true)]
    Calls(Passed),
    /// Reports: what moved and what the stoppers did
    #[command(subcommand)]
    Analyze(Analyze),
    /// Pictures of a recording, as SVG or PNG
    #[command(subcommand)]
    Plot(Plot),
    /// The tasks at the end of the run, or at any instant of it
    #[command(after_help = include_str!("help/ps.txt"))]
    Ps(PsArgs),
    /// The runqueues at any instant of the run: who runs, who waits in which order, stopper works
    #[command(after_help = include_str!("help/runq.txt"))]
    Runq(RunqArgs),
    /// Where two recordings part, and by how much
    #[command(after_help = include_str!("help/diff.txt"))]
    Diff(DiffArgs),
    /// Write a recording for other tools
    Export(ExportTo),
    /// Build an edited kernel, describe a kernel
    #[command(subcommand)]
    Image(Image),
    /// Say what is missing for what
    #[command(after_help = include_str!("help/doctor.txt"))]
    Doctor,
}

/// Arguments that `kreplay-machine` reads.
#[derive(Args, Debug)]
pub struct Passed {
    /// As typed.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub args: Vec<OsString>,
}

/// `analyze`.
#[derive(Subcommand, Debug)]
pub enum Analyze {
    /// Every move of a task: cause, path, and the phases that its latency is made of
    #[command(after_help = include_str!("help/analyze-migration.txt"))]
    Migration(ReportArgs),
    /// Every stopper work: who queued it, how long it waited and ran, whom it cost what
    #[command(after_help = include_str!("help/analyze-stopper.txt"))]
    Stopper(StopperArgs),
    /// Every stop_machine: its states on each CPU, skew, interrupts-off time, polls
    #[command(after_help = include_str!("help/analyze-stop-machine.txt"))]
    StopMachine(ReportArgs),
    /// How long tasks waited to run, in the columns of perf sched latency
    #[command(after_help = include_str!("help/analyze-latency.txt"))]
    Latency(LatencyArgs),
    /// Every stretch that a task ran, in the columns of perf sched timehist
    #[command(after_help = include_str!("help/analyze-timehist.txt"))]
    Timehist(TimehistArgs),
    /// What every CPU runs at each switch, in the shape of perf sched map
    #[command(after_help = include_str!("help/analyze-map.txt"))]
    Map(MapArgs),
    /// A histogram of the delays, in the styles of BCC's and bpftrace's runqlat
    #[command(after_help = include_str!("help/analyze-runqlat.txt"))]
    Runqlat(RunqlatArgs),
    /// Where the time of every CPU went, by scheduling class
    #[command(after_help = include_str!("help/analyze-classes.txt"))]
    Classes(ReportArgs),
    /// The boot: milestones, every creation of a thread, the calls from start_kernel on
    #[command(after_help = include_str!("help/analyze-boot.txt"))]
    Boot(ReportArgs),
}

/// `analyze stopper`.
#[derive(Args, Debug)]
pub struct StopperArgs {
    /// What every report takes.
    #[command(flatten)]
    pub report: ReportArgs,
    /// Show the longest waits from queueing to start instead, and what they were made of
    #[arg(long)]
    pub guarantee: bool,
    /// So many of them
    #[arg(long, value_name = "N", default_value_t = 5, requires = "guarantee")]
    pub top: usize,
}

/// What every report takes.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// The recording
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,
    /// text for people, json (an array of row objects a table) or csv for programs
    #[arg(long, value_enum, default_value_t = Format::Text, hide_possible_values = true)]
    pub format: Format,
    /// Text: the most rows to print of a table, or all [default: 20; all where a row is a task, a CPU or an event]
    #[arg(long, value_name = "N|all")]
    pub rows: Option<Rows>,
    /// Print this table only; csv has room for one and takes the first by default
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// Say what each column means and what it is counted in, in the place of the rows
    #[arg(long)]
    pub define: bool,
}

/// `ps`.
#[derive(Args, Debug)]
pub struct PsArgs {
    /// What every report takes.
    #[command(flatten)]
    pub report: ReportArgs,
    /// At this instant, by running the recording again: 12.5ms, 3s, @18342, boot, end [default: the
    /// end, from the recording]
    #[arg(long, value_name = "TIME")]
    pub at: Option<TimeArg>,
    /// Where the guest's files are.
    #[command(flatten)]
    pub guest: GuestArgs,
}

/// `runq`.
#[derive(Args, Debug)]
pub struct RunqArgs {
    /// What every report takes.
    #[command(flatten)]
    pub report: ReportArgs,
    /// At this instant, by running the recording again: 12.5ms, 3s, @18342, boot, end
    #[arg(long, value_name = "TIME", default_value = "end")]
    pub at: TimeArg,
    /// Where the guest's files are.
    #[command(flatten)]
    pub guest: GuestArgs,
}

/// Where the files are that a recording does not hold; passed on to `kreplay-machine`.
#[derive(Args, Debug)]
pub struct GuestArgs {
    /// With --at: the kernel, where the recording does not hold it and it has moved
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// With --at: the file with that kernel's DWARF, if it has moved
    #[arg(long, value_name = "FILE")]
    pub debug: Option<PathBuf>,
    /// With --at: the initial RAM disk, if it has moved
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
}

/// A number of rows, or `None` for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rows(pub Option<usize>);

impl FromStr for Rows {
    type Err = String;

    fn from_str(text: &str) -> Result<Rows, String> {
        match text {
            "all" => Ok(Rows(None)),
            _ => match text.parse() {
                Ok(rows) => Ok(Rows(Some(rows))),
                Err(_) => Err("give a number of rows, or all".to_owned()),
            },
        }
    }
}

/// How rows come out.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Columns and summaries.
    Text,
    /// One array of row objects a table.
    Json,
    /// A header line, then rows.
    Csv,
}

impl From<Format> for analyze::report::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
            Format::Csv => Self::Csv,
        }
    }
}

/// `diff`.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// One recording
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// The other
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// text for people, json or csv for programs
    #[arg(long, value_enum, default_value_t = Format::Text, hide_possible_values = true)]
    pub format: Format,
}

/// `export`: what to, or Parquet by a flag as it was spelt first.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct ExportTo {
    /// What to write.
    #[command(subcommand)]
    to: Option<Export>,
    /// As `export parquet -o DIR`
    #[arg(long, value_name = "DIR", requires = "recording")]
    parquet: Option<PathBuf>,
    /// The recording
    #[arg(value_name = "RECORDING", requires = "parquet")]
    recording: Option<PathBuf>,
}

impl ExportTo {
    /// What was asked for, however it was spelt; nothing was if the command line was empty.
    pub fn kind(self) -> Option<Export> {
        let parquet = || {
            Some(Export::Parquet(ExportDirArgs {
                recording: self.recording?,
                output: self.parquet?,
            }))
        };
        self.to.or_else(parquet)
    }
}

/// `export`.
#[derive(Subcommand, Debug)]
pub enum Export {
    /// A Perfetto trace, for ui.perfetto.dev and trace_processor
    #[command(after_help = include_str!("help/export-perfetto.txt"))]
    Perfetto(ExportArgs),
    /// A trace.dat, for trace-cmd and KernelShark
    #[command(name = "trace.dat", after_help = include_str!("help/export-trace.dat.txt"))]
    TraceDat(ExportArgs),
    /// A folder with a Parquet table for each type of event, for polars, duckdb and pandas
    #[command(after_help = include_str!("help/export-parquet.txt"))]
    Parquet(ExportDirArgs),
}

/// What the exports to one file take.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The recording
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

/// What the exports to several files take.
#[derive(Args, Debug)]
pub struct ExportDirArgs {
    /// The recording
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,
    /// The folder to write into, which is made if it is not there
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
}

/// `image`.
#[derive(Subcommand, Debug)]
pub enum Image {
    /// Build the kernel in a folder (an edited copy of kernel-image)
    #[command(after_help = include_str!("help/image-build.txt"))]
    Build(ImageBuildArgs),
    /// Describe a kernel image: build-id, SHA-256, probes
    #[command(disable_help_flag = true)]
    Info(Passed),
}

/// `image build`.
#[derive(Args, Debug)]
pub struct ImageBuildArgs {
    /// The folder of the kernel's sources
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// The image to write
    #[arg(short, long, value_name = "FILE", default_value = "vmlinux")]
    pub output: PathBuf,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, or same; 1 differs; 2 bad input, or cannot compare; 3 the guest failed
(panic, hang, triple fault); 130 stopped by Ctrl-C, with valid files.";
