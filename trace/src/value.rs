//! Typed reads of guest structures, by fields that DWARF has told.
//!
//! [`Value::of`] reads one field. For a structure that is read at every event, a [`Span`] reads all
//! of its fields that matter at once: one translation of the address instead of one a field.

use crate::event::{Addr, Comm};
use crate::image::{Field, Location, Shape};
use crate::target::{Register, Target, Unreadable};

/// A number that was read, with its sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value {
    bits: u64,
}

impl Value {
    /// Reads `field` of the structure at `base`. Of a field larger than a word, the first word.
    pub fn of(target: &dyn Target, base: Addr, field: Field) -> Result<Value, Unreadable> {
        let mut bytes = [0; 8];
        let size = size_of(field);
        target.read(Addr(base.0.wrapping_add(field.offset)), &mut bytes[..size])?;
        Ok(Value::from_bytes(&bytes[..size], field.shape))
    }

    fn from_bytes(bytes: &[u8], shape: Shape) -> Value {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let bits = u64::from_le_bytes(word);
        let unused = 64 - 8 * bytes.len() as u32;
        let bits = match shape {
            Shape::Signed if unused < 64 => ((bits << unused) as i64 >> unused) as u64,
            _ => bits,
        };
        Value { bits }
    }

    /// As an unsigned number.
    pub fn u64(self) -> u64 {
        self.bits
    }

    /// As a signed number.
    pub fn i64(self) -> i64 {
        self.bits as i64
    }

    /// The low half as a signed number: Linux's `int`.
    pub fn i32(self) -> i32 {
        self.bits as i32
    }

    /// The low half as an unsigned number.
    pub fn u32(self) -> u32 {
        self.bits as u32
    }

    /// As an address.
    pub fn addr(self) -> Addr {
        Addr(self.bits)
    }
}

fn size_of(field: Field) -> usize {
    field.size.min(8) as usize
}

/// The most bytes that a span reads at once.
const LONGEST: u64 = 1024;

/// Fields of one structure that are read together.
#[derive(Clone, Debug)]
pub struct Span {
    fields: Vec<Field>,
    low: u64,
    /// `None` where the fields lie too far apart for one read.
    len: Option<usize>,
}

impl Span {
    /// Prepares to read `fields`; they are then known by their place in this list.
    pub fn new(fields: Vec<Field>) -> Span {
        let low = fields.iter().map(|f| f.offset).min().unwrap_or(0);
        let high = fields
            .iter()
            .map(|f| f.offset.saturating_add(f.size.min(16)))
            .max()
            .unwrap_or(low);
        let len = (high - low <= LONGEST).then_some((high - low) as usize);
        Span { fields, low, len }
    }

    /// Reads the fields of the structure at `base`.
    pub fn read<'a>(
        &'a self,
        target: &'a dyn Target,
        base: Addr,
        buffer: &'a mut [u8; LONGEST as usize],
    ) -> Result<Loaded<'a>, Unreadable> {
        let bytes = match self.len {
            Some(len) => {
                let bytes = &mut buffer[..len];
                target.read(Addr(base.0.wrapping_add(self.low)), bytes)?;
                Some(&*bytes)
            }
            None => None,
        };
        Ok(Loaded {
            span: self,
            target,
            base,
            bytes,
        })
    }

    /// A buffer for [`read`](Span::read).
    pub fn buffer() -> [u8; LONGEST as usize] {
        [0; LONGEST as usize]
    }
}

/// The fields of one structure at one instant.
pub struct Loaded<'a> {
    span: &'a Span,
    target: &'a dyn Target,
    base: Addr,
    bytes: Option<&'a [u8]>,
}

impl Loaded<'_> {
    /// The field at place `index` of the span's list.
    pub fn value(&self, index: usize) -> Result<Value, Unreadable> {
        let Some(field) = self.span.fields.get(index).copied() else {
            return Err(Unreadable(self.base));
        };
        let start = (field.offset - self.span.low) as usize;
        match self
            .bytes
            .and_then(|bytes| bytes.get(start..start + size_of(field)))
        {
            Some(bytes) => Ok(Value::from_bytes(bytes, field.shape)),
            None => Value::of(self.target, self.base, field),
        }
    }

    /// The field at place `index` as a task name.
    pub fn comm(&self, index: usize) -> Result<Comm, Unreadable> {
        let Some(field) = self.span.fields.get(index).copied() else {
            return Err(Unreadable(self.base));
        };
        let size = field.size.min(16) as usize;
        let start = (field.offset - self.span.low) as usize;
        if let Some(bytes) = self.bytes.and_then(|bytes| bytes.get(start..start + size)) {
            return Ok(Comm::new(bytes));
        }
        let mut bytes = [0; 16];
        self.target.read(
            Addr(self.base.0.wrapping_add(field.offset)),
            &mut bytes[..size],
        )?;
        Ok(Comm::new(&bytes[..size]))
    }
}

/// The value at a location of a function's entry.
pub fn argument(target: &dyn Target, location: Location) -> Result<u64, Unreadable> {
    let register = |number| {
        Register::from_dwarf(number)
            .map(|register| target.register(register))
            .ok_or(Unreadable(Addr(0)))
    };
    match location {
        Location::Register(number) => register(number),
        Location::Memory {
            register: number,
            offset,
        } => target.read_u64(Addr(register(number)?.wrapping_add(offset as u64))),
    }
}
