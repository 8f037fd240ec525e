//! A report: tables, what was checked, and the lines that say how far to trust it.

use std::io::Write;

use crate::causal::Walked;
use crate::source::RunInfo;
use crate::table::{Table, Value};
use crate::{Error, define, render};

/// How a report is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Tables for people, at most 120 columns wide as far as the names allow.
    Text,
    /// One object: an array of row objects per table, the checks, and facts of the recording.
    Json,
    /// One table: a header line, then plain values.
    Csv,
}

/// A row that is written as soon as it is found.
pub trait Row {
    /// Its values, one for each column.
    fn values(&self) -> Vec<Value>;
    /// Its line in text.
    fn line(&self) -> String;
}

/// Takes the rows of a [`Streamed`] report.
pub type Sink<'s> = dyn FnMut(&dyn Row) -> Result<(), Error> + 's;

/// A report whose first table has a row for nearly every event: a recording may have more of them than
/// memory has room for, so they are written while the events pass.
pub trait Streamed {
    /// What the report answers.
    fn title(&self) -> String;
    /// The first table without rows: its columns, and the head of its text.
    fn table(&self) -> Table;
    /// Names of the tables that come after it.
    fn others(&self) -> &'static [&'static str];
    /// Makes the pass, and gives the rest of the report: the other tables, notes, checks, footer.
    fn run(&self, sink: &mut Sink<'_>) -> Result<Report, Error>;

    /// Writes the report.
    fn render(
        &self,
        format: Format,
        options: &Options,
        out: &mut dyn Write,
    ) -> Result<Report, Error> {
        let first = self.table();
        if let Some(name) = &options.table
            && name != first.name
            && !self.others().contains(&name.as_str())
        {
            let known = [&[first.name], self.others()].concat();
            return Err(no_such_table(name, &known));
        }
        match format {
            Format::Text => render::text::stream(self, &first, options, out),
            Format::Json => render::json::stream(self, &first, options, out),
            Format::Csv => render::csv::stream(self, &first, options, out),
        }
    }

    /// Writes what the columns mean, and no rows.
    fn define(
        &self,
        format: Format,
        options: &Options,
        out: &mut dyn Write,
    ) -> Result<Report, Error> {
        // What comes after the first table is known after the pass only.
        let mut report = self.run(&mut |_| Ok(()))?;
        report.tables.insert(0, self.table());
        report.define(format, options, out)?;
        Ok(report)
    }
}

fn no_such_table(name: &str, known: &[&str]) -> Error {
    Error::NoSuchTable {
        name: name.to_owned(),
        known: known.join(", "),
    }
}

/// What to write of a report.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Text: the most rows to show of one table; the rest is counted. `None` shows all.
    pub rows: Option<usize>,
    /// The only table to write, by name. CSV, which has room for one, takes the first by default.
    pub table: Option<String>,
}

impl Options {
    /// Whether the table of this name is to be written.
    pub(crate) fn wants(&self, table: &str) -> bool {
        self.table.as_deref().is_none_or(|name| name == table)
    }
}

/// An identity that the analysis has checked on this recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// What must hold.
    pub name: &'static str,
    /// Whether it does.
    pub holds: bool,
    /// The numbers on both sides.
    pub detail: String,
}

/// Tables, checks and the footer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// What the report answers.
    pub title: String,
    /// The tables; the first is the one that CSV writes.
    pub tables: Vec<Table>,
    /// Sentences that explain the tables.
    pub notes: Vec<String>,
    /// What was checked.
    pub checks: Vec<Check>,
    /// How far to trust the times, and which recording it was.
    pub footer: Footer,
}

impl Report {
    /// Writes the report.
    pub fn render(
        &self,
        format: Format,
        options: &Options,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        match format {
            Format::Text => render::text::write(self, options, out),
            Format::Json => render::json::write(self, options, out),
            Format::Csv => render::csv::write(self, options, out),
        }
    }

    /// Writes what the columns mean, and no rows.
    pub fn define(
        &self,
        format: Format,
        options: &Options,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        define::write(self, format, options, out)
    }

