//! The recorder on a small guest whose every event is known.

mod support;

use std::ops::ControlFlow;

use emu::{CpuView, Cycles, Machine, Observer, Site, Stamp, VcpuId, VirtAddr};
use support::{config, guest, image, record, writer};
use trace::classify::{Classifier, Flow, is_patched};
use trace::event::{Addr, Comm, Event, EventData};
use trace::events::*;
use trace::krec::{Completeness, OutcomeRow, Recording};
use trace_live::calls::Calls;
use trace_live::{LiveError, MachineTarget, Recorder};

fn hog() -> Comm {
    "hog/7".into()
}

#[test]
fn every_event_is_recorded_with_the_guests_values() {
    let image = image();
    let recording = record();
    let events = recording.load_events().unwrap();
    let addr = |name: &str| image.address_of(name).unwrap();
    let data: Vec<EventData> = events.iter().map(|event| event.data).collect();
    let EventData::StopWorkQueue(queued) = data[5] else {
        panic!("{data:?}");
    };
    let (work, done, pending, task) = (queued.work, queued.done, queued.pending, queued.task);
    let func = addr("migration_cpu_stop");
    let caller = Addr(0x1234);
    let start_kernel = addr("start_kernel");
    let expected: Vec<EventData> = vec![
        BootMilestone { func: start_kernel }.into(),
        SchedulerTick {}.into(),
        SchedWaking {
            comm: hog(),
            pid: 7,
            prio: 123,
            target_cpu: 0,
        }
        .into(),
        SchedSwitch {
            prev_comm: "swapper/0".into(),
            prev_pid: 0,
            prev_prio: 120,
            prev_state: 0x80,
            next_comm: hog(),
            next_pid: 7,
            next_prio: 123,
        }
        .into(),
        MoveAffinityEntry {
            comm: hog(),
            pid: 7,
            prio: 123,
            task_cpu: 0,
            on_rq: 1,
            on_cpu: 0,
            new_mask: Mask(2),
        }
        .into(),
        StopWorkQueue {
            work,
            cpu: 0,
            func,
            caller,
            done,
            pending,
            task,
            task_pid: 7,
            task_comm: hog(),
            nr_todo: 2,
        }
        .into(),
        SchedMigrateTask {
            comm: hog(),
            pid: 7,
            prio: 123,
            orig_cpu: 0,
            dest_cpu: 3,
        }
        .into(),
        StopWorkStart {
            work,
            cpu: 0,
            func,
            caller,
            done,
            pending,
            task,
            task_pid: 7,
            task_comm: hog(),
            nr_todo: 2,
        }
        .into(),
        StopWorkDone {
            work,
            cpu: 0,
            func,
            caller,
            done,
            pending,
            task,
            task_pid: 7,
            task_comm: hog(),
            nr_todo: 1,
            ret: 77,
            task_cpu: 3,
            task_on_rq: 1,
            task_cpus_mask: Mask(3),
        }
        .into(),
        StopComplete {
            done: Addr(0),
            pending,
            task,
            task_pid: 7,
            task_comm: hog(),
        }
        .into(),
        StopMachineState {
            msdata: work,
            cpu: 0,
            state: 3,
            step: 1,
            polls: 5,
            func,
            active: 1,
        }
        .into(),
        // At the return: the CPU and the priority that activate_task and its tail have set.
        MoveEnqueued {
            comm: hog(),
            pid: 7,
            prio: 99,
            cpu: 1,
        }
        .into(),
        MoveFallback {
            comm: hog(),
            pid: 7,
            prio: 99,
            orig_cpu: 4,
            dest_cpu: 6,
        }
        .into(),
        IpiSendCpu {
            cpu: 6,
            callsite: start_kernel,
            callback: Addr(0),
        }
        .into(),
        IpiSendCpumask {
            cpumask: Mask(2),
            callsite: start_kernel,
            callback: func,
        }
        .into(),
        RescheduleEntry { vector: 253 }.into(),
    ];
    for (found, expected) in data.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(data.len(), expected.len());
    assert!(pending != Addr(0) && done != Addr(0) && task != Addr(0));
    assert!(events.is_sorted_by_key(|event| (event.seq, event.cycles, event.insns)));
    let current: Vec<i32> = events.iter().map(|event| event.pid).collect();
    assert_eq!(current, [0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]);
}

