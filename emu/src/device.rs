//! The devices: plain state machines with offset-only access, each a data sheet.
//!
//! Registers in, registers out: a device gets an offset, a value and the time, and gives a value and
//! what is to be done elsewhere. It is one plain value (`Clone`, `Eq`), which is all there is to save.

pub(crate) mod board;
pub(crate) mod cmos;
pub(crate) mod ioapic;
pub(crate) mod lapic;
pub(crate) mod serial;
