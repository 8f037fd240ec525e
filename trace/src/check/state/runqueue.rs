//! Runqueues and who is on them: T1, T3, T4, T6 to T9, T17, P1, P5, P9 and P11.

use std::collections::BTreeMap;

use super::Broken;
use crate::state::{Cpu, State, Task};

/// Classes from the one that goes first.
const CLASSES: [&str; 5] = ["stop", "dl", "rt", "fair", "idle"];

fn rank(class: &str) -> usize {
    CLASSES
        .iter()
        .position(|it| *it == class)
        .unwrap_or(CLASSES.len())
}

/// Adds what the runqueues of `state` break.
pub(super) fn check(state: &State, found: &mut Vec<Broken>) {
    let tasks: BTreeMap<u64, &Task> = state.tasks.iter().map(|task| (task.addr, task)).collect();
    let online = state.masks.map_or(u64::MAX, |masks| masks.online);
    for cpu in &state.cpus {
        if cpu.locked || cpu.cpu >= 64 || online >> cpu.cpu & 1 == 0 {
            continue;
        }
        let mut add = |invariant, what: String| {
            let what = format!("CPU {}: {what}", cpu.cpu);
            found.push(Broken { invariant, what });
        };
        let Some(current) = &cpu.current else {
            add("T3 every CPU runs one task", "it runs none".to_owned());
            continue;
        };
        // One that is about to leave for the last time is in no list any more.
        let Some(current) = tasks.get(&current.addr) else {
            continue;
        };
        running(state, cpu, current, &mut add);
        queued(cpu, &tasks, &mut add);
        counts(state, cpu, &mut add);
        masks(state, cpu, &mut add);
        resched(cpu, current, &tasks, &mut add);
    }
}

/// T17: over all CPUs, so many sleeps count as load as there are. One that ends is counted until it is queued.
pub(super) fn uninterruptible(state: &State, found: &mut Vec<Broken>) {
    if state.cpus.iter().any(|cpu| cpu.locked) {
        return;
    }
    let each = state.cpus.iter().map(|cpu| cpu.nr_uninterruptible);
    let Some(sum) = each.sum::<Option<i32>>() else {
        return;
    };
    let off = |letter| {
        let tasks = state.tasks.iter();
        let off = tasks.filter(|task| task.pid != 0 && task.on_rq == 0 && task.state == letter);
        off.count() as i32
    };
    let (sleep, wake) = (off('D'), off('R'));
    if !(sleep..=sleep + wake).contains(&sum) {
        found.push(Broken {
            invariant: "T17 uninterruptible sleeps are counted",
            what: format!(
                "nr_uninterruptible is {sum}, {sleep} tasks sleep so and {wake} may be waking up"
            ),
        });
    }
}

