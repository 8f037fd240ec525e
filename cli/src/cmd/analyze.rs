//! `kreplay analyze`: the reports. Nothing is computed here; see `analyze`.

use std::io::{self, Write};

use analyze::report::{Options, Report};
use analyze::source::Recorded;
use analyze::{migration, stopper};

use crate::args::ReportArgs;
use crate::exit::Exit;

/// `kreplay analyze migration`.
pub fn migration(args: &ReportArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.recording)?;
    let found = migration::analyze(&Recorded::new(&recording)?)?;
    print(&found.report(), args)
}

/// `kreplay analyze stopper`.
pub fn stopper(args: &ReportArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.recording)?;
    let found = stopper::analyze(&Recorded::new(&recording)?)?;
    print(&found.report(), args)
}

/// Prints the report; one whose identities do not hold is not to be believed, and says so by its exit
/// code too.
pub fn print(report: &Report, args: &ReportArgs) -> anyhow::Result<Exit> {
    let options = Options {
        rows: args.rows.0,
        table: args.table.clone(),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    report.render(args.format.into(), &options, &mut out)?;
    out.flush()?;
    if report.checks_hold() {
        return Ok(Exit::Done);
    }
    for check in report.checks.iter().filter(|check| !check.holds) {
        eprintln!("kreplay: does not hold: {} ({})", check.name, check.detail);
    }
    Ok(Exit::CannotCompare)
}
