//! One row of a recording: the header every event shares, and the closed set of event kinds.
//!
//! The names, fields and their order are Linux v6.8's (`include/trace/events/*.h`) wherever Linux has
//! the event; `stop:*` and `move:*` are ours and are marked so. The kinds themselves are declared one
//! Linux trace system a file in [`crate::events`]; the macro there also writes the schema that every
//! recording carries. This file is *not* the file format: see [`crate::krec`].

use std::fmt;

pub use crate::events::EventData;

/// A task name: at most 15 bytes, as Linux's `comm`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Comm([u8; 16]);

impl Comm {
    /// Takes the bytes up to the first NUL, at most 15 of them.
    #[inline]
    pub fn new(bytes: &[u8]) -> Comm {
        let mut comm = [0; 16];
        match bytes.first_chunk() {
            Some(whole) => comm = *whole,
            None => comm[..bytes.len()].copy_from_slice(bytes),
        }
        comm[15] = 0;
        let word = u128::from_le_bytes(comm);
        // Nothing is kept after the first NUL.
        let kept = (1 << (8 * length(word))) - 1;
        Comm((word & kept).to_le_bytes())
    }

    /// The bytes of the name, without the padding.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0[..length(u128::from_le_bytes(self.0))]
    }

    /// The bytes of the name and the zeros after it.
    pub fn padded(&self) -> [u8; 16] {
        self.0
    }

    /// The name as text; bytes that are not UTF-8 are shown as U+FFFD.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(self.as_bytes()).into_owned()
    }
}

/// Bytes of a name before its first NUL; its last byte is one.
fn length(word: u128) -> usize {
    const LOW: u128 = u128::from_le_bytes([1; 16]);
    // The lowest bit set here is in the lowest byte that is zero.
    let zeros = word.wrapping_sub(LOW) & !word & (LOW << 7);
    (zeros.trailing_zeros() / 8).min(15) as usize
}

impl From<&str> for Comm {
    fn from(text: &str) -> Comm {
        Comm::new(text.as_bytes())
    }
}

impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_text())
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_text())
    }
}

/// A guest virtual address: of a function, a call site or an object. 0 is "none".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Addr(pub u64);

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// The number of a call stack in the recording's stack table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StackId(pub u32);

/// One event: when, where, under whom, what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Dense number in the order of cause and effect (definitions.md section 1), from 0.
    pub seq: u64,
    /// The vCPU that executed it.
    pub cpu: u32,
    /// That vCPU's raw clock, in cycles; the guest's TSC.
    pub cycles: u64,
    /// Instructions that vCPU had retired before this one.
    pub insns: u64,
    /// Pid of the vCPU's `current`; 0 for every idle task (and before the first task exists).
    pub pid: i32,
    /// Name of the vCPU's `current`.
    pub comm: Comm,
    /// Call stack, where a definition needs one.
    pub stack: Option<StackId>,
    /// The kind and its fields.
    pub data: EventData,
}

/// How a field is stored and shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldType {
    /// Signed number.
    Int,
    /// Unsigned number.
    Uint,
    /// CPU mask, bit n = CPU n.
    Mask,
    /// Guest virtual address; shown as symbol where it is one.
    Addr,
    /// Task name.
    Comm,
}

/// A field's value without its static type: what encoders and exporters handle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldValue {
    /// Of [`FieldType::Int`].
    Int(i64),
    /// Of [`FieldType::Uint`] and [`FieldType::Mask`].
    Uint(u64),
    /// Of [`FieldType::Addr`].
    Addr(Addr),
    /// Of [`FieldType::Comm`].
    Comm(Comm),
}

/// Name, type and meaning of one field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldSchema {
    /// Linux's name of the field.
    pub name: &'static str,
    /// How it is stored.
    pub ty: FieldType,
    /// Bytes of the value in a C structure: 4 or 8, and 16 for a task name.
    pub bytes: usize,
    /// One sentence: unit and meaning.
    pub doc: &'static str,
}

/// Name and fields of one kind of event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventSchema {
    /// The number it has in a recording of this version.
    pub id: u8,
    /// `system:name`, as in tracefs.
    pub name: &'static str,
    /// One sentence: where the kernel emits it.
    pub doc: &'static str,
    /// The fields in order.
    pub fields: &'static [FieldSchema],
}
