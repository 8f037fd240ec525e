//! Works run in queue order per CPU, one at a time, each exactly once.

use std::collections::{BTreeMap, VecDeque};

use super::{Invariant, Violation};
use crate::event::{Addr, Event, EventData};

#[derive(Default)]
struct Stopper {
    queued: VecDeque<Addr>,
    running: Option<Addr>,
}

/// Keeps each stopper's queue.
#[derive(Default)]
pub struct StopOrder {
    stoppers: BTreeMap<u32, Stopper>,
}

const NAME: &str = "S1 works in queue order";

impl Invariant for StopOrder {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        let mut broken = |what| {
            found.push(Violation {
                invariant: NAME,
                seq: event.seq,
                what,
            });
        };
        match &event.data {
            EventData::StopWorkQueue(e) => {
                let stopper = self.stoppers.entry(e.cpu).or_default();
                if stopper.queued.contains(&e.work) {
                    broken(format!("work {} is queued twice on CPU {}", e.work, e.cpu));
                }
                stopper.queued.push_back(e.work);
            }
            EventData::StopWorkStart(e) => {
                let stopper = self.stoppers.entry(e.cpu).or_default();
                if event.cpu != e.cpu {
                    broken(format!(
                        "work {} of CPU {} starts on CPU {}",
                        e.work, e.cpu, event.cpu
                    ));
                }
                if let Some(running) = stopper.running {
                    broken(format!("work {} starts while {running} runs", e.work));
                }
                match stopper.queued.pop_front() {
                    Some(first) if first == e.work => {}
                    Some(first) => {
                        broken(format!(
                            "work {} starts, but {first} was queued first",
                            e.work
                        ));
                        stopper.queued.push_front(first);
                        stopper.queued.retain(|work| *work != e.work);
                    }
                    None => broken(format!("work {} starts without having been queued", e.work)),
                }
                stopper.running = Some(e.work);
            }
            EventData::StopWorkDone(e) => {
                let stopper = self.stoppers.entry(e.cpu).or_default();
                if stopper.running.take() != Some(e.work) {
                    broken(format!("work {} is done without having started", e.work));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{broken, events};
    use super::*;
    use crate::event::Comm;
    use crate::events::{Mask, StopWorkDone, StopWorkQueue, StopWorkStart};

    const FUNC: Addr = Addr(0x100);

    fn queue(cpu: u32, work: u64) -> EventData {
        StopWorkQueue {
            work: Addr(work),
            cpu,
            func: FUNC,
            caller: Addr(0),
            done: Addr(0),
            pending: Addr(0),
            task: Addr(0),
            task_pid: 0,
            task_comm: Comm::default(),
            nr_todo: -1,
        }
        .into()
    }

    fn start(cpu: u32, work: u64) -> EventData {
        StopWorkStart {
            work: Addr(work),
            cpu,
            func: FUNC,
            caller: Addr(0),
            done: Addr(0),
            pending: Addr(0),
            task: Addr(0),
            task_pid: 0,
            task_comm: Comm::default(),
            nr_todo: -1,
        }
        .into()
    }

    fn done(cpu: u32, work: u64) -> EventData {
        StopWorkDone {
            work: Addr(work),
            cpu,
            func: FUNC,
            caller: Addr(0),
            done: Addr(0),
            pending: Addr(0),
            task: Addr(0),
            task_pid: 0,
            task_comm: Comm::default(),
            nr_todo: -1,
            ret: 0,
            task_cpu: -1,
            task_on_rq: -1,
            task_cpus_mask: Mask(0),
        }
        .into()
    }

    #[test]
    fn first_in_first_out_on_each_cpu() {
        let fine = events([
            (1, 7, queue(0, 8)),
            (1, 7, queue(1, 9)),
            (0, 10, start(0, 8)),
            (1, 7, queue(0, 8)),
            (1, 11, start(1, 9)),
            (0, 10, done(0, 8)),
            (1, 11, done(1, 9)),
            (0, 10, start(0, 8)),
            (0, 10, done(0, 8)),
        ]);
        assert_eq!(broken(StopOrder::default(), &fine), []);
    }

    #[test]
    fn what_is_out_of_order_is_named() {
        let rows = events([
            (1, 7, queue(0, 8)),
            (1, 7, queue(0, 9)),
            (0, 10, start(0, 9)),
            (0, 10, start(0, 8)),
            (0, 10, done(0, 9)),
            (1, 11, start(1, 5)),
            (1, 7, start(0, 4)),
        ]);
        let found: Vec<String> = broken(StopOrder::default(), &rows)
            .into_iter()
            .map(|(_, what)| what)
            .collect();
        assert_eq!(
            found,
            [
                "work 0x9 starts, but 0x8 was queued first",
                "work 0x8 starts while 0x9 runs",
                "work 0x9 is done without having started",
                "work 0x5 starts without having been queued",
                "work 0x4 of CPU 0 starts on CPU 1",
                "work 0x4 starts without having been queued",
            ]
        );
    }
}
