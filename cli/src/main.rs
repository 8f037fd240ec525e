//! kreplay: the front end. Passes what runs a guest on to `kreplay-machine`, and reads recordings
//! itself: reports, plots, diffs, exports.
//!
//! The way through the files: [`args`] (what was typed) → one file a command in [`cmd`] → [`exit`]
//! (codes). Everything the program prints is written here; the libraries return values.

#![forbid(unsafe_code)]

mod args;
mod cmd;
mod exit;
mod machine;

use std::process::ExitCode;

use clap::Parser;

use args::{Analyze, Cli, Command, Export, Image, Plot};
use exit::Exit;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(error) if exit::is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            eprintln!("kreplay: {}", exit::message(&error));
            ExitCode::from(exit::BAD_INPUT)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Record(passed) => machine::execute("record", passed.args),
        Command::Verify(passed) => machine::execute("verify", passed.args),
        Command::Calls(passed) => machine::execute("calls", passed.args),
        Command::Analyze(Analyze::Migration(args)) => cmd::analyze::migration(&args),
        Command::Analyze(Analyze::Stopper(args)) => cmd::analyze::stopper(&args),
        Command::Analyze(Analyze::Latency(args)) => cmd::known::latency(&args),
        Command::Analyze(Analyze::Timehist(args)) => cmd::known::timehist(&args),
        Command::Analyze(Analyze::Map(args)) => cmd::known::map(&args),
        Command::Analyze(Analyze::Runqlat(args)) => cmd::known::runqlat(&args),
        Command::Analyze(Analyze::Classes(args)) => cmd::known::classes(&args),
        Command::Analyze(Analyze::Boot(args)) => cmd::known::boot(&args),
        Command::Analyze(Analyze::StopMachine(args)) => cmd::analyze::stop_machine(&args),
        Command::Plot(Plot::Timeline(args)) => cmd::plot::timeline(&args),
        Command::Plot(Plot::Migration(args)) => cmd::plot::migration(&args),
        Command::Plot(Plot::Matrix(args)) => cmd::plot::matrix(&args),
        Command::Plot(Plot::Boot(args)) => cmd::plot::boot(&args),
        Command::Plot(Plot::Latency(args)) => cmd::plot::latency(&args),
        Command::Plot(Plot::StopMachine(args)) => cmd::plot::stop_machine(&args),
        Command::Ps(args) => cmd::ps::run(&args),
        Command::Runq(args) => cmd::runq::run(&args),
        Command::Diff(args) => cmd::diff::run(&args),
        Command::Export(to) => match to.kind() {
            Some(Export::Perfetto(args)) => cmd::export::perfetto(&args),
            Some(Export::TraceDat(args)) => cmd::export::trace_dat(&args),
            Some(Export::Parquet(args)) => cmd::export::parquet(&args),
            None => Err(anyhow::anyhow!("export what? see kreplay export --help")),
        },
        Command::Image(Image::Build(args)) => cmd::image::build(&args),
        Command::Image(Image::Info(passed)) => machine::execute("info", passed.args),
        Command::Doctor => cmd::doctor::run(),
    }
}
