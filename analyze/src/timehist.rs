//! `timehist`: every stretch that a task ran, in the columns of `perf sched timehist`.
//!
//! A row is written at the switch-out: how long the task had been off the CPU (*wait*: last switch-out to
//! switch-in), how long of it it was runnable (*sch delay*: `sched_waking`, or the preemption, to the
//! switch-in), how long it ran (*run*), and, if asked for, how long of its delay lay before the last time
//! it changed CPUs (*pre-mig*). Rows come by causal time. `account` follows the tasks, `line` writes rows
//! as perf does, `summary` the tables at the end.
//!
//! perf itself begins the sch delay of a preempted task at the preemption since 6.11; older ones show 0.

mod account;
mod docs;
mod line;
mod summary;

use std::collections::BTreeSet;

use trace::event::{Comm, EventData};

use crate::Error;
use crate::causal::Stamped;
use crate::in_time::{InTime, walk_in_time};
use crate::report::{Check, Footer, Report, Sink, Streamed};
use crate::source::Source;
use crate::table::Kind::{Duration, Event, Instant, Number, Text};
use crate::table::Shown::Everywhere;
use crate::table::{Col, Layout, Table, Value, col};
use account::{Accounts, Times};

/// What to show beside the usual columns and rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Show {
    /// `-M`: a row for each migration.
    Migrations,
    /// `-V`: one letter a CPU: `i` idle, `s` switch, `m` migration.
    CpuVisual,
    /// `-w`: a row for each wake-up.
    Wakeups,
    /// `-n`: the next task.
    Next,
    /// `--state`: the state in which the task left; waits instead of runs in the summary.
    State,
    /// `--show-prio`: the kernel priority, `in->out` if it has changed.
    Prio,
    /// `--pre-migrations`: the part of the delay before the last migration.
    PreMigrations,
    /// `-I`: idle rows only; idle times instead of run times in the summary.
    Idle,
}

/// Rows, a summary, or both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Extent {
    /// Rows only.
    #[default]
    Rows,
    /// `-S`.
    RowsAndSummary,
    /// `-s`.
    Summary,
}

/// What to show.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Additions.
    pub show: BTreeSet<Show>,
    /// Rows, a summary, or both.
    pub extent: Extent,
    /// Only rows of these CPUs.
    pub cpus: Option<BTreeSet<u32>>,
    /// Only rows of these tasks; a wake-up or a migration is also of the task it is about.
    pub tasks: Option<BTreeSet<i32>>,
    /// From one instant to another, in nanoseconds of causal time.
    pub window: Option<(u64, u64)>,
}

impl Options {
    fn has(&self, show: Show) -> bool {
        self.show.contains(&show)
    }

    fn wants_cpu(&self, cpu: u32) -> bool {
        self.cpus.as_ref().is_none_or(|cpus| cpus.contains(&cpu))
    }

    fn wants_task(&self, pid: i32) -> bool {
        let tasks = self.tasks.as_ref();
        tasks.is_none_or(|tasks| tasks.contains(&pid))
    }

    fn window(&self) -> (u64, u64) {
        self.window.unwrap_or((0, u64::MAX))
    }
}

/// A task of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Who {
    comm: Comm,
    pid: i32,
}

/// A task that has left its CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Left {
    times: Times,
    /// Its kernel priority when it came and when it left.
    prio: (i32, i32),
    state: i64,
    next: Who,
}

/// What a row tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// A task has left the CPU.
    Switch(Left),
    /// A task is being woken.
    Wakeup(Who),
    /// A task changes its CPU.
    Migrate(Who, i32, i32),
}

/// One row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    time_ns: u64,
    seq: u64,
    cpu: u32,
    who: Who,
    what: What,
}

/// The report of one recording.
pub struct Timehist<'s> {
    source: &'s dyn Source,
    options: Options,
}

impl<'s> Timehist<'s> {
    /// What `options` ask of a recording.
    pub fn new(source: &'s dyn Source, options: Options) -> Timehist<'s> {
        Timehist { source, options }
    }

    /// Whether rows are wanted, or the summary alone.
    pub fn has_rows(&self) -> bool {
        self.options.extent != Extent::Summary
    }

    /// The summary alone.
    pub fn summary(&self) -> Result<Report, Error> {
        let mut report = self.run(&mut |_| Ok(()))?;
        report.title = self.title();
        Ok(report)
    }
}

/// Makes rows of events.
struct Pass<'o> {
    options: &'o Options,
    accounts: Accounts,
}

