//! `ps --at` and `runq --at`: what the kernel's structures say at an instant is what the events up to it
//! say, and a run that is not the recorded one is never shown.

use std::path::Path;
use std::process::Command;

use analyze::runqueue::RunQueues;
use serde_json::Value;
use trace::event::{Event, EventData};
use trace::krec::{Recording, Writer};
use trace::state::State;

use super::reports::{number, rows};
use super::support::{code, file, finish, kreplay, open, recording, text};

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// The states at many instants of one recording, by executing it again once.
fn states(krec: &Path, at: &[String]) -> Vec<State> {
    let machine = Path::new(env!("CARGO_BIN_EXE_kreplay")).with_file_name("kreplay-machine");
    let mut command = Command::new(machine);
    command.arg("state").arg(krec);
    for at in at {
        command.arg("--at").arg(at);
    }
    let ran = finish(&mut command).expect(code::DONE);
    let states = ran.stdout.lines().map(State::from_line);
    states.collect::<Result<_, _>>().unwrap()
}

/// The pid that a CPU switches to next: while it is between setting `rq->curr` and telling of it, that
/// is whom the kernel's structure has.
fn next_switch(events: &[Event], cpu: u32) -> Option<i32> {
    events
        .iter()
        .filter(|e| e.cpu == cpu)
        .find_map(|e| match &e.data {
            EventData::SchedSwitch(switch) => Some(switch.next_pid),
            _ => None,
        })
}

#[test]
fn the_kernels_runqueues_are_those_that_the_events_tell_of() {
    for cpus in [2, 4] {
        let krec = recording(cpus);
        let events = open(&krec).load_events().unwrap();
        let mut seed = 20_240_310 + u64::from(cpus);
        let mut chosen: Vec<u64> = (0..60)
            .map(|_| random(&mut seed) % events.len() as u64)
            .collect();
        chosen.sort_unstable();
        let at: Vec<String> = chosen.iter().map(|seq| format!("@{seq}")).collect();
        let states = states(&krec, &at);
        assert_eq!(states.len(), chosen.len());
        let mut derived = RunQueues::new(cpus);
        let mut pushed = 0;
        let (mut same, mut compared, mut whole) = (0, 0, 0);
        for (seq, state) in chosen.iter().zip(&states) {
            let event = &events[*seq as usize];
            assert_eq!(state.at.event, Some(*seq));
            assert_eq!(state.at.cycles, event.cycles, "the instant is the event's");
            let clock = state.at.clocks[event.cpu as usize].expect("of the event's CPU");
            assert_eq!((clock.cycles, clock.insns), (event.cycles, event.insns));
            while pushed <= *seq as usize {
                derived.push(&events[pushed]);
                pushed += 1;
            }
            for (kernel, told) in state.cpus.iter().zip(derived.cpus()) {
                let what = format!("@{seq}, cpu{}: {kernel:?} and {told}", kernel.cpu);
                let Some(current) = &kernel.current else {
                    assert_eq!(told.current.0, 0, "{what}");
                    continue;
                };
                compared += 1;
                let later = next_switch(&events[pushed..], kernel.cpu);
                assert!(
                    current.pid == told.current.0 || Some(current.pid) == later,
                    "{what}"
                );
                if current.pid != told.current.0 || kernel.locked {
                    continue;
                }
                same += 1;
                let waiting = kernel.queue.iter().filter(|q| q.place > 0);
                let mut pids: Vec<i32> = waiting.map(|q| q.task.pid).collect();
                pids.sort_unstable();
                let queued: Vec<i32> = told.queued.keys().copied().collect();
                assert_eq!(pids, queued, "{what}");
                // One that goes to sleep is out of its queue before the scheduler lets go of the lock to look
                // for other CPUs' tasks.
                let fair = kernel.fair.as_ref().and_then(|fair| fair.curr.as_ref());
                let leaves = fair.is_some_and(|curr| curr.on_rq == 0);
                assert!(!leaves || later != Some(current.pid), "{what}");
                let running = u32::from(current.pid != 0 && !leaves);
                assert_eq!(kernel.nr_running, queued.len() as u32 + running, "{what}");
                whole += usize::from(!queued.is_empty());
            }
        }
        assert!(
            same * 2 > compared,
            "{same} of {compared} runqueues at rest"
        );
        assert!(whole > 0, "some of them had tasks that waited");
    }
}

