//! The commands of the front end, one a file.

pub mod analyze;
pub mod diff;
pub mod doctor;
pub mod export;
pub mod image;
pub mod known;
pub mod plot;
pub mod ps;
pub mod runq;

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use trace::krec::{Completeness, Recording};

/// Opens a recording; an incomplete one is usable, and the user is told where it stops.
pub fn open(path: &Path) -> anyhow::Result<Recording> {
    let recording = Recording::open(path)?;
    if recording.completeness() != Completeness::Complete {
        eprintln!(
            "kreplay: {} is incomplete ({}); what follows covers the events before that point",
            path.display(),
            recording.completeness()
        );
    }
    Ok(recording)
}

/// Prints a line; a reader that has gone away is an error and not a panic, as it is with `println!`.
pub fn say(line: fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}").map_err(|e| {
        // The kind stays: a reader that has gone away is told apart by it.
        io::Error::new(e.kind(), format!("cannot write standard output: {e}"))
    })
}
