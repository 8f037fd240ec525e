//! States at `sched_switch` events: the context in which a CPU switches (P7, P8, P10), who may come (T11), and what
//! a task's turn does to virtual times (F7).

use std::collections::BTreeSet;

use super::Broken;
use crate::event::{Event, EventData};
use crate::events::SchedSwitch;
use crate::state::{Context, State, Task};

const COUNT: &str =
    "P7, P8 who switches held nothing: the scheduler's own two are the preempt count";
const OFF: &str = "P10 interrupts are off and the runqueue is locked at a switch";
const LEAVING: &str = "T11 no user task comes to a CPU that is not active";
const BY_WEIGHT: &str = "F7 vruntime grows with the time that was run, by weight";
const WAITS: &str = "F7 vruntime of who waits stands still";
/// `__schedule` is entered with preemption disabled, and takes the lock of its runqueue. Whoever is preempted by
/// force has no count of his own, and nobody may call the scheduler with one.
const IN_SCHEDULE: u32 = 2;
/// `load.weight` of nice 0, as it is stored.
const NICE_0_LOAD: u64 = 1024 << 10;
const SCHED_NORMAL: u32 = 0;
const SCHED_BATCH: u32 = 3;

/// Two switches that follow each other on a CPU: the turn of the task that the first brings and the second ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// Number of the event at which it begins.
    pub begin: u64,
    /// And of that at which it ends.
    pub end: u64,
}

/// About so many turns, spread over the events from `first` on.
pub fn turns(events: &[Event], first: usize, count: usize) -> Vec<Turn> {
    let late = &events[first.min(events.len())..];
    let switches: Vec<(&Event, &SchedSwitch)> = late.iter().filter_map(switch).collect();
    let step = (switches.len() / count.max(1)).max(1);
    let begins = switches.iter().enumerate().step_by(step);
    begins
        .filter_map(|(n, (begin, _))| {
            let mut later = switches[n + 1..].iter();
            let (end, _) = later.find(|(event, _)| event.cpu == begin.cpu)?;
            Some(Turn {
                begin: begin.seq,
                end: end.seq,
            })
        })
        .collect()
}

fn switch(event: &Event) -> Option<(&Event, &SchedSwitch)> {
    match &event.data {
        EventData::SchedSwitch(switch) => Some((event, switch)),
        _ => None,
    }
}

/// The context of a state at an event, if that is a `sched_switch`, and who comes.
pub fn context(event: &Event, state: &State) -> Vec<Broken> {
    let mut found = Vec::new();
    let (Some(context), Some((_, switch))) = (state.context, switch(event)) else {
        return found;
    };
    let (pid, active) = (switch.next_pid, state.masks.map(|masks| masks.active));
    let user = |task: &&Task| pid != 0 && task.pid == pid && !task.kthread;
    if active.is_some_and(|active| active >> context.cpu & 1 == 0)
        && state.tasks.iter().any(|task| user(&task))
    {
        let what = format!("CPU {}: {pid}", context.cpu);
        found.push(Broken {
            invariant: LEAVING,
            what,
        });
    }
    let Context {
        cpu,
        interrupts,
        preempt_count,
    } = context;
    if let Some(count) = preempt_count.filter(|count| *count != IN_SCHEDULE) {
        let what = format!("CPU {cpu}: {} switches with {count:#x}", event.pid);
        found.push(Broken {
            invariant: COUNT,
            what,
        });
    }
    let unlocked = state.cpus.iter().any(|it| it.cpu == cpu && !it.locked);
    for (broken, how) in [(interrupts, "interrupts on"), (unlocked, "its lock free")] {
        if broken {
            let what = format!("CPU {cpu}: {} switches with {how}", event.pid);
            found.push(Broken {
                invariant: OFF,
                what,
            });
        }
    }
    found
}

