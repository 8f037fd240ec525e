//! `latency`: how long tasks waited to run, in the columns of `perf sched latency`.
//!
//! A delay is runnable until running (see `delays`); run time is switch-in to switch-out, a stretch that
//! the recording cuts at its end not counted. Tasks of one name are one row, as in perf, unless the pids
//! are asked for. What perf has not: the event and the CPU of each maximum, percentiles by class, and the
//! proofs behind the three footers that perf prints only when something is wrong.

mod docs;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use trace::event::EventData;

use crate::Error;
use crate::causal::{Stamped, Walked, walk};
use crate::class::{Class, Classes};
use crate::delays::{Delay, Delays, Wake};
use crate::names::Latest;
use crate::render::text::seconds;
use crate::report::{Check, Footer, Report};
use crate::source::Source;
use crate::stats::{self, Sample, Summary};
use crate::table::Kind::{Duration, Event, Instant, Number, Text};
use crate::table::Shown::{Everywhere, Machine};
use crate::table::{Col, Layout, Table, col};

/// What to order the rows by; the largest comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SortKey {
    /// Time on a CPU.
    Runtime,
    /// Number of delays.
    Switch,
    /// Average delay.
    Avg,
    /// Longest delay.
    Max,
    /// Pid.
    Pid,
}

/// The order of `perf sched latency`.
pub const DEFAULT_SORT: [SortKey; 4] = [
    SortKey::Avg,
    SortKey::Max,
    SortKey::Switch,
    SortKey::Runtime,
];

/// What to show.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// A row for each task, and not for each name.
    pub pids: bool,
    /// The order; empty for perf's.
    pub sort: Vec<SortKey>,
    /// Count only what happened on these CPUs: run time there, delays that ended there.
    pub cpus: Option<BTreeSet<u32>>,
    /// Where a delay begins.
    pub wake: Wake,
}

/// One row: a task, or the tasks of one name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// Its name at the end.
    pub comm: String,
    /// Its pid; of several tasks the smallest.
    pub tid: i32,
    /// Number of tasks.
    pub tasks: u64,
    /// Time on a CPU.
    pub runtime_ns: u64,
    /// Number of delays.
    pub count: u64,
    /// Their sum.
    pub total_ns: u64,
    /// The longest, the first of equal ones; none if there is no delay.
    pub max: Option<Delay>,
}

impl Row {
    /// The average delay, cut to whole nanoseconds.
    pub fn avg_ns(&self) -> Option<u64> {
        self.total_ns.checked_div(self.count)
    }

    fn max_ns(&self) -> u64 {
        self.max.map_or(0, |delay| delay.ns())
    }

    fn merge(&mut self, other: Row) {
        self.tasks += other.tasks;
        self.runtime_ns += other.runtime_ns;
        self.count += other.count;
        self.total_ns += other.total_ns;
        if self.max.is_none() || self.max_ns() < other.max_ns() {
            self.max = other.max;
        }
    }
}

/// The delays of one class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// `all`, or the class.
    pub name: &'static str,
    /// Count, percentiles, maximum.
    pub summary: Summary,
    /// The CPU of the maximum.
    pub max_cpu: Option<u32>,
}

/// All rows of a recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LatencyReport {
    /// The rows that have a delay, in the order asked for.
    pub rows: Vec<Row>,
    /// Delays by scheduling class.
    pub groups: Vec<Group>,
    /// What was checked.
    pub checks: Vec<Check>,
    /// The three lines that perf prints below its table.
    pub info: [String; 3],
    wake: Wake,
    pids: bool,
    title: String,
    footer: Footer,
}

/// What one pass gathers.
struct Tracker<'o> {
    options: &'o Options,
    delays: Delays,
    classes: Classes,
    names: Latest,
    tasks: BTreeMap<i32, Row>,
    samples: BTreeMap<Class, Vec<(Sample, u32)>>,
    /// By CPU: who came in at the last switch, and when.
    running: Vec<Option<(i32, u64)>>,
    switches: u64,
    bugs: u64,
}

