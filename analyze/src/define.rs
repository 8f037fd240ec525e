//! `--define`: what the columns of a report's tables mean, in the place of their rows.
//!
//! A table brings its sentences ([`Table::docs`]); those that mean the same in every table are here.

use std::io::Write;

use serde_json::{Value as Json, json};

use crate::Error;
use crate::render::{csv, text};
use crate::report::{Format, Options, Report};
use crate::table::Kind::Text;
use crate::table::Shown::Everywhere;
use crate::table::{Col, Column, Kind, Shown, Table, col};

/// Columns that mean the same wherever a table has no sentence of its own for them.
const COMMON: &[(&str, &str)] = &[
    ("count", "Number of values."),
    (
        "p50_ns",
        "Half of the values are not larger; by nearest rank, from 2 values on.",
    ),
    (
        "p90_ns",
        "Nine in ten of the values are not larger; by nearest rank, from 10 values on.",
    ),
    (
        "p99_ns",
        "99 in 100 of the values are not larger; by nearest rank, from 100 values on.",
    ),
    (
        "max_ns",
        "The largest value, the first of equal ones; null if there is none.",
    ),
    ("max_time_ns", "Causal time of max_seq."),
    (
        "max_seq",
        "The event that the largest value is found by; the table's title says which.",
    ),
];

/// A column and what it means.
struct Meaning {
    table: &'static str,
    column: Column,
    sentence: &'static str,
}

const MEANINGS: &[Col<Meaning>] = &[
    col("table", "table", Text, Everywhere, |m| m.table.into()),
    col("column", "column", Text, Everywhere, |m| {
        m.column.key.into()
    }),
    col("in_text", "in text", Text, Everywhere, |m| {
        head(&m.column).into()
    }),
    col("unit", "unit", Text, Everywhere, |m| unit(&m.column).into()),
    col("sentence", "meaning", Text, Everywhere, |m| {
        m.sentence.into()
    }),
];

/// Writes what the tables mean that `options` ask for.
pub(crate) fn write(
    report: &Report,
    format: Format,
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let chosen = report.chosen(options)?;
    match format {
        Format::Text => in_text(&report.title, &chosen, out),
        Format::Json => in_json(&chosen, out),
        Format::Csv => {
            let all: Vec<Meaning> = chosen
                .into_iter()
                .flat_map(|t| meanings(t, false))
                .collect();
            csv::write_table(&Table::new("definitions", "", MEANINGS, &all), out)
        }
    }
}

fn in_text(title: &str, tables: &[&Table], out: &mut dyn Write) -> Result<(), Error> {
    writeln!(out, "# {title}: what the columns mean")?;
    for table in tables {
        writeln!(out)?;
        text::write_wrapped(&format!("{}: {}", table.name, table.title), "# ", out)?;
        if let Some(sentence) = sentence_of(table) {
            text::write_wrapped(sentence, "# ", out)?;
        }
        for meaning in meanings(table, true) {
            let column = &meaning.column;
            let names = match (column.shown, head(column)) {
                (Shown::Text, Some(head)) => format!("\"{head}\" in text only"),
                (_, Some(head)) if head != column.key => {
                    format!("{}, \"{head}\" in text", column.key)
                }
                _ => column.key.to_owned(),
            };
            writeln!(out, "{names} ({})", unit(column))?;
            text::write_wrapped(meaning.sentence, "    ", out)?;
        }
    }
    Ok(())
}

fn in_json(tables: &[&Table], out: &mut dyn Write) -> Result<(), Error> {
    writeln!(out, "{{")?;
    for (at, table) in tables.iter().enumerate() {
        let about = json!({"title": table.title, "sentence": sentence_of(table)}).to_string();
        let about = about.trim_end_matches('}');
        writeln!(out, "{}: {about}, \"columns\": [", Json::from(table.name))?;
        let columns: Vec<String> = meanings(table, false)
            .iter()
            .map(|m| {
                format!(
                    "  {{\"column\": {}, \"in_text\": {}, \"unit\": {}, \"sentence\": {}}}",
                    Json::from(m.column.key),
                    head(&m.column).map_or(Json::Null, Json::from),
                    Json::from(unit(&m.column)),
                    Json::from(m.sentence)
                )
            })
            .collect();
        let comma = if at + 1 == tables.len() { "" } else { "," };
        writeln!(out, "{}\n]}}{comma}", columns.join(",\n"))?;
    }
    Ok(writeln!(out, "}}")?)
}

