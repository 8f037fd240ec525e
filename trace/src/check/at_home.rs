//! The threads that every CPU has one of run on their CPU, once they have come to it (T10).
//!
//! Before, such a thread runs where it was made, until it parks. One whose CPU is down may be ended, and runs
//! elsewhere to do that. Workers are left out: they may run anywhere after their CPU went down.

use std::collections::{BTreeMap, BTreeSet};

use super::{Invariant, Violation};
use crate::event::{Comm, Event, EventData};

/// `CPUHP_BRINGUP_CPU`: from here on a CPU that comes up runs.
pub(super) const BRINGUP: i32 = 87;
/// `CPUHP_TEARDOWN_CPU`: from here on a CPU that goes down stops.
pub(super) const TEARDOWN: i32 = 142;

/// The kinds of threads whose names are `kind/CPU`.
const KINDS: [&str; 3] = ["migration", "ksoftirqd", "cpuhp"];
const NAME: &str = "T10 a CPU's own threads stay on it";

/// Keeps which threads have come to their CPU.
#[derive(Default)]
pub struct AtHome {
    /// By pid: the CPU.
    arrived: BTreeMap<i32, u32>,
    /// CPUs that are down, or about to be.
    down: BTreeSet<u32>,
}

/// The CPU that a thread of this name belongs to.
fn home(comm: Comm) -> Option<u32> {
    let text = std::str::from_utf8(comm.as_bytes()).ok()?;
    let (kind, cpu) = text.split_once('/')?;
    KINDS.contains(&kind).then(|| cpu.parse().ok())?
}

impl Invariant for AtHome {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        match &event.data {
            EventData::CpuhpEnter(e) if e.target < e.idx && e.idx <= TEARDOWN => {
                self.down.insert(e.cpu);
            }
            EventData::CpuhpEnter(e) if e.target >= e.idx && e.idx >= BRINGUP => {
                self.down.remove(&e.cpu);
            }
            EventData::SchedSwitch(e) => {
                let Some(cpu) = home(e.next_comm) else { return };
                if cpu == event.cpu {
                    self.arrived.insert(e.next_pid, cpu);
                } else if self.arrived.get(&e.next_pid) == Some(&cpu) {
                    // On its way out it may still run when its CPU is back.
                    self.arrived.remove(&e.next_pid);
                    if !self.down.contains(&cpu) {
                        found.push(Violation {
                            invariant: NAME,
                            seq: event.seq,
                            what: format!(
                                "{}[{}] runs on CPU {}",
                                e.next_comm, e.next_pid, event.cpu
                            ),
                        });
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{broken, cpuhp_enter, events, switch};
    use super::*;

    /// Pid 12 is migration/2.
    fn runs(cpu: u32) -> (u32, i32, EventData) {
        (cpu, 0, switch((0, 120), 0, (12, 0)))
    }

    #[test]
    fn it_comes_to_its_cpu_and_stays() {
        assert_eq!(
            broken(
                AtHome::default(),
                &events([runs(0), runs(1), runs(2), runs(2)])
            ),
            []
        );
        assert_eq!(
            broken(AtHome::default(), &events([runs(0), runs(2), runs(1)])),
            [(2, "migration/2[12] runs on CPU 1".to_owned())]
        );
    }

    #[test]
    fn of_a_cpu_that_is_down_it_may_end_elsewhere() {
        let rows = |idx, target| {
            let down = (0, 1, cpuhp_enter(2, 0, TEARDOWN));
            let up = (0, 1, cpuhp_enter(2, target, idx));
            events([runs(2), down, up, runs(0)])
        };
        // Still down: a callback before it runs.
        assert_eq!(broken(AtHome::default(), &rows(1, 233)), []);
        assert_eq!(broken(AtHome::default(), &rows(BRINGUP, 233)).len(), 1);
        let early = events([runs(2), (0, 1, cpuhp_enter(2, 142, 233)), runs(0)]);
        assert_eq!(broken(AtHome::default(), &early).len(), 1);
    }

    #[test]
    fn other_names_are_not_judged() {
        for name in ["kworker/2:0", "migration", "cpuhp/x", "task5"] {
            assert_eq!(home(name.into()), None, "{name}");
        }
        assert_eq!(home("ksoftirqd/11".into()), Some(11));
    }
}
