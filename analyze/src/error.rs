//! What can keep an analysis from giving an answer. Every kind is "bad input" to the command line:
//! exit code 2, except a failed write of the output itself, which is the same code for another reason.

use std::io;
use std::path::PathBuf;

/// An error of an analysis, an export or a plot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] trace::krec::Error),
    /// The events contradict each other; the recording is damaged or the tracer has a bug.
    #[error("event {seq} contradicts the events before it: {what}")]
    Inconsistent {
        /// The event.
        seq: u64,
        /// The rule that it breaks, with the values found.
        what: String,
    },
    /// A move whose cause no rule of the table in `migration/cause.rs` names. An error of ours.
    #[error(
        "event {seq}: no rule names the cause of the move of {task} from cpu {orig_cpu} to cpu {dest_cpu}; \
         its stack is {stack}; the stack of the work's queuer is {queuer}; \
         add a rule to analyze/src/migration/cause.rs"
    )]
    Unclassified {
        /// The `sched_migrate_task`.
        seq: u64,
        /// `comm[pid]`.
        task: String,
        /// The CPU it left.
        orig_cpu: u32,
        /// The CPU it went to.
        dest_cpu: u32,
        /// Functions of the stack of the event, innermost first.
        stack: String,
        /// Functions of the stack that queued the work, `none` without a work.
        queuer: String,
    },
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// polars refused a table.
    #[error("cannot write {}: {what}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What polars said.
        what: String,
    },
    /// A picture that cannot be drawn.
    #[error("cannot draw the plot: {0}")]
    Plot(String),
    /// An instant that the recording does not have.
    #[error("{0}")]
    NoSuchTime(String),
    /// A table that the report does not have.
    #[error("the report has no table `{name}`: it has {known}")]
    NoSuchTable {
        /// What was asked for.
        name: String,
        /// Names of the tables there are.
        known: String,
    },
}
