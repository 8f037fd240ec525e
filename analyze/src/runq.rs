//! `runq`: every CPU's runqueue at an instant, as the kernel's own structures have it.
//!
//! Pick order: the running task is at place 0; those that wait follow in the order stop, dl, rt, fair.
//! Real-time tasks are in the order of their lists. Fair tasks are in the order in which EEVDF would
//! pick them if each left the queue when it was picked: the earliest deadline among the eligible; where
//! none of those that wait is eligible, the leftmost of the tree. A kernel before EEVDF has the order
//! of its tree.

use trace::state::{Cpu, Queued, State, Work};

use crate::instant;
use crate::report::{Check, Footer, Report};
use crate::source::{Recorded, Source};
use crate::table::Kind::{Flag, Instant, Number, Text};
use crate::table::Shown::{Everywhere, Machine};
use crate::table::{Col, Table, col};

const CPUS: &[Col<Cpu>] = &[
    col("cpu", "CPU", Number, Everywhere, |c| c.cpu.into()),
    col("curr", "CURRENT", Text, Everywhere, |c| {
        c.current.as_ref().map(|t| t.comm.as_str()).into()
    }),
    col("curr_pid", "PID", Number, Everywhere, |c| {
        c.current.as_ref().map(|t| t.pid).into()
    }),
    col("nr_running", "RUNNING", Number, Everywhere, |c| {
        c.nr_running.into()
    }),
    col("dl_nr_running", "DL", Number, Everywhere, |c| {
        c.dl_nr_running.into()
    }),
    col("rt_nr_running", "RT", Number, Everywhere, |c| {
        c.rt_nr_running.into()
    }),
    col("cfs_nr_running", "FAIR", Number, Everywhere, |c| {
        c.cfs_nr_running.into()
    }),
    col("works", "WORKS", Number, Everywhere, |c| {
        c.stopper.as_ref().map(|s| s.works.len() as u64).into()
    }),
    col("stopper_fn", "STOPPER RUNS", Text, Everywhere, |c| {
        c.stopper.as_ref().and_then(|s| s.running.as_deref()).into()
    }),
    col("stopper_enabled", "ENABLED", Flag, Machine, |c| {
        c.stopper.as_ref().map(|s| s.enabled).into()
    }),
    col("nr_switches", "SWITCHES", Number, Everywhere, |c| {
        c.nr_switches.into()
    }),
    col("clock_ns", "CLOCK", Instant, Everywhere, |c| c.clock.into()),
    col("clock_task_ns", "CLOCK_TASK", Instant, Machine, |c| {
        c.clock_task.into()
    }),
    col("min_vruntime_ns", "MIN_VRUNTIME", Number, Machine, |c| {
        c.min_vruntime.into()
    }),
    col("avg_vruntime_ns", "AVG_VRUNTIME", Number, Machine, |c| {
        c.avg_vruntime.into()
    }),
    col("locked", "LOCKED", Flag, Everywhere, |c| c.locked.into()),
];

const CPU_DOCS: &[(&str, &str)] = &[
    ("table", "One row a CPU: its struct rq and its stopper."),
    ("cpu", "The CPU."),
    (
        "curr",
        "rq->curr: the running task; empty before the scheduler is set up.",
    ),
    ("curr_pid", "Its pid."),
    (
        "nr_running",
        "Runnable tasks of all classes, the running one included, the idle task not.",
    ),
    ("dl_nr_running", "Those of the deadline class."),
    ("rt_nr_running", "Those of the real-time class."),
    ("cfs_nr_running", "Those of the fair class."),
    ("works", "Works that wait in the stopper's list."),
    ("stopper_fn", "What the stopper runs, if it runs a work."),
    ("stopper_enabled", "Whether the stopper takes works."),
    ("nr_switches", "Task switches of this CPU."),
    ("clock_ns", "rq->clock, as of its last update."),
    ("clock_task_ns", "rq->clock_task."),
    (
        "min_vruntime_ns",
        "Reference of the fair class's virtual times.",
    ),
    ("avg_vruntime_ns", "Where lag is 0: avg_vruntime()."),
    (
        "locked",
        "Somebody holds rq->__lock: the row may be in the middle of a change.",
    ),
];

/// A task and the CPU whose queue it is in.
struct Waiting {
    cpu: u32,
    queued: Queued,
}

const QUEUE: &[Col<Waiting>] = &[
    col("cpu", "CPU", Number, Everywhere, |w| w.cpu.into()),
    col("place", "PLACE", Number, Everywhere, |w| {
        w.queued.place.into()
    }),
    col("pid", "PID", Number, Everywhere, |w| {
        w.queued.task.pid.into()
    }),
    col("comm", "COMM", Text, Everywhere, |w| {
        w.queued.task.comm.as_str().into()
    }),
    col("class", "CLASS", Text, Everywhere, |w| {
        w.queued.class.as_str().into()
    }),
    col("prio", "PRIO", Number, Everywhere, |w| w.queued.prio.into()),
    col("vruntime_ns", "VRUNTIME", Number, Everywhere, |w| {
        w.queued.fair.map(|f| f.vruntime).into()
    }),
    col("deadline_ns", "DEADLINE", Number, Everywhere, |w| {
        w.queued.fair.and_then(|f| f.deadline).into()
    }),
    col("lag_ns", "LAG", Number, Everywhere, |w| {
        w.queued.fair.and_then(|f| f.lag).into()
    }),
    col("eligible", "ELIGIBLE", Flag, Everywhere, |w| {
        w.queued.fair.and_then(|f| f.eligible).into()
    }),
    col("slice_ns", "SLICE", Number, Everywhere, |w| {
        w.queued.fair.and_then(|f| f.slice).into()
    }),
    col("weight", "WEIGHT", Number, Everywhere, |w| {
        w.queued.fair.map(|f| f.weight).into()
    }),
    col("task", "TASK", Text, Machine, |w| {
        format!("{:#018x}", w.queued.task.addr).into()
    }),
];

