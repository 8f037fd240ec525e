//! The stoppers: one slice for the share of an episode that a work is charged with, in it one for the
//! work's function, and an arrow to that from where the work was queued.

use super::Packets;
use super::moves::Arrows;
use super::tracks::{Arg, Label, Track};
use crate::Error;
use crate::names;
use crate::stopper::{StopperReport, Work};

/// The numbers of arrows to works; those of moves are even.
fn work_flow(queue_seq: u64) -> u64 {
    queue_seq << 1 | 1
}

/// Writes all works and the episodes without one.
pub(super) fn write(
    report: &StopperReport,
    arrows: &Arrows,
    packets: &mut Packets,
) -> Result<(), Error> {
    for work in &report.works {
        let label = Label {
            category: "stop.queue",
            name: format!("queue {} for cpu{}", work.func, work.cpu),
            args: vec![("caller", Arg::Text(work.caller.clone()))],
            flows: work
                .start
                .iter()
                .map(|_| work_flow(work.queue.seq))
                .collect(),
        };
        let queuer = Track::of_task(work.queuer.tid, work.queuer_cpu);
        packets.instant(queuer, work.queue.time_ns, &label)?;
        write_work(work, arrows, packets)?;
    }
    for episode in &report.overhead {
        let track = Track::Stopper(episode.cpu);
        let label = Label {
            category: "stop.overhead",
            name: "no work".to_owned(),
            ..Label::default()
        };
        packets.begin(track, episode.begin.time_ns, &label)?;
        packets.end(track, episode.end.time_ns)?;
    }
    Ok(())
}

/// The works of one CPU come in the order in which they run, so slices begin and end in order.
fn write_work(work: &Work, arrows: &Arrows, packets: &mut Packets) -> Result<(), Error> {
    let track = Track::Stopper(work.cpu);
    if let Some(share) = work.share {
        let label = Label {
            category: "stop.work",
            name: format!("work: {}", work.func),
            args: cost(work),
            flows: Vec::new(),
        };
        packets.begin(track, share.begin.time_ns, &label)?;
    }
    if let Some(start) = work.start {
        let label = Label {
            category: "stop.run",
            name: work.func.clone(),
            args: [request(work), cost(work)].concat(),
            flows: [work_flow(work.queue.seq)]
                .into_iter()
                .chain(arrows.of_work(start.seq))
                .collect(),
        };
        packets.begin(track, start.time_ns, &label)?;
        if let Some(done) = work.done {
            packets.end(track, done.time_ns)?;
        }
    }
    if let Some(share) = work.share {
        packets.end(track, share.end.time_ns)?;
    }
    Ok(())
}

/// Who asked for the work and how long it took until it ran.
fn request(work: &Work) -> Vec<(&'static str, Arg)> {
    let queuer = names::task(&work.queuer.comm, work.queuer.tid);
    let mut args = vec![
        ("fn", Arg::Text(work.func.clone())),
        ("caller", Arg::Text(work.caller.clone())),
        (
            "queued_by",
            Arg::Text(format!("{queuer}@{}", work.queuer_cpu)),
        ),
        ("event", Arg::Number(work.queue.seq)),
    ];
    if let Some(task) = &work.task {
        args.push(("task", Arg::Text(names::task(&task.comm, task.tid))));
    }
    if let Some(outcome) = work.outcome {
        args.push(("outcome", Arg::Text(outcome.name().to_owned())));
    }
    let numbers = [
        ("queue_to_wake_ns", work.queue_to_wake_ns()),
        ("wake_to_run_ns", work.wake_to_run_ns()),
        ("run_ns", work.run_ns()),
        ("done_to_waiter_ns", work.done_to_waiter),
        ("pending_to_waiter_ns", work.pending_to_waiter),
    ];
    args.extend(numbers.into_iter().filter_map(number));
    args
}

/// Whom it cost what.
fn cost(work: &Work) -> Vec<(&'static str, Arg)> {
    let mut args = Vec::new();
    if let Some(victim) = &work.victim {
        let task = names::task(&victim.task.comm, victim.task.tid);
        args.push(("victim", Arg::Text(task)));
        args.push(("victim_prio", Arg::Signed(victim.prio.into())));
    }
    let share = work.share.map(|share| share.ns());
    let numbers = [
        ("share_ns", share),
        ("victim_lost_ns", work.lost_ns),
        ("victim_elsewhere_ns", work.elsewhere_ns),
    ];
    args.extend(numbers.into_iter().filter_map(number));
    args
}

fn number((name, value): (&'static str, Option<u64>)) -> Option<(&'static str, Arg)> {
    value.map(|value| (name, Arg::Number(value)))
}
