//! Export to Parquet: one table per kind of event, and the derived tables, for polars, duckdb, pandas.
//!
//! | file | rows |
//! |---|---|
//! | `sched_switch.parquet`, `stop_work_queue.parquet`, ... | the events of that kind, in order |
//! | `stacks.parquet` | the frames of every call stack: `stack`, `depth` 0 innermost |
//! | `tasks.parquet` | the task table at the end of the run |
//! | `moves.parquet`, `stopper_works.parquet` | the rows of the two reports |
//!
//! An event's columns are `seq, cpu, cycles, insns, time_ns, pid, comm, stack`, then its own fields.
//! `time_ns` is causal time, `pid` and `comm` are of the CPU's current task. A field that Linux names
//! like one of these is called `task_pid`, `task_comm` or `target_cpu`. Every number is a 64-bit signed
//! integer, except CPU masks, which are unsigned; so equal names have equal types in all tables. An
//! address is text: the function (`name+0x1c`), or a hexadecimal number where it is an object's; none
//! is null. A table is written even if it has no row. The files of events carry the sentence of every
//! column in their key-value metadata. This folder is the only user of polars.

mod events;
mod file;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::causal::walk;
use crate::export::output::Partial;
use crate::source::{Recorded, Source};
use crate::table::{Kind, Table};
use crate::{migration, names, stopper, tasks};
use file::{Cell, Dtype, TableFile};

/// Writes the tables into `dir`, which is created; gives the files in the order of their names.
pub fn export(source: &Recorded<'_>, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = write_source(source, dir)?;
    files.push(write_table(&tasks::table(source), "tasks", dir)?);
    commit(files)
}

/// Gives all files their names, when all are complete.
fn commit(files: Vec<Partial>) -> Result<Vec<PathBuf>, Error> {
    let named: Result<Vec<PathBuf>, Error> = files.into_iter().map(Partial::commit).collect();
    named.map(|mut files| {
        files.sort();
        files
    })
}

/// Writes what any source has: events, stacks, moves and works.
pub fn export_source(source: &dyn Source, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    commit(write_source(source, dir)?)
}

fn write_source(source: &dyn Source, dir: &Path) -> Result<Vec<Partial>, Error> {
    // The analyses first: a recording that they refuse leaves no half-written folder.
    let moves = migration::analyze(source)?;
    let works = stopper::analyze(source)?;
    fs::create_dir_all(dir).map_err(|source| Error::Write {
        path: dir.to_owned(),
        source,
    })?;
    let mut tables = events::Tables::create(dir)?;
    let mut stacks = 0;
    walk(source, &mut |event| {
        if let Some(stack) = event.event.stack {
            stacks = stacks.max(stack.0 + 1);
        }
        tables.push(source, event)
    })?;
    let mut files = tables.finish()?;
    files.push(write_stacks(source, stacks, dir)?);
    files.push(write_table(&moves.table(), "moves", dir)?);
    files.push(write_table(&works.table(), "stopper_works", dir)?);
    Ok(files)
}

fn write_table(table: &Table, name: &str, dir: &Path) -> Result<Partial, Error> {
    let shown = table.shown(false);
    let columns = shown
        .iter()
        .map(|i| {
            let column = &table.columns[*i];
            let dtype = match column.kind {
                Kind::Text => Dtype::Text,
                Kind::Flag => Dtype::Flag,
                Kind::Mask => Dtype::Mask,
                Kind::Number | Kind::Instant | Kind::Duration | Kind::Event => Dtype::Int,
            };
            (column.key.to_owned(), dtype)
        })
        .collect();
    let docs = table.docs.iter();
    let docs = docs.map(|(name, doc)| ((*name).to_owned(), (*doc).to_owned()));
    let mut file = TableFile::create(dir, name, columns, docs.collect())?;
    for row in &table.rows {
        file.push(shown.iter().map(|i| Cell::from(&row[*i])))?;
    }
    file.finish()
}

/// What each column of the stacks means.
const STACKS: [(&str, &str); 9] = [
    (
        "table",
        "The call stacks of events: a row for each return address, innermost first.",
    ),
    (
        "stack",
        "The number that events have in their column `stack`.",
    ),
    ("depth", "Place in the stack; 0 is the innermost."),
    ("addr", "The address."),
    ("function", "The function that it is in, by Linux's name."),
    ("symbol", "That function and the offset in it."),
    (
        "inlined",
        "The functions that are inlined where the address is, innermost first; null without any.",
    ),
    ("file", "Source file of the address."),
    ("line", "Source line of the address."),
];

fn write_stacks(source: &dyn Source, count: u32, dir: &Path) -> Result<Partial, Error> {
    let columns = [
        ("stack", Dtype::Int),
        ("depth", Dtype::Int),
        ("addr", Dtype::Text),
        ("function", Dtype::Text),
        ("symbol", Dtype::Text),
        ("inlined", Dtype::Text),
        ("file", Dtype::Text),
        ("line", Dtype::Int),
    ];
    let columns = columns
        .map(|(name, dtype)| (name.to_owned(), dtype))
        .to_vec();
    let docs = STACKS.map(|(name, doc)| (name.to_owned(), doc.to_owned()));
    let mut file = TableFile::create(dir, "stacks", columns, docs.to_vec())?;
    for stack in 0..count {
        let addrs = source.stack(trace::event::StackId(stack));
        for (depth, addr) in addrs.iter().enumerate() {
            let symbol = source.symbol(*addr);
            let row = [
                Cell::Int(i64::from(stack)),
                Cell::Int(depth as i64),
                Cell::Text(addr.to_string()),
                Cell::Text(names::function(source, *addr)),
                names::address(source, *addr).map_or(Cell::Null, Cell::Text),
                names::inlined(source, *addr).map_or(Cell::Null, Cell::Text),
                symbol
                    .and_then(|s| s.file.clone())
                    .map_or(Cell::Null, Cell::Text),
                symbol
                    .and_then(|s| s.line)
                    .map_or(Cell::Null, |line| Cell::Int(line.into())),
            ];
            file.push(row)?;
        }
    }
    file.finish()
}
