//! Appends to a recording. Every frame goes out whole and in order: a stack and the symbols it needs
//! before the events that name it, so that a recording cut anywhere can be read up to there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::columns::Encoder;
use super::frame::{Kind, Packer, file_header};
use super::tables::Stack;
use super::varint::{put, put_signed};
use super::{
    ConsoleLine, EndOfRun, Error, InputRow, MAX_RAW, Manifest, RecordedSchema, StreamHash, Symbol,
    SymbolRow, TaskRow,
};
use crate::event::{Addr, Event, StackId};

/// The console is written when it has grown to this, which leaves room for the longest line.
const CONSOLE_FULL: usize = MAX_RAW / 2;
/// A line of the console that is longer is stored in pieces.
const LONGEST_LINE: usize = 4096;

/// The guest's ELF file as frames of a recording, for [`Writer::image_frames`]; packed as small as it
/// gets, which takes a second.
pub fn image_frames(elf: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packer = Packer::new()?;
    let mut frames = Vec::new();
    let mut first = 0;
    for piece in elf.chunks(MAX_RAW) {
        frames.extend(packer.pack_once(Kind::Image, first, piece.len() as u32, piece)?);
        first += piece.len() as u64;
    }
    Ok(frames)
}

/// Writes a recording to `W`, usually a [`File`].
pub struct Writer<W: Write> {
    out: W,
    path: PathBuf,
    written: u64,
    packer: Packer,
    events: Encoder,
    next: u64,
    hash: StreamHash,
    stacks: Vec<Stack>,
    stack_numbers: BTreeMap<Stack, StackId>,
    stacks_written: usize,
    known: BTreeSet<Addr>,
    symbols: Lines,
    inputs: Lines,
    console: Vec<u8>,
    console_lines: u32,
    console_line: Option<ConsoleLine>,
    console_bytes: u64,
}

/// Rows of a table, one JSON text a line.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    rows: u32,
}

impl Lines {
    /// Adds a row; gives a full table back when the row did not fit with the others.
    fn push<T: Serialize>(&mut self, row: &T, what: &'static str) -> Result<Option<Lines>, Error> {
        let mut line = serde_json::to_vec(row).unwrap_or_default();
        line.push(b'\n');
        if line.len() > MAX_RAW {
            return Err(Error::TooLarge {
                what,
                size: line.len(),
            });
        }
        let full = (self.bytes.len() + line.len() > MAX_RAW).then(|| std::mem::take(self));
        self.bytes.extend_from_slice(&line);
        self.rows += 1;
        Ok(full)
    }
}

impl Writer<File> {
    /// Creates (or empties) the file at `path` and writes the manifest and the schema.
    pub fn create(path: &Path, manifest: &Manifest) -> Result<Writer<File>, Error> {
        let file = File::create(path).map_err(|source| Error::Write {
            path: path.to_owned(),
            written: 0,
            source,
        })?;
        Writer::new(file, path, manifest)
    }
}

impl<W: Write> Writer<W> {
    /// Writes the manifest and the schema to `out`; `path` is the name that errors say.
    pub fn new(out: W, path: &Path, manifest: &Manifest) -> Result<Writer<W>, Error> {
        let packer = Packer::new().map_err(|source| Error::Write {
            path: path.to_owned(),
            written: 0,
            source,
        })?;
        let mut writer = Writer {
            out,
            path: path.to_owned(),
            written: 0,
            packer,
            events: Encoder::new(0),
            next: 0,
            hash: StreamHash::new(),
            stacks: Vec::new(),
            stack_numbers: BTreeMap::new(),
            stacks_written: 0,
            known: BTreeSet::new(),
            symbols: Lines::default(),
            inputs: Lines::default(),
            console: Vec::new(),
            console_lines: 0,
            console_line: None,
            console_bytes: 0,
        };
        writer.write(&file_header())?;
        writer.json(Kind::Manifest, 1, manifest, "manifest")?;
        let schema = RecordedSchema::current();
        writer.json(Kind::Schema, schema.len() as u32, &schema, "schema")?;
        Ok(writer)
    }

