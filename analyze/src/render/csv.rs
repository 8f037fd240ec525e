//! One table as CSV: a header line of column names, then a line a row. A missing value is an empty
//! field, a text with a comma, a quote or a line end is quoted.

use std::io::Write;

use crate::Error;
use crate::report::{Options, Report};
use crate::table::{Table, Value};

pub(crate) fn write(report: &Report, options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    match report.chosen(options)?.first() {
        Some(table) => write_table(table, out),
        None => Ok(()),
    }
}

/// Writes one table.
pub(crate) fn write_table(table: &Table, out: &mut dyn Write) -> Result<(), Error> {
    let shown = table.shown(false);
    let heads: Vec<&str> = shown.iter().map(|i| table.columns[*i].key).collect();
    writeln!(out, "{}", heads.join(","))?;
    for row in &table.rows {
        let fields: Vec<String> = shown.iter().map(|i| field(&row[*i])).collect();
        writeln!(out, "{}", fields.join(","))?;
    }
    Ok(())
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
