//! Reads a recording, whole or cut short. Nothing in a file can make this panic or allocate more than
//! a frame's worth ahead of the checks.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::columns::Decoder;
use super::frame::{FILE_HEADER, FRAME_HEADER, Header, Kind, MAGIC, check_file_header};
use super::tables::Stack;
use super::varint::Cursor;
use super::{
    ConsoleLine, EndOfRun, Error, FORMAT, InputRow, Manifest, RecordedSchema, StreamHash, Symbol,
    SymbolRow, TaskRow,
};
use crate::event::{Addr, Event, StackId};

/// Whether a recording has its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// The end frame is there.
    Complete,
    /// The file stops before an end frame: the recorder was killed, or the disk was full.
    Truncated {
        /// Bytes of whole frames; what follows is no whole frame.
        at_byte: u64,
        /// Events that can be read: 0 to this number, exclusive.
        events: u64,
    },
}

impl fmt::Display for Completeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Completeness::Complete => f.write_str("complete"),
            Completeness::Truncated { at_byte, events } => {
                write!(f, "truncated at byte {at_byte}, event {events}")
            }
        }
    }
}

/// A frame whose checksums are good.
#[derive(Clone, Copy)]
struct Frame {
    offset: usize,
    header: Header,
}

impl Frame {
    fn stored<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let start = self.offset + FRAME_HEADER;
        &bytes[start..start + self.header.stored_len]
    }
}

/// An opened recording. The events stay packed until they are asked for.
pub struct Recording {
    path: PathBuf,
    bytes: Vec<u8>,
    manifest: Manifest,
    schemas: Vec<RecordedSchema>,
    stacks: Vec<Stack>,
    symbols: BTreeMap<Addr, Symbol>,
    tasks: Vec<TaskRow>,
    console: Vec<ConsoleLine>,
    inputs: Vec<InputRow>,
    end: Option<EndOfRun>,
    image: Vec<Frame>,
    events: Vec<Frame>,
    event_count: u64,
    completeness: Completeness,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("path", &self.path)
            .field("events", &self.event_count)
            .field("completeness", &self.completeness)
            .finish_non_exhaustive()
    }
}