#[test]
fn stacks_and_symbols_lead_back_to_the_source() {
    let recording = record();
    let functions = |event: &Event| -> Vec<String> {
        let stack = recording.stack(event.stack.unwrap());
        let named = stack.iter().flat_map(|addr| {
            let symbol = recording.symbol(*addr).unwrap();
            assert!(
                symbol.name == "_start"
                    || symbol
                        .file
                        .as_deref()
                        .is_some_and(|file| file.ends_with("guest.rs"))
            );
            symbol.functions().map(str::to_owned).collect::<Vec<_>>()
        });
        named.collect()
    };
    let events = recording.load_events().unwrap();
    let migrate = events
        .iter()
        .find(|e| matches!(e.data, EventData::SchedMigrateTask(_)));
    let inlined = functions(migrate.unwrap());
    assert_eq!(inlined[0], "set_task_cpu", "it is inlined: {inlined:?}");
    assert!(inlined.contains(&"queue_it".to_owned()));
    assert_eq!(inlined[inlined.len() - 2..], ["start_kernel", "_start"]);
    let entry = events
        .iter()
        .find(|e| matches!(e.data, EventData::MoveAffinityEntry(_)));
    assert_eq!(functions(entry.unwrap())[0], "__set_cpus_allowed_ptr");
    assert!(functions(entry.unwrap()).ends_with(&["start_kernel".to_owned(), "_start".to_owned()]));
    let EventData::StopWorkQueue(work) = events[5].data else {
        panic!("{:?}", events[5]);
    };
    assert_eq!(
        recording.symbol(work.func).unwrap().name,
        "migration_cpu_stop"
    );
}

#[test]
fn the_end_tells_tasks_counters_and_console() {
    let recording = record();
    assert_eq!(recording.completeness(), Completeness::Complete);
    let end = recording.end().unwrap();
    assert_eq!(end.outcome, OutcomeRow::PowerOff);
    assert_eq!(end.counters["stop_works_queued"], 5);
    assert_eq!(end.counters["stop_works_done"], 1);
    assert_eq!(end.console_bytes, 5);
    assert_eq!(recording.console()[0].bytes, b"done\n");
    assert_eq!(end.cpu_insns.len(), 1);
    assert!(end.cpu_insns[0] > 50);
    let tasks: Vec<(i32, &str, u32, char, &str, i32)> = recording
        .tasks()
        .iter()
        .map(|t| {
            (
                t.pid,
                t.comm.as_str(),
                t.cpu,
                t.state,
                t.class.as_str(),
                t.prio,
            )
        })
        .collect();
    assert_eq!(
        tasks,
        [
            (0, "swapper/0", 0, 'R', "idle", 120),
            (7, "hog/7", 1, 'R', "fair", 99)
        ]
    );
    assert_eq!(recording.tasks()[1].cpus_mask, 3);
    assert_eq!(recording.image().unwrap().unwrap(), guest());
}

/// Probes at every instruction inside a block, half of them put in place while the guest runs.
struct Crowd<'a> {
    recorder: Recorder<'a, Vec<u8>>,
    late: Vec<VirtAddr>,
    hits: u64,
}

impl Observer for Crowd<'_> {
    fn hit(&mut self, cpu: &mut CpuView<'_>, at: VirtAddr, site: Site) {
        if let Some(next) = self.late.pop() {
            cpu.watch(next, Site::Instruction);
        }
        self.hits += 1;
        self.recorder.hit(cpu, at, site);
    }

    fn console(&mut self, at: Stamp, byte: u8) {
        self.recorder.console(at, byte);
    }

    fn slice(&mut self, now: Cycles) -> ControlFlow<()> {
        self.recorder.slice(now)
    }
}

#[test]
fn a_crowd_of_probes_changes_no_byte_of_the_stream() {
    let alone = record();
    let image = image();
    let mut machine = Machine::new(&config(), guest()).unwrap();
    let recorder = Recorder::new(writer(&image), &image, 1).unwrap();
    recorder.attach(&mut machine);
    let classifier = Classifier::new().unwrap();
    let mut inside: Vec<Addr> = Vec::new();
    for symbol in image.code_symbols() {
        if let Some(function) = image.function_at(Addr(symbol.addr)) {
            inside.extend(classifier.inside_blocks(&image, function));
        }
    }
    assert!(
        inside.len() > 60,
        "{} instructions inside blocks",
        inside.len()
    );
    let (early, late) = inside.split_at(inside.len() / 2);
    for addr in early {
        machine.watch(VirtAddr(addr.0), Site::Instruction);
    }
    let late = late.iter().map(|addr| VirtAddr(addr.0)).collect();
    let mut crowd = Crowd {
        recorder,
        late,
        hits: 0,
    };
    machine.run(&mut crowd, None).unwrap();
    assert!(crowd.hits > 100, "{} hits", crowd.hits);
    let (end, bytes) = crowd
        .recorder
        .finish(&mut machine, OutcomeRow::PowerOff)
        .unwrap();
    let crowded = Recording::from_bytes("crowd.krec".as_ref(), bytes).unwrap();
    assert_eq!(end.stream_sha256, alone.end().unwrap().stream_sha256);
    assert_eq!(end.machine_digest, alone.end().unwrap().machine_digest);
    assert_eq!(crowded.load_events().unwrap(), alone.load_events().unwrap());
}