impl Tracker<'_> {
    fn wants(&self, cpu: u32) -> bool {
        let cpus = self.options.cpus.as_ref();
        cpus.is_none_or(|cpus| cpus.contains(&cpu))
    }

    fn push(&mut self, event: &Stamped<'_>) {
        self.names.push(event.event);
        if let EventData::SchedSwitch(e) = &event.event.data {
            let cpu = event.event.cpu;
            self.switches += 1;
            let came = self.running[cpu as usize].replace((e.next_pid, event.time_ns));
            if let Some((pid, since_ns)) = came {
                self.bugs += u64::from(pid != e.prev_pid);
                if e.prev_pid != 0 && self.wants(cpu) {
                    self.task(e.prev_pid).runtime_ns += event.time_ns - since_ns;
                }
            }
        }
        if let Some(delay) = self.delays.push(event)
            && self.wants(delay.cpu)
        {
            self.delayed(delay);
        }
    }

    fn delayed(&mut self, delay: Delay) {
        let row = self.task(delay.pid);
        row.count += 1;
        row.total_ns += delay.ns();
        if row.max.is_none() || delay.ns() > row.max_ns() {
            row.max = Some(delay);
        }
        let class = self.classes.of(delay.pid, delay.comm, delay.prio);
        let sample = Sample {
            value_ns: delay.ns(),
            time_ns: delay.to.0,
            seq: delay.to.1,
        };
        let samples = self.samples.entry(class).or_default();
        samples.push((sample, delay.cpu));
    }

    fn task(&mut self, pid: i32) -> &mut Row {
        self.tasks.entry(pid).or_insert_with(|| Row {
            tid: pid,
            tasks: 1,
            ..Row::default()
        })
    }

    fn rows(&mut self) -> Vec<Row> {
        let mut rows: Vec<Row> = std::mem::take(&mut self.tasks).into_values().collect();
        for row in &mut rows {
            row.comm = self.names.of(row.tid);
        }
        if !self.options.pids {
            let mut merged: BTreeMap<String, Row> = BTreeMap::new();
            for row in rows {
                match merged.get_mut(&row.comm) {
                    Some(first) => first.merge(row),
                    None => drop(merged.insert(row.comm.clone(), row)),
                }
            }
            rows = merged.into_values().collect();
        }
        rows.retain(|row| row.count > 0);
        let keys = match self.options.sort.is_empty() {
            true => &DEFAULT_SORT[..],
            false => &self.options.sort,
        };
        rows.sort_by(|a, b| {
            let by = |key: &SortKey| compare(*key, b, a);
            let order = keys.iter().map(by).find(|order| order.is_ne());
            // Equal rows as perf has them: the last name first, or the last pid.
            order.unwrap_or_else(|| match self.options.pids {
                true => b.tid.cmp(&a.tid),
                false => b.comm.cmp(&a.comm),
            })
        });
        rows
    }

    fn groups(&self) -> Vec<Group> {
        let group = |name, samples: Vec<(Sample, u32)>| {
            let summary = stats::summarize(samples.iter().map(|(sample, _)| *sample));
            let max = summary.max;
            let is_max = |s: &&(Sample, u32)| max.is_some_and(|max| s.0.seq == max.seq);
            Group {
                name,
                summary,
                max_cpu: samples.iter().find(is_max).map(|(_, cpu)| *cpu),
            }
        };
        let mut all: Vec<(Sample, u32)> = self.samples.values().flatten().copied().collect();
        all.sort_by_key(|(sample, _)| sample.seq);
        let mut groups = vec![group("all", all)];
        let by_class = self.samples.iter();
        groups.extend(by_class.map(|(class, samples)| group(class.name(), samples.clone())));
        groups
    }
}

fn compare(key: SortKey, a: &Row, b: &Row) -> Ordering {
    match key {
        SortKey::Runtime => a.runtime_ns.cmp(&b.runtime_ns),
        SortKey::Switch => a.count.cmp(&b.count),
        SortKey::Avg => a.avg_ns().cmp(&b.avg_ns()),
        SortKey::Max => a.max_ns().cmp(&b.max_ns()),
        SortKey::Pid => a.tid.cmp(&b.tid),
    }
}

