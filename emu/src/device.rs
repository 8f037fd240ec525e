//! The devices: plain state machines with offset-only access, each a data sheet.

pub(crate) mod cmos;
pub(crate) mod lapic;
pub(crate) mod serial;