/// The columns of the machine formats, and those that text alone has, if it is asked for.
fn meanings(table: &Table, text: bool) -> Vec<Meaning> {
    let columns = table.columns.iter().filter(|column| match column.shown {
        Shown::Text => text && head(column).is_some(),
        Shown::Everywhere | Shown::Machine => true,
    });
    columns
        .map(|column| Meaning {
            table: table.name,
            column: *column,
            sentence: sentence(table, column),
        })
        .collect()
}

fn sentence(table: &Table, column: &Column) -> &'static str {
    let own = table.docs.iter().chain(COMMON);
    let found = own.clone().find(|(key, _)| *key == column.key);
    match (found, column.shown) {
        (Some((_, sentence)), _) => sentence,
        (None, Shown::Text) => "Other columns, put together.",
        (None, _) => "",
    }
}

fn sentence_of(table: &Table) -> Option<&'static str> {
    let found = table.docs.iter().find(|(key, _)| *key == "table");
    found.map(|(_, sentence)| *sentence)
}

/// How the column is called in text, if it is there.
fn head(column: &Column) -> Option<&'static str> {
    let there = column.shown != Shown::Machine && !column.head.is_empty();
    there.then_some(column.head)
}

/// What the values of the machine formats are counted in.
fn unit(column: &Column) -> &'static str {
    let has = |word: &str| column.key.split('_').any(|part| part == word);
    match column.kind {
        Kind::Text => "words",
        Kind::Number if has("insns") => "instructions",
        Kind::Number if has("ns") => "ns",
        Kind::Number => "number",
        Kind::Instant => "ns since power-on",
        Kind::Duration => "ns",
        Kind::Event => "event number",
        Kind::Flag => "true or false",
        Kind::Mask => "mask, one bit each",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Col<u64>] = &[
        col("time_ns", "time", Kind::Instant, Everywhere, |v| {
            (*v).into()
        }),
        col("p50_ns", "p50(us)", Kind::Duration, Everywhere, |v| {
            (*v).into()
        }),
        col("both", "a+b", Text, Shown::Text, |_| "".into()),
        col("share_insns", "", Kind::Number, Shown::Machine, |v| {
            (*v).into()
        }),
    ];

    fn table() -> Table {
        Table::new("things", "all things", COLUMNS, &[7]).with_docs(&[
            ("table", "One row a thing."),
            ("time_ns", "When it was."),
            ("share_insns", "What it took."),
        ])
    }

    #[test]
    fn text_has_every_column_and_no_row() {
        let mut out = Vec::new();
        in_text("test", &[&table()], &mut out).expect("memory has room");
        let text = String::from_utf8(out).expect("text");
        let expected = "# test: what the columns mean\n\n# things: all things\n# One row a thing.\n\
             time_ns, \"time\" in text (ns since power-on)\n    When it was.\n\
             p50_ns, \"p50(us)\" in text (ns)\n    Half of the values are not larger; by nearest rank, from 2 values on.\n\
             \"a+b\" in text only (words)\n    Other columns, put together.\n\
             share_insns (instructions)\n    What it took.\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn json_is_one_object_with_the_columns_of_the_machine_formats() {
        let mut out = Vec::new();
        in_json(&[&table(), &table()], &mut out).expect("memory has room");
        let json: Json = serde_json::from_slice(&out).expect("JSON");
        let things = &json["things"];
        assert_eq!(things["title"], "all things");
        assert_eq!(things["sentence"], "One row a thing.");
        assert_eq!(things["columns"].as_array().map(Vec::len), Some(3));
        assert_eq!(things["columns"][2]["unit"], "instructions");
        assert_eq!(things["columns"][2]["in_text"], Json::Null);
    }
}
