//! What must hold on every recording, checked from outside: from the events alone, knowing nothing of
//! how kernel, recorder or reports do it. Here on `affinity`; `stopstorm.rs` asks the same of its runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use trace::event::Event;
use trace::events::EventData;
use trace::krec::{Completeness, OutcomeRow, Recording};

use super::support::opened;

const SIZES: [u32; 3] = [2, 4, 8];

/// A task across CPUs; every idle task has pid 0, so those are told apart by CPU.
type Task = (i32, u32);

fn task(pid: i32, cpu: u32) -> Task {
    if pid == 0 { (0, cpu) } else { (pid, 0) }
}

/// Order of the classes by kernel prio: stop 0 (as `migration/N` shows), real-time tasks by their prio, fair
/// 100 to 139, idle last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Class {
    Stop,
    Rt(i32),
    Fair,
    Idle,
}

fn class(pid: i32, prio: i32, comm: &str) -> Class {
    match prio {
        _ if pid == 0 => Class::Idle,
        0 if comm.starts_with("migration/") => Class::Stop,
        i32::MIN..=99 => Class::Rt(prio),
        _ => Class::Fair,
    }
}

/// A recording with its events, and what to call it.
pub struct Run {
    pub name: String,
    pub cpus: u32,
    pub recording: Recording,
    pub events: Vec<Event>,
}

impl Run {
    pub fn new(name: String, cpus: u32, recording: Recording) -> Run {
        let events = recording.load_events().unwrap();
        Run {
            name,
            cpus,
            recording,
            events,
        }
    }
}

fn each_size(check: impl Fn(&Run)) {
    for cpus in SIZES {
        check(&Run::new(format!("{cpus} CPUs"), cpus, opened(cpus)));
    }
}

/// All that every recording of a whole run must hold.
pub fn all(run: &Run) {
    ended_by_itself(run);
    clocks(run);
    one_cpu_a_task(run);
    assert!(class_order(run) > 100, "{}", run.name);
    masks(run);
    works_in_order(run);
    works_counted(run);
    linuxs_tasks(run);
}

fn ended_by_itself(
    Run {
        name,
        cpus,
        recording,
        ..
    }: &Run,
) {
    assert_eq!(recording.completeness(), Completeness::Complete, "{name}");
    let end = recording.end().unwrap();
    assert_eq!(end.outcome, OutcomeRow::PowerOff, "{name}");
    assert_eq!(end.cpu_insns.len(), *cpus as usize);
    assert_eq!(
        end.stream_sha256,
        trace::krec::hex(recording.stream_sha256().unwrap())
    );
}

#[test]
fn the_default_run_ends_by_itself_after_the_work_it_promises() {
    each_size(|run| {
        ended_by_itself(run);
        let insns: u64 = run.recording.end().unwrap().cpu_insns.iter().sum();
        assert!(insns >= 50_000_000, "{}: {insns} instructions", run.name);
    });
}

