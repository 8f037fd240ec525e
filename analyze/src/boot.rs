//! `boot`: from the first instruction to the first program, and who made whom.
//!
//! Milestones are the entries of the functions that Linux boots by (`boot:milestone`), each CPU's first
//! event and first switch, and the lines of the console that say how far the kernel is. Each has virtual
//! time and the instructions that its CPU, and the machine as far as its events tell, have retired. Every
//! creation of a thread has its parent, who had asked `kthreadd` for it, and its call chain. The call
//! chain of a milestone shows the way from `start_kernel`. What a recording does not have, because its
//! kernel lacks the function or an older kreplay recorded it, is named and not made up.

pub mod chart;
mod docs;

use std::collections::{BTreeMap, BTreeSet};

use trace::event::{EventData, StackId};
use trace::events::MILESTONES;

use crate::Error;
use crate::causal::{Stamped, walk};
use crate::names;
use crate::render::text::seconds;
use crate::report::{Check, Footer, Report};
use crate::source::Source;
use crate::table::Kind::{Event, Instant, Number, Text};
use crate::table::Shown::{Everywhere, Machine};
use crate::table::{Col, Layout, Table, col};

/// An instant of the boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Milestone {
    /// When, in causal time; for a line of the console the raw clock of its CPU.
    pub time_ns: u64,
    /// Where.
    pub cpu: u32,
    /// The task that was there; none for a line of the console.
    pub tid: Option<i32>,
    /// `function`, `cpu` or `console`.
    pub kind: &'static str,
    /// The function, what the CPU does, or the line.
    pub what: String,
    /// The event; none for a line of the console.
    pub seq: Option<u64>,
    /// Instructions that the CPU had retired; none for a line of the console.
    pub insns: Option<u64>,
    /// Instructions that all CPUs together had retired, as of their latest events.
    pub total_insns: Option<u64>,
    /// Functions that led there, the outermost first; empty if there is no stack.
    pub chain: Vec<String>,
}

/// A thread's creation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Creation {
    /// When.
    pub time_ns: u64,
    /// The `sched_process_fork`.
    pub seq: u64,
    /// Where.
    pub cpu: u32,
    /// Instructions that the CPU had retired.
    pub insns: u64,
    /// The new task's pid.
    pub tid: i32,
    /// Its name then: a kernel thread is named before it is woken, an init thread later.
    pub comm: String,
    /// Its latest name.
    pub called: String,
    /// Who made it.
    pub parent_tid: i32,
    /// Its name.
    pub parent: String,
    /// Who woke the maker, `kthreadd`, to have it made; none if it was awake, or made it for itself.
    pub asked_by: Option<(i32, String)>,
    /// Functions that led there, the outermost first.
    pub chain: Vec<String>,
    /// The number of that chain among the different ones, from 1; none without a stack.
    pub chain_number: Option<u64>,
}

/// A way by which threads were created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Way {
    /// Its number.
    pub number: u64,
    /// How many were.
    pub creations: u64,
    /// Functions, the outermost first.
    pub chain: Vec<String>,
}

/// The boot of one recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BootReport {
    /// In the order of time.
    pub milestones: Vec<Milestone>,
    /// In order.
    pub creations: Vec<Creation>,
    /// The different call chains of the creations.
    pub ways: Vec<Way>,
    /// Functions that are no milestone of this recording.
    pub missing: Vec<&'static str>,
    notes: Vec<String>,
    checks: Vec<Check>,
    title: String,
    footer: Footer,
}

struct Tracker<'s> {
    source: &'s dyn Source,
    milestones: Vec<Milestone>,
    creations: Vec<Creation>,
    found: BTreeSet<String>,
    /// By CPU: instructions as of its latest event; none before its first.
    insns: Vec<Option<u64>>,
    switched: Vec<bool>,
    /// Who woke each task last.
    wakers: BTreeMap<i32, (i32, String)>,
    latest: names::Latest,
    forks: u64,
    without_stack: u64,
}

