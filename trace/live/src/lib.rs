//! trace-live.