    /// Embeds the guest's ELF file; called at most once, before the events.
    pub fn image(&mut self, elf: &[u8]) -> Result<(), Error> {
        let mut first = 0;
        for piece in elf.chunks(MAX_RAW) {
            self.frame(Kind::Image, first, piece.len() as u32, piece)?;
            first += piece.len() as u64;
        }
        Ok(())
    }

    /// As [`image`](Writer::image), of a file that [`image_frames`] packed before.
    pub fn image_frames(&mut self, frames: &[u8]) -> Result<(), Error> {
        self.write(frames)
    }

    /// The number of a call stack, innermost address first; equal stacks have one number.
    pub fn stack(&mut self, addrs: &[Addr]) -> StackId {
        if let Some(id) = self.stack_numbers.get(addrs) {
            return *id;
        }
        let id = StackId(self.stacks.len() as u32);
        self.stacks.push(addrs.into());
        self.stack_numbers.insert(addrs.into(), id);
        id
    }

    /// Whether [`symbol`](Writer::symbol) has been called for `addr`.
    pub fn knows_symbol(&self, addr: Addr) -> bool {
        self.known.contains(&addr)
    }

    /// Records what is at `addr`. The first call for an address counts.
    pub fn symbol(&mut self, addr: Addr, symbol: &Symbol) -> Result<(), Error> {
        if !self.known.insert(addr) {
            return Ok(());
        }
        let row = SymbolRow {
            addr: addr.0,
            symbol: symbol.clone(),
        };
        if let Some(full) = self.symbols.push(&row, "symbol")? {
            self.frame(Kind::Symbols, 0, full.rows, &full.bytes)?;
        }
        Ok(())
    }

    /// Records an event; numbers are dense from 0, stacks are those of [`stack`](Writer::stack).
    pub fn event(&mut self, event: &Event) -> Result<(), Error> {
        let bad = |what| Error::BadEvent {
            seq: event.seq,
            what,
        };
        if event.seq != self.next {
            return Err(bad("its number does not follow the event before it"));
        }
        let stack = match event.stack {
            None => None,
            Some(id) => Some(
                self.stacks
                    .get(id.0 as usize)
                    .ok_or_else(|| bad("its stack is not in the stack table"))?,
            ),
        };
        if !self.events.push(event) {
            return Err(bad("its CPU number is too large"));
        }
        self.hash.push(event, stack.map(|addrs| &**addrs));
        self.next += 1;
        if self.events.is_full() {
            self.flush_events()?;
        }
        Ok(())
    }

    /// Number of events so far; the number that the next one must have.
    pub fn events(&self) -> u64 {
        self.next
    }

    /// The stream hash of the events so far.
    pub fn stream_sha256(&self) -> [u8; 32] {
        self.hash.clone().finish()
    }

    /// Bytes of frames written so far.
    pub fn bytes_written(&self) -> u64 {
        self.written
    }

    /// Bytes the console has said so far.
    pub fn console_bytes(&self) -> u64 {
        self.console_bytes
    }

    /// Records a byte of the guest's console, with the raw clock of the CPU that wrote it.
    pub fn console(&mut self, cycles: u64, cpu: u32, byte: u8) -> Result<(), Error> {
        self.console_bytes += 1;
        let line = self.console_line.get_or_insert_with(|| ConsoleLine {
            cycles,
            cpu,
            bytes: Vec::new(),
        });
        line.bytes.push(byte);
        if byte == b'\n' || line.bytes.len() >= LONGEST_LINE {
            self.end_console_line();
        }
        if self.console.len() > CONSOLE_FULL {
            self.flush_console()?;
        }
        Ok(())
    }

    /// Records a byte that was typed. It is in the file before the events that follow it.
    pub fn input(&mut self, input: &InputRow) -> Result<(), Error> {
        if let Some(full) = self.inputs.push(input, "input")? {
            self.frame(Kind::Inputs, 0, full.rows, &full.bytes)?;
        }
        Ok(())
    }

    fn end_console_line(&mut self) {
        if let Some(line) = self.console_line.take() {
            put(&mut self.console, line.cycles);
            put(&mut self.console, u64::from(line.cpu));
            put(&mut self.console, line.bytes.len() as u64);
            self.console.extend_from_slice(&line.bytes);
            self.console_lines += 1;
        }
    }

