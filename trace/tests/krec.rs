//! The recording file: what is written is read, and no byte of a bad file goes unnoticed.

mod support;

use std::io::{self, Write};
use std::path::Path;

use proptest::prelude::*;
use support::{end, manifest, rows, scheduler, small_recording, typed};
use trace::event::{Addr, Event, EventData};
use trace::krec::{Completeness, Error, Recording, StreamHash, Writer, hex};

fn path() -> &'static Path {
    Path::new("test.krec")
}

fn open(bytes: &[u8]) -> Result<Recording, Error> {
    Recording::from_bytes(path(), bytes.to_vec())
}

proptest! {
    #[test]
    fn random_events_come_back(rows in rows(300), flush_at in 0..300_u64) {
        let mut writer = Writer::new(Vec::new(), path(), &manifest(0)).unwrap();
        let mut wrote: Vec<Event> = Vec::new();
        for (seq, row) in (0..).zip(&rows) {
            let event = row.event(seq, &mut writer);
            writer.event(&event).unwrap();
            wrote.push(event);
            if seq == flush_at {
                writer.flush().unwrap();
            }
        }
        let (end, bytes) = writer.finish(end()).unwrap();
        let recording = open(&bytes).unwrap();
        prop_assert_eq!(recording.completeness(), Completeness::Complete);
        prop_assert_eq!(recording.end(), Some(&end));
        prop_assert_eq!(recording.event_count(), wrote.len() as u64);
        prop_assert_eq!(&recording.load_events().unwrap(), &wrote);
        prop_assert_eq!(hex(recording.stream_sha256().unwrap()), end.stream_sha256);
        let from = recording.events_from(flush_at + 3).next().transpose().unwrap();
        prop_assert_eq!(from, wrote.get(flush_at as usize + 3).copied());
    }

    #[test]
    fn random_bytes_are_refused_quietly(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut file = small_recording(10);
        file.truncate(16);
        file.extend_from_slice(&bytes);
        if let Ok(recording) = open(&file) {
            prop_assert!(recording.load_events().is_ok());
        }
        prop_assert!(open(&bytes).is_err());
    }
}

#[test]
fn every_kind_of_frame_comes_back() {
    let bytes = small_recording(100);
    let recording = open(&bytes).unwrap();
    assert_eq!(recording.manifest(), &manifest(70_000));
    assert_eq!(recording.schemas().len(), EventData::SCHEMAS.len());
    assert_eq!(recording.image().unwrap().unwrap().len(), 70_000);
    let text: Vec<u8> = recording
        .console()
        .iter()
        .flat_map(|line| line.bytes.clone())
        .collect();
    assert_eq!(text, b"Linux version\nready");
    assert_eq!(recording.console().len(), 2);
    assert_eq!(recording.inputs(), typed());
    assert_eq!(recording.tasks()[0].comm, "migration/0");
    let symbol = recording.symbol(Addr(7)).unwrap();
    assert_eq!(
        (symbol.name.as_str(), symbol.line),
        ("schedule", Some(6745))
    );
    let first = recording.events().next().unwrap().unwrap();
    assert_eq!(recording.stack(first.stack.unwrap()), [Addr(0), Addr(7)]);
}

#[test]
fn a_file_cut_anywhere_is_good_up_to_its_last_whole_frame() {
    let bytes = small_recording(100);
    let whole = open(&bytes).unwrap().load_events().unwrap();
    let mut counts = Vec::new();
    for cut in 0..bytes.len() {
        match open(&bytes[..cut]) {
            Ok(recording) => {
                let events = recording.load_events().unwrap();
                assert_eq!(events, whole[..events.len()]);
                let Completeness::Truncated { at_byte, events } = recording.completeness() else {
                    panic!("cut at {cut} and complete");
                };
                assert!(at_byte as usize <= cut);
                assert!(recording.end().is_none());
                counts.push(events);
            }
            Err(Error::Empty { at, .. }) => assert!(at as usize <= cut),
            Err(other) => panic!("cut at {cut}: {other}"),
        }
    }
    assert!(counts.is_sorted());
    counts.dedup();
    assert_eq!(counts, [0, 51, 100]);
}

