//! The stream hash: SHA-256 over the decoded events, whatever frames they are stored in.
//!
//! An event is hashed as: seq u64, cpu u32, cycles u64, insns u64, pid i32, comm 16 bytes, number of
//! stack addresses u32 (0xffffffff without a stack) and the addresses u64, kind u8, then the fields
//! in the order of the schema: numbers and addresses 8 bytes, names 16; all little-endian. Two runs are
//! equal exactly if their hashes are.

use sha2::{Digest, Sha256};

use crate::event::{Addr, Comm, Event, FieldValue};

/// Computes the stream hash, event by event.
#[derive(Clone, Default)]
pub struct StreamHash {
    sha: Sha256,
    row: Vec<u8>,
}

impl StreamHash {
    /// The hash of no event.
    pub fn new() -> StreamHash {
        StreamHash::default()
    }

    /// Adds the next event; `stack` are the addresses of its stack, if it has one.
    pub fn push(&mut self, event: &Event, stack: Option<&[Addr]>) {
        let row = &mut self.row;
        row.clear();
        row.extend_from_slice(&event.seq.to_le_bytes());
        row.extend_from_slice(&event.cpu.to_le_bytes());
        row.extend_from_slice(&event.cycles.to_le_bytes());
        row.extend_from_slice(&event.insns.to_le_bytes());
        row.extend_from_slice(&event.pid.to_le_bytes());
        put_comm(row, event.comm);
        match stack {
            None => row.extend_from_slice(&u32::MAX.to_le_bytes()),
            Some(stack) => {
                row.extend_from_slice(&(stack.len() as u32).to_le_bytes());
                for addr in stack {
                    row.extend_from_slice(&addr.0.to_le_bytes());
                }
            }
        }
        row.push(event.data.schema().id);
        event.data.visit(&mut |value| match value {
            FieldValue::Int(v) => row.extend_from_slice(&v.to_le_bytes()),
            FieldValue::Uint(v) => row.extend_from_slice(&v.to_le_bytes()),
            FieldValue::Addr(v) => row.extend_from_slice(&v.0.to_le_bytes()),
            FieldValue::Comm(v) => put_comm(row, v),
        });
        self.sha.update(&*row);
    }

    /// The hash of the events so far.
    pub fn finish(self) -> [u8; 32] {
        self.sha.finalize().into()
    }
}

fn put_comm(row: &mut Vec<u8>, comm: Comm) {
    let mut bytes = [0; 16];
    bytes[..comm.as_bytes().len()].copy_from_slice(comm.as_bytes());
    row.extend_from_slice(&bytes);
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