    /// Records the tasks at the end of the run.
    pub fn tasks(&mut self, tasks: &[TaskRow]) -> Result<(), Error> {
        let mut lines = Lines::default();
        for task in tasks {
            if let Some(full) = lines.push(task, "task")? {
                self.frame(Kind::Tasks, 0, full.rows, &full.bytes)?;
            }
        }
        self.frame(Kind::Tasks, 0, lines.rows, &lines.bytes)
    }

    /// Writes everything that has been recorded as whole frames: the file is readable up to here.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.flush_events()?;
        self.end_console_line();
        self.flush_console()?;
        self.out.flush().map_err(|source| self.failed(source))
    }

    /// Writes the rest and the end frame. `events`, `stream_sha256` and `console_bytes` of `end` are
    /// filled in here.
    pub fn finish(mut self, end: EndOfRun) -> Result<(EndOfRun, W), Error> {
        self.flush()?;
        let end = EndOfRun {
            events: self.next,
            stream_sha256: super::hex(self.stream_sha256()),
            console_bytes: self.console_bytes,
            ..end
        };
        self.json(Kind::End, 1, &end, "end of run")?;
        self.out.flush().map_err(|source| self.failed(source))?;
        Ok((end, self.out))
    }

    fn flush_events(&mut self) -> Result<(), Error> {
        let inputs = std::mem::take(&mut self.inputs);
        if inputs.rows > 0 {
            self.frame(Kind::Inputs, 0, inputs.rows, &inputs.bytes)?;
        }
        self.flush_stacks()?;
        let symbols = std::mem::take(&mut self.symbols);
        if symbols.rows > 0 {
            self.frame(Kind::Symbols, 0, symbols.rows, &symbols.bytes)?;
        }
        if self.events.rows() > 0 {
            let frame = std::mem::replace(&mut self.events, Encoder::new(self.next));
            let (first, rows) = (frame.first(), frame.rows());
            self.frame(Kind::Events, first, rows, &frame.finish())?;
        }
        Ok(())
    }

    fn flush_stacks(&mut self) -> Result<(), Error> {
        let mut raw = Vec::new();
        let mut first = self.stacks_written;
        while self.stacks_written < self.stacks.len() {
            let stack = &self.stacks[self.stacks_written];
            let mut row = Vec::new();
            put(&mut row, stack.len() as u64);
            let mut before = 0;
            for addr in stack {
                put_signed(&mut row, addr.0.wrapping_sub(before) as i64);
                before = addr.0;
            }
            if row.len() > MAX_RAW {
                return Err(Error::TooLarge {
                    what: "stack",
                    size: row.len(),
                });
            }
            if raw.len() + row.len() > MAX_RAW {
                let rows = (self.stacks_written - first) as u32;
                self.frame(Kind::Stacks, first as u64, rows, &std::mem::take(&mut raw))?;
                first = self.stacks_written;
            }
            raw.extend_from_slice(&row);
            self.stacks_written += 1;
        }
        if raw.is_empty() {
            return Ok(());
        }
        let rows = (self.stacks_written - first) as u32;
        self.frame(Kind::Stacks, first as u64, rows, &raw)
    }

    fn flush_console(&mut self) -> Result<(), Error> {
        let raw = std::mem::take(&mut self.console);
        let lines = std::mem::take(&mut self.console_lines);
        if raw.is_empty() {
            return Ok(());
        }
        self.frame(Kind::Console, 0, lines, &raw)
    }

    fn json<T: Serialize>(
        &mut self,
        kind: Kind,
        rows: u32,
        value: &T,
        what: &'static str,
    ) -> Result<(), Error> {
        let raw = serde_json::to_vec(value).unwrap_or_default();
        if raw.len() > MAX_RAW {
            return Err(Error::TooLarge {
                what,
                size: raw.len(),
            });
        }
        self.frame(kind, 0, rows, &raw)
    }

    fn frame(&mut self, kind: Kind, first: u64, rows: u32, raw: &[u8]) -> Result<(), Error> {
        match self.packer.pack(kind, first, rows, raw) {
            Ok(frame) => self.write(&frame),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out
            .write_all(bytes)
            .map_err(|source| self.failed(source))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Write {
            path: self.path.clone(),
            written: self.written,
            source,
        }
    }
}
