//! Stoppers: S7, a parked one has no works left.

use super::Broken;
use crate::state::State;

/// Adds what the stoppers of `state` break. Whoever lets a stopper take works says so before it is woken, and
/// one that is to take none ends what it has before it parks.
pub(super) fn check(state: &State, found: &mut Vec<Broken>) {
    for cpu in &state.cpus {
        let Some(stopper) = cpu.stopper.as_ref().filter(|it| !it.enabled) else {
            continue;
        };
        let parked = stopper.thread.as_ref().is_some_and(|thread| {
            let task = state.tasks.iter().find(|task| task.addr == thread.addr);
            task.is_some_and(|task| task.state == 'P' && !task.on_cpu && task.on_rq == 0)
        });
        if parked && !stopper.works.is_empty() {
            let (cpu, works) = (cpu.cpu, stopper.works.len());
            found.push(Broken {
                invariant: "S7 a parked stopper has no works",
                what: format!("CPU {cpu}: {works} are left"),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::state;
    use super::*;
    use crate::state::{Stopper, Work};

    #[test]
    fn works_that_a_parked_stopper_left() {
        let broken = |letter, enabled, works: usize| {
            let mut state = state(1);
            let work = Work {
                addr: 0x1,
                func: "migration_cpu_stop".to_owned(),
                caller: String::new(),
                arg: 0,
                done: None,
                nr_todo: None,
            };
            state.tasks[2].state = letter;
            state.tasks[2].on_rq = 0;
            state.cpus[0].stopper = Some(Stopper {
                thread: Some(state.cpus[0].queue[1].task.clone()),
                enabled,
                running: None,
                works: vec![work; works],
            });
            let mut found = Vec::new();
            check(&state, &mut found);
            found.into_iter().map(|it| it.what).collect::<Vec<_>>()
        };
        assert_eq!(broken('P', false, 0), [""; 0]);
        // It is about to be unparked, or flushes what is left.
        assert_eq!(broken('P', true, 1), [""; 0]);
        assert_eq!(broken('R', false, 1), [""; 0]);
        assert_eq!(broken('P', false, 1), ["CPU 0: 1 are left"]);
    }
}