#[test]
fn calls_are_found_through_inlined_functions() {
    let image = image();
    let mut machine = Machine::new(&config(), guest()).unwrap();
    let mut calls = Calls::new(&image, "start_kernel", "set_task_cpu").unwrap();
    calls.attach(&mut machine);
    machine.run(&mut calls, None).unwrap();
    assert_eq!(calls.entered(), 1);
    let mut names = Vec::new();
    let mut level = calls.tree();
    let source = include_str!("fixtures/guest.rs");
    while let [node] = level {
        assert_eq!(node.count, 1);
        let line = node.call.line.unwrap() as usize;
        let declared = source.lines().nth(line - 1).unwrap();
        assert!(
            declared.contains(&format!("fn {}", node.call.name)),
            "{declared}"
        );
        names.push(node.call.name.as_str());
        level = &node.children;
    }
    assert_eq!(names.first(), Some(&"start_kernel"));
    assert_eq!(names[names.len() - 2..], ["queue_it", "set_task_cpu"]);
}

#[test]
fn a_function_that_is_not_there_is_named() {
    let image = image();
    let error = Calls::new(&image, "start_kernel", "set_cpus_allowed_ptr")
        .err()
        .unwrap();
    let text = error.to_string();
    assert_eq!(
        text,
        "the image has no function set_cpus_allowed_ptr (is __set_cpus_allowed_ptr meant?)"
    );
}

/// Takes so many bytes and no more.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0 < bytes.len() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_at_the_end() {
    let image = image();
    let mut machine = Machine::new(&config(), guest()).unwrap();
    let manifest = record().manifest().clone();
    let room = Full(3_300);
    let path = "full.krec".as_ref();
    let writer = trace::krec::Writer::new(room, path, &manifest).unwrap();
    let mut recorder = Recorder::new(writer, &image, 1).unwrap();
    recorder.attach(&mut machine);
    machine.run(&mut recorder, None).unwrap();
    match recorder.finish(&mut machine, OutcomeRow::PowerOff) {
        Err(error @ LiveError::Write(_)) => assert!(error.to_string().contains("full.krec")),
        Err(other) => panic!("{other}"),
        Ok((end, room)) => panic!("{} bytes were left: {end:?}", room.0),
    }
}

#[test]
fn the_return_probe_is_right_under_a_tail_call() {
    let image = image();
    let classifier = Classifier::new().unwrap();
    let function = image.functions_named("activate_task")[0];
    let enqueue_task = image.address_of("enqueue_task");
    let exits = classifier.exits(&image, function);
    assert!(!exits.is_empty());
    for exit in exits {
        assert_eq!(exit.flow, Flow::TailCall { to: enqueue_task });
    }
    // So the priority that enqueue_task sets is there when activate_task has "returned".
    let events = record().load_events().unwrap();
    let enqueued = events.iter().find_map(|event| match event.data {
        EventData::MoveEnqueued(e) => Some((event.insns, e.prio)),
        _ => None,
    });
    assert_eq!(enqueued.unwrap().1, 99);
}

#[test]
fn a_patched_site_is_told_from_the_images_own_code() {
    let image = image();
    let machine = Machine::new(&config(), guest()).unwrap();
    let target = MachineTarget {
        machine: &machine,
        vcpu: VcpuId(0),
    };
    let site = image.tracepoints()[0].addr;
    assert_eq!(is_patched(&image, &target, site, 1), Ok(false));
    let offset = guest()
        .windows(16)
        .position(|bytes| image.bytes_at(site, 16) == Some(bytes))
        .unwrap();
    let mut patched = guest().to_vec();
    patched[offset] = 0xcc;
    let machine = Machine::new(&config(), &patched).unwrap();
    let target = MachineTarget {
        machine: &machine,
        vcpu: VcpuId(0),
    };
    assert_eq!(is_patched(&image, &target, site, 1), Ok(true));
    assert!(is_patched(&image, &target, Addr(8), 1).is_err());
}

#[test]
fn a_function_that_left_by_a_tail_call_is_put_back() {
    let image = image();
    let mut machine = Machine::new(&config(), guest()).unwrap();
    let mut calls = Calls::new(&image, "start_kernel", "enqueue_task").unwrap();
    calls.attach(&mut machine);
    machine.run(&mut calls, None).unwrap();
    let mut names = Vec::new();
    let mut level = calls.tree();
    while let [node] = level {
        names.push(node.call.name.as_str());
        level = &node.children;
    }
    assert_eq!(names, ["start_kernel", "activate_task", "enqueue_task"]);
}
