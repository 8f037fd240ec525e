//! What the report shows: the requests, how long everything took, each participant, each state.

use super::{Participant, Passage, Request, State, StopMachineReport, docs};
use crate::names;
use crate::report::Report;
use crate::stats::{Sample, Summary, TOO_FEW, summarize};
use crate::stopper::Point;
use crate::table::Kind::{Duration, Event, Flag, Instant, Number, Text};
use crate::table::Shown::{Everywhere, Machine, Text as TextOnly};
use crate::table::{Col, Table, Value, col};

const REQUESTS: &[Col<Request>] = &[
    col("time_ns", "time", Instant, Everywhere, |r| {
        r.queue().time_ns.into()
    }),
    col("asked_by", "asked-by", Text, TextOnly, |r| {
        let task = names::task(&r.queuer.comm, r.queuer.tid);
        format!("{task}@{}", r.queuer_cpu).into()
    }),
    col("queued_by_comm", "", Text, Machine, |r| {
        r.queuer.comm.as_str().into()
    }),
    col("queued_by_tid", "", Number, Machine, |r| {
        r.queuer.tid.into()
    }),
    col("queued_by_cpu", "", Number, Machine, |r| {
        r.queuer_cpu.into()
    }),
    col("caller", "caller", Text, Everywhere, |r| {
        r.caller.as_str().into()
    }),
    col("fn", "fn", Text, Everywhere, |r| r.func.as_deref().into()),
    col("participants", "cpus", Number, Everywhere, |r| {
        (r.participants.len() as u64).into()
    }),
    col("total_ns", "total", Duration, Everywhere, |r| {
        r.total_ns().into()
    }),
    col("gather_ns", "gather", Duration, Everywhere, |r| {
        r.gather_ns().into()
    }),
    col("fn_ns", "fn(us)", Duration, Everywhere, |r| {
        r.func_ns().into()
    }),
    col("irqs_off_ns_max", "irqs-off", Duration, Everywhere, |r| {
        r.irqs_off_ns_max().into()
    }),
    col("irqs_off_ns_sum", "", Duration, Machine, |r| {
        r.irqs_off_ns_sum().into()
    }),
    col("prepare_skew_ns", "PREPARE", Duration, Everywhere, |r| {
        r.skew_ns(State::Prepare).into()
    }),
    col(
        "disable_irq_skew_ns",
        "DISABLE",
        Duration,
        Everywhere,
        |r| r.skew_ns(State::DisableIrq).into(),
    ),
    col("run_skew_ns", "RUN", Duration, Everywhere, |r| {
        r.skew_ns(State::Run).into()
    }),
    col("exit_skew_ns", "EXIT", Duration, Everywhere, |r| {
        r.skew_ns(State::Exit).into()
    }),
    col("polls", "polls", Number, Everywhere, |r| r.polls().into()),
    col("work_queue_seq", "event", Event, Everywhere, |r| {
        r.queue().seq.into()
    }),
];

/// A participant and its request.
struct Member<'r> {
    request: &'r Request,
    of: &'r Participant,
}

impl Member<'_> {
    fn phase(&self, from: usize, to: usize) -> Value {
        let phases = self.of.phases_ns();
        phases.map(|p| p[from..to].iter().sum::<u64>()).into()
    }
}

fn seq(point: Option<Point>) -> Value {
    point.map(|p| p.seq).into()
}

