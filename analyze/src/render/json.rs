//! One JSON object a report: `{"TABLE": [{row}, ...], ..., "checks": [...], "recording": {...}}`.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

use crate::Error;
use crate::report::{Footer, Options, Report, Streamed};
use crate::table::{Table, Value};

pub(crate) fn write(report: &Report, options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    let chosen = report.chosen(options)?;
    // Row by row: a report may have very many rows, and one a line is what diff and grep like.
    writeln!(out, "{{")?;
    tables(&chosen, out)?;
    end(report, out)
}

/// Writes a report row by row.
pub(crate) fn stream<S: Streamed + ?Sized>(
    report: &S,
    first: &Table,
    options: &Options,
    out: &mut dyn Write,
) -> Result<Report, Error> {
    writeln!(out, "{{")?;
    let wanted = options.wants(first.name);
    let shown = first.shown(false);
    if wanted {
        write!(out, "{}: [", Json::from(first.name))?;
    }
    let mut comma = "\n  ";
    let rest = report.run(&mut |row| {
        if wanted {
            write!(out, "{comma}{}", object(first, &shown, &row.values()))?;
            comma = ",\n  ";
        }
        Ok(())
    })?;
    if wanted {
        let end = if comma.starts_with(',') { "\n" } else { "" };
        writeln!(out, "{end}],")?;
    }
    let others: Vec<&Table> = rest
        .tables
        .iter()
        .filter(|t| options.wants(t.name))
        .collect();
    tables(&others, out)?;
    end(&rest, out)?;
    Ok(rest)
}

fn tables(tables: &[&Table], out: &mut dyn Write) -> Result<(), Error> {
    for table in tables {
        write!(out, "{}: [", Json::from(table.name))?;
        let shown = table.shown(false);
        for (at, row) in table.rows.iter().enumerate() {
            let comma = if at == 0 { "\n  " } else { ",\n  " };
            write!(out, "{comma}{}", object(table, &shown, row))?;
        }
        let end = if table.rows.is_empty() { "" } else { "\n" };
        writeln!(out, "{end}],")?;
    }
    Ok(())
}

/// The checks and the facts of the recording.
fn end(report: &Report, out: &mut dyn Write) -> Result<(), Error> {
    let checks: Vec<Json> = report
        .checks
        .iter()
        .map(|c| json!({"name": c.name, "holds": c.holds, "detail": c.detail}))
        .collect();
    writeln!(out, "\"checks\": {},", Json::from(checks))?;
    writeln!(out, "\"recording\": {}", footer(&report.footer))?;
    writeln!(out, "}}")?;
    Ok(())
}

fn object(table: &Table, shown: &[usize], row: &[Value]) -> String {
    // By hand, because the order of the columns is part of the shape and a map would sort them.
    let fields: Vec<String> = shown
        .iter()
        .map(|i| format!("{}: {}", Json::from(table.columns[*i].key), value(&row[*i])))
        .collect();
    format!("{{{}}}", fields.join(", "))
}

fn value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(v) => Json::from(*v),
        Value::Uint(v) => Json::from(*v),
        Value::Text(v) => Json::from(v.as_str()),
        Value::Bool(v) => Json::from(*v),
    }
}

fn footer(footer: &Footer) -> Json {
    let mut map = Map::new();
    map.insert("file".into(), footer.recording.as_str().into());
    map.insert("stream_sha256".into(), footer.stream_sha256.as_str().into());
    map.insert("complete".into(), footer.truncated.is_none().into());
    map.insert("truncated".into(), footer.truncated.clone().into());
    map.insert("events".into(), footer.events.into());
    map.insert("cpus".into(), footer.cpus.into());
    map.insert("policy".into(), footer.policy.as_str().into());
    map.insert("bound_ns".into(), footer.bound_ns().into());
    map.insert("quantum_ns".into(), footer.quantum_ns.into());
    map.insert(
        "longest_stretch_ns".into(),
        footer.longest_stretch_ns.into(),
    );
    map.insert("pushed_ns_max".into(), footer.pushed_ns_max.into());
    Json::Object(map)
}
