//! The instant at which `ps --at` and `runq --at` look: in words, and as a table.

use trace::state::{Instant, State};

use crate::table::Kind::{Event, Instant as Time, Number};
use crate::table::Shown::Everywhere;
use crate::table::{Col, Table, col};

/// `@5000 (cpu3 at 0.006816072 s, 5000 events before)`: exact, to the nanosecond.
pub fn words(at: &Instant) -> String {
    let before = match at.events_before {
        1 => "1 event before".to_owned(),
        number => format!("{number} events before"),
    };
    let time = seconds(at.cycles);
    match at.event {
        Some(seq) => {
            let own = at.clocks.iter().position(Option::is_some);
            let cpu = own.map_or(String::new(), |cpu| format!("cpu{cpu} at "));
            format!("@{seq} ({cpu}{time}, {before})")
        }
        None => format!("{time} (between two windows, {before})"),
    }
}

/// Seconds with all nine decimals.
fn seconds(ns: u64) -> String {
    format!("{}.{:09} s", ns / 1_000_000_000, ns % 1_000_000_000)
}

struct Row {
    cpu: u32,
    cycles: Option<u64>,
    insns: Option<u64>,
    event: Option<u64>,
    events_before: u64,
}

const COLUMNS: &[Col<Row>] = &[
    col("cpu", "CPU", Number, Everywhere, |r| r.cpu.into()),
    col("clock_ns", "CLOCK", Time, Everywhere, |r| r.cycles.into()),
    col("insns", "INSNS", Number, Everywhere, |r| r.insns.into()),
    col("at_event", "AT", Event, Everywhere, |r| r.event.into()),
    col("events_before", "EVENTS", Number, Everywhere, |r| {
        r.events_before.into()
    }),
];

const DOCS: &[(&str, &str)] = &[
    ("table", "Where each CPU stood at the instant."),
    ("cpu", "The CPU."),
    (
        "clock_ns",
        "Its clock; at an event only the event's CPU has one that can be named.",
    ),
    ("insns", "Instructions that it had retired."),
    (
        "at_event",
        "The event that the instant is at: emitted, its instruction not executed; empty between windows.",
    ),
    (
        "events_before",
        "Events of all CPUs that lie before the instant.",
    ),
];

/// One row a CPU.
pub fn table(state: &State) -> Table {
    let at = &state.at;
    let rows: Vec<Row> = at
        .clocks
        .iter()
        .enumerate()
        .map(|(cpu, clock)| Row {
            cpu: cpu as u32,
            cycles: clock.map(|clock| clock.cycles),
            insns: clock.map(|clock| clock.insns),
            event: at.event,
            events_before: at.events_before,
        })
        .collect();
    Table::new("instant", "where each CPU stood", COLUMNS, &rows).with_docs(DOCS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trace::state::Clock;

    #[test]
    fn an_instant_is_named_to_the_nanosecond() {
        let clock = Clock {
            cycles: 6_816_072,
            insns: 4_686_135,
        };
        let mut at = Instant {
            cycles: 6_816_072,
            event: Some(5000),
            events_before: 5000,
            clocks: vec![None, Some(clock)],
        };
        assert_eq!(
            words(&at),
            "@5000 (cpu1 at 0.006816072 s, 5000 events before)"
        );
        at.event = None;
        at.events_before = 1;
        assert_eq!(
            words(&at),
            "0.006816072 s (between two windows, 1 event before)"
        );
    }
}
