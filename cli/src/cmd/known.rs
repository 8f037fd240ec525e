//! `kreplay analyze latency`, `timehist`, `map`, `runqlat`, `classes`, `boot`: what was typed becomes the
//! options of the report. Nothing is computed here; see `analyze`.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};

use analyze::report::{Options, Streamed};
use analyze::source::{Recorded, Source};
use analyze::timehist::{Extent, Show, Timehist};
use analyze::{boot, classes, latency, map, runqlat, timehist, timeline};
use anyhow::bail;

use super::analyze::{print, verdict, written};
use crate::args::{
    CpuList, LatencyArgs, MapArgs, ReportArgs, Rows, RunqlatArgs, TimehistArgs, Window,
};
use crate::exit::Exit;

/// Tools whose shapes these are print every row.
const ALL: Rows = Rows(None);

/// `kreplay analyze latency`.
pub fn latency(args: &LatencyArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.report.recording)?;
    let source = Recorded::new(&recording)?;
    let options = latency::Options {
        pids: args.pids,
        sort: args.sort.iter().map(|key| (*key).into()).collect(),
        cpus: cpus(args.cpus.as_ref(), &source)?,
        wake: args.from.into(),
    };
    let found = latency::analyze(&source, &options)?;
    print(&found.report(), &args.report, ALL)
}

/// `kreplay analyze timehist`.
pub fn timehist(args: &TimehistArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.report.recording)?;
    let source = Recorded::new(&recording)?;
    let shown = [
        (args.migrations, Show::Migrations),
        (args.cpu_visual, Show::CpuVisual),
        (args.wakeups, Show::Wakeups),
        (args.next, Show::Next),
        (args.state, Show::State),
        (args.show_prio, Show::Prio),
        (args.pre_migrations, Show::PreMigrations),
        (args.idle_hist, Show::Idle),
    ];
    let tasks = args.pid.iter().chain(&args.tid).copied();
    let options = timehist::Options {
        show: shown
            .into_iter()
            .filter_map(|(asked, show)| asked.then_some(show))
            .collect(),
        extent: match (args.summary, args.with_summary) {
            (_, true) => Extent::RowsAndSummary,
            (true, false) => Extent::Summary,
            (false, false) => Extent::Rows,
        },
        cpus: cpus(args.cpu.as_ref(), &source)?,
        tasks: some(tasks.collect()),
        window: args
            .time
            .map(|window| resolve(window, &source))
            .transpose()?,
    };
    let report = Timehist::new(&source, options);
    match report.has_rows() {
        true => stream(&report, &args.report),
        false => print(&report.summary()?, &args.report, ALL),
    }
}

/// `kreplay analyze map`.
pub fn map(args: &MapArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.report.recording)?;
    let source = Recorded::new(&recording)?;
    let colors = match io::stdout().is_terminal() {
        true => map::Colors {
            cpus: args
                .color_cpus
                .clone()
                .map_or_else(BTreeSet::new, |list| list.0),
            pids: args.color_pids.iter().copied().collect(),
        },
        false => map::Colors::default(),
    };
    let options = map::Options {
        compact: args.compact,
        cpus: cpus(args.cpus.as_ref(), &source)?,
        tasks: (!args.task_name.is_empty()).then(|| map::TaskNames {
            names: args.task_name.clone(),
            fuzzy: args.fuzzy_name,
        }),
        colors,
    };
    stream(&map::Map::new(&source, options), &args.report)
}

/// `kreplay analyze runqlat`.
pub fn runqlat(args: &RunqlatArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.report.recording)?;
    let options = runqlat::Options {
        by: match (args.pids, args.per_cpu) {
            (true, _) => runqlat::By::Pid,
            (_, true) => runqlat::By::Cpu,
            _ => runqlat::By::All,
        },
        style: args.style.into(),
        unit: match args.milliseconds {
            true => runqlat::Unit::Msecs,
            false => runqlat::Unit::Usecs,
        },
        pids: some(args.pid.iter().copied().collect()),
        wake: args.from.into(),
    };
    let found = runqlat::analyze(&Recorded::new(&recording)?, &options)?;
    print(&found.report(), &args.report, ALL)
}

/// `kreplay analyze classes`.
pub fn classes(args: &ReportArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.recording)?;
    let found = classes::analyze(&Recorded::new(&recording)?)?;
    print(&found.report(), args, ALL)
}

/// `kreplay analyze boot`.
pub fn boot(args: &ReportArgs) -> anyhow::Result<Exit> {
    let recording = super::open(&args.recording)?;
    let found = boot::analyze(&Recorded::new(&recording)?)?;
    print(&found.report(), args, ALL)
}

/// Writes a report row by row.
fn stream(report: &dyn Streamed, args: &ReportArgs) -> anyhow::Result<Exit> {
    let options = Options {
        rows: args.rows.unwrap_or(ALL).0,
        table: args.table.clone(),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let rest = written(match args.define {
        true => report.define(args.format.into(), &options, &mut out),
        false => report.render(args.format.into(), &options, &mut out),
    })?;
    written(out.flush().map_err(Into::into))?;
    Ok(verdict(&rest))
}

/// The CPUs asked for; one that the run does not have is refused, and not taken for an idle one.
fn cpus(list: Option<&CpuList>, source: &Recorded<'_>) -> anyhow::Result<Option<BTreeSet<u32>>> {
    let Some(CpuList(cpus)) = list else {
        return Ok(None);
    };
    let there = source.info().cpus;
    if let Some(cpu) = cpus.iter().find(|cpu| **cpu >= there) {
        bail!(
            "there is no CPU {cpu}: the recording has CPUs 0 to {}",
            there - 1
        );
    }
    Ok(Some(cpus.clone()))
}

fn some(pids: BTreeSet<i32>) -> Option<BTreeSet<i32>> {
    (!pids.is_empty()).then_some(pids)
}

fn resolve(window: Window, source: &Recorded<'_>) -> anyhow::Result<(u64, u64)> {
    let from = timeline::resolve(source, window.from)?;
    let to = timeline::resolve(source, window.to)?;
    if from > to {
        bail!("the window ends at {to} ns, which is before its begin at {from} ns");
    }
    Ok((from, to))
}