/// Measures every delay of a recording.
pub fn analyze(source: &dyn Source, options: &Options) -> Result<LatencyReport, Error> {
    let info = source.info();
    let mut tracker = Tracker {
        options,
        delays: Delays::new(options.wake),
        classes: Classes::new(source),
        names: Latest::default(),
        tasks: BTreeMap::new(),
        samples: BTreeMap::new(),
        running: vec![None; info.cpus as usize],
        switches: 0,
        bugs: 0,
    };
    let walked = walk(source, &mut |event| {
        tracker.push(event);
        Ok(())
    })?;
    let groups = tracker.groups();
    let (checks, lines) = proofs(&tracker, &walked, info.events);
    Ok(LatencyReport {
        rows: tracker.rows(),
        groups,
        checks,
        info: lines,
        wake: options.wake,
        pids: options.pids,
        title: format!("latency: {}", info.name),
        footer: Footer::new(info, &walked),
    })
}

/// perf's three complaints, as lines that are always there and checks with what they rest on.
fn proofs(tracker: &Tracker<'_>, walked: &Walked, events: u64) -> (Vec<Check>, [String; 3]) {
    let (unordered, wakeups) = (tracker.delays.unordered, tracker.delays.wakeups);
    let lost = events.saturating_sub(walked.events);
    let (bugs, switches) = (tracker.bugs, tracker.switches);
    let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
    let lines = [
        format!(
            "  INFO: {:.3}% unordered timestamps ({unordered} out of {wakeups})",
            percent(unordered, wakeups)
        ),
        format!(
            "  INFO: {:.3}% lost events ({lost} out of {events}, in {} chunks)",
            percent(lost, events),
            u64::from(lost > 0)
        ),
        format!(
            "  INFO: {:.3}% context switch bugs ({bugs} out of {switches})",
            percent(bugs, switches)
        ),
    ];
    let checks = vec![
        Check {
            name: "no unordered timestamps: no task is woken before the switch that put it to sleep",
            holds: unordered == 0,
            detail: format!("{unordered} of {wakeups} wake-ups; causal time orders each task"),
        },
        Check {
            name: "no lost events: their numbers are dense, and there are as many as the recording says",
            holds: lost == 0,
            detail: format!("{} of {events} events", walked.events),
        },
        Check {
            name: "no context switch bugs: who leaves a CPU is who came in at the switch before",
            holds: bugs == 0,
            detail: format!("{} of {switches} switches", switches - bugs),
        },
    ];
    (checks, lines)
}

const ROWS: &[Col<Row>] = &[
    col("comm", "TASK", Text, Everywhere, |r| r.comm.as_str().into()),
    col("tid", "TID", Number, Everywhere, |r| r.tid.into()),
    col("tasks", "TASKS", Number, Everywhere, |r| r.tasks.into()),
    col("runtime_ns", "RUNTIME", Duration, Everywhere, |r| {
        r.runtime_ns.into()
    }),
    col("count", "COUNT", Number, Everywhere, |r| r.count.into()),
    col("total_delay_ns", "TOTAL", Duration, Machine, |r| {
        r.total_ns.into()
    }),
    col("avg_delay_ns", "AVG", Duration, Everywhere, |r| {
        r.avg_ns().into()
    }),
    col("max_delay_ns", "MAX", Duration, Everywhere, |r| {
        r.max.map(|max| max.ns()).into()
    }),
    col("max_delay_start_ns", "START", Instant, Everywhere, |r| {
        r.max.map(|max| max.from.0).into()
    }),
    col("max_delay_end_ns", "END", Instant, Everywhere, |r| {
        r.max.map(|max| max.to.0).into()
    }),
    col("max_delay_start_seq", "FROM", Event, Machine, |r| {
        r.max.map(|max| max.from.1).into()
    }),
    col("max_delay_end_seq", "EVENT", Event, Everywhere, |r| {
        r.max.map(|max| max.to.1).into()
    }),
    col("max_delay_cpu", "CPU", Number, Everywhere, |r| {
        r.max.map(|max| max.cpu).into()
    }),
];