impl Pass<'_> {
    fn push(
        &mut self,
        event: &Stamped<'_>,
        sink: &mut dyn FnMut(Entry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let e = event.event;
        let current = Who {
            comm: e.comm,
            pid: e.pid,
        };
        let (from_ns, to_ns) = self.options.window();
        let inside = (from_ns..=to_ns).contains(&event.time_ns);
        let entry = |what| Entry {
            time_ns: event.time_ns,
            seq: e.seq,
            cpu: e.cpu,
            who: current,
            what,
        };
        let mut about = |show, who: Who, what| {
            let wanted = self.options.wants_task(current.pid) || self.options.wants_task(who.pid);
            match self.options.has(show)
                && !self.options.has(Show::Idle)
                && wanted
                && inside
                && self.options.wants_cpu(e.cpu)
            {
                true => sink(entry(what)),
                false => Ok(()),
            }
        };
        match &e.data {
            EventData::SchedWaking(w) => {
                let who = Who {
                    comm: w.comm,
                    pid: w.pid,
                };
                self.accounts.woken(w.pid, event.time_ns);
                about(Show::Wakeups, who, What::Wakeup(who))
            }
            EventData::SchedWakeupNew(w) => {
                let who = Who {
                    comm: w.comm,
                    pid: w.pid,
                };
                self.accounts.woken(w.pid, event.time_ns);
                about(Show::Wakeups, who, What::Wakeup(who))
            }
            EventData::SchedMigrateTask(m) => {
                let who = Who {
                    comm: m.comm,
                    pid: m.pid,
                };
                self.accounts.migrated(m.pid, event.time_ns, inside);
                about(
                    Show::Migrations,
                    who,
                    What::Migrate(who, m.orig_cpu, m.dest_cpu),
                )
            }
            EventData::SchedProcessFork(f) => {
                self.accounts.forked(f.parent_pid, f.child_pid);
                Ok(())
            }
            EventData::SchedSwitch(s) => {
                let Some(out) = self.accounts.switched(event, s, self.options) else {
                    return Ok(());
                };
                let what = What::Switch(Left {
                    times: out.times,
                    prio: (out.prio_in, s.prev_prio),
                    state: s.prev_state,
                    next: Who {
                        comm: s.next_comm,
                        pid: s.next_pid,
                    },
                });
                sink(Entry {
                    time_ns: out.time_ns,
                    seq: e.seq,
                    cpu: e.cpu,
                    who: Who {
                        comm: s.prev_comm,
                        pid: s.prev_pid,
                    },
                    what,
                })
            }
            _ => Ok(()),
        }
    }
}

impl Streamed for Timehist<'_> {
    fn title(&self) -> String {
        format!("timehist: {}", self.source.info().name)
    }

    fn table(&self) -> Table {
        let cpus = self.source.info().cpus;
        Table::new(
            "timehist",
            "rows at switch-out, by causal time (time in s, the rest in ms)",
            COLUMNS,
            &[],
        )
        .with_docs(docs::ROWS)
        .with_layout(Layout {
            head: line::head(&self.options, cpus),
            ..Layout::default()
        })
    }

    fn others(&self) -> &'static [&'static str] {
        match self.options.extent {
            Extent::Rows => &[],
            Extent::RowsAndSummary | Extent::Summary => &["summary", "idle"],
        }
    }

    fn run(&self, sink: &mut Sink<'_>) -> Result<Report, Error> {
        let info = self.source.info();
        let mut pass = Pass {
            options: &self.options,
            accounts: Accounts::new(info.cpus),
        };
        let seen = walk_in_time(self.source, &mut |event| {
            pass.push(event, &mut |entry| {
                sink(&line::Written {
                    entry: &entry,
                    options: &self.options,
                    cpus: info.cpus,
                })
            })
        })?;
        let accounts = pass.accounts;
        let tables = match self.options.extent {
            Extent::Rows => Vec::new(),
            Extent::RowsAndSummary | Extent::Summary => {
                summary::tables(&accounts, &self.options, info.cpus)
            }
        };
        Ok(Report {
            title: self.title(),
            tables,
            notes: notes(&self.options),
            checks: checks(&accounts, &seen),
            footer: Footer::new(info, &seen.walked),
        })
    }
}

