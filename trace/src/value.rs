//! Typed reads of guest structures, by fields that DWARF has told.
//!
//! [`Value::of`] reads one field. For a structure that is read at every event, a [`Span`] looks
//! at all of its fields that matter at once: one translation of an address instead of one a field.

use crate::event::{Addr, Comm};
use crate::image::{Field, Location, Shape};
use crate::target::{Register, Target, Unreadable};

/// A number that was read, with its sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value {
    bits: u64,
}

impl Value {
    /// Reads `field` of the structure at `base`. Of a field larger than a word, the first word;
    /// of a bit-field, its bits.
    pub fn of<T: Target + ?Sized>(
        target: &T,
        base: Addr,
        field: Field,
    ) -> Result<Value, Unreadable> {
        let mut bytes = [0; 8];
        let size = size_of(field);
        target.read(Addr(base.0.wrapping_add(field.offset)), &mut bytes[..size])?;
        Ok(Value::from_bytes(&bytes[..size], field))
    }

    #[inline]
    fn from_bytes(bytes: &[u8], field: Field) -> Value {
        // The sizes that nearly all fields have need no copy of a length that is not known.
        let bits = match *bytes {
            [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => {
                let mut word = [0; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                u64::from_le_bytes(word)
            }
        };
        let (bits, width) = match field.bits {
            None => (bits, 8 * bytes.len() as u32),
            Some(part) => {
                let width = u32::from(part.width.clamp(1, 57));
                (bits >> part.shift & ((1 << width) - 1), width)
            }
        };
        let unused = 64 - width;
        let bits = match field.shape {
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

/// Fields of one structure that are read together.
#[derive(Clone, Debug)]
pub struct Span {
    fields: Vec<Field>,
    low: u64,
    len: usize,
}

impl Span {
    /// Prepares to read `fields`; they are then known by their place in this list.
    pub fn new(fields: Vec<Field>) -> Span {
        let low = fields.iter().map(|f| f.offset).min().unwrap_or(0);
        let end = |f: &Field| f.offset.saturating_add(kept(*f));
        let high = fields.iter().map(end).max().unwrap_or(low);
        let len = usize::try_from(high - low).unwrap_or(usize::MAX);
        Span { fields, low, len }
    }

    /// Goes to the structure at `base`. Where its memory can be looked at as it is, that is done once;
    /// where it cannot, every field is read by itself.
    #[inline]
    pub fn at<'a, T: Target + ?Sized>(&'a self, target: &'a T, base: Addr) -> Loaded<'a, T> {
        Loaded {
            span: self,
            target,
            base,
            bytes: target.memory(Addr(base.0.wrapping_add(self.low)), self.len),
        }
    }
}

/// Bytes of a field that are of interest: a word, or a name.
fn kept(field: Field) -> u64 {
    field.size.min(16)
}

/// The fields of one structure at one instant.
pub struct Loaded<'a, T: Target + ?Sized> {
    span: &'a Span,
    target: &'a T,
    base: Addr,
    bytes: Option<&'a [u8]>,
}

impl<'a, T: Target + ?Sized> Loaded<'a, T> {
    /// The field at place `index` of the span's list.
    #[inline(always)]
    pub fn value(&self, index: usize) -> Result<Value, Unreadable> {
        let field = self.field(index)?;
        match self.look(field, size_of(field)) {
            Some(bytes) => Ok(Value::from_bytes(bytes, field)),
            None => Value::of(self.target, self.base, field),
        }
    }

    /// The field at place `index` as a task name.
    #[inline]
    pub fn comm(&self, index: usize) -> Result<Comm, Unreadable> {
        let field = self.field(index)?;
        let size = kept(field) as usize;
        if let Some(bytes) = self.look(field, size) {
            return Ok(Comm::new(bytes));
        }
        let mut bytes = [0; 16];
        self.target.read(
            Addr(self.base.0.wrapping_add(field.offset)),
            &mut bytes[..size],
        )?;
        Ok(Comm::new(&bytes[..size]))
    }

    #[inline]
    fn field(&self, index: usize) -> Result<Field, Unreadable> {
        let field = self.span.fields.get(index);
        field.copied().ok_or(Unreadable(self.base))
    }

    #[inline]
    fn look(&self, field: Field, size: usize) -> Option<&'a [u8]> {
        let start = (field.offset - self.span.low) as usize;
        self.bytes?.get(start..start + size)
    }
}

/// The value at a location of a function's entry.
pub fn argument<T: Target + ?Sized>(target: &T, location: Location) -> Result<u64, Unreadable> {
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
