//! The boot as a chart: the steps of the kernel as bars in the order in which they begin, and below them every
//! thread that the boot creates, from its creation on, with the time it had on a CPU. It is what `plot::boot`
//! draws, which computes nothing.
//!
//! A recording knows where a step begins and not where it ends, so a bar reaches to the next step that was not
//! called from it, or to the end of the boot: the start of the first program, or of the last step before the
//! machine is switched off.

use std::collections::BTreeMap;

use super::{BootReport, Milestone};
use crate::Error;
use crate::causal::walk;
use crate::names;
use crate::report::Footer;
use crate::source::Source;
use trace::event::EventData;

/// Where the boot ends: the first of these that there is.
const ENDS: [&str; 2] = ["run_init_process", "run_workload"];
/// Never a part of the boot.
const AFTER: &str = "kernel_power_off";
/// The chart goes on for a twentieth, so that the last step can be seen.
const MARGIN: u64 = 20;

/// A step of the boot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The function.
    pub name: String,
    /// Steps that it was called from.
    pub depth: u32,
    /// Where.
    pub cpu: u32,
    /// When it was entered.
    pub from_ns: u64,
    /// When the next step began that it did not call.
    pub to_ns: u64,
}

/// A thread that the boot made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thread {
    /// Its latest name and pid.
    pub name: String,
    /// Whether it is a stopper.
    pub stopper: bool,
    /// When it was made.
    pub created_ns: u64,
    /// Its exit, or the end of the chart.
    pub to_ns: u64,
    /// When it was on a CPU.
    pub slices: Vec<(u64, u64)>,
}

/// The chart's contents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chart {
    /// Number of CPUs.
    pub cpus: u32,
    /// When the boot ends.
    pub boot_ns: u64,
    /// Why there, in words.
    pub why: String,
    /// The chart's last instant.
    pub to_ns: u64,
    /// In the order of time.
    pub steps: Vec<Step>,
    /// In the order of creation.
    pub threads: Vec<Thread>,
    /// How far to trust the times.
    pub footer: Footer,
}

/// Makes the chart of a recording's boot.
pub fn analyze(source: &dyn Source) -> Result<Chart, Error> {
    let report = super::analyze(source)?;
    let functions: Vec<&Milestone> = report
        .milestones
        .iter()
        .filter(|m| m.kind == "function" && m.what != AFTER)
        .collect();
    let (boot_ns, why) = end(&report, &functions);
    let to_ns = (boot_ns + boot_ns / MARGIN).max(1);
    let threads = threads(source, &report, to_ns)?;
    Ok(Chart {
        cpus: source.info().cpus,
        boot_ns,
        why,
        to_ns,
        steps: steps(&functions, to_ns),
        threads,
        footer: report.footer,
    })
}

fn end(report: &BootReport, functions: &[&Milestone]) -> (u64, String) {
    for name in ENDS {
        if let Some(found) = functions.iter().find(|m| m.what == name) {
            return (found.time_ns, format!("{name} is entered"));
        }
    }
    match (functions.last(), report.milestones.last()) {
        (Some(last), _) => (last.time_ns, format!("the last step, {}", last.what)),
        (None, Some(last)) => (last.time_ns, "no step is known; the last event".to_owned()),
        (None, None) => (0, "nothing is recorded".to_owned()),
    }
}

fn steps(functions: &[&Milestone], to_ns: u64) -> Vec<Step> {
    let shown: Vec<&&Milestone> = functions.iter().filter(|m| m.time_ns <= to_ns).collect();
    let step = |(at, m): (usize, &&&Milestone)| {
        let mut later = shown[at + 1..].iter().filter(|next| same_way(m, next));
        let next = later.find(|next| !next.chain.starts_with(&m.chain));
        let outer = shown[..at]
            .iter()
            .filter(|other| same_way(other, m) && other.chain.len() < m.chain.len())
            .filter(|other| m.chain.starts_with(&other.chain));
        Step {
            name: m.what.clone(),
            depth: u32::try_from(outer.count()).unwrap_or(u32::MAX),
            cpu: m.cpu,
            from_ns: m.time_ns,
            to_ns: next.map_or(to_ns, |next| next.time_ns),
        }
    };
    shown.iter().enumerate().map(step).collect()
}

/// Whether two steps are of one sequence of calls: made by one task, where the idle tasks are one for each CPU.
fn same_way(a: &Milestone, b: &Milestone) -> bool {
    a.tid == b.tid && (a.tid != Some(0) || a.cpu == b.cpu)
}

fn threads(source: &dyn Source, report: &BootReport, to_ns: u64) -> Result<Vec<Thread>, Error> {
    let mut threads = Vec::new();
    let mut row: BTreeMap<i32, usize> = BTreeMap::new();
    for creation in report.creations.iter().filter(|c| c.time_ns <= to_ns) {
        row.insert(creation.tid, threads.len());
        threads.push(Thread {
            name: names::task(&creation.called, creation.tid),
            stopper: false,
            created_ns: creation.time_ns,
            to_ns,
            slices: Vec::new(),
        });
    }
    // By CPU: who runs, and since when.
    let mut running: Vec<(i32, u64)> = vec![(0, 0); source.info().cpus as usize];
    let leave = |threads: &mut Vec<Thread>, (tid, from): (i32, u64), now: u64| {
        if let Some(at) = row.get(&tid)
            && from < to_ns
        {
            threads[*at].slices.push((from, now.min(to_ns)));
        }
    };
    let walked = walk(source, &mut |event| {
        match &event.event.data {
            EventData::SchedSwitch(e) => {
                let now = &mut running[event.event.cpu as usize];
                let before = std::mem::replace(now, (e.next_pid, event.time_ns));
                leave(&mut threads, before, event.time_ns);
                let at = row.get(&e.next_pid).copied();
                if names::stopper_cpu(e.next_comm).is_some()
                    && let Some(at) = at
                {
                    threads[at].stopper = true;
                }
            }
            EventData::SchedProcessExit(e) => {
                if let Some(at) = row.get(&e.pid) {
                    threads[*at].to_ns = event.time_ns.min(to_ns);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    for last in running {
        leave(&mut threads, last, walked.end_ns);
    }
    Ok(threads)
}
