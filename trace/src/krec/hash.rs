//! The stream hash: SHA-256 over the decoded events, whatever frames they are stored in.
//!
//! An event is hashed as: seq, cpu, cycles, insns, pid, comm, number of stack addresses plus one (0
//! without a stack) and the addresses, kind, then the fields in the order of the schema. Numbers are
//! LEB128, signed ones zigzag, names their length and bytes: each part says where it ends, so that
//! different events never have the same bytes. Two streams are equal exactly if their hashes are.

use sha2::{Digest, Sha256};

use super::varint::{write, zigzag};
use crate::event::{Addr, Comm, Event, FieldValue};

/// Computes the stream hash, event by event.
#[derive(Clone, Default)]
pub struct StreamHash {
    sha: Sha256,
    rows: Rows,
}

/// Bytes that are not hashed yet: many at once cost half as much as one by one.
#[derive(Clone)]
struct Rows {
    bytes: Box<[u8; BATCH]>,
    len: usize,
}

/// Bytes of rows that are hashed at once.
const BATCH: usize = 8192;
/// The longest number, and the longest name with its length.
const PART: usize = 16;

impl Default for Rows {
    fn default() -> Rows {
        Rows {
            bytes: Box::new([0; BATCH]),
            len: 0,
        }
    }
}

impl StreamHash {
    /// The hash of no event.
    pub fn new() -> StreamHash {
        StreamHash::default()
    }

    /// Adds the next event; `stack` are the addresses of its stack, if it has one.
    pub fn push(&mut self, event: &Event, stack: Option<&[Addr]>) {
        let (sha, rows) = (&mut self.sha, &mut self.rows);
        rows.number(sha, event.seq);
        rows.number(sha, u64::from(event.cpu));
        rows.number(sha, event.cycles);
        rows.number(sha, event.insns);
        rows.number(sha, zigzag(i64::from(event.pid)));
        rows.comm(sha, event.comm);
        match stack {
            None => rows.number(sha, 0),
            Some(stack) => {
                rows.number(sha, stack.len() as u64 + 1);
                for addr in stack {
                    rows.number(sha, addr.0);
                }
            }
        }
        rows.part(sha)[0] = event.data.schema().id;
        rows.len += 1;
        event.data.visit(&mut |value| match value {
            FieldValue::Int(v) => rows.number(sha, zigzag(v)),
            FieldValue::Uint(v) => rows.number(sha, v),
            FieldValue::Addr(v) => rows.number(sha, v.0),
            FieldValue::Comm(v) => rows.comm(sha, v),
        });
    }

    /// The hash of the events so far.
    pub fn finish(mut self) -> [u8; 32] {
        self.sha.update(&self.rows.bytes[..self.rows.len]);
        self.sha.finalize().into()
    }
}

impl Rows {
    /// Room for one more part.
    #[inline]
    fn part(&mut self, sha: &mut Sha256) -> &mut [u8; PART] {
        if self.len + PART > BATCH {
            sha.update(&self.bytes[..self.len]);
            self.len = 0;
        }
        let room = self.bytes[self.len..].first_chunk_mut();
        room.expect("there is room for a part")
    }

    #[inline]
    fn number(&mut self, sha: &mut Sha256, value: u64) {
        self.len += write(self.part(sha), value);
    }

    #[inline]
    fn comm(&mut self, sha: &mut Sha256, comm: Comm) {
        let room = self.part(sha);
        let padded = comm.padded();
        // A name has 15 bytes at most; what is written after it is overwritten by the next part.
        room[1..].copy_from_slice(&padded[..PART - 1]);
        let len = comm.as_bytes().len();
        room[0] = len as u8;
        self.len += 1 + len;
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
