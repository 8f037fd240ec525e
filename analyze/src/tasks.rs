//! `ps`: the tasks at the end of the run, as the recording has them.

use trace::krec::TaskRow;

use crate::Error;
use crate::report::{Footer, Report};
use crate::source::{Recorded, Source};
use crate::table::Kind::{Flag, Mask, Number, Text};
use crate::table::Shown::{Everywhere, Machine};
use crate::table::{Col, Table, col};

const COLUMNS: &[Col<TaskRow>] = &[
    col("task", "TASK", Text, Everywhere, |t| {
        format!("{:#018x}", t.addr).into()
    }),
    col("pid", "PID", Number, Everywhere, |t| t.pid.into()),
    col("comm", "COMM", Text, Everywhere, |t| t.comm.as_str().into()),
    col("cpu", "CPU", Number, Everywhere, |t| t.cpu.into()),
    col("state", "STATE", Text, Everywhere, |t| {
        t.state.to_string().into()
    }),
    col("class", "CLASS", Text, Everywhere, |t| {
        t.class.as_str().into()
    }),
    col("prio", "PRIO", Number, Everywhere, |t| t.prio.into()),
    col("on_cpu", "ON_CPU", Flag, Machine, |t| t.on_cpu.into()),
    col("on_rq", "ON_RQ", Number, Machine, |t| t.on_rq.into()),
    col("cpus_mask", "MASK", Mask, Machine, |t| t.cpus_mask.into()),
];

/// The task table, in the order of the kernel's own list.
pub fn table(source: &Recorded<'_>) -> Table {
    let tasks = source.recording().tasks();
    let title = format!("{} tasks at the end of the run", tasks.len());
    Table::new("tasks", title, COLUMNS, tasks)
}

/// The report. A recording without its end has no task table, which the report says.
pub fn report(source: &Recorded<'_>) -> Result<Report, Error> {
    let info = source.info();
    let mut notes = Vec::new();
    if source.recording().tasks().is_empty() {
        notes.push("the recording has no task table: it is written at the end of a run".to_owned());
    }
    Ok(Report {
        title: format!("tasks: {}", info.name),
        tables: vec![table(source)],
        notes,
        checks: Vec::new(),
        footer: Footer::without_times(info),
    })
}
