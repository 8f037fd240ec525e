//! What the stopper report shows: the works, then who asked, who lost, and how long everything took.

use std::collections::BTreeMap;

use super::docs;
use super::{CpuTotal, Outcome, Overhead, StopperReport, TaskName, Work};
use crate::names;
use crate::report::Report;
use crate::stats::{Sample, Summary, TOO_FEW, summarize};
use crate::table::Kind::{Duration, Event, Instant, Number, Text};
use crate::table::Shown::{Everywhere, Machine, Text as TextOnly};
use crate::table::{Col, Table, Value, col};

const COLUMNS: &[Col<Work>] = &[
    col("time_ns", "time", Instant, Everywhere, |w| {
        w.queue.time_ns.into()
    }),
    col("cpu", "cpu", Number, Everywhere, |w| w.cpu.into()),
    col("queued_by", "queued-by", Text, TextOnly, |w| {
        format!("{}@{}", name(&w.queuer), w.queuer_cpu).into()
    }),
    col("queued_by_comm", "", Text, Machine, |w| {
        w.queuer.comm.as_str().into()
    }),
    col("queued_by_tid", "", Number, Machine, |w| {
        w.queuer.tid.into()
    }),
    col("queued_by_cpu", "", Number, Machine, |w| {
        w.queuer_cpu.into()
    }),
    col("caller", "", Text, Machine, |w| w.caller.as_str().into()),
    col("fn", "fn", Text, Everywhere, |w| w.func.as_str().into()),
    col("task_comm", "", Text, Machine, |w| {
        w.task.as_ref().map(|t| t.comm.as_str()).into()
    }),
    col("task_tid", "", Number, Machine, |w| {
        w.task.as_ref().map(|t| t.tid).into()
    }),
    col(
        "queue_to_wake_ns",
        "queue>wake",
        Duration,
        Everywhere,
        |w| w.queue_to_wake_ns().into(),
    ),
    col("wake_to_run_ns", "wake>run", Duration, Everywhere, |w| {
        w.wake_to_run_ns().into()
    }),
    col("run_ns", "run", Duration, Everywhere, |w| w.run_ns().into()),
    col("to_waiter_ns", ">waiter", Duration, TextOnly, |w| {
        w.done_to_waiter.or(w.pending_to_waiter).into()
    }),
    col("done_to_waiter_ns", "", Duration, Machine, |w| {
        w.done_to_waiter.into()
    }),
    col("pending_to_waiter_ns", "", Duration, Machine, |w| {
        w.pending_to_waiter.into()
    }),
    col("victim", "victim[tid]", Text, TextOnly, |w| {
        w.victim.as_ref().map(|v| name(&v.task)).into()
    }),
    col("victim_of", "class prio", Text, TextOnly, |w| {
        let of = |v: &super::Victim| format!("{:<4} {:>4}", v.class.name(), v.prio);
        w.victim.as_ref().map(of).into()
    }),
    col("victim_comm", "", Text, Machine, |w| {
        w.victim.as_ref().map(|v| v.task.comm.as_str()).into()
    }),
    col("victim_tid", "", Number, Machine, |w| {
        w.victim.as_ref().map(|v| v.task.tid).into()
    }),
    col("victim_class", "", Text, Machine, |w| {
        w.victim.as_ref().map(|v| v.class.name()).into()
    }),
    col("victim_prio", "", Number, Machine, |w| {
        w.victim.as_ref().map(|v| v.prio).into()
    }),
    col("share_ns", "", Duration, Machine, |w| {
        w.share.map(|s| s.ns()).into()
    }),
    col("victim_lost_ns", "lost", Duration, Everywhere, |w| {
        w.lost_ns.into()
    }),
    col("victim_elsewhere_ns", "", Duration, Machine, |w| {
        w.elsewhere_ns.into()
    }),
    col("share_insns", "insns", Number, Everywhere, |w| {
        w.share.map(|s| s.insns).into()
    }),
    col("outcome", "outcome", Text, Everywhere, |w| {
        w.outcome.map(Outcome::name).into()
    }),
    col("pushed_ns", "", Duration, Machine, |w| w.pushed_ns().into()),
    col("work_queue_seq", "event", Event, Everywhere, |w| {
        w.queue.seq.into()
    }),
    col("stopper_waking_seq", "", Event, Machine, |w| {
        w.waking.map(|p| p.seq).into()
    }),
    col("work_start_seq", "", Event, Machine, |w| {
        w.start.map(|p| p.seq).into()
    }),
    col("work_done_seq", "", Event, Machine, |w| {
        w.done.map(|p| p.seq).into()
    }),
    col("share_begin_seq", "", Event, Machine, |w| {
        w.share.map(|s| s.begin.seq).into()
    }),
    col("share_end_seq", "", Event, Machine, |w| {
        w.share.map(|s| s.end.seq).into()
    }),
    col("released_seq", "", Event, Machine, |w| {
        w.waited.map(|w| w.0.seq).into()
    }),
    col("waiter_in_seq", "", Event, Machine, |w| {
        w.waited.map(|w| w.1.seq).into()
    }),
];

