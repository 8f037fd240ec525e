//! What must hold on every recording, checked from outside: from the events alone, knowing nothing of
//! how kernel, recorder or reports do it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use trace::event::Event;
use trace::events::EventData;
use trace::krec::{Completeness, OutcomeRow};

use super::support::opened;

const SIZES: [u32; 3] = [2, 4, 8];

/// A task across CPUs; every idle task has pid 0, so those are told apart by CPU.
type Task = (i32, u32);

fn task(pid: i32, cpu: u32) -> Task {
    if pid == 0 { (0, cpu) } else { (pid, 0) }
}

/// Order of the classes by kernel prio: stop 0 (as `migration/N` shows), fair 100 to 139, idle last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    Stop,
    Rt,
    Fair,
    Idle,
}

fn class(pid: i32, prio: i32, comm: &str) -> Class {
    match prio {
        _ if pid == 0 => Class::Idle,
        0 if comm.starts_with("migration/") => Class::Stop,
        i32::MIN..=99 => Class::Rt,
        _ => Class::Fair,
    }
}

fn each_size(check: impl Fn(u32, &[Event])) {
    for cpus in SIZES {
        check(cpus, &opened(cpus).load_events().unwrap());
    }
}

#[test]
fn the_default_run_ends_by_itself_after_the_work_it_promises() {
    for cpus in SIZES {
        let recording = opened(cpus);
        assert_eq!(recording.completeness(), Completeness::Complete);
        let end = recording.end().unwrap();
        assert_eq!(end.outcome, OutcomeRow::PowerOff, "{cpus} CPUs");
        let insns: u64 = end.cpu_insns.iter().sum();
        assert!(insns >= 50_000_000, "{cpus} CPUs: {insns} instructions");
        assert_eq!(end.cpu_insns.len(), cpus as usize);
        assert_eq!(
            end.stream_sha256,
            trace::krec::hex(recording.stream_sha256().unwrap())
        );
    }
}

#[test]
fn sequence_numbers_are_dense_and_clocks_never_go_back() {
    each_size(|cpus, events| {
        let mut clocks = vec![(0, 0); cpus as usize];
        for (event, seq) in events.iter().zip(0..) {
            assert_eq!(event.seq, seq);
            let clock = &mut clocks[event.cpu as usize];
            assert!(
                (event.cycles, event.insns) >= *clock,
                "{cpus} CPUs, @{seq}: {event:?}"
            );
            assert!(
                event.insns <= event.cycles,
                "an instruction is a cycle: {event:?}"
            );
            *clock = (event.cycles, event.insns);
        }
        assert!(
            clocks.iter().all(|c| c.0 > 0),
            "every CPU has run: {clocks:?}"
        );
    });
}

#[test]
fn a_running_task_is_on_one_cpu_and_is_the_current_one() {
    each_size(|cpus, events| {
        let mut running: BTreeMap<u32, Task> = BTreeMap::new();
        for event in events {
            let on = running.get(&event.cpu).copied();
            if let Some(on) = on {
                assert_eq!(
                    on,
                    task(event.pid, event.cpu),
                    "{cpus} CPUs: current at {event:?}"
                );
            }
            if let EventData::SchedSwitch(s) = event.data {
                assert_eq!(s.prev_pid, event.pid, "{event:?}");
                assert_ne!(
                    task(s.prev_pid, event.cpu),
                    task(s.next_pid, event.cpu),
                    "{event:?}"
                );
                let next = task(s.next_pid, event.cpu);
                let elsewhere = running
                    .iter()
                    .find(|(cpu, t)| **t == next && **cpu != event.cpu);
                assert_eq!(elsewhere, None, "{cpus} CPUs: {event:?}");
                running.insert(event.cpu, next);
            }
        }
    });
}

/// The runnable tasks of each CPU's queue, as the events tell it.
#[derive(Default)]
struct Queues(BTreeMap<Task, (u32, Class)>);

impl Queues {
    fn follow(&mut self, event: &Event) {
        match event.data {
            EventData::SchedWakeup(w) => {
                let class = class(w.pid, w.prio, &w.comm.to_text());
                self.0.insert(task(w.pid, 0), (w.target_cpu as u32, class));
            }
            EventData::SchedWakeupNew(w) => {
                let class = class(w.pid, w.prio, &w.comm.to_text());
                self.0.insert(task(w.pid, 0), (w.target_cpu as u32, class));
            }
            // Off its queue; move:enqueued or the wake-up says when it is on the next.
            EventData::SchedMigrateTask(m) => drop(self.0.remove(&task(m.pid, 0))),
            EventData::MoveEnqueued(e) if self.0.contains_key(&task(e.pid, 0)) => {}
            EventData::SchedSwitch(s) => {
                let prev = task(s.prev_pid, event.cpu);
                let runnable = matches!(s.prev_state, 0 | 0x100) && s.prev_pid != 0;
                if runnable {
                    let class = class(s.prev_pid, s.prev_prio, &s.prev_comm.to_text());
                    self.0.insert(prev, (event.cpu, class));
                } else {
                    self.0.remove(&prev);
                }
                self.0.remove(&task(s.next_pid, event.cpu));
            }
            _ => {}
        }
    }

    /// The highest class that waits on a CPU.
    fn best(&self, cpu: u32) -> Option<(Class, Task)> {
        self.0
            .iter()
            .filter(|(_, (on, _))| *on == cpu)
            .map(|(t, (_, class))| (*class, *t))
            .min()
    }
}

