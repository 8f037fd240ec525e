//! The events as C structures: their layout, the text that declares it, and records in it.
//!
//! Fields have Linux's names, order and types, so plug-ins that know `sched_switch` find what they
//! look for. In our own events (`stop:*`, `move:*`) functions and call sites are names and not
//! addresses, because not every reader resolves those.

use trace::event::{Event, EventData, EventSchema, FieldSchema, FieldType, FieldValue};

use super::super::{code, is_code};
use crate::source::Source;

/// Of the first event; lower numbers are the kernel's own.
const FIRST_ID: u16 = 300;
/// `common_type`, `common_flags`, `common_preempt_count`, `common_pid`.
const COMMON: usize = 8;
/// `common_flags`: whether interrupts are off was not recorded.
const IRQS_NOSUPPORT: u8 = 0x02;
/// `common_flags`: in the handler of an interrupt.
const HARDIRQ: u8 = 0x08;

/// How a field is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    /// A number of 4 or 8 bytes.
    Number(usize),
    /// `char[16]`.
    Comm,
    /// `__data_loc char[]`: offset and length of a text behind the structure.
    Text,
}

impl Stored {
    fn of(schema: &EventSchema, field: &FieldSchema) -> Stored {
        match field.ty {
            FieldType::Comm => Stored::Comm,
            FieldType::Addr if is_ours(schema) && is_code(field) => Stored::Text,
            _ => Stored::Number(field.bytes),
        }
    }

    fn size(self) -> usize {
        match self {
            Stored::Number(bytes) => bytes,
            Stored::Comm => 16,
            Stored::Text => 4,
        }
    }

    fn align(self) -> usize {
        match self {
            Stored::Number(bytes) => bytes,
            Stored::Comm => 1,
            Stored::Text => 4,
        }
    }
}

struct Slot {
    field: &'static FieldSchema,
    stored: Stored,
    offset: usize,
}

/// One kind of event.
pub(super) struct Format {
    schema: &'static EventSchema,
    slots: Vec<Slot>,
    size: usize,
}

impl Format {
    fn new(schema: &'static EventSchema) -> Format {
        let mut size = COMMON;
        let mut slots = Vec::new();
        for field in schema.fields {
            let stored = Stored::of(schema, field);
            let offset = size.next_multiple_of(stored.align());
            size = offset + stored.size();
            slots.push(Slot {
                field,
                stored,
                offset,
            });
        }
        Format {
            schema,
            slots,
            size,
        }
    }

    fn id(&self) -> u16 {
        FIRST_ID + u16::from(self.schema.id)
    }

