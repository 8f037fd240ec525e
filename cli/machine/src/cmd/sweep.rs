//! The hidden command `sweep`: a scenario under many random schedules, a recording each, with the kernel's
//! names read once. Not in the help, because it only writes what `record` would; the model checker's tests
//! look through what it leaves.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use anyhow::Context;
use emu::PolicyKind;
use trace::krec::OutcomeRow;

use crate::args::SweepArgs;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::plan::Scenario;
use crate::progress::Progress;
use crate::session::{self, Outside};

/// Runs the command: `seed-N.krec` for each seed, without the image. A guest that fails ends it.
pub fn run(args: &SweepArgs) -> anyhow::Result<Exit> {
    let mut scenario = Scenario::new(&args.scenario)?;
    let interrupt = Interrupt::install()?;
    for seed in args.first..=args.last {
        scenario.config.policy = PolicyKind::Random { seed };
        let path = args.output.join(format!("seed-{seed}.krec"));
        let cannot = || format!("cannot write {}", path.display());
        let machine = scenario.machine()?;
        let file = BufWriter::new(File::create(&path).with_context(cannot)?);
        let progress = Progress::new(&format!("seed {seed} of {}", args.last));
        let outside = Outside {
            progress: &progress,
            interrupt: &interrupt,
            console: false,
            terminal: None,
        };
        let target = (file, path.as_path());
        let (finished, file) = session::record(&scenario, machine, target, false, None, &outside)?;
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .with_context(cannot)?;
        drop(progress);
        if let Some(failure) = finished.failure {
            eprintln!("kreplay: seed {seed}: the guest failed: {failure}");
            return Ok(Exit::GuestFailed);
        }
        if finished.end.outcome == OutcomeRow::Interrupted {
            return Ok(Exit::Interrupted);
        }
        let (events, hash) = (finished.end.events, finished.end.stream_sha256);
        writeln!(
            io::stdout().lock(),
            "seed {seed}: {events} events, sha256 {hash}"
        )?;
    }
    Ok(Exit::Done)
}
