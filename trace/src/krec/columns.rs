//! An events frame: rows to columns and back. The layout is drawn in [`crate::krec`].
//!
//! Columns are grown as events come, so that the size is known exactly and a frame is never larger
//! than the format allows. Predictions (the CPU's previous clock, its current task) restart with every
//! frame, so that a frame decodes alone.

use std::collections::BTreeMap;

use super::MAX_RAW;
use super::varint::{Cursor, put, put_signed};
use crate::event::{Addr, Comm, Event, EventData, FieldType, FieldValue, StackId};

/// What one more event and the columns' lengths can need at most.
const RESERVE: usize = 2048;

/// CPU numbers are below this; far more than any machine we emulate has.
pub const MAX_CPUS: u32 = 1024;

/// What the previous events of a CPU imply for its next one.
#[derive(Clone, Copy, Default)]
struct Predicted {
    cycles: u64,
    insns: u64,
    task: Option<(i32, Comm)>,
}

/// Predictions by CPU.
#[derive(Default)]
struct Cpus(Vec<Predicted>);

impl Cpus {
    /// `None` for a CPU number that only a bad file has.
    fn of(&mut self, cpu: u32) -> Option<&mut Predicted> {
        if cpu >= MAX_CPUS {
            return None;
        }
        let cpu = cpu as usize;
        if self.0.len() <= cpu {
            self.0.resize(cpu + 1, Predicted::default());
        }
        self.0.get_mut(cpu)
    }
}

impl Predicted {
    fn advance(&mut self, event: &Event) {
        self.cycles = event.cycles;
        self.insns = event.insns;
        self.task = Some(match &event.data {
            EventData::SchedSwitch(switch) => (switch.next_pid, switch.next_comm),
            _ => (event.pid, event.comm),
        });
    }
}

/// Values met in this frame, numbered in the order they were met.
struct Dictionary<T> {
    list: Vec<T>,
    numbers: BTreeMap<T, u64>,
    /// By [`Key::slot`]: the value last looked up there. Most look-ups end here.
    recent: Box<[Option<(T, u64)>; SLOTS]>,
}

const SLOTS: usize = 64;

/// A value that can be kept in a dictionary.
trait Key: Copy + Ord {
    /// A number below [`SLOTS`] that differs for most values.
    fn slot(self) -> usize;
}

fn slot(word: u64) -> usize {
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize
}

impl Key for Comm {
    fn slot(self) -> usize {
        let bits = u128::from_le_bytes(self.padded());
        slot(bits as u64 ^ ((bits >> 64) as u64).rotate_left(17))
    }
}

impl Key for Addr {
    fn slot(self) -> usize {
        slot(self.0)
    }
}

impl<T: Key> Dictionary<T> {
    fn new() -> Self {
        Dictionary {
            list: Vec::new(),
            numbers: BTreeMap::new(),
            recent: Box::new([None; SLOTS]),
        }
    }

    fn number(&mut self, value: T) -> u64 {
        let recent = &mut self.recent[value.slot() % SLOTS];
        if let Some((known, number)) = *recent
            && known == value
        {
            return number;
        }
        let number = *self.numbers.entry(value).or_insert_with(|| {
            self.list.push(value);
            self.list.len() as u64 - 1
        });
        *recent = Some((value, number));
        number
    }
}

/// The columns of the frame being written.
pub struct Encoder {
    first: u64,
    rows: u32,
    comms: Dictionary<Comm>,
    addrs: Dictionary<Addr>,
    kinds: Vec<u8>,
    cpus: Vec<u8>,
    cycles: Vec<u8>,
    insns: Vec<u8>,
    tasks: Vec<u8>,
    stacks: Vec<u8>,
    /// The columns of all kinds, one after the other: see [`COLUMNS`].
    fields: Vec<Vec<u8>>,
    field_bytes: usize,
    predicted: Cpus,
}

/// By the number of a kind: where its columns begin among those of all kinds.
const COLUMNS: [Option<u16>; 256] = {
    let mut starts = [None; 256];
    let mut next = 0;
    let mut kind = 0;
    while kind < EventData::SCHEMAS.len() {
        starts[EventData::SCHEMAS[kind].id as usize] = Some(next);
        next += EventData::SCHEMAS[kind].fields.len() as u16;
        kind += 1;
    }
    starts
};

impl Encoder {
    /// An empty frame whose first event will be number `first`.
    pub fn new(first: u64) -> Encoder {
        Encoder {
            first,
            rows: 0,
            comms: Dictionary::new(),
            addrs: Dictionary::new(),
            kinds: Vec::new(),
            cpus: Vec::new(),
            cycles: Vec::new(),
            insns: Vec::new(),
            tasks: Vec::new(),
            stacks: Vec::new(),
            fields: EventData::SCHEMAS
                .iter()
                .flat_map(|schema| schema.fields)
                .map(|_| Vec::new())
                .collect(),
            field_bytes: 0,
            predicted: Cpus::default(),
        }
    }

