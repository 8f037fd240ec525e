//! The numbers of two recordings side by side: migrations, then the stopper.

use crate::migration::{Ended, Kind, MigrationReport, Move, Phase};
use crate::stats::{Sample, summarize};
use crate::stopper::{StopperReport, Work};

/// One number of both recordings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metric {
    /// What it is, with the unit last.
    pub name: String,
    /// In the first recording; `None` if it has too few samples.
    pub a: Option<u64>,
    /// In the second.
    pub b: Option<u64>,
}

impl Metric {
    /// Second minus first.
    pub fn change(&self) -> Option<i64> {
        i64::try_from(i128::from(self.b?) - i128::from(self.a?)).ok()
    }

    /// The change in tenths of a percent of the first; `None` from 0.
    pub fn change_permille(&self) -> Option<i64> {
        let a = i128::from(self.a?);
        let change = i128::from(self.change()?) * 1000;
        i64::try_from(change.checked_div(a)?).ok()
    }

    /// Whether it is a duration in nanoseconds.
    pub fn is_duration(&self) -> bool {
        self.name.ends_with("_ns")
    }
}

/// A list of named numbers of one recording.
type Numbers = Vec<(String, Option<u64>)>;

pub(super) fn metrics(
    moves: (&MigrationReport, &MigrationReport),
    works: (&StopperReport, &StopperReport),
) -> Vec<Metric> {
    let numbers = |moves: &MigrationReport, works: &StopperReport| -> Numbers {
        let mut numbers = vec![("events".to_owned(), Some(moves.footer.events))];
        migration(moves, &mut numbers);
        stopper(works, &mut numbers);
        numbers
    };
    // Both lists are made by the same code and have the same names in the same order.
    numbers(moves.0, works.0)
        .into_iter()
        .zip(numbers(moves.1, works.1))
        .map(|((name, a), (_, b))| Metric { name, a, b })
        .collect()
}

fn quantiles(what: &str, samples: impl Iterator<Item = u64>, numbers: &mut Numbers) {
    let sample = |value_ns| Sample {
        value_ns,
        time_ns: 0,
        seq: 0,
    };
    let summary = summarize(samples.map(sample));
    numbers.push((format!("{what}_p50_ns"), summary.p50_ns));
    numbers.push((format!("{what}_p90_ns"), summary.p90_ns));
    numbers.push((format!("{what}_p99_ns"), summary.p99_ns));
    numbers.push((
        format!("{what}_max_ns"),
        summary.max.map(|max| max.value_ns),
    ));
}

fn migration(report: &MigrationReport, numbers: &mut Numbers) {
    let count =
        |f: &dyn Fn(&Move) -> bool| Some(report.moves.iter().filter(|m| f(m)).count() as u64);
    let is_move = |m: &Move| m.kind == Kind::Move;
    numbers.push(("moves".into(), count(&is_move)));
    numbers.push((
        "moves_by_stopper".into(),
        count(&|m| is_move(m) && m.path == crate::migration::Path::Stopper),
    ));
    numbers.push((
        "moves_not_ran".into(),
        count(&|m| is_move(m) && m.ended != Ended::Ran),
    ));
    numbers.push(("placements".into(), count(&|m| !is_move(m))));
    let ran = || report.moves.iter().filter(|m| m.counts());
    quantiles("migration_total", ran().map(Move::total_ns), numbers);
    for phase in Phase::ALL {
        let what = phase.name().replace('-', "_");
        let ns = move |m: &Move| m.phases_ns[phase as usize];
        quantiles(&what, ran().map(ns), numbers);
    }
    let insns = ran().map(Move::total_insns).sum();
    numbers.push(("migration_insns".into(), Some(insns)));
}

/// A duration of a work, with its name.
type Duration = (&'static str, fn(&Work) -> Option<u64>);

fn stopper(report: &StopperReport, numbers: &mut Numbers) {
    let works = || report.works.iter();
    numbers.push(("stopper_works".into(), Some(works().count() as u64)));
    let durations: [Duration; 6] = [
        ("queue_to_wake", Work::queue_to_wake_ns),
        ("wake_to_run", Work::wake_to_run_ns),
        ("run", Work::run_ns),
        ("done_to_waiter", |w| w.done_to_waiter),
        ("pending_to_waiter", |w| w.pending_to_waiter),
        ("victim_lost", |w| w.lost_ns),
    ];
    for (what, of) in durations {
        quantiles(what, works().filter_map(of), numbers);
    }
    let lost = works().filter_map(|w| w.lost_ns).sum();
    numbers.push(("victims_lost_ns".into(), Some(lost)));
    let occupancy = report.totals.iter().map(|t| t.occupancy_ns).sum();
    numbers.push(("stopper_occupancy_ns".into(), Some(occupancy)));
}
