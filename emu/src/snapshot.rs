//! A machine at one instant, as a value: everything that decides how its run goes on.
//!
//! [`codec`] has the trait of what is kept, [`Saved`]: a device is a value, and implements it.

pub(crate) mod codec;

pub(crate) use codec::{Reader, Saved, Writer, bad, saved};
