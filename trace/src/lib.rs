//! trace: names and types of a guest, probes on it, and the recording. See `ARCHITECTURE.md`.
//!
//! Reading a recording:
//!
//! ```no_run
//! use trace::krec::Recording;
//!
//! let recording = Recording::open("boot.krec".as_ref())?;
//! println!("{} events, {}", recording.event_count(), recording.completeness());
//! for event in recording.events() {
//!     let event = event?;
//!     println!("{} cpu{} {:?}", event.cycles, event.cpu, event.data);
//! }
//! # Ok::<(), trace::krec::Error>(())
//! ```
//!
//! This crate knows no emulator: `trace-live` puts it on one.

#![forbid(unsafe_code)]

pub mod check;
pub mod classify;
pub mod event;
pub mod events;
pub mod image;
pub mod krec;
pub mod orc;
pub mod place;
pub mod probe;
pub mod stack;
pub mod state;
pub mod tail;
pub mod target;
pub mod time_arg;
pub mod value;