impl Tracker<'_> {
    fn push(&mut self, event: &Stamped<'_>) {
        let e = event.event;
        let cpu = e.cpu as usize;
        self.latest.push(e);
        let first = self.insns[cpu].is_none();
        self.insns[cpu] = Some(e.insns);
        if first {
            let what = format!("first event of CPU {}", e.cpu);
            self.milestone(event, "cpu", what, None);
        }
        match &e.data {
            EventData::BootMilestone(m) => {
                let name = names::function(self.source, m.func);
                self.found.insert(name.clone());
                self.milestone(event, "function", name, e.stack);
            }
            EventData::SchedSwitch(s) if !self.switched[cpu] => {
                self.switched[cpu] = true;
                let next = names::task(&s.next_comm.to_text(), s.next_pid);
                let what = format!("first switch of CPU {}: to {next}", e.cpu);
                self.milestone(event, "cpu", what, None);
            }
            EventData::SchedWaking(w) => {
                self.wakers.insert(w.pid, (e.pid, e.comm.to_text()));
            }
            EventData::SchedProcessFork(f) => {
                self.forks += 1;
                self.without_stack += u64::from(e.stack.is_none());
                let mut chain = self.chain(e.stack);
                // The tracepoint itself is not the one who calls.
                chain.truncate(chain.len() - usize::from(chain.last().is_some_and(is_tracepoint)));
                self.creations.push(Creation {
                    time_ns: event.time_ns,
                    seq: e.seq,
                    cpu: e.cpu,
                    insns: e.insns,
                    tid: f.child_pid,
                    comm: f.child_comm.to_text(),
                    called: String::new(),
                    parent_tid: f.parent_pid,
                    parent: f.parent_comm.to_text(),
                    // One wake-up asks for one thread; further ones find kthreadd awake.
                    asked_by: match f.parent_pid {
                        0 => None,
                        parent => self.wakers.remove(&parent),
                    },
                    chain,
                    chain_number: None,
                });
            }
            _ => {}
        }
    }

    fn milestone(
        &mut self,
        event: &Stamped<'_>,
        kind: &'static str,
        what: String,
        stack: Option<StackId>,
    ) {
        let mut chain = self.chain(stack);
        // What the compiler has inlined at the function's first instruction is not called yet.
        if let Some(at) = chain.iter().rposition(|function| *function == what) {
            chain.truncate(at + 1);
        }
        self.milestones.push(Milestone {
            time_ns: event.time_ns,
            cpu: event.event.cpu,
            tid: Some(event.event.pid),
            kind,
            what,
            seq: Some(event.event.seq),
            insns: Some(event.event.insns),
            total_insns: Some(self.insns.iter().flatten().sum()),
            chain,
        });
    }

    fn chain(&self, stack: Option<StackId>) -> Vec<String> {
        let mut chain = names::stack_functions(self.source, stack);
        chain.reverse();
        chain
    }

    fn console(&mut self) {
        let info = self.source.info();
        for line in self.source.console() {
            let text = String::from_utf8_lossy(&line.bytes);
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            self.milestones.push(Milestone {
                time_ns: info.ns(line.cycles),
                cpu: line.cpu,
                tid: None,
                kind: "console",
                what: printable(text),
                seq: None,
                insns: None,
                total_insns: None,
                chain: Vec::new(),
            });
        }
    }
}

fn is_tracepoint(function: &String) -> bool {
    function == "trace_sched_process_fork"
}

/// A line without what would steer a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Tells the boot of a recording.
pub fn analyze(source: &dyn Source) -> Result<BootReport, Error> {
    let info = source.info();
    let mut tracker = Tracker {
        source,
        milestones: Vec::new(),
        creations: Vec::new(),
        found: BTreeSet::new(),
        insns: vec![None; info.cpus as usize],
        switched: vec![false; info.cpus as usize],
        wakers: BTreeMap::new(),
        latest: names::Latest::default(),
        forks: 0,
        without_stack: 0,
    };
    let walked = walk(source, &mut |event| {
        tracker.push(event);
        Ok(())
    })?;
    tracker.console();
    let Tracker {
        mut milestones,
        mut creations,
        found,
        ..
    } = tracker;
    // A line of the console has no number; it is shown after the events of its instant.
    milestones.sort_by_key(|m| (m.time_ns, m.seq.unwrap_or(u64::MAX), m.cpu));
    for creation in &mut creations {
        creation.called = tracker.latest.of(creation.tid);
    }
    let ways = number(&mut creations);
    let missing: Vec<&str> = MILESTONES
        .into_iter()
        .filter(|name| !found.contains(*name))
        .collect();
    let mut notes = Vec::new();
    if !missing.is_empty() {
        notes.push(format!(
            "no milestone in this recording: {} (the kernel was stopped before, has no such function, or has it \
             inlined, or kreplay was older)",
            missing.join(", ")
        ));
    }
    if tracker.without_stack > 0 {
        notes.push(format!(
            "{} of {} creations have no call chain in this recording",
            tracker.without_stack, tracker.forks
        ));
    }
    if source.console().is_empty() {
        notes.push("the recording has no line of a console".to_owned());
    }
    notes.push(
        "asked-by: who had woken the parent last, when that was for this creation; a console line's time is its \
         CPU's own clock"
            .to_owned(),
    );
    let checks = vec![chains(&milestones), parents(&creations)];
    Ok(BootReport {
        milestones,
        creations,
        ways,
        missing,
        notes,
        checks,
        title: format!("boot: {}", info.name),
        footer: Footer::new(info, &walked),
    })
}