    pub(super) fn system(&self) -> &'static str {
        split(self.schema).0
    }

    /// The file `events/SYSTEM/NAME/format` of tracefs.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "name: {}\nID: {}\nformat:\n",
            split(self.schema).1,
            self.id()
        );
        for (declaration, offset, size, signed) in [
            ("unsigned short common_type", 0, 2, 0),
            ("unsigned char common_flags", 2, 1, 0),
            ("unsigned char common_preempt_count", 3, 1, 0),
            ("int common_pid", 4, 4, 1),
        ] {
            text += &declare(declaration, offset, size, signed);
        }
        text += "\n";
        for slot in &self.slots {
            let signed = slot.field.ty == FieldType::Int;
            let declaration = self.declaration(slot);
            text += &declare(&declaration, slot.offset, slot.stored.size(), signed.into());
        }
        text + "\nprint fmt: " + &self.print_fmt() + "\n"
    }

    fn declaration(&self, slot: &Slot) -> String {
        let name = slot.field.name;
        let long = slot.field.bytes == 8;
        let c_type = match (slot.stored, slot.field.ty) {
            (Stored::Comm, _) => return format!("char {name}[16]"),
            (Stored::Text, _) => return format!("__data_loc char[] {name}"),
            (_, FieldType::Addr) if !is_ours(self.schema) => "void *",
            (_, FieldType::Int) if self.system() == "sched" && name.ends_with("pid") => "pid_t",
            (_, FieldType::Int) if long => "long",
            (_, FieldType::Int) => "int",
            _ if long => "unsigned long",
            _ => "unsigned int",
        };
        format!("{c_type} {name}")
    }

    fn print_fmt(&self) -> String {
        let linux = match self.schema.name {
            "sched:sched_switch" => Some(SCHED_SWITCH),
            "sched:sched_waking" | "sched:sched_wakeup" | "sched:sched_wakeup_new" => {
                Some(SCHED_WAKEUP)
            }
            "ipi:ipi_send_cpu" => Some(IPI_SEND_CPU),
            "ipi:ipi_send_cpumask" => Some(IPI_SEND_CPUMASK),
            "cpuhp:cpuhp_enter" | "cpuhp:cpuhp_multi_enter" => Some(CPUHP_ENTER),
            "cpuhp:cpuhp_exit" => Some(CPUHP_EXIT),
            _ => None,
        };
        if let Some(linux) = linux {
            return linux.to_owned();
        }
        let mut words = Vec::new();
        let mut values = String::new();
        for slot in &self.slots {
            let name = slot.field.name;
            let verb = match (slot.stored, slot.field.ty) {
                (Stored::Comm | Stored::Text, _) => "%s",
                (_, FieldType::Addr | FieldType::Mask) => "0x%lx",
                (Stored::Number(8), FieldType::Int) => "%ld",
                (_, FieldType::Int) => "%d",
                (Stored::Number(8), _) => "%lu",
                _ => "%u",
            };
            words.push(format!("{name}={verb}"));
            values += &match slot.stored {
                Stored::Text => format!(", __get_str({name})"),
                _ => format!(", REC->{name}"),
            };
        }
        format!("\"{}\"{values}", words.join(" "))
    }
}

const SCHED_SWITCH: &str = concat!(
    "\"prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s%s ==> ",
    "next_comm=%s next_pid=%d next_prio=%d\", REC->prev_comm, REC->prev_pid, REC->prev_prio, ",
    "(REC->prev_state & 0xff) ? __print_flags(REC->prev_state & 0xff, \"|\", { 0x1, \"S\" }, ",
    "{ 0x2, \"D\" }, { 0x4, \"T\" }, { 0x8, \"t\" }, { 0x10, \"X\" }, { 0x20, \"Z\" }, ",
    "{ 0x40, \"P\" }, { 0x80, \"I\" }) : \"R\", REC->prev_state & 0x100 ? \"+\" : \"\", ",
    "REC->next_comm, REC->next_pid, REC->next_prio"
);
const SCHED_WAKEUP: &str = concat!(
    "\"comm=%s pid=%d prio=%d target_cpu=%03d\", ",
    "REC->comm, REC->pid, REC->prio, REC->target_cpu"
);
const IPI_SEND_CPU: &str =
    "\"cpu=%u callsite=%pS callback=%pS\", REC->cpu, REC->callsite, REC->callback";
/// The mask as a number: not every reader knows how to print one.
const IPI_SEND_CPUMASK: &str =
    "\"cpumask=0x%lx callsite=%pS callback=%pS\", REC->cpumask, REC->callsite, REC->callback";
const CPUHP_ENTER: &str = concat!(
    "\"cpu: %04u target: %3d step: %3d (%ps)\", ",
    "REC->cpu, REC->target, REC->idx, REC->fun"
);
const CPUHP_EXIT: &str = concat!(
    "\" cpu: %04u  state: %3d step: %3d ret: %d\", ",
    "REC->cpu, REC->state, REC->idx, REC->ret"
);

fn declare(declaration: &str, offset: usize, size: usize, signed: u8) -> String {
    format!("\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:{signed};\n")
}

fn split(schema: &EventSchema) -> (&'static str, &'static str) {
    schema.name.split_once(':').unwrap_or(("", schema.name))
}

