//! Tables of values with names and units: what reports, exports and diffs are made of.
//!
//! A row type declares its columns once ([`Col`]); text, JSON, CSV and Parquet are written from that,
//! so they cannot disagree. Durations and times are integer nanoseconds everywhere but in text.

/// One cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// No value: the thing does not exist for this row.
    Null,
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// Words.
    Text(String),
    /// Yes or no.
    Bool(bool),
}

impl From<u64> for Value {
    fn from(v: u64) -> Value {
        Value::Uint(v)
    }
}
impl From<u32> for Value {
    fn from(v: u32) -> Value {
        Value::Uint(v.into())
    }
}
impl From<i64> for Value {
    fn from(v: i64) -> Value {
        Value::Int(v)
    }
}
impl From<i32> for Value {
    fn from(v: i32) -> Value {
        Value::Int(v.into())
    }
}
impl From<bool> for Value {
    fn from(v: bool) -> Value {
        Value::Bool(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Value {
        Value::Text(v.to_owned())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Value {
        Value::Text(v)
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Value {
        v.map_or(Value::Null, Into::into)
    }
}

/// What the values of a column are, which decides how text shows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Words, shown at the left.
    Text,
    /// A number, shown as it is.
    Number,
    /// An instant in nanoseconds; text shows seconds with six decimals.
    Instant,
    /// A duration in nanoseconds; text shows microseconds with three decimals.
    Duration,
    /// An event number; text shows `@18342`.
    Event,
    /// Yes or no.
    Flag,
    /// A CPU mask; text shows it in hexadecimal.
    Mask,
}

/// Where a column appears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// In every format.
    Everywhere,
    /// In text only: words that are other columns put together.
    Text,
    /// In JSON, CSV and Parquet only.
    Machine,
}

/// A column, without values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Column {
    /// Name in the machine formats; the unit comes last in it.
    pub key: &'static str,
    /// Head in text.
    pub head: &'static str,
    /// What the values are.
    pub kind: Kind,
    /// Where it appears.
    pub shown: Shown,
}

/// A column of rows of type `R`, and how to get its value.
pub struct Col<R> {
    /// The column.
    pub column: Column,
    /// The value of a row.
    pub get: fn(&R) -> Value,
}

/// Declares a column.
pub(crate) const fn col<R>(
    key: &'static str,
    head: &'static str,
    kind: Kind,
    shown: Shown,
    get: fn(&R) -> Value,
) -> Col<R> {
    Col {
        column: Column {
            key,
            head,
            kind,
            shown,
        },
        get,
    }
}

/// How text shows a table whose shape people know from another tool: lines that are written as they are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Layout {
    /// Before the rows.
    pub head: Vec<String>,
    /// One for each row.
    pub lines: Vec<String>,
    /// After the rows.
    pub foot: Vec<String>,
}

/// A table of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// Name in machine formats.
    pub name: &'static str,
    /// Heading in text.
    pub title: String,
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows; each has a value for each column.
    pub rows: Vec<Vec<Value>>,
    /// What the table and its columns mean: pairs of a name and a sentence, for files that carry them.
    pub docs: &'static [(&'static str, &'static str)],
    /// How text shows it, if not as columns of the widest value.
    pub layout: Option<Layout>,
}

impl Table {
    /// A table of `rows` with these columns.
    pub fn new<R>(
        name: &'static str,
        title: impl Into<String>,
        columns: &[Col<R>],
        rows: &[R],
    ) -> Table {
        Table {
            name,
            title: title.into(),
            columns: columns.iter().map(|c| c.column).collect(),
            rows: rows
                .iter()
                .map(|row| columns.iter().map(|c| (c.get)(row)).collect())
                .collect(),
            docs: &[],
            layout: None,
        }
    }

    /// The same table with its sentences.
    #[must_use]
    pub fn with_docs(self, docs: &'static [(&'static str, &'static str)]) -> Table {
        Table { docs, ..self }
    }

    /// The same table, shown in text by lines of its own.
    #[must_use]
    pub fn with_layout(self, layout: Layout) -> Table {
        Table {
            layout: Some(layout),
            ..self
        }
    }

    /// Indices of the columns that appear in text, or in the machine formats.
    pub fn shown(&self, text: bool) -> Vec<usize> {
        let hidden = match text {
            true => Shown::Machine,
            false => Shown::Text,
        };
        (0..self.columns.len())
            .filter(|i| self.columns[*i].shown != hidden)
            .collect()
    }
}