#[test]
fn any_changed_bit_is_found_and_named() {
    let bytes = small_recording(60);
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        match open(&bad) {
            Err(Error::NotARecording { .. }) => assert!(at < 8),
            Err(Error::Damaged { offset, .. }) => {
                assert!(offset as usize <= at, "byte {at} reported at {offset}");
            }
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn a_damage_says_how_much_before_it_is_good() {
    let mut bytes = small_recording(100);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let text = open(&bytes).unwrap_err().to_string();
    assert!(
        text.contains("events 0 to 100 before it are good"),
        "{text}"
    );
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut bytes = small_recording(5);
    bytes.push(0);
    let text = open(&bytes).unwrap_err().to_string();
    assert!(text.contains("bytes after the end frame"), "{text}");
}

#[test]
fn a_newer_format_is_refused_by_number() {
    let mut bytes = small_recording(5);
    bytes[8..12].copy_from_slice(&7_u32.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    let error = open(&bytes).unwrap_err();
    assert!(matches!(
        error,
        Error::Newer {
            found: 7,
            newest: 1,
            ..
        }
    ));
    assert!(error.to_string().contains("test.krec has format 7"));
}

#[test]
fn a_full_frame_is_written_by_itself_and_stays_small() {
    let mut writer = Writer::new(Vec::new(), path(), &manifest(0)).unwrap();
    let mut hash = StreamHash::new();
    let before = writer.bytes_written();
    const EVENTS: u64 = 100_000;
    for event in scheduler(EVENTS) {
        hash.push(&event, None);
        writer.event(&event).unwrap();
    }
    let by_itself = writer.bytes_written();
    assert!(by_itself > before, "no frame was written before the end");
    writer.flush().unwrap();
    let each = (writer.bytes_written() - before) as f64 / EVENTS as f64;
    assert!(each < 8.0, "{each:.2} bytes an event");
    let (end, bytes) = writer.finish(end()).unwrap();
    assert_eq!(end.stream_sha256, hex(hash.finish()));
    assert_eq!(open(&bytes).unwrap().event_count(), EVENTS);
}

#[test]
fn the_hash_depends_on_every_column() {
    let base = scheduler(40).last().unwrap();
    let of = |event: &Event, stack: Option<&[Addr]>| {
        let mut hash = StreamHash::new();
        hash.push(event, stack);
        hash.finish()
    };
    let same = of(&base, None);
    let changed = [
        Event {
            seq: base.seq + 1,
            ..base
        },
        Event {
            cpu: base.cpu + 1,
            ..base
        },
        Event {
            cycles: base.cycles + 1,
            ..base
        },
        Event {
            insns: base.insns + 1,
            ..base
        },
        Event {
            pid: base.pid + 1,
            ..base
        },
        Event {
            comm: "x".into(),
            ..base
        },
        Event {
            data: trace::events::SchedulerTick {}.into(),
            ..base
        },
    ];
    for event in changed {
        assert_ne!(of(&event, None), same, "{event:?}");
    }
    assert_ne!(of(&base, Some(&[])), same);
    assert_ne!(of(&base, Some(&[Addr(1)])), of(&base, Some(&[Addr(2)])));
}

#[test]
fn events_out_of_order_or_without_their_stack_are_refused() {
    let mut writer = Writer::new(Vec::new(), path(), &manifest(0)).unwrap();
    let mut events = scheduler(2);
    let (first, second) = (events.next().unwrap(), events.next().unwrap());
    assert!(matches!(
        writer.event(&second),
        Err(Error::BadEvent { seq: 1, .. })
    ));
    let stray = Event {
        stack: Some(trace::event::StackId(3)),
        ..first
    };
    assert!(writer.event(&stray).is_err());
    let far = Event { cpu: 5000, ..first };
    assert!(writer.event(&far).is_err());
    writer.event(&first).unwrap();
    writer.event(&second).unwrap();
}

/// A disk with room for so many bytes.
struct Disk {
    room: usize,
    kept: Vec<u8>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(self.room - self.kept.len());
        if fits == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.kept.extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_names_the_file_and_leaves_what_fits() {
    let mut disk = Disk {
        room: 60_000,
        kept: Vec::new(),
    };
    let mut writer = Writer::new(&mut disk, path(), &manifest(0)).unwrap();
    let error = scheduler(1_000_000)
        .find_map(|event| writer.event(&event).err())
        .expect("the disk is too small");
    assert!(error.to_string().contains("test.krec"), "{error}");
    let Error::Write { written, .. } = error else {
        panic!("{error}");
    };
    drop(writer);
    let recording = open(&disk.kept).unwrap();
    let Completeness::Truncated { at_byte, events } = recording.completeness() else {
        panic!("complete on a full disk");
    };
    assert_eq!(at_byte, written);
    assert!(events > 1000);
    let expected: Vec<Event> = scheduler(events).collect();
    assert_eq!(recording.load_events().unwrap(), expected);
}

#[test]
fn an_unwritable_path_is_named() {
    let path = Path::new("/nonexistent/folder/a.krec");
    let error = Writer::create(path, &manifest(0)).err().unwrap();
    assert!(error.to_string().contains("/nonexistent/folder/a.krec"));
}

#[test]
fn an_event_kind_of_another_version_is_refused() {
    let bytes = small_recording(5);
    let recording = open(&bytes).unwrap();
    let mut schemas = recording.schemas().to_vec();
    assert_eq!(schemas, trace::krec::RecordedSchema::current());
    schemas[0].fields.remove(0);
    let text = serde_json::to_vec(&schemas).unwrap();
    let renamed = rewrite_schema(&bytes, &text);
    let error = open(&renamed).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("sched:sched_switch, which this kreplay knows with other fields"),
        "{error}"
    );
}

/// The file with another schema frame, stored unpacked: what another version would have written.
fn rewrite_schema(bytes: &[u8], schema: &[u8]) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let schema_at = 16 + 40 + word(16 + 12);
    assert_eq!(bytes[schema_at + 4], 2, "the second frame is the schema");
    let mut header = bytes[schema_at..schema_at + 36].to_vec();
    header[5] = 0;
    header[8..12].copy_from_slice(&(schema.len() as u32).to_le_bytes());
    header[12..16].copy_from_slice(&(schema.len() as u32).to_le_bytes());
    header[20..24].copy_from_slice(&crc32fast::hash(schema).to_le_bytes());
    let crc = crc32fast::hash(&header);
    let mut out = bytes[..schema_at].to_vec();
    out.extend_from_slice(&header);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(schema);
    out.extend_from_slice(&bytes[schema_at + 40 + word(schema_at + 12)..]);
    out
}
