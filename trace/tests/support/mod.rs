//! Recordings for the tests of the file: random events of every kind, and a plausible scheduler.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use trace::event::{Addr, Comm, Event, EventData, FieldType, FieldValue};
use trace::events::{LocalTimerEntry, SchedSwitch, SchedWaking};
use trace::krec::{EndOfRun, ImageId, InputRow, Manifest, OutcomeRow, Symbol, TaskRow, Writer};

/// An event as the strategies make it: numbers that fit every integer type of the schema.
#[derive(Clone, Debug)]
pub struct Row {
    cpu: u32,
    cycles: u64,
    insns: u64,
    pid: i32,
    comm: u8,
    stack: Option<Vec<u64>>,
    kind: usize,
    fields: Vec<u64>,
}

/// Rows of every kind, with clocks that may even go backward.
pub fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
    let row = (
        (
            0..16_u32,
            any::<u64>(),
            any::<u64>(),
            any::<i32>(),
            any::<u8>(),
        ),
        prop::option::weighted(0.2, prop::collection::vec(any::<u64>(), 0..4)),
        0..EventData::SCHEMAS.len(),
        prop::collection::vec(any::<u64>(), 16),
    );
    prop::collection::vec(row, 0..most).prop_map(|rows| {
        rows.into_iter()
            .map(
                |((cpu, cycles, insns, pid, comm), stack, kind, fields)| Row {
                    cpu,
                    cycles,
                    insns,
                    pid,
                    comm,
                    stack,
                    kind,
                    fields,
                },
            )
            .collect()
    })
}

fn name(number: u8) -> Comm {
    Comm::from(format!("task/{}", number % 37).as_str())
}

impl Row {
    /// The event, its stack put into the writer's table.
    pub fn event<W: std::io::Write>(&self, seq: u64, writer: &mut Writer<W>) -> Event {
        let schema = &EventData::SCHEMAS[self.kind];
        let mut fields = schema.fields.iter().zip(&self.fields);
        let data = EventData::from_values(schema.id, &mut || {
            let (field, bits) = fields.next()?;
            Some(match field.ty {
                FieldType::Int => FieldValue::Int(i64::from(*bits as i32)),
                FieldType::Uint => FieldValue::Uint(u64::from(*bits as u32)),
                FieldType::Mask => FieldValue::Uint(*bits),
                FieldType::Addr => FieldValue::Addr(Addr(*bits)),
                FieldType::Comm => FieldValue::Comm(name(*bits as u8)),
            })
        })
        .expect("the values have the types of the schema");
        let stack = self.stack.as_ref().map(|addrs| {
            let addrs: Vec<Addr> = addrs.iter().map(|addr| Addr(*addr)).collect();
            writer.stack(&addrs)
        });
        Event {
            seq,
            cpu: self.cpu,
            cycles: self.cycles,
            insns: self.insns,
            pid: self.pid,
            comm: name(self.comm),
            stack,
            data,
        }
    }
}

/// The manifest of the tests, for an image of `size` bytes.
pub fn manifest(size: u64) -> Manifest {
    Manifest {
        kreplay: "0.1.0".into(),
        image: ImageId {
            build_id: Some("c0ffee".into()),
            sha256: "00".repeat(32),
            size,
            embedded: size > 0,
        },
        files: Default::default(),
        command_line: "workload=affinity".into(),
        cpus: 2,
        topology: None,
        ram_bytes: 256 << 20,
        quantum: 1000,
        ipi_latency: 2000,
        cycles_per_second: 1_000_000_000,
        policy: "round-robin".into(),
        seed: None,
        workload: "affinity".into(),
        until: None,
        cost_model: 1,
    }
}

/// The end of the tests' runs.
pub fn end() -> EndOfRun {
    EndOfRun {
        outcome: OutcomeRow::PowerOff,
        cycles: 10_000,
        cpu_cycles: vec![10_000, 10_000],
        cpu_insns: vec![9_000, 4_000],
        events: 0,
        stream_sha256: String::new(),
        machine_digest: "ab".repeat(32),
        longest_stretch: 77,
        late_ipis: 0,
        counters: BTreeMap::from([("stop_works_done".to_owned(), 3)]),
        machine: BTreeMap::new(),
        console_bytes: 0,
        missing: Vec::new(),
    }
}

