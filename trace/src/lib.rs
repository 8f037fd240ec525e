//! trace: names and types of a guest, probes on it, and the recording. See `ARCHITECTURE.md`.

pub mod event;
pub mod events;
