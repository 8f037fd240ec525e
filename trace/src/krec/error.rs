//! What can be wrong with a recording, said so that the reader knows what to do next.

use std::io;
use std::path::PathBuf;

/// An error while reading or writing a recording.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The recording.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be created or written; what was written before stays readable.
    #[error("cannot write {}: {source} ({written} bytes are written and stay readable)", path.display())]
    Write {
        /// The recording.
        path: PathBuf,
        /// Bytes of whole frames written before the error.
        written: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not begin as a recording does.
    #[error("{} is not a recording: it does not begin with the .krec magic", path.display())]
    NotARecording {
        /// The file.
        path: PathBuf,
    },
    /// The file ends before the manifest.
    #[error("{} holds no manifest: it ends at byte {at}, record it again", path.display())]
    Empty {
        /// The recording.
        path: PathBuf,
        /// Where it ends.
        at: u64,
    },
    /// The file was written by a newer version.
    #[error(
        "{} has format {found}, this kreplay reads up to {newest}: use the kreplay that recorded it, or a newer one",
        path.display()
    )]
    Newer {
        /// The recording.
        path: PathBuf,
        /// The format it says.
        found: u32,
        /// The newest this version reads.
        newest: u32,
    },
    /// The recording holds an event kind that this version does not know, or knows otherwise.
    #[error(
        "{} holds {event}, which this kreplay {difference}: use the kreplay that recorded it",
        path.display()
    )]
    Schema {
        /// The recording.
        path: PathBuf,
        /// Name of the event kind.
        event: String,
        /// "does not know" or "knows with other fields".
        difference: &'static str,
    },
    /// Bytes have changed since the recording was written.
    #[error("{} is damaged at byte {offset}: {what} (events 0 to {events} before it are good)", path.display())]
    Damaged {
        /// The recording.
        path: PathBuf,
        /// Offset of the frame or header that does not check.
        offset: u64,
        /// What does not check.
        what: &'static str,
        /// Events in the frames before it.
        events: u64,
    },
    /// The writer was given an event that the format cannot hold.
    #[error("cannot record event {seq}: {what}")]
    BadEvent {
        /// Its number.
        seq: u64,
        /// The rule it breaks.
        what: &'static str,
    },
    /// A table row is larger than a frame.
    #[error(
        "cannot record a {what} of {size} bytes: a frame holds {}",
        super::MAX_RAW
    )]
    TooLarge {
        /// Which row.
        what: &'static str,
        /// Its size.
        size: usize,
    },
}