fn participants<'r>() -> Vec<Col<Member<'r>>> {
    vec![
        col("request_seq", "request", Event, Everywhere, |m| {
            m.request.queue().seq.into()
        }),
        col("cpu", "cpu", Number, Everywhere, |m| m.of.cpu.into()),
        col("active", "active", Flag, Everywhere, |m| m.of.active.into()),
        col(
            "queue_to_start_ns",
            "queue>start",
            Duration,
            Everywhere,
            |m| m.of.queue_to_start_ns().into(),
        ),
        col("run_ns", "run(us)", Duration, Everywhere, |m| {
            m.of.run_ns().into()
        }),
        col("entry_ns", "entry", Duration, Everywhere, |m| m.phase(0, 1)),
        col("prepare_all", "PREPARE", Duration, TextOnly, |m| {
            m.phase(1, 3)
        }),
        col("disable_irq_all", "DISABLE_IRQ", Duration, TextOnly, |m| {
            m.phase(3, 5)
        }),
        col("run_all", "RUN", Duration, TextOnly, |m| m.phase(5, 7)),
        col("exit_all", "EXIT", Duration, TextOnly, |m| m.phase(7, 8)),
        col("prepare_ns", "", Duration, Machine, |m| m.phase(1, 2)),
        col("prepare_wait_ns", "", Duration, Machine, |m| m.phase(2, 3)),
        col("disable_irq_ns", "", Duration, Machine, |m| m.phase(3, 4)),
        col("disable_irq_wait_ns", "", Duration, Machine, |m| {
            m.phase(4, 5)
        }),
        col("run_state_ns", "", Duration, Machine, |m| m.phase(5, 6)),
        col("run_wait_ns", "", Duration, Machine, |m| m.phase(6, 7)),
        col("exit_ns", "", Duration, Machine, |m| m.phase(7, 8)),
        col("return_ns", "return", Duration, Everywhere, |m| {
            m.phase(8, 9)
        }),
        col("irqs_off_ns", "irqs-off", Duration, Everywhere, |m| {
            m.of.irqs_off_ns().into()
        }),
        col("polls", "polls", Number, Everywhere, |m| {
            m.of.polls().into()
        }),
        col("work_queue_seq", "", Event, Machine, |m| {
            m.of.queue.seq.into()
        }),
        col("work_start_seq", "start", Event, Everywhere, |m| {
            seq(m.of.start)
        }),
        col("work_done_seq", "done", Event, Everywhere, |m| {
            seq(m.of.done)
        }),
    ]
}

/// A participant in a state.
struct Step<'r> {
    request: &'r Request,
    cpu: u32,
    state: State,
    passage: &'r Passage,
}

impl Step<'_> {
    /// Since the request was queued.
    fn since_queue(&self, point: Point) -> u64 {
        point.time_ns.saturating_sub(self.request.queue().time_ns)
    }
}

fn states<'r>() -> Vec<Col<Step<'r>>> {
    vec![
        col("request_seq", "request", Event, Everywhere, |s| {
            s.request.queue().seq.into()
        }),
        col("state", "state", Text, Everywhere, |s| {
            s.state.name().into()
        }),
        col("cpu", "cpu", Number, Everywhere, |s| s.cpu.into()),
        col("enter_time_ns", "", Instant, Machine, |s| {
            s.passage.enter.time_ns.into()
        }),
        col("ack_time_ns", "", Instant, Machine, |s| {
            s.passage.ack.map(|p| p.time_ns).into()
        }),
        col("enter_after_ns", "enter(us)", Duration, Everywhere, |s| {
            s.since_queue(s.passage.enter).into()
        }),
        col("ack_after_ns", "ack(us)", Duration, Everywhere, |s| {
            s.passage.ack.map(|ack| s.since_queue(ack)).into()
        }),
        col("behind_ns", "behind", Duration, Everywhere, |s| {
            let enters = s.request.participants.iter();
            let first = enters.filter_map(|p| p.enter(s.state)).map(|p| p.time_ns);
            let own = s.passage.enter.time_ns;
            first.min().map(|first| own.saturating_sub(first)).into()
        }),
        col("polls", "polls", Number, Everywhere, |s| {
            (s.passage.polls + s.passage.polls_inside).into()
        }),
        col("enter_seq", "enter", Event, Everywhere, |s| {
            s.passage.enter.seq.into()
        }),
        col("ack_seq", "ack", Event, Everywhere, |s| seq(s.passage.ack)),
        col("pushed_ns", "", Duration, Machine, |s| {
            let ack = s.passage.ack.map_or(0, |p| p.pushed_ns);
            s.passage.enter.pushed_ns.max(ack).into()
        }),
    ]
}

