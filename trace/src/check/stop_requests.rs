//! Requests to stoppers as a whole: nothing is left over, whoever waits is released once and when all is
//! done, and no two requests cross (S1, S3, S4).

use std::collections::BTreeMap;

use super::{Invariant, SOON, Violation};
use crate::event::{Addr, Event, EventData};

/// A request that somebody waits for, by the address of its `cpu_stop_done`.
#[derive(Default)]
struct Request {
    queued: u32,
    /// When something last happened to it.
    since: u64,
    started: u32,
    /// By CPU, while the work is not done: order of arrival at the stopper, and the work's address.
    at: BTreeMap<u32, (u64, u64)>,
    /// Whether its works keep their CPUs waiting for each other.
    together: bool,
}

/// Follows every request from its first work to its completion.
#[derive(Default)]
pub struct StopRequests {
    open: BTreeMap<u64, Request>,
    /// Works queued and not done, by CPU and address: the event's number and when.
    works: BTreeMap<(u32, u64), (u64, u64)>,
    nr_queued: u64,
    /// Number of the last event, and the latest time of any.
    last: u64,
    now: u64,
}

const LEFT_OVER: &str = "S1 every work runs";
const RELEASED: &str = "S3 a waiter is released once";
const CROSSED: &str = "S4 requests do not cross";

impl StopRequests {
    /// The works of requests that touch the same two CPUs lie in the same order on both, if one of them
    /// keeps its CPUs until all are there. Otherwise each would wait for the other.
    fn crossing(&self, request: u64) -> Option<String> {
        let mine = self.open.get(&request).filter(|it| it.together)?;
        for (other, theirs) in self
            .open
            .iter()
            .filter(|(at, it)| **at != request && it.together)
        {
            let both = |cpu: &u32| Some((mine.at.get(cpu)?, theirs.at.get(cpu)?));
            let mut before = mine.at.keys().filter_map(|cpu| Some((cpu, both(cpu)?)));
            let Some((first, (a, b))) = before.next() else {
                continue;
            };
            if let Some((second, _)) = before.find(|(_, (c, d))| (a.0 < b.0) != (c.0 < d.0)) {
                return Some(format!(
                    "{} and {} wait for each other on CPUs {first} and {second}",
                    Addr(request),
                    Addr(*other)
                ));
            }
        }
        None
    }
}