fn clocks(
    Run {
        name, cpus, events, ..
    }: &Run,
) {
    let mut clocks = vec![(0, 0); *cpus as usize];
    for (event, seq) in events.iter().zip(0..) {
        assert_eq!(event.seq, seq);
        let clock = &mut clocks[event.cpu as usize];
        assert!(
            (event.cycles, event.insns) >= *clock,
            "{name}, @{seq}: {event:?}"
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
}

#[test]
fn sequence_numbers_are_dense_and_clocks_never_go_back() {
    each_size(clocks);
}

fn one_cpu_a_task(Run { name, events, .. }: &Run) {
    let mut running: BTreeMap<u32, Task> = BTreeMap::new();
    for event in events {
        let on = running.get(&event.cpu).copied();
        if let Some(on) = on {
            assert_eq!(
                on,
                task(event.pid, event.cpu),
                "{name}: current at {event:?}"
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
            assert_eq!(elsewhere, None, "{name}: {event:?}");
            running.insert(event.cpu, next);
        }
    }
}

#[test]
fn a_running_task_is_on_one_cpu_and_is_the_current_one() {
    each_size(one_cpu_a_task);
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

/// Returns how often a stopper was picked.
pub fn class_order(Run { name, events, .. }: &Run) -> u32 {
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
                "{name}: {who:?} ({waiting:?}) waits at {event:?}"
            );
        }
    }
    stoppers
}

#[test]
fn no_lower_class_is_picked_while_a_higher_one_is_runnable_there() {
    each_size(|run| assert!(class_order(run) > 100, "{}", run.name));
}

fn masks(run: &Run) {
    // What "under way" means takes a state machine of its own: trace's, which has hand-worked tests.
    let found = trace::check::all(&run.events);
    assert!(
        found.is_empty(),
        "{}: {} violations, first: {}",
        run.name,
        found.len(),
        found[0]
    );
    let unsettled = trace::check::unsettled(&run.events);
    let outside = trace::check::tasks_in_mask(run.recording.tasks(), &unsettled);
    assert!(outside.is_empty(), "{}: {outside:?}", run.name);
}

#[test]
fn no_task_runs_outside_its_mask_but_while_a_change_is_under_way() {
    each_size(masks);
}

fn works_in_order(Run { name, events, .. }: &Run) {
    let mut queued: BTreeMap<u32, VecDeque<u64>> = BTreeMap::new();
    let mut started: BTreeMap<u32, u64> = BTreeMap::new();
    for event in events {
        match event.data {
            EventData::StopWorkQueue(w) => queued.entry(w.cpu).or_default().push_back(w.work.0),
            EventData::StopWorkStart(w) => {
                assert_eq!(event.cpu, w.cpu, "{event:?}");
                let first = queued.entry(w.cpu).or_default().pop_front();
                assert_eq!(first, Some(w.work.0), "{name}: {event:?}");
                assert_eq!(started.insert(w.cpu, w.work.0), None, "{event:?}");
            }
            EventData::StopWorkDone(w) => {
                assert_eq!(started.remove(&w.cpu), Some(w.work.0), "{name}: {event:?}");
            }
            _ => {}
        }
    }
    assert!(started.is_empty(), "{started:?}");
    assert!(queued.values().all(VecDeque::is_empty), "{queued:?}");
}

#[test]
fn works_run_in_queue_order_and_one_at_a_time_on_each_cpu() {
    each_size(works_in_order);
}

/// Returns how many.
fn works_counted(run: &Run) -> u64 {
    let name = &run.name;
    let mut counted = [0u64; 3];
    for event in &run.events {
        match event.data {
            EventData::StopWorkQueue(_) => counted[0] += 1,
            EventData::StopWorkStart(_) => counted[1] += 1,
            EventData::StopWorkDone(_) => counted[2] += 1,
            _ => {}
        }
    }
    let counters = &run.recording.end().unwrap().counters;
    let names = ["stop_works_queued", "stop_works_started", "stop_works_done"];
    for (counter, count) in names.into_iter().zip(counted) {
        assert_eq!(
            counters.get(counter),
            Some(&count),
            "{name}: {counter} of {counters:?}"
        );
    }
    assert_eq!(counted[0], counted[1], "{name}");
    assert_eq!(counted[1], counted[2], "{name}");
    counted[0]
}

#[test]
fn works_queued_started_and_done_are_what_the_kernel_counted() {
    each_size(|run| {
        let works = works_counted(run);
        assert!(works >= 1000, "{}: {works}", run.name);
    });
}

#[test]
fn the_workload_moves_at_least_a_thousand_running_tasks() {
    each_size(|Run { name, events, .. }| {
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
            "{name}: {moved} running tasks were moved by a stopper"
        );
    });
}

fn linuxs_tasks(
    Run {
        name: run,
        cpus,
        recording,
        ..
    }: &Run,
) {
    let names: Vec<&str> = recording.tasks().iter().map(|t| t.comm.as_str()).collect();
    let mut wanted = vec!["kthreadd".to_owned()];
    for cpu in 0..*cpus {
        for name in ["swapper", "migration", "ksoftirqd", "cpuhp"] {
            wanted.push(format!("{name}/{cpu}"));
        }
    }
    for name in &wanted {
        let count = names.iter().filter(|n| *n == name).count();
        assert_eq!(count, 1, "{run}: {name} in {names:?}");
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

#[test]
fn the_tasks_that_linux_has_are_there() {
    each_size(linuxs_tasks);
}
