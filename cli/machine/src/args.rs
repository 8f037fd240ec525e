//! What was typed: the command line of `kreplay-machine`, exactly as given and nothing more.
//!
//! What it means (files opened, defaults resolved, the kernel chosen) is [`crate::plan`]'s. Users type
//! `kreplay record`, which executes this program, so help texts say `kreplay`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use emu::Topology;
use trace::time_arg::TimeArg;

/// The part of kreplay that runs a guest.
#[derive(Parser, Debug)]
#[command(
    name = "kreplay",
    bin_name = "kreplay",
    version = crate::builtin::VERSION,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Boot a scenario and write a recording
    #[command(after_help = RECORD_EXAMPLE)]
    Record(RecordArgs),
    /// Record a scenario several times and compare the runs
    #[command(after_help = VERIFY_EXAMPLE)]
    Verify(VerifyArgs),
    /// Print the tree of calls that led from one function to another
    #[command(after_help = CALLS_EXAMPLE)]
    Calls(CallsArgs),
    /// Describe a kernel image
    #[command(after_help = INFO_EXAMPLE)]
    Info(InfoArgs),
    /// Boot a scenario without recording it (what `scripts/bench.sh` compares with)
    #[command(hide = true)]
    Run(RunArgs),
    /// Write the scheduler's state at instants of a recorded run (what `kreplay ps --at` prints)
    #[command(hide = true)]
    State(StateArgs),
    /// Record a scenario under many random schedules (what the model checker's tests look through)
    #[command(hide = true)]
    Sweep(SweepArgs),
}

/// A scenario: image + configuration + workload + seed.
#[derive(Args, Debug, Clone)]
pub struct ScenarioArgs {
    /// Number of emulated CPUs, 1 to 64 [default: 2, or as many as --topology has]
    #[arg(long, value_name = "N")]
    pub smp: Option<u32>,
    /// How the CPUs are packaged: packages=2,cores=2,threads=2,nodes=2 (what is not given is 1)
    #[arg(long, value_name = "SHAPE")]
    pub topology: Option<Topology>,
    /// Guest memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub mem: u32,
    /// Who goes first in each window: round-robin, or random (drawn from --seed)
    #[arg(long, value_enum, default_value_t = Policy::RoundRobin, hide_possible_values = true)]
    pub policy: Policy,
    /// Seed of a policy that draws; the others ignore it and say so
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Length of a window in cycles (1 cycle = 1 instruction = 1 ns)
    #[arg(long, value_name = "CYCLES", default_value_t = 1000)]
    pub quantum: u64,
    /// What the built-in kernel does after the boot [default: affinity]
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// More words for the kernel's command line
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "",
        hide_default_value = true
    )]
    pub append: String,
    /// The guest's files.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Stop at this virtual time: 12.5ms, 3s, end [default: power-off, at most 10s]
    #[arg(long, value_name = "TIME")]
    pub until: Option<TimeArg>,
    /// Print what the guest writes to its console; at a terminal, type to it too (Ctrl-A c types a
    /// Ctrl-C, Ctrl-A x ends the run, as Ctrl-C does)
    #[arg(long)]
    pub console: bool,
    /// Type what this file says to the guest's console, at its virtual times: lines such as `1.5s ls\n`
    /// (- is standard input)
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
}

/// The files of a guest that is not the built-in one.
#[derive(Args, Debug, Clone, Default)]
pub struct GuestArgs {
    /// The kernel: an ELF image, or an unmodified Linux (vmlinuz) [default: the built-in one]
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// The ELF file with that kernel's DWARF, where it is a file of its own (vmlinux)
    #[arg(long, value_name = "FILE")]
    pub debug: Option<PathBuf>,
    /// The initial RAM disk that the kernel starts /init from
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
}

/// `record`.
#[derive(Args, Debug)]
pub struct RecordArgs {
    /// The recording to write
    #[arg(short, long, value_name = "FILE", default_value = "boot.krec")]
    pub output: PathBuf,
    /// Store the image's build-id only, and not the image
    #[arg(long)]
    pub no_image: bool,
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
}

/// `verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// How many times to record
    #[arg(long, value_name = "N", default_value = "2")]
    pub runs: NonZeroU32,
    /// From the second run on, put N extra probes at random instructions, half of them mid-run
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub probes: u32,
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
}

/// `sweep`.
#[derive(Args, Debug)]
pub struct SweepArgs {
    /// The folder for the recordings; it must exist
    #[arg(short, long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub first: u64,
    /// The last seed
    #[arg(long, value_name = "SEED")]
    pub last: u64,
    /// The scenario; its own policy is not looked at.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
}

/// `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Put N probes at random instructions, half of them mid-run
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub probes: u32,
    /// The scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
}

/// `calls`.
#[derive(Args, Debug)]
pub struct CallsArgs {
    /// The recording whose run is executed again
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,
    /// The function to start at
    #[arg(long, value_name = "FUNCTION", default_value = "start_kernel")]
    pub from: String,
    /// The function to reach
    #[arg(long, value_name = "FUNCTION")]
    pub to: String,
    /// Where the files that the recording does not hold are now.
    #[command(flatten)]
    pub guest: GuestArgs,
}

/// `state`.
#[derive(Args, Debug)]
pub struct StateArgs {
    /// The recording whose run is executed again
    #[arg(value_name = "RECORDING")]
    pub recording: PathBuf,
    /// An instant: 12.5ms, 3s, @18342, boot, end; each gives one line of JSON
    #[arg(long, value_name = "TIME", required = true)]
    pub at: Vec<TimeArg>,
    /// Where the files that the recording does not hold are now.
    #[command(flatten)]
    pub guest: GuestArgs,
}

/// `info`.
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// The kernel to describe [default: the built-in one]
    #[arg(value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// The ELF file with that kernel's DWARF, where it is a file of its own (vmlinux)
    #[arg(long, value_name = "FILE")]
    pub debug: Option<PathBuf>,
    /// Also write the ELF image to this file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The interleaving policies that can be named.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Everybody goes first in turn
    RoundRobin,
    /// Drawn from the seed
    Random,
}

const RECORD_EXAMPLE: &str = include_str!("help/record.txt");
const VERIFY_EXAMPLE: &str = include_str!("help/verify.txt");
const CALLS_EXAMPLE: &str = include_str!("help/calls.txt");
const INFO_EXAMPLE: &str = include_str!("help/info.txt");
