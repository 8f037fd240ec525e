//! runqueue
