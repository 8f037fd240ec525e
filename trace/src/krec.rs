//! The recording, `.krec`: one append-only file that needs no other file to be read.
//!
//! ```text
//!   file header   magic "\x89KREC\r\n\x1a" | format u32 | crc32 u32                        16 bytes
//!   frame         magic "kfrm" | kind u8 | packing u8 | 0 u16                              40 bytes
//!                 | raw_len u32 | stored_len u32 | rows u32 | payload crc32 u32
//!                 | first u64 | reserved u32 | header crc32 u32
//!                 payload, stored_len bytes: raw_len bytes (at most 64 KiB) packed by `packing`
//!   frame ...
//!   end frame     its presence means that the recording is complete
//! ```
//!
//! All numbers are little-endian; `packing` is 0 (stored) or 1 (zstd). The checksums are CRC-32
//! (IEEE) of the 36 header bytes before them and of the stored payload. A frame decodes alone, given
//! the stacks and symbols of the frames before it; `first` is the number of its first row (event,
//! stack or image byte), `rows` how many there are.
//!
//! | kind | name     | rows         | raw payload |
//! |------|----------|--------------|-------------|
//! | 1    | manifest | 1            | JSON, [`Manifest`] |
//! | 2    | schema   | event kinds  | JSON, list of [`RecordedSchema`] |
//! | 3    | image    | bytes        | the next piece of the guest's ELF file |
//! | 4    | events   | events       | columns, drawn below |
//! | 5    | stacks   | stacks       | per stack: length, then addresses as differences |
//! | 6    | symbols  | addresses    | one JSON [`SymbolRow`] a line |
//! | 7    | console  | lines        | per line: cycles, cpu, length, bytes |
//! | 8    | tasks    | tasks        | one JSON [`TaskRow`] a line |
//! | 9    | end      | 1            | JSON, [`EndOfRun`] |
//! | 10   | inputs   | inputs       | one JSON [`InputRow`] a line |
//!
//! An events frame, all numbers LEB128 (signed ones zigzag), every column preceded by its length:
//!
//! ```text
//!   rows | names: count, (length, bytes)... | addresses: count, differences...
//!   kind    u8 a row
//!   cpu     number
//!   cycles  minus the cycles of the cpu's previous event in this frame (first: minus 0)
//!   insns   (difference of cycles) minus (difference of insns): 0 while a CPU is busy
//!   task    0: the current task that the CPU's previous events imply; else name + 1, pid
//!   stack   0: none; else stack number + 1
//!   then for each kind that has rows, in the order of EventData::SCHEMAS, each field's column:
//!   Int zigzag, Uint and Mask plain, Addr and Comm as number in the frame's lists
//! ```
//!
//! Frames are written whole and in order, so a process that is killed leaves a file that is good up
//! to its last whole frame: [`Recording::completeness`] says where it stops. A changed byte is an
//! error that names the frame's offset; a newer format is refused by its number.
//!
//! The [stream hash](StreamHash) is over the decoded events and does not depend on frames.

mod columns;
mod error;
mod frame;
mod hash;
mod reader;
mod tables;
mod varint;
mod writer;

pub use error::Error;
pub use hash::{StreamHash, hex};
pub use reader::{Completeness, Events, Recording};
pub use tables::{
    BASE_COLUMNS, ConsoleLine, EndOfRun, FileId, GuestFiles, ImageId, Inlined, InputRow, Manifest,
    OutcomeRow, RecordedField, RecordedSchema, Symbol, SymbolRow, TaskRow,
};
pub use writer::{Writer, image_frames};

/// The format this version writes, and the newest it reads.
pub const FORMAT: u32 = 1;
/// The most bytes a frame's payload has before packing.
pub const MAX_RAW: usize = 64 * 1024;