#[test]
fn ps_and_runq_look_at_any_instant_in_every_format() {
    let krec = recording(2);
    let path = text(&krec);
    let shown = kreplay(["runq", path, "--at", "@4000"]).expect(code::DONE);
    assert!(shown.stdout.contains("runqueues at @4000 (cpu"), "{shown}");
    let json = kreplay(["runq", path, "--at", "@4000", "--format", "json"]).expect(code::DONE);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(rows(&json, "cpus").len(), 2);
    assert_eq!(number(&rows(&json, "instant")[0], "events_before"), 4000);
    for row in rows(&json, "queue") {
        if row["class"] == "fair" {
            let (lag, eligible) = (row["lag_ns"].as_i64().unwrap(), &row["eligible"]);
            assert_eq!(eligible, &Value::from(lag >= 0), "{row}");
        }
    }
    let csv = kreplay(["runq", path, "--at", "5ms", "--format", "csv"]).expect(code::DONE);
    assert_eq!(csv.stdout.lines().count(), 3, "{csv}");

    let json = kreplay(["ps", path, "--at", "5ms", "--format", "json"]).expect(code::DONE);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let running = rows(&json, "tasks").iter().filter(|t| t["on_cpu"] == true);
    assert_eq!(running.count(), 2, "one task a CPU");
    // At the end both ways of ps agree.
    let at_end = kreplay(["ps", path, "--at", "end", "--format", "json"]).expect(code::DONE);
    let stored = kreplay(["ps", path, "--format", "json"]).expect(code::DONE);
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let (again, stored) = (parse(&at_end.stdout), parse(&stored.stdout));
    assert_eq!(rows(&again, "tasks").len(), rows(&stored, "tasks").len());
    for (a, b) in rows(&again, "tasks").iter().zip(rows(&stored, "tasks")) {
        for (column, value) in b.as_object().unwrap() {
            assert_eq!(&a[column], value, "{column} of {a} and {b}");
        }
    }
}

#[test]
fn instants_that_are_not_there_are_refused() {
    let krec = recording(2);
    let path = text(&krec);
    for (at, parts) in [
        ("@99999999", &["@99999999", "events"][..]),
        ("900s", &["the run ends at"]),
        ("0ns", &["boot"]),
        ("1us", &["has not set up"]),
        ("noon", &["noon", "12.5ms"]),
    ] {
        let ran = kreplay(["runq", path, "--at", at]).expect(code::BAD_INPUT);
        ran.complains(parts);
    }
}

/// A recording whose events are not those of its scenario: the same file with an event changed.
#[test]
fn another_run_than_the_recorded_one_is_refused() {
    let path = file("not-what-happened.krec");
    let from: Recording = open(&recording(2));
    let to = std::fs::File::create(&path).unwrap();
    let mut writer = Writer::new(to, &path, from.manifest()).unwrap();
    writer.image(&from.image().unwrap().unwrap()).unwrap();
    for mut event in from.load_events().unwrap() {
        event.stack = None;
        if event.seq == 50 {
            event.cycles += 1;
        }
        writer.event(&event).unwrap();
    }
    writer.tasks(from.tasks()).unwrap();
    writer.finish(from.end().unwrap().clone()).unwrap();
    let ran = kreplay(["ps", text(&path), "--at", "@3000"]).expect(code::BAD_INPUT);
    ran.complains(&["the run is not the recorded one", "event @"]);
}
