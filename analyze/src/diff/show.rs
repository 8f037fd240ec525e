//! A comparison as text, JSON and CSV.

use std::io::Write;

use serde_json::{Value as Json, json};

use super::{Diff, Difference, Metric, Side, Verdict};
use crate::Error;
use crate::render::text::{micros, write_table};
use crate::table::Kind::{Number, Text};
use crate::table::Shown::{Everywhere, Machine};
use crate::table::{Col, Table, col};

/// Lines of a stack that text shows.
const STACK_LINES: usize = 16;

const COLUMNS: &[Col<Metric>] = &[
    col("metric", "metric", Text, Everywhere, |m| {
        m.name.as_str().into()
    }),
    col("a", "A", Number, Everywhere, |m| m.a.into()),
    col("b", "B", Number, Everywhere, |m| m.b.into()),
    col("change", "change", Number, Everywhere, |m| {
        m.change().into()
    }),
    col("change_permille", "change", Number, Machine, |m| {
        m.change_permille().into()
    }),
];

/// The numbers as words: durations in microseconds, changes with their sign.
struct Line {
    name: String,
    a: String,
    b: String,
    change: String,
}

const LINES: &[Col<Line>] = &[
    col("metric", "metric", Text, Everywhere, |l| {
        l.name.as_str().into()
    }),
    col("a", "A", Number, Everywhere, |l| l.a.as_str().into()),
    col("b", "B", Number, Everywhere, |l| l.b.as_str().into()),
    col("change", "change", Number, Everywhere, |l| {
        l.change.as_str().into()
    }),
];

impl Line {
    fn of(metric: &Metric) -> Line {
        let number = |value: Option<u64>| match value {
            None => "-".to_owned(),
            Some(ns) if metric.is_duration() => micros(ns),
            Some(number) => number.to_string(),
        };
        let change = match (metric.change(), metric.change_permille()) {
            (None, _) => "-".to_owned(),
            (Some(0), _) => "=".to_owned(),
            (Some(change), permille) => {
                let sign = if change < 0 { '-' } else { '+' };
                let by = number(Some(change.unsigned_abs()));
                match permille {
                    None => format!("{sign}{by}"),
                    Some(p) => {
                        let p = p.unsigned_abs();
                        format!("{sign}{by} ({sign}{}.{}%)", p / 10, p % 10)
                    }
                }
            }
        };
        Line {
            name: match metric.name.strip_suffix("_ns") {
                Some(name) => format!("{name} (us)"),
                None => metric.name.clone(),
            },
            a: number(metric.a),
            b: number(metric.b),
            change,
        }
    }
}

pub(super) fn text(diff: &Diff, out: &mut dyn Write) -> Result<(), Error> {
    writeln!(out, "# A: {}", diff.names[0])?;
    writeln!(out, "# B: {}", diff.names[1])?;
    for line in &diff.settings {
        writeln!(out, "# not the same: {line}")?;
    }
    match &diff.verdict {
        Verdict::CannotCompare(reason) => writeln!(out, "cannot compare: {reason}")?,
        verdict => writeln!(out, "{}", verdict.name())?,
    }
    if let Some(first) = &diff.first {
        writeln!(out)?;
        writeln!(
            out,
            "first difference: event @{}: {}",
            first.seq, first.what
        )?;
        for (name, side) in ["A", "B"].into_iter().zip(&first.sides) {
            text_side(name, side, out)?;
        }
    } else if diff.verdict == Verdict::Differs {
        writeln!(
            out,
            "every event is the same; the final state of the machine is not"
        )?;
    }
    if !diff.metrics.is_empty() {
        writeln!(out)?;
        let lines: Vec<Line> = diff.metrics.iter().map(Line::of).collect();
        write_table(
            &Table::new("metrics", "migrations and stopper", LINES, &lines),
            None,
            out,
        )?;
    }
    for (name, footer) in ["A", "B"].into_iter().zip(&diff.footers) {
        writeln!(out)?;
        for line in footer.lines() {
            writeln!(out, "# {name} {line}")?;
        }
    }
    Ok(())
}

fn text_side(name: &str, side: &Side, out: &mut dyn Write) -> Result<(), Error> {
    match &side.event {
        Some(event) => writeln!(out, "{name}: {event}")?,
        None => writeln!(out, "{name}: no more events")?,
    }
    if side.lacks_stack() {
        writeln!(out, "     no stack is recorded for this event")?;
    }
    for line in side.stack.iter().take(STACK_LINES) {
        writeln!(out, "     {line}")?;
    }
    if side.stack.len() > STACK_LINES {
        writeln!(out, "     ... {} more", side.stack.len() - STACK_LINES)?;
    }
    for queue in &side.runqueues {
        writeln!(out, "   runqueue: {queue}")?;
    }
    Ok(())
}

pub(super) fn json(diff: &Diff, out: &mut dyn Write) -> Result<(), Error> {
    let reason = match &diff.verdict {
        Verdict::CannotCompare(reason) => Some(reason),
        _ => None,
    };
    let metrics: Vec<Json> = diff
        .metrics
        .iter()
        .map(|m| {
            json!({"metric": m.name, "a": m.a, "b": m.b, "change": m.change(),
                   "change_permille": m.change_permille()})
        })
        .collect();
    let value = json!({
        "verdict": diff.verdict.name(),
        "reason": reason,
        "a": diff.names[0],
        "b": diff.names[1],
        "settings": diff.settings,
        "first_difference": diff.first.as_ref().map(first_json),
        "metrics": metrics,
    });
    writeln!(out, "{value:#}")?;
    Ok(())
}

fn first_json(first: &Difference) -> Json {
    let side = |side: &Side| {
        let queues: Vec<String> = side.runqueues.iter().map(ToString::to_string).collect();
        json!({"event": side.event, "stack": side.stack, "runqueues": queues})
    };
    let [a, b] = &first.sides;
    json!({"seq": first.seq, "what": first.what, "a": side(a), "b": side(b)})
}

pub(super) fn csv(diff: &Diff, out: &mut dyn Write) -> Result<(), Error> {
    let table = Table::new("metrics", "", COLUMNS, &diff.metrics);
    crate::render::csv::write_table(&table, out)
}
