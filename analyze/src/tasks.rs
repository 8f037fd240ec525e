//! `ps`: the tasks at the end of the run, as the recording has them, or at any instant, as the
//! kernel's own structures have them.

use trace::krec::TaskRow;
use trace::state::{State, Task};

use crate::Error;
use crate::instant;
use crate::report::{Footer, Report};
use crate::source::{Recorded, Source};
use crate::table::Kind::{Duration, Flag, Mask, Number, Text};
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

/// What each column means; Parquet files carry it.
const DOCS: &[(&str, &str)] = &[
    (
        "table",
        "The tasks at the end of the run, in the order of the kernel's own list.",
    ),
    ("task", "Address of the task_struct."),
    ("pid", "Its pid; 0 for the idle tasks."),
    ("comm", "Its name."),
    ("cpu", "The CPU that it is on, or was on last."),
    ("state", "Its state, by the letter that ps prints."),
    ("class", "Its scheduling class."),
    (
        "prio",
        "Its kernel priority: 0 to 99 is real time, lower first; 120 is nice 0.",
    ),
    ("on_cpu", "It is a CPU's current task."),
    (
        "on_rq",
        "1: in a runqueue; 2: on its way to another CPU's; 0: in none.",
    ),
    ("cpus_mask", "The CPUs that it may run on, one bit each."),
];

/// The task table, in the order of the kernel's own list.
pub fn table(source: &Recorded<'_>) -> Table {
    let tasks = source.recording().tasks();
    let title = format!("{} tasks at the end of the run", tasks.len());
    Table::new("tasks", title, COLUMNS, tasks).with_docs(DOCS)
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

const AT: &[Col<Task>] = &[
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
    col("on_cpu", "ON_CPU", Flag, Everywhere, |t| t.on_cpu.into()),
    col("on_rq", "ON_RQ", Number, Everywhere, |t| t.on_rq.into()),
    col("cpus_mask", "MASK", Mask, Everywhere, |t| {
        t.cpus_mask.into()
    }),
    col(
        "sum_exec_runtime_ns",
        "RUNTIME",
        Duration,
        Everywhere,
        |t| t.sum_exec_runtime.into(),
    ),
    col("vruntime_ns", "VRUNTIME", Number, Everywhere, |t| {
        (t.class == "fair").then_some(t.vruntime).into()
    }),
    col("policy", "POLICY", Number, Machine, |t| t.policy.into()),
    col("static_prio", "STATIC_PRIO", Number, Machine, |t| {
        t.static_prio.into()
    }),
    col("nvcsw", "NVCSW", Number, Machine, |t| t.nvcsw.into()),
    col("nivcsw", "NIVCSW", Number, Machine, |t| t.nivcsw.into()),
];

const AT_DOCS: &[(&str, &str)] = &[
    ("table", "The tasks at the instant, by pid."),
    ("task", "Address of the task_struct."),
    ("pid", "Its pid; 0 for the idle tasks."),
    ("comm", "Its name."),
    ("cpu", "The CPU that it is on, or was on last."),
    ("state", "Its state, by the letter that ps prints."),
    ("class", "Its scheduling class."),
    (
        "prio",
        "Its kernel priority: 0 to 99 is real time, lower first; 120 is nice 0.",
    ),
    ("on_cpu", "It is on a CPU, or just being switched out."),
    (
        "on_rq",
        "1: in a runqueue; 2: on its way to another CPU's; 0: in none.",
    ),
    ("cpus_mask", "The CPUs that it may run on, one bit each."),
    (
        "sum_exec_runtime_ns",
        "Its run time as of the kernel's last accounting: a running task has run longer.",
    ),
    (
        "vruntime_ns",
        "se.vruntime: its virtual run time, in ns at nice 0; of a fair task only.",
    ),
    (
        "policy",
        "SCHED_*: 0 normal, 1 FIFO, 2 RR, 3 batch, 5 idle, 6 deadline.",
    ),
    ("static_prio", "Its priority from nice: 120 is nice 0."),
    ("nvcsw", "Voluntary switches."),
    ("nivcsw", "Involuntary switches."),
];

/// The report at an instant.
pub fn report_at(state: &State, source: &Recorded<'_>) -> Report {
    let info = source.info();
    let title = format!(
        "{} tasks at {}",
        state.tasks.len(),
        instant::words(&state.at)
    );
    Report {
        title: format!("tasks: {}", info.name),
        tables: vec![
            Table::new("tasks", title, AT, &state.tasks).with_docs(AT_DOCS),
            instant::table(state),
        ],
        notes: Vec::new(),
        checks: Vec::new(),
        footer: Footer::without_times(info),
    }
}
