//! Tables for people: plain ASCII without colour, columns as wide as their widest value.

use std::io::Write;

use crate::Error;
use crate::report::{Check, Options, Report, Streamed};
use crate::table::{Column, Kind, Table, Value};

pub(crate) fn write(report: &Report, options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    let chosen = report.chosen(options)?;
    writeln!(out, "# {}", report.title)?;
    rest(report, &chosen, options, out)
}

/// Writes a report row by row.
pub(crate) fn stream<S: Streamed + ?Sized>(
    report: &S,
    first: &Table,
    options: &Options,
    out: &mut dyn Write,
) -> Result<Report, Error> {
    writeln!(out, "# {}", report.title())?;
    let wanted = options.wants(first.name);
    let layout = first.layout.iter();
    let most = options.rows.map_or(u64::MAX, |rows| rows as u64);
    if wanted {
        writeln!(out)?;
        write_wrapped(&first.title, "# ", out)?;
        for line in layout.clone().flat_map(|layout| &layout.head) {
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    let mut rows = 0;
    let found = report.run(&mut |row| {
        if wanted && rows < most {
            writeln!(out, "{}", row.line().trim_end())?;
        }
        rows += 1;
        Ok(())
    })?;
    if wanted {
        more(rows.saturating_sub(most), out)?;
    }
    let others: Vec<&Table> = found
        .tables
        .iter()
        .filter(|t| options.wants(t.name))
        .collect();
    rest(&found, &others, options, out)?;
    Ok(found)
}

/// What comes after the title and a first table that has been written already.
fn rest(
    report: &Report,
    tables: &[&Table],
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), Error> {
    for table in tables {
        writeln!(out)?;
        write_table(table, options.rows, out)?;
    }
    if !report.notes.is_empty() {
        writeln!(out)?;
    }
    for note in &report.notes {
        write_wrapped(note, "# ", out)?;
    }
    if !report.checks.is_empty() {
        writeln!(out)?;
    }
    for check in &report.checks {
        write_wrapped(&check_line(check), "# ", out)?;
    }
    writeln!(out)?;
    for line in report.footer.lines() {
        write_wrapped(&line, "# ", out)?;
    }
    Ok(())
}

/// Says how many rows are not shown.
fn more(hidden: u64, out: &mut dyn Write) -> Result<(), Error> {
    match hidden {
        0 => Ok(()),
        hidden => Ok(writeln!(out, "# ... {hidden} more rows")?),
    }
}

fn check_line(check: &Check) -> String {
    let holds = match check.holds {
        true => "holds",
        false => "FAILS",
    };
    format!("check {holds}: {}: {}", check.name, check.detail)
}

/// Writes one table: its heading, the column heads and at most `most` rows.
pub(crate) fn write_table(
    table: &Table,
    most: Option<usize>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    write_wrapped(&table.title, "# ", out)?;
    let shown = table.shown(true);
    let count = table.rows.len().min(most.unwrap_or(usize::MAX));
    let hidden = (table.rows.len() - count) as u64;
    if let Some(layout) = &table.layout {
        for line in layout.head.iter().chain(layout.lines.iter().take(count)) {
            writeln!(out, "{}", line.trim_end())?;
        }
        more(hidden, out)?;
        for line in &layout.foot {
            writeln!(out, "{}", line.trim_end())?;
        }
        return Ok(());
    }
    let cells: Vec<Vec<String>> = table.rows[..count]
        .iter()
        .map(|row| {
            shown
                .iter()
                .map(|i| cell(&table.columns[*i], &row[*i]))
                .collect()
        })
        .collect();
    let heads: Vec<String> = shown
        .iter()
        .map(|i| table.columns[*i].head.to_owned())
        .collect();
    let width = |at: usize| {
        cells
            .iter()
            .chain([&heads])
            .map(|row| row[at].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..shown.len()).map(width).collect();
    // Two spaces between columns, one where a terminal would not have the room.
    let gap = match widths.iter().sum::<usize>() + 2 * widths.len() {
        0..=118 => "  ",
        _ => " ",
    };
    for row in [&heads].into_iter().chain(&cells) {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            if at > 0 {
                line.push_str(gap);
            }
            match table.columns[shown[at]].kind {
                Kind::Text => line.push_str(&format!("{cell:<0$}", widths[at])),
                _ => line.push_str(&format!("{cell:>0$}", widths[at])),
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    more(hidden, out)
}

/// A value as its column shows it.
pub(crate) fn cell(column: &Column, value: &Value) -> String {
    match (column.kind, value) {
        (_, Value::Null) => "-".to_owned(),
        (_, Value::Text(text)) => text.clone(),
        (_, Value::Bool(true)) => "yes".to_owned(),
        (_, Value::Bool(false)) => "no".to_owned(),
        (Kind::Instant, Value::Uint(ns)) => seconds(*ns),
        (Kind::Duration, Value::Uint(ns)) => micros(*ns),
        (Kind::Duration, Value::Int(ns)) if *ns < 0 => format!("-{}", micros(ns.unsigned_abs())),
        (Kind::Duration, Value::Int(ns)) => micros(ns.unsigned_abs()),
        (Kind::Event, Value::Uint(seq)) => format!("@{seq}"),
        (Kind::Mask, Value::Uint(mask)) => format!("{mask:x}"),
        (_, Value::Uint(number)) => number.to_string(),
        (_, Value::Int(number)) => number.to_string(),
    }
}

/// Nanoseconds as seconds with six decimals; what is below a microsecond is cut off.
pub(crate) fn seconds(ns: u64) -> String {
    format!("{}.{:06}", ns / 1_000_000_000, ns / 1_000 % 1_000_000)
}

/// Nanoseconds as microseconds with three decimals.
pub(crate) fn micros(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000, ns % 1_000)
}

/// Writes words in lines of at most 118 characters, each after `prefix`.
pub(crate) fn write_wrapped(text: &str, prefix: &str, out: &mut dyn Write) -> Result<(), Error> {
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.len() + word.len() + prefix.len() > 117 {
            writeln!(out, "{prefix}{line}")?;
            line.clear();
            line.push_str("  ");
        } else if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(out, "{prefix}{line}")?;
    Ok(())
}