impl Invariant for StopRequests {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        let mut broken = |invariant, what| {
            found.push(Violation {
                invariant,
                seq: event.seq,
                what,
            });
        };
        self.last = event.seq;
        self.now = self.now.max(event.cycles);
        match &event.data {
            EventData::StopWorkQueue(e) => {
                self.nr_queued += 1;
                self.works
                    .insert((e.cpu, e.work.0), (event.seq, event.cycles));
                if e.done.0 == 0 {
                    return;
                }
                let request = self.open.entry(e.done.0).or_default();
                request.queued += 1;
                request.since = event.cycles;
                request.at.insert(e.cpu, (self.nr_queued, e.work.0));
                request.together |= request.queued > 1;
                if let Some(what) = self.crossing(e.done.0) {
                    broken(CROSSED, what);
                }
            }
            EventData::StopWorkStart(e) => {
                if let Some(request) = self.open.get_mut(&e.done.0) {
                    request.started += 1;
                    request.since = event.cycles;
                }
            }
            // Told after the count-down: the waiter may have gone on meanwhile.
            EventData::StopWorkDone(e) => {
                self.works.remove(&(e.cpu, e.work.0));
                if let Some(request) = self.open.get_mut(&e.done.0)
                    && request
                        .at
                        .get(&e.cpu)
                        .is_some_and(|(_, work)| *work == e.work.0)
                {
                    request.at.remove(&e.cpu);
                }
            }
            EventData::StopComplete(e) if e.done.0 != 0 => match self.open.remove(&e.done.0) {
                Some(request) if request.queued != request.started => {
                    let (started, queued) = (request.started, request.queued);
                    let what = format!("{} is released after {started} of {queued} works", e.done);
                    broken(RELEASED, what);
                }
                // None: no stopper took any of its works.
                _ => {}
            },
            _ => {}
        }
    }

    fn end(&mut self, found: &mut Vec<Violation>) {
        let long_ago = |then: u64| self.now.saturating_sub(then) > SOON;
        for ((cpu, work), (seq, then)) in &self.works {
            if !long_ago(*then) {
                continue;
            }
            found.push(Violation {
                invariant: LEFT_OVER,
                seq: self.last,
                what: format!(
                    "{} on CPU {cpu}, queued at event {seq}, is never done",
                    Addr(*work)
                ),
            });
        }
        for (request, it) in &self.open {
            if it.queued == it.started && long_ago(it.since) {
                found.push(Violation {
                    invariant: RELEASED,
                    seq: self.last,
                    what: format!("{} is never released", Addr(*request)),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    /// What is found in a run that goes on for so long after the last of these.
    fn found_after(
        more: u64,
        rows: impl IntoIterator<Item = (u32, i32, EventData)>,
    ) -> Vec<String> {
        let mut invariant = StopRequests::default();
        let mut found = Vec::new();
        let mut events = events(rows.into_iter().chain([(0, 0, wakeup(5, 2))]));
        events.last_mut().expect("one was added").cycles += more;
        for event in events {
            invariant.event(&event, &mut found);
        }
        invariant.end(&mut found);
        found.into_iter().map(|v| v.what).collect()
    }

    fn found(rows: impl IntoIterator<Item = (u32, i32, EventData)>) -> Vec<String> {
        found_after(SOON, rows)
    }

    #[test]
    fn two_requests_one_after_the_other() {
        let fine = [
            (2, 5, stop_queue(0, 1, 0x10)),
            (2, 5, stop_queue(1, 2, 0x10)),
            (3, 6, stop_queue(0, 3, 0x20)),
            (3, 6, stop_queue(1, 4, 0x20)),
            (0, 10, stop_start(0, 1, 0x10)),
            (0, 10, stop_done(0, 1, 0x10)),
            (1, 11, stop_start(1, 2, 0x10)),
            (1, 11, stop_complete(0x10)),
            (1, 11, stop_done(1, 2, 0x10)),
            (0, 10, stop_start(0, 3, 0x20)),
            (0, 10, stop_done(0, 3, 0x20)),
            (1, 11, stop_start(1, 4, 0x20)),
            (1, 11, stop_done(1, 4, 0x20)),
            (1, 11, stop_complete(0x20)),
        ];
        assert_eq!(found(fine), [""; 0]);
    }

    #[test]
    fn requests_that_cross_are_seen_when_the_second_is_queued() {
        let crossed = [
            (2, 5, stop_queue(0, 1, 0x10)),
            (3, 6, stop_queue(1, 4, 0x20)),
            (2, 5, stop_queue(1, 2, 0x10)),
            (3, 6, stop_queue(0, 3, 0x20)),
        ];
        let found = found(crossed);
        assert_eq!(
            found[0],
            "0x20 and 0x10 wait for each other on CPUs 0 and 1"
        );
        assert_eq!(found[1], "0x1 on CPU 0, queued at event 0, is never done");
    }

    #[test]
    fn released_too_early_or_never() {
        let early = [
            (2, 5, stop_queue(0, 1, 0x10)),
            (2, 5, stop_queue(1, 2, 0x10)),
            (0, 10, stop_start(0, 1, 0x10)),
            (0, 10, stop_done(0, 1, 0x10)),
            (0, 10, stop_complete(0x10)),
            (1, 11, stop_done(1, 2, 0x10)),
        ];
        assert_eq!(found(early), ["0x10 is released after 1 of 2 works"]);
        let never = [
            (2, 5, stop_queue(0, 1, 0x10)),
            (0, 10, stop_start(0, 1, 0x10)),
            (0, 10, stop_done(0, 1, 0x10)),
        ];
        assert_eq!(found(never), ["0x10 is never released"]);
    }
    #[test]
    fn what_the_end_of_the_run_cuts_off_is_not_left_over() {
        let queued = [(0, 0, stop_queue(0, 1, 0))];
        assert_eq!(found_after(SOON - 100, queued), [""; 0]);
        assert_eq!(found_after(SOON, queued).len(), 1);
        let started = [
            (2, 5, stop_queue(0, 1, 0x10)),
            (0, 10, stop_start(0, 1, 0x10)),
            (0, 10, stop_done(0, 1, 0x10)),
        ];
        assert_eq!(found_after(1000, started), [""; 0]);
    }
}
