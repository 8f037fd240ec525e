//! Two recordings: the first event in which they differ, and how far their numbers are apart.
//!
//! Recordings of one image are compared byte for byte, stacks included. With two images (an edited
//! kernel) addresses mean nothing across them: functions are compared by name and addresses of objects
//! not at all. Recordings that cannot be put beside each other (other CPU counts, other clocks) are
//! not compared, and the reason is said.

mod first;
mod metrics;
mod show;

use std::io::Write;

use trace::state::Frame;

use crate::Error;
use crate::report::{Footer, Format};
use crate::source::{RunInfo, Source};
use crate::{migration, stopper};

pub use first::{Difference, Side};
pub use metrics::Metric;

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The same events, to the end, and the same final state where both have one.
    Same,
    /// Not the same.
    Differs,
    /// They cannot be compared, for this reason.
    CannotCompare(String),
}

impl Verdict {
    /// The word of the reports.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Same => "same",
            Verdict::Differs => "differs",
            Verdict::CannotCompare(_) => "cannot compare",
        }
    }
}

/// Two recordings, compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diff {
    verdict: Verdict,
    /// Names of the two recordings.
    names: [String; 2],
    /// What is not the same about the runs themselves: seed, policy, image, workload.
    settings: Vec<String>,
    first: Option<Difference>,
    metrics: Vec<Metric>,
    footers: Vec<Footer>,
}

impl Diff {
    /// Same, differs, or cannot compare.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The first difference, if there is one among the events.
    pub fn first(&self) -> Option<&Difference> {
        self.first.as_ref()
    }

    /// For A and for B: the number of the first differing event, if the recording has no stack for it. Who
    /// can execute the run again has one, for [`give_stack`](Diff::give_stack).
    pub fn without_stack(&self) -> [Option<u64>; 2] {
        let lacking = |side: usize| {
            let first = self.first.as_ref()?;
            first.sides[side].lacks_stack().then_some(first.seq)
        };
        [lacking(0), lacking(1)]
    }

    /// Shows this stack, innermost first, at the first differing event of A (0) or B (1), if the recording
    /// has none.
    pub fn give_stack(&mut self, side: usize, stack: &[Frame]) {
        let sides = self.first.as_mut().map(|first| &mut first.sides);
        if let Some(side) = sides.and_then(|sides| sides.get_mut(side))
            && side.lacks_stack()
        {
            side.stack = first::stack_of(stack);
        }
    }

    /// The numbers of both, side by side.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Writes the answer; CSV has the table of numbers only.
    pub fn render(&self, format: Format, out: &mut dyn Write) -> Result<(), Error> {
        match format {
            Format::Text => show::text(self, out),
            Format::Json => show::json(self, out),
            Format::Csv => show::csv(self, out),
        }
    }
}

/// Compares two recordings.
pub fn compare(a: &dyn Source, b: &dyn Source) -> Result<Diff, Error> {
    let names = [a.info().name.clone(), b.info().name.clone()];
    let settings = settings(a.info(), b.info());
    if let Some(reason) = cannot_compare(a.info(), b.info()) {
        return Ok(Diff {
            verdict: Verdict::CannotCompare(reason),
            names,
            settings,
            first: None,
            metrics: Vec::new(),
            footers: Vec::new(),
        });
    }
    let first = first::difference(a, b)?;
    let truncated = [a, b]
        .iter()
        .find_map(|s| s.info().truncated.as_ref().map(|cut| (s.info(), cut)));
    let verdict = match (&first, truncated) {
        (Some(difference), Some(_)) if difference.one_ends() => cut_short(truncated),
        (Some(_), _) => Verdict::Differs,
        (None, Some(_)) => cut_short(truncated),
        (None, None) if states_differ(a.info(), b.info()) => Verdict::Differs,
        (None, None) => Verdict::Same,
    };
    let moves = (migration::analyze(a)?, migration::analyze(b)?);
    let works = (stopper::analyze(a)?, stopper::analyze(b)?);
    let footers = vec![moves.0.footer.clone(), moves.1.footer.clone()];
    Ok(Diff {
        verdict,
        names,
        settings,
        first,
        metrics: metrics::metrics((&moves.0, &moves.1), (&works.0, &works.1)),
        footers,
    })
}

/// A cut recording says nothing about what came after the cut.
fn cut_short(truncated: Option<(&RunInfo, &String)>) -> Verdict {
    let what = truncated.map(|(info, cut)| format!("{} is {cut}", info.name));
    Verdict::CannotCompare(format!(
        "no event differs as far as both go, but {}",
        what.unwrap_or_default()
    ))
}

fn cannot_compare(a: &RunInfo, b: &RunInfo) -> Option<String> {
    let differ = |what: &str, a: u64, b: u64| {
        (a != b).then(|| format!("the recordings differ in {what}: {a} and {b}"))
    };
    differ("the number of CPUs", a.cpus.into(), b.cpus.into())
        .or_else(|| {
            differ(
                "cycles per second",
                a.cycles_per_second,
                b.cycles_per_second,
            )
        })
        .or_else(|| differ("the cost model", a.cost_model.into(), b.cost_model.into()))
}

fn states_differ(a: &RunInfo, b: &RunInfo) -> bool {
    a.machine_digest != b.machine_digest
}

fn settings(a: &RunInfo, b: &RunInfo) -> Vec<String> {
    let mut lines = Vec::new();
    let mut differ = |what: &str, a: &str, b: &str| {
        if a != b {
            lines.push(format!("{what}: {a} and {b}"));
        }
    };
    differ("policy", &a.policy, &b.policy);
    differ("workload", &a.workload, &b.workload);
    differ("quantum", &a.quantum.to_string(), &b.quantum.to_string());
    differ(
        "IPI latency",
        &a.ipi_latency.to_string(),
        &b.ipi_latency.to_string(),
    );
    differ(
        "image sha256",
        short(&a.image_sha256),
        short(&b.image_sha256),
    );
    let state = |info: &RunInfo| match &info.machine_digest {
        Some(digest) => short(digest).to_owned(),
        None => "none".to_owned(),
    };
    differ("final machine state", &state(a), &state(b));
    lines
}

fn short(hash: &str) -> &str {
    hash.get(..16).unwrap_or(hash)
}