const QUEUE_DOCS: &[(&str, &str)] = &[
    (
        "table",
        "One row a runnable task, in pick order; virtual times are ns at nice 0.",
    ),
    ("cpu", "The CPU whose queue it is in."),
    (
        "place",
        "0 runs; 1 would be picked next if the running one left; and so on.",
    ),
    ("pid", "Its pid."),
    ("comm", "Its name."),
    ("class", "Its scheduling class: stop, dl, rt, fair."),
    ("prio", "Its kernel priority."),
    ("vruntime_ns", "se.vruntime."),
    (
        "deadline_ns",
        "se.deadline: the virtual deadline of its request.",
    ),
    (
        "lag_ns",
        "avg_vruntime minus vruntime: the virtual time that it is owed.",
    ),
    (
        "eligible",
        "Whether its lag is not negative, as entity_eligible() decides it.",
    ),
    ("slice_ns", "se.slice: the length of its request."),
    ("weight", "se.load.weight, scaled down: 1024 is nice 0."),
    ("task", "Address of the task_struct."),
];

/// A work and the CPU whose stopper has it.
struct Listed {
    cpu: u32,
    place: u32,
    work: Work,
}

const WORKS: &[Col<Listed>] = &[
    col("cpu", "CPU", Number, Everywhere, |l| l.cpu.into()),
    col("place", "PLACE", Number, Everywhere, |l| l.place.into()),
    col("fn", "FN", Text, Everywhere, |l| {
        l.work.func.as_str().into()
    }),
    col("caller", "CALLER", Text, Everywhere, |l| {
        l.work.caller.as_str().into()
    }),
    col("nr_todo", "LEFT", Number, Everywhere, |l| {
        l.work.nr_todo.into()
    }),
    col("work", "WORK", Text, Everywhere, |l| {
        format!("{:#018x}", l.work.addr).into()
    }),
    col("arg", "ARG", Text, Machine, |l| {
        format!("{:#018x}", l.work.arg).into()
    }),
    col("done", "DONE", Text, Machine, |l| {
        l.work.done.map(|done| format!("{done:#018x}")).into()
    }),
];

const WORK_DOCS: &[(&str, &str)] = &[
    (
        "table",
        "One row a work in a stopper's list, the first to run first.",
    ),
    ("cpu", "The stopper's CPU."),
    ("place", "1 runs next."),
    ("fn", "Its function."),
    ("caller", "Where it was queued from."),
    (
        "nr_todo",
        "Works of its request that are not done; empty if nobody waits.",
    ),
    ("work", "Address of the cpu_stop_work."),
    ("arg", "Its argument."),
    ("done", "The cpu_stop_done that somebody waits for."),
];

/// The report.
pub fn report(state: &State, source: &Recorded<'_>) -> Report {
    let waiting: Vec<Waiting> = state
        .cpus
        .iter()
        .flat_map(|c| {
            c.queue
                .iter()
                .cloned()
                .map(|queued| Waiting { cpu: c.cpu, queued })
        })
        .collect();
    let works: Vec<Listed> = state
        .cpus
        .iter()
        .flat_map(|c| {
            let works = c.stopper.iter().flat_map(|s| s.works.iter().cloned());
            works.zip(1..).map(|(work, place)| Listed {
                cpu: c.cpu,
                place,
                work,
            })
        })
        .collect();
    let at = instant::words(&state.at);
    let tables = vec![
        Table::new("cpus", format!("runqueues at {at}"), CPUS, &state.cpus).with_docs(CPU_DOCS),
        Table::new(
            "queue",
            format!("{} runnable tasks, in pick order", waiting.len()),
            QUEUE,
            &waiting,
        )
        .with_docs(QUEUE_DOCS),
        Table::new(
            "works",
            format!("{} works in the stoppers' lists", works.len()),
            WORKS,
            &works,
        )
        .with_docs(WORK_DOCS),
        instant::table(state),
    ];
    Report {
        title: format!("runq: {}", source.info().name),
        tables,
        notes: notes(state),
        checks: vec![counts(state)],
        footer: Footer::without_times(source.info()),
    }
}

fn notes(state: &State) -> Vec<String> {
    let locked: Vec<String> = state
        .cpus
        .iter()
        .filter(|c| c.locked)
        .map(|c| format!("cpu{}", c.cpu))
        .collect();
    match locked.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "the runqueue of {} is locked at this instant: it may be in the middle of a change",
            locked.join(", ")
        )],
    }
}

/// A runqueue that nobody changes counts the tasks that are in its queues.
fn counts(state: &State) -> Check {
    let free = || state.cpus.iter().filter(|c| !c.locked);
    let wrong: Vec<String> = free()
        .filter(|c| c.nr_running as usize != c.queue.len())
        .map(|c| format!("cpu{}: {} and {}", c.cpu, c.nr_running, c.queue.len()))
        .collect();
    Check {
        name: "nr_running = tasks in the queues",
        holds: wrong.is_empty(),
        detail: match wrong.is_empty() {
            true => format!("on {} of {} CPUs", free().count(), state.cpus.len()),
            false => wrong.join(", "),
        },
    }
}