/// The states at both ends of a turn.
pub fn turn(events: &[Event], turn: Turn, begin: &State, end: &State) -> Vec<Broken> {
    let mut found = Vec::new();
    let between = &events[turn.begin as usize..=turn.end as usize];
    let cpu = between[0].cpu;
    let EventData::SchedSwitch(first) = &between[0].data else {
        return found;
    };
    let touched: BTreeSet<i32> = between[1..].iter().filter_map(touches).collect();
    for before in begin.tasks.iter().filter(|task| task.pid != 0) {
        let Some(after) = end.tasks.iter().find(|task| task.addr == before.addr) else {
            continue;
        };
        let fair = |task: &Task| task.class == "fair" && task.cpu == cpu && task.on_rq == 1;
        if !fair(before) || touched.contains(&before.pid) || changed(before, after) {
            continue;
        }
        if before.pid == first.next_pid {
            by_weight(before, after, &mut found);
        } else if before.pid != first.prev_pid && after.vruntime != before.vruntime {
            found.push(Broken {
                invariant: WAITS,
                what: format!(
                    "{} waits on CPU {cpu} and goes from {} to {}",
                    before.pid, before.vruntime, after.vruntime
                ),
            });
        }
    }
    found
}

/// The task that an event takes off a queue and puts on it again, which places it anew.
fn touches(event: &Event) -> Option<i32> {
    match &event.data {
        EventData::MoveAffinityEntry(e) => Some(e.pid),
        EventData::MoveEnqueued(e) => Some(e.pid),
        EventData::SchedMigrateTask(e) => Some(e.pid),
        EventData::SchedWakeup(e) => Some(e.pid),
        EventData::SchedWakeupNew(e) => Some(e.pid),
        _ => None,
    }
}

/// Whether it was told something that places it anew, and no event says so.
fn changed(before: &Task, after: &Task) -> bool {
    let told = |task: &Task| {
        let migration = task.migration_disabled;
        let policy = (task.policy, task.prio, task.static_prio, task.weight);
        let place = (task.cpu, task.group, task.cpus_mask);
        (task.pid, place, policy, migration)
    };
    told(before) != told(after) || after.migration_disabled > 0 || before.migration_disabled > 0
}