const GROUPS: &[Col<Group>] = &[
    col("class", "class", Text, Everywhere, |g| g.name.into()),
    col("count", "count", Number, Everywhere, |g| {
        g.summary.count.into()
    }),
    col("p50_ns", "p50(us)", Duration, Everywhere, |g| {
        g.summary.p50_ns.into()
    }),
    col("p90_ns", "p90(us)", Duration, Everywhere, |g| {
        g.summary.p90_ns.into()
    }),
    col("p99_ns", "p99(us)", Duration, Everywhere, |g| {
        g.summary.p99_ns.into()
    }),
    col("max_ns", "max(us)", Duration, Everywhere, |g| {
        g.summary.max.map(|max| max.value_ns).into()
    }),
    col("max_time_ns", "max at(s)", Instant, Everywhere, |g| {
        g.summary.max.map(|max| max.time_ns).into()
    }),
    col("max_seq", "event", Event, Everywhere, |g| {
        g.summary.max.map(|max| max.seq).into()
    }),
    col("max_cpu", "cpu", Number, Everywhere, |g| g.max_cpu.into()),
];

impl LatencyReport {
    /// The delays of all rows: number and sum.
    pub fn total(&self) -> (u64, u64) {
        let count = self.rows.iter().map(|row| row.count).sum();
        (count, self.rows.iter().map(|row| row.total_ns).sum())
    }

    /// The tables, the checks and the footer.
    pub fn report(&self) -> Report {
        let title = match self.pids {
            true => "each task",
            false => "tasks by name (name:(n) is n tasks; -p keeps them apart)",
        };
        let tables = vec![
            Table::new("latency", title, ROWS, &self.rows)
                .with_docs(docs::ROWS)
                .with_layout(self.layout()),
            Table::new(
                "classes",
                "delays by scheduling class (max at and event: the switch that ended it)",
                GROUPS,
                &self.groups,
            )
            .with_docs(docs::CLASSES),
        ];
        let notes = vec![
            format!(
                "a delay begins at {}, sched_wakeup_new or a preemption, and ends at the switch to the task",
                self.wake.event()
            ),
            stats::TOO_FEW.to_owned(),
        ];
        Report {
            title: self.title.clone(),
            tables,
            notes,
            checks: self.checks.clone(),
            footer: self.footer.clone(),
        }
    }

    fn layout(&self) -> Layout {
        let dashes = |n: usize| format!(" {}", "-".repeat(n));
        let runtime: u64 = self.rows.iter().map(|row| row.runtime_ns).sum();
        let mut foot = vec![
            dashes(113),
            format!(
                "  TOTAL:                |{:11.3} ms |{:9} |",
                ms(runtime),
                self.total().0
            ),
            dashes(51),
        ];
        foot.extend(self.info.clone());
        Layout {
            head: vec![
                dashes(139),
                format!("{HEAD} Max at event, CPU"),
                dashes(139),
            ],
            lines: self.rows.iter().map(line).collect(),
            foot,
        }
    }
}

const HEAD: &str = "  Task                  |   Runtime ms  |  Count   | Avg delay ms    | Max delay ms    | Max delay start           | Max delay end          |";

fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn line(row: &Row) -> String {
    let task = match row.tasks {
        1 => format!("{}:{}", row.comm, row.tid),
        n => format!("{}:({n})", row.comm),
    };
    let max = row.max.map_or((0, 0, 0, 0), |max| {
        (max.from.0, max.to.0, max.to.1, max.cpu)
    });
    format!(
        "  {task:<21} |{:11.3} ms |{:9} | avg:{:8.3} ms | max:{:8.3} ms | max start: {:>12} s | max end: {:>12} s | @{} [{:03}]",
        ms(row.runtime_ns),
        row.count,
        ms(row.avg_ns().unwrap_or(0)),
        ms(row.max_ns()),
        seconds(max.0),
        seconds(max.1),
        max.2,
        max.3,
    )
}