/// Numbers the different call chains, in the order in which they occur.
fn number(creations: &mut [Creation]) -> Vec<Way> {
    let mut ways: Vec<Way> = Vec::new();
    for creation in creations.iter_mut().filter(|c| !c.chain.is_empty()) {
        let way = match ways.iter().position(|way| way.chain == creation.chain) {
            Some(at) => &mut ways[at],
            None => {
                ways.push(Way {
                    number: ways.len() as u64 + 1,
                    creations: 0,
                    chain: creation.chain.clone(),
                });
                let last = ways.len() - 1;
                &mut ways[last]
            }
        };
        way.creations += 1;
        creation.chain_number = Some(way.number);
    }
    ways
}

/// A milestone's chain ends in the function itself.
fn chains(milestones: &[Milestone]) -> Check {
    let functions = milestones.iter().filter(|m| m.kind == "function");
    let good = functions
        .clone()
        .filter(|m| m.chain.last() == Some(&m.what));
    let (good, all) = (good.count(), functions.count());
    Check {
        name: "the call chain of every milestone ends in its function",
        holds: good == all,
        detail: format!("{good} of {all}"),
    }
}

/// Whoever makes a task is one of the boot CPU's own, or has been made before.
fn parents(creations: &[Creation]) -> Check {
    let mut known = BTreeSet::from([0]);
    let mut good = 0;
    for creation in creations {
        good += u64::from(known.contains(&creation.parent_tid));
        known.insert(creation.tid);
    }
    Check {
        name: "every parent has been created before its child",
        holds: good == creations.len() as u64,
        detail: format!("{good} of {} creations", creations.len()),
    }
}

const MILESTONE: &[Col<Milestone>] = &[
    col("time_ns", "time", Instant, Everywhere, |m| m.time_ns.into()),
    col("cpu", "cpu", Number, Everywhere, |m| m.cpu.into()),
    col("insns", "insns of the cpu", Number, Everywhere, |m| {
        m.insns.into()
    }),
    col("total_insns", "of all", Number, Everywhere, |m| {
        m.total_insns.into()
    }),
    col("seq", "event", Event, Everywhere, |m| m.seq.into()),
    col("kind", "kind", Text, Everywhere, |m| m.kind.into()),
    col("what", "what", Text, Everywhere, |m| m.what.as_str().into()),
];

const CHAIN: &[Col<Milestone>] = &[
    col("time_ns", "time", Instant, Everywhere, |m| m.time_ns.into()),
    col("cpu", "cpu", Number, Everywhere, |m| m.cpu.into()),
    col("fn", "function", Text, Machine, |m| m.what.as_str().into()),
    col("depth", "depth", Number, Everywhere, |m| {
        (m.chain.len() as u64).into()
    }),
    col("chain", "call chain", Text, Everywhere, |m| {
        arrows(&m.chain).into()
    }),
];

