//! How long things take, by kind: what the plot of distributions shows.
//!
//! Nothing is defined here. The delays are those of `latency`, the moves those of `migration`, the waits
//! those of `stopper`; this puts them in groups and sorts them.

use std::collections::BTreeMap;

use crate::Error;
use crate::causal::walk;
use crate::class::Classes;
use crate::delays::{Delays, Wake};
use crate::migration::{self, Move};
use crate::report::Footer;
use crate::source::Source;
use crate::stopper::{self, Work};

/// Durations of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// What they have in common.
    pub name: String,
    /// Sorted, in nanoseconds.
    pub durations_ns: Vec<u64>,
}

/// Durations by kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Distribution {
    /// What the share of each curve is a share of.
    pub title: String,
    /// What a duration is.
    pub what: &'static str,
    /// All together first, if there is more than one kind; then the kinds, the most frequent first.
    pub groups: Vec<Group>,
    /// Which recording it was.
    pub footer: Footer,
}

impl Distribution {
    fn new(
        (things, by): (&str, &str),
        what: &'static str,
        kinds: BTreeMap<String, Vec<u64>>,
        footer: Footer,
    ) -> Distribution {
        let mut groups: Vec<Group> = kinds
            .into_iter()
            .map(|(name, durations_ns)| Group { name, durations_ns })
            .collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.durations_ns.len()));
        if groups.len() > 1 {
            let all = groups.iter().flat_map(|g| g.durations_ns.iter().copied());
            let durations_ns = all.collect();
            let name = "all".to_owned();
            groups.insert(0, Group { name, durations_ns });
        }
        for group in &mut groups {
            group.durations_ns.sort_unstable();
        }
        Distribution {
            title: format!("Share of {things} that took at most so long, by {by}"),
            what,
            groups,
            footer,
        }
    }
}

/// The sch delays of `latency`, by the class of the task that waited.
pub fn delays_by_class(source: &dyn Source) -> Result<Distribution, Error> {
    let classes = Classes::new(source);
    let mut delays = Delays::new(Wake::default());
    let mut kinds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let walked = walk(source, &mut |event| {
        if let Some(delay) = delays.push(event) {
            let class = classes.of(delay.pid, delay.comm, delay.prio);
            let of_class = kinds.entry(class.name().to_owned()).or_default();
            of_class.push(delay.ns());
        }
        Ok(())
    })?;
    Ok(Distribution::new(
        ("scheduling delays", "class"),
        "time from runnable to running",
        kinds,
        Footer::new(source.info(), &walked),
    ))
}

/// The moves that ran, from begin to first run, by cause.
pub fn moves_by_cause(source: &dyn Source) -> Result<Distribution, Error> {
    let report = migration::analyze(source)?;
    let mut kinds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for m in report.moves.iter().filter(|m| Move::counts(m)) {
        let of_cause = kinds.entry(m.cause.name().to_owned()).or_default();
        of_cause.push(m.total_ns());
    }
    Ok(Distribution::new(
        ("moves", "cause"),
        "time from begin to first run",
        kinds,
        report.footer,
    ))
}

/// The waits of stopper works from queueing to start, by the work's function.
pub fn waits_by_function(source: &dyn Source) -> Result<Distribution, Error> {
    let report = stopper::analyze(source)?;
    let mut kinds: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for work in &report.works {
        if let Some(ns) = Work::queue_to_start_ns(work) {
            kinds.entry(work.func.clone()).or_default().push(ns);
        }
    }
    Ok(Distribution::new(
        ("stopper works", "function"),
        "time from queueing to start",
        kinds,
        report.footer,
    ))
}