fn name(task: &TaskName) -> String {
    names::task(&task.comm, task.tid)
}

pub(super) fn works(works: &[Work]) -> Table {
    let title = format!(
        "{} works, in queue order (times in us, time in s; event is the queueing)",
        works.len()
    );
    Table::new("stopper_works", title, COLUMNS, works).with_docs(docs::WORKS)
}

struct Line {
    group: String,
    summary: Summary,
}

const TIMES: &[Col<Line>] = &[
    col("metric", "metric", Text, Everywhere, |l| {
        l.group.as_str().into()
    }),
    col("count", "count", Number, Everywhere, |l| {
        l.summary.count.into()
    }),
    col("p50_ns", "p50(us)", Duration, Everywhere, |l| {
        l.summary.p50_ns.into()
    }),
    col("p90_ns", "p90(us)", Duration, Everywhere, |l| {
        l.summary.p90_ns.into()
    }),
    col("p99_ns", "p99(us)", Duration, Everywhere, |l| {
        l.summary.p99_ns.into()
    }),
    col("max_ns", "max(us)", Duration, Everywhere, |l| {
        max(l, |m| m.value_ns)
    }),
    col("max_time_ns", "max at(s)", Instant, Everywhere, |l| {
        max(l, |m| m.time_ns)
    }),
    col("max_seq", "event", Event, Everywhere, |l| max(l, |m| m.seq)),
];

fn max(line: &Line, of: fn(&Sample) -> u64) -> Value {
    line.summary.max.as_ref().map(of).into()
}