const CREATION: &[Col<Creation>] = &[
    col("time_ns", "time", Instant, Everywhere, |c| c.time_ns.into()),
    col("seq", "event", Event, Everywhere, |c| c.seq.into()),
    col("cpu", "cpu", Number, Everywhere, |c| c.cpu.into()),
    col("insns", "insns", Number, Everywhere, |c| c.insns.into()),
    col("tid", "tid", Number, Machine, |c| c.tid.into()),
    col("comm", "comm", Text, Machine, |c| c.comm.as_str().into()),
    col("called", "task[tid]", Text, Machine, |c| {
        c.called.as_str().into()
    }),
    col("", "task[tid]", Text, crate::table::Shown::Text, |c| {
        names::task(&c.called, c.tid).into()
    }),
    col("parent_tid", "parent", Number, Machine, |c| {
        c.parent_tid.into()
    }),
    col("parent_comm", "parent", Text, Machine, |c| {
        c.parent.as_str().into()
    }),
    col("", "parent", Text, crate::table::Shown::Text, |c| {
        names::task(&c.parent, c.parent_tid).into()
    }),
    col("asked_by_tid", "asked-by", Number, Machine, |c| {
        c.asked_by.as_ref().map(|(tid, _)| *tid).into()
    }),
    col("asked_by_comm", "asked-by", Text, Machine, |c| {
        c.asked_by.as_ref().map(|(_, comm)| comm.clone()).into()
    }),
    col("", "asked-by", Text, crate::table::Shown::Text, |c| {
        let who = c.asked_by.as_ref();
        who.map(|(tid, comm)| names::task(comm, *tid)).into()
    }),
    col("chain_number", "chain", Number, Everywhere, |c| {
        c.chain_number.into()
    }),
    col("chain", "call chain", Text, Machine, |c| {
        (!c.chain.is_empty()).then(|| arrows(&c.chain)).into()
    }),
];

const WAYS: &[Col<Way>] = &[
    col("chain_number", "chain", Number, Everywhere, |w| {
        w.number.into()
    }),
    col("creations", "creations", Number, Everywhere, |w| {
        w.creations.into()
    }),
    col("chain", "functions", Text, Everywhere, |w| {
        arrows(&w.chain).into()
    }),
];

/// The calls as a tree: what a milestone shares with the one before it is not said again.
fn tree(milestones: &[Milestone]) -> Layout {
    let mut before: &[String] = &[];
    let mut lines = Vec::new();
    for m in milestones {
        let shared = m.chain.iter().zip(before).take_while(|(a, b)| a == b);
        // The milestone itself has a line, also if it is called once more.
        let shared = shared.count().min(m.chain.len() - 1);
        let mut text = Vec::new();
        for (depth, name) in m.chain.iter().enumerate().skip(shared) {
            let call = format!("{:indent$}{name}", "", indent = 2 * depth);
            text.push(match depth + 1 == m.chain.len() {
                true => format!("{call:<56} {:>12} [{:03}]", seconds(m.time_ns), m.cpu),
                false => call,
            });
        }
        lines.push(text.join("\n"));
        before = &m.chain;
    }
    Layout {
        lines,
        ..Layout::default()
    }
}

/// Functions from the outermost on.
fn arrows(chain: &[String]) -> String {
    chain.join(" > ")
}

impl BootReport {
    /// The tables, the notes, the checks and the footer.
    pub fn report(&self) -> Report {
        let chains: Vec<Milestone> = self
            .milestones
            .iter()
            .filter(|m| !m.chain.is_empty())
            .cloned()
            .collect();
        Report {
            title: self.title.clone(),
            tables: vec![
                Table::new(
                    "milestones",
                    "milestones: entries of functions, first events and switches of CPUs, lines of the console (time in s)",
                    MILESTONE,
                    &self.milestones,
                )
                .with_docs(docs::MILESTONES),
                Table::new(
                    "threads",
                    format!("{} creations of threads", self.creations.len()),
                    CREATION,
                    &self.creations,
                )
                .with_docs(docs::THREADS),
                Table::new(
                    "thread_chains",
                    "the call chains of the creations, the outermost function first",
                    WAYS,
                    &self.ways,
                )
                .with_docs(docs::WAYS),
                Table::new(
                    "calls",
                    "the calls that led to each milestone (time in s)",
                    CHAIN,
                    &chains,
                )
                .with_docs(docs::CALLS)
                .with_layout(tree(&chains)),
            ],
            notes: self.notes.clone(),
            checks: self.checks.clone(),
            footer: self.footer.clone(),
        }
    }
}
