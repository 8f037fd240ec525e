//! The tables of events, from the schema that every kind of event declares.

use std::path::Path;

use trace::event::{EventData, EventSchema, FieldType, FieldValue};
use trace::krec::BASE_COLUMNS;

use super::file::{Cell, Dtype, TableFile};
use crate::Error;
use crate::causal::Stamped;
use crate::export::output::Partial;
use crate::names;
use crate::source::Source;

const BASE: [(&str, Dtype); 8] = [
    ("seq", Dtype::Int),
    ("cpu", Dtype::Int),
    ("cycles", Dtype::Int),
    ("insns", Dtype::Int),
    ("time_ns", Dtype::Int),
    ("pid", Dtype::Int),
    ("comm", Dtype::Text),
    ("stack", Dtype::Int),
];

/// The files of all kinds, in the order of `EventData::SCHEMAS`.
pub(super) struct Tables(Vec<TableFile>);

impl Tables {
    pub(super) fn create(dir: &Path) -> Result<Tables, Error> {
        let create = |schema: &EventSchema| {
            let base = BASE.map(|(name, dtype)| (name.to_owned(), dtype));
            let fields = schema.fields.iter().map(|field| {
                let dtype = match field.ty {
                    FieldType::Int | FieldType::Uint => Dtype::Int,
                    FieldType::Mask => Dtype::Mask,
                    FieldType::Addr | FieldType::Comm => Dtype::Text,
                };
                (column_name(field.name).to_owned(), dtype)
            });
            let columns = base.into_iter().chain(fields).collect();
            TableFile::create(dir, &table_name(schema.name), columns, docs(schema))
        };
        let files: Result<Vec<TableFile>, Error> = EventData::SCHEMAS.iter().map(create).collect();
        Ok(Tables(files?))
    }

    pub(super) fn push(&mut self, source: &dyn Source, event: &Stamped<'_>) -> Result<(), Error> {
        let e = event.event;
        let number = |v: u64| Cell::Mask(v);
        let mut row = vec![
            number(e.seq),
            number(e.cpu.into()),
            number(e.cycles),
            number(e.insns),
            number(event.time_ns),
            Cell::Int(e.pid.into()),
            Cell::Text(e.comm.to_text()),
            e.stack
                .map_or(Cell::Null, |stack| Cell::Int(stack.0.into())),
        ];
        e.data.visit(&mut |value| {
            row.push(match value {
                FieldValue::Int(v) => Cell::Int(v),
                FieldValue::Uint(v) => Cell::Mask(v),
                FieldValue::Addr(v) => names::address(source, v).map_or(Cell::Null, Cell::Text),
                FieldValue::Comm(v) => Cell::Text(v.to_text()),
            });
        });
        let id = e.data.schema().id;
        let at = EventData::SCHEMAS.iter().position(|schema| schema.id == id);
        match at.and_then(|at| self.0.get_mut(at)) {
            Some(file) => file.push(row),
            None => Ok(()),
        }
    }

    pub(super) fn finish(self) -> Result<Vec<Partial>, Error> {
        self.0.into_iter().map(TableFile::finish).collect()
    }
}

/// What the event and each of its columns mean, in the words of the recording.
fn docs(schema: &EventSchema) -> Vec<(String, String)> {
    let time = (
        "time_ns".to_owned(),
        "Causal time in nanoseconds of virtual time, at or after the raw clock.".to_owned(),
    );
    let base = BASE_COLUMNS.iter().map(|f| (f.name, f.doc));
    let fields = schema.fields.iter().map(|f| (column_name(f.name), f.doc));
    let mut docs = vec![(
        "event".to_owned(),
        format!("{}: {}", schema.name, schema.doc.trim()),
    )];
    docs.extend(
        base.chain(fields)
            .map(|(name, doc)| (name.to_owned(), doc.trim().to_owned())),
    );
    docs.push(time);
    docs
}

/// `sched:sched_switch` is `sched_switch`; our own `stop:work_queue` is `stop_work_queue`.
fn table_name(event: &str) -> String {
    match event.split_once(':') {
        Some((system @ ("stop" | "move"), name)) => format!("{system}_{name}"),
        Some((_, name)) => name.to_owned(),
        None => event.to_owned(),
    }
}

/// The name of a field's column: Linux's, unless a base column has it.
fn column_name(field: &'static str) -> &'static str {
    match field {
        "pid" => "task_pid",
        "comm" => "task_comm",
        "cpu" => "target_cpu",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_names_of_their_own() {
        let mut names: Vec<String> = EventData::SCHEMAS
            .iter()
            .map(|s| table_name(s.name))
            .collect();
        assert!(names.contains(&"sched_switch".to_owned()));
        assert!(names.contains(&"local_timer_entry".to_owned()));
        assert!(names.contains(&"stop_work_queue".to_owned()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EventData::SCHEMAS.len());
    }

    #[test]
    fn columns_of_a_table_have_names_of_their_own() {
        for schema in EventData::SCHEMAS {
            let mut names: Vec<&str> = BASE.iter().map(|(name, _)| *name).collect();
            names.extend(schema.fields.iter().map(|f| column_name(f.name)));
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", schema.name);
        }
    }
}