fn is_ours(schema: &EventSchema) -> bool {
    matches!(split(schema).0, "stop" | "move" | "boot")
}

/// All kinds, by the number that events have in a recording.
pub(super) struct Formats(Vec<Format>);

impl Formats {
    pub(super) fn new() -> Formats {
        Formats(EventData::SCHEMAS.iter().map(Format::new).collect())
    }

    /// The kinds of each system, in the order in which systems first appear.
    pub(super) fn systems(&self) -> Vec<(&'static str, Vec<&Format>)> {
        let mut systems: Vec<(&'static str, Vec<&Format>)> = Vec::new();
        for format in &self.0 {
            match systems
                .iter_mut()
                .find(|(name, _)| *name == format.system())
            {
                Some((_, formats)) => formats.push(format),
                None => systems.push((format.system(), vec![format])),
            }
        }
        systems
    }

    /// Makes the event's record; returns whether its CPU is in an interrupt after it.
    pub(super) fn record(
        &self,
        source: &dyn Source,
        event: &Event,
        in_interrupt: bool,
        record: &mut Vec<u8>,
    ) -> bool {
        let schema = event.data.schema();
        let Some(format) = self.0.iter().find(|f| f.schema.id == schema.id) else {
            return in_interrupt;
        };
        let (system, name) = split(schema);
        let enters = system == "irq_vectors" && name.ends_with("_entry");
        let leaves = system == "irq_vectors" && name.ends_with("_exit");
        let hardirq = if in_interrupt || enters { HARDIRQ } else { 0 };
        record.clear();
        record.extend(format.id().to_le_bytes());
        record.extend([IRQS_NOSUPPORT | hardirq, 0]);
        record.extend(event.pid.to_le_bytes());
        record.resize(format.size, 0);
        let mut slots = format.slots.iter();
        event.data.visit(&mut |value| {
            if let Some(slot) = slots.next() {
                put(record, slot, value, source);
            }
        });
        record.resize(record.len().next_multiple_of(4), 0);
        enters || in_interrupt && !leaves
    }
}

fn put(record: &mut Vec<u8>, slot: &Slot, value: FieldValue, source: &dyn Source) {
    let at = slot.offset;
    let bits = match value {
        FieldValue::Int(v) => v as u64,
        FieldValue::Uint(v) => v,
        FieldValue::Comm(comm) => {
            record[at..at + 16].copy_from_slice(&comm.padded());
            return;
        }
        FieldValue::Addr(addr) if slot.stored == Stored::Text => {
            let text = code(source, addr);
            let location = (text.len() as u32 + 1) << 16 | record.len() as u32;
            record.extend(text.as_bytes());
            record.push(0);
            record[at..at + 4].copy_from_slice(&location.to_le_bytes());
            return;
        }
        FieldValue::Addr(addr) => addr.0,
    };
    let bytes = bits.to_le_bytes();
    let size = slot.stored.size().min(bytes.len());
    record[at..at + size].copy_from_slice(&bytes[..size]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sched_switch_is_laid_out_as_linux_does() {
        let formats = Formats::new();
        let text = formats.0[0].text();
        for line in [
            "\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;",
            "\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;",
            "\tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;",
            "\tfield:int next_prio;\toffset:60;\tsize:4;\tsigned:1;",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(formats.0[0].size, 64);
    }

    #[test]
    fn functions_of_our_events_are_text_and_of_linuxs_pointers() {
        let formats = Formats::new();
        let of = |name: &str| {
            let found = formats.0.iter().find(|f| f.schema.name == name);
            found.unwrap().text()
        };
        let queue = of("stop:work_queue");
        assert!(queue.contains("__data_loc char[] caller"), "{queue}");
        assert!(queue.contains("unsigned long work"), "{queue}");
        assert!(queue.contains("fn=%s caller=%s done=0x%lx"), "{queue}");
        assert!(of("ipi:ipi_send_cpu").contains("void * callsite"));
    }
}