type Add<'a> = &'a mut dyn FnMut(&'static str, String);

/// T3, T4: the running task knows that it runs, here, and nobody else does.
fn running(state: &State, cpu: &Cpu, current: &Task, add: Add<'_>) {
    let pid = current.pid;
    if !current.on_cpu || current.cpu != cpu.cpu {
        let (on_cpu, its) = (u32::from(current.on_cpu), current.cpu);
        let what = format!("{pid} runs, its on_cpu is {on_cpu} and its CPU {its}");
        add("T3 every CPU runs one task", what);
    }
    let twice = state
        .cpus
        .iter()
        .filter(|other| other.cpu != cpu.cpu && !other.locked)
        .find(|other| {
            other
                .current
                .as_ref()
                .is_some_and(|it| it.addr == current.addr)
        });
    if let Some(other) = twice {
        add(
            "T3 every CPU runs one task",
            format!("{pid} also runs on CPU {}", other.cpu),
        );
    }
    let stray = state
        .tasks
        .iter()
        .find(|task| task.on_cpu && task.cpu == cpu.cpu && task.addr != current.addr);
    if let Some(stray) = stray {
        let what = format!("{} has on_cpu, but {pid} runs", stray.pid);
        add("T4 on_cpu says who runs", what);
    }
}

/// T1: who is in a queue says so, and belongs to its CPU.
fn queued(cpu: &Cpu, tasks: &BTreeMap<u64, &Task>, add: Add<'_>) {
    for queued in cpu.queue.iter().filter(|queued| queued.place > 0) {
        let Some(task) = tasks.get(&queued.task.addr) else {
            // Dead already, or made this moment.
            continue;
        };
        if task.on_rq != 1 || task.cpu != cpu.cpu {
            let (pid, on_rq, its) = (task.pid, task.on_rq, task.cpu);
            let what = format!("{pid} is in its queue, its on_rq is {on_rq} and its CPU {its}");
            add("T1 in one queue", what);
        }
    }
}

/// T6: `nr_running` is the sum over the classes; T1: nobody says that he is queued and is not. T9: so many
/// tasks are pinned.
fn counts(state: &State, cpu: &Cpu, add: Add<'_>) {
    let here = || {
        state
            .tasks
            .iter()
            .filter(|task| task.cpu == cpu.cpu && task.on_rq == 1)
    };
    let of = |class: &str| here().filter(|task| task.class == class).count() as u32;
    let rt_counts = cpu.rt.as_ref().is_none_or(|rt| rt.queued);
    let rt = if rt_counts { cpu.rt_nr_running } else { 0 };
    let fair = cpu
        .fair
        .as_ref()
        .map_or(cpu.cfs_nr_running, |fair| fair.h_nr_running);
    let sum = of("stop") + cpu.dl_nr_running + rt + fair;
    if cpu.nr_running != sum {
        let what = format!("nr_running is {}, the classes have {sum}", cpu.nr_running);
        add("T6 nr_running is the sum of the classes", what);
    }
    let listed = |task: &Task| cpu.queue.iter().any(|queued| queued.task.addr == task.addr);
    let groups = cpu.fair.as_ref().is_some_and(|fair| {
        fair.curr
            .iter()
            .chain(&fair.tree)
            .any(|node| node.group.is_some())
    });
    // Tasks in groups are below entities of other queues; those of throttled groups and queues are in none,
    // and are not counted either.
    let all_count = of("fair") == fair;
    let plain = |task: &&Task| {
        task.class == "fair" && all_count && !groups || task.class == "rt" && rt_counts
    };
    if let Some(task) = here().filter(plain).find(|task| !listed(task)) {
        let what = format!("{} says that it is queued, and is not", task.pid);
        add("T1 in one queue", what);
    }
    if let Some(nr_pinned) = cpu.nr_pinned {
        let current = cpu.current.as_ref().map_or(0, |it| it.addr);
        let pinned = |task: &&Task| task.cpu == cpu.cpu && task.migration_disabled > 0;
        let all = state.tasks.iter().filter(pinned).count() as u32;
        let others = state
            .tasks
            .iter()
            .filter(pinned)
            .filter(|it| it.addr != current)
            .count();
        // The running one may be between the two counts.
        if nr_pinned != all && nr_pinned.abs_diff(others as u32) > 1 {
            let what = format!("nr_pinned is {nr_pinned}, {all} tasks are");
            add("T9 pinned tasks are counted", what);
        }
    }
}

/// T7, T8: a queued or running task is on a CPU of its mask, unless it is pinned or about to be moved.
fn masks(state: &State, cpu: &Cpu, add: Add<'_>) {
    let active = state.masks.map_or(u64::MAX, |masks| masks.active);
    if active >> cpu.cpu & 1 == 0 {
        return;
    }
    let stray = state.tasks.iter().filter(|task| {
        let excused = task.migration_disabled > 0 || task.migration_pending;
        task.pid != 0 && task.cpu == cpu.cpu && task.on_rq == 1 && !excused
    });
    for task in stray.filter(|task| task.cpus_mask >> cpu.cpu & 1 == 0) {
        let rule = if task.on_cpu {
            "T8 inside its mask"
        } else {
            "T7 queued inside its mask"
        };
        add(
            rule,
            format!("{} has the mask {:#x}", task.pid, task.cpus_mask),
        );
    }
}

/// P1, P5, P9, P11: where somebody waits who goes before the running task, the scheduler has been asked for.
fn resched(cpu: &Cpu, current: &Task, tasks: &BTreeMap<u64, &Task>, add: Add<'_>) {
    if current.need_resched {
        return;
    }
    // Throttled tasks say that they are queued, but nobody can pick them.
    let rt_counts = cpu.rt.as_ref().is_none_or(|rt| rt.queued);
    let dl_tasks = cpu
        .queue
        .iter()
        .filter(|queued| queued.class == "dl")
        .count() as u32;
    let can_run = |class: &str| match class {
        "rt" => rt_counts,
        "dl" => dl_tasks == cpu.dl_nr_running,
        _ => true,
    };
    let key = |class: &str, prio: i32| {
        let rank = rank(class);
        (rank, if class == "rt" { prio } else { 0 })
    };
    let mine = match current.pid {
        0 => (rank("idle"), 0),
        _ => key(&current.class, current.prio),
    };
    let first = cpu
        .queue
        .iter()
        .filter(|queued| queued.place > 0 && can_run(&queued.class))
        .filter(|queued| {
            tasks
                .get(&queued.task.addr)
                .is_some_and(|task| task.on_rq == 1)
        })
        .min_by_key(|queued| key(&queued.class, queued.prio));
    if let Some(first) = first
        && key(&first.class, first.prio) < mine
    {
        let what = format!(
            "{} ({}, prio {}) runs without need_resched while {} ({}, prio {}) waits",
            current.pid, current.class, current.prio, first.task.pid, first.class, first.prio
        );
        add("P11 a higher task asks for the scheduler", what);
    }
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use super::super::testing::{addr, state};
    use super::*;

    fn broken(change: impl FnOnce(&mut State)) -> Vec<String> {
        let mut state = state(2);
        change(&mut state);
        all(&state).iter().map(Broken::to_string).collect()
    }

    fn task(state: &mut State, pid: i32) -> &mut Task {
        state.tasks.iter_mut().find(|task| task.pid == pid).unwrap()
    }

    #[test]
    fn at_rest_nothing_is_broken_and_under_the_lock_nothing_is_judged() {
        assert_eq!(broken(|_| ()), [""; 0]);
        let locked = broken(|state| {
            state.cpus[0].locked = true;
            state.cpus[0].nr_running = 9;
            task(state, 10).on_cpu = false;
        });
        assert_eq!(locked, [""; 0]);
    }

    #[test]
    fn who_runs() {
        let unaware = broken(|state| task(state, 10).on_cpu = false);
        assert!(
            unaware[0].starts_with("T3 every CPU runs one task: CPU 0: 10 runs, its on_cpu is 0")
        );
        let twice = broken(|state| state.cpus[1].current = state.cpus[0].current.clone());
        assert!(
            twice
                .iter()
                .any(|what| what.contains("CPU 0: 10 also runs on CPU 1")),
            "{twice:?}"
        );
        assert!(broken(|state| state.cpus[1].current = None)[0].ends_with("CPU 1: it runs none"));
        let stray = broken(|state| task(state, 20).on_cpu = true);
        assert_eq!(
            stray[0],
            "T4 on_cpu says who runs: CPU 0: 20 has on_cpu, but 10 runs"
        );
    }

    #[test]
    fn who_is_queued() {
        let unaware = broken(|state| task(state, 20).on_rq = 0);
        assert!(
            unaware[0].starts_with("T1 in one queue: CPU 0: 20 is in its queue, its on_rq is 0")
        );
        let vain = broken(|state| state.cpus[0].queue.truncate(1));
        assert_eq!(
            vain[0],
            "T1 in one queue: CPU 0: 20 says that it is queued, and is not"
        );
        let count = broken(|state| state.cpus[1].nr_running = 3);
        assert!(count[0].ends_with("CPU 1: nr_running is 3, the classes have 2"));
        let pinned = broken(|state| state.cpus[1].nr_pinned = Some(2));
        assert!(pinned[0].ends_with("CPU 1: nr_pinned is 2, 0 tasks are"));
    }

    #[test]
    fn uninterruptible_sleeps_of_all_cpus_together() {
        let sleeps = |sums: [i32; 2], letter| {
            broken(move |state| {
                state.cpus[0].nr_uninterruptible = Some(sums[0]);
                state.cpus[1].nr_uninterruptible = Some(sums[1]);
                let mut task = task(state, 20).clone();
                (task.pid, task.addr, task.on_rq, task.state) = (30, 1, 0, letter);
                state.tasks.push(task);
            })
        };
        assert_eq!(sleeps([3, -2], 'D'), [""; 0]);
        assert_eq!(sleeps([0, 1], 'R'), [""; 0]);
        assert_eq!(
            sleeps([0, 0], 'D'),
            [
                "T17 uninterruptible sleeps are counted: nr_uninterruptible is 0, 1 tasks sleep so and 0 may be \
                 waking up"
            ]
        );
        assert_eq!(sleeps([1, 0], 'S').len(), 1);
    }

    #[test]
    fn masks_hold_but_for_pinned_tasks_and_pending_moves() {
        let queued = broken(|state| task(state, 21).cpus_mask = 1);
        assert_eq!(
            queued[0],
            "T7 queued inside its mask: CPU 1: 21 has the mask 0x1"
        );
        let running = broken(|state| task(state, 11).cpus_mask = 1);
        assert_eq!(running[0], "T8 inside its mask: CPU 1: 11 has the mask 0x1");
        let pending = broken(|state| {
            task(state, 11).cpus_mask = 1;
            task(state, 11).migration_pending = true;
            task(state, 21).cpus_mask = 1;
            task(state, 21).migration_disabled = 1;
            state.cpus[1].nr_pinned = Some(1);
        });
        assert_eq!(pending, [""; 0]);
    }

    #[test]
    fn a_higher_class_that_waits_must_have_asked() {
        let dropped = |asked| {
            broken(move |state| {
                task(state, 20).class = "rt".to_owned();
                state.cpus[0].queue[1].class = "rt".to_owned();
                state.cpus[0].queue[1].prio = 50;
                state.cpus[0].rt_nr_running = 1;
                let rt = state.cpus[0].rt.as_mut().unwrap();
                rt.queued = true;
                rt.nr_running = 1;
                rt.lists = vec![(50, 1)];
                rt.bitmap[0] = 1 << 50;
                rt.highest_prio = 50;
                state.cpus[0].avg_vruntime = None;
                let fair = state.cpus[0].fair.as_mut().unwrap();
                fair.h_nr_running = 1;
                fair.nr_running = 1;
                fair.tree.clear();
                (fair.leftmost, fair.load) = (None, 1024 << 10);
                (fair.avg_load, fair.avg_vruntime) = (0, 0);
                task(state, 10).need_resched = asked;
            })
        };
        assert_eq!(
            dropped(false),
            [
                "P11 a higher task asks for the scheduler: CPU 0: 10 (fair, prio 120) runs without \
              need_resched while 20 (rt, prio 50) waits"
            ]
        );
        assert_eq!(dropped(true), [""; 0]);
        let idle = broken(|state| {
            let name = &mut state.cpus[0].current.as_mut().unwrap();
            name.addr = addr(0, 0);
            name.pid = 0;
            state.tasks[0].on_cpu = true;
            task(state, 10).on_cpu = false;
            state.cpus[0].queue[0].place = 1;
        });
        assert!(
            idle[0].contains("0 (idle, prio 140) runs without need_resched while"),
            "{idle:?}"
        );
    }
}
