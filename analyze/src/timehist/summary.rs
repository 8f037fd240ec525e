//! The summaries of `timehist -s` and `-S`: tasks, then how long each CPU was idle.

use super::account::{Account, Accounts};
use super::line::{COMM_WIDTH, sched_time};
use super::{Options, Show, docs};
use crate::names;
use crate::table::Kind::{Duration, Event, Instant, Number, Text};
use crate::table::Shown::{Everywhere, Machine};
use crate::table::{Col, Layout, Table, col};

/// A task's row.
struct Task {
    comm: String,
    tid: i32,
    account: Account,
}

/// A CPU's row.
struct Idle {
    cpu: u32,
    idle_ns: u64,
    stretches: u64,
    window_ns: u64,
}

/// The two tables.
pub(super) fn tables(accounts: &Accounts, options: &Options, cpus: u32) -> Vec<Table> {
    let tasks: Vec<Task> = accounts
        .tasks()
        .filter(|(pid, _)| options.wants_task(*pid))
        .map(|(tid, account)| Task {
            comm: accounts.names.of(tid),
            tid,
            account: account.clone(),
        })
        .collect();
    let window_ns = accounts.seen.map_or(0, |(first, last)| last - first);
    let idle: Vec<Idle> = (0..cpus)
        .filter(|cpu| options.wants_cpu(*cpu))
        .filter_map(|cpu| {
            accounts.idle(cpu).map(|account| Idle {
                cpu,
                idle_ns: account.run_ns,
                stretches: account.stats.n,
                window_ns,
            })
        })
        .collect();
    let layout = Layout {
        head: head(options),
        lines: tasks.iter().map(|task| line(task, options)).collect(),
        foot: Vec::new(),
    };
    let title = match (options.has(Show::Idle), options.has(Show::State)) {
        (true, _) => "Idle-time summary",
        (_, true) => "Wait-time summary",
        _ => "Runtime summary",
    };
    let summary = Table::new("summary", title, TASKS, &tasks)
        .with_docs(docs::SUMMARY)
        .with_layout(layout);
    let mut tables = vec![summary];
    // As in perf: with a filter the idle times would stand beside run times that are not all there.
    if options.tasks.is_none() || options.has(Show::Idle) {
        let layout = idle_layout(&tasks, &idle, window_ns, cpus);
        tables.push(
            Table::new("idle", "Idle stats", IDLE, &idle)
                .with_docs(docs::IDLE)
                .with_layout(layout),
        );
    }
    tables
}

fn head(options: &Options) -> Vec<String> {
    let (heads, last) = match (options.has(Show::Idle), options.has(Show::State)) {
        (true, _) => (
            "  parent  sched-out    idle-time   min-idle    avg-idle    max-idle  stddev  migrations",
            "%",
        ),
        (_, true) => (
            "  parent   sched-in     run-time      sleep      iowait     preempt       delay",
            "(msec)",
        ),
        _ => (
            "  parent   sched-in     run-time    min-run     avg-run     max-run  stddev  migrations",
            "%",
        ),
    };
    vec![
        format!("{:>COMM_WIDTH$}{heads}", "comm"),
        format!(
            "{:>COMM_WIDTH$}            (count)       (msec)     (msec)      (msec)      (msec)       {last}",
            ""
        ),
        "-".repeat(117),
    ]
}

fn line(task: &Task, options: &Options) -> String {
    let account = &task.account;
    let mut line = format!(
        "{:>COMM_WIDTH$}   {:>5}  {:>9} {}",
        names::task(&task.comm, task.tid),
        account.parent.unwrap_or(-1),
        account.stats.n,
        sched_time(account.run_ns, 8),
    );
    if options.has(Show::State) && !options.has(Show::Idle) {
        let waits = [
            account.sleep_ns,
            account.iowait_ns,
            account.preempt_ns,
            account.delay_ns,
        ];
        let waits = waits.map(|ns| sched_time(ns, 6));
        line.push_str(&waits.join(" "));
        return line;
    }
    line.push_str(&format!(
        "{} {} {}  {:5.2}   {:>5}",
        sched_time(account.stats.min_ns, 6),
        sched_time(account.stats.mean_ns(), 6),
        sched_time(account.stats.max_ns, 6),
        account.stats.rel_stddev(),
        account.migrations,
    ));
    line
}

