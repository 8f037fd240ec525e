//! Events of the kernel as Perfetto's `FtraceEvent`s, gathered into bundles of one CPU each.
//!
//! What Perfetto has a message for is written as that message, field by field; everything else as a
//! `GenericFtraceEvent`, which carries its fields' names with it and is found in the table
//! `ftrace_event`.

use trace::event::{Event, EventData, EventSchema, FieldSchema, FieldValue};

use super::super::{code, is_code};
use super::Packets;
use super::wire::Message;
use crate::Error;
use crate::source::Source;

/// `FtraceEvent`: its own fields.
const TIMESTAMP: u32 = 1;
const PID: u32 = 2;
const GENERIC: u32 = 327;

/// The kind of event, its field in `FtraceEvent`, and the numbers of its fields in that message, in
/// our order, which is Linux's.
const NATIVE: [(&str, u32, &[u32]); 9] = [
    ("sched:sched_switch", 4, &[1, 2, 3, 4, 5, 6, 7]),
    ("sched:sched_waking", 20, &[1, 2, 3, 5]),
    ("sched:sched_wakeup", 17, &[1, 2, 3, 5]),
    ("sched:sched_wakeup_new", 114, &[1, 2, 3, 5]),
    ("sched:sched_migrate_task", 491, &[1, 2, 3, 4, 5]),
    ("sched:sched_process_fork", 239, &[1, 2, 3, 4]),
    ("sched:sched_process_exit", 238, &[1, 2, 4]),
    ("irq_vectors:local_timer_entry", 559, &[1]),
    ("irq_vectors:local_timer_exit", 560, &[1]),
];

/// A bundle of this size is written.
const BUNDLE: usize = 32 * 1024;

/// The events of all CPUs that are not written yet.
pub(super) struct Bundles {
    cpus: Vec<Vec<u8>>,
    natives: Vec<Option<(u32, &'static [u32])>>,
}

impl Bundles {
    pub(super) fn new(cpus: u32) -> Bundles {
        let native = |schema: &EventSchema| {
            let found = NATIVE.iter().find(|(name, ..)| *name == schema.name);
            found.map(|(_, field, fields)| (*field, *fields))
        };
        Bundles {
            cpus: vec![Vec::new(); cpus as usize],
            natives: EventData::SCHEMAS.iter().map(native).collect(),
        }
    }

    /// Adds an event to its CPU's bundle.
    pub(super) fn push(
        &mut self,
        source: &dyn Source,
        event: &Event,
        time_ns: u64,
        packets: &mut Packets,
    ) -> Result<(), Error> {
        let schema = event.data.schema();
        let place = EventData::SCHEMAS.iter().position(|s| s.id == schema.id);
        let native = place.and_then(|place| self.natives[place]);
        let bundle = &mut self.cpus[event.cpu as usize];
        // `event` in FtraceEventBundle.
        Message::at_end_of(bundle).message(2, |m| {
            m.uint(TIMESTAMP, time_ns);
            m.uint(PID, event.pid as u32 as u64);
            match native {
                Some((field, numbers)) => m.message(field, |m| native_fields(event, numbers, m)),
                None => m.message(GENERIC, |m| generic_fields(source, event, m)),
            };
        });
        if bundle.len() >= BUNDLE {
            write(event.cpu, bundle, packets)?;
        }
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self, packets: &mut Packets) -> Result<(), Error> {
        for (cpu, bundle) in (0..).zip(&mut self.cpus) {
            if !bundle.is_empty() {
                write(cpu, bundle, packets)?;
            }
        }
        Ok(())
    }
}

fn write(cpu: u32, bundle: &mut Vec<u8>, packets: &mut Packets) -> Result<(), Error> {
    // `ftrace_events` of the packet: the CPU, then the events as they are.
    packets.packet(|packet| {
        packet.message(1, |m| {
            m.uint(1, cpu.into());
            m.complete(bundle);
        });
    })?;
    bundle.clear();
    Ok(())
}

fn native_fields(event: &Event, numbers: &[u32], m: &mut Message<'_>) {
    let mut numbers = numbers.iter();
    event.data.visit(&mut |value| {
        let Some(number) = numbers.next() else {
            return;
        };
        match value {
            FieldValue::Int(v) => m.int(*number, v),
            FieldValue::Uint(v) => m.uint(*number, v),
            FieldValue::Addr(v) => m.uint(*number, v.0),
            FieldValue::Comm(v) => m.text(*number, &String::from_utf8_lossy(v.as_bytes())),
        };
    });
}

fn generic_fields(source: &dyn Source, event: &Event, m: &mut Message<'_>) {
    let schema = event.data.schema();
    m.text(1, name(schema));
    let mut fields = schema.fields.iter();
    event.data.visit(&mut |value| {
        if let Some(field) = fields.next() {
            m.message(2, |m| generic_field(source, field, value, m));
        }
    });
}

fn generic_field(source: &dyn Source, field: &FieldSchema, value: FieldValue, m: &mut Message<'_>) {
    const STR_VALUE: u32 = 3;
    const INT_VALUE: u32 = 4;
    const UINT_VALUE: u32 = 5;
    m.text(1, field.name);
    match value {
        FieldValue::Int(v) => m.int(INT_VALUE, v),
        FieldValue::Uint(v) => m.uint(UINT_VALUE, v),
        FieldValue::Addr(v) if is_code(field) => m.text(STR_VALUE, &code(source, v)),
        FieldValue::Addr(v) => m.uint(UINT_VALUE, v.0),
        FieldValue::Comm(v) => m.text(STR_VALUE, &String::from_utf8_lossy(v.as_bytes())),
    };
}

/// Linux's events without their system, as Perfetto has them; ours with it.
fn name(schema: &EventSchema) -> &'static str {
    match schema.name.split_once(':') {
        Some(("stop" | "move", _)) | None => schema.name,
        Some((_, name)) => name,
    }
}
