//! The commands, one a file.

pub mod calls;
pub mod info;
pub mod record;
pub mod run;
pub mod state;
pub mod sweep;
pub mod verify;