/// What is typed in the small recording: every byte is one, also those that no text has.
pub fn typed() -> Vec<InputRow> {
    let row = |(cycles, byte): (u64, u8)| InputRow {
        cycles,
        device: "serial0".into(),
        byte,
    };
    [(5_000, b'l'), (5_000, b'\n'), (7_000, 0), (7_001, 0xff)]
        .map(row)
        .to_vec()
}

/// A recording with something in every kind of frame.
pub fn small_recording(events: u64) -> Vec<u8> {
    let image: Vec<u8> = (0..70_000_u32).map(|i| (i >> 8) as u8).collect();
    let mut writer = Writer::new(Vec::new(), Path::new("small.krec"), &manifest(70_000))
        .expect("a Vec takes all");
    writer.image(&image).expect("a Vec takes all");
    for byte in b"Linux version\nready" {
        writer.console(123, 0, *byte).expect("a Vec takes all");
    }
    for row in typed() {
        writer.input(&row).expect("a Vec takes all");
    }
    for event in scheduler(events) {
        let stack = (event.seq % 9 == 0).then(|| writer.stack(&[Addr(event.seq % 4), Addr(7)]));
        let event = Event { stack, ..event };
        writer.event(&event).expect("a Vec takes all");
        if event.seq == events / 2 {
            let symbol = Symbol {
                name: "schedule".into(),
                offset: 4,
                file: Some("kernel/sched/core.rs".into()),
                line: Some(6745),
                inlined: Vec::new(),
            };
            writer.symbol(Addr(7), &symbol).expect("a Vec takes all");
            writer.flush().expect("a Vec takes all");
        }
    }
    let task = TaskRow {
        addr: 0xffff_8880_0000_1000,
        pid: 12,
        comm: "migration/0".into(),
        cpu: 0,
        state: 'S',
        on_cpu: false,
        on_rq: 0,
        class: "stop".into(),
        prio: 0,
        cpus_mask: 1,
    };
    writer.tasks(&[task]).expect("a Vec takes all");
    writer.finish(end()).expect("a Vec takes all").1
}

/// A scheduler's life on two CPUs: ticks, wake-ups and switches in the mixture of a busy boot, from
/// a fixed pseudo-random sequence.
pub fn scheduler(events: u64) -> impl Iterator<Item = Event> {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut clock = [1_000_000_u64; 2];
    let mut insns = [900_000_u64; 2];
    let mut current = [0_i32; 2];
    let task = |pid: i32| match pid {
        0 => Comm::from("swapper/0"),
        pid if pid < 20 => Comm::from(format!("migration/{pid}").as_str()),
        pid => Comm::from(format!("hog/{pid}").as_str()),
    };
    (0..events).map(move |seq| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let cpu = (random >> 60 & 1) as usize;
        let step = random % 5_000 + 20;
        clock[cpu] += step;
        insns[cpu] += if random >> 40 & 7 == 0 {
            step / 3
        } else {
            step
        };
        let pid = current[cpu];
        let data: EventData = match random >> 30 & 3 {
            0 => LocalTimerEntry { vector: 236 }.into(),
            1 => SchedWaking {
                comm: task((random >> 20 & 31) as i32),
                pid: (random >> 20 & 31) as i32,
                prio: 120,
                target_cpu: cpu as i32,
            }
            .into(),
            _ => {
                let next = (random >> 12 & 31) as i32;
                current[cpu] = next;
                SchedSwitch {
                    prev_comm: task(pid),
                    prev_pid: pid,
                    prev_prio: 120,
                    prev_state: if random >> 9 & 1 == 0 { 1 } else { 0x100 },
                    next_comm: task(next),
                    next_pid: next,
                    next_prio: 120,
                }
                .into()
            }
        };
        Event {
            seq,
            cpu: cpu as u32,
            cycles: clock[cpu],
            insns: insns[cpu],
            pid,
            comm: task(pid),
            stack: None,
            data,
        }
    })
}
