//! One table as CSV: a header line of column names, then a line a row. A missing value is an empty
//! field, a text with a comma, a quote or a line end is quoted.

use std::io::Write;

use crate::Error;
use crate::report::{Options, Report, Streamed};
use crate::table::{Table, Value};

pub(crate) fn write(report: &Report, options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    match report.chosen(options)?.first() {
        Some(table) => write_table(table, out),
        None => Ok(()),
    }
}

/// Writes a report row by row, or another one of its tables.
pub(crate) fn stream<S: Streamed + ?Sized>(
    report: &S,
    first: &Table,
    options: &Options,
    out: &mut dyn Write,
) -> Result<Report, Error> {
    let wanted = options.wants(first.name);
    let shown = first.shown(false);
    if wanted {
        heads(first, &shown, out)?;
    }
    let rest = report.run(&mut |row| match wanted {
        true => line(&row.values(), &shown, out),
        false => Ok(()),
    })?;
    if !wanted {
        write(&rest, options, out)?;
    }
    Ok(rest)
}

/// Writes one table.
pub(crate) fn write_table(table: &Table, out: &mut dyn Write) -> Result<(), Error> {
    let shown = table.shown(false);
    heads(table, &shown, out)?;
    for row in &table.rows {
        line(row, &shown, out)?;
    }
    Ok(())
}

fn heads(table: &Table, shown: &[usize], out: &mut dyn Write) -> Result<(), Error> {
    let heads: Vec<&str> = shown.iter().map(|i| table.columns[*i].key).collect();
    Ok(writeln!(out, "{}", heads.join(","))?)
}

fn line(row: &[Value], shown: &[usize], out: &mut dyn Write) -> Result<(), Error> {
    let fields: Vec<String> = shown.iter().map(|i| field(&row[*i])).collect();
    Ok(writeln!(out, "{}", fields.join(","))?)
}

fn field(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Int(v) => v.to_string(),
        Value::Uint(v) => v.to_string(),
        Value::Bool(v) => v.to_string(),
        Value::Text(text) if text.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Value::Text(text) => text.clone(),
    }
}
