//! `map`: what every CPU runs at each switch, in the shape of `perf sched map`.
//!
//! A column for each CPU, `*` before the one that has just switched, a short name for each task (`A0`,
//! `B0`, ... `Z0`, `A1`, ...) given when it is first seen and explained at the end of that line, `.` for an
//! idle CPU, blank for a CPU that has not switched yet. With a filter by name, `-` is another task than
//! those asked for, and lines are those at which one of them comes or goes. Lines come by causal time.

use std::collections::{BTreeMap, BTreeSet};

use trace::event::EventData;
use trace::events::SchedSwitch;

use crate::Error;
use crate::causal::Stamped;
use crate::in_time::walk_in_time;
use crate::names::Latest;
use crate::render::text::seconds;
use crate::report::{Check, Footer, Report, Row, Sink, Streamed};
use crate::source::Source;
use crate::table::Kind::{Event, Instant, Number, Text};
use crate::table::Shown::Everywhere;
use crate::table::{Col, Table, Value, col};

/// Which tasks to show by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskNames {
    /// The names.
    pub names: Vec<String>,
    /// Whether a part of a name is enough.
    pub fuzzy: bool,
}

impl TaskNames {
    fn has(&self, comm: &str) -> bool {
        self.names.iter().any(|name| match self.fuzzy {
            true => comm.contains(name.as_str()),
            false => comm == name,
        })
    }
}

/// What to mark, where the output is a terminal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Colors {
    /// The columns of these CPUs.
    pub cpus: BTreeSet<u32>,
    /// The short names of these tasks.
    pub pids: BTreeSet<i32>,
}

/// What to show.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// A column only for CPUs that have switched, in the order in which they did.
    pub compact: bool,
    /// Only these CPUs.
    pub cpus: Option<BTreeSet<u32>>,
    /// Only these tasks.
    pub tasks: Option<TaskNames>,
    /// What to mark.
    pub colors: Colors,
}

/// The report of one recording.
pub struct Map<'s> {
    source: &'s dyn Source,
    options: Options,
}

impl<'s> Map<'s> {
    /// What `options` ask of a recording.
    pub fn new(source: &'s dyn Source, options: Options) -> Map<'s> {
        Map { source, options }
    }
}

/// What a CPU's column shows.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Shown {
    pid: i32,
    short: String,
}

/// The state of the picture.
struct Picture<'o> {
    options: &'o Options,
    /// By CPU.
    running: Vec<Option<Shown>>,
    /// CPUs in the order of their columns.
    columns: Vec<u32>,
    short: BTreeMap<i32, String>,
    /// The name under which each task was explained last.
    explained: BTreeMap<i32, String>,
    names: Latest,
    /// Who came in at each CPU's last switch.
    came: Vec<Option<i32>>,
    switches: u64,
    bugs: u64,
}

const GRAY_ON_RED: &str = "\x1b[41m";
const BLUE: &str = "\x1b[34m";
const PLAIN: &str = "\x1b[m";

/// A line.
struct Line {
    time_ns: u64,
    seq: u64,
    cpu: u32,
    comm: String,
    tid: i32,
    short: String,
    /// The columns, and what comes after the time.
    picture: String,
    columns: String,
    tail: String,
}

impl Row for Line {
    fn values(&self) -> Vec<Value> {
        COLUMNS.iter().map(|column| (column.get)(self)).collect()
    }

    fn line(&self) -> String {
        format!(
            "  {}  {:>12} secs {}",
            self.picture,
            seconds(self.time_ns),
            self.tail
        )
    }
}

const COLUMNS: &[Col<Line>] = &[
    col("time_ns", "time", Instant, Everywhere, |l| l.time_ns.into()),
    col("seq", "event", Event, Everywhere, |l| l.seq.into()),
    col("cpu", "cpu", Number, Everywhere, |l| l.cpu.into()),
    col("short", "short", Text, Everywhere, |l| {
        l.short.as_str().into()
    }),
    col("comm", "task", Text, Everywhere, |l| l.comm.as_str().into()),
    col("tid", "tid", Number, Everywhere, |l| l.tid.into()),
    col("map", "map", Text, Everywhere, |l| {
        l.columns.as_str().into()
    }),
];

/// Column and sentence.
const DOCS: &[(&str, &str)] = &[
    ("table", "One row a switch, by causal time."),
    ("time_ns", "Causal time of seq."),
    ("seq", "The sched_switch."),
    ("cpu", "The CPU that switches."),
    (
        "short",
        "The short name of the task that comes; . is the idle task, - another than those asked for.",
    ),
    ("comm", "Name of the task that comes."),
    ("tid", "Pid of the task that comes."),
    (
        "map",
        "The short name of each CPU's task, with * before the CPU that switches.",
    ),
];

