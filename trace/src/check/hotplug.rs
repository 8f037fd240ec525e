//! CPUs come and go one at a time, state by state: upwards in ascending order, downwards in descending order,
//! each state once, and back the same way after an error (H1, H2).
//!
//! Three callbacks enclose others: `cpuhp_kick_ap_work`, which is no state's and is told with the state that
//! the CPU was in, `bringup_cpu` and `takedown_cpu`. What they enclose runs on the CPU that comes or goes. An
//! error may also be one that was asked for (`fail` in sysfs), and that has no event of its own; it shows in
//! what the enclosing callback returns.
//!
//! A callback that is added or removed while CPUs are up is called alone for states they have passed, and told
//! as if they went up: then the CPU's state, told at its exit, lies above. Callbacks with instances are
//! called once for each of them, and are not judged by their order.

use std::collections::BTreeMap;

use super::at_home::TEARDOWN;
use super::{Invariant, Violation};
use crate::event::{Event, EventData};

/// `CPUHP_AP_ONLINE`: from `CPUHP_AP_OFFLINE` to here nothing may fail, and errors are only told.
const AP_ONLINE: i32 = 141;

const ORDER: &str = "H2 states in order";
const PAIRS: &str = "H2 a callback returns";
const BACK: &str = "H2 back after an error, and only then";
const WHERE: &str = "H2 a CPU runs its own callbacks";
const ONE: &str = "H1 one CPU at a time";

/// A callback that has not returned.
struct Call {
    idx: i32,
    target: i32,
    pid: i32,
    instance: bool,
    /// It has enclosed another.
    encloses: bool,
    /// One inside went the other way.
    turned: bool,
    /// The way up (or down) that failed inside.
    failed: Option<bool>,
}

impl Call {
    fn up(&self) -> bool {
        self.target >= self.idx
    }
}

#[derive(Default)]
struct Cpu {
    open: Vec<Call>,
    /// The lowest and the highest state that it may be in: states without a callback are passed silently.
    at: Option<(i32, i32)>,
}

/// Keeps how far each CPU has got.
#[derive(Default)]
pub struct Hotplug {
    cpus: BTreeMap<u32, Cpu>,
}

