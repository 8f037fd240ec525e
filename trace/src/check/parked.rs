//! A CPU that has gone is quiet: its stopper has parked and takes no works, and its idle task runs and nobody
//! else (S2, S7, H3).
//!
//! It has gone when its stopper parks after `CPUHP_TEARDOWN_CPU` has begun, and comes back with
//! `CPUHP_BRINGUP_CPU`. A stopper also parks when it is made; no function of its may run then either.

use std::collections::BTreeMap;

use super::at_home::{BRINGUP, TEARDOWN};
use super::{Invariant, Violation};
use crate::event::{Comm, Event, EventData};

#[derive(Default)]
struct Cpu {
    /// Its teardown has begun.
    goes: bool,
    /// Its stopper has parked since, and takes nothing.
    gone: bool,
    /// Its stopper has parked and has not run since.
    parked: bool,
}

/// Keeps which CPUs have gone.
#[derive(Default)]
pub struct Parked {
    cpus: BTreeMap<u32, Cpu>,
}

const WORKS: &str = "S2 a parked stopper runs nothing";
const QUEUED: &str = "S2 a stopper that is off takes no works";
const QUIET: &str = "H3 a CPU that has gone runs its idle task";
/// prev_state of a task that parks.
const PARKS: i64 = 0x40;

fn is_stopper_of(comm: Comm, cpu: u32) -> bool {
    comm == format!("migration/{cpu}").as_str().into()
}

impl Invariant for Parked {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        let mut broken = |invariant, what| {
            found.push(Violation {
                invariant,
                seq: event.seq,
                what,
            });
        };
        match &event.data {
            EventData::CpuhpEnter(e) if e.target < e.idx && e.idx == TEARDOWN => {
                self.cpus.entry(e.cpu).or_default().goes = true;
            }
            EventData::CpuhpEnter(e) if e.target >= e.idx && e.idx >= BRINGUP => {
                let cpu = self.cpus.entry(e.cpu).or_default();
                (cpu.goes, cpu.gone) = (false, false);
            }
            EventData::SchedSwitch(e) => {
                let cpu = self.cpus.entry(event.cpu).or_default();
                if cpu.gone {
                    let what = format!("CPU {} switches to {}", event.cpu, e.next_pid);
                    broken(QUIET, what);
                }
                if e.prev_state == PARKS && is_stopper_of(e.prev_comm, event.cpu) {
                    (cpu.parked, cpu.gone) = (true, cpu.goes);
                    if cpu.gone && e.next_pid != 0 {
                        let what = format!("CPU {} leaves to {}", event.cpu, e.next_pid);
                        broken(QUIET, what);
                    }
                } else if cpu.parked && is_stopper_of(e.next_comm, event.cpu) {
                    cpu.parked = false;
                }
            }
            EventData::StopWorkStart(e) if self.cpus.get(&e.cpu).is_some_and(|cpu| cpu.parked) => {
                broken(WORKS, format!("work {} starts on CPU {}", e.work, e.cpu));
            }
            EventData::StopWorkQueue(e) if self.cpus.get(&e.cpu).is_some_and(|cpu| cpu.gone) => {
                broken(
                    QUEUED,
                    format!("work {} is queued on CPU {}", e.work, e.cpu),
                );
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{broken, cpuhp_enter, events, stop_queue, stop_start, switch};
    use super::*;

    /// CPU 1 goes; its stopper has pid 11.
    fn goes() -> [(u32, i32, EventData); 3] {
        [
            (0, 1, cpuhp_enter(1, 0, TEARDOWN)),
            (1, 5, switch((5, 120), 1, (11, 0))),
            parks(0),
        ]
    }

    fn parks(next: i32) -> (u32, i32, EventData) {
        (1, 11, switch((11, 0), PARKS, (next, 120)))
    }

    fn then(rows: impl IntoIterator<Item = (u32, i32, EventData)>) -> Vec<(u64, String)> {
        broken(Parked::default(), &events(goes().into_iter().chain(rows)))
    }

    #[test]
    fn a_parked_stopper_runs_no_work() {
        let start = (1, 11, stop_start(1, 0x1, 0));
        let comes = (0, 1, cpuhp_enter(1, 233, BRINGUP));
        let queue = (0, 1, stop_queue(1, 0x1, 0));
        let runs = (1, 0, switch((0, 120), 0, (11, 0)));
        assert_eq!(then([comes, queue, runs, start]), []);
        assert_eq!(
            then([comes, queue, start]),
            [(5, "work 0x1 starts on CPU 1".to_owned())]
        );
        // One that was just made is no different.
        let made = broken(Parked::default(), &events([parks(0), start]));
        assert_eq!(made.len(), 1);
    }

    #[test]
    fn a_cpu_that_has_gone_takes_nothing() {
        let queue = (0, 1, stop_queue(1, 0x1, 0));
        let other = (0, 1, stop_queue(0, 0x2, 0));
        assert_eq!(then([other]), []);
        assert_eq!(
            then([queue]),
            [(3, "work 0x1 is queued on CPU 1".to_owned())]
        );
        // A new stopper parks on a CPU that stays, and may be handed works before it runs.
        let made = broken(Parked::default(), &events([parks(0), queue]));
        assert_eq!(made, []);
    }

    #[test]
    fn a_cpu_that_has_gone_is_idle() {
        let [down, runs, _] = goes();
        let found = broken(Parked::default(), &events([down, runs, parks(5)]));
        assert_eq!(found, [(2, "CPU 1 leaves to 5".to_owned())]);
        let wakes = (1, 0, switch((0, 120), 0, (5, 120)));
        assert_eq!(then([wakes]), [(3, "CPU 1 switches to 5".to_owned())]);
        let comes = (0, 1, cpuhp_enter(1, 233, BRINGUP));
        assert_eq!(then([comes, wakes]), []);
    }
}