/// The durations of a work that are summarised.
pub(super) type Metric = (&'static str, fn(&Work) -> Option<u64>);
pub(super) const METRICS: &[Metric] = &[
    ("queue>wake", Work::queue_to_wake_ns),
    ("wake>run", Work::wake_to_run_ns),
    ("queue>start", Work::queue_to_start_ns),
    ("run", Work::run_ns),
    ("done>waiter", |w| w.done_to_waiter),
    ("pending>waiter", |w| w.pending_to_waiter),
    ("share", |w| w.share.map(|share| share.ns())),
    ("lost", |w| w.lost_ns),
];

/// The summary of one duration over all works that have it.
pub(super) fn summary(works: &[Work], of: fn(&Work) -> Option<u64>) -> Summary {
    summarize(works.iter().filter_map(|w| {
        Some(Sample {
            value_ns: of(w)?,
            time_ns: w.queue.time_ns,
            seq: w.queue.seq,
        })
    }))
}

fn times(works: &[Work]) -> Table {
    let lines: Vec<Line> = METRICS
        .iter()
        .map(|(group, of)| Line {
            group: (*group).into(),
            summary: summary(works, *of),
        })
        .collect();
    Table::new(
        "times",
        "how long (max at and event: the queueing of that work)",
        TIMES,
        &lines,
    )
    .with_docs(docs::TIMES)
}

/// Works with something in common.
struct Group {
    what: String,
    works: u64,
    lost_ns: u64,
    run: Summary,
}

const GROUPS: &[Col<Group>] = &[
    col("group", "group", Text, Everywhere, |g| {
        g.what.as_str().into()
    }),
    col("works", "works", Number, Everywhere, |g| g.works.into()),
    col("run_p50_ns", "run p50(us)", Duration, Everywhere, |g| {
        g.run.p50_ns.into()
    }),
    col("run_max_ns", "run max(us)", Duration, Everywhere, |g| {
        g.run.max.map(|m| m.value_ns).into()
    }),
    col("max_seq", "event", Event, Everywhere, |g| {
        g.run.max.map(|m| m.seq).into()
    }),
    col("lost_ns", "lost(us)", Duration, Everywhere, |g| {
        g.lost_ns.into()
    }),
];

fn groups(works: &[Work]) -> Table {
    let by: [fn(&Work) -> String; 4] = [
        |w| format!("fn {} <- {}", w.func, w.caller),
        |w| format!("outcome {}", w.outcome.map_or("none", Outcome::name)),
        |w| match &w.victim {
            Some(victim) => format!("victim {}", name(&victim.task)),
            None => "victim none".into(),
        },
        |w| match &w.victim {
            Some(victim) => format!("victim class {}", victim.class),
            None => "victim class none".into(),
        },
    ];
    let mut lines = Vec::new();
    for group_of in by {
        let mut groups: BTreeMap<String, Vec<Work>> = BTreeMap::new();
        for work in works {
            groups.entry(group_of(work)).or_default().push(work.clone());
        }
        lines.extend(groups.into_iter().map(|(what, members)| Group {
            what,
            works: members.len() as u64,
            lost_ns: members.iter().filter_map(|w| w.lost_ns).sum(),
            run: summary(&members, Work::run_ns),
        }));
    }
    Table::new(
        "groups",
        "who asked, what came of it, who lost",
        GROUPS,
        &lines,
    )
    .with_docs(docs::GROUPS)
}

const TOTALS: &[Col<CpuTotal>] = &[
    col("cpu", "cpu", Number, Everywhere, |t| t.cpu.into()),
    col("works", "works", Number, Everywhere, |t| t.works.into()),
    col("episodes", "episodes", Number, Everywhere, |t| {
        t.episodes.into()
    }),
    col("occupancy_ns", "occupancy(us)", Duration, Everywhere, |t| {
        t.occupancy_ns.into()
    }),
    col("lost_ns", "lost", Duration, Everywhere, |t| {
        t.lost_ns.into()
    }),
    col("idle_ns", "idle", Duration, Everywhere, |t| {
        t.idle_ns.into()
    }),
    col("blocked_ns", "prev blocked", Duration, Everywhere, |t| {
        t.blocked_ns.into()
    }),
    col(
        "elsewhere_ns",
        "victim elsewhere",
        Duration,
        Everywhere,
        |t| t.elsewhere_ns.into(),
    ),
    col("overhead_ns", "overhead", Duration, Everywhere, |t| {
        t.overhead_ns.into()
    }),
];

const OVERHEAD: &[Col<Overhead>] = &[
    col("time_ns", "time", Instant, Everywhere, |o| {
        o.begin.time_ns.into()
    }),
    col("cpu", "cpu", Number, Everywhere, |o| o.cpu.into()),
    col("on_cpu", "on", Number, Everywhere, |o| o.on_cpu.into()),
    col("overhead_ns", "time(us)", Duration, Everywhere, |o| {
        (o.end.time_ns - o.begin.time_ns).into()
    }),
    col("insns", "insns", Number, Everywhere, |o| o.insns.into()),
    col("begin_seq", "in", Event, Everywhere, |o| o.begin.seq.into()),
    col("end_seq", "out", Event, Everywhere, |o| o.end.seq.into()),
];

const GUARANTEE: &[Col<Work>] = &[
    col("time_ns", "time", Instant, Everywhere, |w| {
        w.queue.time_ns.into()
    }),
    col("cpu", "cpu", Number, Everywhere, |w| w.cpu.into()),
    col("fn", "fn", Text, Everywhere, |w| w.func.as_str().into()),
    col(
        "queue_to_start_ns",
        "queue>start(us)",
        Duration,
        Everywhere,
        |w| w.queue_to_start_ns().into(),
    ),
    col(
        "queue_to_wake_ns",
        "queue>wake",
        Duration,
        Everywhere,
        |w| part(w, 0),
    ),
    col("wake_to_in_ns", "wake>in", Duration, Everywhere, |w| {
        part(w, 1)
    }),
    col(
        "earlier_works_ns",
        "earlier works",
        Duration,
        Everywhere,
        |w| part(w, 2),
    ),
    col("in_to_start_ns", "in>start", Duration, Everywhere, |w| {
        part(w, 3)
    }),
    col("work_queue_seq", "queue", Event, Everywhere, |w| {
        w.queue.seq.into()
    }),
    col("work_start_seq", "start", Event, Everywhere, |w| {
        w.start.map(|p| p.seq).into()
    }),
];

fn part(work: &Work, at: usize) -> Value {
    work.latency_parts_ns().map(|parts| parts[at]).into()
}

pub(super) fn report(report: &StopperReport) -> Report {
    let guarantee: Vec<Work> = report.guarantee().cloned().into_iter().collect();
    Report {
        title: format!("stopper: {}", report.footer.recording),
        tables: vec![
            works(&report.works),
            times(&report.works),
            groups(&report.works),
            Table::new(
                "guarantee",
                "the longest wait from queueing to start, and its parts",
                GUARANTEE,
                &guarantee,
            )
            .with_docs(docs::GUARANTEE),
            Table::new(
                "overhead",
                "episodes without a work, also those before it is bound to its cpu (on: where it ran)",
                OVERHEAD,
                &report.overhead,
            )
            .with_docs(docs::OVERHEAD),
            Table::new(
                "balance",
                "where the stoppers' time on their CPUs comes from (us)",
                TOTALS,
                &report.totals,
            )
            .with_docs(docs::BALANCE),
        ],
        notes: vec![
            TOO_FEW.to_owned(),
            ">waiter is from the release (nr_todo 0, or the pending's completion) to the waiter's \
             next instruction, on the last work of a request; - where nobody waits."
                .to_owned(),
            "outcome already-ok includes tasks that had disabled migration: their CPU is allowed, and \
             the request waits for migrate_enable."
                .to_owned(),
        ],
        checks: report.checks.clone(),
        footer: report.footer.clone(),
    }
}