fn way(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

impl Cpu {
    /// A callback on the way `up` or down: what it breaks if the CPU cannot be just before its state.
    fn out_of_order(&self, idx: i32, up: bool) -> Option<String> {
        let (low, high) = self.at?;
        if up && idx <= low {
            Some(format!("goes up to {idx} from {low} or above"))
        } else if !up && idx > high {
            Some(format!("goes down from {idx}, and is in {high} or below"))
        } else {
            None
        }
    }

    fn enter(&mut self, event: &Event, cpu: u32, call: Call, add: Add<'_>) {
        let (idx, up) = (call.idx, call.up());
        if let Some(outer) = self.open.last_mut() {
            if event.cpu != cpu {
                add(
                    WHERE,
                    format!("its callback {idx} runs on CPU {}", event.cpu),
                );
            }
            if outer.failed == Some(up) {
                let way = way(up);
                add(BACK, format!("goes on {way} to {idx} after an error"));
            }
            if !outer.encloses {
                outer.encloses = true;
                self.at = Some((outer.idx, outer.idx));
            }
            outer.turned |= up != outer.up();
            if !call.instance
                && let Some(what) = self.out_of_order(idx, up)
            {
                add(ORDER, what);
            }
        }
        self.open.push(call);
    }

    fn exit(&mut self, event: &Event, (state, idx, ret): (i32, i32, i32), add: Add<'_>) {
        let Some(call) = self.open.pop() else {
            add(PAIRS, format!("callback {idx} returns without a call"));
            return;
        };
        if call.idx != idx || call.pid != event.pid {
            let (called, pid) = (call.idx, call.pid);
            let what = format!("{} returns from {idx}, but {pid} is in {called}", event.pid);
            add(PAIRS, what);
            self.open.clear();
            self.at = None;
            return;
        }
        if call.encloses {
            if ret == 0 && (call.turned || call.failed.is_some()) {
                add(BACK, format!("turns round inside {idx}, which returns 0"));
            }
            // One that failed was not reached, and where the way back begins depends on which it is.
            let off = i32::from(ret != 0);
            self.at = Some((state - off, state + off));
        } else if call.instance {
            if ret != 0 {
                self.at = None;
            }
        } else {
            self.leaf(&call, state, ret, add);
        }
    }

    /// A callback that encloses none returns.
    fn leaf(&mut self, call: &Call, state: i32, ret: i32, add: Add<'_>) {
        let (idx, target, up) = (call.idx, call.target, call.up());
        let inside = !self.open.is_empty();
        // Alone, of a CPU that stays where it is; or one that could have enclosed others.
        if !inside && (idx >= TEARDOWN || up && state > idx) {
            let off = i32::from(ret != 0);
            self.at = Some((state - off, state + off));
            return;
        }
        if state != if up { idx } else { idx - 1 } {
            let way = way(up);
            add(
                ORDER,
                format!("is in state {state} after going {way} by {idx}"),
            );
        }
        let stays = target == idx;
        if !inside
            && !stays
            && let Some(what) = self.out_of_order(idx, up)
        {
            add(ORDER, what);
        }
        let failed = ret != 0 && !(inside && idx <= AP_ONLINE);
        if failed && let Some(outer) = self.open.last_mut() {
            outer.failed.get_or_insert(up);
        }
        self.at = match (failed, up) {
            // It may be in that state and stay there.
            (true, true) if stays && !inside => None,
            (true, true) => Some((idx - 1, idx - 1)),
            (true, false) => Some((idx, idx)),
            (false, true) => Some((state, target.max(state))),
            (false, false) => Some((target.min(state), state)),
        };
    }
}

type Add<'a> = &'a mut dyn FnMut(&'static str, String);

impl Hotplug {
    fn enter(&mut self, event: &Event, cpu: u32, call: Call, add: Add<'_>) {
        let other = self
            .cpus
            .iter()
            .find(|(of, it)| **of != cpu && !it.open.is_empty());
        if let Some((other, _)) = other {
            let idx = call.idx;
            add(
                ONE,
                format!("callback {idx} begins while CPU {other} is in one"),
            );
        }
        self.cpus
            .entry(cpu)
            .or_default()
            .enter(event, cpu, call, add);
    }
}

impl Invariant for Hotplug {
    fn event(&mut self, event: &Event, found: &mut Vec<Violation>) {
        let (cpu, target, idx, instance) = match &event.data {
            EventData::CpuhpEnter(e) => (e.cpu, e.target, e.idx, false),
            EventData::CpuhpMultiEnter(e) => (e.cpu, e.target, e.idx, true),
            EventData::CpuhpExit(e) => {
                let cpu = self.cpus.entry(e.cpu).or_default();
                cpu.exit(event, (e.state, e.idx, e.ret), &mut |invariant, what| {
                    let what = format!("CPU {}: {what}", e.cpu);
                    found.push(Violation {
                        invariant,
                        seq: event.seq,
                        what,
                    });
                });
                return;
            }
            _ => return,
        };
        let call = Call {
            idx,
            target,
            pid: event.pid,
            instance,
            encloses: false,
            turned: false,
            failed: None,
        };
        self.enter(event, cpu, call, &mut |invariant, what| {
            let what = format!("CPU {cpu}: {what}");
            found.push(Violation {
                invariant,
                seq: event.seq,
                what,
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{broken, cpuhp_enter, cpuhp_exit, events};
    use super::*;

    type Row = (u32, i32, EventData);

    /// CPU 1's callback `idx` on its way to `target`, by pid 9 on CPU 0, with nothing inside.
    fn call(target: i32, idx: i32, ret: i32) -> [Row; 2] {
        on(0, target, idx, ret)
    }

    /// The same on a CPU.
    fn on(cpu: u32, target: i32, idx: i32, ret: i32) -> [Row; 2] {
        let state = if target < idx { idx - 1 } else { idx };
        [
            (cpu, 9, cpuhp_enter(1, target, idx)),
            (cpu, 9, cpuhp_exit(1, state, idx, ret)),
        ]
    }

    /// A callback with others inside.
    fn around(target: i32, idx: i32, inside: &[[Row; 2]], state: i32, ret: i32) -> Vec<Row> {
        let mut rows = vec![(0, 1, cpuhp_enter(1, target, idx))];
        rows.extend(inside.iter().flatten());
        rows.push((0, 1, cpuhp_exit(1, state, idx, ret)));
        rows
    }

    fn found(rows: impl IntoIterator<Item = Row>) -> Vec<String> {
        let found = broken(Hotplug::default(), &events(rows));
        found.into_iter().map(|(_, what)| what).collect()
    }

    /// Up from nothing and down again.
    fn there_and_back(swap: bool) -> Vec<Row> {
        let mut down = [on(1, 142, 232, 0), on(1, 142, 187, 0)];
        if swap {
            down.reverse();
        }
        let mut rows: Vec<Row> = [call(233, 1, 0), call(233, 47, 0)].concat();
        rows.extend(around(
            233,
            87,
            &[on(1, 233, 91, 0), on(1, 233, 187, 0), on(1, 233, 232, 0)],
            233,
            0,
        ));
        rows.extend(around(142, 233, &down, 142, 0));
        rows.extend(around(0, 142, &[on(1, 0, 137, 0), on(1, 0, 92, 0)], 88, 0));
        rows.extend(call(0, 87, 0).into_iter().chain(call(0, 27, 0)));
        rows
    }

    #[test]
    fn up_ascends_and_down_descends() {
        assert_eq!(found(there_and_back(false)), [""; 0]);
        assert_eq!(
            found(there_and_back(true)),
            ["CPU 1: goes down from 232, and is in 186 or below"]
        );
        assert_eq!(
            found([call(233, 47, 0), call(233, 1, 0)].concat()),
            ["CPU 1: goes up to 1 from 47 or above"]
        );
        let twice = [call(233, 47, 0), call(233, 47, 0)].concat();
        assert_eq!(found(twice).len(), 1);
        let stray = [
            (0, 9, cpuhp_enter(1, 233, 47)),
            (0, 9, cpuhp_exit(1, 46, 47, 0)),
        ];
        assert_eq!(found(stray), ["CPU 1: is in state 46 after going up by 47"]);
    }

    #[test]
    fn a_callback_that_comes_later_is_called_alone() {
        let alone = |idx| {
            [
                (1, 9, cpuhp_enter(1, 233, idx)),
                (1, 9, cpuhp_exit(1, 233, idx, 0)),
            ]
        };
        let after = |rows: usize| {
            let mut rows = there_and_back(false)[..rows].to_vec();
            rows.extend(alone(200).into_iter().chain(alone(190)).chain(alone(60)));
            found(rows)
        };
        assert_eq!(after(12), [""; 0]);
        // Inside another nothing is called alone.
        assert_eq!(after(11)[0], "CPU 1: goes up to 200 from 232 or above");
    }

    #[test]
    fn an_error_leads_back() {
        let back = [on(1, 142, 232, 0), on(1, 142, 187, -11), on(1, 233, 232, 0)];
        assert_eq!(found(around(142, 233, &back, 233, -11)), [""; 0]);
        assert_eq!(
            found(around(142, 233, &back, 233, 0)),
            ["CPU 1: turns round inside 233, which returns 0"]
        );
        let on_and_on = [on(1, 142, 187, -11), on(1, 142, 147, 0)];
        assert_eq!(
            found(around(142, 233, &on_and_on, 233, -11)),
            ["CPU 1: goes on down to 147 after an error"]
        );
        // The state that failed was not reached, and is not left.
        let reached = [call(233, 47, 0), call(233, 55, -12), call(0, 55, 0)];
        assert_eq!(
            found(reached.concat()),
            ["CPU 1: goes down from 55, and is in 54 or below"]
        );
        let asked_for = [on(1, 142, 232, 0), on(1, 233, 232, 0)];
        assert_eq!(found(around(142, 233, &asked_for, 233, -11)), [""; 0]);
        assert_eq!(found(around(142, 233, &asked_for, 233, 0)).len(), 1);
        // At the first state: nothing is called.
        assert_eq!(found(around(142, 233, &[], 233, -11)), [""; 0]);
    }

    #[test]
    fn calls_return_once_to_who_called() {
        let [enter, exit] = call(233, 47, 0);
        assert_eq!(found([exit]), ["CPU 1: callback 47 returns without a call"]);
        assert_eq!(
            found([enter, (0, 8, exit.2)]),
            ["CPU 1: 8 returns from 47, but 9 is in 47"]
        );
        let other = (0, 9, cpuhp_exit(1, 55, 55, 0));
        assert_eq!(
            found([enter, other]),
            ["CPU 1: 9 returns from 55, but 9 is in 47"]
        );
    }

    #[test]
    fn one_cpu_at_a_time_and_each_its_own() {
        let [enter, _] = call(233, 47, 0);
        let second = (0, 8, cpuhp_enter(2, 233, 1));
        assert_eq!(
            found([enter, second]),
            ["CPU 2: callback 1 begins while CPU 1 is in one"]
        );
        assert_eq!(
            found(around(142, 233, &[on(0, 142, 187, 0)], 142, 0)),
            ["CPU 1: its callback 187 runs on CPU 0"]
        );
    }
}
