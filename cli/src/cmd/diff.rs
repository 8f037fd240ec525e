//! `kreplay diff`: where two recordings part, and by how much.

use std::io::{self, Write};

use analyze::diff::{self, Verdict};
use analyze::report;
use analyze::source::Recorded;

use crate::args::DiffArgs;
use crate::exit::Exit;

/// Runs the command.
pub fn run(args: &DiffArgs) -> anyhow::Result<Exit> {
    let (a, b) = (super::open(&args.a)?, super::open(&args.b)?);
    let found = diff::compare(&Recorded::new(&a)?, &Recorded::new(&b)?)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    found.render(report::Format::from(args.format), &mut out)?;
    out.flush()?;
    Ok(match found.verdict() {
        Verdict::Same => Exit::Done,
        Verdict::Differs => Exit::Differs,
        Verdict::CannotCompare(_) => Exit::CannotCompare,
    })
}