fn notes(options: &Options) -> Vec<String> {
    let mut notes = vec![
        "wait: last switch-out to switch-in; sch delay: sched_waking, sched_wakeup_new or the preemption, \
         to switch-in; run: switch-in to this switch-out (0.000 in the row of a CPU's first switch, whose \
         begin is not recorded)"
            .to_owned(),
    ];
    if options.window.is_some() {
        notes.push(
            "at the edges of the window run times are cut; waits and delays are given whole, and are in the \
             summary if they end inside"
                .to_owned(),
        );
    }
    notes
}

fn checks(accounts: &Accounts, seen: &InTime) -> Vec<Check> {
    vec![
        Check {
            name: "no unordered timestamps: events come by causal time",
            holds: seen.unordered == 0,
            detail: format!("{} of {} events", seen.unordered, seen.walked.events),
        },
        Check {
            name: "no context switch bugs: who leaves a CPU is who came in at the switch before",
            holds: accounts.bugs == 0,
            detail: format!(
                "{} of {} switches",
                accounts.switches - accounts.bugs,
                accounts.switches
            ),
        },
    ]
}

impl Entry {
    fn left(&self) -> Option<&Left> {
        match &self.what {
            What::Switch(left) => Some(left),
            _ => None,
        }
    }

    fn other(&self) -> Option<Who> {
        match self.what {
            What::Switch(_) => None,
            What::Wakeup(who) | What::Migrate(who, ..) => Some(who),
        }
    }

    fn kind(&self) -> &'static str {
        match self.what {
            What::Switch(_) => "switch",
            What::Wakeup(_) => "wakeup",
            What::Migrate(..) => "migrate",
        }
    }

    fn values(&self) -> Vec<Value> {
        COLUMNS.iter().map(|column| (column.get)(self)).collect()
    }
}

/// The letter of a state, as `sched_switch` prints it; a preempted task has `R+`.
fn state_word(prev_state: i64) -> &'static str {
    match prev_state & 0xff {
        _ if prev_state & 0x100 != 0 => "R+",
        0 => "R",
        bits => ["S", "D", "T", "t", "X", "Z", "P", "I"][bits.trailing_zeros() as usize],
    }
}

const COLUMNS: &[Col<Entry>] = &[
    col("time_ns", "time", Instant, Everywhere, |e| e.time_ns.into()),
    col("seq", "event", Event, Everywhere, |e| e.seq.into()),
    col("cpu", "cpu", Number, Everywhere, |e| e.cpu.into()),
    col("kind", "kind", Text, Everywhere, |e| e.kind().into()),
    col("comm", "task", Text, Everywhere, |e| {
        e.who.comm.to_text().into()
    }),
    col("tid", "tid", Number, Everywhere, |e| e.who.pid.into()),
    col("wait_ns", "wait", Duration, Everywhere, |e| {
        e.left().and_then(|left| left.times.wait_ns()).into()
    }),
    col("sch_delay_ns", "delay", Duration, Everywhere, |e| {
        e.left().and_then(|left| left.times.delay_ns).into()
    }),
    col("run_ns", "run", Duration, Everywhere, |e| {
        e.left().and_then(|left| left.times.run_ns).into()
    }),
    col("run_insns", "insns", Number, Everywhere, |e| {
        e.left().and_then(|left| left.times.run_insns).into()
    }),
    col("pre_mig_ns", "pre-mig", Duration, Everywhere, |e| {
        e.left().and_then(|left| left.times.pre_mig_ns).into()
    }),
    col("prio_in", "prio in", Number, Everywhere, |e| {
        e.left().map(|left| left.prio.0).into()
    }),
    col("prio", "prio", Number, Everywhere, |e| {
        e.left().map(|left| left.prio.1).into()
    }),
    col("state", "state", Text, Everywhere, |e| {
        e.left().map(|left| state_word(left.state)).into()
    }),
    col("next_comm", "next", Text, Everywhere, |e| {
        e.left().map(|left| left.next.comm.to_text()).into()
    }),
    col("next_tid", "next tid", Number, Everywhere, |e| {
        e.left().map(|left| left.next.pid).into()
    }),
    col("other_comm", "other", Text, Everywhere, |e| {
        e.other().map(|who| who.comm.to_text()).into()
    }),
    col("other_tid", "other tid", Number, Everywhere, |e| {
        e.other().map(|who| who.pid).into()
    }),
    col("orig_cpu", "from", Number, Everywhere, |e| match e.what {
        What::Migrate(_, from, _) => from.into(),
        _ => Value::Null,
    }),
    col("dest_cpu", "to", Number, Everywhere, |e| match e.what {
        What::Migrate(_, _, to) => to.into(),
        _ => Value::Null,
    }),
];