impl Recording {
    /// Reads the file at `path` and checks every frame of it.
    pub fn open(path: &Path) -> Result<Recording, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        Recording::from_bytes(path, bytes)
    }

    /// The recording in `bytes`; `path` is the name that errors say.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Recording, Error> {
        let path = path.to_owned();
        if bytes.len() < MAGIC.len() || bytes[..MAGIC.len()] != MAGIC {
            return Err(match MAGIC.starts_with(&bytes) {
                true => Error::Empty {
                    path,
                    at: bytes.len() as u64,
                },
                false => Error::NotARecording { path },
            });
        }
        let Some(header) = bytes.first_chunk::<FILE_HEADER>() else {
            let at = bytes.len() as u64;
            return Err(Error::Empty { path, at });
        };
        match check_file_header(header) {
            Err(what) => {
                return Err(Error::Damaged {
                    path,
                    offset: 0,
                    what,
                    events: 0,
                });
            }
            Ok(found) if found > FORMAT => {
                return Err(Error::Newer {
                    path,
                    found,
                    newest: FORMAT,
                });
            }
            Ok(_) => {}
        }
        let mut contents = Contents::default();
        let mut offset = FILE_HEADER;
        while let Some(frame) = contents.frame(&path, &bytes, offset)? {
            offset = frame;
        }
        let Some(manifest) = contents.manifest else {
            let at = offset as u64;
            return Err(Error::Empty { path, at });
        };
        let completeness = match contents.end {
            Some(_) => Completeness::Complete,
            None => Completeness::Truncated {
                at_byte: offset as u64,
                events: contents.event_count,
            },
        };
        Ok(Recording {
            path,
            bytes,
            manifest,
            schemas: contents.schemas,
            stacks: contents.stacks,
            symbols: contents.symbols,
            tasks: contents.tasks,
            console: contents.console,
            inputs: contents.inputs,
            end: contents.end,
            image: contents.image,
            events: contents.events,
            event_count: contents.event_count,
            completeness,
        })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was run.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The event kinds and their fields, as the file declares them.
    pub fn schemas(&self) -> &[RecordedSchema] {
        &self.schemas
    }

    /// Number of events that can be read.
    pub fn event_count(&self) -> u64 {
        self.event_count
    }

    /// The events in order, unpacked frame by frame.
    pub fn events(&self) -> Events<'_> {
        Events {
            recording: self,
            next_frame: 0,
            current: None,
            done: false,
        }
    }

    /// The events from number `seq` on.
    pub fn events_from(&self, seq: u64) -> impl Iterator<Item = Result<Event, Error>> + '_ {
        let after = self.events.partition_point(|f| f.header.first <= seq);
        let mut events = self.events();
        events.next_frame = after.saturating_sub(1);
        events.skip_while(move |event| event.as_ref().is_ok_and(|event| event.seq < seq))
    }

    /// All events, in memory.
    pub fn load_events(&self) -> Result<Vec<Event>, Error> {
        let mut all = Vec::with_capacity(usize::try_from(self.event_count).unwrap_or(0));
        for event in self.events() {
            all.push(event?);
        }
        Ok(all)
    }

    /// The addresses of a stack, innermost first; empty for a number the file does not have.
    pub fn stack(&self, id: StackId) -> &[Addr] {
        self.stacks.get(id.0 as usize).map_or(&[], |stack| stack)
    }

    /// What was typed, in the order in which it was given.
    pub fn inputs(&self) -> &[InputRow] {
        &self.inputs
    }

    /// What is at an address that the recording met.
    pub fn symbol(&self, addr: Addr) -> Option<&Symbol> {
        self.symbols.get(&addr)
    }

    /// The tasks at the end of the run; empty if it was cut short.
    pub fn tasks(&self) -> &[TaskRow] {
        &self.tasks
    }

    /// What the guest wrote to its console.
    pub fn console(&self) -> &[ConsoleLine] {
        &self.console
    }

    /// How the run ended; `None` if the recording was cut short.
    pub fn end(&self) -> Option<&EndOfRun> {
        self.end.as_ref()
    }

    /// Whether the recording has its end.
    pub fn completeness(&self) -> Completeness {
        self.completeness
    }

    /// The guest's ELF file; `None` if it was not embedded, or not wholly before the file was cut.
    pub fn image(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut elf = Vec::new();
        for frame in &self.image {
            let piece = frame
                .header
                .unpack(frame.stored(&self.bytes))
                .map_err(|what| self.damaged(frame.offset, what))?;
            elf.extend_from_slice(&piece);
        }
        let whole = !self.image.is_empty() && elf.len() as u64 == self.manifest.image.size;
        Ok(whole.then_some(elf))
    }

    /// The stream hash of the events as they are read now.
    pub fn stream_sha256(&self) -> Result<[u8; 32], Error> {
        let mut hash = StreamHash::new();
        for event in self.events() {
            let event = event?;
            hash.push(&event, event.stack.map(|id| self.stack(id)));
        }
        Ok(hash.finish())
    }

    fn damaged(&self, offset: usize, what: &'static str) -> Error {
        let before = self.events.partition_point(|f| f.offset < offset);
        Error::Damaged {
            path: self.path.clone(),
            offset: offset as u64,
            what,
            events: self.events[..before]
                .last()
                .map_or(0, |f| f.header.first + u64::from(f.header.rows)),
        }
    }
}

/// Iterator over the events of a recording. Ends after the first error.
pub struct Events<'a> {
    recording: &'a Recording,
    next_frame: usize,
    current: Option<(usize, Decoder)>,
    done: bool,
}

impl Iterator for Events<'_> {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Result<Event, Error>> {
        const FORM: &str = "an events frame that is not of the format";
        while !self.done {
            if let Some((offset, decoder)) = &mut self.current {
                let bad_stack = |event: &Event| {
                    event
                        .stack
                        .is_some_and(|id| self.recording.stacks.len() <= id.0 as usize)
                };
                match decoder.next_event() {
                    Ok(Some(event)) if !bad_stack(&event) => return Some(Ok(event)),
                    Ok(None) => self.current = None,
                    Ok(Some(_)) | Err(()) => {
                        self.done = true;
                        return Some(Err(self.recording.damaged(*offset, FORM)));
                    }
                }
                continue;
            }
            let Some(frame) = self.recording.events.get(self.next_frame) else {
                self.done = true;
                break;
            };
            self.next_frame += 1;
            let header = frame.header;
            let decoder = header
                .unpack(frame.stored(&self.recording.bytes))
                .and_then(|raw| Decoder::new(header.first, header.rows, raw).ok_or(FORM));
            match decoder {
                Ok(decoder) => self.current = Some((frame.offset, decoder)),
                Err(what) => {
                    self.done = true;
                    return Some(Err(self.recording.damaged(frame.offset, what)));
                }
            }
        }
        None
    }
}

/// What the frames read so far hold.
#[derive(Default)]
struct Contents {
    manifest: Option<Manifest>,
    schemas: Vec<RecordedSchema>,
    stacks: Vec<Stack>,
    symbols: BTreeMap<Addr, Symbol>,
    tasks: Vec<TaskRow>,
    console: Vec<ConsoleLine>,
    inputs: Vec<InputRow>,
    end: Option<EndOfRun>,
    image: Vec<Frame>,
    image_bytes: u64,
    events: Vec<Frame>,
    event_count: u64,
}

