//! The hidden command `run`: a boot without a recording. Not in the help, because it leaves nothing to
//! look at; `scripts/bench.sh` compares recording with it, and probes with none.

use std::io::{self, Write};

use trace::krec::OutcomeRow;

use crate::args::RunArgs;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::plan::Scenario;
use crate::probes::ExtraProbes;
use crate::progress::Progress;
use crate::session::{self, Nobody, Outside};
use crate::terminal::Terminal;

/// The seed of the extra probes.
const PROBE_SEED: u64 = 1;

/// Runs the command.
pub fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let scenario = Scenario::new(&args.scenario)?;
    let mut machine = scenario.machine()?;
    let mut extra = match args.probes {
        0 => None,
        count => Some(ExtraProbes::draw(scenario.image()?, count, PROBE_SEED)?),
    };
    let interrupt = Interrupt::install()?;
    let progress = Progress::new("running");
    let terminal = scenario.at_terminal.then(Terminal::open).transpose()?;
    let outside = Outside {
        progress: &progress,
        interrupt: &interrupt,
        console: scenario.console,
        terminal: terminal.as_ref(),
    };
    let ended = session::watched(
        &mut machine,
        &mut Nobody,
        extra.as_mut(),
        &outside,
        scenario.until,
    );
    let (row, failure) = session::outcome_row(ended, &scenario)?;
    drop(terminal);
    drop(progress);
    if let Some(failure) = failure {
        eprintln!("kreplay: the guest failed: {failure}");
        return Ok(Exit::GuestFailed);
    }
    let mut out = io::stdout().lock();
    let digest = trace::krec::hex(machine.digest());
    let insns = machine.summary().insns;
    writeln!(out, "ended: {row}; {insns} instructions; machine {digest}")?;
    if let Some(extra) = extra {
        writeln!(
            out,
            "probes: {} in place, {} hits",
            extra.in_place(),
            extra.hits
        )?;
    }
    Ok(if row == OutcomeRow::Interrupted {
        Exit::Interrupted
    } else {
        Exit::Done
    })
}
