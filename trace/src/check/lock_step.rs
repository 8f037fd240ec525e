//! `stop_machine` in lock step: every participant goes through the states one by one, a state begins when
//! all have acknowledged the one before, and the function runs once on each CPU it is for (S5, S6).

use std::collections::BTreeMap;

use super::{Invariant, Violation};
use crate::event::{Event, EventData};

const PREPARE: u32 = 1;
const EXIT: u32 = 4;
const ENTER: u32 = 0;
const ACK: u32 = 1;

/// A request: how far each participant has got.
#[derive(Default)]
struct Machine {
    /// By CPU: the last state and step.
    at: BTreeMap<u32, (u32, u32)>,
    /// By state: how many have acknowledged it.
    acks: [usize; EXIT as usize + 2],
    active: usize,
}

/// Follows every request by the address of its data.
#[derive(Default)]
pub struct LockStep {
    open: BTreeMap<u64, Machine>,
}

const STEP: &str = "S5 states in lock step";
const ACTIVE: &str = "S6 the function runs where it shall";

impl Invariant for LockStep {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        let EventData::StopMachineState(s) = &event.data else {
            return;
        };
        let mut broken = |invariant, what| {
            found.push(Violation {
                invariant,
                seq: event.seq,
                what,
            });
        };
        let machine = self.open.entry(s.msdata.0).or_default();
        let next = match machine.at.get(&s.cpu) {
            None => (PREPARE, ENTER),
            Some((state, ENTER)) => (*state, ACK),
            Some((state, _)) => (state + 1, ENTER),
        };
        if (s.state, s.step) != next {
            let what = format!(
                "CPU {}: state {} step {} after {next:?} was due",
                s.cpu, s.state, s.step
            );
            broken(STEP, what);
        }
        machine.at.insert(s.cpu, (s.state, s.step));
        let index = (s.state as usize).min(EXIT as usize + 1);
        if s.step == ACK {
            machine.acks[index] += 1;
        } else if s.state > PREPARE {
            // Everybody is known by then: the first state ends only when all have come.
            let (acks, all) = (machine.acks[index - 1], machine.at.len());
            if acks != all {
                let what = format!(
                    "CPU {}: state {} begins after {acks} of {all}",
                    s.cpu, s.state
                );
                broken(STEP, what);
            }
        } else if s.active != 0 {
            machine.active += 1;
        }
        if machine.at.values().all(|at| *at == (EXIT, ACK)) {
            if machine.active == 0 {
                broken(ACTIVE, format!("{}: it runs nowhere", s.msdata));
            }
            self.open.remove(&s.msdata.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::event::Addr;
    use crate::events::StopMachineState;

    fn state(cpu: u32, state: u32, step: u32, active: u32) -> (u32, i32, EventData) {
        let data = StopMachineState {
            msdata: Addr(0x10),
            cpu,
            state,
            step,
            polls: 1,
            func: Addr(0x99),
            active,
        };
        (cpu, 10, data.into())
    }

    fn found(rows: Vec<(u32, i32, EventData)>) -> Vec<String> {
        let found = broken(LockStep::default(), &events(rows));
        found.into_iter().map(|(_, what)| what).collect()
    }

    /// Two CPUs through all states; the second is active or not.
    fn whole(active: u32) -> Vec<(u32, i32, EventData)> {
        (PREPARE..=EXIT)
            .flat_map(|at| {
                [
                    state(0, at, ENTER, active),
                    state(1, at, ENTER, 0),
                    state(1, at, ACK, 0),
                    state(0, at, ACK, active),
                ]
            })
            .collect()
    }

    #[test]
    fn all_states_together() {
        assert_eq!(found(whole(1)), [""; 0]);
        assert_eq!(found(whole(0)), ["0x10: it runs nowhere"]);
    }

    #[test]
    fn a_state_that_begins_too_early_or_is_left_out() {
        let mut early = whole(1);
        early.swap(3, 4);
        assert_eq!(
            found(early)[0],
            "CPU 0: state 2 step 0 after (1, 1) was due"
        );
        let mut ahead = whole(1);
        ahead.swap(3, 5);
        assert!(found(ahead)[0].contains("CPU 1: state 2 begins after 1 of 2"));
    }
}