impl Contents {
    /// Reads the frame at `offset` and gives the offset after it; `None` where no whole frame is left.
    fn frame(&mut self, path: &Path, bytes: &[u8], offset: usize) -> Result<Option<usize>, Error> {
        let damaged = |what, events| Error::Damaged {
            path: path.to_owned(),
            offset: offset as u64,
            what,
            events,
        };
        let rest = &bytes[offset..];
        if self.end.is_some() && !rest.is_empty() {
            return Err(damaged("bytes after the end frame", self.event_count));
        }
        let Some(header) = rest.first_chunk::<FRAME_HEADER>() else {
            return Ok(None);
        };
        let header = Header::read(header).map_err(|what| damaged(what, self.event_count))?;
        let Some(stored) = rest[FRAME_HEADER..].get(..header.stored_len) else {
            return Ok(None);
        };
        header
            .check(stored)
            .map_err(|what| damaged(what, self.event_count))?;
        let frame = Frame { offset, header };
        if self.manifest.is_none() && header.kind != Kind::Manifest {
            return Err(damaged("the first frame is not the manifest", 0));
        }
        match header.kind {
            Kind::Image => {
                if header.first != self.image_bytes {
                    return Err(damaged("a piece of the image is missing", self.event_count));
                }
                self.image_bytes += u64::from(header.rows);
                self.image.push(frame);
            }
            Kind::Events => {
                if header.first != self.event_count {
                    return Err(damaged("events are missing before it", self.event_count));
                }
                self.event_count += u64::from(header.rows);
                self.events.push(frame);
            }
            _ => {
                let raw = header
                    .unpack(stored)
                    .map_err(|what| damaged(what, self.event_count))?;
                self.table(path, &header, &raw)?.ok_or_else(|| {
                    damaged("a table that is not of the format", self.event_count)
                })?;
            }
        }
        Ok(Some(offset + FRAME_HEADER + header.stored_len))
    }

    /// Reads a frame that is kept unpacked; `None` if its payload is not of the format.
    fn table(&mut self, path: &Path, header: &Header, raw: &[u8]) -> Result<Option<()>, Error> {
        Ok(match header.kind {
            Kind::Manifest if self.manifest.is_some() => None,
            Kind::Manifest => json(raw).map(|manifest| self.manifest = Some(manifest)),
            Kind::Schema => {
                let Some(schemas) = json::<Vec<RecordedSchema>>(raw) else {
                    return Ok(None);
                };
                for schema in &schemas {
                    if let Some(difference) = schema.difference() {
                        return Err(Error::Schema {
                            path: path.to_owned(),
                            event: schema.name.clone(),
                            difference,
                        });
                    }
                }
                self.schemas = schemas;
                Some(())
            }
            Kind::Stacks => self.stacks(header, raw),
            Kind::Symbols => lines::<SymbolRow>(raw).map(|rows| {
                self.symbols
                    .extend(rows.into_iter().map(|row| (Addr(row.addr), row.symbol)));
            }),
            Kind::Console => self.console(header, raw),
            Kind::Tasks => lines(raw).map(|rows| self.tasks.extend::<Vec<TaskRow>>(rows)),
            Kind::Inputs => lines(raw).map(|rows| self.inputs.extend::<Vec<InputRow>>(rows)),
            Kind::End => json(raw).map(|end| self.end = Some(end)),
            Kind::Image | Kind::Events => None,
        })
    }

    fn stacks(&mut self, header: &Header, raw: &[u8]) -> Option<()> {
        if header.first != self.stacks.len() as u64 {
            return None;
        }
        let mut cursor = Cursor(raw);
        for _ in 0..header.rows {
            let mut addr = 0_u64;
            let mut stack = Vec::new();
            for _ in 0..cursor.size()? {
                addr = addr.wrapping_add(cursor.signed()? as u64);
                stack.push(Addr(addr));
            }
            self.stacks.push(stack.into());
        }
        cursor.is_empty().then_some(())
    }

    fn console(&mut self, header: &Header, raw: &[u8]) -> Option<()> {
        let mut cursor = Cursor(raw);
        for _ in 0..header.rows {
            self.console.push(ConsoleLine {
                cycles: cursor.number()?,
                cpu: u32::try_from(cursor.number()?).ok()?,
                bytes: cursor.block()?.to_vec(),
            });
        }
        cursor.is_empty().then_some(())
    }
}

fn json<T: DeserializeOwned>(raw: &[u8]) -> Option<T> {
    serde_json::from_slice(raw).ok()
}

fn lines<T: DeserializeOwned>(raw: &[u8]) -> Option<Vec<T>> {
    raw.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).ok())
        .collect()
}
