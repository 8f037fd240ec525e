//! kreplay-machine: the executable that runs guests. `kreplay record`, `verify`, `calls` and
//! `image info` execute it; it links Unicorn and therefore nothing that is Apache-2.0-only (D11).
//!
//! The way through the files: [`args`] (what was typed) → [`plan`] (what it means) → one file a command
//! in [`cmd`] → [`exit`] (codes).

#![forbid(unsafe_code)]

mod args;
mod builtin;
mod cmd;
mod exit;
mod failure;
mod guest;
mod input;
mod interrupt;
mod plan;
mod probes;
mod progress;
mod session;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use exit::Exit;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(error) if exit::is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            eprintln!("kreplay: {error:#}");
            Exit::BadInput.into()
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.command {
        Command::Record(args) => cmd::record::run(&args),
        Command::Verify(args) => cmd::verify::run(&args),
        Command::Calls(args) => cmd::calls::run(&args),
        Command::Info(args) => cmd::info::run(&args),
        Command::Run(args) => cmd::run::run(&args),
        Command::State(args) => cmd::state::run(&args),
        Command::Sweep(args) => cmd::sweep::run(&args),
    }
}
