//! One Parquet file that grows row by row, a bounded number of rows in memory at a time.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use polars::io::parquet::write::KeyValueMetadata;
use polars::prelude::*;

use crate::Error;
use crate::export::output::Partial;
use crate::table::Value;

/// Rows of one row group, which is what is held in memory.
const GROUP: usize = 64 * 1024;

/// Type of a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dtype {
    Int,
    Mask,
    Text,
    Flag,
}

/// One value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Mask(u64),
    Text(String),
    Flag(bool),
}

impl From<&Value> for Cell {
    fn from(value: &Value) -> Cell {
        match value {
            Value::Null => Cell::Null,
            Value::Int(v) => Cell::Int(*v),
            // Kept whole: what a column makes of it is the column's.
            Value::Uint(v) => Cell::Mask(*v),
            Value::Text(text) => Cell::Text(text.clone()),
            Value::Bool(v) => Cell::Flag(*v),
        }
    }
}

enum Values {
    Int(Vec<Option<i64>>),
    Mask(Vec<Option<u64>>),
    Text(Vec<Option<String>>),
    Flag(Vec<Option<bool>>),
}

impl Values {
    fn new(dtype: Dtype) -> Values {
        match dtype {
            Dtype::Int => Values::Int(Vec::new()),
            Dtype::Mask => Values::Mask(Vec::new()),
            Dtype::Text => Values::Text(Vec::new()),
            Dtype::Flag => Values::Flag(Vec::new()),
        }
    }

    fn push(&mut self, cell: Cell) {
        match self {
            Values::Int(values) => values.push(match cell {
                Cell::Int(v) => Some(v),
                Cell::Mask(v) => i64::try_from(v).ok(),
                _ => None,
            }),
            Values::Mask(values) => values.push(match cell {
                Cell::Mask(v) => Some(v),
                Cell::Int(v) => u64::try_from(v).ok(),
                _ => None,
            }),
            Values::Text(values) => values.push(match cell {
                Cell::Text(v) => Some(v),
                _ => None,
            }),
            Values::Flag(values) => values.push(match cell {
                Cell::Flag(v) => Some(v),
                _ => None,
            }),
        }
    }

    fn take(&mut self, name: &str) -> Column {
        let name = PlSmallStr::from_str(name);
        match self {
            Values::Int(values) => Column::new(name, std::mem::take(values)),
            Values::Mask(values) => Column::new(name, std::mem::take(values)),
            Values::Text(values) => Column::new(name, std::mem::take(values)),
            Values::Flag(values) => Column::new(name, std::mem::take(values)),
        }
    }
}

/// A file that is being written.
pub(super) struct TableFile {
    partial: Partial,
    names: Vec<String>,
    values: Vec<Values>,
    rows: usize,
    writer: polars::io::parquet::write::BatchedWriter<BufWriter<File>>,
}

impl TableFile {
    /// Creates `dir/name.parquet` with these columns. `docs` are key and value pairs of the file's own
    /// metadata: what the table and its columns mean.
    pub(super) fn create(
        dir: &Path,
        name: &str,
        columns: Vec<(String, Dtype)>,
        docs: Vec<(String, String)>,
    ) -> Result<TableFile, Error> {
        let path = dir.join(format!("{name}.parquet"));
        let (partial, file) = Partial::create(&path)?;
        let schema: Schema = columns
            .iter()
            .map(|(name, dtype)| {
                let dtype = match dtype {
                    Dtype::Int => DataType::Int64,
                    Dtype::Mask => DataType::UInt64,
                    Dtype::Text => DataType::String,
                    Dtype::Flag => DataType::Boolean,
                };
                Field::new(PlSmallStr::from_str(name), dtype)
            })
            .collect();
        // One thread: the bytes are then the same every time, and two cores have the walk to do.
        let writer = ParquetWriter::new(BufWriter::new(file))
            .set_parallel(false)
            .with_key_value_metadata(Some(KeyValueMetadata::from_static(docs)))
            .batched(&schema)
            .map_err(|e| refused(&path, &e))?;
        Ok(TableFile {
            partial,
            values: columns
                .iter()
                .map(|(_, dtype)| Values::new(*dtype))
                .collect(),
            names: columns.into_iter().map(|(name, _)| name).collect(),
            rows: 0,
            writer,
        })
    }

    /// Adds a row, which must have a cell for each column.
    pub(super) fn push(&mut self, row: impl IntoIterator<Item = Cell>) -> Result<(), Error> {
        let mut cells = row.into_iter();
        for values in &mut self.values {
            values.push(cells.next().unwrap_or(Cell::Null));
        }
        self.rows += 1;
        match self.rows {
            GROUP.. => self.flush(),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let columns: Vec<Column> = self
            .names
            .iter()
            .zip(&mut self.values)
            .map(|(name, values)| values.take(name))
            .collect();
        let written =
            DataFrame::new(self.rows, columns).and_then(|frame| self.writer.write_batch(&frame));
        self.rows = 0;
        written.map_err(|e| refused(self.partial.target(), &e))
    }

    /// Writes the footer. The file is complete then, and has its name when all are.
    pub(super) fn finish(mut self) -> Result<Partial, Error> {
        if self.rows > 0 {
            self.flush()?;
        }
        self.writer
            .finish()
            .map_err(|e| refused(self.partial.target(), &e))?;
        Ok(self.partial)
    }
}

fn refused(path: &Path, error: &PolarsError) -> Error {
    Error::Parquet {
        path: path.to_owned(),
        what: error.to_string(),
    }
}
