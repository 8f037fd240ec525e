//! What the report of the guarantee shows: the longest waits, their pieces, and the parts of all waits.

use super::{Guarantee, Part, PartTotal, Piece, Wait};
use crate::names;
use crate::report::Report;
use crate::stats::TOO_FEW;
use crate::table::Kind::{Duration, Event, Instant, Number, Text};
use crate::table::Shown::{Everywhere, Machine, Text as TextOnly};
use crate::table::{Col, Table, Value, col};

/// A wait and its place among the longest, from 1.
struct Ranked<'w> {
    rank: u64,
    wait: &'w Wait,
}

impl Ranked<'_> {
    fn part(&self, part: Part) -> Value {
        self.wait.part_ns(part).into()
    }
}

fn waits<'r>() -> Vec<Col<Ranked<'r>>> {
    vec![
        col("rank", "#", Number, Everywhere, |r| r.rank.into()),
        col("time_ns", "time", Instant, Everywhere, |r| {
            r.wait.queue.time_ns.into()
        }),
        col("cpu", "cpu", Number, Everywhere, |r| r.wait.cpu.into()),
        col("fn", "fn", Text, Everywhere, |r| {
            r.wait.func.as_str().into()
        }),
        col("caller", "", Text, Machine, |r| {
            r.wait.caller.as_str().into()
        }),
        col("queued_by", "queued-by", Text, TextOnly, |r| {
            let task = names::task(&r.wait.queuer.comm, r.wait.queuer.tid);
            format!("{task}@{}", r.wait.queuer_cpu).into()
        }),
        col("queued_by_comm", "", Text, Machine, |r| {
            r.wait.queuer.comm.as_str().into()
        }),
        col("queued_by_tid", "", Number, Machine, |r| {
            r.wait.queuer.tid.into()
        }),
        col("queued_by_cpu", "", Number, Machine, |r| {
            r.wait.queuer_cpu.into()
        }),
        col("queue_to_start_ns", "q>start", Duration, Everywhere, |r| {
            r.wait.ns().into()
        }),
        col("ask_ns", "ask", Duration, Everywhere, |r| r.part(Part::Ask)),
        col("ipi_ns", "ipi", Duration, Everywhere, |r| r.part(Part::Ipi)),
        col("irqs_off_ns", "irqs-off", Duration, Everywhere, |r| {
            r.part(Part::IrqsOff)
        }),
        col("idle_ns", "idle", Duration, Everywhere, |r| {
            r.part(Part::Idle)
        }),
        col("preempt_off_ns", "pre-off", Duration, Everywhere, |r| {
            r.part(Part::PreemptOff)
        }),
        col("earlier_works_ns", "earlier", Duration, Everywhere, |r| {
            r.part(Part::Earlier)
        }),
        col("stopper_ns", "stopper", Duration, Everywhere, |r| {
            r.part(Part::Stopper)
        }),
        col("work_queue_seq", "queue", Event, Everywhere, |r| {
            r.wait.queue.seq.into()
        }),
        col("work_start_seq", "start", Event, Everywhere, |r| {
            r.wait.start.seq.into()
        }),
    ]
}

/// A piece of a ranked wait.
struct Member<'w> {
    of: Ranked<'w>,
    piece: &'w Piece,
}

fn pieces<'r>() -> Vec<Col<Member<'r>>> {
    vec![
        col("rank", "#", Number, Everywhere, |m| m.of.rank.into()),
        col("cpu", "cpu", Number, Everywhere, |m| m.of.wait.cpu.into()),
        col("part", "part", Text, Everywhere, |m| {
            m.piece.part.name().into()
        }),
        col("after_ns", "after", Duration, Everywhere, |m| {
            (m.piece.from_ns - m.of.wait.queue.time_ns).into()
        }),
        col("ns", "time(us)", Duration, Everywhere, |m| {
            m.piece.ns().into()
        }),
        col("who", "who", Text, Everywhere, |m| {
            m.piece.who.as_str().into()
        }),
        col("begin_seq", "from", Event, Everywhere, |m| {
            m.piece.from_seq.into()
        }),
        col("end_seq", "to", Event, Everywhere, |m| {
            m.piece.to_seq.into()
        }),
    ]
}

/// A part and all waits together.
struct Share<'g> {
    all_ns: u64,
    total: &'g PartTotal,
}

fn parts<'r>() -> Vec<Col<Share<'r>>> {
    vec![
        col("part", "part", Text, Everywhere, |s| {
            s.total.part.name().into()
        }),
        col("works", "works", Number, Everywhere, |s| {
            s.total.summary.count.into()
        }),
        col("sum_ns", "sum(us)", Duration, Everywhere, |s| {
            s.total.ns.into()
        }),
        col("share", "share", Text, TextOnly, |s| {
            let thousandths = u128::from(s.total.ns) * 1_000 / u128::from(s.all_ns.max(1));
            format!("{:>3}.{} %", thousandths / 10, thousandths % 10).into()
        }),
        col("p50_ns", "p50(us)", Duration, Everywhere, |s| {
            s.total.summary.p50_ns.into()
        }),
        col("p99_ns", "p99(us)", Duration, Everywhere, |s| {
            s.total.summary.p99_ns.into()
        }),
        col("max_ns", "max(us)", Duration, Everywhere, |s| {
            s.total.summary.max.map(|m| m.value_ns).into()
        }),
        col("max_time_ns", "max at(s)", Instant, Everywhere, |s| {
            s.total.summary.max.map(|m| m.time_ns).into()
        }),
        col("max_seq", "event", Event, Everywhere, |s| {
            s.total.summary.max.map(|m| m.seq).into()
        }),
    ]
}