#[test]
fn no_lower_class_is_picked_while_a_higher_one_is_runnable_there() {
    each_size(|cpus, events| {
        let mut queues = Queues::default();
        let mut stoppers = 0;
        for event in events {
            queues.follow(event);
            let EventData::SchedSwitch(s) = event.data else {
                continue;
            };
            let picked = class(s.next_pid, s.next_prio, &s.next_comm.to_text());
            stoppers += u32::from(picked == Class::Stop);
            if let Some((waiting, who)) = queues.best(event.cpu) {
                assert!(
                    picked <= waiting,
                    "{cpus} CPUs: {who:?} ({waiting:?}) waits at {event:?}"
                );
            }
        }
        assert!(
            stoppers > 100,
            "{cpus} CPUs: {stoppers} switches to a stopper"
        );
    });
}

#[test]
fn no_task_runs_outside_its_mask_but_while_a_change_is_under_way() {
    // What "under way" means takes a state machine of its own: trace's, which has hand-worked tests.
    for cpus in SIZES {
        let recording = opened(cpus);
        let found = trace::check::all(&recording.load_events().unwrap());
        assert!(
            found.is_empty(),
            "{cpus} CPUs: {} violations, first: {}",
            found.len(),
            found[0]
        );
        let outside = trace::check::tasks_in_mask(recording.tasks());
        assert!(outside.is_empty(), "{cpus} CPUs: {outside:?}");
    }
}

#[test]
fn works_run_in_queue_order_and_one_at_a_time_on_each_cpu() {
    each_size(|cpus, events| {
        let mut queued: BTreeMap<u32, VecDeque<u64>> = BTreeMap::new();
        let mut started: BTreeMap<u32, u64> = BTreeMap::new();
        for event in events {
            match event.data {
                EventData::StopWorkQueue(w) => queued.entry(w.cpu).or_default().push_back(w.work.0),
                EventData::StopWorkStart(w) => {
                    assert_eq!(event.cpu, w.cpu, "{event:?}");
                    let first = queued.entry(w.cpu).or_default().pop_front();
                    assert_eq!(first, Some(w.work.0), "{cpus} CPUs: {event:?}");
                    assert_eq!(started.insert(w.cpu, w.work.0), None, "{event:?}");
                }
                EventData::StopWorkDone(w) => {
                    assert_eq!(
                        started.remove(&w.cpu),
                        Some(w.work.0),
                        "{cpus} CPUs: {event:?}"
                    );
                }
                _ => {}
            }
        }
        assert!(started.is_empty(), "{started:?}");
        assert!(queued.values().all(VecDeque::is_empty), "{queued:?}");
    });
}

#[test]
fn works_queued_started_and_done_are_what_the_kernel_counted() {
    for cpus in SIZES {
        let recording = opened(cpus);
        let mut counted = [0u64; 3];
        for event in recording.events() {
            match event.unwrap().data {
                EventData::StopWorkQueue(_) => counted[0] += 1,
                EventData::StopWorkStart(_) => counted[1] += 1,
                EventData::StopWorkDone(_) => counted[2] += 1,
                _ => {}
            }
        }
        let counters = &recording.end().unwrap().counters;
        let names = ["stop_works_queued", "stop_works_started", "stop_works_done"];
        for (name, count) in names.into_iter().zip(counted) {
            assert_eq!(
                counters.get(name),
                Some(&count),
                "{cpus} CPUs: {name} of {counters:?}"
            );
        }
        assert_eq!(counted[0], counted[1]);
        assert_eq!(counted[1], counted[2]);
        assert!(counted[0] >= 1000, "{cpus} CPUs: {counted:?}");
    }
}

#[test]
fn the_workload_moves_at_least_a_thousand_running_tasks() {
    each_size(|cpus, events| {
        // Tasks that were running when their CPU's stopper was switched in, until they run again.
        let mut caught: BTreeSet<i32> = BTreeSet::new();
        let mut moved = 0;
        for event in events {
            match event.data {
                EventData::SchedSwitch(s) => {
                    if class(s.next_pid, s.next_prio, &s.next_comm.to_text()) == Class::Stop
                        && matches!(s.prev_state, 0 | 0x100)
                        && s.prev_pid != 0
                    {
                        caught.insert(s.prev_pid);
                    }
                    caught.remove(&s.next_pid);
                }
                EventData::SchedMigrateTask(m) => moved += u32::from(caught.remove(&m.pid)),
                _ => {}
            }
        }
        assert!(
            moved >= 1000,
            "{cpus} CPUs: {moved} running tasks were moved by a stopper"
        );
    });
}

#[test]
fn the_tasks_that_linux_has_are_there() {
    for cpus in SIZES {
        let recording = opened(cpus);
        let names: Vec<&str> = recording.tasks().iter().map(|t| t.comm.as_str()).collect();
        let mut wanted = vec!["kthreadd".to_owned()];
        for cpu in 0..cpus {
            for name in ["swapper", "migration", "ksoftirqd", "cpuhp"] {
                wanted.push(format!("{name}/{cpu}"));
            }
        }
        for name in &wanted {
            let count = names.iter().filter(|n| *n == name).count();
            assert_eq!(count, 1, "{cpus} CPUs: {name} in {names:?}");
        }
        for stopper in recording
            .tasks()
            .iter()
            .filter(|t| t.comm.starts_with("migration/"))
        {
            assert_eq!(
                (stopper.class.as_str(), stopper.prio),
                ("stop", 0),
                "{stopper:?}"
            );
            assert_eq!(stopper.cpus_mask, 1 << stopper.cpu, "{stopper:?}");
        }
    }
}