fn idle_layout(tasks: &[Task], idle: &[Idle], window_ns: u64, cpus: u32) -> Layout {
    let line = |row: &Idle| match row.stretches {
        0 => format!("    CPU {:>2} idle entire time window", row.cpu),
        _ => format!(
            "    CPU {:>2} idle for {} msec  ({:6.2}%)",
            row.cpu,
            sched_time(row.idle_ns, 6),
            percent(row)
        ),
    };
    let switches: u64 = tasks.iter().map(|task| task.account.stats.n).sum();
    let switches = switches + idle.iter().map(|row| row.stretches).sum::<u64>();
    let run_ns = tasks.iter().map(|task| task.account.run_ns).sum();
    Layout {
        head: Vec::new(),
        lines: idle.iter().map(line).collect(),
        foot: vec![
            String::new(),
            format!("    Total number of unique tasks: {}", tasks.len()),
            format!("Total number of context switches: {switches}"),
            format!(
                "           Total run time (msec): {}",
                sched_time(run_ns, 2)
            ),
            format!(
                "    Total scheduling time (msec): {} (x {cpus})",
                sched_time(window_ns, 2)
            ),
        ],
    }
}

fn percent(row: &Idle) -> f64 {
    match row.window_ns {
        0 => 0.0,
        window => 100.0 * row.idle_ns as f64 / window as f64,
    }
}

const TASKS: &[Col<Task>] = &[
    col("comm", "comm", Text, Everywhere, |t| t.comm.as_str().into()),
    col("tid", "tid", Number, Everywhere, |t| t.tid.into()),
    col("parent", "parent", Number, Everywhere, |t| {
        t.account.parent.into()
    }),
    col("count", "count", Number, Everywhere, |t| {
        t.account.stats.n.into()
    }),
    col("run_ns", "run", Duration, Everywhere, |t| {
        t.account.run_ns.into()
    }),
    col("run_insns", "insns", Number, Machine, |t| {
        t.account.run_insns.into()
    }),
    col("min_run_ns", "min", Duration, Everywhere, |t| {
        t.account.stats.min_ns.into()
    }),
    col("avg_run_ns", "avg", Duration, Everywhere, |t| {
        t.account.run_ns.checked_div(t.account.stats.n).into()
    }),
    col("max_run_ns", "max", Duration, Everywhere, |t| {
        t.account.stats.max_ns.into()
    }),
    col("max_run_end_ns", "max at", Instant, Everywhere, |t| {
        t.account.longest.map(|(ns, ..)| ns).into()
    }),
    col("max_run_seq", "event", Event, Everywhere, |t| {
        t.account.longest.map(|(_, seq, _)| seq).into()
    }),
    col("max_run_cpu", "cpu", Number, Everywhere, |t| {
        t.account.longest.map(|(.., cpu)| cpu).into()
    }),
    col("sleep_ns", "sleep", Duration, Everywhere, |t| {
        t.account.sleep_ns.into()
    }),
    col("iowait_ns", "iowait", Duration, Everywhere, |t| {
        t.account.iowait_ns.into()
    }),
    col("preempt_ns", "preempt", Duration, Everywhere, |t| {
        t.account.preempt_ns.into()
    }),
    col("delay_ns", "delay", Duration, Everywhere, |t| {
        t.account.delay_ns.into()
    }),
    col("migrations", "migrations", Number, Everywhere, |t| {
        t.account.migrations.into()
    }),
];

const IDLE: &[Col<Idle>] = &[
    col("cpu", "cpu", Number, Everywhere, |i| i.cpu.into()),
    col("idle_ns", "idle", Duration, Everywhere, |i| {
        i.idle_ns.into()
    }),
    col("stretches", "stretches", Number, Everywhere, |i| {
        i.stretches.into()
    }),
    col("window_ns", "window", Duration, Everywhere, |i| {
        i.window_ns.into()
    }),
];
