//! What the migration report shows: the rows, and summaries per path, cause, CPU pair and phase.

use std::collections::BTreeMap;

use super::docs;
use super::{Ended, Kind, MigrationReport, Move, Phase};
use crate::names;
use crate::report::Report;
use crate::stats::{Sample, Summary, TOO_FEW, summarize};
use crate::table::Kind::{Duration, Event, Instant, Number, Text};
use crate::table::Shown::{Everywhere, Machine, Text as TextOnly};
use crate::table::{Col, Table, Value, col};

const COLUMNS: &[Col<Move>] = &[
    col("time_ns", "time", Instant, Everywhere, |m| {
        m.begin_ns.into()
    }),
    col("task", "task[tid]", Text, TextOnly, |m| {
        names::task(&m.comm, m.tid).into()
    }),
    col("kind", "kind", Text, Machine, |m| m.kind.name().into()),
    col("comm", "comm", Text, Machine, |m| m.comm.as_str().into()),
    col("tid", "tid", Number, Machine, |m| m.tid.into()),
    col("prio", "prio", Number, Machine, |m| m.prio.into()),
    col("cpus", "A => B", Text, TextOnly, |m| pair(m).into()),
    col("src_cpu", "src", Number, Machine, |m| m.src_cpu.into()),
    col("dst_cpu", "dst", Number, Machine, |m| m.dst_cpu.into()),
    col("path", "path", Text, Machine, |m| m.path.name().into()),
    col("cause", "cause", Text, Everywhere, |m| {
        m.cause.name().into()
    }),
    col("off_src_ns", "off-src", Duration, Everywhere, |m| {
        m.phases_ns[0].into()
    }),
    col("stop_wait_ns", "stop-wait", Duration, Everywhere, |m| {
        m.phases_ns[1].into()
    }),
    col("stop_run_ns", "stop-run", Duration, Everywhere, |m| {
        m.phases_ns[2].into()
    }),
    col("enq_dst_ns", "enq-dst", Duration, Everywhere, |m| {
        m.phases_ns[3].into()
    }),
    col("ipi_ns", "ipi", Duration, Everywhere, |m| {
        m.phases_ns[4].into()
    }),
    col("first_run_ns", "first-run", Duration, Everywhere, |m| {
        m.phases_ns[5].into()
    }),
    col("total_ns", "total", Duration, Everywhere, |m| {
        m.total_ns().into()
    }),
    col("total_insns", "insns", Number, Everywhere, |m| {
        m.total_insns().into()
    }),
    col("ended", "", Text, Machine, |m| m.ended.name().into()),
    col("not_ran", "", Text, TextOnly, |m| not_ran(m).into()),
    col("end_ns", "end", Instant, Machine, |m| m.end_ns.into()),
    col("pushed_ns", "pushed", Duration, Machine, |m| {
        m.pushed_ns.into()
    }),
    col("off_src_insns", "", Number, Machine, |m| {
        m.phases_insns[0].into()
    }),
    col("stop_wait_insns", "", Number, Machine, |m| {
        m.phases_insns[1].into()
    }),
    col("stop_run_insns", "", Number, Machine, |m| {
        m.phases_insns[2].into()
    }),
    col("enq_dst_insns", "", Number, Machine, |m| {
        m.phases_insns[3].into()
    }),
    col("ipi_insns", "", Number, Machine, |m| {
        m.phases_insns[4].into()
    }),
    col("first_run_insns", "", Number, Machine, |m| {
        m.phases_insns[5].into()
    }),
    col("begin_seq", "begin", Event, Everywhere, |m| {
        m.seqs.begin.into()
    }),
    col("switch_out_seq", "", Event, Machine, |m| {
        m.seqs.switch_out.into()
    }),
    col("work_queue_seq", "", Event, Machine, |m| {
        m.seqs.work_queue.into()
    }),
    col("work_start_seq", "", Event, Machine, |m| {
        m.seqs.work_start.into()
    }),
    col("migrate_seq", "", Event, Machine, |m| m.seqs.migrate.into()),
    col("enqueued_seq", "", Event, Machine, |m| {
        m.seqs.enqueued.into()
    }),
    col("ipi_send_seq", "", Event, Machine, |m| {
        m.seqs.ipi_send.into()
    }),
    col("ipi_entry_seq", "", Event, Machine, |m| {
        m.seqs.ipi_entry.into()
    }),
    col("end_seq", "", Event, Machine, |m| m.seqs.end.into()),
];

fn pair(m: &Move) -> String {
    format!("{} => {}", m.src_cpu, m.dst_cpu)
}