    pub fn first(&self) -> u64 {
        self.first
    }

    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether the frame must be written before the next event.
    pub fn is_full(&self) -> bool {
        self.size() + RESERVE > MAX_RAW
    }

    fn size(&self) -> usize {
        self.comms.list.len() * 16
            + self.addrs.list.len() * 10
            + self.kinds.len()
            + self.cpus.len()
            + self.cycles.len()
            + self.insns.len()
            + self.tasks.len()
            + self.stacks.len()
            + self.field_bytes
    }

    /// Adds a row; false, and nothing is added, if its CPU cannot be stored.
    pub fn push(&mut self, event: &Event) -> bool {
        let schema = event.data.schema();
        let (Some(first), Some(predicted)) = (
            COLUMNS[usize::from(schema.id)],
            self.predicted.of(event.cpu),
        ) else {
            return false;
        };
        self.rows += 1;
        self.kinds.push(schema.id);
        put(&mut self.cpus, u64::from(event.cpu));
        let cycles = event.cycles.wrapping_sub(predicted.cycles);
        let insns = event.insns.wrapping_sub(predicted.insns);
        put(&mut self.cycles, cycles);
        put_signed(&mut self.insns, cycles.wrapping_sub(insns) as i64);
        if predicted.task == Some((event.pid, event.comm)) {
            put(&mut self.tasks, 0);
        } else {
            put(&mut self.tasks, self.comms.number(event.comm) + 1);
            put_signed(&mut self.tasks, i64::from(event.pid));
        }
        predicted.advance(event);
        put(
            &mut self.stacks,
            event.stack.map_or(0, |stack| u64::from(stack.0) + 1),
        );

        let mut columns = self.fields[usize::from(first)..].iter_mut();
        event.data.visit(&mut |value| {
            let Some(column) = columns.next() else {
                return;
            };
            let before = column.len();
            match value {
                FieldValue::Int(v) => put_signed(column, v),
                FieldValue::Uint(v) => put(column, v),
                FieldValue::Addr(v) => put(column, self.addrs.number(v)),
                FieldValue::Comm(v) => put(column, self.comms.number(v)),
            }
            self.field_bytes += column.len() - before;
        });
        true
    }

    /// The frame's payload.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size() + RESERVE);
        put(&mut out, u64::from(self.rows));
        put(&mut out, self.comms.list.len() as u64);
        for comm in &self.comms.list {
            put_block(&mut out, comm.as_bytes());
        }
        put(&mut out, self.addrs.list.len() as u64);
        let mut before = 0;
        for addr in &self.addrs.list {
            put_signed(&mut out, addr.0.wrapping_sub(before) as i64);
            before = addr.0;
        }
        for column in [
            &self.kinds,
            &self.cpus,
            &self.cycles,
            &self.insns,
            &self.tasks,
            &self.stacks,
        ] {
            put_block(&mut out, column);
        }
        let mut columns = self.fields.iter();
        for schema in EventData::SCHEMAS {
            let present = self.kinds.contains(&schema.id);
            for column in columns.by_ref().take(schema.fields.len()) {
                if present {
                    put_block(&mut out, column);
                }
            }
        }
        out
    }
}

