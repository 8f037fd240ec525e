//! A stopper that is woken is the next to run on its CPU, soon, and only it itself ends its turn (P3, P4,
//! P12).

use std::collections::BTreeMap;

use super::{Invariant, SOON, Violation};
use crate::event::{Comm, Event, EventData};

#[derive(Default)]
struct Cpu {
    current: Option<i32>,
    /// The stopper that was woken and has not run yet, and when, by the waker's clock.
    woken: Option<(i32, u64)>,
}

/// Keeps who runs where and which stopper is due.
#[derive(Default)]
pub struct StopperFirst {
    cpus: BTreeMap<u32, Cpu>,
}

const FIRST: &str = "P3 a woken stopper is next";
const STAYS: &str = "P4 nothing preempts a stopper";
const LATE: &str = "P12 a stopper runs soon";

/// `migration/N` once it is in its class: before that it is an ordinary thread.
fn is_stopper(comm: Comm, prio: i32) -> bool {
    prio == 0 && comm.as_bytes().starts_with(b"migration/")
}

impl Invariant for StopperFirst {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        let mut broken = |invariant, what| {
            found.push(Violation {
                invariant,
                seq: event.seq,
                what,
            });
        };
        match &event.data {
            EventData::SchedWakeup(e) if is_stopper(e.comm, e.prio) => {
                let cpu = self.cpus.entry(e.target_cpu as u32).or_default();
                // Woken before it has left: it looks once more.
                if cpu.current != Some(e.pid) {
                    cpu.woken = Some((e.pid, event.cycles));
                }
            }
            EventData::SchedSwitch(e) => {
                let cpu = self.cpus.entry(event.cpu).or_default();
                cpu.current = Some(e.next_pid);
                if let Some((stopper, since)) = cpu.woken.take() {
                    if e.next_pid != stopper {
                        let what =
                            format!("CPU {}: {} runs before {stopper}", event.cpu, e.next_pid);
                        broken(FIRST, what);
                    }
                    let waited = event.cycles.saturating_sub(since);
                    if waited > SOON {
                        let what = format!("CPU {}: {stopper} waited for {waited} ns", event.cpu);
                        broken(LATE, what);
                    }
                }
                if is_stopper(e.prev_comm, e.prev_prio) && matches!(e.prev_state, 0 | 0x100) {
                    let what = format!("{} leaves CPU {} while it runs", e.prev_pid, event.cpu);
                    broken(STAYS, what);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn found(rows: impl IntoIterator<Item = (u32, i32, EventData)>) -> Vec<String> {
        let found = broken(StopperFirst::default(), &events(rows));
        found.into_iter().map(|(_, what)| what).collect()
    }

    fn woken(pid: i32, cpu: u32) -> EventData {
        wakeup_at(pid, 0, cpu)
    }

    #[test]
    fn woken_run_asleep() {
        let fine = [
            (1, 5, woken(10, 0)),
            (1, 5, switch((5, 120), 1, (6, 120))),
            (0, 7, switch((7, 120), 0x100, (10, 0))),
            (1, 6, woken(10, 0)),
            (0, 10, switch((10, 0), 1, (7, 120))),
            (0, 7, switch((7, 120), 1, (0, 120))),
        ];
        assert_eq!(found(fine), [""; 0]);
    }

    #[test]
    fn overtaken_late_and_preempted() {
        let overtaken = [
            (1, 5, woken(10, 0)),
            (0, 7, switch((7, 120), 1, (6, 120))),
            (0, 6, switch((6, 120), 0x100, (10, 0))),
        ];
        assert_eq!(found(overtaken), ["CPU 0: 6 runs before 10"]);
        let preempted = [(0, 10, switch((10, 0), 0x100, (6, 120)))];
        assert_eq!(found(preempted), ["10 leaves CPU 0 while it runs"]);
        let mut late = events([
            (1, 5, woken(10, 0)),
            (0, 7, switch((7, 120), 0x100, (10, 0))),
        ]);
        late[1].cycles = 4_000_000;
        let late = broken(StopperFirst::default(), &late);
        assert_eq!(late[0].1, "CPU 0: 10 waited for 4000000 ns");
    }
}
