//! What was typed after `plot`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use trace::time_arg::TimeArg;

/// `plot`.
#[derive(Subcommand, Debug)]
pub enum Plot {
    /// What ran on each CPU, with the stoppers and the moves
    #[command(after_help = include_str!("../help/plot-timeline.txt"))]
    Timeline(TimelineArgs),
    /// The phases of the moves, and the distribution of their totals
    #[command(after_help = include_str!("../help/plot-migration.txt"))]
    Migration(PlotArgs),
    /// From which CPU to which tasks moved, as a square of counts
    #[command(after_help = include_str!("../help/plot-matrix.txt"))]
    Matrix(PlotArgs),
    /// How long things take: the share that took at most so long, by kind
    #[command(after_help = include_str!("../help/plot-latency.txt"))]
    Latency(LatencyPlotArgs),
    /// The steps of the boot and the threads that it makes
    #[command(after_help = include_str!("../help/plot-boot.txt"))]
    Boot(PlotArgs),
    /// The states of one stop_machine on each CPU
    #[command(after_help = include_str!("../help/plot-stop-machine.txt"))]
    StopMachine(StopMachinePlotArgs),
}

/// What every picture takes.
#[derive(Args, Debug)]
pub struct PlotArgs {
    /// The recording
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,
    /// The picture to write: .svg, or .png for pixels [default: the plot's name, .svg]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `plot timeline`.
#[derive(Args, Debug)]
pub struct TimelineArgs {
    /// What every picture takes.
    #[command(flatten)]
    pub plot: PlotArgs,
    /// Show from this instant on: 12.5ms, 3s, @18342, boot [default: around the first stopper move]
    #[arg(long, value_name = "TIME")]
    pub from: Option<TimeArg>,
    /// Show up to this instant: 12.5ms, 3s, @18342, end
    #[arg(long, value_name = "TIME")]
    pub to: Option<TimeArg>,
}

/// `plot latency`.
#[derive(Args, Debug)]
pub struct LatencyPlotArgs {
    /// What every picture takes.
    #[command(flatten)]
    pub plot: PlotArgs,
    /// delay: from runnable to running, by class; migration: moves, by cause; stopper: works from
    /// queueing to start, by function
    #[arg(long, value_enum, default_value_t = Curves::Delay, hide_possible_values = true)]
    pub of: Curves,
}

/// What the curves of `plot latency` are of.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Curves {
    /// From runnable to running, by class.
    Delay,
    /// Moves, by cause.
    Migration,
    /// Stopper works from queueing to start, by function.
    Stopper,
}

/// `plot stop-machine`.
#[derive(Args, Debug)]
pub struct StopMachinePlotArgs {
    /// What every picture takes.
    #[command(flatten)]
    pub plot: PlotArgs,
    /// The last request queued up to here: 12.5ms, @18342, end [default: the one that took longest]
    #[arg(long, value_name = "TIME")]
    pub at: Option<TimeArg>,
}