struct Line {
    metric: String,
    summary: Summary,
}

const TIMES: &[Col<Line>] = &[
    col("metric", "metric", Text, Everywhere, |l| {
        l.metric.as_str().into()
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
        l.summary.max.map(|m| m.value_ns).into()
    }),
    col("max_time_ns", "max at(s)", Instant, Everywhere, |l| {
        l.summary.max.map(|m| m.time_ns).into()
    }),
    col("max_seq", "event", Event, Everywhere, |l| {
        l.summary.max.map(|m| m.seq).into()
    }),
];

fn times(requests: &[Request]) -> Vec<Line> {
    let of_request = |metric: String, of: &dyn Fn(&Request) -> Option<u64>| Line {
        metric,
        summary: summarize(requests.iter().filter_map(|r| {
            Some(Sample {
                value_ns: of(r)?,
                time_ns: r.queue().time_ns,
                seq: r.queue().seq,
            })
        })),
    };
    let mut lines = vec![
        of_request("total".into(), &Request::total_ns),
        of_request("gather".into(), &Request::gather_ns),
        of_request("fn".into(), &Request::func_ns),
    ];
    lines.extend(State::ALL.map(|state| {
        of_request(format!("skew {state}"), &move |r: &Request| {
            r.skew_ns(state)
        })
    }));
    let participants = requests.iter().flat_map(|r| &r.participants);
    lines.push(Line {
        metric: "irqs-off of a participant".into(),
        summary: summarize(participants.filter_map(|p| {
            let from = p.enter(State::DisableIrq)?;
            Some(Sample {
                value_ns: p.irqs_off_ns()?,
                time_ns: from.time_ns,
                seq: from.seq,
            })
        })),
    });
    lines
}

pub(super) fn report(report: &StopMachineReport) -> Report {
    let requests = &report.requests;
    let of = |request| move |of| Member { request, of };
    let members: Vec<Member<'_>> = requests
        .iter()
        .flat_map(|r| r.participants.iter().map(of(r)))
        .collect();
    let mut steps = Vec::new();
    for request in requests {
        for state in State::ALL {
            steps.extend(request.participants.iter().filter_map(|p| {
                Some(Step {
                    request,
                    cpu: p.cpu,
                    state,
                    passage: p.state(state)?,
                })
            }));
        }
    }
    let mut notes = vec![
        TOO_FEW.to_owned(),
        "gather: first queueing to the last enter of PREPARE; fn: RUN's enter to its ack on the active \
         participant; irqs-off: DISABLE_IRQ's enter to EXIT's ack; skew (PREPARE, DISABLE, RUN, EXIT): \
         last enter of that state - first."
            .to_owned(),
    ];
    if report.steps == 0 && !requests.is_empty() {
        notes.push(
            "the recording has no stop:machine_state: its kernel does not have that tracepoint"
                .to_owned(),
        );
    }
    let title = format!(
        "{} requests, in queue order (times in us, time in s; PREPARE ... EXIT: skew)",
        requests.len()
    );
    Report {
        title: format!("stop-machine: {}", report.footer.recording),
        tables: vec![
            Table::new("stop_machine", title, REQUESTS, requests).with_docs(docs::REQUESTS),
            Table::new(
                "times",
                "how long (max at and event: the queueing; of irqs-off: the enter of DISABLE_IRQ)",
                TIMES,
                &times(requests),
            )
            .with_docs(docs::TIMES),
            Table::new(
                "participants",
                "what each participant's run is made of (us): a state is from its enter to the next",
                &participants(),
                &members,
            )
            .with_docs(docs::PARTICIPANTS),
            Table::new(
                "states",
                "when each participant entered and acknowledged each state (us since the request was queued)",
                &states(),
                &steps,
            )
            .with_docs(docs::STATES),
        ],
        notes,
        checks: report.checks.clone(),
        footer: report.footer.clone(),
    }
}
