//! File header and frame header: fixed width, checksummed. What is inside a frame is not known here.

use super::{FORMAT, MAX_RAW};

/// First bytes of every recording. The high bit and the line ends show a text-mode transfer.
pub const MAGIC: [u8; 8] = *b"\x89KREC\r\n\x1a";
/// Size of the file header.
pub const FILE_HEADER: usize = 16;
/// Size of a frame header.
pub const FRAME_HEADER: usize = 40;
const FRAME_MAGIC: [u8; 4] = *b"kfrm";
/// Level of zstd for events, which are packed while the guest waits: a third faster than the other, and
/// 5 % larger.
const FAST: i32 = 1;
/// Level of zstd for everything else.
const SMALL: i32 = 3;
/// Level of zstd for the built-in kernel, which is packed when the executable is built.
const SMALLEST: i32 = 19;

/// What a frame holds; the numbers are the format's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    Manifest = 1,
    Schema = 2,
    Image = 3,
    Events = 4,
    Stacks = 5,
    Symbols = 6,
    Console = 7,
    Tasks = 8,
    End = 9,
    Inputs = 10,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        [
            Kind::Manifest,
            Kind::Schema,
            Kind::Image,
            Kind::Events,
            Kind::Stacks,
            Kind::Symbols,
            Kind::Console,
            Kind::Tasks,
            Kind::End,
            Kind::Inputs,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// A frame header that has been checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub kind: Kind,
    pub packed: bool,
    pub raw_len: usize,
    pub stored_len: usize,
    pub rows: u32,
    pub first: u64,
    payload_crc: u32,
}

/// The bytes at the start of a file of this version.
pub fn file_header() -> [u8; FILE_HEADER] {
    let mut bytes = [0; FILE_HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// The format number in a file header, or what is wrong with it.
pub fn check_file_header(bytes: &[u8; FILE_HEADER]) -> Result<u32, &'static str> {
    if u32_at(bytes, 12) != crc32fast::hash(&bytes[..12]) {
        return Err("the checksum of the file header does not match");
    }
    Ok(u32_at(bytes, 8))
}

/// Packs frames; keeps the compressor's tables between them.
pub struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    pub fn new() -> std::io::Result<Packer> {
        zstd::bulk::Compressor::new(SMALL).map(Packer)
    }

    /// A whole frame; `raw` is at most [`MAX_RAW`] bytes.
    pub fn pack(
        &mut self,
        kind: Kind,
        first: u64,
        rows: u32,
        raw: &[u8],
    ) -> std::io::Result<Vec<u8>> {
        debug_assert!(
            raw.len() <= MAX_RAW,
            "{kind:?} frame of {} bytes",
            raw.len()
        );
        self.pack_at(
            match kind {
                Kind::Events => FAST,
                _ => SMALL,
            },
            (kind, first, rows),
            raw,
        )
    }

    /// As [`pack`](Packer::pack), slowly: for what is packed once and stored often.
    pub fn pack_once(
        &mut self,
        kind: Kind,
        first: u64,
        rows: u32,
        raw: &[u8],
    ) -> std::io::Result<Vec<u8>> {
        self.pack_at(SMALLEST, (kind, first, rows), raw)
    }

    fn pack_at(
        &mut self,
        level: i32,
        (kind, first, rows): (Kind, u64, u32),
        raw: &[u8],
    ) -> std::io::Result<Vec<u8>> {
        self.0.set_compression_level(level)?;
        let packed = self.0.compress(raw)?;
        let (packing, stored) = if packed.len() < raw.len() {
            (1, packed.as_slice())
        } else {
            (0, raw)
        };
        let mut frame = Vec::with_capacity(FRAME_HEADER + stored.len());
        frame.extend_from_slice(&FRAME_MAGIC);
        frame.extend_from_slice(&[kind as u8, packing, 0, 0]);
        frame.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        frame.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        frame.extend_from_slice(&rows.to_le_bytes());
        frame.extend_from_slice(&crc32fast::hash(stored).to_le_bytes());
        frame.extend_from_slice(&first.to_le_bytes());
        frame.extend_from_slice(&[0; 4]);
        let crc = crc32fast::hash(&frame);
        frame.extend_from_slice(&crc.to_le_bytes());
        frame.extend_from_slice(stored);
        Ok(frame)
    }
}

impl Header {
    /// Checks a frame header, or says what is wrong with it.
    pub fn read(bytes: &[u8; FRAME_HEADER]) -> Result<Header, &'static str> {
        if bytes[..4] != FRAME_MAGIC {
            return Err("no frame begins here");
        }
        if u32_at(bytes, 36) != crc32fast::hash(&bytes[..36]) {
            return Err("the checksum of the frame header does not match");
        }
        let kind = Kind::from_byte(bytes[4]).ok_or("a frame of unknown kind")?;
        let packed = match bytes[5] {
            0 => false,
            1 => true,
            _ => return Err("a frame of unknown packing"),
        };
        let header = Header {
            kind,
            packed,
            raw_len: u32_at(bytes, 8) as usize,
            stored_len: u32_at(bytes, 12) as usize,
            rows: u32_at(bytes, 16),
            payload_crc: u32_at(bytes, 20),
            first: u64::from(u32_at(bytes, 24)) | u64::from(u32_at(bytes, 28)) << 32,
        };
        if header.raw_len > MAX_RAW || header.stored_len > MAX_RAW {
            return Err("a frame larger than the format allows");
        }
        Ok(header)
    }

    /// Whether the stored payload is the one that was written.
    pub fn check(&self, stored: &[u8]) -> Result<(), &'static str> {
        if crc32fast::hash(stored) == self.payload_crc {
            Ok(())
        } else {
            Err("the checksum of the frame's payload does not match")
        }
    }

    /// The payload as it was before packing.
    pub fn unpack(&self, stored: &[u8]) -> Result<Vec<u8>, &'static str> {
        if !self.packed {
            return match stored.len() == self.raw_len {
                true => Ok(stored.to_vec()),
                false => Err("a stored frame of the wrong length"),
            };
        }
        match zstd::bulk::decompress(stored, self.raw_len) {
            Ok(raw) if raw.len() == self.raw_len => Ok(raw),
            _ => Err("the frame's payload does not unpack"),
        }
    }
}