impl Picture<'_> {
    fn wants(&self, cpu: u32) -> bool {
        let cpus = self.options.cpus.as_ref();
        cpus.is_none_or(|cpus| cpus.contains(&cpu))
    }

    fn matches(&self, pid: i32, comm: &str) -> bool {
        match &self.options.tasks {
            None => true,
            Some(tasks) => pid != 0 && tasks.has(comm),
        }
    }

    fn push(&mut self, event: &Stamped<'_>, e: &SchedSwitch) -> Option<Line> {
        self.names.push(event.event);
        let cpu = event.event.cpu;
        self.switches += 1;
        let came = self.came[cpu as usize].replace(e.next_pid);
        self.bugs += u64::from(came.is_some_and(|pid| pid != e.prev_pid));
        let first = self.options.compact && !self.columns.contains(&cpu);
        if first {
            self.columns.push(cpu);
        }
        let (prev, next) = (e.prev_comm.to_text(), e.next_comm.to_text());
        let comes = self.matches(e.next_pid, &next);
        let short = match comes {
            true => self.short(e.next_pid),
            // Who was asked for has gone, or has never been here.
            false if self.matches(e.prev_pid, &prev) => "-".to_owned(),
            false => return None,
        };
        self.running[cpu as usize] = Some(Shown {
            pid: e.next_pid,
            short: short.clone(),
        });
        if !self.wants(cpu) {
            return None;
        }
        let mut tail = String::new();
        // perf knows one idle task, and calls it so.
        let called = match e.next_pid {
            0 => "swapper".to_owned(),
            _ => next.clone(),
        };
        if comes && self.explained.get(&e.next_pid) != Some(&called) {
            tail = format!("{short:<2} => {called}:{}", e.next_pid);
            let blue = self.options.colors.pids.contains(&e.next_pid);
            tail = painted(&tail, blue, BLUE);
            self.explained.insert(e.next_pid, called);
        }
        if first {
            tail.push_str(&format!(" (CPU {cpu})"));
        }
        Some(Line {
            time_ns: event.time_ns,
            seq: event.event.seq,
            cpu,
            comm: next,
            tid: e.next_pid,
            short,
            picture: self.columns(cpu, &self.options.colors),
            columns: self.columns(cpu, &Colors::default()).trim_end().to_owned(),
            tail,
        })
    }

    /// The columns at a switch of `cpu`.
    fn columns(&self, cpu: u32, colors: &Colors) -> String {
        let mut text = String::new();
        for at in self.columns.iter().filter(|at| self.wants(**at)) {
            let mark = if *at == cpu { "*" } else { " " };
            let marked = *at == cpu && colors.cpus.contains(at);
            text.push_str(&painted(mark, marked, GRAY_ON_RED));
            match &self.running[*at as usize] {
                Some(shown) => {
                    let name = format!("{:<2} ", shown.short);
                    text.push_str(&painted(&name, colors.pids.contains(&shown.pid), BLUE));
                }
                None if self.options.tasks.is_some() => text.push_str(".  "),
                None => text.push_str("   "),
            }
        }
        text
    }

    /// The short name of a task: 260 of them, then they are given again, as in perf.
    fn short(&mut self, pid: i32) -> String {
        if pid == 0 {
            return ".".to_owned();
        }
        let number = self.short.len();
        let new = || {
            let letter = char::from(b'A' + (number % 26) as u8);
            let digit = char::from(b'0' + (number / 26 % 10) as u8);
            format!("{letter}{digit}")
        };
        self.short.entry(pid).or_insert_with(new).clone()
    }
}

fn painted(text: &str, paint: bool, color: &str) -> String {
    match paint {
        true => format!("{color}{text}{PLAIN}"),
        false => text.to_owned(),
    }
}

impl Streamed for Map<'_> {
    fn title(&self) -> String {
        format!("map: {}", self.source.info().name)
    }

    fn table(&self) -> Table {
        let title = match self.options.compact {
            true => "a column for each CPU that has switched (time in s)",
            false => "a column for each CPU (time in s)",
        };
        Table::new("map", title, COLUMNS, &[]).with_docs(DOCS)
    }

    fn others(&self) -> &'static [&'static str] {
        &[]
    }

    fn run(&self, sink: &mut Sink<'_>) -> Result<Report, Error> {
        let info = self.source.info();
        let cpus = info.cpus as usize;
        let mut picture = Picture {
            options: &self.options,
            running: vec![None; cpus],
            columns: match self.options.compact {
                true => Vec::new(),
                false => (0..info.cpus).collect(),
            },
            short: BTreeMap::new(),
            explained: BTreeMap::new(),
            names: Latest::default(),
            came: vec![None; cpus],
            switches: 0,
            bugs: 0,
        };
        let seen = walk_in_time(self.source, &mut |event| {
            if let EventData::SchedSwitch(e) = &event.event.data
                && let Some(line) = picture.push(event, e)
            {
                sink(&line)?;
            }
            Ok(())
        })?;
        Ok(Report {
            title: self.title(),
            tables: Vec::new(),
            notes: vec![
                "* the CPU that switched; . idle; - another task than those asked for; blank: not switched yet"
                    .to_owned(),
            ],
            checks: vec![Check {
                name: "no context switch bugs: who leaves a CPU is who came in at the switch before",
                holds: picture.bugs == 0 && seen.unordered == 0,
                detail: format!(
                    "{} of {} switches, {} events out of order",
                    picture.switches - picture.bugs,
                    picture.switches,
                    seen.unordered
                ),
            }],
            footer: Footer::new(info, &seen.walked),
        })
    }
}