fn by_weight(before: &Task, after: &Task, found: &mut Vec<Broken>) {
    if !matches!(before.policy, SCHED_NORMAL | SCHED_BATCH) || before.weight == 0 {
        return;
    }
    let ran = after.sum_exec_runtime.wrapping_sub(before.sum_exec_runtime);
    let grew = after.vruntime.wrapping_sub(before.vruntime);
    let due = (u128::from(ran) * u128::from(NICE_0_LOAD) / u128::from(before.weight)) as u64;
    // Of nice 0 it is the same number. Else every account rounds down, and its factor is one of 32 bits.
    let rounded = match before.weight {
        NICE_0_LOAD => 0,
        _ => due / 8192 + ran / 500 + 16,
    };
    if grew > due || due - grew > rounded {
        let (pid, weight) = (before.pid, before.weight);
        found.push(Broken {
            invariant: BY_WEIGHT,
            what: format!("{pid} of weight {weight} ran {ran} ns and goes on by {grew}, not {due}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{events, migrate, switch as switched};
    use super::super::testing::state;
    use super::*;

    const TURN: Turn = Turn { begin: 0, end: 2 };

    /// Task 20 takes over from 10 on CPU 0 and runs for 1000 ns, while 30 waits.
    fn a_turn(between: EventData, change: impl FnOnce(&mut State)) -> Vec<String> {
        let events = events([
            (0, 10, switched((10, 120), 0x100, (20, 120))),
            (1, 0, between),
            (0, 20, switched((20, 120), 1, (10, 120))),
        ]);
        let mut states = [state(1), state(1)];
        for state in &mut states {
            let mut waiting = state.tasks[1].clone();
            waiting.pid = 30;
            waiting.addr += 8;
            state.tasks.push(waiting);
        }
        states[1].tasks[2].vruntime += 1000;
        states[1].tasks[2].sum_exec_runtime += 1000;
        change(&mut states[1]);
        let found = turn(&events, TURN, &states[0], &states[1]);
        found.iter().map(Broken::to_string).collect()
    }

    fn elsewhere() -> EventData {
        migrate(99, 0, 1)
    }

    #[test]
    fn turns_go_from_switch_to_switch_of_a_cpu() {
        let events = events([
            (0, 10, switched((10, 120), 0x100, (20, 120))),
            (1, 11, switched((11, 120), 1, (0, 120))),
            (0, 20, switched((20, 120), 1, (10, 120))),
            (1, 0, switched((0, 120), 0, (11, 120))),
        ]);
        let ends = |turns: Vec<Turn>| {
            turns
                .iter()
                .map(|it| (it.begin, it.end))
                .collect::<Vec<_>>()
        };
        assert_eq!(ends(turns(&events, 0, 4)), [(0, 2), (1, 3)]);
        assert_eq!(ends(turns(&events, 1, 4)), [(1, 3)]);
        assert_eq!(ends(turns(&events, 9, 4)), []);
    }

    #[test]
    fn who_runs_pays_and_who_waits_does_not() {
        assert_eq!(a_turn(elsewhere(), |_| ()), [""; 0]);
        let free = a_turn(elsewhere(), |state| state.tasks[2].vruntime = 0);
        assert_eq!(
            free,
            [format!(
                "{BY_WEIGHT}: 20 of weight 1048576 ran 1000 ns and goes on by 0, not 1000"
            )]
        );
        let pays = a_turn(elsewhere(), |state| state.tasks[3].vruntime = 7);
        assert_eq!(
            pays,
            [format!("{WAITS}: 30 waits on CPU 0 and goes from 0 to 7")]
        );
    }

    #[test]
    fn who_is_placed_anew_is_let_go() {
        let moved = |state: &mut State| state.tasks[3].vruntime = 7;
        assert_eq!(a_turn(migrate(30, 0, 1), moved), [""; 0]);
        let told = a_turn(elsewhere(), |state| {
            state.tasks[3].vruntime = 7;
            state.tasks[3].static_prio = 130;
        });
        assert_eq!(told, [""; 0]);
    }

    #[test]
    fn the_context_of_a_switch() {
        let events = events([(0, 10, switched((10, 120), 0x100, (20, 120)))]);
        let found = |locked: bool, interrupts: bool, count: u32| {
            let mut state = state(1);
            state.cpus[0].locked = locked;
            state.context = Some(Context {
                cpu: 0,
                interrupts,
                preempt_count: Some(count),
            });
            let found = context(&events[0], &state);
            found.iter().map(Broken::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found(true, false, 2), [""; 0]);
        assert_eq!(
            found(true, false, 3),
            [format!("{COUNT}: CPU 0: 10 switches with 0x3")]
        );
        assert_eq!(
            found(false, true, 2),
            [
                format!("{OFF}: CPU 0: 10 switches with interrupts on"),
                format!("{OFF}: CPU 0: 10 switches with its lock free")
            ]
        );
    }

    #[test]
    fn a_user_task_on_a_cpu_that_goes() {
        let events = events([(0, 10, switched((10, 120), 0x100, (20, 120)))]);
        let found = |active: u64, kthread: bool| {
            let mut state = state(1);
            state.cpus[0].locked = true;
            state.masks.as_mut().unwrap().active = active;
            state.tasks[2].kthread = kthread;
            state.context = Some(Context {
                cpu: 0,
                interrupts: false,
                preempt_count: Some(2),
            });
            let found = context(&events[0], &state);
            found.iter().map(Broken::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found(1, false), [""; 0]);
        assert_eq!(found(0, true), [""; 0]);
        assert_eq!(found(0, false), [format!("{LEAVING}: CPU 0: 20")]);
    }
}