/// What ended a move that did not end in a run; those are in no percentile.
fn not_ran(m: &Move) -> &'static str {
    match m.ended {
        Ended::Ran => "",
        other => other.name(),
    }
}

pub(super) fn moves(moves: &[Move]) -> Table {
    let text = format!(
        "{} moves and {} placements of new tasks (times in us, time in s; begin is an event number)",
        moves.iter().filter(|m| m.kind == Kind::Move).count(),
        moves.iter().filter(|m| m.kind == Kind::Placement).count(),
    );
    Table::new("moves", text, COLUMNS, moves).with_docs(docs::MOVES)
}

/// A line of a summary.
struct Line {
    group: String,
    rows: u64,
    summary: Summary,
}

macro_rules! summary_columns {
    ($group:literal, $rows_key:literal, $rows:literal) => {
        &[
            col($group, $group, Text, Everywhere, |l: &Line| {
                l.group.as_str().into()
            }),
            col($rows_key, $rows, Number, Everywhere, |l| l.rows.into()),
            col("count", "ran", Number, Everywhere, |l| {
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
        ]
    };
}

const TOTALS: &[Col<Line>] = summary_columns!("group", "moves", "moves");
const PHASES: &[Col<Line>] = summary_columns!("phase", "above_zero", "above 0");

fn max(line: &Line, of: fn(&Sample) -> u64) -> Value {
    line.summary.max.as_ref().map(of).into()
}

/// A sample that says how long a move took, found at its `sched_migrate_task`.
fn sample(m: &Move, value_ns: u64) -> Sample {
    Sample {
        value_ns,
        time_ns: m.end_ns,
        seq: m.seqs.migrate,
    }
}

fn line<'m>(group: String, moves: impl Iterator<Item = &'m Move> + Clone) -> Line {
    let ran = moves.clone().filter(|m| m.ended == Ended::Ran);
    Line {
        group,
        rows: moves.count() as u64,
        summary: summarize(ran.map(|m| sample(m, m.total_ns()))),
    }
}

/// What puts a move into a group: two numbers to sort by, and the name.
type Grouping = fn(&Move) -> (u32, u32, String);

fn totals(rows: &[Move]) -> Table {
    let all: Vec<&Move> = rows.iter().filter(|m| m.kind == Kind::Move).collect();
    let placed = rows.iter().filter(|m| m.kind == Kind::Placement);
    let mut lines = vec![line("all moves".into(), all.iter().copied())];
    let groupings: [Grouping; 3] = [
        |m| (m.path as u32, 0, format!("path {}", m.path.name())),
        |m| (m.cause as u32, 0, format!("cause {}", m.cause.name())),
        |m| (m.src_cpu, m.dst_cpu, format!("cpu {}", pair(m))),
    ];
    for grouping in groupings {
        let mut groups: BTreeMap<_, Vec<&Move>> = BTreeMap::new();
        for m in &all {
            groups.entry(grouping(m)).or_default().push(m);
        }
        for ((_, _, name), members) in groups {
            lines.push(line(name, members.into_iter()));
        }
    }
    lines.push(line("placements".into(), placed));
    let title =
        "from begin to the first run at the destination; only moves that ran are in percentiles";
    Table::new("summary", title, TOTALS, &lines).with_docs(docs::SUMMARY)
}

fn phases(rows: &[Move]) -> Table {
    let lines: Vec<Line> = Phase::ALL
        .into_iter()
        .map(|phase| {
            let ns = |m: &Move| m.phases_ns[phase as usize];
            let ran = rows.iter().filter(|m| m.counts());
            Line {
                group: phase.name().into(),
                rows: ran.clone().filter(|m| ns(m) > 0).count() as u64,
                summary: summarize(ran.map(|m| sample(m, ns(m)))),
            }
        })
        .collect();
    let title = "where the time of the moves that ran went (placements not counted)";
    Table::new("phases", title, PHASES, &lines).with_docs(docs::PHASES)
}

pub(super) fn report(report: &MigrationReport) -> Report {
    Report {
        title: format!("migrations: {}", report.footer.recording),
        tables: vec![
            moves(&report.moves),
            totals(&report.moves),
            phases(&report.moves),
        ],
        notes: vec![
            TOO_FEW.to_owned(),
            "A stopper's move begins where the first work of its request was queued, and has the cause \
             of that work, whoever queued a later one."
                .to_owned(),
        ],
        checks: report.checks.clone(),
        footer: report.footer.clone(),
    }
}