/// What each column means; machine formats and files carry it.
const DOCS: &[(&str, &str)] = &[
    (
        "table",
        "The longest waits of stopper works, the longest first.",
    ),
    ("rank", "1 is the longest: the guarantee."),
    ("time_ns", "Causal time of work_queue_seq."),
    ("cpu", "The stopper's CPU."),
    ("fn", "The work's function."),
    ("caller", "The function that asked for it."),
    ("queued_by_comm", "Name of the task that queued it."),
    ("queued_by_tid", "Its pid."),
    ("queued_by_cpu", "The CPU that it was on."),
    (
        "queue_to_start_ns",
        "The wait; the seven columns after it sum to it.",
    ),
    (
        "ask_ns",
        "The asker: up to the wake-up and the sending of its interrupt.",
    ),
    ("ipi_ns", "An interrupt to the CPU in flight."),
    (
        "irqs_off_ns",
        "Interrupts off at the CPU: one was due and did not land, or a handler ran.",
    ),
    ("idle_ns", "The idle task, until it has switched."),
    (
        "preempt_off_ns",
        "Preemption off at the CPU, until schedule() had switched to the stopper.",
    ),
    (
        "earlier_works_ns",
        "Functions of works that were queued before.",
    ),
    ("stopper_ns", "The stopper between functions."),
    ("work_queue_seq", "Its stop_work_queue."),
    ("work_start_seq", "Its stop_work_start."),
];

/// What each column of the pieces means.
const PIECES: &[(&str, &str)] = &[
    (
        "table",
        "The pieces of each of the longest waits, in order and without gaps.",
    ),
    ("rank", "The wait, by its rank in the table guarantee."),
    ("cpu", "The stopper's CPU."),
    (
        "part",
        "What the time went to: one of the seven parts of docs/definitions.md, section 4.",
    ),
    (
        "after_ns",
        "From the work's queueing to where the piece begins.",
    ),
    ("ns", "How long it is."),
    (
        "who",
        "The asking task, the interrupted or running task, the handler, or the earlier work's function.",
    ),
    (
        "begin_seq",
        "The event that it begins at; for an interrupt that is due, its sending.",
    ),
    ("end_seq", "The event that it ends at, likewise."),
];

/// What each column of the parts means.
const PARTS: &[(&str, &str)] = &[
    (
        "table",
        "The seven parts, and the waits of all works together.",
    ),
    ("part", "The part."),
    (
        "works",
        "Number of works whose wait has any of it; the percentiles and the maximum are of those.",
    ),
    ("sum_ns", "Its time in all waits."),
    (
        "share",
        "The part of the time of all waits that it is, in percent.",
    ),
    ("max_time_ns", "Causal time of that work's queueing."),
    (
        "max_seq",
        "The stop_work_queue of the work with the largest value.",
    ),
];

pub(super) fn report(found: &Guarantee) -> Report {
    let ranked: Vec<Ranked<'_>> = (1..)
        .zip(&found.waits)
        .map(|(rank, wait)| Ranked { rank, wait })
        .collect();
    let members: Vec<Member<'_>> = ranked
        .iter()
        .flat_map(|r| {
            r.wait.pieces.iter().map(|piece| Member {
                of: Ranked {
                    rank: r.rank,
                    wait: r.wait,
                },
                piece,
            })
        })
        .collect();
    let shares: Vec<Share<'_>> = found
        .parts
        .iter()
        .map(|total| Share {
            all_ns: found.total_ns,
            total,
        })
        .collect();
    let us = crate::render::text::micros;
    let title = match found.waits.first() {
        Some(worst) => format!(
            "no work of {} waited longer from queue to start than {} us (times in us, time in s)",
            found.works,
            us(worst.ns())
        ),
        None => "no work started in this recording".to_owned(),
    };
    let flights: Vec<String> = found
        .flights
        .iter()
        .map(|(vector, ns)| format!("{vector} {} us", us(*ns)))
        .collect();
    let mut notes = vec![
        "ask: the asker, until the stopper is woken and the interrupt sent; ipi: it is in flight; irqs-off: \
         one was due and did not land, or a handler ran; idle: the idle task going; preempt-off (pre-off): \
         from then until schedule() has switched; earlier-works: their functions; stopper: its own way \
         between functions."
            .to_owned(),
        TOO_FEW.to_owned(),
    ];
    if !flights.is_empty() {
        notes.push(format!(
            "flight of an interrupt that finds interrupts on, the shortest of this recording: {}",
            flights.join(", ")
        ));
    }
    Report {
        title: format!("stopper guarantee: {}", found.footer.recording),
        tables: vec![
            Table::new("guarantee", title, &waits(), &ranked).with_docs(DOCS),
            Table::new(
                "pieces",
                "what each of them was made of, in order (after: since the queueing)",
                &pieces(),
                &members,
            )
            .with_docs(PIECES),
            Table::new(
                "parts",
                format!(
                    "what the waits of all {} works were made of (event: the queueing)",
                    found.works
                ),
                &parts(),
                &shares,
            )
            .with_docs(PARTS),
        ],
        notes,
        checks: found.checks.clone(),
        footer: found.footer.clone(),
    }
}
