//! The snapshot as a file: written in one go, read with every length checked first.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use super::memory::{PAGE, Pages};
use super::{Reader, Saved, Snapshot, Writer, bad};
use crate::config::MachineConfig;
use crate::error::Error;
use crate::units::Cycles;

const MAGIC: [u8; 8] = *b"\x89KSNP\r\n\x1a";
/// The version this crate writes and reads. It changes with the state of any device, and with the
/// engine, whose CPU state is stored as it is.
const VERSION: u32 = 1;
const HEADER: usize = 24;
const DIGEST: usize = 32;
/// The fastest level of zstd: most of a snapshot is text and page tables that pack well at any.
const LEVEL: i32 = 1;
/// More bytes than configuration and state of the largest machine.
const MOST_STATE: u64 = 16 << 20;
/// More than the largest machine's memory.
const MOST_PAGES: u64 = 1 << 20;

impl Snapshot {
    /// Writes the file.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut config = Writer::default();
        self.config.save(&mut config);
        self.now.save(&mut config);
        let mut head = Writer::default();
        for part in [&config.into_bytes(), &self.state] {
            part.len().save(&mut head);
            head.put(part);
        }
        self.pages.kept().count().save(&mut head);
        let head = head.into_bytes();
        let body = head.len() + self.pages.kept().count() * (PAGE + 8);

        let mut file = MAGIC.to_vec();
        file.extend(VERSION.to_le_bytes());
        file.extend(0u32.to_le_bytes());
        file.extend((body as u64).to_le_bytes());
        let mut packed = zstd::stream::write::Encoder::new(file, LEVEL)?;
        packed.write_all(&head)?;
        for (number, page) in self.pages.kept() {
            packed.write_all(&(number as u64).to_le_bytes())?;
            packed.write_all(page)?;
        }
        let file = packed.finish()?;
        to.write_all(&file)?;
        to.write_all(&Sha256::digest(&file))
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::BadSnapshot`] if they are not one of this version, whole and unchanged.
    pub fn read(file: &[u8]) -> Result<Snapshot, Error> {
        if file.get(..MAGIC.len()) != Some(&MAGIC) {
            return Err(bad(
                "this is not a snapshot of kreplay: another magic number",
            ));
        }
        let Some((content, digest)) = file.split_last_chunk::<DIGEST>() else {
            return Err(bad("the snapshot ends in its header"));
        };
        let mut header = Reader::new(content.get(MAGIC.len()..).unwrap_or(&[]));
        let version = u32::load(&mut header)?;
        if version != VERSION {
            return Err(bad(format!(
                "a snapshot of format {version}; this version reads format {VERSION}"
            )));
        }
        if Sha256::digest(content).as_slice() != digest {
            return Err(bad(
                "the snapshot was changed or cut short: its checksum differs",
            ));
        }
        u32::load(&mut header)?;
        let body = u64::load(&mut header)?;
        if body > MOST_STATE + MOST_PAGES * (PAGE as u64 + 8) {
            return Err(bad(format!("a body of {body} bytes")));
        }
        let unpacked = zstd::stream::read::Decoder::new(&content[HEADER..])
            .map_err(|e| bad(format!("the snapshot does not unpack: {e}")))?;
        Body(unpacked.take(body)).read()
    }
}

/// The unpacked body, as it comes.
struct Body<R: Read>(R);

impl<R: Read> Body<R> {
    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; count];
        self.0
            .read_exact(&mut bytes)
            .map_err(|e| bad(format!("the snapshot does not unpack: {e}")))?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64, Error> {
        u64::load(&mut Reader::new(&self.bytes(8)?))
    }

    /// Bytes after their length.
    fn part(&mut self) -> Result<Vec<u8>, Error> {
        match self.number()? {
            length if length > MOST_STATE => Err(bad(format!("a part of {length} bytes"))),
            length => self.bytes(length as usize),
        }
    }

    fn read(mut self) -> Result<Snapshot, Error> {
        let config = self.part()?;
        let mut from = Reader::new(&config);
        let (config, now) = <(MachineConfig, Cycles)>::load(&mut from)?;
        from.end()?;
        config.validate().map_err(|e| bad(e.message()))?;
        let state = self.part()?;
        let mut pages = Pages::zeros(config.ram_bytes as usize / PAGE);
        let mut next = 0;
        for _ in 0..self.number()? {
            let number = self.number()?;
            if number < next || number >= pages.len() as u64 {
                return Err(bad(format!("page {number} of {}", pages.len())));
            }
            next = number + 1;
            let bytes = self.bytes(PAGE)?.try_into().expect("a page was read");
            pages.set(number as usize, bytes);
        }
        if self.0.read(&mut [0]).is_ok_and(|n| n != 0) {
            return Err(bad("bytes after the last page"));
        }
        Ok(Snapshot {
            config,
            state,
            pages,
            now,
        })
    }
}
