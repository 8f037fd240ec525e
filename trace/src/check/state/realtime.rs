//! The real-time class's queues: R1, and R2 but for the root domain's mask.

use std::collections::BTreeSet;

use super::Broken;
use crate::state::{Cpu, RtQueue, State};

const BITMAP: &str = "R1 the bitmap says which lists have tasks";
const HIGHEST: &str = "R1 highest_prio is the highest";
const PUSHABLE: &str = "R2 who waits and may go elsewhere can be pushed";
/// The bit that ends every search.
const MAX_RT_PRIO: u32 = 100;

/// Adds what the real-time queues of `state` break.
pub(super) fn check(state: &State, found: &mut Vec<Broken>) {
    for cpu in state.cpus.iter().filter(|cpu| !cpu.locked) {
        if let Some(queue) = &cpu.rt {
            let mut add = |invariant, what: String| {
                let what = format!("CPU {}: {what}", cpu.cpu);
                found.push(Broken { invariant, what });
            };
            check_queue(queue, &mut add);
            if let Some(listed) = &queue.pushable {
                pushable(state, cpu, listed, &mut add);
            }
        }
    }
}

/// R2: pushable are those that are queued, do not run, and may use more than one CPU.
fn pushable(state: &State, cpu: &Cpu, listed: &[u64], add: &mut dyn FnMut(&'static str, String)) {
    let current = cpu.current.as_ref().map_or(0, |it| it.addr);
    let here = state.tasks.iter().filter(|task| task.cpu == cpu.cpu);
    let due: BTreeSet<u64> = here
        .filter(|task| task.class == "rt" && task.on_rq == 1 && task.addr != current)
        .filter(|task| task.cpus_mask.count_ones() > 1)
        .map(|task| task.addr)
        .collect();
    let listed: BTreeSet<u64> = listed.iter().copied().collect();
    let name = |addr: &u64| {
        let task = state.tasks.iter().find(|task| task.addr == *addr);
        task.map_or(format!("{addr:#x}"), |task| task.pid.to_string())
    };
    for task in due.difference(&listed) {
        add(PUSHABLE, format!("{} is not in the list", name(task)));
    }
    for task in listed.difference(&due) {
        add(
            PUSHABLE,
            format!("{} should not be in the list", name(task)),
        );
    }
}

fn check_queue(queue: &RtQueue, add: &mut dyn FnMut(&'static str, String)) {
    // Not set up yet: the end mark is missing, and so is everything else.
    if queue.bitmap == [0, 0] && queue.lists.is_empty() {
        return;
    }
    let bit = |prio: u32| queue.bitmap[prio as usize / 64] >> (prio % 64) & 1 != 0;
    let len = |prio: u32| {
        queue
            .lists
            .iter()
            .find(|it| it.0 == prio)
            .map_or(0, |it| it.1)
    };
    if !bit(MAX_RT_PRIO) {
        add(BITMAP, "the end mark is missing".to_owned());
    }
    for prio in (0..MAX_RT_PRIO).filter(|prio| bit(*prio) != (len(*prio) > 0)) {
        let (is, tasks) = (u32::from(bit(prio)), len(prio));
        add(
            BITMAP,
            format!("bit {prio} is {is}, its list has {tasks} tasks"),
        );
    }
    let highest = queue
        .lists
        .iter()
        .map(|it| it.0)
        .min()
        .unwrap_or(MAX_RT_PRIO - 1) as i32;
    // An empty queue of v6.8 says 99; some texts have 100.
    if queue.highest_prio != highest && !queue.lists.is_empty() {
        let what = format!("it is {} and should be {highest}", queue.highest_prio);
        add(HIGHEST, what);
    }
    let count: u32 = queue.lists.iter().map(|it| it.1).sum();
    if queue.nr_running != count {
        let what = format!(
            "rt_nr_running is {}, the lists have {count}",
            queue.nr_running
        );
        add(BITMAP, what);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::state;
    use super::*;

    fn broken(change: impl FnOnce(&mut RtQueue)) -> Vec<String> {
        let mut state = state(1);
        let queue = state.cpus[0].rt.as_mut().unwrap();
        queue.lists = vec![(50, 2)];
        queue.bitmap[0] = 1 << 50;
        queue.highest_prio = 50;
        queue.nr_running = 2;
        change(queue);
        let mut found = Vec::new();
        check(&state, &mut found);
        found.into_iter().map(|broken| broken.what).collect()
    }

    #[test]
    fn bits_lists_and_the_highest_agree() {
        assert_eq!(broken(|_| ()), [""; 0]);
        let stale = broken(|queue| queue.bitmap[0] |= 1 << 40);
        assert_eq!(stale, ["CPU 0: bit 40 is 1, its list has 0 tasks"]);
        let missing = broken(|queue| queue.bitmap[0] = 0);
        assert_eq!(missing, ["CPU 0: bit 50 is 0, its list has 2 tasks"]);
        let highest = broken(|queue| queue.highest_prio = 60);
        assert_eq!(highest, ["CPU 0: it is 60 and should be 50"]);
        let end = broken(|queue| queue.bitmap[1] = 0);
        assert_eq!(end, ["CPU 0: the end mark is missing"]);
        let count = broken(|queue| queue.nr_running = 1);
        assert_eq!(count, ["CPU 0: rt_nr_running is 1, the lists have 2"]);
    }

    #[test]
    fn pushable_tasks_wait_and_may_go_elsewhere() {
        let broken = |change: fn(&mut State)| {
            let mut state = state(2);
            let task = &mut state.tasks[2];
            (task.class, task.cpus_mask) = ("rt".to_owned(), 3);
            let addr = task.addr;
            state.cpus[0].rt.as_mut().unwrap().pushable = Some(vec![addr]);
            change(&mut state);
            let (mut found, cpu) = (Vec::new(), &state.cpus[0]);
            let mut add = |_, what| found.push(what);
            let listed = cpu.rt.as_ref().unwrap().pushable.as_ref().unwrap();
            pushable(&state, cpu, listed, &mut add);
            found
        };
        assert_eq!(broken(|_| ()), [""; 0]);
        let missing = broken(|state| state.cpus[0].rt.as_mut().unwrap().pushable = Some(vec![]));
        assert_eq!(missing, ["20 is not in the list"]);
        let should_not = ["20 should not be in the list"];
        assert_eq!(broken(|state| state.tasks[2].cpus_mask = 1), should_not);
        assert_eq!(broken(|state| state.tasks[2].on_rq = 0), should_not);
        let runs = broken(|state| {
            let addr = state.tasks[2].addr;
            state.cpus[0].current.as_mut().unwrap().addr = addr;
        });
        assert_eq!(runs, should_not);
    }
}
