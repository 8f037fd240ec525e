//! `kreplay analyze`: the reports. Nothing is computed here; see `analyze`.

use std::io::{self, Write};

use analyze::report::{Options, Report};
use analyze::source::Recorded;
use analyze::{migration, stopmachine, stopper};
use anyhow::Context;

use crate::args::{ReportArgs, Rows, StopperArgs};
use crate::exit::Exit;

/// Rows of a table in a text report, unless told: a screen has room for them and for the summaries.
const ROWS: Rows = Rows(Some(20));

/// `kreplay analyze migration`.
pub fn migration(args: &ReportArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.recording)?;
    let found = migration::analyze(&Recorded::new(&recording)?)?;
    print(&found.report(), args, ROWS)
}

/// `kreplay analyze stopper`.
pub fn stopper(args: &StopperArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.report.recording)?;
    let source = Recorded::new(&recording)?;
    let report = match args.guarantee {
        true => stopper::guarantee::analyze(&source, args.top)?.report(),
        false => stopper::analyze(&source)?.report(),
    };
    print(&report, &args.report, ROWS)
}

/// `kreplay analyze stop-machine`.
pub fn stop_machine(args: &ReportArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.recording)?;
    let found = stopmachine::analyze(&Recorded::new(&recording)?)?;
    print(&found.report(), args, ROWS)
}

/// Prints the report; one whose identities do not hold is not to be believed, and says so by its exit
/// code too.
pub fn print(report: &Report, args: &ReportArgs, rows: Rows) -> anyhow::Result<Exit> {
    let options = Options {
        rows: args.rows.unwrap_or(rows).0,
        table: args.table.clone(),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    written(match args.define {
        true => report.define(args.format.into(), &options, &mut out),
        false => report.render(args.format.into(), &options, &mut out),
    })?;
    written(out.flush().map_err(Into::into))?;
    Ok(verdict(report))
}

/// The same result; an error of the output says which output it was.
pub fn written<T>(result: Result<T, analyze::Error>) -> anyhow::Result<T> {
    match result {
        Err(analyze::Error::Output(e)) => Err(e).context("cannot write standard output"),
        other => Ok(other?),
    }
}

/// The exit code of a report that has been printed; says which of its identities do not hold.
pub fn verdict(report: &Report) -> Exit {
    for check in report.checks.iter().filter(|check| !check.holds) {
        eprintln!("kreplay: does not hold: {} ({})", check.name, check.detail);
    }
    match report.checks_hold() {
        true => Exit::Done,
        false => Exit::CannotCompare,
    }
}
