//! A running task is on one CPU.

use std::collections::BTreeMap;

use super::{Invariant, Violation};
use crate::event::{Event, EventData};

/// Follows `sched_switch`: nobody is switched in while another CPU runs it, and who leaves a CPU is
/// whoever came to it.
#[derive(Default)]
pub struct OneCpuPerTask {
    running: BTreeMap<u32, i32>,
}

const NAME: &str = "T3 one CPU per task";

impl Invariant for OneCpuPerTask {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        let EventData::SchedSwitch(switch) = &event.data else {
            return;
        };
        let mut broken = |what| {
            found.push(Violation {
                invariant: NAME,
                seq: event.seq,
                what,
            });
        };
        if let Some(current) = self.running.get(&event.cpu)
            && *current != switch.prev_pid
        {
            broken(format!(
                "CPU {} switches {} out, but had switched {current} in",
                event.cpu, switch.prev_pid
            ));
        }
        let elsewhere = self
            .running
            .iter()
            .find(|(cpu, pid)| **cpu != event.cpu && **pid == switch.next_pid && **pid != 0);
        if let Some((cpu, pid)) = elsewhere {
            broken(format!(
                "CPU {} switches {pid} in while CPU {cpu} runs it",
                event.cpu
            ));
        }
        self.running.insert(event.cpu, switch.next_pid);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{broken, events, switch};
    use super::*;

    #[test]
    fn a_task_may_change_cpu_only_when_it_has_left() {
        let fine = events([
            (0, 0, switch((0, 120), 0, (5, 120))),
            (1, 0, switch((0, 120), 0, (6, 120))),
            (0, 5, switch((5, 120), 0x100, (0, 120))),
            (1, 6, switch((6, 120), 1, (5, 120))),
        ]);
        assert_eq!(broken(OneCpuPerTask::default(), &fine), []);
        let twice = events([
            (0, 0, switch((0, 120), 0, (5, 120))),
            (1, 0, switch((0, 120), 0, (5, 120))),
        ]);
        let found = broken(OneCpuPerTask::default(), &twice);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, "CPU 1 switches 5 in while CPU 0 runs it");
        let other = events([
            (0, 0, switch((0, 120), 0, (5, 120))),
            (0, 5, switch((6, 120), 1, (0, 120))),
        ]);
        assert_eq!(broken(OneCpuPerTask::default(), &other)[0].0, 1);
    }
}