    /// Whether every identity holds. A report of which one does not hold is not to be believed.
    pub fn checks_hold(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    /// The tables that `options` ask for.
    pub(crate) fn chosen(&self, options: &Options) -> Result<Vec<&Table>, Error> {
        let Some(name) = &options.table else {
            return Ok(self.tables.iter().collect());
        };
        let found: Vec<&Table> = self.tables.iter().filter(|t| t.name == name).collect();
        match found.is_empty() {
            false => Ok(found),
            true => {
                let known: Vec<&str> = self.tables.iter().map(|table| table.name).collect();
                Err(no_such_table(name, &known))
            }
        }
    }
}

/// The facts at the end of every report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Footer {
    /// File name of the recording.
    pub recording: String,
    /// Hash of its event stream.
    pub stream_sha256: String,
    /// `None` if it is whole, else what is missing.
    pub truncated: Option<String>,
    /// Number of events, of which none is missing.
    pub events: u64,
    /// Number of CPUs.
    pub cpus: u32,
    /// Interleaving policy and seed.
    pub policy: String,
    /// Length of a window.
    pub quantum_ns: u64,
    /// The longest stretch between two legal stops; unknown if the recording has no end.
    pub longest_stretch_ns: Option<u64>,
    /// The farthest that causal time lies after a raw clock in this recording; `None` for a report
    /// that measures no time.
    pub pushed_ns_max: Option<u64>,
}

impl Footer {
    /// The footer for a run of which all events have been seen.
    pub fn new(info: &RunInfo, walked: &Walked) -> Footer {
        Footer {
            events: walked.events,
            pushed_ns_max: Some(walked.pushed_ns_max),
            ..Footer::without_times(info)
        }
    }

    /// The footer of a report that measures no time.
    pub fn without_times(info: &RunInfo) -> Footer {
        Footer {
            recording: info.name.clone(),
            stream_sha256: info.stream_sha256.clone(),
            truncated: info.truncated.clone(),
            events: info.events,
            cpus: info.cpus,
            policy: info.policy.clone(),
            quantum_ns: info.ns(info.quantum),
            longest_stretch_ns: info.longest_stretch.map(|cycles| info.ns(cycles)),
            pushed_ns_max: None,
        }
    }

    /// The bound on times that are measured across CPUs by memory alone.
    pub fn bound_ns(&self) -> Option<u64> {
        Some(self.quantum_ns + self.longest_stretch_ns?)
    }

    /// The footer as lines of text.
    pub fn lines(&self) -> Vec<String> {
        let us = render::text::micros;
        let bound = match (self.bound_ns(), self.longest_stretch_ns) {
            (Some(bound), Some(stretch)) => format!(
                "{} us (quantum {} us + longest stretch {} us)",
                us(bound),
                us(self.quantum_ns),
                us(stretch)
            ),
            _ => format!(
                "{} us + the longest stretch, which a recording without its end does not say",
                us(self.quantum_ns)
            ),
        };
        let state = match &self.truncated {
            None => "complete".to_owned(),
            Some(what) => what.to_uppercase(),
        };
        let whole = match &self.truncated {
            None => "0 lost (numbers are dense)",
            Some(_) => "0 lost before the cut (numbers are dense)",
        };
        let mut lines = Vec::new();
        if let Some(pushed) = self.pushed_ns_max {
            lines.push(format!(
                "time: virtual, causal; across CPUs +-{bound}; pushed by at most {} us",
                us(pushed)
            ));
        }
        lines.extend([
            format!(
                "recording: {}, {state}, {} events, {whole}, {}, {}",
                self.recording,
                self.events,
                cpus(self.cpus),
                self.policy
            ),
            format!("stream sha256: {}", self.stream_sha256),
        ]);
        lines
    }
}

/// A number of CPUs in words.
pub(crate) fn cpus(number: u32) -> String {
    match number {
        1 => "1 CPU".to_owned(),
        more => format!("{more} CPUs"),
    }
}
