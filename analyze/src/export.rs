//! Recordings for other people's programs: Perfetto and trace-cmd.
//!
//! | module | file | read by |
//! |---|---|---|
//! | [`perfetto`] | a Perfetto trace in protobuf | ui.perfetto.dev, trace_processor |
//! | [`tracedat`] | `trace.dat` version 6 | trace-cmd, KernelShark, LISA |
//!
//! Both hold every event of the recording, with the names and fields that Linux gives it, at its causal
//! time. `trace.dat` moves a stamp that two CPUs share by a nanosecond, because its readers would else
//! show the two events in the order of their CPUs; Perfetto's stamps are the reports' own.
//! Two events at one instant are never about the same task, request or CPU, whose times
//! strictly increase, so nothing that Perfetto computes depends on which of them comes first.
//!
//! A file is made in passes over the recording and never held as a whole. It has another name until it
//! is complete: an error leaves nothing behind that looks like an export.

mod order;
pub(crate) mod output;
pub mod perfetto;
pub mod tracedat;

use trace::event::{Addr, FieldSchema, FieldType};

use crate::names;
use crate::source::Source;

/// What has been written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// Events of the recording.
    pub events: u64,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Events whose stamp is not the reports' time, and the most nanoseconds that it differs.
    pub moved: (u64, u64),
}

/// Whether a field's addresses are of code, and not of an object.
fn is_code(field: &FieldSchema) -> bool {
    let code = ["fn", "fun", "caller", "callsite", "callback"];
    field.ty == FieldType::Addr && code.contains(&field.name)
}

/// An address of code in words: `name`, `name+0x1c`, or the number.
fn code(source: &dyn Source, addr: Addr) -> String {
    names::address(source, addr).unwrap_or_else(|| "0x0".to_owned())
}