fn put_block(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn position(id: u8) -> Option<usize> {
    EventData::SCHEMAS.iter().position(|schema| schema.id == id)
}

/// The columns of the frame being read; yields its events.
pub struct Decoder {
    next: u64,
    left: u64,
    comms: Vec<Comm>,
    addrs: Vec<Addr>,
    columns: [Column; 6],
    /// By kind in the order of the schemas, then by field; empty for kinds without rows.
    fields: Vec<Vec<Column>>,
    raw: Vec<u8>,
    predicted: Cpus,
}

/// A stretch of the payload that is read in order.
#[derive(Clone, Copy, Default)]
struct Column {
    at: usize,
    end: usize,
}

impl Column {
    /// Reads with `f`; `None` at the end of the column.
    fn read<T>(&mut self, raw: &[u8], f: impl FnOnce(&mut Cursor) -> Option<T>) -> Option<T> {
        let mut cursor = Cursor(raw.get(self.at..self.end)?);
        let value = f(&mut cursor)?;
        self.at = self.end - cursor.0.len();
        Some(value)
    }
}

const KIND: usize = 0;
const CPU: usize = 1;
const CYCLES: usize = 2;
const INSNS: usize = 3;
const TASK: usize = 4;
const STACK: usize = 5;

impl Decoder {
    /// Reads a frame's lists and finds its columns; `None` if the payload is not of this form.
    pub fn new(first: u64, rows: u32, raw: Vec<u8>) -> Option<Decoder> {
        let mut cursor = Cursor(&raw);
        let left = cursor.number()?;
        if left != u64::from(rows) {
            return None;
        }
        let mut comms = Vec::new();
        for _ in 0..cursor.size()? {
            let bytes = cursor.block()?;
            if bytes.len() > 15 {
                return None;
            }
            comms.push(Comm::new(bytes));
        }
        let mut addrs = Vec::new();
        let mut addr = 0_u64;
        for _ in 0..cursor.size()? {
            addr = addr.wrapping_add(cursor.signed()? as u64);
            addrs.push(Addr(addr));
        }
        let mut column = || {
            let bytes = cursor.block()?;
            let end = raw.len() - cursor.0.len();
            Some(Column {
                at: end - bytes.len(),
                end,
            })
        };
        let mut columns = [Column::default(); 6];
        for slot in &mut columns {
            *slot = column()?;
        }
        let kinds = raw.get(columns[KIND].at..columns[KIND].end)?;
        if kinds.len() as u64 != left {
            return None;
        }
        let mut fields = Vec::with_capacity(EventData::SCHEMAS.len());
        for schema in EventData::SCHEMAS {
            let mut of_kind = Vec::new();
            if kinds.contains(&schema.id) {
                for _ in schema.fields {
                    of_kind.push(column()?);
                }
            }
            fields.push(of_kind);
        }
        if !cursor.is_empty() {
            return None;
        }
        Some(Decoder {
            next: first,
            left,
            comms,
            addrs,
            columns,
            fields,
            raw,
            predicted: Cpus::default(),
        })
    }

    fn number(&mut self, column: usize) -> Option<u64> {
        self.columns[column].read(&self.raw, |c| c.number())
    }

    fn signed(&mut self, column: usize) -> Option<i64> {
        self.columns[column].read(&self.raw, |c| c.signed())
    }

    /// The next event; `Ok(None)` after the last, `Err(())` if the payload is not of this form.
    pub fn next_event(&mut self) -> Result<Option<Event>, ()> {
        if self.left == 0 {
            let rest = self.columns.iter().chain(self.fields.iter().flatten());
            let clean = rest.into_iter().all(|column| column.at == column.end);
            return if clean { Ok(None) } else { Err(()) };
        }
        let event = self.row().ok_or(())?;
        self.left -= 1;
        self.next = self.next.wrapping_add(1);
        Ok(Some(event))
    }

    fn row(&mut self) -> Option<Event> {
        let id = self.columns[KIND].read(&self.raw, |c| c.byte())?;
        let cpu = u32::try_from(self.number(CPU)?).ok()?;
        let cycles = self.number(CYCLES)?;
        let idle = self.signed(INSNS)? as u64;
        let task = self.number(TASK)?;
        let stated = if task == 0 {
            None
        } else {
            let comm = *self.comms.get(usize::try_from(task - 1).ok()?)?;
            Some((i32::try_from(self.signed(TASK)?).ok()?, comm))
        };
        let stack = match self.number(STACK)? {
            0 => None,
            number => Some(StackId(u32::try_from(number - 1).ok()?)),
        };

        let kind = position(id)?;
        let types = EventData::SCHEMAS[kind].fields;
        let mut columns = self.fields[kind].iter_mut().zip(types);
        let (raw, comms, addrs) = (&self.raw, &self.comms, &self.addrs);
        let data = EventData::from_values(id, &mut || {
            let (column, field) = columns.next()?;
            Some(match field.ty {
                FieldType::Int => FieldValue::Int(column.read(raw, |c| c.signed())?),
                FieldType::Uint | FieldType::Mask => {
                    FieldValue::Uint(column.read(raw, |c| c.number())?)
                }
                FieldType::Addr => FieldValue::Addr(*addrs.get(column.read(raw, |c| c.size())?)?),
                FieldType::Comm => FieldValue::Comm(*comms.get(column.read(raw, |c| c.size())?)?),
            })
        })?;

        let predicted = self.predicted.of(cpu)?;
        let (pid, comm) = stated.or(predicted.task)?;
        let event = Event {
            seq: self.next,
            cpu,
            cycles: predicted.cycles.wrapping_add(cycles),
            insns: predicted.insns.wrapping_add(cycles.wrapping_sub(idle)),
            pid,
            comm,
            stack,
            data,
        };
        predicted.advance(&event);
        Some(event)
    }
}
