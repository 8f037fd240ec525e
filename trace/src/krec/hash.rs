//! The stream hash: SHA-256 over the decoded events, whatever frames they are stored in.
//!
//! An event is hashed as: seq, cpu, cycles, insns, pid, comm, number of stack addresses plus one (0
//! without a stack) and the addresses, kind, then the fields in the order of the schema. Numbers are
//! LEB128, signed ones zigzag, names their length and bytes: each part says where it ends, so that
//! different events never have the same bytes. Two streams are equal exactly if their hashes are.

use sha2::{Digest, Sha256};

use super::varint::{put, put_signed};
use crate::event::{Addr, Comm, Event, FieldValue};

/// Computes the stream hash, event by event.
#[derive(Clone, Default)]
pub struct StreamHash {
    sha: Sha256,
    /// Rows that are not hashed yet: many at once cost half as much as one by one.
    rows: Vec<u8>,
}

/// Bytes of rows that are hashed at once.
const BATCH: usize = 8192;

impl StreamHash {
    /// The hash of no event.
    pub fn new() -> StreamHash {
        StreamHash::default()
    }

    /// Adds the next event; `stack` are the addresses of its stack, if it has one.
    pub fn push(&mut self, event: &Event, stack: Option<&[Addr]>) {
        let row = &mut self.rows;
        put(row, event.seq);
        put(row, u64::from(event.cpu));
        put(row, event.cycles);
        put(row, event.insns);
        put_signed(row, i64::from(event.pid));
        put_comm(row, event.comm);
        match stack {
            None => row.push(0),
            Some(stack) => {
                put(row, stack.len() as u64 + 1);
                for addr in stack {
                    put(row, addr.0);
                }
            }
        }
        row.push(event.data.schema().id);
        event.data.visit(&mut |value| match value {
            FieldValue::Int(v) => put_signed(row, v),
            FieldValue::Uint(v) => put(row, v),
            FieldValue::Addr(v) => put(row, v.0),
            FieldValue::Comm(v) => put_comm(row, v),
        });
        if row.len() >= BATCH {
            self.sha.update(&*row);
            row.clear();
        }
    }

    /// The hash of the events so far.
    pub fn finish(mut self) -> [u8; 32] {
        self.sha.update(&self.rows);
        self.sha.finalize().into()
    }
}

fn put_comm(row: &mut Vec<u8>, comm: Comm) {
    let bytes = comm.as_bytes();
    row.push(bytes.len() as u8);
    row.extend_from_slice(bytes);
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
